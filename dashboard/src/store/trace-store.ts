import type { Facets, ImportResult, SavedFilter, ServiceMap } from "../model/api.ts";
import { asciiJson } from "../model/ascii-json.ts";
import type { TraceFilter } from "../model/filter.ts";
import type { SpanRecord } from "../model/span.ts";
import type { TraceSummary } from "../model/trace.ts";
import { DESCRIBING } from "./describe-span.ts";
import { classifyFailure, type Driver } from "./driver.ts";
import { getFacets } from "./facets.ts";
import { openDriver } from "./open-driver.ts";
import type { ThreadApi, ThreadOptions, TracesPortion } from "./protocol.ts";
import { evictOldest, fileBytes, shrinkFile, usedBytes, type Evicted } from "./retention.ts";
import { migrate, readVersion } from "./schema.ts";
import { getServiceMap } from "./service-map.ts";
import { Sources } from "./sources.ts";
import { StoreError, type IngestResult, type Payload, type StoredSpan, type StoreStatus } from "./store.ts";
import { filterTraces, findTraces, listTraces, positionOf } from "./trace-search.ts";
import { toSummary } from "./trace-state.ts";
import { findTrace, getSpan, getTrace, readTrace } from "./traces.ts";
import { Turns } from "./turns.ts";
import { Writer, type Batch } from "./writer.ts";

/** Payload bytes written in one transaction: about 50 ms of work, for which questions have to wait. */
const MAX_GROUP_BYTES = 2_500_000;
const MAX_GROUP_PAYLOADS = 1000;
/** Share of the cap that is in use after the oldest have left. */
const AFTER_EVICTION = 0.95;
const RETENTION_INTERVAL_MILLIS = 60_000;
const WATCH_INTERVAL_MILLIS = 250;
const MAX_WATCHED = 200;
const MAX_CHANGED = 2000;
/** What has changed so lately is told to whoever begins to watch. */
const RECENT_MILLIS = 2000;
/** Spans read or written before the thread does something else. */
const PORTION_SPANS = 5000;

/** How bytes become records; from `src/receive`. `readPayload` and `readImport` throw for what they cannot read. */
export interface Readers {
  readPayload(payload: Payload, wanted: ReadonlySet<string>): Batch & { rejected: number; reason?: string };
  readImport(
    body: Uint8Array<ArrayBuffer>,
  ): Pick<Batch, "spans"> & { format: ImportResult["format"]; rejected: number };
}

export interface Events {
  traces(watcher: number, traces: readonly TraceSummary[]): void;
  cleared(): void;
}

interface Waiting {
  payload: Payload;
  resolve(result: IngestResult): void;
  reject(error: unknown): void;
}

/** Of a payload that was read. */
interface Counts {
  spans: number;
  logs: number;
  rejected: number;
  reason: string | undefined;
}

/** The store as it is inside of its thread: everything that touches the database. */
export class TraceStore implements ThreadApi {
  private readonly options: ThreadOptions;
  private readonly readers: Readers;
  private readonly events: Events;
  private readonly database: Driver;
  private readonly sources: Sources;
  private readonly writer: Writer;
  private readonly retentionTimer: NodeJS.Timeout;

  private readonly queue: Waiting[] = [];
  private isFlushScheduled = false;
  private isEvicting = false;

  private readonly watchers: Map<number, TraceFilter> = new Map();
  private readonly changed: Set<number> = new Set();
  /** Of the last seconds, by transaction. */
  private recent: { millis: number; ids: readonly number[] }[] = [];
  private watchTimer: NodeJS.Timeout | undefined;
  private lastWatchMillis = 0;

  private traceCount: number;
  private spanCount: number;
  private logCount: number;
  private evictedTraces = 0;

  /** Throws a `StoreError` when the store cannot be used. */
  constructor(options: ThreadOptions, readers: Readers, events: Events) {
    this.options = options;
    this.readers = readers;
    this.events = events;
    this.database = openDatabase(options);
    this.sources = new Sources(this.database);
    this.writer = new Writer(this.database, this.sources);
    const [traces] = this.database.prepare("SELECT count(*) AS traces, total(span_count) AS spans FROM traces").all([]);
    const [logs] = this.database.prepare("SELECT count(*) AS logs FROM logs").all([]);
    this.traceCount = Number(traces?.["traces"]);
    this.spanCount = Number(traces?.["spans"]);
    this.logCount = Number(logs?.["logs"]);
    this.retentionTimer = setInterval(() => this.startEviction(), RETENTION_INTERVAL_MILLIS);
    this.startEviction();
  }

  ingest(payload: Payload): Promise<IngestResult> {
    return new Promise((resolve, reject) => {
      this.queue.push({ payload, resolve, reject });
      this.scheduleFlush();
    });
  }

  listTraces(filter: TraceFilter, page: { limit: number; cursor?: string }): ReturnType<ThreadApi["listTraces"]> {
    return listTraces(this.database, this.sources, filter, page);
  }

  async getTraceJson(traceId: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const trace = getTrace(this.database, this.sources, traceId);
    return trace && asciiJson(trace);
  }

  async getSpan(traceId: string, spanId: string): Promise<StoredSpan | undefined> {
    return getSpan(this.database, this.sources, traceId, spanId);
  }

  getServiceMap(range: Pick<TraceFilter, "since" | "until">): Promise<ServiceMap> {
    return getServiceMap(this.database, range);
  }

  getFacets(filter: TraceFilter): Promise<Facets> {
    return getFacets(this.database, this.sources, filter);
  }

  async readTraces(selection: TraceFilter | { traceIds: readonly string[] }, next?: string): Promise<TracesPortion> {
    const traces: SpanRecord[][] = [];
    let spans = 0;
    const read = (row: { id: number; trace_id: string }): boolean => {
      const trace = readTrace(this.database, this.sources, row);
      if (trace.length > 0) traces.push(trace);
      spans += trace.length;
      return spans >= PORTION_SPANS;
    };
    if ("traceIds" in selection) {
      const { traceIds } = selection;
      for (let index = Number(next ?? 0); index < traceIds.length; index++) {
        const row = findTrace(this.database, traceIds[index]!);
        if (row !== undefined && read(row) && index + 1 < traceIds.length) return { traces, next: String(index + 1) };
      }
      return { traces };
    }
    const after = next === undefined ? undefined : (JSON.parse(next) as { startMicros: number; id: number });
    const options = { limit: Number.MAX_SAFE_INTEGER, ...(after && { after }) };
    for await (const rows of findTraces(this.database, this.sources, selection, options))
      for (const row of rows) if (read(row)) return { traces, next: JSON.stringify(positionOf(row)) };
    return { traces };
  }

  async importTraces(body: Uint8Array<ArrayBuffer>): Promise<ImportResult> {
    const { format, spans, rejected } = this.readImportBody(body);
    const traces = new Set(spans.map(({ traceId }) => traceId)).size;
    const result: ImportResult = { format, traces, spans: spans.length, rejectedSpans: rejected };
    const turns = new Turns();
    for (let from = 0; from < spans.length; from += PORTION_SPANS) {
      const refused = this.write([{ spans: spans.slice(from, from + PORTION_SPANS), logs: [] }])[0] ?? 0;
      result.spans -= refused;
      result.rejectedSpans += refused;
      await turns.next();
    }
    return result;
  }

  async getSavedFilters(): Promise<SavedFilter[]> {
    const rows = this.database.prepare("SELECT name, query FROM saved_filters ORDER BY name").all([]);
    return rows.map(({ name, query }) => ({ name: String(name), query: String(query) }));
  }

  async putSavedFilter({ name, query }: SavedFilter): Promise<SavedFilter[]> {
    const sql = "INSERT INTO saved_filters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET query = excluded.query";
    this.database.transaction(() => this.database.prepare(sql).run([name, query]));
    return this.getSavedFilters();
  }

  async deleteSavedFilter(name: string): Promise<SavedFilter[]> {
    this.database.transaction(() => this.database.prepare("DELETE FROM saved_filters WHERE name = ?").run([name]));
    return this.getSavedFilters();
  }

  async clear(): Promise<void> {
    this.database.transaction(() => {
      for (const table of ["traces", "chunks", "links", "logs", "resources", "scopes"])
        this.database.exec(`DELETE FROM ${table}`);
    });
    this.writer.forget();
    this.traceCount = this.spanCount = this.logCount = 0;
    this.changed.clear();
    this.recent = [];
    shrinkFile(this.database, 0);
    this.database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    this.events.cleared();
  }

  async getStatus(): Promise<StoreStatus> {
    const { path, maxBytes } = this.options;
    return {
      driver: this.database.name,
      ...(path === undefined ? {} : { storePath: path }),
      storeBytes: fileBytes(this.database),
      maxStoreBytes: maxBytes,
      traceCount: this.traceCount,
      spanCount: this.spanCount,
      logCount: this.logCount,
      evictedTraces: this.evictedTraces,
    };
  }

  async watch(watcher: number, filter: TraceFilter, recent: boolean): Promise<void> {
    this.watchers.set(watcher, filter);
    if (!recent) return;
    this.forgetOld();
    this.tell(watcher, filter, [...new Set(this.recent.flatMap(({ ids }) => ids))].slice(-MAX_CHANGED));
  }

  async unwatch(watcher: number): Promise<void> {
    this.watchers.delete(watcher);
  }

  async close(): Promise<void> {
    clearInterval(this.retentionTimer);
    clearTimeout(this.watchTimer);
    while (this.queue.length > 0) this.flush();
    this.database.close();
  }

  private scheduleFlush(): void {
    if (this.isFlushScheduled) return;
    this.isFlushScheduled = true;
    // Whatever else has arrived by then shares the transaction.
    setImmediate(() => {
      this.isFlushScheduled = false;
      this.flush();
      if (this.queue.length > 0) this.scheduleFlush();
    });
  }

  private flush(): void {
    const group: { waiting: Waiting; counts: Counts }[] = [];
    try {
      const rejected = this.write(this.takeGroup(group));
      group.forEach(({ waiting, counts }, index) => waiting.resolve(toResult(counts, rejected[index] ?? 0)));
    } catch (error) {
      const failure = describeFailure(error, this.options.path);
      for (const { waiting } of group) {
        if (failure instanceof StoreError && failure.code === "full")
          waiting.resolve({ outcome: "full", reason: failure.message });
        else waiting.reject(failure);
      }
    }
  }

  /** Reads what is waiting, one after the other, and notes in `group` what was taken. */
  private *takeGroup(group: { waiting: Waiting; counts: Counts }[]): Generator<Batch> {
    for (let bytes = 0; bytes < MAX_GROUP_BYTES && group.length < MAX_GROUP_PAYLOADS;) {
      const waiting = this.queue.shift();
      if (waiting === undefined) return;
      bytes += waiting.payload.body.byteLength;
      let batch;
      try {
        batch = this.readers.readPayload(waiting.payload, DESCRIBING);
      } catch (error) {
        waiting.resolve({ outcome: "malformed", reason: (error as Error).message });
        continue;
      }
      const { rejected, reason } = batch;
      group.push({ waiting, counts: { spans: batch.spans.length, logs: batch.logs.length, rejected, reason } });
      yield batch;
    }
  }

  /** Gives for each batch how many spans were refused. */
  private write(batches: Iterable<Batch>): number[] {
    const written = this.writer.write(batches, Date.now());
    this.traceCount += written.newTraces;
    this.spanCount += written.newSpans;
    this.logCount += written.newLogs;
    this.noteChanged(written.changed);
    this.startEviction();
    return written.rejected;
  }

  private readImportBody(body: Uint8Array<ArrayBuffer>): ReturnType<Readers["readImport"]> {
    try {
      return this.readers.readImport(body);
    } catch (error) {
      throw new StoreError("bad_import", (error as Error).message, { cause: error });
    }
  }

  private startEviction(): void {
    if (this.isEvicting || !this.mustEvict(this.options.maxBytes)) return;
    this.isEvicting = true;
    setImmediate(() => this.evictSlice());
  }

  private evictSlice(): void {
    this.isEvicting = false;
    try {
      const { retentionMillis } = this.options;
      const isOver = usedBytes(this.database) > this.options.maxBytes * AFTER_EVICTION;
      const arrivedBefore = isOver || retentionMillis === undefined ? undefined : Date.now() - retentionMillis;
      const evicted = evictOldest(this.database, this.traceCount, arrivedBefore);
      if (evicted !== undefined) this.noteEvicted(evicted);
      if (evicted !== undefined && this.mustEvict(this.options.maxBytes * AFTER_EVICTION)) {
        this.isEvicting = true;
        setImmediate(() => this.evictSlice());
        return;
      }
      this.database.transaction(() => this.sources.forgetUnused(evicted?.upTo ?? 0));
      if (fileBytes(this.database) > this.options.maxBytes) shrinkFile(this.database, 500);
    } catch {
      // The disk is full, for example. The next write tries again.
    }
  }

  private mustEvict(maxBytes: number): boolean {
    if (usedBytes(this.database) > maxBytes) return true;
    const { retentionMillis } = this.options;
    if (retentionMillis === undefined) return false;
    const [oldest] = this.database.prepare("SELECT arrived_at FROM traces ORDER BY id LIMIT 1").all([]);
    return oldest !== undefined && Number(oldest["arrived_at"]) < Date.now() - retentionMillis;
  }

  private noteEvicted({ traces, spans, logs }: Evicted): void {
    this.traceCount -= traces;
    this.spanCount -= spans;
    this.logCount -= logs;
    this.evictedTraces += traces;
    this.writer.forget();
  }

  private noteChanged(ids: readonly number[]): void {
    if (ids.length > 0) this.recent.push({ millis: Date.now(), ids });
    this.forgetOld();
    if (this.watchers.size === 0) return;
    // Set again, so that the latest are last: with too many, those that changed first are left out.
    for (const id of ids) {
      this.changed.delete(id);
      this.changed.add(id);
    }
    for (const id of this.changed) {
      if (this.changed.size <= MAX_CHANGED) break;
      this.changed.delete(id);
    }
    const wait = Math.max(0, this.lastWatchMillis + WATCH_INTERVAL_MILLIS - Date.now());
    this.watchTimer ??= setTimeout(() => this.tellWatchers(), wait);
  }

  private forgetOld(): void {
    const since = Date.now() - RECENT_MILLIS;
    const kept = this.recent.findIndex(({ millis }) => millis >= since);
    if (kept !== 0) this.recent.splice(0, kept === -1 ? this.recent.length : kept);
  }

  private tellWatchers(): void {
    this.watchTimer = undefined;
    this.lastWatchMillis = Date.now();
    const ids = [...this.changed];
    this.changed.clear();
    for (const [watcher, filter] of this.watchers) this.tell(watcher, filter, ids);
  }

  private tell(watcher: number, filter: TraceFilter, ids: readonly number[]): void {
    const rows = filterTraces(this.database, this.sources, filter, ids).slice(0, MAX_WATCHED);
    if (rows.length > 0) this.events.traces(watcher, rows.map(toSummary));
  }
}

function toResult({ spans, logs, rejected, reason }: Counts, refused: number): IngestResult {
  const reasons = [reason, refused > 0 ? "a trace has too many spans" : undefined].filter(Boolean);
  return {
    outcome: "kept",
    spans: spans - refused,
    logs,
    rejected: rejected + refused,
    ...(reasons.length > 0 && { reason: reasons.join("; ") }),
  };
}

function openDatabase({ path, driver }: ThreadOptions): Driver {
  let database: Driver | undefined;
  try {
    database = openDriver(path, driver);
    const version = readVersion(database, path);
    if (version === 0) createFile(database);
    database.exec("PRAGMA journal_mode = WAL");
    migrate(database, version);
    database.exec("PRAGMA synchronous = NORMAL");
    database.exec("PRAGMA journal_size_limit = 33554432");
    database.exec("PRAGMA cache_size = -32000");
    database.exec("PRAGMA temp_store = MEMORY");
    return database;
  } catch (error) {
    try {
      database?.close();
    } catch {
      // It is given up anyway.
    }
    throw describeFailure(error, path);
  }
}

/** What can only be said before anything is written. */
function createFile(database: Driver): void {
  // A row of `chunks` has several kilobytes: in pages of 4 it is cut up, each rest has a page of its own, and a page takes as long to
  // find, check and write as a large one. Adding spans takes a fifth less time so.
  database.exec("PRAGMA page_size = 16384");
  // Pages that evicted traces leave can be given back bit by bit.
  database.exec("PRAGMA auto_vacuum = INCREMENTAL");
}

/** A failure of SQLite in words that say what to do. Another error stays as it is. */
export function describeFailure(error: unknown, path: string | undefined): unknown {
  if (error instanceof StoreError) return error;
  const { message } = error as Error;
  const place = path ?? "the memory";
  switch (classifyFailure(error)) {
    case "full":
      return new StoreError(
        "full",
        `Cannot write to ${place}: ${message}. Make room on the disk, or start with --memory.`,
        {
          cause: error,
        },
      );
    case "locked":
      return new StoreError(
        "locked",
        `${place} is used by another process. Stop it, or start with another --store or with --memory.`,
        { cause: error },
      );
    case "unwritable":
      return new StoreError("unwritable", `Cannot open ${place}: ${message}. Choose another --store, or --memory.`, {
        cause: error,
      });
    case "corrupt":
      return new StoreError(
        "corrupt",
        `${place} is damaged (${message}). Move it aside (mv '${place}' '${place}.damaged') and start again, ` +
          "or start with another --store or with --memory.",
        { cause: error },
      );
    case "other":
      return error;
  }
}
