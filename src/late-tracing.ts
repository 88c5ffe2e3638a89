import type { SpanKind, TextMapPropagator } from "@opentelemetry/api";
import type { OperationSpan } from "./instrumentation/operation.ts";
import type { Tracing } from "./instrumentation/tracing.ts";
import type { Recording } from "./recording.ts";
import type { AttributeBlock } from "./trace/attributes.ts";
import { activeContext, enterContext, runInContext, type TraceContext } from "./trace/context.ts";
import type { Ended } from "./trace/pipeline.ts";
import type { Span, SpanIdentity } from "./trace/span.ts";
import type { Tracer } from "./trace/tracer.ts";

/** Our own tracing for the instrumentations of one scope, of which all but contexts is there from the first span on. */
export class LateTracing implements Tracing {
  readonly active: Tracing["active"] = activeContext;
  readonly run: Tracing["run"] = runInContext;
  readonly enter: Tracing["enter"] = enterContext;
  private readonly record: () => Recording;
  private readonly scope: string;
  private readonly version: string;
  private tracer: Tracer | undefined = undefined;

  constructor(scope: string, version: string, record: () => Recording) {
    this.scope = scope;
    this.version = version;
    this.record = record;
  }

  get propagator(): TextMapPropagator {
    return this.record().propagator;
  }

  declines(parent: TraceContext): boolean {
    return (this.tracer ?? this.createTracer()).declines(parent);
  }

  start(kind: SpanKind, name: string, parent: TraceContext, startMillis: number): OperationSpan {
    return (this.tracer ?? this.createTracer()).start(kind, name, parent, startMillis);
  }

  canMakeLater(parent: TraceContext): boolean {
    return (this.tracer ?? this.createTracer()).canMakeLater(parent);
  }

  endUnmade(ended: Ended): void {
    (this.tracer ?? this.createTracer()).endUnmade(ended);
  }

  make(
    kind: SpanKind,
    name: string,
    parent: SpanIdentity,
    startMillis: number,
    userBlock: AttributeBlock | undefined,
  ): Span {
    return (this.tracer ?? this.createTracer()).make(kind, name, parent, startMillis, userBlock);
  }

  private createTracer(): Tracer {
    this.tracer = this.record().tracerProvider.getTracer(this.scope, this.version);
    return this.tracer;
  }
}
