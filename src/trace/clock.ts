import type { HrTime, TimeInput } from "@opentelemetry/api";

/**
 * Span times are on the clock of `performance.now()`: milliseconds on one monotonic clock, 40 ns a read. They become wall-clock
 * time only when a span leaves, through an anchor that follows the system clock.
 *
 * It is read as `process.hrtime()`, which takes as long in a loop and less between pieces of other code: `now()` checks its
 * receiver each time, in a function of V8's of which 13 lines of instructions have to be fetched. Kept, because test tools replace it.
 */
const readHrTime: typeof process.hrtime = process.hrtime;
/** What it says where `performance.now()` is 0. */
let originSeconds = 0;
let originNanos = 0;

// `performance` is asked with the first read: Node loads ten modules for it, 1.5 ms at start. Of the class, because test tools
// replace the instance's `now`.
let readClock = (): number => {
  const { performance } = process.getBuiltinModule("node:perf_hooks");
  const { now: readNow } = Object.getPrototypeOf(performance) as typeof performance;
  // The first call of each takes long.
  readNow.call(performance);
  readHrTime();
  const [seconds, nanos] = readHrTime();
  const millis = readNow.call(performance);
  originSeconds = seconds - Math.floor(millis / 1000);
  originNanos = nanos - (millis % 1000) * 1e6;
  readClock = readMillis;
  setAnchor(performance.timeOrigin);
  reanchor();
  return readMillis();
};

function readMillis(): number {
  const time = readHrTime();
  return (time[0] - originSeconds) * 1000 + (time[1] - originNanos) / 1e6;
}

/** Kept for the same reason; it cuts off the fraction of a millisecond. */
const readWallMillis: () => number = Date.now;

/** The wall-clock time, in epoch milliseconds, at which the monotonic clock read 0; in two parts, for a double cannot hold its nanoseconds. */
let anchorWholeMillis = 0;
let anchorFraction = 0;

function setAnchor(wallMillis: number): void {
  anchorWholeMillis = Math.floor(wallMillis);
  anchorFraction = wallMillis - anchorWholeMillis;
}

/**
 * Re-reads the wall clock, so that a suspended machine or an NTP step does not shift every later span. Called at each flush.
 * What one reading can tell is an interval, of a millisecond and however long the process was kept from its processor
 * meanwhile. An anchor within it stays: spans of two flushes, and of two processes, keep their order.
 */
export function reanchor(): void {
  const before = readClock();
  const wallMillis = readWallMillis();
  const after = readClock();
  const anchor = anchorWholeMillis + anchorFraction;
  if (anchor < wallMillis - after) setAnchor(wallMillis - after);
  else if (anchor > wallMillis + 1 - before) setAnchor(wallMillis + 1 - before);
}

/** Milliseconds on the process's monotonic clock. */
export function now(): number {
  return readClock();
}

/** Numbers below are `performance.now()` readings, above are epoch milliseconds: three years of uptime, or March 1973. */
const EPOCH_MILLIS_FROM = 1e11;

/** A caller's time (epoch milliseconds, `performance.now()` reading, Date or HrTime, as the API allows) on our clock. */
export function fromTimeInput(input: TimeInput): number {
  if (typeof input === "number") {
    return input < EPOCH_MILLIS_FROM ? input : input - anchorWholeMillis - anchorFraction;
  }
  if (input instanceof Date) return input.getTime() - anchorWholeMillis - anchorFraction;
  return input[0] * 1000 - anchorWholeMillis + (input[1] / 1e6 - anchorFraction);
}

/** `[seconds, nanoseconds]` since the epoch. */
export function toHrTime(time: number): HrTime {
  const millis = time + anchorFraction;
  const whole = Math.floor(millis);
  const wallMillis = anchorWholeMillis + whole;
  const seconds = Math.floor(wallMillis / 1000);
  const nanos = Math.round((millis - whole) * 1e6) + (wallMillis - seconds * 1000) * 1e6;
  return nanos < 1e9 ? [seconds, nanos] : [seconds + 1, nanos - 1e9];
}

/** Writes `time` as unsigned 64-bit little-endian nanoseconds since the epoch, without BigInt. */
export function writeUnixNano(time: number, target: DataView, offset: number): void {
  const millis = time + anchorFraction;
  const whole = Math.floor(millis);
  const wallMillis = anchorWholeMillis + whole;
  // wallMillis * 1e6 exceeds 2^53, so it is multiplied in two halves of 16 bits and more. Masks, for `%` of such numbers is slow.
  const high = Math.floor(wallMillis / 65536) * 1e6;
  const low = (wallMillis & 65535) * 1e6 + Math.round((millis - whole) * 1e6) + (high & 65535) * 65536;
  target.setUint32(offset, low >>> 0, true);
  target.setUint32(offset + 4, Math.floor(high / 65536) + Math.floor(low / 4294967296), true);
}
