import type { AttributeValue, TextMapPropagator, TracerProvider as ApiTracerProvider } from "@opentelemetry/api";
import type { SpanProcessor } from "@opentelemetry/sdk-trace-base";
import { registry } from "../instrumentations/registry.ts";
import { Capture } from "./capture/capture.ts";
import { fromProcess, type Propagator, type TracekitOptions } from "./config/config.ts";
import { diag } from "./diag/diag.ts";
import { createExport } from "./export/create-export.ts";
import { installExitHooks } from "./export/exit.ts";
import { createKits } from "./instrumentation/kits.ts";
import type { Tracing } from "./instrumentation/tracing.ts";
import { UserPropagation } from "./instrumentation/user-propagation.ts";
import { loadPackage } from "./load-chunk.ts";
import { isHooksThread } from "./loader/hook-modules.ts";
import { Loader } from "./loader/loader.ts";
import { announce } from "./announce.ts";
import { isApiGlobalTaken, registerApiGlobal, unregisterApiGlobal } from "./trace/api-global.ts";
import { activeContext, contextManager, enterContext, runInContext, TraceContext } from "./trace/context.ts";
import type { Redactor, SpanPipeline } from "./trace/pipeline.ts";
import { baggagePropagator, compositePropagator, traceContextPropagator } from "./trace/propagation.ts";
import type { User } from "./trace/request-scope.ts";
import { createSampler } from "./trace/sampler.ts";
import { FLAG_SAMPLED, identityToContext, PropagatedSpan, Span } from "./trace/span.ts";
import { identityOf, TracerProvider } from "./trace/tracer.ts";

/** Options of programmatic use. */
export interface StartOptions extends TracekitOptions {
  /** The application's own processors: they see every span, besides the exporters. */
  readonly spanProcessors?: readonly SpanProcessor[];
}

/** Tracing, running. */
export interface Tracekit {
  readonly tracerProvider: ApiTracerProvider;
  setUser(user: User): void;
  flush(): Promise<void>;
  shutdown(): Promise<void>;
  /** For the second one who starts it. */
  startedAgain(): void;
}

/** Builds every room and hands each to the next. Undefined when there is nothing to do; the reason has then been said. */
export function createTracekit(options: StartOptions): Tracekit | undefined {
  const config = fromProcess(options);
  if (config.disabled || isHooksThread()) return undefined;
  diag.setLevel(config.logLevel);
  for (const problem of config.problems) diag.warn(problem);
  if (isApiGlobalTaken()) {
    diag.warn(
      "another OpenTelemetry SDK is registered in this process already: Tracekit stays off, so that nothing is traced twice. Remove one of the two.",
    );
    return undefined;
  }

  const capture = new Capture(config.capture);
  const exporting = createExport(config, { spanProcessors: options.spanProcessors ?? [] });
  const pipeline: SpanPipeline = {
    sampler: createSampler(config.sampler.name, config.sampler.ratio),
    limits: config.spanLimits,
    redactor: createRedactor(capture),
    sink: exporting.sink,
    resource: exporting.resource,
  };
  const tracerProvider = new TracerProvider(pipeline);
  const propagator = createPropagator(config.propagators);
  registerApiGlobal(tracerProvider, contextManager, propagator);

  const createTracing = (scope: string): Tracing => {
    const tracer = tracerProvider.getTracer(scope, config.resource["telemetry.distro.version"] as string);
    return {
      propagator,
      active: activeContext,
      declines: (parent) => tracer.declines(parent),
      start: (kind, name, parent, startMillis) => tracer.start(kind, name, parent, startMillis),
      run: runInContext,
      enter: enterContext,
    };
  };
  const kits = createKits(
    registry,
    config.instrumentations,
    config,
    createTracing,
    capture,
    new UserPropagation(config.userPropagation),
  );
  const loader = new Loader(kits.targets);
  loader.install();
  kits.start();

  const exitHooks = installExitHooks(exporting, config, recordFatal);
  const announcement = announce(config, loader.report, kits);

  return {
    tracerProvider,
    setUser(user) {
      if (!capture.user) return;
      const context = activeContext();
      if (context.request !== undefined) context.request.setUser(user);
      else context.span?.setAttribute("user.id", user.id);
    },
    flush: () => exporting.forceFlush(),
    async shutdown() {
      kits.disable();
      unregisterApiGlobal(tracerProvider);
      announcement.cancel();
      await exporting.shutdown();
      exitHooks.remove();
    },
    startedAgain() {
      diag.warnOnce("started-again", "Tracekit is running in this process already; it is not started a second time.");
    },
  };
}

/** Nothing has caught `error`: the request it happened in says so, and ends if the process will. */
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
