import { JsonTraceSerializer, ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base";
import { describe, expect, test } from "vitest";
import type { SpanRecord } from "../../src/model/span.ts";
import { readPayload } from "../../src/receive/read-payload.ts";
import type { Payload } from "../../src/store/store.ts";
import { EPOCH, hexId, logsOf, payload, payloadOf, span } from "./spans.ts";
import { drivers, getTrace, keep, mustBeKept, open } from "./support.ts";

describe.each(drivers)("ingest with %s", (driver) => {
  const traceId = hexId(0xabc, 32);
  const root = span({
    traceId,
    name: "POST /orders",
    kind: 2,
    at: 100,
    durationNanos: 5_000_000,
    attributes: { "http.request.method": "POST", "http.response.status_code": 503, "user.id": "ann" },
    status: { code: 2, message: "" },
  });
  const query = span({
    traceId,
    parentSpanId: root.spanId,
    name: "SELECT",
    kind: 3,
    at: 200,
    attributes: { "db.system.name": "postgresql", "db.query.text": "SELECT 1" },
  });
  const cache = span({
    traceId,
    parentSpanId: root.spanId,
    name: "GET",
    kind: 3,
    at: 300,
    attributes: { "db.system.name": "redis", "cache.key": "a", "cache.hit": true },
  });
  // Its clock is behind, and it ends after the root.
  const consumer = span({
    traceId,
    parentSpanId: root.spanId,
    service: "mail",
    kind: 5,
    at: -50,
    durationNanos: 9_000_000,
  });

  test("the line of a trace is the same in whatever order and company its spans arrive", async () => {
    const expected = {
      traceId,
      service: "shop",
      operation: "POST /orders",
      kind: 2,
      start: { unixMicros: EPOCH - 50, nanos: 0 },
      durationNanos: 9_000_000,
      hasRoot: true,
      hasError: true,
      statusCode: 2,
      httpStatusCode: 503,
      userId: "ann",
      services: ["shop", "mail"],
      spanCount: 4,
      errorCount: 1,
      queryCount: 1,
      cacheHits: 1,
      cacheMisses: 0,
    };
    const store = await open({ driver });
    for (const spans of permutations([root, query, cache, consumer])) {
      await store.clear();
      await keep(store, spans.slice(0, 2));
      await keep(store, spans.slice(2));
      const { traces } = await store.listTraces({}, { limit: 10 });
      expect(traces).toEqual([{ ...expected, arrivedAt: expect.any(Number) }]);
    }
  });

  test("a span that arrives again, together or later, is counted once", async () => {
    const store = await open({ driver });
    await keep(store, [root, root, query]);
    await keep(store, [root]);
    expect(await store.getStatus()).toMatchObject({ traceCount: 1, spanCount: 2 });
    const spans = (await getTrace(store, traceId))?.spans;
    expect(spans?.spanId.map((id) => spans.ids[id])).toEqual([root.spanId, query.spanId]);
  });

  test("without its root a trace is listed by its earliest span", async () => {
    const store = await open({ driver });
    await keep(store, [cache]);
    await keep(store, [query]);
    const { traces } = await store.listTraces({}, { limit: 10 });
    expect(traces).toMatchObject([{ operation: "SELECT", hasRoot: false, hasError: false }]);
  });

  test("everything about a span comes back as it was sent", async () => {
    const store = await open({ driver });
    const whole = span({
      name: "a \0 \u{1f600} \ufeff name",
      traceState: "vendor=1",
      flags: 257,
      kind: 3,
      start: { unixMicros: EPOCH + 7, nanos: 789 },
      durationNanos: 123,
      status: { code: 2, message: "no\nway" },
      attributes: {
        text: "ü",
        list: [1, "two", null],
        map: { $map: { inner: true } },
        big: { $int: "9223372036854775807" },
      },
      events: [
        { name: "event", time: { unixMicros: EPOCH + 8, nanos: 1 }, attributes: { a: 1 }, droppedAttributesCount: 2 },
      ],
      links: [{ traceId: hexId(1, 32), spanId: hexId(2, 16), traceState: "x=1", attributes: { why: "so" } }],
      droppedAttributesCount: 1,
      droppedEventsCount: 2,
      droppedLinksCount: 3,
      resource: { serviceName: "ü", attributes: { "service.name": "ü", "host.name": "box" } },
    } as Partial<SpanRecord>);
    await keep(store, [whole]);
    expect((await store.getSpan(whole.traceId, whole.spanId))?.span).toEqual(whole);
    const exported: SpanRecord[][] = [];
    for await (const trace of store.readTraces({ traceIds: [whole.traceId] })) exported.push(trace);
    expect(exported).toEqual([[whole]]);
  });

  test("spans of protobuf come back as those of JSON, also where those of several traces alternate", async () => {
    const store = await open({ driver });
    const sent = [protobufSpan(1, 1), protobufSpan(2, 2), protobufSpan(1, 3), protobufSpan(1, 4), protobufSpan(2, 5)];
    const read = (body: Uint8Array, format: Payload["format"]) => readPayload({ signal: "traces", format, body }).spans;
    const expected = read(ProtobufTraceSerializer.serializeRequest(sent)!, "otlp-protobuf");
    expect(expected).toEqual(read(JsonTraceSerializer.serializeRequest(sent)!, "otlp-json"));
    for (const part of [sent, sent.slice(1, 3), [protobufSpan(1, 6)]]) {
      const body = new Uint8Array(ProtobufTraceSerializer.serializeRequest(part)!);
      mustBeKept(await store.ingest({ signal: "traces", format: "otlp-protobuf", body }));
    }
    const late = read(ProtobufTraceSerializer.serializeRequest([protobufSpan(1, 6)])!, "otlp-protobuf");
    const traceIds = [hexId(1, 32), hexId(2, 32)];
    const stored: SpanRecord[][] = [];
    for await (const trace of store.readTraces({ traceIds })) stored.push(trace);
    expect(stored).toEqual([
      [expected[0], expected[2], expected[3], ...late],
      [expected[1], expected[4]],
    ]);
    const { traces } = await store.listTraces({ text: "grüße 5", attributes: [] }, { limit: 10 });
    expect(traces.map((trace) => trace.traceId)).toEqual([hexId(2, 32)]);
    expect((await getTrace(store, hexId(1, 32)))?.strings).toContain("SELECT \"a\" ['1'] → 3 rows");
  });

  test("times and durations that no clock has do not stop what comes with them", async () => {
    const store = await open({ driver });
    const result = await store.ingest(
      payload("traces", {
        resourceSpans: [
          {
            scopeSpans: [
              {
                spans: [
                  {
                    traceId: hexId(1, 32),
                    spanId: hexId(1, 16),
                    startTimeUnixNano: "0",
                    endTimeUnixNano: "9007199254740991999",
                  },
                  { traceId: hexId(2, 32), spanId: hexId(2, 16), startTimeUnixNano: "1", endTimeUnixNano: "0" },
                  { traceId: hexId(3, 32), spanId: hexId(3, 16), startTimeUnixNano: "18446744073709551615" },
                ],
              },
            ],
          },
        ],
      }),
    );
    expect(result).toMatchObject({ outcome: "kept", spans: 2, rejected: 1 });
    const { traces } = await store.listTraces({}, { limit: 10 });
    expect(traces.map(({ spanCount }) => spanCount)).toEqual([1, 1]);
    expect(await getTrace(store, hexId(1, 32))).toBeDefined();
  });

  test("a malformed payload is answered with the reason, and the others of its group are kept", async () => {
    const store = await open({ driver });
    const results = await Promise.all([
      store.ingest(payloadOf([span()])),
      store.ingest({ signal: "traces", format: "otlp-json", body: new Uint8Array(Buffer.from("{")) }),
      store.ingest({ signal: "traces", format: "otlp-protobuf", body: new Uint8Array([0xff, 0xff]) }),
      store.ingest(payloadOf([span()])),
    ]);
    expect(results).toMatchObject([
      { outcome: "kept", spans: 1 },
      { outcome: "malformed", reason: expect.stringMatching(/./) },
      { outcome: "malformed", reason: expect.stringMatching(/./) },
      { outcome: "kept", spans: 1 },
    ]);
    expect(await store.getStatus()).toMatchObject({ spanCount: 2 });
  });

  test("logs may come before their span, and belong to it when it is there", async () => {
    const store = await open({ driver });
    mustBeKept(
      await store.ingest(
        logsOf([
          { traceId, spanId: query.spanId, body: "second", time: { unixMicros: EPOCH + 2, nanos: 0 } },
          {
            traceId,
            spanId: query.spanId,
            body: "first",
            time: { unixMicros: EPOCH + 1, nanos: 0 },
            severityText: "WARN",
          },
          { traceId, body: "of the trace" },
          { body: "of nothing" },
        ]),
      ),
    );
    expect(await getTrace(store, traceId)).toBeUndefined();
    await keep(store, [root, query]);
    const trace = await getTrace(store, traceId);
    expect(trace?.logs.map(({ body }) => body)).toEqual(["of the trace", "first", "second"]);
    const found = await store.getSpan(traceId, query.spanId);
    expect(found?.logs).toMatchObject([{ body: "first", severityText: "WARN" }, { body: "second" }]);
    expect((await store.getStatus()).logCount).toBe(4);
  });

  test("a trace of 100,000 spans opens whole, in order of start", async () => {
    const store = await open({ driver });
    const id = hexId(0x100000, 32);
    for (let part = 0; part < 10; part++) {
      // The last part first.
      const spans = Array.from({ length: 10_000 }, (_, index) => {
        const number = (9 - part) * 10_000 + index;
        const parentSpanId = number === 0 ? "" : hexId(Math.floor((number - 1) / 10) + 1, 16);
        return span({ traceId: id, spanId: hexId(number + 1, 16), parentSpanId, at: number });
      });
      await keep(store, spans);
    }
    const trace = await getTrace(store, id);
    expect(trace?.summary).toMatchObject({ spanCount: 100_000, operation: "work", hasRoot: true });
    const { ids, spanId, startNanos } = trace!.spans;
    expect(spanId.length).toBe(100_000);
    expect(ids[spanId.at(-1)!]).toBe(hexId(100_000, 16));
    expect(startNanos.every((nanos, index) => nanos === index * 1000)).toBe(true);
    expect((await store.getSpan(id, hexId(77_777, 16)))?.span.start.unixMicros).toBe(EPOCH + 77_776);
  });

  test("parents that are missing, each other's or the span itself are given as they are", async () => {
    const store = await open({ driver });
    const a = span({ traceId, at: 1, parentSpanId: hexId(0xb, 16), spanId: hexId(0xa, 16) });
    const b = span({ traceId, at: 2, parentSpanId: hexId(0xa, 16), spanId: hexId(0xb, 16) });
    const self = span({ traceId, at: 3, parentSpanId: hexId(0xc, 16), spanId: hexId(0xc, 16) });
    const orphan = span({ traceId, at: 4, parentSpanId: hexId(0xdead, 16) });
    await keep(store, [a, b, self, orphan]);
    const trace = await getTrace(store, traceId);
    const { ids, parentSpanId: parents } = trace!.spans;
    expect(parents.map((id) => ids[id])).toEqual([a, b, self, orphan].map(({ parentSpanId }) => parentSpanId));
    expect(trace?.summary.hasRoot).toBe(false);
    await expect(store.getServiceMap({})).resolves.toMatchObject({ nodes: [{ id: "service:shop" }] });
  });

  test("10,000 different resources are told apart", async () => {
    const store = await open({ driver });
    const spans = Array.from({ length: 10_000 }, (_, index) =>
      span({ resource: { serviceName: "shop", attributes: { "service.name": "shop", instance: `i${index}` } } }),
    );
    await keep(store, spans);
    await keep(store, [span({ resource: spans[9999]!.resource, name: "again" })]);
    const wanted = await store.listTraces(
      { attributes: [{ key: "instance", operator: "=", value: "i9999" }] },
      { limit: 10 },
    );
    expect(wanted.traces.length).toBe(2);
    const last = spans.at(-1)!;
    expect((await store.getSpan(last.traceId, last.spanId))?.span.resource).toEqual(last.resource);
  });

  test(
    "a sender with one trace for all it does is refused past 250,000 spans of it",
    { timeout: 120_000 },
    async () => {
      const store = await open({ driver });
      const results = [];
      for (let part = 0; part < 26; part++) {
        const spans = Array.from({ length: 10_000 }, () => span({ traceId }));
        results.push(await store.ingest(payloadOf(spans)));
      }
      expect(results.at(24)).toMatchObject({ outcome: "kept", spans: 10_000, rejected: 0 });
      expect(results.at(25)).toMatchObject({ spans: 0, rejected: 10_000, reason: "a trace has too many spans" });
      expect((await store.getStatus()).spanCount).toBe(250_000);
    },
  );

  test("when too much waits, a sender is told to come back, and what waits is kept", async () => {
    const store = await open({ driver });
    const text = "x".repeat(20_000_000);
    const results = await Promise.all(
      Array.from({ length: 5 }, () => store.ingest(payloadOf([span({ attributes: { text } })]))),
    );
    expect(results.map(({ outcome }) => outcome)).toEqual(["kept", "kept", "kept", "busy", "busy"]);
    expect((await store.ingest(payloadOf([span()]))).outcome).toBe("kept");
    expect((await store.getStatus()).spanCount).toBe(4);
  });

  test("a buffer that others share is left alone", async () => {
    const store = await open({ driver });
    const { body, ...rest } = payloadOf([span()]);
    const shared = new Uint8Array(body.byteLength + 10);
    shared.set(body, 5);
    mustBeKept(await store.ingest({ ...rest, body: shared.subarray(5, 5 + body.byteLength) }));
    expect(shared.byteLength).toBe(body.byteLength + 10);
  });
});

function permutations<Item>(items: readonly Item[]): Item[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, index) => permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]));
}

/** As the official SDK ends it. */
function protobufSpan(trace: number, id: number): ReadableSpan {
  const time: [number, number] = [EPOCH / 1e6, 0];
  return {
    name: `span ${id} "ü"`,
    kind: 2,
    spanContext: () => ({ traceId: hexId(trace, 32), spanId: hexId(id, 16), traceFlags: 1 }),
    startTime: time,
    endTime: time,
    status: { code: id === 4 ? 2 : 0, message: "no" },
    attributes: {
      "db.system.name": "postgresql",
      "db.query.text": 'SELECT "a"',
      "db.query.parameter.0": "1",
      "db.response.returned_rows": 3,
      text: `Grüße ${id}\n`,
      list: ["a", 1, true],
    },
    links: [],
    events: [{ name: "event", time, attributes: { a: 1 } }],
    resource: { attributes: { "service.name": `service ${id % 2}` } },
    instrumentationScope: { name: "scope", version: "1" },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  } as unknown as ReadableSpan;
}
