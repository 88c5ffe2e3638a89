import type { JSX } from "preact";

export function TracePage({ traceId }: { traceId: string }): JSX.Element {
  return <p>{traceId}</p>;
}
