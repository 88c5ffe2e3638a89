import type { LogRecord, SpanRecord } from "../model/span.ts";
import type { AttributesJson } from "../receive/reading.ts";
import { describeSpan } from "./describe-span.ts";
import { LONG_TEXT, type Bindable, type Driver } from "./driver.ts";
import { PARTS } from "./schema.ts";
import type { Sources } from "./sources.ts";
import { allIds, ChunkBuilder, ChunkSpace, type JsonSlice, type WrittenChunk } from "./span-chunk.ts";
import {
  addSpan,
  newTrace,
  rowValues,
  TRACE_COLUMNS,
  withServices,
  type TraceRow,
  type TraceState,
} from "./trace-state.ts";

/** A trace that has more is not a request but a sender's mistake: one trace for all it does. */
export const MAX_TRACE_SPANS = 250_000;
/** Span ids of recent traces kept in memory, about 50 bytes each. Those of others are read again when more of them arrives. */
const MAX_OPEN_SPANS = 200_000;
const MAX_OPEN_TRACES = 20_000;

const COLUMNS = TRACE_COLUMNS.join(", ");
const INSERT_TRACE = `INSERT INTO traces (${COLUMNS}) VALUES (${TRACE_COLUMNS.map(() => "?").join(", ")})`;
const UPDATE_TRACE = `UPDATE traces SET ${TRACE_COLUMNS.map((column) => `${column} = ?`).join(", ")} WHERE id = ?`;
const INSERT_CHUNK = `INSERT INTO chunks (id, base_us, ids, refs, columns, data)
  VALUES (?, ?, ${LONG_TEXT}, ${LONG_TEXT}, ${LONG_TEXT}, ${LONG_TEXT})`;
const INSERT_LINK = "INSERT OR IGNORE INTO links VALUES (?, ?, ?, ?)";
const INSERT_LOG = `INSERT INTO logs (id, trace_id, span_id, time_us, data)
  VALUES (?, ${LONG_TEXT}, ${LONG_TEXT}, ?, ${LONG_TEXT})`;

const NO_BYTES = new DataView(new ArrayBuffer(0));

/** What one request brought. */
export interface Batch {
  spans: readonly SpanRecord[];
  logs: readonly LogRecord[];
  /** Where spans have some of their attributes only: all of them, see `Reading.attributesJson`. */
  attributesJson?: AttributesJson;
}

export interface Written {
  /** For each batch, in their order: spans of traces that are full. */
  rejected: number[];
  newTraces: number;
  newSpans: number;
  newLogs: number;
  /** Ids of traces that are new or changed. */
  changed: number[];
}

interface Pending {
  state: TraceState;
  row: TraceRow;
  spanIds: Set<string>;
  isNew: boolean;
  chunks: ChunkBuilder | undefined;
  services: Set<string>;
}

/** Writes what arrives. Traces that grow are held in memory, so that their rows are not read back for every batch. */
export class Writer {
  private readonly database: Driver;
  private readonly sources: Sources;
  private readonly open: Map<string, TraceState> = new Map();
  private readonly space: ChunkSpace = new ChunkSpace();
  private openSpans = 0;
  private nextId: number;

  constructor(database: Driver, sources: Sources) {
    this.database = database;
    this.sources = sources;
    this.nextId = readNextId(database);
  }

  /** The id that the next trace gets: all there are are lower. */
  get horizon(): number {
    return this.nextId;
  }

  /** All batches in one transaction: kept together when it returns, and none of them when it throws. Each is asked for when the one
   *  before has become text: records of many requests at a time would outlive the garbage collector's first generation. */
  write(batches: Iterable<Batch>, now: number): Written {
    const before = this.nextId;
    try {
      return this.database.transaction(() => this.writeAll(batches, now));
    } catch (error) {
      this.nextId = before;
      this.forget();
      throw error;
    }
  }

  /** Traces were deleted, or a transaction was rolled back: what is in memory is not to be trusted. */
  forget(): void {
    this.open.clear();
    this.openSpans = 0;
    this.sources.reset();
  }

  private writeAll(batches: Iterable<Batch>, now: number): Written {
    const written: Written = { rejected: [], newTraces: 0, newSpans: 0, newLogs: 0, changed: [] };
    const pending = new Map<string, Pending>();
    this.space.clear();
    for (const batch of batches) {
      const { spans, logs } = batch;
      const era = this.nextId + spans.length + logs.length;
      written.rejected.push(this.collect(batch, pending, era, written));
      if (logs.length > 0) written.newLogs += this.writeLogs(logs, era);
    }
    for (const trace of pending.values()) if (trace.chunks !== undefined) this.writeTrace(trace, now, written);
    this.shrink();
    return written;
  }

  private collect(batch: Batch, pending: Map<string, Pending>, era: number, written: Written): number {
    const { spans, attributesJson } = batch;
    const slice: JsonSlice = { bytes: NO_BYTES, start: 0, end: 0 };
    let rejected = 0;
    let trace: Pending | undefined;
    for (let index = 0; index < spans.length; index++) {
      const span = spans[index]!;
      if (attributesJson !== undefined) {
        slice.bytes = attributesJson.json.view;
        slice.start = slice.end;
        slice.end = attributesJson.ends[index]!;
      }
      if (trace === undefined || trace.row.trace_id !== span.traceId) {
        trace = pending.get(span.traceId) ?? this.take(span.traceId);
        pending.set(span.traceId, trace);
      }
      if (trace.spanIds.has(span.spanId)) continue;
      if (trace.spanIds.size >= MAX_TRACE_SPANS) {
        rejected += 1;
        continue;
      }
      trace.spanIds.add(span.spanId);
      this.openSpans += 1;
      written.newSpans += 1;
      const described = describeSpan(span);
      addSpan(trace.row, span, described);
      trace.services.add(span.resource.serviceName);
      trace.chunks ??= new ChunkBuilder(this.space);
      const resource = this.sources.resourceId(span.resource, era);
      const scope = this.sources.scopeId(span.scope);
      trace.chunks.add(span, described, resource, scope, attributesJson && slice);
      for (const link of span.links)
        this.database.prepare(INSERT_LINK).run([trace.row.id, span.spanId, link.traceId, link.spanId]);
    }
    return rejected;
  }

  private take(traceId: string): Pending {
    const known = this.open.get(traceId) ?? this.read(traceId);
    // Deleted and set again: a Map keeps the order in which that was done, so the least used are the first.
    this.open.delete(traceId);
    const state = known ?? newTrace(this.nextId++, traceId);
    this.open.set(traceId, state);
    const spanIds = state.spanIds ?? new Set(state.ids.flatMap(allIds));
    if (known !== undefined) state.spanIds = spanIds;
    return { state, row: state.row, spanIds, isNew: known === undefined, chunks: undefined, services: new Set() };
  }

  private read(traceId: string): TraceState | undefined {
    // Most are not there. The WebAssembly driver asks for the name of every column first, row or not: 20 µs for all of them.
    const [known] = this.database.prepare("SELECT id FROM traces WHERE trace_id = ?").all([traceId]);
    if (known === undefined) return undefined;
    const rows = this.database.prepare(`SELECT ${COLUMNS} FROM traces WHERE id = ?`).all([Number(known["id"])]);
    const row = rows[0] as unknown as TraceRow;
    const chunks = this.database.prepare("SELECT ids FROM chunks WHERE id >= ? AND id < ?");
    const ids = chunks.all([row.id * PARTS, (row.id + 1) * PARTS]).map((chunk) => String(chunk["ids"]));
    this.openSpans += row.span_count;
    return { row: { ...row }, ids, spanIds: undefined };
  }

  private writeTrace({ state, row, isNew, chunks, services }: Pending, now: number, written: Written): void {
    withServices(row, services);
    row.arrived_at = now;
    chunks!.finish((chunk) => {
      this.database.prepare(INSERT_CHUNK).run(chunkValues(row.id * PARTS + row.chunk_count, chunk));
      row.chunk_count += 1;
      if (state.spanIds === undefined) state.ids.push(chunk.ids);
    });
    if (state.spanIds !== undefined) state.ids = [];
    if (isNew) {
      written.newTraces += 1;
      this.database.prepare(INSERT_TRACE).run(rowValues(row));
    } else this.database.prepare(UPDATE_TRACE).run([...rowValues(row), row.id]);
    written.changed.push(row.id);
  }

  private writeLogs(logs: readonly LogRecord[], era: number): number {
    const first = this.nextId++ * PARTS;
    logs.forEach((log, index) => {
      const data = JSON.stringify([
        log.time.nanos,
        log.severityNumber,
        log.severityText,
        log.body,
        log.attributes,
        this.sources.resourceId(log.resource, era),
        this.sources.scopeId(log.scope),
      ]);
      this.database.prepare(INSERT_LOG).run([first + index, log.traceId, log.spanId, log.time.unixMicros, data]);
    });
    return logs.length;
  }

  private shrink(): void {
    if (this.openSpans <= MAX_OPEN_SPANS && this.open.size <= MAX_OPEN_TRACES) return;
    for (const [traceId, { row }] of this.open) {
      if (this.openSpans <= MAX_OPEN_SPANS / 2 && this.open.size <= MAX_OPEN_TRACES / 2) return;
      // The one that is growing would be read again with the next batch.
      if (this.open.size === 1) return;
      this.open.delete(traceId);
      this.openSpans -= row.span_count;
    }
  }
}

function chunkValues(id: number, { base_us, ids, refs, columns, data }: WrittenChunk): Bindable[] {
  return [id, base_us, ids, refs, columns, data];
}

function readNextId(database: Driver): number {
  const [traces] = database.prepare("SELECT max(id) AS id FROM traces").all([]);
  const [logs] = database.prepare("SELECT max(id) AS id FROM logs").all([]);
  return Math.max(Number(traces?.["id"] ?? 0), Math.floor(Number(logs?.["id"] ?? 0) / PARTS)) + 1;
}
