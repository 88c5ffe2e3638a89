import type { Instant, SpanKind, SpanRecord, StatusCode } from "../model/span.ts";
import type { TraceSummary } from "../model/trace.ts";
import { httpStatusOf, userOf, type SpanDescription } from "./describe-span.ts";
import type { SqlValue } from "./driver.ts";

/** A row of `traces`. */
export interface TraceRow {
  id: number;
  trace_id: string;
  start_us: number;
  start_ns: number;
  duration_ns: number;
  service: string;
  operation: string;
  kind: SpanKind;
  status_code: StatusCode;
  http_status: number | null;
  user_id: string | null;
  /** When the span that told the user started. */
  user_us: number;
  has_root: number;
  /** Of the span that `service`, `operation` and the like are taken from. */
  root_us: number;
  root_ns: number;
  root_span: string;
  services: string;
  span_count: number;
  error_count: number;
  query_count: number;
  cache_hits: number;
  cache_misses: number;
  chunk_count: number;
  arrived_at: number;
}

/** In the order of the values of `toRow`. */
export const TRACE_COLUMNS: readonly (keyof TraceRow)[] = [
  "id",
  "trace_id",
  "start_us",
  "start_ns",
  "duration_ns",
  "service",
  "operation",
  "kind",
  "status_code",
  "http_status",
  "user_id",
  "user_us",
  "has_root",
  "root_us",
  "root_ns",
  "root_span",
  "services",
  "span_count",
  "error_count",
  "query_count",
  "cache_hits",
  "cache_misses",
  "chunk_count",
  "arrived_at",
];

const ERROR = 2;

/** A row and the ids of the spans that are counted in it: what is needed to add more. */
export interface TraceState {
  row: TraceRow;
  /** As `ChunkRow.ids`. Most traces come once: a set of each would be most of what the garbage collector has to keep. */
  ids: string[];
  /** Instead of `ids`, from the time when more came. */
  spanIds: Set<string> | undefined;
}

/** A trace of which nothing has arrived. */
export function newTrace(id: number, traceId: string): TraceState {
  const row: TraceRow = {
    id,
    trace_id: traceId,
    start_us: 0,
    start_ns: 0,
    duration_ns: 0,
    service: "",
    operation: "",
    kind: 0,
    status_code: 0,
    http_status: null,
    user_id: null,
    user_us: 0,
    has_root: 0,
    root_us: 0,
    root_ns: 0,
    root_span: "",
    services: "[]",
    span_count: 0,
    error_count: 0,
    query_count: 0,
    cache_hits: 0,
    cache_misses: 0,
    chunk_count: 0,
    arrived_at: 0,
  };
  return { row, ids: [], spanIds: undefined };
}

/** Counts a span in. The result is the same in whatever order spans arrive. */
export function addSpan(row: TraceRow, span: SpanRecord, described: SpanDescription): void {
  const { start } = span;
  const end = bounded(span.durationNanos);
  if (row.span_count === 0) {
    row.start_us = start.unixMicros;
    row.start_ns = start.nanos;
    row.duration_ns = end;
  } else {
    const later = nanosBetween(row.start_us, row.start_ns, start);
    if (later < 0) {
      row.start_us = start.unixMicros;
      row.start_ns = start.nanos;
      row.duration_ns = bounded(Math.max(row.duration_ns - later, end));
    } else row.duration_ns = bounded(Math.max(row.duration_ns, later + end));
  }
  if (row.span_count === 0 || isBetterRoot(row, span)) takeRoot(row, span);
  const user = userOf(span.attributes);
  if (user !== null && isBetterUser(row, user, start.unixMicros)) {
    row.user_id = storable(user);
    row.user_us = start.unixMicros;
  }
  row.span_count += 1;
  if (span.status.code === ERROR) row.error_count += 1;
  if (described.category === "database") row.query_count += 1;
  row.cache_hits += described.cacheHits;
  row.cache_misses += described.cacheMisses;
}

/** The services of a trace as they are kept: the root's first. */
export function withServices(row: TraceRow, more: ReadonlySet<string>): void {
  const known = JSON.parse(row.services) as string[];
  const others = new Set([...known, ...more]);
  others.delete(row.service);
  row.services = JSON.stringify([row.service, ...[...others].toSorted()]);
}

export function toSummary(row: TraceRow): TraceSummary {
  return {
    traceId: row.trace_id,
    service: row.service,
    operation: row.operation,
    kind: row.kind,
    start: { unixMicros: row.start_us, nanos: row.start_ns },
    durationNanos: row.duration_ns,
    hasRoot: row.has_root === 1,
    hasError: row.error_count > 0,
    statusCode: row.status_code,
    ...(row.http_status === null ? {} : { httpStatusCode: row.http_status }),
    ...(row.user_id === null ? {} : { userId: row.user_id }),
    services: JSON.parse(row.services) as string[],
    spanCount: row.span_count,
    errorCount: row.error_count,
    queryCount: row.query_count,
    cacheHits: row.cache_hits,
    cacheMisses: row.cache_misses,
    arrivedAt: row.arrived_at,
  };
}

export function rowValues(row: TraceRow): SqlValue[] {
  return TRACE_COLUMNS.map((column) => row[column]);
}

/** Exact below 104 days; beyond that nobody looks at nanoseconds. */
export function nanosBetween(unixMicros: number, nanos: number, later: Instant): number {
  return (later.unixMicros - unixMicros) * 1000 + (later.nanos - nanos);
}

/** SQLite's text ends at a NUL. */
export function storable(text: string): string {
  return text.includes("\0") ? text.replaceAll("\0", "\u{fffd}") : text;
}

// A span of two clocks far apart: past this the number would not be read back.
function bounded(value: number): number {
  return Math.min(value, Number.MAX_SAFE_INTEGER);
}

function isBetterRoot(row: TraceRow, span: SpanRecord): boolean {
  const isRoot = span.parentSpanId === "" ? 1 : 0;
  if (isRoot !== row.has_root) return isRoot > row.has_root;
  const later = nanosBetween(row.root_us, row.root_ns, span.start);
  return later < 0 || (later === 0 && span.spanId < row.root_span);
}

function isBetterUser(row: TraceRow, user: string, unixMicros: number): boolean {
  if (row.user_id === null || unixMicros !== row.user_us) return row.user_id === null || unixMicros < row.user_us;
  return user < row.user_id;
}

function takeRoot(row: TraceRow, span: SpanRecord): void {
  row.has_root = span.parentSpanId === "" ? 1 : 0;
  row.root_us = span.start.unixMicros;
  row.root_ns = span.start.nanos;
  row.root_span = span.spanId;
  row.service = storable(span.resource.serviceName);
  row.operation = storable(span.name);
  row.kind = span.kind;
  row.status_code = span.status.code;
  row.http_status = httpStatusOf(span.attributes);
}
