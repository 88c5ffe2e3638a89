import type { AttributeValue, Context } from "@opentelemetry/api";
import type { SpanLimits } from "./attributes.ts";
import type { Sampler } from "./sampler.ts";
import type { Span } from "./span.ts";

/** Who made a span. Source: OpenTelemetry specification, "Instrumentation scope". */
export interface InstrumentationScope {
  readonly name: string;
  readonly version?: string | undefined;
  readonly schemaUrl?: string | undefined;
}

/** What has ended and is no span yet. */
export interface DeferredSpan {
  /** Asked once, when the sink wants to read it. The span has ended, and the sink is not told of it. */
  toSpan(): Span;
}

/** Where spans go. An implementation never throws and never blocks. */
export interface SpanSink {
  /** True when somebody wants to see spans as they start. */
  readonly observesStart: boolean;
  onStart(span: Span, parent: Context): void;
  /** The span is read-only from here; the sink calls `span.release()` once it needs it no more. */
  onEnd(span: Span): void;
  /** As `onEnd`. Absent where somebody sees spans as they start or end. */
  onDeferredEnd?(span: DeferredSpan): void;
}

/** What an application's own strings pass before they are kept on a span. */
export interface Redactor {
  attribute(key: string, value: AttributeValue): AttributeValue;
  /** An error's message or stack. */
  error(message: string): string;
}

/** Everything a span needs to know of its surroundings: built once at start. */
export interface SpanPipeline {
  readonly sampler: Sampler;
  readonly limits: SpanLimits;
  readonly redactor: Redactor;
  readonly sink: SpanSink;
  /** The SDK's `Resource`, where the standard lane is in use. */
  readonly resource: unknown;
}
