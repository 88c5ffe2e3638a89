import type { AttributeValue, TextMapPropagator } from "@opentelemetry/api";
import type { SpanProcessor } from "@opentelemetry/sdk-trace-base";
import { Capture } from "./capture/capture.ts";
import type { Config, Propagator } from "./config/config.ts";
import { diag } from "./diag/diag.ts";
import { createExport, type Exporting } from "./export/create-export.ts";
import type { RunOutside } from "./export/outside.ts";
import type { KitRecording } from "./instrumentation/kit.ts";
import { UserPropagation } from "./instrumentation/user-propagation.ts";
import { loadPackage } from "./load-chunk.ts";
import { reanchor } from "./trace/clock.ts";
import { activeContext, TraceContext } from "./trace/context.ts";
import type { Redactor, SpanPipeline } from "./trace/pipeline.ts";
import { baggagePropagator, compositePropagator, traceContextPropagator } from "./trace/propagation.ts";
import { createSampler } from "./trace/sampler.ts";
import { FLAG_SAMPLED, identityToContext, PropagatedSpan, Span } from "./trace/span.ts";
import { identityOf, TracerProvider } from "./trace/tracer.ts";

/** The rooms that have something to do once there is a span, or the context of one: two thirds of our code. */
export interface Recording extends KitRecording {
  readonly propagator: TextMapPropagator;
  readonly tracerProvider: TracerProvider;
  /** Undefined where nothing can be recorded. */
  readonly exporting: Exporting | undefined;
  /** Nothing has caught `error`: the request it happened in says so, and ends if the process will. */
  recordFatal(error: unknown): void;
}

/** `runOutside` is of a time before any request. */
export function createRecording(
  config: Config,
  spanProcessors: readonly SpanProcessor[],
  runOutside: RunOutside,
): Recording {
  reanchor();
  const capture = new Capture(config.capture);
  const exporting = createExport(config, { spanProcessors, runOutside });
  const pipeline: SpanPipeline = {
    sampler: createSampler(config.sampler.name, config.sampler.ratio),
    limits: config.spanLimits,
    redactor: createRedactor(capture),
    sink: exporting.sink,
    resource: exporting.resource,
  };
  return {
    capture,
    userPropagation: new UserPropagation(config.userPropagation),
    propagator: createPropagator(config.propagators),
    tracerProvider: new TracerProvider(pipeline),
    exporting,
    recordFatal,
  };
}

function recordFatal(error: unknown): void {
  const context = activeContext();
  const span = context.request?.span ?? context.span;
  if (!(span instanceof Span) || !span.isRecording()) return;
  span.fail(error instanceof Error ? error.name : typeof error);
  span.recordException(error as Error);
  // With a handler of its own the application may go on, and finish the request itself.
  if (process.listenerCount("uncaughtException") === 0) span.end();
}

function createRedactor(capture: Capture): Redactor {
  return {
    attribute(key: string, value: AttributeValue): AttributeValue {
      if (typeof value === "string") return capture.attribute(key, value);
      if (!Array.isArray(value)) return capture.isSensitiveName(key) ? "REDACTED" : value;
      return value.map((item) => (typeof item === "string" ? capture.attribute(key, item) : item)) as AttributeValue;
    },
    error: (message) => capture.error(message),
  };
}

/** The official propagators of the other formats are read only when one is asked for. */
function createPropagator(names: readonly Propagator[]): TextMapPropagator {
  const propagators: TextMapPropagator[] = [];
  for (const name of names) {
    try {
      propagators.push(PROPAGATORS[name]());
    } catch (error) {
      diag.warn(`OTEL_PROPAGATORS: ${name} cannot be used: ${String(error)}`);
    }
  }
  return compositePropagator(propagators);
}

interface B3Package {
  B3Propagator: new (options?: { injectEncoding: number }) => TextMapPropagator;
  B3InjectEncoding: { SINGLE_HEADER: number; MULTI_HEADER: number };
}

function createB3(encoding: keyof B3Package["B3InjectEncoding"]): TextMapPropagator {
  const { B3Propagator, B3InjectEncoding } = loadPackage<B3Package>("@opentelemetry/propagator-b3");
  return new B3Propagator({ injectEncoding: B3InjectEncoding[encoding] });
}

const PROPAGATORS: Readonly<Record<Propagator, () => TextMapPropagator>> = {
  tracecontext: () => traceContextPropagator,
  baggage: () => baggagePropagator,
  b3: () => createB3("SINGLE_HEADER"),
  b3multi: () => createB3("MULTI_HEADER"),
  jaeger: () => withoutRandomFlag(createFrom("@opentelemetry/propagator-jaeger", "JaegerPropagator")),
  xray: () => createFrom("@opentelemetry/propagator-aws-xray", "AWSXRayPropagator"),
};

function createFrom(packageName: string, className: string): TextMapPropagator {
  const Propagator = loadPackage<Record<string, new () => TextMapPropagator>>(packageName)[className];
  if (Propagator === undefined) throw new Error(`${packageName} has no ${className}`);
  return new Propagator();
}

/** The bit by which W3C says that a trace id is random means "debug, keep at any cost" to Jaeger. */
function withoutRandomFlag(propagator: TextMapPropagator): TextMapPropagator {
  return {
    inject(context, carrier, setter) {
      const active = TraceContext.from(context);
      const identity = identityOf(active.span);
      if (identity === undefined) return;
      const spanContext = { ...identityToContext(identity), traceFlags: identity.flags & FLAG_SAMPLED };
      propagator.inject(active.withSpan(PropagatedSpan.fromSpanContext(spanContext)), carrier, setter);
    },
    extract: (context, carrier, getter) => propagator.extract(context, carrier, getter),
    fields: () => propagator.fields(),
  };
}
