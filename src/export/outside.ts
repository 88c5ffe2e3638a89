import { AsyncResource } from "node:async_hooks";
import { enterContext, TraceContext } from "../trace/context.ts";

const SUPPRESSED = new TraceContext(undefined, undefined, true, undefined);

/** Runs something outside every request. */
export type RunOutside = (fn: () => void) => void;

/**
 * What is created inside a request (a timer, a socket, a worker) keeps every AsyncLocalStorage's value of that request alive,
 * the application's own included, for as long as it lives. The returned function runs ours where it is called from now: at
 * start, with tracing suppressed, so that exports are not traced.
 */
export function createOutside(): RunOutside {
  // Within a scope of its own, because `AsyncLocalStorage.run` leaves a map with an empty entry behind: the application
  // would be started in it, and every request would have to copy it (0.3 µs on Node 24).
  return new AsyncResource("TracekitExport").runInAsyncScope(() => {
    enterContext(SUPPRESSED);
    const resource = new AsyncResource("TracekitExport");
    return (fn: () => void) => resource.runInAsyncScope(fn);
  });
}
