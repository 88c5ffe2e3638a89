import { plainValue, type Attributes } from "../model/attributes.ts";
import type { AttributeCondition, TraceFilter } from "../model/filter.ts";
import type { LogRecord } from "../model/span.ts";
import type { TraceSummary } from "../model/trace.ts";
import type { Driver, Row, SqlValue } from "./driver.ts";
import {
  contains,
  containsPattern,
  foldCase,
  fulfils,
  inJson,
  matchesRow,
  needsSpans,
  rowCondition,
  type Condition,
} from "./filter-sql.ts";
import { PARTS } from "./schema.ts";
import type { Sources } from "./sources.ts";
import { allIds, readData, type SpanData } from "./span-chunk.ts";
import { toSummary, type TraceRow } from "./trace-state.ts";
import { readTraceLogs } from "./traces.ts";
import { Turns } from "./turns.ts";

/** Traces looked at in one go where their spans have to be read: a few milliseconds. */
const SLICE = 128;

export interface Position {
  startMicros: number;
  id: number;
}

/** Traces that match, latest first, in portions. Between portions the thread does its other work, so what arrives meanwhile may
 *  or may not be among them. */
export async function* findTraces(
  database: Driver,
  sources: Sources,
  filter: TraceFilter,
  options: { limit: number; after?: Position; now?: number },
): AsyncGenerator<TraceRow[]> {
  const where = rowCondition(filter, options.now ?? Date.now());
  const searches = searchesOf(database, filter);
  const size = needsSpans(filter) ? SLICE : Math.min(Math.max(options.limit, 1), 1000);
  const turns = new Turns();
  let { after } = options;
  for (let wanted = options.limit; wanted > 0;) {
    const rows = readRows(database, where, after, size);
    const matching = matchingRows(database, sources, filter, searches, rows).slice(0, wanted);
    if (matching.length > 0) yield matching;
    wanted -= matching.length;
    const last = rows.at(-1);
    if (rows.length < size || last === undefined) return;
    after = positionOf(last);
    if (wanted > 0) await turns.next();
  }
}

/** Those of `ids` that match, latest first. */
export function filterTraces(
  database: Driver,
  sources: Sources,
  filter: TraceFilter,
  ids: readonly number[],
): TraceRow[] {
  const where = rowCondition(filter, Date.now());
  const among = "id IN (SELECT value FROM json_each(?))";
  const sql = `SELECT * FROM traces WHERE ${[among, where.sql].filter(Boolean).join(" AND ")} ORDER BY start_us DESC, id DESC`;
  const rows = database.prepare(sql).all([JSON.stringify(ids), ...where.values]) as unknown as TraceRow[];
  return matchingRows(database, sources, filter, searchesOf(database, filter), rows);
}

export async function listTraces(
  database: Driver,
  sources: Sources,
  filter: TraceFilter,
  page: { limit: number; cursor?: string },
): Promise<{ traces: TraceSummary[]; nextCursor?: string }> {
  const limit = Math.min(Math.max(Math.floor(page.limit) || 1, 1), 1000);
  const after = page.cursor === undefined ? undefined : parseCursor(page.cursor);
  const found: TraceRow[] = [];
  // One more than asked: whether there are others.
  const options = { limit: limit + 1, ...(after && { after }) };
  for await (const rows of findTraces(database, sources, filter, options)) found.push(...rows);
  const rows = found.slice(0, limit);
  const last = rows.at(-1);
  const traces = rows.map(toSummary);
  return found.length > limit && last !== undefined
    ? { traces, nextCursor: `${last.start_us}-${last.id}` }
    : { traces };
}

export function positionOf(row: TraceRow): Position {
  return { startMicros: row.start_us, id: row.id };
}

function parseCursor(cursor: string): Position | undefined {
  const match = /^(\d{1,16})-(\d{1,16})$/.exec(cursor);
  return match === null ? undefined : { startMicros: Number(match[1]), id: Number(match[2]) };
}

function readRows(database: Driver, where: Condition, after: Position | undefined, limit: number): TraceRow[] {
  const keyset = after === undefined ? "" : "(start_us, id) < (?, ?)";
  const conditions = [where.sql, keyset].filter(Boolean).join(" AND ");
  const sql = `SELECT * FROM traces ${conditions && `WHERE ${conditions}`} ORDER BY start_us DESC, id DESC LIMIT ?`;
  const position = after === undefined ? [] : [after.startMicros, after.id];
  return database.prepare(sql).all([...where.values, ...position, limit]) as unknown as TraceRow[];
}

interface Search {
  /** Of a row of `chunks`; may be too wide. */
  chunk: Condition;
  /** Of a row of `logs`, likewise; absent where only spans count. */
  log?: Condition;
  /** Resources and scopes, as in `chunks.refs`, any span of which matches. */
  refs: ReadonlySet<string>;
  isMatch(span: SpanData): boolean;
  isMatchingLog?(log: LogRecord): boolean;
  /** An id, or a part of one, of traces and spans. */
  id?: string;
}

function searchesOf(database: Driver, filter: TraceFilter): Search[] {
  const searches = (filter.attributes ?? []).map((condition) => attributeSearch(database, condition));
  return filter.text ? [...searches, textSearch(database, filter.text)] : searches;
}

function matchingRows(
  database: Driver,
  sources: Sources,
  filter: TraceFilter,
  searches: readonly Search[],
  rows: readonly TraceRow[],
): TraceRow[] {
  let left = rows.filter((row) => matchesRow(filter, row));
  for (const search of searches) left = applySearch(database, sources, search, left);
  return left;
}

/** SQLite rules out what it can without JSON being parsed, for all traces at once; the spans and logs of the rest decide. */
function applySearch(database: Driver, sources: Sources, search: Search, rows: readonly TraceRow[]): TraceRow[] {
  if (rows.length === 0) return [];
  const { chunk, log, isMatchingLog } = search;
  const bySource = tracesWithRefs(database, search.refs, rows);
  const bySpans = new Set(selectChunks(database, "DISTINCT trace.value AS id", rows, chunk).map(({ id }) => id));
  const byLogs = new Set<unknown>();
  if (log !== undefined) {
    const inLogs = database.prepare(
      `SELECT DISTINCT trace_id FROM logs WHERE trace_id != '' AND trace_id IN (SELECT value FROM json_each(?)) AND ${log.sql}`,
    );
    const traceIds = JSON.stringify(rows.map(({ trace_id }) => trace_id));
    for (const { trace_id } of inLogs.all([traceIds, ...log.values])) byLogs.add(trace_id);
  }
  return rows.filter((row) => {
    if (bySource.has(row.id) || (search.id !== undefined && row.trace_id.includes(search.id))) return true;
    if (bySpans.has(row.id) && someSpan(database, row, search)) return true;
    if (!byLogs.has(row.trace_id) || isMatchingLog === undefined) return false;
    return readTraceLogs(database, sources, row.trace_id, log).some(isMatchingLog);
  });
}

function tracesWithRefs(database: Driver, refs: ReadonlySet<string>, rows: readonly TraceRow[]): Set<number> {
  const found = new Set<number>();
  if (refs.size === 0) return found;
  const chunks = selectChunks(database, "trace.value AS id, refs", rows, { sql: "1", values: [] });
  for (const { id, refs: used } of chunks)
    if (!found.has(Number(id)) && (JSON.parse(String(used)) as string[]).some((ref) => refs.has(ref)))
      found.add(Number(id));
  return found;
}

function selectChunks(database: Driver, columns: string, rows: readonly TraceRow[], condition: Condition): Row[] {
  const sql = `SELECT ${columns} FROM json_each(?) AS trace CROSS JOIN chunks
    WHERE chunks.id >= trace.value * ${PARTS} AND chunks.id < (trace.value + 1) * ${PARTS} AND (${condition.sql})`;
  return database.prepare(sql).all([JSON.stringify(rows.map(({ id }) => id)), ...condition.values]);
}

function someSpan(database: Driver, row: TraceRow, { chunk, isMatch, id }: Search): boolean {
  const sql = `SELECT ids, data FROM chunks WHERE id >= ? AND id < ? AND (${chunk.sql})`;
  const chunks = database.prepare(sql).all([row.id * PARTS, (row.id + 1) * PARTS, ...chunk.values]);
  return chunks.some(({ ids, data }) => {
    if (readData(String(data)).some(isMatch)) return true;
    return id !== undefined && allIds(String(ids)).some((spanId) => spanId.includes(id));
  });
}

function attributeSearch(database: Driver, condition: AttributeCondition): Search {
  const { key, operator, value } = condition;
  const inData = ["instr(data, ?) > 0"];
  const values: SqlValue[] = [`${JSON.stringify(key)}:`];
  // Only a word stands in the JSON as it was typed; numbers have many ways to be written, lists and maps more.
  if ((operator === "=" || operator === "~") && /^[a-z][\w ./:@-]*$/i.test(value)) {
    inData.push("data LIKE ? ESCAPE '\\'");
    values.push(containsPattern(value));
  }
  const refs = new Set<string>();
  for (const [id, attributes] of readResources(database, "instr(content, ?) > 0", JSON.stringify(key)))
    if (hasAttribute(attributes, condition)) refs.add(`r${id}`);
  return {
    chunk: { sql: inData.join(" AND "), values },
    refs,
    isMatch: ([, , , attributes]) => hasAttribute(attributes, condition),
  };
}

function hasAttribute(attributes: Attributes, condition: AttributeCondition): boolean {
  return Object.hasOwn(attributes, condition.key) && fulfils(condition, attributes[condition.key]!);
}

/** Spans, resources, scopes and logs that have `text` in anything that was captured; and ids, where it could be one. */
function textSearch(database: Driver, text: string): Search {
  const folded = foldCase(text);
  const pattern = containsPattern(inJson(text));
  const refs = new Set<string>();
  for (const [id, attributes] of readResources(database, "content LIKE ? ESCAPE '\\'", pattern))
    if (attributesContain(attributes, folded)) refs.add(`r${id}`);
  for (const { id, content } of database.prepare("SELECT id, content FROM scopes").all([]))
    if (contains((JSON.parse(String(content)) as string[])[0]!, folded)) refs.add(`s${id}`);
  const like = ["data LIKE ? ESCAPE '\\'"];
  const values: SqlValue[] = [pattern];
  const isId = /^[\da-f]{8,32}$/.test(folded);
  if (isId) {
    like.push("instr(ids, ?) > 0");
    values.push(folded);
  }
  return {
    chunk: { sql: like.join(" OR "), values },
    log: { sql: "data LIKE ? ESCAPE '\\'", values: [pattern] },
    refs,
    isMatch: (span) => spanContains(span, folded),
    isMatchingLog: (log) => logContains(log, folded),
    ...(isId && { id: folded }),
  };
}

function readResources(database: Driver, sql: string, value: string): [id: number, attributes: Attributes][] {
  const rows = database.prepare(`SELECT id, content FROM resources WHERE ${sql}`).all([value]);
  return rows.map(({ id, content }) => [Number(id), (JSON.parse(String(content)) as [string, Attributes])[1]]);
}

function spanContains([, , name, attributes, events, links, message, traceState]: SpanData, folded: string): boolean {
  if (contains(name, folded) || attributesContain(attributes, folded)) return true;
  if (events === undefined) return false;
  return (
    contains(message ?? "", folded) ||
    contains(traceState ?? "", folded) ||
    events.some(([event, , , read]) => contains(event, folded) || attributesContain(read, folded)) ||
    (links ?? []).some(([, , read]) => attributesContain(read, folded))
  );
}

function logContains(log: LogRecord, folded: string): boolean {
  return contains(log.body, folded) || contains(log.severityText, folded) || attributesContain(log.attributes, folded);
}

function attributesContain(attributes: Attributes, folded: string): boolean {
  return Object.entries(attributes).some(
    ([key, value]) => contains(key, folded) || plainContains(plainValue(value), folded),
  );
}

function plainContains(value: unknown, folded: string): boolean {
  if (typeof value === "string") return contains(value, folded);
  if (value === null || typeof value !== "object") return contains(String(value), folded);
  return Object.entries(value).some(
    ([key, inner]) => (!Array.isArray(value) && contains(key, folded)) || plainContains(inner, folded),
  );
}
