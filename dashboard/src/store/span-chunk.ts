import type { Attributes } from "../model/attributes.ts";
import type { Resource, Scope, SpanEvent, SpanKind, SpanLink, SpanRecord, StatusCode } from "../model/span.ts";
import type { Category } from "../model/trace.ts";
import type { SpanDescription } from "./describe-span.ts";

// Texts that are JSON arrays without names of ours: whatever is found in them was captured.

const NO_PARENT = "0000000000000000";
const MAX_SPANS = 512;
const MAX_CHARS = 1_000_000;

/** What a row of `chunks` is read and written as. */
export interface ChunkRow {
  base_us: number;
  /** Span ids, 16 digits each, without anything between them. */
  ids: string;
  /** JSON: `r1` for the resource 1, `s1` for the scope 1. */
  refs: string;
  columns: string;
  data: string;
}

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

/** Collects spans of one trace into rows. */
export class ChunkBuilder {
  private readonly rows: ChunkRow[] = [];
  private baseMicros = 0;
  private ids = "";
  private parents = "";
  private data = "";
  private numbers: number[] = [];
  private readonly refs: Set<string> = new Set();
  private readonly strings: Map<string, number> = new Map();

  add(span: SpanRecord, described: SpanDescription, resource: number, scope: number): void {
    if (this.ids === "") this.baseMicros = span.start.unixMicros;
    this.ids += span.spanId;
    this.parents += span.parentSpanId || NO_PARENT;
    this.refs.add(`r${resource}`);
    this.refs.add(`s${scope}`);
    // In the order of FIELD.
    this.numbers.push(
      span.start.unixMicros - this.baseMicros,
      span.start.nanos,
      span.durationNanos,
      span.kind,
      span.status.code,
      CATEGORIES.indexOf(described.category),
      this.string(span.resource.serviceName),
      this.string(span.name),
      this.string(described.detail),
      this.string(described.statement),
      this.string(described.peer),
    );
    const separator = this.data === "" ? "" : ",";
    this.data += `${separator}[${resource},${scope},${JSON.stringify(span.name)},${JSON.stringify(span.attributes)}${restOf(span)}]`;
    if (this.numbers.length >= MAX_SPANS * WIDTH || this.data.length >= MAX_CHARS) this.end();
  }

  finish(): ChunkRow[] {
    if (this.ids !== "") this.end();
    return this.rows;
  }

  private end(): void {
    this.rows.push({
      base_us: this.baseMicros,
      ids: this.ids,
      refs: JSON.stringify([...this.refs]),
      columns: JSON.stringify([[...this.strings.keys()], this.parents, this.numbers]),
      data: `[${this.data}]`,
    });
    this.ids = "";
    this.parents = "";
    this.data = "";
    this.numbers = [];
    this.refs.clear();
    this.strings.clear();
  }

  private string(text: string): number {
    const known = this.strings.get(text);
    if (known !== undefined) return known;
    const index = this.strings.size;
    this.strings.set(text, index);
    return index;
  }
}

/** Most spans have attributes only: what is as usual at the end is not written. */
function restOf(span: SpanRecord): string {
  const { events, links, status, droppedAttributesCount, droppedEventsCount, droppedLinksCount } = span;
  if (
    events.length === 0 &&
    links.length === 0 &&
    status.message === "" &&
    span.traceState === "" &&
    droppedAttributesCount + droppedEventsCount + droppedLinksCount === 0
  )
    return span.flags === 0 ? "" : `,[],[],"","",${span.flags}`;
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
  return `,${JSON.stringify(rest).slice(1, -1)}`;
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
