import type { Driver } from "./driver.ts";
import { PARTS } from "./schema.ts";

/** What leaves in one transaction is a twentieth of the store, and no more than this: about 50 ms. Still more than arrives in one,
 *  so that leaving wins. */
const MAX_SPANS = 20_000;
const MAX_TRACES = 2000;
const SHARE = 0.05;

export interface Evicted {
  traces: number;
  spans: number;
  logs: number;
  /** No trace or log up to this id is left. */
  upTo: number;
}

/** Bytes of the file that hold something. What was deleted is used again before the file grows. */
export function usedBytes(database: Driver): number {
  return (pragma(database, "page_count") - pragma(database, "freelist_count")) * pragma(database, "page_size");
}

export function fileBytes(database: Driver): number {
  return pragma(database, "page_count") * pragma(database, "page_size");
}

/** Deletes some of the oldest of `traceCount` traces: those that arrived first, and with `arrivedBefore` (Unix milliseconds) only
 *  those to which nothing was added since. Undefined when there are none. */
export function evictOldest(
  database: Driver,
  traceCount: number,
  arrivedBefore: number = Number.MAX_SAFE_INTEGER,
): Evicted | undefined {
  const limit = Math.min(MAX_TRACES, Math.ceil(traceCount * SHARE));
  const upTo = oldestUpTo(database, limit, arrivedBefore);
  if (upTo === undefined) return undefined;
  return database.transaction(() => {
    const [counts] = database
      .prepare("SELECT count(*) AS traces, total(span_count) AS spans FROM traces WHERE id <= ?")
      .all([upTo]);
    const end = (upTo + 1) * PARTS;
    const [logs] = database.prepare("SELECT count(*) AS count FROM logs WHERE id < ?").all([end]);
    database.prepare("DELETE FROM chunks WHERE id < ?").run([end]);
    database.prepare("DELETE FROM links WHERE trace <= ?").run([upTo]);
    database.prepare("DELETE FROM logs WHERE id < ?").run([end]);
    database.prepare("DELETE FROM traces WHERE id <= ?").run([upTo]);
    return {
      traces: Number(counts?.["traces"]),
      spans: Number(counts?.["spans"]),
      logs: Number(logs?.["count"]),
      upTo,
    };
  });
}

/** Gives up to `pages` pages that nothing uses back to the file system. */
export function shrinkFile(database: Driver, pages: number): void {
  database.exec(`PRAGMA incremental_vacuum(${pages})`);
}

/** The id up to which the next slice goes. Logs draw from the same ids as traces, so those of the same time leave together. */
function oldestUpTo(database: Driver, limit: number, arrivedBefore: number): number | undefined {
  const traces = database.prepare("SELECT id, span_count, arrived_at FROM traces ORDER BY id LIMIT ?").all([limit]);
  let spans = 0;
  let upTo: number | undefined;
  for (const { id, span_count, arrived_at } of traces) {
    if (Number(arrived_at) >= arrivedBefore || spans >= MAX_SPANS) break;
    spans += Number(span_count);
    upTo = Number(id);
  }
  // Logs that came before all of these, or without any trace at all, are as old. Those of one payload leave together.
  const before = traces.length === 0 ? Number.MAX_SAFE_INTEGER : Number(traces[0]?.["id"]) * PARTS;
  const logs = database
    .prepare(
      `SELECT max(id) AS id FROM (SELECT id FROM logs WHERE id < ? AND time_us < ? ORDER BY id LIMIT ${MAX_SPANS})`,
    )
    .all([Math.min(before, Number.MAX_SAFE_INTEGER), Math.min(arrivedBefore * 1000, Number.MAX_SAFE_INTEGER)]);
  const log = logs[0]?.["id"] ?? null;
  const logsUpTo = log === null ? undefined : Math.floor(Number(log) / PARTS);
  return logsUpTo === undefined ? upTo : Math.min(logsUpTo, upTo ?? logsUpTo);
}

function pragma(database: Driver, name: string): number {
  return Number(database.prepare(`PRAGMA ${name}`).all([])[0]?.[name]);
}
