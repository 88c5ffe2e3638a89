import type { Attributes } from "../model/attributes.ts";
import type { Resource, Scope, SpanEvent, SpanKind, SpanLink, SpanRecord, StatusCode } from "../model/span.ts";
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

/** The decoded `columns`: an entry per span; the last six hold indexes into `strings`. */
export interface ChunkColumns {
  strings: string[];
  /** 16 digits each, as `ids`; zeros for none. */
  parents: string;
  /** Microseconds since the chunk's `base_us`, and nanoseconds beyond. */
  micros: number[];
  nanos: number[];
  durations: number[];
  kinds: SpanKind[];
  statuses: StatusCode[];
  service: number[];
  name: number[];
  category: number[];
  detail: number[];
  group: number[];
  peer: number[];
}

type SpanData = [
  resource: number,
  scope: number,
  attributes: Attributes,
  events?: unknown[][],
  links?: unknown[][],
  statusMessage?: string,
  traceState?: string,
  flags?: number,
  droppedAttributes?: number,
  droppedEvents?: number,
  droppedLinks?: number,
];

/** Collects spans of one trace into rows. */
export class ChunkBuilder {
  private readonly rows: ChunkRow[] = [];
  private baseMicros = 0;
  private ids = "";
  private parents = "";
  private data = "";
  private readonly refs: Set<string> = new Set();
  private readonly strings: Map<string, number> = new Map();
  private numbers: number[][] = [];

  add(span: SpanRecord, described: SpanDescription, resource: number, scope: number): void {
    if (this.ids.length === 0) this.begin(span);
    this.ids += span.spanId;
    this.parents += span.parentSpanId || NO_PARENT;
    this.refs.add(`r${resource}`);
    this.refs.add(`s${scope}`);
    const [micros, nanos, durations, kinds, statuses, service, name, category, detail, group, peer] = this.numbers as [
      number[],
      number[],
      number[],
      number[],
      number[],
      number[],
      number[],
      number[],
      number[],
      number[],
      number[],
    ];
    micros.push(span.start.unixMicros - this.baseMicros);
    nanos.push(span.start.nanos);
    durations.push(span.durationNanos);
    kinds.push(span.kind);
    statuses.push(span.status.code);
    service.push(this.string(span.resource.serviceName));
    name.push(this.string(span.name));
    category.push(this.string(described.category));
    detail.push(this.string(described.detail));
    group.push(this.string(described.group));
    peer.push(this.string(described.peer));
    const separator = this.data === "" ? "" : ",";
    this.data += `${separator}[${resource},${scope},${JSON.stringify(span.attributes)}${restOf(span)}]`;
    if (micros.length >= MAX_SPANS || this.data.length >= MAX_CHARS) this.end();
  }

  finish(): ChunkRow[] {
    if (this.ids.length > 0) this.end();
    return this.rows;
  }

  private begin(span: SpanRecord): void {
    this.baseMicros = span.start.unixMicros;
    this.numbers = Array.from({ length: 11 }, () => []);
  }

  private end(): void {
    this.rows.push({
      base_us: this.baseMicros,
      ids: this.ids,
      refs: JSON.stringify([...this.refs]),
      columns: JSON.stringify([[...this.strings.keys()], this.parents, ...this.numbers]),
      data: `[${this.data}]`,
    });
    this.ids = "";
    this.parents = "";
    this.data = "";
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
  const [strings, parents, micros, nanos, durations, kinds, statuses, service, name, category, detail, group, peer] =
    JSON.parse(text) as [string[], string, ...number[][]] as [string[], string, ...any[]]; // what `end` wrote
  return { strings, parents, micros, nanos, durations, kinds, statuses, service, name, category, detail, group, peer };
}

export function idAt(ids: string, index: number): string {
  return ids.slice(index * 16, index * 16 + 16);
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

/** Whole spans, or only the one at `only`. */
export function readSpans(
  traceId: string,
  row: ChunkRow,
  sources: { resource(id: number): Resource; scope(id: number): Scope },
  only?: number,
): SpanRecord[] {
  const columns = readColumns(row.columns);
  const data = JSON.parse(row.data) as SpanData[];
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
  const [resource, scope, attributes, events = [], links = [], message = "", traceState = "", ...counts] = data;
  const [flags = 0, droppedAttributesCount = 0, droppedEventsCount = 0, droppedLinksCount = 0] = counts;
  return {
    traceId,
    spanId: idAt(row.ids, index),
    parentSpanId: parentAt(columns.parents, index),
    traceState,
    flags,
    name: columns.strings[columns.name[index]!]!,
    kind: columns.kinds[index]!,
    start: { unixMicros: row.base_us + columns.micros[index]!, nanos: columns.nanos[index]! },
    durationNanos: columns.durations[index]!,
    status: { code: columns.statuses[index]!, message },
    attributes,
    events: (events as [string, number, number, Attributes, number?][]).map(readEvent),
    links: (links as [string, string, Attributes, string, number?][]).map(readLink),
    droppedAttributesCount,
    droppedEventsCount,
    droppedLinksCount,
    resource: sources.resource(resource),
    scope: sources.scope(scope),
  };
}

function readEvent([name, unixMicros, nanos, attributes, dropped]: [
  string,
  number,
  number,
  Attributes,
  number?,
]): SpanEvent {
  const event: SpanEvent = { name, time: { unixMicros, nanos }, attributes };
  if (dropped !== undefined) event.droppedAttributesCount = dropped;
  return event;
}

function readLink([traceId, spanId, attributes, traceState, dropped]: [
  string,
  string,
  Attributes,
  string,
  number?,
]): SpanLink {
  const link: SpanLink = { traceId, spanId, attributes };
  if (traceState !== "") link.traceState = traceState;
  if (dropped !== undefined) link.droppedAttributesCount = dropped;
  return link;
}
