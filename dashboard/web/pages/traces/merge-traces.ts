import type { TraceSummary } from "../../../src/model/trace.ts";

/** Order of the list: latest start first. */
export function compareTraces(a: TraceSummary, b: TraceSummary): number {
  return (
    b.start.unixMicros - a.start.unixMicros ||
    b.start.nanos - a.start.nanos ||
    (a.traceId < b.traceId ? 1 : a.traceId > b.traceId ? -1 : 0)
  );
}

/** `rows` with what arrived, each trace once in its newest state, in order. The array is new only when something changed. */
export function mergeTraces(rows: readonly TraceSummary[], arrived: Iterable<TraceSummary>): readonly TraceSummary[] {
  const incoming = new Map<string, TraceSummary>();
  for (const trace of arrived) {
    const other = incoming.get(trace.traceId);
    if (other === undefined || other.arrivedAt <= trace.arrivedAt) incoming.set(trace.traceId, trace);
  }
  if (incoming.size === 0) return rows;
  const kept = rows.filter((row) => {
    const replacement = incoming.get(row.traceId);
    if (replacement === undefined) return true;
    if (replacement.arrivedAt < row.arrivedAt) {
      incoming.delete(row.traceId);
      return true;
    }
    return false;
  });
  const added = [...incoming.values()].toSorted(compareTraces);
  const merged: TraceSummary[] = [];
  let next = 0;
  for (const row of kept) {
    for (let trace = added[next]; trace !== undefined && compareTraces(trace, row) < 0; trace = added[++next])
      merged.push(trace);
    merged.push(row);
  }
  for (; next < added.length; next++) merged.push(added[next]!);
  return merged;
}

/** What arrived, apart: traces that are in the list already, and those that would be new rows in it. Traces older than
 *  `oldest` belong to pages that are not loaded yet and are in neither. */
export function sortArrivals(
  arrived: readonly TraceSummary[],
  isListed: (traceId: string) => boolean,
  oldest: TraceSummary | undefined,
): { known: TraceSummary[]; fresh: TraceSummary[] } {
  const known: TraceSummary[] = [];
  const fresh: TraceSummary[] = [];
  for (const trace of arrived) {
    if (isListed(trace.traceId)) known.push(trace);
    else if (oldest === undefined || compareTraces(trace, oldest) < 0) fresh.push(trace);
  }
  return { known, fresh };
}

/** Those of `arrived` that are not in `rows` just as they are. */
export function changedAmong(rows: readonly TraceSummary[], arrived: readonly TraceSummary[]): TraceSummary[] {
  const ids = new Set(arrived.map(({ traceId }) => traceId));
  const shown = new Map(rows.filter(({ traceId }) => ids.has(traceId)).map((row) => [row.traceId, row]));
  return arrived.filter(({ traceId, arrivedAt, spanCount }) => {
    const row = shown.get(traceId);
    return row?.arrivedAt !== arrivedAt || row.spanCount !== spanCount;
  });
}

/** The duration that fills a bar: where nine tenths of the traces end, rounded up to 1, 2 or 5 of a power of ten, so that one
 *  outlier does not flatten all others and the bars keep still while more arrive. */
export function durationScale(rows: readonly TraceSummary[]): number {
  // The latest are what is looked at; more would only cost.
  const durations = rows.slice(0, 1000).map(({ durationNanos }) => durationNanos);
  durations.sort((a, b) => a - b);
  const high = durations[Math.ceil(durations.length * 0.9) - 1] ?? 0;
  if (high <= 0) return 1_000_000;
  const power = 10 ** Math.floor(Math.log10(high));
  for (const step of [1, 2, 5, 10]) if (high <= step * power) return step * power;
  return 10 * power;
}
