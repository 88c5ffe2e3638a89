import type { ContextManager, TextMapPropagator, TracerProvider } from "@opentelemetry/api";
import { diag } from "../diag/diag.ts";

/** Where every copy of `@opentelemetry/api` 1.x looks for the SDK (`internal/global-utils`). */
const API_GLOBAL = Symbol.for("opentelemetry.js.api.1");

/**
 * What we declare to implement. A copy of the API takes a global of its own minor or a later one and silently ignores an
 * earlier one, so this is the newest we are tested against, not the version we depend on.
 */
const API_VERSION = "1.10.0";

interface ApiGlobal {
  version: string;
  trace?: TracerProvider;
  context?: ContextManager;
  propagation?: TextMapPropagator;
  diag?: unknown;
}

const globals = globalThis as { [API_GLOBAL]?: ApiGlobal };

/** True when another SDK has registered itself with the API. */
export function isApiGlobalTaken(): boolean {
  return globals[API_GLOBAL]?.trace !== undefined;
}

/** Makes us the SDK of every copy of the API in this process. Nothing is loaded: a registration is a property of one object. */
export function registerApiGlobal(
  trace: TracerProvider,
  context: ContextManager,
  propagation: TextMapPropagator,
): void {
  globals[API_GLOBAL] = {
    ...globals[API_GLOBAL],
    version: API_VERSION,
    trace,
    context,
    propagation,
    diag: apiLogger,
  };
}

/** Takes back what `registerApiGlobal` gave, unless somebody else has replaced it since. */
export function unregisterApiGlobal(trace: TracerProvider): void {
  if (globals[API_GLOBAL]?.trace === trace) delete globals[API_GLOBAL];
}

/** The API's own log. A second SDK's attempt to register shows up only here. */
const apiLogger = {
  error: (message: unknown): void => {
    const text = String(message);
    if (/registration of (?:API|version)/i.test(text)) {
      diag.warnOnce(
        "second-sdk",
        "another OpenTelemetry SDK tried to register itself; Tracekit keeps tracing and the other's spans go through it. Remove one of the two.",
      );
    }
    diag.debug(`@opentelemetry/api: ${text}`);
  },
  warn: (message: unknown): void => diag.debug(`@opentelemetry/api: ${String(message)}`),
  info: (message: unknown): void => diag.debug(`@opentelemetry/api: ${String(message)}`),
  debug: (message: unknown): void => diag.verbose(`@opentelemetry/api: ${String(message)}`),
  verbose: (message: unknown): void => diag.verbose(`@opentelemetry/api: ${String(message)}`),
};
