import type { SpanKind, TextMapPropagator } from "@opentelemetry/api";
import type { TraceContext } from "../trace/context.ts";
import type { Tracer } from "../trace/tracer.ts";
import type { OperationSpan } from "./operation.ts";

/** See `Tracer`. */
export type Deferring = Pick<Tracer, "startDeferred" | "endDeferred">;

/**
 * What spans are started with and contexts run in. Ours in `sdk.ts`; somebody else's SDK in `otel-instrumentations.ts`,
 * so that the same instrumentations serve both.
 */
export interface Tracing {
  readonly propagator: TextMapPropagator;
  active(): TraceContext;
  /** True when `start` below `parent` is certain to give a span that records nothing. */
  declines(parent: TraceContext): boolean;
  /** `startMillis` is a reading of `trace/clock.ts`. The span may be one that records nothing. */
  start(kind: SpanKind, name: string, parent: TraceContext, startMillis: number): OperationSpan;
  /** Who starts a span below `parent` when it is encoded, and not before. Undefined, or absent: it starts when it begins. */
  deferring?(parent: TraceContext): Deferring | undefined;
  run<A extends any[], R>(context: TraceContext, fn: (...args: A) => R, self: unknown, args: A): R;
  /** The rest of this synchronous execution, and all it starts, runs in `context`. */
  enter(context: TraceContext): void;
}
