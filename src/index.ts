import type { TracekitOptions } from "./config/config.ts";
import type { StartOptions, Tracekit } from "./sdk.ts";
import type { User } from "./trace/request-scope.ts";

export type { StartOptions, Tracekit, TracekitOptions, User };

/** Shared by every copy of the package in the process: an application's own and the preloaded one need not be the same file. */
const RUNNING = Symbol.for("@tracekit/auto");
const shared = globalThis as { [RUNNING]?: Tracekit };

/**
 * Starts tracing, once a process; what `--import @tracekit/auto` does. Options win over environment variables.
 * A second call says so on stderr and changes nothing. Never throws.
 */
export function start(options: StartOptions = {}): void {
  const running = shared[RUNNING];
  if (running !== undefined) {
    running.startedAgain();
    return;
  }
  const { createTracekit } = require("./core.js") as { createTracekit(options: StartOptions): Tracekit | undefined };
  const tracekit = createTracekit(options);
  if (tracekit !== undefined) shared[RUNNING] = tracekit;
}

/**
 * Says who the current request is for: the id (or the whole user) goes on the request's span, `user.id` on every later span
 * of the request, here and in the services it calls (see TRACEKIT_USER_PROPAGATION). Does nothing outside a request or when
 * tracing is off. Source: OpenTelemetry semantic conventions, `user.*`.
 */
export function setUser(user: string | User): void {
  shared[RUNNING]?.setUser(typeof user === "string" ? { id: user } : user);
}

/** Sends what has ended so far. Resolves when the backend has answered or the export time-out has passed; never rejects. */
export async function flush(): Promise<void> {
  await shared[RUNNING]?.flush();
}

/** Flushes and stops recording; instrumented libraries keep working, untraced. Never rejects. */
export async function shutdown(): Promise<void> {
  const running = shared[RUNNING];
  if (running === undefined) return;
  await running.shutdown();
  shared[RUNNING] = undefined;
}
