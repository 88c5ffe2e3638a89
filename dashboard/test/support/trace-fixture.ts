import type { Category, TraceDetail, TraceLink } from "../../src/model/trace.ts";
import type { LogRecord, SpanKind, StatusCode } from "../../src/model/span.ts";

/** A span of a made-up trace. Times are in milliseconds, for reading. */
export interface MadeSpan {
  id: string;
  /** Default: a root. */
  parent?: string;
  /** Default: `app`. */
  service?: string;
  /** Default: the id. */
  name?: string;
  /** Default: internal. */
  kind?: SpanKind;
  status?: StatusCode;
  from: number;
  to: number;
  category?: Category;
  detail?: string;
  /** Default: kind and name. */
  group?: string;
}

export const KIND = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 } as const;

export const MILLI = 1e6;

/** The trace the store would give for these spans. */
export function makeTrace(
  made: readonly MadeSpan[],
  more: { traceId?: string; links?: readonly TraceLink[]; logs?: readonly LogRecord[]; unixMicros?: number } = {},
): TraceDetail {
  const spans = made.toSorted((a, b) => a.from - b.from);
  const strings: string[] = [];
  const places = new Map<string, number>();
  const text = (value: string): number => {
    const place = places.get(value) ?? strings.length;
    if (place === strings.length) strings.push(value);
    places.set(value, place);
    return place;
  };
  const ids = [...new Set([...spans.map(({ id }) => id), ...spans.flatMap(({ parent }) => parent ?? [])])];
  const numbers = new Map(ids.map((id, number) => [id, number]));
  const root = spans.find(({ parent }) => parent === undefined) ?? spans[0];
  const earliest = spans[0]?.from ?? 0;
  const latest = spans.reduce((most, { to }) => Math.max(most, to), -Infinity);
  const services = new Set(spans.map(({ service = "app" }) => service));
  const errorCount = spans.filter(({ status }) => status === 2).length;
  const start = { unixMicros: (more.unixMicros ?? 1_790_000_000_000_000) + Math.round(earliest * 1000), nanos: 0 };
  return {
    summary: {
      traceId: more.traceId ?? "0af7651916cd43dd8448eb211c80319c",
      service: root?.service ?? "app",
      operation: root?.name ?? root?.id ?? "",
      kind: root?.kind ?? 1,
      start,
      durationNanos: spans.length === 0 ? 0 : (latest - earliest) * MILLI,
      hasRoot: root !== undefined && root.parent === undefined,
      hasError: errorCount > 0,
      statusCode: root?.status ?? 0,
      services: [...services],
      spanCount: spans.length,
      errorCount,
      queryCount: spans.filter(({ category }) => category === "database").length,
      cacheHits: 0,
      cacheMisses: 0,
      arrivedAt: start.unixMicros / 1000,
    },
    start,
    strings,
    spans: {
      ids,
      spanId: spans.map(({ id }) => numbers.get(id)!),
      parentSpanId: spans.map(({ parent }) => (parent === undefined ? -1 : numbers.get(parent)!)),
      service: spans.map(({ service }) => text(service ?? "app")),
      name: spans.map(({ id, name }) => text(name ?? id)),
      kind: spans.map(({ kind }) => kind ?? 1),
      statusCode: spans.map(({ status }) => status ?? 0),
      startNanos: spans.map(({ from }) => Math.round((from - earliest) * MILLI)),
      durationNanos: spans.map(({ from, to }) => Math.round(Math.max(0, to - from) * MILLI)),
      category: spans.map(({ category }) => text(category ?? "internal")),
      detail: spans.map(({ detail }) => text(detail ?? "")),
      group: spans.map(({ id, name, kind, group }) => text(group ?? `${kind ?? 1} ${name ?? id}`)),
    },
    links: more.links ?? [],
    logs: more.logs ?? [],
    omittedLogs: 0,
  };
}

/** The request of the demo: three services, one message handled later. */
export function shortenTrace(): TraceDetail {
  const database = { kind: KIND.client, category: "database", service: "url" } as const;
  return makeTrace([
    { id: "a1", name: "POST /shorten", service: "url", kind: KIND.server, category: "http", from: 0, to: 187 },
    { id: "a2", parent: "a1", name: "auth.verify", service: "url", from: 2, to: 19 },
    {
      ...database,
      id: "a3",
      parent: "a1",
      name: "SELECT urls",
      detail: "SELECT url FROM urls WHERE id = $1",
      from: 24,
      to: 31,
    },
    {
      ...database,
      id: "a4",
      parent: "a1",
      name: "INSERT urls",
      detail: "INSERT INTO urls (id, url) VALUES ($1, $2)",
      from: 33,
      to: 47,
    },
    {
      id: "a5",
      parent: "a1",
      name: "SET",
      detail: "url:x7k9m2",
      service: "url",
      kind: KIND.client,
      category: "cache",
      from: 48,
      to: 51,
    },
    {
      id: "a6",
      parent: "a1",
      name: "POST",
      detail: "http://analytics/track",
      service: "url",
      kind: KIND.client,
      category: "http",
      from: 54,
      to: 140,
    },
    {
      id: "a7",
      parent: "a6",
      name: "POST /track",
      service: "analytics",
      kind: KIND.server,
      category: "http",
      from: 57,
      to: 139,
    },
    {
      id: "a8",
      parent: "a7",
      name: "INSERT events",
      detail: "INSERT INTO events (type) VALUES ($1)",
      service: "analytics",
      kind: KIND.client,
      category: "database",
      from: 59,
      to: 72,
    },
    {
      id: "a9",
      parent: "a7",
      name: "POST",
      detail: "https://api.mixpanel.example/track",
      service: "analytics",
      kind: KIND.client,
      category: "http",
      from: 73,
      to: 137,
    },
    {
      id: "b1",
      parent: "a1",
      name: "publish url-events",
      service: "url",
      kind: KIND.producer,
      category: "messaging",
      from: 142,
      to: 149,
    },
    {
      id: "b2",
      parent: "b1",
      name: "process url-events",
      service: "notifier",
      kind: KIND.consumer,
      category: "messaging",
      from: 1_390,
      to: 1_402,
    },
  ]);
}

/** A request that reads one row at a time. */
export function repetitiveTrace(times = 47): TraceDetail {
  const queries = Array.from({ length: times }, (_, index): MadeSpan => {
    const from = 12 + index * 4;
    return {
      id: `q${index}`,
      parent: "r",
      name: "SELECT users",
      detail: "SELECT * FROM users WHERE id = $1",
      kind: KIND.client,
      category: "database",
      from,
      to: from + 2 + (index % 5) / 4,
    };
  });
  return makeTrace([
    { id: "r", name: "GET /teams/:id", kind: KIND.server, category: "http", from: 0, to: 20 + times * 4 },
    {
      id: "t",
      parent: "r",
      name: "SELECT teams",
      detail: "SELECT * FROM teams WHERE id = $1",
      kind: KIND.client,
      category: "database",
      from: 2,
      to: 8,
    },
    ...queries,
  ]);
}

export interface LargeOptions {
  spans: number;
  /** Default 1. */
  seed?: number;
  /** Milliseconds the clock of every second service is ahead; default 0. */
  skewMillis?: number;
  /** Of 1000 spans so many belong to a cycle, have a parent that is missing, or the id of another; default 0. */
  brokenPerThousand?: number;
}

/** A request with so many spans, some 12 levels deep, in 6 services: calls, queries in loops, caches, failures and messages
 *  handled seconds later. The same options give the same trace. */
export function largeTrace({ spans, seed = 1, skewMillis = 0, brokenPerThousand = 0 }: LargeOptions): TraceDetail {
  const random = randomFrom(seed);
  const services = ["gateway", "orders", "billing", "inventory", "search", "notifier"];
  const made: MadeSpan[] = [
    {
      id: "0",
      name: "POST /checkout",
      service: "gateway",
      kind: KIND.server,
      category: "http",
      from: 0,
      to: spans / 2 + 100,
    },
  ];
  const open: { index: number; depth: number; cursor: number }[] = [{ index: 0, depth: 0, cursor: 1 }];
  const add = (span: Omit<MadeSpan, "id">): number => made.push({ ...span, id: made.length.toString(16) }) - 1;
  while (made.length < spans) {
    const at = Math.floor(random() * open.length);
    const above = open[at]!;
    const parent = made[above.index]!;
    const room = parent.to - above.cursor;
    if (room < 0.2 || (above.depth > 12 && open.length > 1)) {
      if (open.length > 1) open.splice(at, 1);
      else open.push({ index: 0, depth: 0, cursor: random() * parent.to * 0.8 });
      continue;
    }
    const from = above.cursor + random() * Math.min(room * 0.1, 3);
    const to = from + Math.max(0.05, Math.min(room * 0.8, (parent.to - parent.from) * (0.02 + random() * 0.3)));
    const base = { parent: parent.id, service: parent.service!, from, to };
    const dice = random();
    if (dice < 0.35) {
      const table = ["users", "orders", "items", "prices"][Math.floor(random() * 4)]!;
      const times = random() < 0.15 ? 5 + Math.floor(random() * 40) : 1;
      const each = (to - from) / times;
      for (let nth = 0; nth < times && made.length < spans; nth++)
        add({
          ...base,
          name: `SELECT ${table}`,
          detail: `SELECT * FROM ${table} WHERE id = $1`,
          kind: KIND.client,
          category: "database",
          from: from + nth * each,
          to: from + (nth + 0.9) * each,
        });
    } else if (dice < 0.5) {
      add({
        ...base,
        name: "GET",
        detail: `user:${Math.floor(random() * 1000)} ${random() < 0.8 ? "hit" : "miss"}`,
        kind: KIND.client,
        category: "cache",
        to: Math.min(to, from + 1),
      });
    } else if (dice < 0.7) {
      const target = Math.floor(random() * 5);
      const client = add({
        ...base,
        name: "POST",
        detail: `http://${services[target]}/v1/call`,
        kind: KIND.client,
        category: "http",
      });
      if (made.length >= spans) break;
      const late = target % 2 === 1 ? skewMillis : 0;
      const inside = (to - from) * 0.05;
      const server = add({
        parent: made[client]!.id,
        service: services[target]!,
        name: "POST /v1/call",
        kind: KIND.server,
        category: "http",
        status: random() < 0.02 ? 2 : 0,
        from: from + inside + late,
        to: to - inside + late,
      });
      open.push({ index: server, depth: above.depth + 2, cursor: from + inside + late });
    } else if (dice < 0.73) {
      const sent = add({
        ...base,
        name: "publish order-events",
        kind: KIND.producer,
        category: "messaging",
        to: Math.min(to, from + 2),
      });
      if (made.length >= spans) break;
      const later = made[0]!.to + 2_000 + random() * 500;
      const handled = add({
        parent: made[sent]!.id,
        service: "notifier",
        name: "process order-events",
        kind: KIND.consumer,
        category: "messaging",
        from: later,
        to: later + 20,
      });
      open.push({ index: handled, depth: above.depth + 2, cursor: later });
    } else {
      const call = add({
        ...base,
        name: ["validate", "price", "render", "authorise"][Math.floor(random() * 4)]!,
        status: random() < 0.01 ? 2 : 0,
      });
      open.push({ index: call, depth: above.depth + 1, cursor: from });
    }
    above.cursor = to;
  }
  breakSome(made, brokenPerThousand, random);
  return makeTrace(made);
}

function breakSome(made: MadeSpan[], perThousand: number, random: () => number): void {
  for (let index = 1; index < made.length; index++) {
    if (random() * 1000 >= perThousand) continue;
    const span = made[index]!;
    const dice = random();
    if (dice < 0.3) span.parent = made[Math.floor(random() * made.length)]!.id;
    else if (dice < 0.6) span.parent = `missing${Math.floor(random() * 3)}`;
    else if (dice < 0.8) span.id = made[Math.floor(random() * made.length)]!.id;
    else span.parent = span.id;
  }
}

/** Numbers from 0 up to 1. Source: mulberry32. */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
