import type { TraceSummary } from "../../../src/model/trace.ts";
import { statusText } from "./trace-status.ts";

/** Traces that are the same request with the same outcome. */
export interface TraceGroup {
  key: string;
  /** Latest first. */
  traces: TraceSummary[];
  minNanos: number;
  /** Nearest rank. */
  medianNanos: number;
  maxNanos: number;
}

/** Groups by service, operation and status; the most frequent first, then the one with the latest trace. Requests in flight
 *  are apart, as their duration says nothing yet. */
export function groupTraces(rows: readonly TraceSummary[]): TraceGroup[] {
  const byKey = new Map<string, TraceSummary[]>();
  for (const trace of rows) {
    const key = `${trace.service}\n${trace.operation}\n${statusText(trace)}`;
    const group = byKey.get(key);
    if (group === undefined) byKey.set(key, [trace]);
    else group.push(trace);
  }
  const groups = [...byKey].map(([key, traces]): TraceGroup => {
    const durations = traces.map(({ durationNanos }) => durationNanos).sort((a, b) => a - b);
    return {
      key,
      traces,
      minNanos: durations[0] ?? 0,
      medianNanos: durations[Math.ceil(durations.length / 2) - 1] ?? 0,
      maxNanos: durations.at(-1) ?? 0,
    };
  });
  // The order of arrival in the map is that of the latest trace; sorting keeps it among equals.
  return groups.sort((a, b) => b.traces.length - a.traces.length);
}
