import {
  JsonLogsSerializer,
  JsonTraceSerializer,
  ProtobufLogsSerializer,
  ProtobufTraceSerializer,
} from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { InMemoryLogRecordExporter, LoggerProvider, SimpleLogRecordProcessor } from "@opentelemetry/sdk-logs";
import { PbfWriter } from "pbf";
import { describe, expect, test } from "vitest";
import { Chunk } from "../../../src/export/chunk.ts";
import { createJsonEncoding } from "../../../src/export/json-encoding.ts";
import { createProtobufEncoding } from "../../../src/export/protobuf-encoding.ts";
import { createSpan, RESOURCE, SCOPE } from "../../../test/export/spans.ts";
import type { SpanRecord } from "../../src/model/span.ts";
import { readPayload } from "../../src/receive/read-payload.ts";
import type { Reading } from "../../src/receive/reading.ts";
import { LINKED, officialSpans, PARENT } from "./official-sdk.ts";

const FORMATS = ["otlp-protobuf", "otlp-json"] as const;
type Format = (typeof FORMATS)[number];

const traces = (format: Format, body: Uint8Array): Reading => readPayload({ signal: "traces", format, body });
const json = (format: Format, body: unknown, signal: "traces" | "logs" = "traces"): Reading =>
  readPayload({ signal, format, body: Buffer.from(JSON.stringify(body)) });

const IDS = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" };

/** An OTLP JSON request of one span with these fields. */
function readSpan(fields: object): SpanRecord {
  const { spans, reason } = json("otlp-json", {
    resourceSpans: [{ scopeSpans: [{ spans: [{ ...IDS, name: "s", ...fields }] }] }],
  });
  expect(reason).toBeUndefined();
  return spans[0] as SpanRecord;
}

/** An OTLP JSON request of one span, of which what is wrong is given. */
function rejection(fields: object): string | undefined {
  const { spans, rejected, reason } = json("otlp-json", {
    resourceSpans: [
      {
        scopeSpans: [
          {
            spans: [
              { ...IDS, name: "bad", ...fields },
              { ...IDS, name: "good" },
            ],
          },
        ],
      },
    ],
  });
  expect([spans.map(({ name }) => name), rejected]).toEqual([["good"], 1]);
  return reason;
}

describe.each(FORMATS)("%s", (format) => {
  const serialize = (): Uint8Array => {
    const serializer = format === "otlp-json" ? JsonTraceSerializer : ProtobufTraceSerializer;
    return serializer.serializeRequest(officialSpans()) as Uint8Array;
  };

  test("spans of the official SDK arrive whole", () => {
    const { spans, rejected } = traces(format, serialize());
    expect(rejected).toBe(0);
    expect(spans.map(({ name }) => name)).toEqual(["POST /orders", "SELECT orders", "alone"]);
    const [full, failed, alone] = spans as [SpanRecord, SpanRecord, SpanRecord];
    expect(full).toMatchObject({
      traceId: PARENT.traceId,
      parentSpanId: PARENT.spanId,
      kind: 2,
      start: { unixMicros: 1_700_000_000_123_456, nanos: 789 },
      durationNanos: 1_864_197_532,
      status: { code: 1, message: "" },
      droppedAttributesCount: 1,
      events: [
        { name: "cache miss", time: { unixMicros: 1_700_000_000_500_000, nanos: 1 }, attributes: { key: "user:1" } },
      ],
      links: [{ ...LINKED, attributes: { why: "batch" } }],
      resource: {
        serviceName: "shop",
        attributes: { "service.name": "shop", "process.pid": 7, "process.command_args": ["a", "b"] },
      },
      scope: { name: "orders", version: "1.2.3" },
    });
    expect(full.attributes).toEqual({
      text: "grüße 🎉",
      empty: "",
      integer: 42,
      negative: -7,
      large: { $int: "1152921504606846976" },
      fraction: 0.25,
      // JSON.stringify writes null, and the official serializer leaves it at that.
      nan: format === "otlp-json" ? null : { $double: "NaN" },
      yes: true,
      no: false,
      texts: ["a", "", "b"],
      numbers: [1, 2.5, -3],
      "one too many": "x".repeat(300),
    });
    expect(full.flags & 1).toBe(1);
    expect(failed).toMatchObject({
      traceId: PARENT.traceId,
      parentSpanId: full.spanId,
      kind: 3,
      status: { code: 2, message: "relation does not exist" },
    });
    expect(alone).toMatchObject({ parentSpanId: "", durationNanos: 0, scope: { name: "other", version: "" } });
  });

  test("a resource and a scope are one object for all spans that have them", () => {
    const { spans } = traces(format, serialize());
    expect(spans[0]?.resource).toBe(spans[2]?.resource);
    expect(spans[0]?.scope).toBe(spans[1]?.scope);
  });

  test("spans of our own encoder arrive whole", () => {
    const parent = createSpan("parent");
    const span = createSpan("child", { parent });
    span.setAttributes({ text: "é", number: 3, list: ["a"], double: 0.5 });
    span.recordException(new TypeError("no"));
    span.setStatus({ code: 2, message: "failed" });
    span.addLink({ context: { ...LINKED, traceFlags: 0 }, attributes: { a: 1 } });
    span.end();
    const encoding = format === "otlp-json" ? createJsonEncoding(RESOURCE) : createProtobufEncoding(RESOURCE);
    const chunk = new Chunk(64);
    encoding.append(chunk, span);
    const { spans, rejected } = traces(format, Buffer.concat(encoding.assemble([{ scope: SCOPE, chunk }])));
    expect(rejected).toBe(0);
    const { traceId, spanId } = span.spanContext();
    expect(spans).toMatchObject([
      {
        traceId,
        spanId,
        parentSpanId: parent.spanContext().spanId,
        name: "child",
        kind: 1,
        attributes: { text: "é", number: 3, list: ["a"], double: 0.5 },
        events: [{ name: "exception", attributes: { "exception.type": "TypeError", "exception.message": "no" } }],
        links: [{ ...LINKED, attributes: { a: 1 } }],
        status: { code: 2, message: "failed" },
        resource: { serviceName: "shop", attributes: RESOURCE },
        scope: SCOPE,
      },
    ]);
  });

  test("log records of the official SDK arrive whole", () => {
    const memory = new InMemoryLogRecordExporter();
    const provider = new LoggerProvider({
      resource: resourceFromAttributes({ "service.name": "shop" }),
      processors: [new SimpleLogRecordProcessor({ exporter: memory })],
    });
    const logger = provider.getLogger("pino", "9");
    logger.emit({
      timestamp: [1_700_000_000, 123_456_789],
      severityNumber: 17,
      severityText: "ERROR",
      body: "boom",
      attributes: { "exception.type": "TypeError", tries: 3 },
    });
    logger.emit({
      observedTimestamp: [1_700_000_000, 5],
      body: { a: [1, "b", null], c: { d: true } },
      eventName: "login",
    });
    const serializer = format === "otlp-json" ? JsonLogsSerializer : ProtobufLogsSerializer;
    const body = serializer.serializeRequest(memory.getFinishedLogRecords()) as Uint8Array;
    const { logs, spans, rejected } = readPayload({ signal: "logs", format, body });
    expect([spans, rejected]).toEqual([[], 0]);
    expect(logs).toMatchObject([
      {
        traceId: "",
        spanId: "",
        time: { unixMicros: 1_700_000_000_123_456, nanos: 789 },
        severityNumber: 17,
        severityText: "ERROR",
        body: "boom",
        attributes: { "exception.type": "TypeError", tries: 3 },
        resource: { serviceName: "shop" },
        scope: { name: "pino", version: "9" },
      },
      {
        severityNumber: 0,
        body: '{"a":[1,"b",null],"c":{"d":true}}',
        attributes: { "event.name": "login" },
      },
    ]);
  });
});

test("an empty protobuf request is a request of nothing", () => {
  expect(traces("otlp-protobuf", new Uint8Array())).toEqual({ spans: [], logs: [], rejected: 0 });
});

describe("what protobuf allows", () => {
  const writeIds = (span: PbfWriter): void => {
    span.writeBytesField(1, Buffer.from(IDS.traceId, "hex"));
    span.writeBytesField(2, Buffer.from(IDS.spanId, "hex"));
  };
  /** Requests of one span, written by pbf. */
  const request = (write: (span: PbfWriter) => void, group?: (writer: PbfWriter) => void): Buffer => {
    const ids = (_: null, writer: PbfWriter): void => {
      writeIds(writer);
      write(writer);
    };
    const writer = new PbfWriter();
    writer.writeMessage(
      1,
      (_, resourceSpans) => {
        resourceSpans.writeMessage(2, (__, scopeSpans) => scopeSpans.writeMessage(2, ids, null), null);
        group?.(resourceSpans);
      },
      null,
    );
    return Buffer.from(writer.finish());
  };
  const attribute = (span: PbfWriter, field: number, key: string, write: (value: PbfWriter) => void): void =>
    span.writeMessage(
      field,
      (_, pair) => {
        pair.writeStringField(1, key);
        pair.writeMessage(2, (__, value) => write(value), null);
      },
      null,
    );

  test("the resource may come after its spans", () => {
    const body = request(
      () => {},
      (group) =>
        group.writeMessage(
          1,
          (_, resource) => attribute(resource, 1, "service.name", (value) => value.writeStringField(1, "late")),
          null,
        ),
    );
    expect(traces("otlp-protobuf", body).spans[0]?.resource.serviceName).toBe("late");
  });

  test("resource and scope are known again from one request to the next, and those in two parts change no other", () => {
    const part = (writer: PbfWriter, key: string): void =>
      writer.writeMessage(
        1,
        (_, resource) => attribute(resource, 1, key, (value) => value.writeStringField(1, "x")),
        null,
      );
    const scoped = (writer: PbfWriter, ...versions: string[]): void =>
      writer.writeMessage(
        2,
        (_, group) => {
          group.writeMessage(1, (__, scope) => scope.writeStringField(1, "known"), null);
          for (const version of versions)
            group.writeMessage(1, (__, scope) => scope.writeStringField(2, version), null);
          group.writeMessage(2, (__, span) => writeIds(span), null);
        },
        null,
      );
    const read = (keys: readonly string[], ...versions: string[]) => {
      const writer = new PbfWriter();
      const write = (group: PbfWriter): void => {
        for (const key of keys) part(group, key);
        scoped(group, ...versions);
      };
      writer.writeMessage(1, (_, group) => write(group), null);
      return traces("otlp-protobuf", Buffer.from(writer.finish())).spans[0]!;
    };
    const first = read(["a"]);
    const twoParts = read(["a", "b"], "2");
    const again = read(["a"]);
    expect(first.resource.attributes).toEqual({ a: "x" });
    expect(twoParts.resource.attributes).toEqual({ a: "x", b: "x" });
    expect(again.resource).toBe(first.resource);
    expect([first.scope, twoParts.scope, again.scope]).toEqual([
      { name: "known", version: "" },
      { name: "known", version: "2" },
      { name: "known", version: "" },
    ]);
  });

  test("fields that are not known are passed over", () => {
    const body = request(
      (span) => {
        span.writeVarintField(900, 2 ** 40);
        span.writeStringField(901, "future");
        span.writeFixed64Field(902, 1);
        span.writeFixed32Field(903, 1);
        span.writeStringField(5, "known");
      },
      (group) => group.writeStringField(3, "https://opentelemetry.io/schemas/1.40.0"),
    );
    expect(traces("otlp-protobuf", body).spans).toMatchObject([{ name: "known" }]);
  });

  test.each([
    ["9223372036854775807", { $int: "9223372036854775807" }],
    ["-9223372036854775808", { $int: "-9223372036854775808" }],
    ["9007199254740993", { $int: "9007199254740993" }],
    ["9007199254740991", 9007199254740991],
    ["-9007199254740991", -9007199254740991],
    ["-1", -1],
    ["0", 0],
  ])("the integer %s stays exact", (digits, expected) => {
    const body = request((span) =>
      attribute(span, 9, "n", (value) => {
        value.writeTag(3, 0);
        let rest = BigInt.asUintN(64, BigInt(digits));
        const bytes: number[] = [];
        do {
          bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
          rest >>= 7n;
        } while (rest > 0n);
        for (const byte of bytes) {
          value.realloc(1);
          value.buf[value.pos++] = byte;
        }
      }),
    );
    expect(traces("otlp-protobuf", body).spans[0]?.attributes).toEqual({ n: expected });
    expect(readSpan({ attributes: [{ key: "n", value: { intValue: digits } }] }).attributes).toEqual({ n: expected });
  });

  test("every nanosecond of 64 bits below the year 2255 is exact", () => {
    for (const nanos of [
      "1",
      "999",
      "1000",
      "4294967295",
      "4294967296",
      "1700000000123456789",
      "8999999999999999999",
    ]) {
      const body = request((span) => {
        span.writeTag(7, 1);
        const bytes = Buffer.alloc(8);
        bytes.writeBigUInt64LE(BigInt(nanos));
        span.realloc(8);
        span.buf.set(bytes, span.pos);
        span.pos += 8;
      });
      const { unixMicros, nanos: rest } = (traces("otlp-protobuf", body).spans[0] as SpanRecord).start;
      expect(String(BigInt(unixMicros) * 1000n + BigInt(rest))).toBe(nanos);
      const start = readSpan({ startTimeUnixNano: nanos }).start;
      expect(start).toEqual({ unixMicros, nanos: rest });
    }
  });

  test("bytes, maps, empty values, whole doubles and strange keys keep what they are", () => {
    const body = request((span) => {
      attribute(span, 9, "bytes", (value) => value.writeBytesField(7, Buffer.from([0, 255])));
      attribute(span, 9, "map", (value) =>
        value.writeMessage(6, (_, map) => attribute(map, 1, "$int", (inner) => inner.writeVarintField(3, 1)), null),
      );
      attribute(span, 9, "nothing", () => {});
      attribute(span, 9, "whole", (value) => value.writeDoubleField(4, 3));
      attribute(span, 9, "__proto__", (value) => value.writeMessage(6, () => {}, null));
      attribute(span, 9, "", (value) => value.writeBooleanField(2, true));
      attribute(span, 9, "twice", (value) => value.writeStringField(1, "first"));
      attribute(span, 9, "twice", (value) => value.writeStringField(1, "last"));
    });
    const { attributes } = traces("otlp-protobuf", body).spans[0] as SpanRecord;
    expect(Object.getPrototypeOf(attributes)).toBe(Object.prototype);
    expect(Object.entries(attributes)).toEqual([
      ["bytes", { $bytes: "AP8=" }],
      ["map", { $map: { $int: 1 } }],
      ["nothing", null],
      ["whole", { $double: 3 }],
      ["__proto__", { $map: {} }],
      ["", true],
      ["twice", "last"],
    ]);
  });

  test("a link that leads nowhere is counted as dropped, wherever the count stands", () => {
    const body = request((span) => {
      span.writeMessage(13, (_, link) => link.writeBytesField(1, Buffer.alloc(16)), null);
      span.writeVarintField(14, 2);
      span.writeMessage(13, (_, link) => link.writeBytesField(2, Buffer.alloc(8, 1)), null);
    });
    expect(traces("otlp-protobuf", body).spans).toMatchObject([{ links: [], droppedLinksCount: 4 }]);
  });

  test("bytes that are not UTF-8 become U+FFFD, a byte order mark stays", () => {
    const body = request((span) => {
      span.writeBytesField(5, Buffer.from([0x61, 0xff, 0x62, 0x62]));
      attribute(span, 9, "mark", (value) => value.writeStringField(1, "\ufeffabcdefgh"));
    });
    expect(traces("otlp-protobuf", body).spans).toMatchObject([
      { name: "a\ufffdbb", attributes: { mark: "\ufeffabcdefgh" } },
    ]);
  });

  test("ids that differ in one digit are told apart", () => {
    const all = ["b7ad6b7169203331", "0af7651916cd43dd8448eb211c80319c"].map((id) =>
      Array.from(id, (digit, at) => `${id.slice(0, at)}${digit === "5" ? "6" : "5"}${id.slice(at + 1)}`),
    ) as [string[], string[]];
    const [span] = officialSpans() as [ReturnType<typeof officialSpans>[0]];
    // Equal halves are alike whatever is made of them.
    const spanIds = [...all[0], "1111111111111111", "2222222222222222", "b7ad6b71b7ad6b71", ...all[0]];
    const traceIds = [...all[1], ...all[1]];
    const sent = traceIds.map((traceId, at) => ({
      traceId,
      spanId: spanIds[at % spanIds.length]!,
      parentSpanId: spanIds[(at * 7) % spanIds.length]!,
    }));
    const spans = sent.map(({ parentSpanId, ...ids }) =>
      Object.create(span, {
        spanContext: { value: () => ({ ...span.spanContext(), ...ids }) },
        parentSpanContext: { value: { ...ids, spanId: parentSpanId } },
      }),
    );
    const body = ProtobufTraceSerializer.serializeRequest(spans) as Uint8Array;
    for (let round = 0; round < 2; round++) expect(traces("otlp-protobuf", body).spans).toMatchObject(sent);
  });

  test("texts that differ in few bytes are told apart", () => {
    // Same length, same end, same middle: they share a slot.
    const texts = Array.from({ length: 50 }, (_, index) => `${String.fromCharCode(48 + index)}-${"m".repeat(40)}-end`);
    const body = request((span) => {
      for (const text of [...texts, ...texts])
        attribute(span, 9, text, (value) => value.writeStringField(1, `${text}!`));
    });
    expect(traces("otlp-protobuf", body).spans[0]?.attributes).toEqual(
      Object.fromEntries(texts.map((text) => [text, `${text}!`])),
    );
  });
});

describe("what OTLP JSON allows", () => {
  test("numbers may be strings, enumerations may be names, ids may be capitals", () => {
    const span = readSpan({
      traceId: IDS.traceId.toUpperCase(),
      kind: "SPAN_KIND_CONSUMER",
      status: { code: "STATUS_CODE_ERROR" },
      startTimeUnixNano: 1_700_000_000_000_000_000,
      endTimeUnixNano: "1700000000000001000",
      droppedEventsCount: "3",
      flags: "257",
      attributes: [
        { key: "int", value: { intValue: 5 } },
        { key: "double", value: { doubleValue: "2.5" } },
        { key: "infinite", value: { doubleValue: "-Infinity" } },
        { key: "bytes", value: { bytesValue: "AP8" } },
        { key: "empty list", value: { arrayValue: {} } },
        { key: "nothing", value: null },
      ],
    });
    expect(span).toMatchObject({
      traceId: IDS.traceId,
      kind: 5,
      status: { code: 2, message: "" },
      start: { unixMicros: 1_700_000_000_000_000, nanos: 0 },
      durationNanos: 1000,
      droppedEventsCount: 3,
      flags: 257,
      attributes: {
        int: 5,
        double: 2.5,
        infinite: { $double: "-Infinity" },
        bytes: { $bytes: "AP8=" },
        "empty list": [],
        nothing: null,
      },
    });
  });

  test("names may be those of the .proto files, and a byte order mark may come first", () => {
    const body = {
      resource_spans: [
        {
          resource: { attributes: [{ key: "service.name", value: { string_value: "snake" } }] },
          scope_spans: [
            {
              spans: [
                {
                  trace_id: IDS.traceId,
                  span_id: IDS.spanId,
                  parent_span_id: "00f067aa0ba902b7",
                  name: "s",
                  start_time_unix_nano: "1000",
                  end_time_unix_nano: "3000",
                  attributes: [{ key: "list", value: { array_value: { values: [{ int_value: "1" }] } } }],
                },
              ],
            },
          ],
        },
      ],
    };
    const { spans } = traces("otlp-json", Buffer.from(`\ufeff${JSON.stringify(body)}`));
    expect(spans).toMatchObject([
      {
        parentSpanId: "00f067aa0ba902b7",
        durationNanos: 2000,
        attributes: { list: [1] },
        resource: { serviceName: "snake" },
      },
    ]);
  });

  test("severities may be names", () => {
    const body = { resourceLogs: [{ scopeLogs: [{ logRecords: [{ severityNumber: "SEVERITY_NUMBER_WARN2" }] }] }] };
    expect(json("otlp-json", body, "logs").logs).toMatchObject([{ severityNumber: 14, body: "" }]);
  });
});

describe("a span with a mistake is left out, the others stay", () => {
  test.each([
    [{ traceId: "" }, "it has no trace id"],
    [{ traceId: "0".repeat(32) }, "it has no trace id"],
    [
      { traceId: "W47/95gDgQPSabYzgT/GDA==" },
      'its trace id is not hex (as it must be in OTLP/JSON): "W47/95gDgQPSabYzgT/GDA=="',
    ],
    [{ spanId: "abcd" }, "its span id has 4 hex digits instead of 16"],
    [{ parentSpanId: IDS.traceId }, "its parent's span id has 32 hex digits instead of 16"],
    [{ startTimeUnixNano: "yesterday" }, 'its start time is not nanoseconds since 1970: "yesterday"'],
    [
      { endTimeUnixNano: "18446744073709551615" },
      "its time is after the year 2255 (nanoseconds since 1970 are expected)",
    ],
  ])("%j", (fields, reason) => {
    expect(rejection(fields)).toBe(`span "bad": ${reason}`);
  });

  test("in protobuf too, and the first reason is told", () => {
    const spans = officialSpans();
    const [first, second] = spans as [(typeof spans)[0], (typeof spans)[0]];
    const broken = (span: (typeof spans)[0], context: object): (typeof spans)[0] =>
      Object.create(span, { spanContext: { value: () => ({ ...span.spanContext(), ...context }) } });
    const body = ProtobufTraceSerializer.serializeRequest([
      broken(first, { spanId: "abcd" }),
      broken(first, { traceId: "0".repeat(32) }),
      second,
    ]) as Uint8Array;
    const { spans: kept, rejected, reason } = traces("otlp-protobuf", body);
    expect(kept.map(({ name }) => name)).toEqual(["SELECT orders"]);
    expect([rejected, reason]).toEqual([2, 'span "POST /orders": its span id has 2 bytes instead of 8']);
  });

  test("an end before the start is a duration of 0", () => {
    expect(readSpan({ startTimeUnixNano: "2000", endTimeUnixNano: "1000" }).durationNanos).toBe(0);
    expect(readSpan({ startTimeUnixNano: "2000" }).durationNanos).toBe(0);
  });

  test("a parent of zeros is none, and a link that leads nowhere is counted as dropped", () => {
    const span = readSpan({
      parentSpanId: "0000000000000000",
      droppedLinksCount: 2,
      links: [{ traceId: "abc" }, { ...LINKED, traceState: "a=b" }],
    });
    expect(span).toMatchObject({ parentSpanId: "", droppedLinksCount: 3 });
    expect(span.links).toEqual([{ ...LINKED, traceState: "a=b", attributes: {} }]);
  });
});
