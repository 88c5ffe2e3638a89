import type { SpanKind, TextMapPropagator } from "@opentelemetry/api";
import type { OperationSpan } from "./instrumentation/operation.ts";
import type { Deferring, Tracing } from "./instrumentation/tracing.ts";
import type { Recording } from "./recording.ts";
import { activeContext, enterContext, runInContext, type TraceContext } from "./trace/context.ts";
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

  deferring(parent: TraceContext): Deferring | undefined {
    const tracer = this.tracer ?? this.createTracer();
    return tracer.defers(parent) ? tracer : undefined;
  }

  private createTracer(): Tracer {
    this.tracer = this.record().tracerProvider.getTracer(this.scope, this.version);
    return this.tracer;
  }
}
