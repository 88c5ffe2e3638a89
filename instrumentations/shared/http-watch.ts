import { now } from "../../src/trace/clock.ts";

/*
 * Exchanges whose end may never come, or only in hours: a response nobody reads, a stream of events. They are looked at once
 * a second, and end with the process at the latest.
 */

const SWEEP_MILLIS = 1000;

/** How long the span of an event stream waits for the stream's end, after its headers. */
export const EVENT_STREAM_MILLIS = 5000;

/** An exchange with an end of its own making. Times are readings of `trace/clock.ts`. */
export interface Watched {
  /** True once it has ended by itself. */
  isOver(): boolean;
  /** True when it is to end now. */
  isDue(now: number): boolean;
  /** Ends it. */
  end(): void;
}

// The application may replace the global timers, in its tests for instance.
const { setInterval, clearInterval } = globalThis;

const watched = new Set<Watched>();
let sweeper: NodeJS.Timeout | undefined;
let watchesExit = false;

/** Ends `item` when it is due, or when the process exits. */
export function watch(item: Watched): void {
  watched.add(item);
  sweeper ??= setInterval(sweep, SWEEP_MILLIS).unref();
  if (watchesExit) return;
  watchesExit = true;
  // Before the exporter's own: that sends what has ended by then.
  process.prependListener("exit", endAll);
}

/** Whether a content type is that of server-sent events. */
export function isEventStream(contentType: string | undefined): boolean {
  return contentType !== undefined && contentType.startsWith("text/event-stream");
}

function sweep(): void {
  const time = now();
  for (const item of watched) {
    if (item.isOver()) watched.delete(item);
    else if (item.isDue(time)) {
      watched.delete(item);
      item.end();
    }
  }
  if (watched.size > 0) return;
  clearInterval(sweeper);
  sweeper = undefined;
}

function endAll(): void {
  for (const item of watched) if (!item.isOver()) item.end();
}
