import type { JSX } from "preact";

export function SpanPanel(props: {
  traceId: string;
  spanId: string;
  onClose: () => void;
  onOpenSpan: (spanId: string) => void;
}): JSX.Element {
  return <p>{props.spanId}</p>;
}
