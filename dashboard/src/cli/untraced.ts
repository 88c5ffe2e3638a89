import { endAs, runCommand } from "../../../src/run-command.ts";

/** Holds what OTEL_SDK_DISABLED was, from the traced process to the one that takes its place. */
const WAS = "TRACEKIT_WAS_DISABLED";

/** Whether a tracer was loaded into this process: `NODE_OPTIONS="--import @tracekit/auto"` is often set for a whole shell. */
export function isTraced(): boolean {
  const api = (globalThis as Record<symbol, { trace?: unknown } | undefined>)[Symbol.for("opentelemetry.js.api.1")];
  // A tracer that does not know OTEL_SDK_DISABLED is there the second time, too.
  return api?.trace !== undefined && process.env[WAS] === undefined;
}

/**
 * Runs this command line again without tracing, in its place. A dashboard that traces itself would never come to rest. Preloads stay:
 * a package manager's are needed (Yarn's Plug'n'Play); every tracer knows OTEL_SDK_DISABLED.
 */
export async function runUntraced(): Promise<never> {
  const words = [process.execPath, ...process.argv.slice(1)];
  endAs(await runCommand(words, untraced(process.env)));
  return new Promise(() => {});
}

/** `env` with tracing switched off. */
export function untraced(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...env, OTEL_SDK_DISABLED: "true", [WAS]: env[WAS] ?? env["OTEL_SDK_DISABLED"] ?? "" };
}

/** What `env` was before `untraced`. */
export function asBefore(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { [WAS]: was, ...rest } = env;
  if (was === undefined) return rest;
  const { OTEL_SDK_DISABLED: _, ...others } = rest;
  return was === "" ? others : { ...others, OTEL_SDK_DISABLED: was };
}
