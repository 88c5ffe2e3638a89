import { AsyncResource } from "node:async_hooks";
import { runInContext, TraceContext } from "../trace/context.ts";

const SUPPRESSED = new TraceContext(undefined, undefined, true, undefined);

/** Runs something outside every request. */
export type RunOutside = (fn: () => void) => void;

/**
 * What is created inside a request (a timer, a socket, a worker) keeps every AsyncLocalStorage's value of that request alive,
 * the application's own included, for as long as it lives. The returned function runs ours where it is called from now: at
 * start, with tracing suppressed, so that exports are not traced.
 */
export function createOutside(): RunOutside {
  const resource = runInContext(SUPPRESSED, () => new AsyncResource("TracekitExport"), undefined, []);
  return (fn) => resource.runInAsyncScope(fn);
}
