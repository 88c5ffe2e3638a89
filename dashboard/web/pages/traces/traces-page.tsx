import type { JSX } from "preact";

export function TracesPage(): JSX.Element {
  return <p>Traces</p>;
}
