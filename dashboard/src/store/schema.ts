import type { Driver } from "./driver.ts";
import { StoreError } from "./store.ts";

/** Room for the parts of a trace (or of a payload of logs) within its id: part n of trace t is t * PARTS + n. Parts of a
 *  trace lie side by side in the file that way, and need no index. */
export const PARTS: number = 2 ** 20;

/**
 * How a store of version n becomes one of n + 1. What was released is never edited: add a step.
 *
 * - `traces`: a line of the list, kept up to date as spans arrive. Ids grow with arrival; `logs` draw from the same numbers.
 * - `chunks`: spans of one trace that arrived together. `columns` has what the waterfall and the map need, `data` the rest.
 *   One row for many spans is what makes the ingest rate: see `benchmarks/dashboard`.
 * - `resources`, `scopes`: each different one once. `last_used` is the id past which no trace is known to use it.
 * - `links`: to be found from either end. `logs` may come before the spans, or without any.
 */
export const STEPS: readonly string[] = [
  `CREATE TABLE traces (
    id INTEGER PRIMARY KEY, trace_id TEXT NOT NULL UNIQUE,
    start_us INTEGER NOT NULL, start_ns INTEGER NOT NULL, duration_ns INTEGER NOT NULL,
    service TEXT NOT NULL, operation TEXT NOT NULL, kind INTEGER NOT NULL, status_code INTEGER NOT NULL,
    http_status INTEGER, user_id TEXT, user_us INTEGER NOT NULL,
    has_root INTEGER NOT NULL, root_us INTEGER NOT NULL, root_ns INTEGER NOT NULL, root_span TEXT NOT NULL,
    services TEXT NOT NULL, span_count INTEGER NOT NULL, error_count INTEGER NOT NULL, query_count INTEGER NOT NULL,
    cache_hits INTEGER NOT NULL, cache_misses INTEGER NOT NULL, chunk_count INTEGER NOT NULL, arrived_at INTEGER NOT NULL
  );
  CREATE INDEX traces_start ON traces (start_us);
  CREATE INDEX traces_user ON traces (user_id, start_us) WHERE user_id IS NOT NULL;
  CREATE INDEX traces_error ON traces (start_us) WHERE error_count > 0;
  CREATE TABLE chunks (
    id INTEGER PRIMARY KEY, base_us INTEGER NOT NULL, ids TEXT NOT NULL, refs TEXT NOT NULL,
    columns TEXT NOT NULL, data TEXT NOT NULL
  );
  CREATE TABLE resources (id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, last_used INTEGER NOT NULL, content TEXT NOT NULL);
  CREATE TABLE scopes (id INTEGER PRIMARY KEY, content TEXT NOT NULL UNIQUE);
  CREATE TABLE links (
    trace INTEGER NOT NULL, span_id TEXT NOT NULL, to_trace_id TEXT NOT NULL, to_span_id TEXT NOT NULL,
    PRIMARY KEY (trace, span_id, to_trace_id, to_span_id)
  ) WITHOUT ROWID;
  CREATE INDEX links_to ON links (to_trace_id, to_span_id);
  CREATE TABLE logs (
    id INTEGER PRIMARY KEY, trace_id TEXT NOT NULL, span_id TEXT NOT NULL, time_us INTEGER NOT NULL, data TEXT NOT NULL
  );
  CREATE INDEX logs_trace ON logs (trace_id, time_us) WHERE trace_id != '';
  CREATE TABLE saved_filters (name TEXT PRIMARY KEY, query TEXT NOT NULL);`,
];

/** The version of the store; 0 for an empty database. Throws a `StoreError` for a newer one, and for a database that is something
 *  else, before anything of it is changed. */
export function readVersion(database: Driver, path: string | undefined, steps: readonly string[] = STEPS): number {
  const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all([]);
  if (tables.length === 0) return 0;
  if (!tables.some(({ name }) => name === "meta"))
    throw new StoreError("corrupt", `${path} is a SQLite database, but not a Tracekit store. Choose another --store.`);
  const [row] = database.prepare("SELECT value FROM meta WHERE key = 'schema_version'").all([]);
  const version = Number(row?.["value"]);
  if (version > steps.length) {
    throw new StoreError(
      "newer_version",
      `${path} was written by a newer Tracekit (store version ${version}; this one knows up to ${steps.length}). ` +
        "Update Tracekit, or start with another --store or with --memory.",
    );
  }
  return version;
}

/** Brings a store of that version to the one of `steps`: all of the way, or not at all. */
export function migrate(database: Driver, version: number, steps: readonly string[] = STEPS): void {
  if (version === steps.length) return;
  database.transaction(() => {
    if (version === 0) {
      database.exec("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID");
      database.prepare("INSERT INTO meta VALUES ('created_at', ?)").run([new Date().toISOString()]);
    }
    for (const step of steps.slice(version)) database.exec(step);
    database.prepare("INSERT OR REPLACE INTO meta VALUES ('schema_version', ?)").run([String(steps.length)]);
  });
}
