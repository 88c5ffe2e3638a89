import { JsonTraceSerializer, ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import fc from "fast-check";
import { PbfWriter } from "pbf";
import { describe, expect, test } from "vitest";
import { MalformedPayload } from "../../src/receive/malformed-payload.ts";
import { readImport } from "../../src/receive/read-import.ts";
import { readPayload, type SentPayload } from "../../src/receive/read-payload.ts";
import type { Reading } from "../../src/receive/reading.ts";
import { JAEGER, ZIPKIN } from "./documents.ts";
import { officialSpans } from "./official-sdk.ts";

const traces = (body: Uint8Array): Reading => readPayload({ signal: "traces", format: "otlp-protobuf", body });
const json = (body: unknown): Reading =>
  readPayload({
    signal: "traces",
    format: "otlp-json",
    body: Buffer.from(typeof body === "string" ? body : JSON.stringify(body)),
  });

const protobuf = ProtobufTraceSerializer.serializeRequest(officialSpans()) as Uint8Array;
const text = JsonTraceSerializer.serializeRequest(officialSpans()) as Uint8Array;

/** Reads it as everything there is: the answer, or a MalformedPayload with a reason, and nothing else. */
function readAll(body: Uint8Array): void {
  const readers = [
    ...(["traces", "logs"] as const).flatMap((signal) =>
      (["otlp-protobuf", "otlp-json", "zipkin-json"] as const).map(
        (format) => (): unknown => readPayload({ signal, format, body } satisfies SentPayload),
      ),
    ),
    (): unknown => readImport(body),
  ];
  for (const read of readers) {
    try {
      read();
    } catch (error) {
      if (!(error instanceof MalformedPayload)) throw error;
      expect(error.message).not.toBe("");
    }
  }
}

describe("a broken protobuf request says what is wrong", () => {
  const request = (write: (span: PbfWriter) => void): Uint8Array => {
    const writer = new PbfWriter();
    writer.writeMessage(
      1,
      (_, group) =>
        group.writeMessage(2, (__, scopeSpans) => scopeSpans.writeMessage(2, (___, span) => write(span), null), null),
      null,
    );
    return writer.finish();
  };

  test.each([
    ["cut off", protobuf.subarray(0, 400), /should follow, but only \d+ are left \(cut off\?\)/],
    ["cut off in a length", protobuf.subarray(0, 2), /not a valid OTLP protobuf request of traces: at byte/],
    ["JSON", text, /no field of .* begins like this \(is it protobuf\?\)/],
    ["a wrong wire type", request((span) => span.writeVarintField(5, 1)), /Span\.name cannot be a varint/],
    ["an id that is a text", request((span) => span.writeFixed64Field(1, 1)), /Span\.trace_id cannot be fixed64/],
    [
      "a length beyond everything",
      Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
      /bytes should follow/,
    ],
    ["a varint without end", Buffer.alloc(64, 0xff), /at byte \d+/],
    [
      "a time across the end of its span",
      Buffer.from([0x0a, 5, 0x12, 3, 0x12, 1, 0x39, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]),
      /Span is cut off/,
    ],
  ])("%s", (_, body, reason) => {
    expect(() => traces(body)).toThrow(MalformedPayload);
    expect(() => traces(body)).toThrow(reason);
  });

  test("values may nest 64 deep, and not deeper", () => {
    const nested = (depth: number): Uint8Array => {
      let value: Buffer<ArrayBufferLike> = Buffer.from([0x10, 1]);
      for (let level = 0; level < depth; level++) {
        for (const field of [1, 5]) {
          const writer = new PbfWriter();
          writer.writeBytesField(field, value);
          value = Buffer.from(writer.finish());
        }
      }
      return request((span) => {
        span.writeBytesField(1, Buffer.alloc(16, 1));
        span.writeBytesField(2, Buffer.alloc(8, 1));
        span.writeMessage(9, (_, pair) => pair.writeBytesField(2, value), null);
      });
    };
    expect(traces(nested(64)).spans).toHaveLength(1);
    expect(() => traces(nested(65))).toThrow("attribute values nest deeper than 64 levels");
    expect(() => traces(nested(3000))).toThrow("attribute values nest deeper than 64 levels");
  });

  test("a few bytes cannot be made many objects of", () => {
    const body = request((span) => {
      for (let event = 0; event <= 1_000_000; event++) span.writeBytesField(11, new Uint8Array());
    });
    expect(() => traces(body)).toThrow("more than 1000000 spans, events, links, lists and maps");
  });
});

describe("a broken JSON request says what is wrong", () => {
  const ids = { traceId: "1".repeat(32), spanId: "1".repeat(16) };
  const spanOf = (span: object): unknown => ({ resourceSpans: [{ scopeSpans: [{ spans: [{ ...ids, ...span }] }] }] });

  test.each([
    ["", "the body is empty"],
    ["{", /the body is not JSON: /],
    ["[]", "the body must be an object, not an array"],
    [{ resourceSpans: {} }, "resourceSpans must be an array, not an object"],
    [{ resourceSpans: [{ scopeSpans: [{ spans: [5] }] }] }, "Span must be an object, not 5"],
    [spanOf({ name: 5 }), "Span.name must be a string, not 5"],
    [spanOf({ kind: "SERVER" }), 'Span.kind must be a number below 6 or a name like SPAN_KIND_INTERNAL, not "SERVER"'],
    [spanOf({ attributes: { a: 1 } }), "Span.attributes must be an array, not an object"],
    [spanOf({ attributes: [{ key: "a", value: 1 }] }), "AnyValue must be an object, not 1"],
    [
      spanOf({ attributes: [{ key: "a", value: { intValue: "1.5" } }] }),
      'AnyValue.intValue must be an integer of 64 bits, not "1.5"',
    ],
    [spanOf({ attributes: [{ key: "a", value: { intValue: "9223372036854775808" } }] }), /integer of 64 bits/],
    [spanOf({ droppedEventsCount: -1 }), "Span.droppedEventsCount must be an integer of 32 bits, not -1"],
  ])("%j", (body, reason) => {
    expect(() => json(body)).toThrow(MalformedPayload);
    expect(() => json(body)).toThrow(reason);
  });

  test("values may nest 64 deep, and not deeper", () => {
    const nested = (depth: number): unknown => {
      const inside = '{"arrayValue":{"values":['.repeat(depth) + "]}}".repeat(depth);
      return `{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":${inside}}]}}]}`;
    };
    expect(json(nested(64)).spans).toEqual([]);
    expect(() => json(nested(65))).toThrow("attribute values nest deeper than 64 levels");
    expect(() => json(nested(100_000))).toThrow("attribute values nest deeper than 64 levels");
  });
});

describe("whatever arrives is read or refused, and nothing else happens", () => {
  const valid = [protobuf, text, Buffer.from(JSON.stringify(ZIPKIN)), Buffer.from(JSON.stringify(JAEGER))];
  const chosen = fc.constantFrom(...valid);

  test("cut anywhere", () => {
    for (const body of valid) for (let end = 0; end < body.length; end += 7) readAll(body.subarray(0, end));
  });

  test("with bytes changed", () => {
    const flips = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(chosen, flips, (body, changes) => {
        const copy = Buffer.from(body);
        for (const [at, byte] of changes) copy[at % copy.length] = byte;
        readAll(copy);
      }),
      { numRuns: 700 },
    );
  });

  test("with parts moved about", () => {
    fc.assert(
      fc.property(chosen, fc.nat(), fc.nat(), fc.nat(300), (body, from, to, length) => {
        const copy = Buffer.from(body);
        const start = from % copy.length;
        copy.copy(copy, to % copy.length, start, Math.min(copy.length, start + length));
        readAll(copy);
      }),
      { numRuns: 500 },
    );
  });

  test("random bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), readAll), { numRuns: 1000 });
  });

  test("JSON of any shape where something else belongs", () => {
    const anything = fc.anything({ maxDepth: 3 });
    const shape = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: "small", withCrossShrink: true },
        anything,
        fc.array(tie("value"), { maxLength: 3 }),
        fc.dictionary(
          fc.constantFrom(
            ..."resourceSpans resource scopeSpans scope spans attributes key value events links status traceId spanId id".split(
              " ",
            ),
            ..."arrayValue values kvlistValue intValue data traceID spanID processes tags logs fields references".split(
              " ",
            ),
            ..."annotations localEndpoint remoteEndpoint timestamp startTime duration kind name shared parentId".split(
              " ",
            ),
          ),
          tie("value"),
        ),
      ),
    })).value;
    fc.assert(
      fc.property(shape, (value) => {
        let body: string | undefined;
        try {
          body = JSON.stringify(value, (_, inner: unknown) => (typeof inner === "bigint" ? String(inner) : inner));
        } catch {
          // Not JSON at all: an object of fast-check's that refuses.
        }
        if (body !== undefined) readAll(Buffer.from(body));
      }),
      { numRuns: 700 },
    );
  });

  test("nested as deep as a body is long", () => {
    const depth = 100_000;
    readAll(Buffer.from("[".repeat(depth) + "]".repeat(depth)));
    readAll(Buffer.from(`{"resourceSpans":${'{"a":'.repeat(depth)}1${"}".repeat(depth)}}`));
    readAll(
      Buffer.from(`[{"traceId":"1","id":"1","timestamp":1,"tags":{"a":${"[".repeat(depth)}${"]".repeat(depth)}}}]`),
    );
    readAll(Buffer.alloc(depth, 0x0a));
    readAll(Buffer.from("|{".repeat(depth)));
    const annotation = { timestamp: 1, value: `${"|{".repeat(depth)}|1` };
    readAll(Buffer.from(JSON.stringify([{ traceId: "1", id: "1", timestamp: 1, annotations: [annotation] }])));
  });
});
