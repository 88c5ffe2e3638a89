import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base";

/** Spans of a request, and where in its bytes the ids of its traces stand. */
export interface SpanRequest {
  readonly body: Buffer;
  readonly spans: number;
  readonly traces: number;
  readonly idOffsets: readonly number[];
}

const SPANS_PER_REQUEST = 2000;
const ENDPOINTS = ["POST /shorten", "GET /:id", "GET /users/:id", "POST /orders", "GET /search", "GET /health"];
/** One object each: a request says it once for all spans that have it, as an SDK or a collector does. */
const RESOURCES = ["url", "analytics", "notifier", "shop", "billing", "search"].map((service) => ({
  attributes: { "service.name": service, "service.version": "1.0.0" },
  asyncAttributesPending: false,
}));
const SCOPE = { name: "@tracekit/auto/pg", version: "0.1.0" };

/** A day's traffic in small: `count` requests of OTLP protobuf with 2,000 spans each, about ten a trace and 300 bytes of
 *  attributes a span: statements with parameters, cache keys, bodies, users, 3 % errors. The same for the same arguments. */
export function makeRequests(count: number, startUnixMillis: number): SpanRequest[] {
  const random = seeded(count);
  return Array.from({ length: count }, (_, request) => {
    const spans: ReadableSpan[] = [];
    const ids: string[] = [];
    while (spans.length < SPANS_PER_REQUEST) {
      const traceId = hex(random, 16);
      ids.push(traceId);
      const size = Math.min(4 + Math.floor(random() * 12), SPANS_PER_REQUEST - spans.length);
      spans.push(...makeTrace(random, traceId, size, startUnixMillis + (request * 1000) / count));
    }
    const body = Buffer.from(ProtobufTraceSerializer.serializeRequest(spans) ?? []);
    return { body, spans: spans.length, traces: ids.length, idOffsets: ids.flatMap((id) => offsetsOf(body, id)) };
  });
}

/** One trace of `size` spans in as many requests as it takes; its id. */
export function makeLargeTrace(size: number, startUnixMillis: number): { traceId: string; bodies: Buffer[] } {
  const random = seeded(size);
  const traceId = hex(random, 16);
  const spans = makeTrace(random, traceId, size, startUnixMillis);
  const bodies: Buffer[] = [];
  for (let at = 0; at < size; at += SPANS_PER_REQUEST)
    bodies.push(Buffer.from(ProtobufTraceSerializer.serializeRequest(spans.slice(at, at + SPANS_PER_REQUEST)) ?? []));
  return { traceId, bodies };
}

/** The same request with traces that are not those of any other round; `round` is at most 65535. */
export function stampRound({ body, idOffsets }: SpanRequest, round: number): Buffer {
  for (const offset of idOffsets) body.writeUInt16BE(round, offset);
  return body;
}

function makeTrace(random: () => number, traceId: string, size: number, startMillis: number): ReadableSpan[] {
  const endpoint = pick(random, ENDPOINTS);
  const resource = pick(random, RESOURCES);
  const user = `u_${Math.floor(random() * 5000)}`;
  const failed = random() < 0.03;
  const spanIds = Array.from({ length: size }, () => hex(random, 8));
  const start = startMillis + random() * 1000;
  return spanIds.map((spanId, index) => {
    const parent =
      index === 0
        ? undefined
        : spanIds[index < 100 ? Math.floor(random() * Math.min(index, 3)) : Math.floor(index / 10)];
    const millis = index === 0 ? 20 + random() * 200 : random() * 10;
    const from = start + index * 2;
    const root = { "http.request.method": endpoint.split(" ")[0], "http.route": endpoint.split(" ")[1] };
    const attributes = {
      "user.id": user,
      ...(index === 0
        ? {
            ...root,
            "url.path": `/links/${hex(random, 4)}`,
            "http.response.status_code": failed ? 500 : 200,
            "http.request.body.content": `{"url":"https://example.com/${hex(random, 8)}","tags":["a","b"]}`,
            "client.address": "127.0.0.1",
            "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64)",
          }
        : index % 3 === 0
          ? {
              "db.system.name": "redis",
              "cache.operation": "get",
              "cache.key": [`url:${hex(random, 4)}`],
              "cache.hit": random() < 0.8,
              "server.address": "127.0.0.1",
              "server.port": 6379,
            }
          : {
              "db.system.name": "postgresql",
              "db.namespace": "app",
              "db.query.text": "SELECT id, url, user_id, created_at FROM urls WHERE id = $1 AND deleted_at IS NULL",
              "db.query.summary": "SELECT urls",
              "db.query.parameter.0": hex(random, 4),
              "db.response.returned_rows": 1,
              "server.address": "127.0.0.1",
              "server.port": 5432,
            }),
    };
    return {
      name: index === 0 ? endpoint : index % 3 === 0 ? "GET" : "SELECT urls",
      kind: index === 0 ? 1 : 2,
      spanContext: () => ({ traceId, spanId, traceFlags: 1 }),
      parentSpanContext: parent === undefined ? undefined : { traceId, spanId: parent, traceFlags: 1 },
      startTime: toHrTime(from),
      endTime: toHrTime(from + millis),
      duration: toHrTime(millis),
      status: failed && index === 0 ? { code: 2, message: "value too long" } : { code: 0 },
      attributes,
      links: [],
      events: [],
      ended: true,
      resource,
      instrumentationScope: SCOPE,
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
    } as unknown as ReadableSpan;
  });
}

function toHrTime(millis: number): [number, number] {
  return [Math.floor(millis / 1000), Math.floor((millis % 1000) * 1e6)];
}

function offsetsOf(body: Buffer, id: string): number[] {
  const bytes = Buffer.from(id, "hex");
  const offsets: number[] = [];
  for (let at = body.indexOf(bytes); at >= 0; at = body.indexOf(bytes, at + 16)) offsets.push(at);
  return offsets;
}

function pick<Item>(random: () => number, items: readonly Item[]): Item {
  return items[Math.floor(random() * items.length)] as Item;
}

function hex(random: () => number, bytes: number): string {
  return Array.from({ length: bytes }, () =>
    Math.floor(random() * 256)
      .toString(16)
      .padStart(2, "0"),
  ).join("");
}

/** Mulberry32. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
