import type { SpanRecord } from "../model/span.ts";

/** Until the receiver's writer is there. */
export function toResourceSpans(spans: readonly SpanRecord[]): unknown[] {
  return [{ scopeSpans: [{ spans: spans.map(({ traceId, spanId, name }) => ({ traceId, spanId, name })) }] }];
}
