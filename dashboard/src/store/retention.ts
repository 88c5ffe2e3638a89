import type { Driver } from "./driver.ts";
import { PARTS } from "./schema.ts";

/** Spans that leave in one transaction: more than arrive in one, so that leaving wins. */
const SLICE_SPANS = 20_000;
const SLICE_TRACES = 2000;

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

/** Deletes some of the oldest: those that arrived first, and with `arrivedBefore` only those to which nothing was added since.
 *  Undefined when there are none. */
export function evictOldest(database: Driver, arrivedBefore: number = Number.MAX_SAFE_INTEGER): Evicted | undefined {
  const upTo = oldestUpTo(database, arrivedBefore);
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
function oldestUpTo(database: Driver, arrivedBefore: number): number | undefined {
  const sql = `SELECT id, span_count, arrived_at FROM traces ORDER BY id LIMIT ${SLICE_TRACES}`;
  const traces = database.prepare(sql).all([]);
  let spans = 0;
  let upTo: number | undefined;
  for (const { id, span_count, arrived_at } of traces) {
    if (Number(arrived_at) >= arrivedBefore || spans >= SLICE_SPANS) return upTo;
    spans += Number(span_count);
    upTo = Number(id);
  }
  if (traces.length === SLICE_TRACES) return upTo;
  // No trace is younger than these: logs without any are what is left.
  const [log] = database
    .prepare(`SELECT max(id) AS id FROM (SELECT id FROM logs WHERE time_us < ? ORDER BY id LIMIT ${SLICE_SPANS})`)
    .all([Math.min(arrivedBefore * 1000, Number.MAX_SAFE_INTEGER)]);
  if (log?.["id"] === null || log === undefined) return upTo;
  return Math.max(upTo ?? 0, Math.floor(Number(log["id"]) / PARTS));
}

function pragma(database: Driver, name: string): number {
  return Number(database.prepare(`PRAGMA ${name}`).all([])[0]?.[name]);
}
