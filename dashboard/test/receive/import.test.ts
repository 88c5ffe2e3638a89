import { JsonTraceSerializer } from "@opentelemetry/otlp-transformer";
import { describe, expect, test } from "vitest";
import type { SpanRecord } from "../../src/model/span.ts";
import { MalformedPayload } from "../../src/receive/malformed-payload.ts";
import { type Import, readImport } from "../../src/receive/read-import.ts";
import { readPayload } from "../../src/receive/read-payload.ts";
import { JAEGER, ZIPKIN } from "./documents.ts";
import { officialSpans } from "./official-sdk.ts";

const bytes = (document: unknown): Buffer => Buffer.from(JSON.stringify(document));
const read = (document: unknown): Import => readImport(bytes(document));

describe("Zipkin", () => {
  const { spans } = readPayload({ signal: "traces", format: "zipkin-json", body: bytes(ZIPKIN) });
  const [client, server, child, producer] = spans as [SpanRecord, SpanRecord, SpanRecord, SpanRecord];

  test("a span keeps its ids, times, tags and endpoints", () => {
    expect(client).toEqual({
      traceId: "5982fe77008310cc80f1da5e10147517",
      spanId: "bd7a977555f6b982",
      parentSpanId: "",
      traceState: "",
      flags: 0,
      name: "get",
      kind: 3,
      start: { unixMicros: 1458702548467000, nanos: 0 },
      durationNanos: 386_000_000,
      status: { code: 2, message: "connection refused" },
      attributes: {
        "sql.query": "select 1",
        "http.status_code": "500",
        "network.local.address": "192.168.99.1",
        "network.local.port": 9411,
        "peer.service": "mysql",
        "server.address": "172.17.0.3",
        "server.port": 3306,
      },
      events: [
        { name: "ws", time: { unixMicros: 1458702548467500, nanos: 0 }, attributes: {} },
        {
          name: "retry",
          time: { unixMicros: 1458702548467600, nanos: 0 },
          attributes: { attempt: 2, wait: true },
        },
        {
          name: "message",
          time: { unixMicros: 1458702548467700, nanos: 0 },
          attributes: { id: "a|b" },
          droppedAttributesCount: 3,
        },
      ],
      links: [],
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
      resource: { serviceName: "zipkin-query", attributes: { "service.name": "zipkin-query" } },
      scope: { name: "", version: "" },
    });
  });

  test("the server's half of a shared span is a child of the client's, and parent of its own service's spans", () => {
    expect(server.spanId).not.toBe(client.spanId);
    expect(server.spanId).toMatch(/^[0-9a-f]{16}$/);
    expect(server.parentSpanId).toBe(client.spanId);
    expect(child.parentSpanId).toBe(server.spanId);
    const again = readPayload({ signal: "traces", format: "zipkin-json", body: bytes(ZIPKIN.slice(1, 2)) });
    expect(again.spans[0]?.spanId).toBe(server.spanId);
  });

  test("tags of a resource, a scope and a status become those", () => {
    expect(server).toMatchObject({
      kind: 2,
      status: { code: 1, message: "" },
      attributes: { "client.address": "2001:db8::c001", "client.port": 50000 },
      resource: { serviceName: "mysql", attributes: { "telemetry.sdk.name": "brave" } },
      scope: { name: "io.b3" },
    });
    expect(server.attributes).not.toHaveProperty("otel.status_code");
  });

  test("64-bit trace ids are padded, a span without a kind is internal, an empty error is a failure", () => {
    expect(producer.traceId).toBe("000000000000000080f1da5e10147517");
    expect([child.kind, child.durationNanos, producer.kind]).toEqual([1, 0, 4]);
    expect(producer.status).toEqual({ code: 2, message: "" });
    expect(producer.resource).toEqual({ serviceName: "unknown_service", attributes: {} });
  });

  test("links of the collector's exporter are links", () => {
    const tags = { "otlp.link.0": '5982fe77008310cc80f1da5e10147517|bd7a977555f6b982|a=b|{"n":1}|0' };
    const {
      spans: [span],
    } = read([{ traceId: "1", id: "2", timestamp: 1, tags }]);
    expect(span?.attributes).toEqual({});
    expect(span?.links).toEqual([
      {
        traceId: "5982fe77008310cc80f1da5e10147517",
        spanId: "bd7a977555f6b982",
        traceState: "a=b",
        attributes: { n: 1 },
      },
    ]);
  });

  test("a span without ids or time is left out", () => {
    const {
      rejected,
      reason,
      spans: kept,
    } = read([
      { traceId: "1", id: "xyz", timestamp: 1, name: "a" },
      { traceId: "1", id: "2", name: "b" },
      { traceId: "1", id: "2", timestamp: 1, name: "c" },
    ]);
    expect(kept.map(({ name }) => name)).toEqual(["c"]);
    expect([rejected, reason]).toEqual([2, 'span "a": its id is not 16 hex digits: "xyz"']);
  });
});

describe("Jaeger", () => {
  const { format, spans, rejected } = read(JAEGER);
  const [server, client] = spans as [SpanRecord, SpanRecord];

  test("a span keeps its ids, times and the types of its tags", () => {
    expect([format, rejected]).toEqual(["jaeger", 0]);
    expect(server).toEqual({
      traceId: "5982fe77008310cc80f1da5e10147517",
      spanId: "bd7a977555f6b982",
      parentSpanId: "",
      traceState: "a=b",
      flags: 1,
      name: "HTTP GET /dispatch",
      kind: 2,
      start: { unixMicros: 1458702548467123, nanos: 0 },
      durationNanos: 386_001_000,
      status: { code: 2, message: "" },
      attributes: {
        "http.status_code": 503,
        "sampler.param": true,
        ratio: { $double: 3 },
        big: { $int: "9223372036854775807" },
        raw: { $bytes: "AP8=" },
      },
      events: [
        { name: "Searching", time: { unixMicros: 1458702548467500, nanos: 0 }, attributes: { driver_id: 7 } },
        { name: "plain", time: { unixMicros: 1458702548467600, nanos: 0 }, attributes: { message: "plain" } },
        {
          name: "exception",
          time: { unixMicros: 1458702548467700, nanos: 0 },
          attributes: { "exception.type": "TypeError", "exception.message": "no", "exception.stacktrace": "at x" },
        },
      ],
      links: [],
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
      resource: { serviceName: "frontend", attributes: { "service.name": "frontend", "host.name": "box" } },
      scope: { name: "net/http", version: "" },
    });
  });

  test("references are the parent and links, the error tag is the status", () => {
    expect(client).toMatchObject({
      spanId: "0d7a977555f6b982",
      parentSpanId: server.spanId,
      status: { code: 2, message: "timed out" },
      attributes: {},
      links: [
        {
          traceId: "000000000000000080f1da5e10147517",
          spanId: "ebf33e1a81dc6f71",
          attributes: { "opentracing.ref_type": "follows_from" },
        },
      ],
    });
  });
});

describe("a file", () => {
  const otlp = JsonTraceSerializer.serializeRequest(officialSpans()) as Uint8Array;

  test.each<[string, unknown, Import["format"], number]>([
    ["Zipkin's list", ZIPKIN, "zipkin", 4],
    ["Zipkin's list of traces", [ZIPKIN.slice(0, 3), ZIPKIN.slice(3)], "zipkin", 4],
    ["an empty list", [], "zipkin", 0],
    ["Jaeger's download", JAEGER, "jaeger", 2],
    ["one trace of Jaeger's", JAEGER.data[0], "jaeger", 2],
    ["a list of Jaeger's traces", JAEGER.data, "jaeger", 2],
    ["OTLP", JSON.parse(Buffer.from(otlp).toString()), "otlp", 3],
    ["OTLP in Jaeger's answer", { result: JSON.parse(Buffer.from(otlp).toString()) }, "otlp", 3],
    ["OTLP of no spans", { resourceSpans: [] }, "otlp", 0],
  ])("is told by its shape: %s", (_, document, format, count) => {
    const found = read(document);
    expect([found.format, found.spans.length, found.rejected]).toEqual([format, count, 0]);
  });

  test("may have one OTLP document a line, of logs and metrics too", () => {
    const lines = Buffer.concat([otlp, Buffer.from('\r\n\n{"resourceLogs":[]}\n'), otlp, Buffer.from("\n")]);
    const found = readImport(lines);
    expect([found.format, found.spans.length]).toEqual(["otlp", 6]);
  });

  test.each<[string, string | RegExp]>([
    ["", "the file is empty"],
    ["traceId,spanId\n1,2", /^the file is not JSON: .*expected OTLP JSON/s],
    ['{"resourceSpans":[]}\n{"resourceSp', /^line 2 is not JSON/],
    ['{"a":1,"b":2}', /^this is not a file of traces: it has an object with "a", "b"; expected OTLP JSON/],
    ["[1]", /it has a list of 1; expected/],
    ["null", "it has null"],
    ['{"resourceMetrics":[]}', "the file has logs or metrics of OTLP, but no spans"],
    ['{"resourceSpans":[]}\n[]', "the file has both otlp and zipkin"],
  ])("that is something else says what was expected: %s", (body, reason) => {
    expect(() => readImport(Buffer.from(body))).toThrow(MalformedPayload);
    expect(() => readImport(Buffer.from(body))).toThrow(reason);
  });
});
