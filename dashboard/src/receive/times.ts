import type { Instant } from "../model/span.ts";

/** Whether the store can keep and order it: microseconds stay exact until the year 2255. */
export function isKeepable({ unixMicros }: Instant): boolean {
  return Number.isSafeInteger(unixMicros) && unixMicros >= 0;
}

export const TIME_PROBLEM = "its time is after the year 2255 (nanoseconds since 1970 are expected)";

/** Nanoseconds from one to the other, exact below 104 days; 0 where the end is before the start, or was not sent. */
export function durationBetween(start: Instant, end: Instant): number {
  return Math.max(0, (end.unixMicros - start.unixMicros) * 1000 + (end.nanos - start.nanos));
}

/** Of decimal nanoseconds since 1970; undefined for anything else. */
export function instantOfNanos(digits: string): Instant | undefined {
  if (!/^\d{1,20}$/.test(digits)) return undefined;
  return { unixMicros: Number(digits.slice(0, -3)), nanos: Number(digits.slice(-3)) };
}

/** Of microseconds since 1970, as Zipkin and Jaeger count. A fraction counts as far as a number can tell it. */
export function instantOfMicros(micros: number): Instant {
  const unixMicros = Math.floor(micros);
  return { unixMicros, nanos: Math.min(999, Math.round((micros - unixMicros) * 1000)) };
}

/** Nanoseconds since 1970 in decimal digits, of a moment or that long after it. */
export function nanosText({ unixMicros, nanos }: Instant, laterNanos = 0): string {
  const rest = nanos + laterNanos;
  const restMicros = Math.floor(rest / 1000);
  const micros = unixMicros + restMicros;
  const restNanos = rest - restMicros * 1000;
  return micros === 0 ? String(restNanos) : micros + String(restNanos).padStart(3, "0");
}
