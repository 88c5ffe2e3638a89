import type { Instant } from "../src/model/span.ts";

/** `312µs`, `4.5ms`, `187ms`, `1.2s`, `3m 05s`: at most three digits that matter, no space, so that columns stay narrow. */
export function formatDuration(nanos: number): string {
  if (!Number.isFinite(nanos)) return "–";
  if (nanos < 0) return `-${formatDuration(-nanos)}`;
  if (nanos === 0) return "0ms";
  if (nanos < 999.5) return `${Math.round(nanos)}ns`;
  // A unit ends where rounding would print 1000 of it.
  if (nanos < 999_500) return `${threeDigits(nanos / 1e3)}µs`;
  if (nanos < 999_500_000) return `${threeDigits(nanos / 1e6)}ms`;
  if (nanos < 59_950_000_000) return `${threeDigits(nanos / 1e9)}s`;
  const seconds = Math.round(nanos / 1e9);
  const pad = (part: number): string => String(part).padStart(2, "0");
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${pad(seconds % 60)}s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)}h ${pad(minutes % 60)}m`;
  return `${formatCount(Math.round(minutes / 1440))}d`;
}

function threeDigits(value: number): string {
  if (value >= 99.95) return String(Math.round(value));
  return String(Number(value.toFixed(value >= 9.995 ? 1 : 2)));
}

/** `14:03:27.482` of this machine's clock. */
export function formatTime(instant: Instant): string {
  const date = new Date(Math.floor(instant.unixMicros / 1000));
  const pad = (part: number, length = 2): string => String(part).padStart(length, "0");
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`;
}

/** `2026-01-31 14:03:27.482`, of this machine's clock. */
export function formatDateTime(instant: Instant): string {
  return `${formatDate(instant)} ${formatTime(instant)}`;
}

/** `2026-01-31`, of this machine's clock. */
export function formatDate(instant: Instant): string {
  const date = new Date(Math.floor(instant.unixMicros / 1000));
  const pad = (part: number, length = 2): string => String(part).padStart(length, "0");
  return `${pad(date.getFullYear(), 4)}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
}

/** `now`, `12s ago`, `4m ago`, `3h ago`, `2d ago`; a sender's clock that is ahead counts as now. Both in Unix milliseconds. */
export function formatAge(thenMillis: number, nowMillis: number): string {
  const seconds = Math.floor((nowMillis - thenMillis) / 1000);
  if (seconds < 2) return "now";
  if (seconds < 60) return `${seconds}s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ago`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)}h ago`;
  return `${Math.floor(seconds / 86_400)}d ago`;
}

/** `0 B`, `812 B`, `1.4 KB`, `23 MB`: units of 1024. */
export function formatBytes(n: number): string {
  if (n < 1024) return `${n} B`;
  let value = n;
  let unit = "B";
  for (unit of ["KB", "MB", "GB", "TB"]) {
    value /= 1024;
    if (value < 999.5) break;
  }
  return `${threeDigits(value)} ${unit}`;
}

/** `1,204,000`: grouped by thousands whatever the language, as all other text is English. */
export function formatCount(n: number): string {
  // The first number through Intl takes tens of milliseconds, when a page could be painted already.
  return String(Math.round(n)).replace(/\B(?=(?:\d{3})+$)/g, ",");
}

/** `1 trace`, `12 traces`. */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${formatCount(n)} ${n === 1 ? one : many}`;
}
