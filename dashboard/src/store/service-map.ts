import type { RequestStats, ServiceEdge, ServiceMap, ServiceNode } from "../model/api.ts";
import type { TraceFilter } from "../model/filter.ts";
import type { Driver } from "./driver.ts";
import { absoluteMillis } from "./filter-sql.ts";
import { PARTS } from "./schema.ts";
import { FIELD, idAt, numberAt, parentAt, readColumns, spanCountOf, type ChunkColumns } from "./span-chunk.ts";
import { Turns } from "./turns.ts";

/** Traces read in one go: a few milliseconds. */
const SLICE = 100;

const SERVER = 2;
const CLIENT = 3;
const PRODUCER = 4;
const CONSUMER = 5;
const ERROR = 2;

/** A node of the map while it is drawn. */
interface Place {
  id: string;
  durations: Durations;
  edges: Map<Place, Durations>;
}

interface MapSpan {
  parent: MapSpan | undefined;
  parentId: string;
  service: Place;
  /** Where it calls, sends to or receives from. */
  peer: Place | undefined;
  kind: number;
  isError: boolean;
  duration: number;
  /** Another service has answered it. */
  isAnswered: boolean;
}

/** Who talks to whom, of the traces that started in the range. Rates are over the time from the first of them to the last, and over
 *  a second at least. */
export async function getServiceMap(
  database: Driver,
  range: Pick<TraceFilter, "since" | "until">,
): Promise<ServiceMap> {
  const now = Date.now();
  const since = range.since === undefined ? 0 : Math.floor(absoluteMillis(range.since, now) * 1000);
  const until =
    range.until === undefined ? Number.MAX_SAFE_INTEGER : Math.floor(absoluteMillis(range.until, now) * 1000);
  const collected = new Collector();
  const turns = new Turns();
  const bounds = "SELECT min(start_us) AS first, max(start_us) AS last, max(id) AS latest FROM traces";
  const inRange = database.prepare(`${bounds} WHERE start_us >= ? AND start_us < ?`);
  const [found] = inRange.all([since, until]);
  // What arrives meanwhile is left for the next time: there may be no end to it.
  const latest = Number(found?.["latest"] ?? 0);
  for (let after = 0; after < latest; await turns.next()) {
    const sql = `SELECT id FROM traces WHERE id > ? AND id <= ? AND start_us >= ? AND start_us < ? ORDER BY id LIMIT ${SLICE}`;
    const rows = database.prepare(sql).all([after, latest, since, until]);
    const ids = rows.map(({ id }) => Number(id));
    for (const spans of readTraces(database, ids, collected)) collected.add(spans);
    after = ids.at(-1) ?? latest;
  }
  return collected.toMap(Math.max(1, (Number(found?.["last"] ?? 0) - Number(found?.["first"] ?? 0)) / 1e6));
}

function readTraces(database: Driver, ids: readonly number[], collected: Collector): MapSpan[][] {
  const sql = `SELECT trace.value AS trace, chunks.ids, chunks.columns FROM json_each(?) AS trace CROSS JOIN chunks
    WHERE chunks.id >= trace.value * ${PARTS} AND chunks.id < (trace.value + 1) * ${PARTS}`;
  const traces = new Map<number, Map<string, MapSpan>>();
  const rows = database.prepare(sql).all([JSON.stringify(ids)]) as { trace: number; ids: string; columns: string }[];
  for (const { trace, ids: spanIds, columns } of rows) {
    const spans = traces.get(trace) ?? new Map<string, MapSpan>();
    traces.set(trace, spans);
    addChunk(spans, spanIds, readColumns(columns), collected);
  }
  return Array.from(traces.values(), (spans) => {
    const all = [...spans.values()];
    for (const span of all) span.parent = span.parentId === "" ? undefined : spans.get(span.parentId);
    return all;
  });
}

function addChunk(spans: Map<string, MapSpan>, ids: string, columns: ChunkColumns, collected: Collector): void {
  const services: Place[] = [];
  const peers: Place[] = [];
  for (let index = 0; index < spanCountOf(columns); index++) {
    const service = numberAt(columns, index, FIELD.service);
    const peer = numberAt(columns, index, FIELD.peer);
    const isPeer = columns.strings[peer] !== "";
    spans.set(idAt(ids, index), {
      parent: undefined,
      parentId: parentAt(columns.parents, index),
      service: (services[service] ??= collected.place(`service:${columns.strings[service]}`)),
      peer: isPeer ? (peers[peer] ??= collected.place(columns.strings[peer]!)) : undefined,
      kind: numberAt(columns, index, FIELD.kind),
      isError: numberAt(columns, index, FIELD.status) === ERROR,
      duration: numberAt(columns, index, FIELD.duration),
      isAnswered: false,
    });
  }
}

class Collector {
  private readonly places: Map<string, Place> = new Map();

  place(id: string): Place {
    const known = this.places.get(id) ?? { id, durations: new Durations(), edges: new Map<Place, Durations>() };
    this.places.set(id, known);
    return known;
  }

  /** All spans of a trace. */
  add(spans: readonly MapSpan[]): void {
    for (const { parent, service, kind } of spans)
      if (parent !== undefined && parent.service !== service && kind !== CONSUMER) parent.isAnswered = true;
    for (const span of spans) this.addSpan(span);
  }

  private addSpan(span: MapSpan): void {
    const { parent, kind, service, peer } = span;
    // A framework's span inside of the HTTP server's is the same request.
    const isSameRequest = parent !== undefined && parent.kind === kind && parent.service === service;
    // Of a job or a script the root is what was asked for.
    const isJob = span.parentId === "" && kind !== CLIENT && kind !== PRODUCER;
    if ((kind === SERVER || kind === CONSUMER || isJob) && !isSameRequest) service.durations.add(span);
    if (parent !== undefined && parent.service !== service && kind !== CONSUMER) addEdge(parent.service, service, span);
    if (peer === undefined) return;
    if (kind === CONSUMER) {
      if (!isSameRequest) addEdge(peer, service, span);
    } else if (kind === PRODUCER || (kind === CLIENT && !(span.isAnswered && peer.id.startsWith("host:")))) {
      peer.durations.add(span);
      addEdge(service, peer, span);
    }
  }

  toMap(seconds: number): ServiceMap {
    const places = [...this.places.values()].toSorted((a, b) => compare(a.id, b.id));
    // A host that has always answered for itself is nowhere else on the map.
    const linked = new Set(places.flatMap(({ edges }) => [...edges.keys()]));
    const shown = places.filter(
      (place) => place.id.startsWith("service:") || place.edges.size > 0 || linked.has(place),
    );
    const nodes = shown.map(({ id, durations }): ServiceNode => {
      const colon = id.indexOf(":");
      const type = id.slice(0, colon) as ServiceNode["type"];
      return { id, name: id.slice(colon + 1), type, stats: durations.stats(seconds) };
    });
    const edges = shown.flatMap(({ id, edges: outgoing }) =>
      Array.from(outgoing, ([to, durations]): ServiceEdge => ({
        from: id,
        to: to.id,
        stats: durations.stats(seconds),
      })),
    );
    return { nodes, edges: edges.toSorted((a, b) => compare(a.from, b.from) || compare(a.to, b.to)) };
  }
}

function addEdge(from: Place, to: Place, span: MapSpan): void {
  const known = from.edges.get(to) ?? new Durations();
  from.edges.set(to, known);
  known.add(span);
}

class Durations {
  private readonly nanos: number[] = [];
  private errorCount = 0;

  add({ duration, isError }: MapSpan): void {
    this.nanos.push(duration);
    if (isError) this.errorCount += 1;
  }

  stats(seconds: number): RequestStats {
    const sorted = Float64Array.from(this.nanos).toSorted();
    const rank = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
    return {
      count: sorted.length,
      errorCount: this.errorCount,
      perSecond: sorted.length / seconds,
      p50Nanos: rank(0.5),
      p95Nanos: rank(0.95),
    };
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
