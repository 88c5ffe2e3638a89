import type { RequestStats, ServiceEdge, ServiceMap, ServiceNode } from "../model/api.ts";
import type { TraceFilter } from "../model/filter.ts";
import type { Driver } from "./driver.ts";
import { absoluteMillis } from "./filter-sql.ts";
import { PARTS } from "./schema.ts";
import { FIELD, idAt, numberAt, parentAt, readColumns, spanCountOf, textAt, type ChunkColumns } from "./span-chunk.ts";
import { Turns } from "./turns.ts";

/** Traces read in one go: a few milliseconds. */
const SLICE = 100;

const SERVER = 2;
const CLIENT = 3;
const PRODUCER = 4;
const CONSUMER = 5;
const ERROR = 2;

interface MapSpan {
  parent: MapSpan | undefined;
  parentId: string;
  service: string;
  peer: string;
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
    for (const spans of readTraces(database, ids)) collected.add(spans);
    after = ids.at(-1) ?? latest;
  }
  return collected.toMap(Math.max(1, (Number(found?.["last"] ?? 0) - Number(found?.["first"] ?? 0)) / 1e6));
}

function readTraces(database: Driver, ids: readonly number[]): Iterable<MapSpan[]> {
  const sql = `SELECT trace.value AS trace, chunks.ids, chunks.columns FROM json_each(?) AS trace CROSS JOIN chunks
    WHERE chunks.id >= trace.value * ${PARTS} AND chunks.id < (trace.value + 1) * ${PARTS}`;
  const traces = new Map<number, Map<string, MapSpan>>();
  const rows = database.prepare(sql).all([JSON.stringify(ids)]) as { trace: number; ids: string; columns: string }[];
  for (const { trace, ids: spanIds, columns } of rows) {
    const spans = traces.get(trace) ?? new Map<string, MapSpan>();
    traces.set(trace, spans);
    addChunk(spans, spanIds, readColumns(columns));
  }
  return Array.from(traces.values(), (spans) => {
    for (const span of spans.values()) span.parent = spans.get(span.parentId);
    return [...spans.values()];
  });
}

function addChunk(spans: Map<string, MapSpan>, ids: string, columns: ChunkColumns): void {
  for (let index = 0; index < spanCountOf(columns); index++) {
    spans.set(idAt(ids, index), {
      parent: undefined,
      parentId: parentAt(columns.parents, index),
      service: textAt(columns, index, FIELD.service),
      peer: textAt(columns, index, FIELD.peer),
      kind: numberAt(columns, index, FIELD.kind),
      isError: numberAt(columns, index, FIELD.status) === ERROR,
      duration: numberAt(columns, index, FIELD.duration),
      isAnswered: false,
    });
  }
}

class Collector {
  private readonly nodes: Map<string, Durations> = new Map();
  private readonly edges: Map<string, { from: string; to: string; durations: Durations }> = new Map();

  add(spans: readonly MapSpan[]): void {
    for (const { parent, service, kind } of spans)
      if (parent !== undefined && parent.service !== service && kind !== CONSUMER) parent.isAnswered = true;
    for (const span of spans) this.addSpan(span);
  }

  private addSpan(span: MapSpan): void {
    const { parent, kind, peer } = span;
    const service = `service:${span.service}`;
    const node = this.node(service);
    // A framework's span inside of the HTTP server's is the same request.
    const isSameRequest = parent !== undefined && parent.kind === kind && parent.service === span.service;
    // Of a job or a script the root is what was asked for.
    const isJob = span.parentId === "" && kind !== CLIENT && kind !== PRODUCER;
    if ((kind === SERVER || kind === CONSUMER || isJob) && !isSameRequest) node.add(span);
    if (parent !== undefined && parent.service !== span.service && kind !== CONSUMER)
      this.edge(`service:${parent.service}`, service).add(span);
    if (peer === "") return;
    if (kind === CONSUMER) {
      this.node(peer);
      if (!isSameRequest) this.edge(peer, service).add(span);
    } else if (kind === PRODUCER) {
      this.node(peer).add(span);
      this.edge(service, peer).add(span);
    } else if (kind === CLIENT && !(span.isAnswered && peer.startsWith("host:"))) {
      this.node(peer).add(span);
      this.edge(service, peer).add(span);
    }
  }

  toMap(seconds: number): ServiceMap {
    const nodes = Array.from(this.nodes, ([id, durations]): ServiceNode => {
      const colon = id.indexOf(":");
      return {
        id,
        name: id.slice(colon + 1),
        type: id.slice(0, colon) as ServiceNode["type"],
        stats: durations.stats(seconds),
      };
    });
    const edges = Array.from(this.edges.values(), ({ from, to, durations }): ServiceEdge => ({
      from,
      to,
      stats: durations.stats(seconds),
    }));
    return {
      nodes: nodes.toSorted((a, b) => compare(a.id, b.id)),
      edges: edges.toSorted((a, b) => compare(a.from, b.from) || compare(a.to, b.to)),
    };
  }

  private node(id: string): Durations {
    const known = this.nodes.get(id) ?? new Durations();
    this.nodes.set(id, known);
    return known;
  }

  private edge(from: string, to: string): Durations {
    const id = JSON.stringify([from, to]);
    const known = this.edges.get(id) ?? { from, to, durations: new Durations() };
    this.edges.set(id, known);
    return known.durations;
  }
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
