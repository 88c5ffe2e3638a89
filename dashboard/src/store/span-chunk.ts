import type { Attributes } from "../model/attributes.ts";
import type { Resource, Scope, SpanEvent, SpanKind, SpanLink, SpanRecord, StatusCode } from "../model/span.ts";
import type { Category } from "../model/trace.ts";
import { JsonBytes } from "../receive/json-bytes.ts";
import type { SpanDescription } from "./describe-span.ts";

// Texts that are JSON arrays without names of ours: whatever is found in them was captured.

const NO_PARENT = "0000000000000000";
const MAX_SPANS = 512;
const MAX_BYTES = 1_000_000;
/** A transaction's usual size; what a larger one took is given back. */
const KEPT_BYTES = 16 * 1024 * 1024;
const MAX_NAMES = 1000;

const COMMA = 0x2c;
const OPEN = 0x5b;
const CLOSE = 0x5d;
/** What is between attributes and flags where there is nothing. */
const FLAGS_ONLY = viewOf(',[],[],"","",');

/** What a row of `chunks` is read as. */
export interface ChunkRow {
  base_us: number;
  /** Span ids, 16 digits each, without anything between them. */
  ids: string;
  /** JSON: `r1` for the resource 1, `s1` for the scope 1. */
  refs: string;
  columns: string;
  data: string;
}

/** What it is written as: the long texts in bytes. */
export type WrittenChunk = Omit<ChunkRow, "columns" | "data"> & { columns: Uint8Array; data: Uint8Array };

/** What the fields of a span are in `ChunkColumns.numbers`, in their order. */
export const FIELD = {
  /** Microseconds since the chunk's `base_us`, and nanoseconds beyond. */
  micros: 0,
  nanos: 1,
  duration: 2,
  kind: 3,
  status: 4,
  /** In `CATEGORIES`. */
  category: 5,
  /** These hold indexes into `ChunkColumns.strings`. */
  service: 6,
  name: 7,
  detail: 8,
  statement: 9,
  peer: 10,
} as const;

const WIDTH = 11;

const CATEGORIES: readonly Category[] = ["internal", "http", "database", "cache", "messaging", "rpc"];

/** The decoded `columns`. One list of numbers for all spans is read and written in half the time that a list for each field takes. */
export interface ChunkColumns {
  strings: string[];
  /** 16 digits each, as `ids`; zeros for none. */
  parents: string;
  numbers: number[];
}

/** A span in the decoded `data`: all that a search looks at. The name is there for that alone. */
export type SpanData = [
  resource: number,
  scope: number,
  name: string,
  attributes: Attributes,
  events?: EventData[],
  links?: LinkData[],
  statusMessage?: string,
  traceState?: string,
  flags?: number,
  droppedAttributes?: number,
  droppedEvents?: number,
  droppedLinks?: number,
];

type EventData = [name: string, unixMicros: number, nanos: number, attributes: Attributes, dropped?: number];
type LinkData = [traceId: string, spanId: string, attributes: Attributes, traceState: string, dropped?: number];

/** Where the spans of a transaction are written, those of all its traces one after the other. */
export class ChunkSpace {
  readonly json: JsonBytes = new JsonBytes(KEPT_BYTES / 4);
  /** Their numbers, in the same order. */
  readonly numbers: JsonBytes = new JsonBytes(KEPT_BYTES / 16);
  /** Whose spans the last ones are. */
  last: ChunkBuilder | undefined;
  private readonly names: Map<string, DataView> = new Map();

  clear(): void {
    this.json.clear(KEPT_BYTES);
    this.numbers.clear(KEPT_BYTES / 4);
    this.last = undefined;
  }

  /** A name as JSON. There are few, and each is written for every span that has it. */
  name(name: string): DataView {
    const known = this.names.get(name);
    if (known !== undefined) return known;
    if (this.names.size >= MAX_NAMES) this.names.clear();
    const bytes = viewOf(JSON.stringify(name));
    if (bytes.byteLength < 200) this.names.set(name, bytes);
    return bytes;
  }
}

/** Spans of a chunk that lie side by side in the space: `[`, each span and a comma, the last of which is to become `]`. Their numbers
 *  are followed by commas likewise. */
interface Run {
  start: number;
  end: number;
  numbersStart: number;
  numbersEnd: number;
}

interface UnfinishedRow {
  baseMicros: number;
  ids: string;
  parents: string;
  refs: Set<string>;
  /** Of the span before, which mostly has the same. */
  resource: number;
  scope: number;
  service: string | undefined;
  serviceIndex: number;
  strings: Map<string, number>;
  runs: Run[];
  bytes: number;
}

/** The attributes of a span where they are JSON already. */
export interface JsonSlice {
  bytes: DataView;
  start: number;
  end: number;
}

/** Collects spans of one trace into rows. */
export class ChunkBuilder {
  private readonly space: ChunkSpace;
  private readonly rows: UnfinishedRow[] = [];
  private row: UnfinishedRow | undefined;

  constructor(space: ChunkSpace) {
    this.space = space;
  }

  /** `attributes`: all of the span's, where it has only some of them itself. */
  add(span: SpanRecord, described: SpanDescription, resource: number, scope: number, attributes?: JsonSlice): void {
    const row = (this.row ??= this.begin(span));
    row.ids += span.spanId;
    row.parents += span.parentSpanId || NO_PARENT;
    if (resource !== row.resource) row.refs.add(`r${(row.resource = resource)}`);
    if (scope !== row.scope) row.refs.add(`s${(row.scope = scope)}`);
    const { serviceName } = span.resource;
    if (serviceName !== row.service) row.serviceIndex = stringIndex(row.strings, (row.service = serviceName));
    const run = this.lastRun(row);
    this.writeData(row, run, span, resource, scope, attributes);
    const { numbers } = this.space;
    // In the order of FIELD.
    writeNumber(numbers, span.start.unixMicros - row.baseMicros);
    writeNumber(numbers, span.start.nanos);
    writeNumber(numbers, span.durationNanos);
    writeNumber(numbers, span.kind);
    writeNumber(numbers, span.status.code);
    writeNumber(numbers, CATEGORIES.indexOf(described.category));
    writeNumber(numbers, row.serviceIndex);
    writeNumber(numbers, stringIndex(row.strings, span.name));
    writeNumber(numbers, stringIndex(row.strings, described.detail));
    writeNumber(numbers, stringIndex(row.strings, described.statement));
    writeNumber(numbers, stringIndex(row.strings, described.peer));
    run.numbersEnd = numbers.length;
    if (row.ids.length >= MAX_SPANS * 16 || row.bytes >= MAX_BYTES) this.row = undefined;
  }

  /** Calls with each row. It is good until the call returns. */
  finish(take: (row: WrittenChunk) => void): void {
    if (this.space.last === this) this.space.last = undefined;
    for (const row of this.rows) take(finishRow(row, this.space));
  }

  private begin(span: SpanRecord): UnfinishedRow {
    const row: UnfinishedRow = {
      baseMicros: span.start.unixMicros,
      ids: "",
      parents: "",
      refs: new Set(),
      resource: -1,
      scope: -1,
      service: undefined,
      serviceIndex: 0,
      strings: new Map(),
      runs: [],
      bytes: 0,
    };
    this.rows.push(row);
    this.space.last = undefined;
    return row;
  }

  /** The run that the next span is a part of. */
  private lastRun(row: UnfinishedRow): Run {
    const { json, numbers } = this.space;
    let run = row.runs.at(-1);
    if (run === undefined || this.space.last !== this) {
      run = { start: json.length, end: json.length, numbersStart: numbers.length, numbersEnd: numbers.length };
      row.runs.push(run);
      json.byte(OPEN);
      this.space.last = this;
    }
    return run;
  }

  private writeData(
    row: UnfinishedRow,
    run: Run,
    span: SpanRecord,
    resource: number,
    scope: number,
    attributes: JsonSlice | undefined,
  ): void {
    const { json } = this.space;
    const before = json.length;
    json.byte(OPEN);
    json.number(resource);
    json.byte(COMMA);
    json.number(scope);
    json.byte(COMMA);
    const name = this.space.name(span.name);
    json.copy(name, 0, name.byteLength);
    json.byte(COMMA);
    if (attributes === undefined) json.json(JSON.stringify(span.attributes));
    else json.copy(attributes.bytes, attributes.start, attributes.end);
    writeRest(json, span);
    json.byte(CLOSE);
    json.byte(COMMA);
    run.end = json.length;
    row.bytes += json.length - before;
  }
}

function viewOf(text: string): DataView {
  const { buffer, byteOffset, length } = Buffer.from(text);
  return new DataView(buffer, byteOffset, length);
}

function stringIndex(strings: Map<string, number>, text: string): number {
  const known = strings.get(text);
  if (known !== undefined) return known;
  const index = strings.size;
  strings.set(text, index);
  return index;
}

function writeNumber(json: JsonBytes, number: number): void {
  json.number(number);
  json.byte(COMMA);
}

function finishRow(
  { baseMicros, ids, parents, refs, strings, runs }: UnfinishedRow,
  { json, numbers }: ChunkSpace,
): WrittenChunk {
  const columnsStart = json.length;
  json.byte(OPEN);
  json.json(JSON.stringify([...strings.keys()]));
  json.json(`,"${parents}",[`);
  for (const run of runs) json.copy(numbers.view, run.numbersStart, run.numbersEnd);
  json.bytes[json.length - 1] = CLOSE;
  json.byte(CLOSE);
  const columnsEnd = json.length;
  const [first, ...others] = runs as [Run, ...Run[]];
  let { start, end } = first;
  if (others.length > 0) {
    start = json.length;
    json.copy(json.view, first.start, first.end);
    for (const run of others) json.copy(json.view, run.start + 1, run.end);
    end = json.length;
  }
  json.bytes[end - 1] = CLOSE;
  const columns = json.bytes.subarray(columnsStart, columnsEnd);
  const data = json.bytes.subarray(start, end);
  json.length = columnsStart;
  return { base_us: baseMicros, ids, refs: JSON.stringify([...refs]), columns, data };
}

/** Most spans have attributes and flags only: what is as usual at the end is not written. */
function writeRest(json: JsonBytes, span: SpanRecord): void {
  const { events, links, status, droppedAttributesCount, droppedEventsCount, droppedLinksCount } = span;
  if (
    events.length === 0 &&
    links.length === 0 &&
    status.message === "" &&
    span.traceState === "" &&
    droppedAttributesCount + droppedEventsCount + droppedLinksCount === 0
  ) {
    if (span.flags === 0) return;
    json.copy(FLAGS_ONLY, 0, FLAGS_ONLY.byteLength);
    json.number(span.flags);
    return;
  }
  const rest = [
    events.map(({ name, time, attributes, droppedAttributesCount: dropped }) => [
      name,
      time.unixMicros,
      time.nanos,
      attributes,
      ...(dropped ? [dropped] : []),
    ]),
    links.map((link) => [
      link.traceId,
      link.spanId,
      link.attributes,
      link.traceState ?? "",
      ...(link.droppedAttributesCount ? [link.droppedAttributesCount] : []),
    ]),
    status.message,
    span.traceState,
    span.flags,
    droppedAttributesCount,
    droppedEventsCount,
    droppedLinksCount,
  ];
  json.json(`,${JSON.stringify(rest).slice(1, -1)}`);
}

export function readColumns(text: string): ChunkColumns {
  const [strings, parents, numbers] = JSON.parse(text) as [string[], string, number[]];
  return { strings, parents, numbers };
}

export function spanCountOf({ numbers }: ChunkColumns): number {
  return numbers.length / WIDTH;
}

export function numberAt({ numbers }: ChunkColumns, index: number, field: number): number {
  return numbers[index * WIDTH + field]!;
}

export function textAt(columns: ChunkColumns, index: number, field: number): string {
  return columns.strings[numberAt(columns, index, field)]!;
}

export function categoryAt(columns: ChunkColumns, index: number): Category {
  return CATEGORIES[numberAt(columns, index, FIELD.category)] ?? "internal";
}

export function idAt(ids: string, index: number): string {
  return ids.slice(index * 16, index * 16 + 16);
}

export function allIds(ids: string): string[] {
  return Array.from({ length: ids.length / 16 }, (_, index) => idAt(ids, index));
}

/** `""` for none. */
export function parentAt(parents: string, index: number): string {
  const parent = idAt(parents, index);
  return parent === NO_PARENT ? "" : parent;
}

/** Where `spanId` is among `ids`; -1 when it is not. */
export function indexOfId(ids: string, spanId: string): number {
  if (spanId.length !== 16) return -1;
  for (let at = ids.indexOf(spanId); at !== -1; at = ids.indexOf(spanId, at + 1)) if (at % 16 === 0) return at / 16;
  return -1;
}

export function readData(text: string): SpanData[] {
  return JSON.parse(text) as SpanData[];
}

/** Whole spans, or only the one at `only`. */
export function readSpans(
  traceId: string,
  row: ChunkRow,
  sources: { resource(id: number): Resource; scope(id: number): Scope },
  only?: number,
): SpanRecord[] {
  const columns = readColumns(row.columns);
  const data = readData(row.data);
  const indexes = only === undefined ? data.keys() : [only];
  return Array.from(indexes, (index) => readSpan(traceId, row, columns, data[index]!, index, sources));
}

function readSpan(
  traceId: string,
  row: ChunkRow,
  columns: ChunkColumns,
  data: SpanData,
  index: number,
  sources: { resource(id: number): Resource; scope(id: number): Scope },
): SpanRecord {
  const [resource, scope, name, attributes, events = [], links = [], message = "", traceState = "", ...counts] = data;
  const [flags = 0, droppedAttributesCount = 0, droppedEventsCount = 0, droppedLinksCount = 0] = counts;
  return {
    traceId,
    spanId: idAt(row.ids, index),
    parentSpanId: parentAt(columns.parents, index),
    traceState,
    flags,
    name,
    kind: numberAt(columns, index, FIELD.kind) as SpanKind,
    start: {
      unixMicros: row.base_us + numberAt(columns, index, FIELD.micros),
      nanos: numberAt(columns, index, FIELD.nanos),
    },
    durationNanos: numberAt(columns, index, FIELD.duration),
    status: { code: numberAt(columns, index, FIELD.status) as StatusCode, message },
    attributes,
    events: events.map(readEvent),
    links: links.map(readLink),
    droppedAttributesCount,
    droppedEventsCount,
    droppedLinksCount,
    resource: sources.resource(resource),
    scope: sources.scope(scope),
  };
}

function readEvent([name, unixMicros, nanos, attributes, dropped]: EventData): SpanEvent {
  const event: SpanEvent = { name, time: { unixMicros, nanos }, attributes };
  if (dropped !== undefined) event.droppedAttributesCount = dropped;
  return event;
}

function readLink([traceId, spanId, attributes, traceState, dropped]: LinkData): SpanLink {
  const link: SpanLink = { traceId, spanId, attributes };
  if (traceState !== "") link.traceState = traceState;
  if (dropped !== undefined) link.droppedAttributesCount = dropped;
  return link;
}
