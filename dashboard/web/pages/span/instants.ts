import type { Instant } from "../../../src/model/span.ts";

/** Nanoseconds from one moment to another; negative when it is earlier. */
export function nanosBetween(from: Instant, until: Instant): number {
  return (until.unixMicros - from.unixMicros) * 1000 + (until.nanos - from.nanos);
}

/** Severity of a log where its sender gave only a number. Source: OpenTelemetry logs data model, SeverityNumber. */
export function severityName(text: string, number: number): string {
  if (text !== "") return text.toUpperCase();
  if (number <= 0) return "LOG";
  const names = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
  return names[Math.min(5, Math.floor((number - 1) / 4))] ?? "LOG";
}

/** `error`, `warn` or neither: what a log's severity looks like. */
export function severityTone(text: string, number: number): "error" | "warn" | "plain" {
  if (number >= 17) return "error";
  if (number >= 13) return "warn";
  if (number > 0) return "plain";
  if (/^(?:err|fatal|crit|alert|emerg)/i.test(text)) return "error";
  return /^warn/i.test(text) ? "warn" : "plain";
}
