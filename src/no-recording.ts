import type { Context, Span, SpanContext, Tracer } from "@opentelemetry/api";
import type { OperationSpan } from "./instrumentation/operation.ts";
import type { Recording } from "./recording.ts";

/* What is left when the rest of our code cannot be read, because somebody has removed it or mocks the file system. */

const INVALID: SpanContext = { traceId: "0".repeat(32), spanId: "0".repeat(16), traceFlags: 0 };
const nothing = (): void => {};
const itself = (): NoSpan => NO_SPAN;

type NoSpan = Span & OperationSpan;
const NO_SPAN: NoSpan = {
  name: "",
  attribute: nothing,
  attributeLater: nothing,
  attributeBlock: nothing,
  fail: nothing,
  link: nothing,
  spanContext: () => INVALID,
  isRecording: () => false,
  setAttribute: itself,
  setAttributes: itself,
  addEvent: itself,
  addLink: itself,
  addLinks: itself,
  setStatus: itself,
  updateName: itself,
  recordException: nothing,
  end: nothing,
};

const NO_TRACER = {
  declines: () => true,
  defers: () => false,
  start: () => NO_SPAN,
  startSpan: () => NO_SPAN,
  startActiveSpan: (...args: unknown[]) => (args.at(-1) as (span: Span) => unknown)(NO_SPAN),
} as unknown as Tracer;

/** Records nothing and never throws. Without `capture`: instrumentations are to be switched off. */
export const NO_RECORDING = {
  propagator: { inject: nothing, extract: (context: Context) => context, fields: () => [] },
  tracerProvider: { getTracer: () => NO_TRACER },
  recordFatal: nothing,
} satisfies Partial<Record<keyof Recording, unknown>> as unknown as Recording;
