import type { Attributes } from "../model/attributes.ts";
import type { LogRecord, SpanKind, SpanRecord, StatusCode } from "../model/span.ts";
import type { SpanColumns, TraceDetail, TraceLink } from "../model/trace.ts";
import type { Driver } from "./driver.ts";
import type { Condition } from "./filter-sql.ts";
import { PARTS } from "./schema.ts";
import type { Sources } from "./sources.ts";
import {
  categoryAt,
  FIELD,
  idAt,
  indexOfId,
  numberAt,
  parentAt,
  readColumns,
  readSpans,
  spanCountOf,
  textAt,
  type ChunkColumns,
  type ChunkRow,
} from "./span-chunk.ts";
import type { StoredSpan } from "./store.ts";
import { nanosBetween, toSummary, type TraceRow } from "./trace-state.ts";

const MAX_LOGS = 1000;
const MAX_LINKS = 1000;

/** The row of the trace with that id, or with an id that begins with it. */
export function findTrace(database: Driver, traceId: string): TraceRow | undefined {
  const id = traceId.toLowerCase();
  if (!/^[\da-f]{8,32}$/.test(id)) return undefined;
  const sql =
    id.length === 32
      ? "SELECT * FROM traces WHERE trace_id = ?1"
      : "SELECT * FROM traces WHERE trace_id >= ?1 AND trace_id < ?1 || 'g' ORDER BY start_us DESC LIMIT 1";
  return database.prepare(sql).all([id])[0] as unknown as TraceRow | undefined;
}

/** The rows of a trace's spans, in order of arrival. */
export function readChunks(database: Driver, trace: number): ChunkRow[] {
  const sql = "SELECT base_us, ids, refs, columns, data FROM chunks WHERE id >= ? AND id < ? ORDER BY id";
  return database.prepare(sql).all([trace * PARTS, (trace + 1) * PARTS]) as unknown as ChunkRow[];
}

export function getTrace(database: Driver, sources: Sources, traceId: string): TraceDetail | undefined {
  const row = findTrace(database, traceId);
  if (row === undefined) return undefined;
  const { strings, spans } = readSpanColumns(database, row);
  return {
    summary: toSummary(row),
    start: { unixMicros: row.start_us, nanos: row.start_ns },
    strings,
    spans,
    links: readTraceLinks(database, row, spans),
    ...readFirstLogs(database, sources, row.trace_id),
  };
}

export function getSpan(database: Driver, sources: Sources, traceId: string, spanId: string): StoredSpan | undefined {
  const row = findTrace(database, traceId);
  if (row === undefined) return undefined;
  const sql = "SELECT * FROM chunks WHERE id >= ? AND id < ? AND instr(ids, ?) > 0";
  const chunks = database.prepare(sql).all([row.id * PARTS, (row.id + 1) * PARTS, spanId.toLowerCase()]);
  for (const chunk of chunks as unknown as ChunkRow[]) {
    const index = indexOfId(chunk.ids, spanId.toLowerCase());
    const [span] = index === -1 ? [] : readSpans(row.trace_id, chunk, sources, index);
    if (span === undefined) continue;
    return {
      span,
      category: categoryAt(readColumns(chunk.columns), index),
      logs: readTraceLogs(database, sources, row.trace_id, { sql: "span_id = ?", values: [span.spanId] }),
      linkedFrom: readLinkedFrom(database, row.trace_id, span.spanId),
      linksTo: span.links.map((link) => {
        const target = findTrace(database, link.traceId);
        return target === undefined ? link : { ...link, operation: target.operation, service: target.service };
      }),
    };
  }
  return undefined;
}

/** Every span of the trace, in order of arrival. */
export function readTrace(database: Driver, sources: Sources, row: Pick<TraceRow, "id" | "trace_id">): SpanRecord[] {
  return readChunks(database, row.id).flatMap((chunk) => readSpans(row.trace_id, chunk, sources));
}

/** The columns before the ids are numbered. */
type Arrays = {
  -readonly [Name in Exclude<keyof SpanColumns, "ids" | "spanId" | "parentSpanId">]: SpanColumns[Name][number][];
} & {
  spanId: string[];
  parentSpanId: string[];
};

function readSpanColumns(database: Driver, row: TraceRow): { strings: string[]; spans: SpanColumns } {
  const texts = new Map<string, number>();
  const textIndex = (text: string): number => {
    const known = texts.get(text);
    if (known !== undefined) return known;
    texts.set(text, texts.size);
    return texts.size - 1;
  };
  const found = columnArrays();
  const sql = "SELECT base_us, ids, columns FROM chunks WHERE id >= ? AND id < ? ORDER BY id";
  const chunks = database.prepare(sql).all([row.id * PARTS, (row.id + 1) * PARTS]) as unknown as ChunkRow[];
  for (const { base_us, ids, columns } of chunks) {
    const chunk = readColumns(columns);
    const indexes = chunk.strings.map(textIndex);
    for (let index = 0; index < spanCountOf(chunk); index++) {
      const spanId = idAt(ids, index);
      const start = {
        unixMicros: base_us + numberAt(chunk, index, FIELD.micros),
        nanos: numberAt(chunk, index, FIELD.nanos),
      };
      found.spanId.push(spanId);
      found.parentSpanId.push(parentAt(chunk.parents, index));
      found.service.push(indexes[numberAt(chunk, index, FIELD.service)]!);
      found.name.push(indexes[numberAt(chunk, index, FIELD.name)]!);
      found.kind.push(numberAt(chunk, index, FIELD.kind) as SpanKind);
      found.statusCode.push(numberAt(chunk, index, FIELD.status) as StatusCode);
      found.startNanos.push(nanosBetween(row.start_us, row.start_ns, start));
      found.durationNanos.push(numberAt(chunk, index, FIELD.duration));
      found.category.push(textIndex(categoryAt(chunk, index)));
      found.detail.push(indexes[numberAt(chunk, index, FIELD.detail)]!);
      found.group.push(textIndex(groupAt(chunk, index)));
    }
  }
  return { strings: [...texts.keys()], spans: inOrder(found) };
}

/** What makes siblings identical: the service and the statement without its values; or kind, name and whom it calls. */
function groupAt(chunk: ChunkColumns, index: number): string {
  const service = textAt(chunk, index, FIELD.service);
  const statement = textAt(chunk, index, FIELD.statement);
  if (statement !== "") return `${service} ${statement}`;
  const kind = numberAt(chunk, index, FIELD.kind);
  return `${service} ${kind} ${textAt(chunk, index, FIELD.name)} ${textAt(chunk, index, FIELD.peer)}`;
}

function columnArrays(): Arrays {
  return {
    spanId: [],
    parentSpanId: [],
    service: [],
    name: [],
    kind: [],
    statusCode: [],
    startNanos: [],
    durationNanos: [],
    category: [],
    detail: [],
    group: [],
  };
}

/** By start; of those that start together the longest first, which is most likely the parent. */
function inOrder(columns: Arrays): SpanColumns {
  const { startNanos, durationNanos } = columns;
  const order = Array.from(startNanos.keys()).toSorted(
    (a, b) => startNanos[a]! - startNanos[b]! || durationNanos[b]! - durationNanos[a]!,
  );
  const sorted = Object.fromEntries(
    Object.entries(columns).map(([name, values]) => [name, order.map((index) => values[index])]),
  ) as Arrays;
  return { ...sorted, ...numberIds(sorted) };
}

/** Ids are numbered in order of the spans, their parents' after them. */
function numberIds({ spanId, parentSpanId }: Arrays): Pick<SpanColumns, "ids" | "spanId" | "parentSpanId"> {
  const numbers = new Map<string, number>();
  const numberOf = (id: string): number => {
    const known = numbers.get(id);
    if (known !== undefined) return known;
    numbers.set(id, numbers.size);
    return numbers.size - 1;
  };
  const spanNumbers = spanId.map(numberOf);
  const parentNumbers = parentSpanId.map((id) => (id === "" ? -1 : numberOf(id)));
  return { ids: [...numbers.keys()], spanId: spanNumbers, parentSpanId: parentNumbers };
}

function readTraceLinks(database: Driver, row: TraceRow, { ids, spanId }: SpanColumns): TraceLink[] {
  const outSql = `SELECT l.span_id AS own, l.to_trace_id AS trace_id, l.to_span_id AS span_id, t.operation, t.service
    FROM links l LEFT JOIN traces t ON t.trace_id = l.to_trace_id WHERE l.trace = ? LIMIT ${MAX_LINKS}`;
  const inSql = `SELECT l.to_span_id AS own, t.trace_id, l.span_id, t.operation, t.service
    FROM links l JOIN traces t ON t.id = l.trace WHERE l.to_trace_id = ? LIMIT ${MAX_LINKS}`;
  type LinkRow = { own: string; trace_id: string; span_id: string; operation: string | null; service: string | null };
  const out = database.prepare(outSql).all([row.id]) as unknown as LinkRow[];
  const into = database.prepare(inSql).all([row.trace_id]) as unknown as LinkRow[];
  if (out.length + into.length === 0) return [];
  const indexes = new Map(spanId.map((id, index) => [ids[id], index]));
  const toLink = (direction: "out" | "in") => (link: LinkRow) => {
    const span = indexes.get(link.own);
    if (span === undefined) return [];
    const known = link.operation === null ? {} : { operation: link.operation, service: link.service ?? "" };
    return [{ span, direction, traceId: link.trace_id, spanId: link.span_id, ...known }];
  };
  return [...out.flatMap(toLink("out")), ...into.flatMap(toLink("in"))].toSorted((a, b) => a.span - b.span);
}

function readLinkedFrom(database: Driver, traceId: string, spanId: string): StoredSpan["linkedFrom"] {
  const sql = `SELECT t.trace_id AS traceId, l.span_id AS spanId, t.operation, t.service FROM links l
    JOIN traces t ON t.id = l.trace WHERE l.to_trace_id = ? AND l.to_span_id = ? LIMIT ${MAX_LINKS}`;
  const rows = database.prepare(sql).all([traceId, spanId]) as unknown as StoredSpan["linkedFrom"];
  return rows.map((row) => ({ ...row }));
}

function readFirstLogs(database: Driver, sources: Sources, traceId: string): Pick<TraceDetail, "logs" | "omittedLogs"> {
  const [row] = database
    .prepare("SELECT count(*) AS count FROM logs WHERE trace_id = ? AND trace_id != ''")
    .all([traceId]);
  const logs = readTraceLogs(database, sources, traceId);
  return { logs, omittedLogs: Number(row?.["count"] ?? 0) - logs.length };
}

/** The first `MAX_LOGS` of a trace that fulfil the condition. */
export function readTraceLogs(database: Driver, sources: Sources, traceId: string, condition?: Condition): LogRecord[] {
  const where = ["trace_id != ''", "trace_id = ?", ...(condition === undefined ? [] : [condition.sql])].join(" AND ");
  const sql = `SELECT * FROM logs WHERE ${where} ORDER BY time_us, id LIMIT ${MAX_LOGS}`;
  const values = [traceId, ...(condition?.values ?? [])];
  const rows = database.prepare(sql).all(values) as {
    trace_id: string;
    span_id: string;
    time_us: number;
    data: string;
  }[];
  return rows.map(({ trace_id, span_id, time_us, data }) => {
    const [nanos, severityNumber, severityText, body, attributes, resource, scope] = JSON.parse(data) as LogData;
    return {
      traceId: trace_id,
      spanId: span_id,
      time: { unixMicros: time_us, nanos },
      severityNumber,
      severityText,
      body,
      attributes,
      resource: sources.resource(resource),
      scope: sources.scope(scope),
    };
  });
}

type LogData = [
  nanos: number,
  severityNumber: number,
  severityText: string,
  body: string,
  attributes: Attributes,
  resource: number,
  scope: number,
];
