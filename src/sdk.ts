import type { TracerProvider as ApiTracerProvider } from "@opentelemetry/api";
import type { SpanProcessor } from "@opentelemetry/sdk-trace-base";
import { registry } from "../instrumentations/registry.ts";
import { version } from "../package.json";
import { fromProcess, type TracekitOptions } from "./config/config.ts";
import { diag } from "./diag/diag.ts";
import { installExitHooks } from "./export/exit.ts";
import { createOutside } from "./export/outside.ts";
import { startTimer, stopTimer } from "./export/timers.ts";
import { createKits } from "./instrumentation/kits.ts";
import type { Tracing } from "./instrumentation/tracing.ts";
import { isHooksThread } from "./loader/hook-modules.ts";
import { Loader } from "./loader/loader.ts";
import { announce } from "./announce.ts";
import { LateTracing } from "./late-tracing.ts";
import { NO_RECORDING } from "./no-recording.ts";
import { createRecording, type Recording } from "./recording.ts";
import { keepStringMethodsFast } from "./string-methods.ts";
import { isApiGlobalTaken, registerApiGlobal, unregisterApiGlobal } from "./trace/api-global.ts";
import { activeContext, contextManager } from "./trace/context.ts";
import type { User } from "./trace/request-scope.ts";

/** Milliseconds until an application has usually started, and has few requests to answer yet: what those need is read then. */
const SETTLING_MILLIS = 100;

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

  const { spanProcessors = [] } = options;
  const runOutside = createOutside();
  const exitHooks = installExitHooks(config, (error) => recording?.recordFatal(error));
  let recording: Recording | undefined;
  const record = (): Recording => {
    if (recording !== undefined) return recording;
    try {
      recording = createRecording(config, spanProcessors, runOutside);
      exitHooks.adopt(recording.exporting);
    } catch (error) {
      recording = NO_RECORDING;
      kits.disable();
      diag.warn(`nothing is traced from here on: a part of Tracekit cannot be loaded. ${String(error)}`);
    }
    return recording;
  };

  const tracerProvider: ApiTracerProvider = {
    getTracer: (...scope) => record().tracerProvider.getTracer(...scope),
  };
  registerApiGlobal(tracerProvider, contextManager, {
    inject: (context, carrier, setter) => record().propagator.inject(context, carrier, setter),
    extract: (context, carrier, getter) => record().propagator.extract(context, carrier, getter),
    fields: () => record().propagator.fields(),
  });

  keepStringMethodsFast();
  const createTracing = (scope: string): Tracing => new LateTracing(scope, version, record);
  const kits = createKits(registry, config.instrumentations, config, createTracing, record);
  const loader = new Loader(kits.targets);
  loader.install();
  const readAhead = kits.start();
  // The SDK's processors are made where they were asked for.
  if (spanProcessors.length > 0 || config.exporters.includes("console")) record();
  const settling = startTimer(() => {
    record();
    setImmediate(readAhead).unref();
  }, SETTLING_MILLIS);
  settling.unref();
  const announcement = announce(config, loader.report, kits);

  return {
    tracerProvider,
    setUser(user) {
      if (!config.capture.kinds.has("user")) return;
      const context = activeContext();
      if (context.request !== undefined) context.request.setUser(user);
      else context.span?.setAttribute("user.id", user.id);
    },
    flush: async () => recording?.exporting?.forceFlush(),
    async shutdown() {
      kits.disable();
      unregisterApiGlobal(tracerProvider);
      announcement.cancel();
      stopTimer(settling);
      await recording?.exporting?.shutdown();
      exitHooks.remove();
    },
    startedAgain() {
      diag.warnOnce("started-again", "Tracekit is running in this process already; it is not started a second time.");
    },
  };
}
