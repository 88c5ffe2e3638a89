import type { AttributeValue } from "@opentelemetry/api";
import { JsonTraceSerializer, ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Chunk, MAX_REQUEST_BYTES } from "../../src/export/chunk.ts";
import type { Encoding } from "../../src/export/encoding.ts";
import { createJsonEncoding } from "../../src/export/json-encoding.ts";
import { createProtobufEncoding } from "../../src/export/protobuf-encoding.ts";
import { AttributeBlock } from "../../src/trace/attributes.ts";
import { fromTimeInput } from "../../src/trace/clock.ts";
import type { InstrumentationScope } from "../../src/trace/pipeline.ts";
import { PropagatedSpan, Span } from "../../src/trace/span.ts";
import { decodeTraces, decodeTracesJson, type ReceivedSpan } from "../support/otlp-receiver.ts";
import { createPipeline, createSpan, NOWHERE, RESOURCE } from "./spans.ts";

/** As the batches are made: a chunk for each scope. */
function encode(encoding: Encoding, spans: readonly Span[]): Buffer {
  const chunks = new Map<InstrumentationScope, Chunk>();
  for (const span of spans) {
    const chunk = chunks.get(span.instrumentationScope) ?? new Chunk(64);
    chunks.set(span.instrumentationScope, chunk);
    encoding.append(chunk, span);
  }
  return Buffer.concat(encoding.assemble(Array.from(chunks, ([scope, chunk]) => ({ scope, chunk }))));
}

const encodings: Record<string, (spans: readonly Span[]) => ReceivedSpan[]> = {
  protobuf: (spans) => decodeTraces(encode(createProtobufEncoding(RESOURCE), spans)),
  json: (spans) => decodeTracesJson(encode(createJsonEncoding(RESOURCE), spans).toString()),
};

/** What the official exporter's bytes mean. Our spans are ReadableSpans, except that their resource is nobody's type. */
const official = (spans: readonly Span[]): ReceivedSpan[] =>
  decodeTraces(ProtobufTraceSerializer.serializeRequest(spans as unknown as ReadableSpan[]) as Uint8Array);

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.string({ unit: fc.nat(0xffff).map((code) => String.fromCharCode(code)) }), // half surrogate pairs among them
  fc.constantFrom("", "\ud800", "a\udc00b", "€".repeat(41), "é".repeat(62), "x".repeat(123), "x".repeat(128)),
  fc.nat(40_000).map((length) => "y".repeat(length)),
);
const integers = [0, -0, 1, -1, 127, 128, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), 2 ** 32, 2 ** 53, -(2 ** 53), 2 ** 62];
const number = fc.oneof(
  fc.constantFrom(...integers, -(2 ** 63), 2 ** 63, 1e300, NaN, Infinity, -Infinity, 0.1, 5e-324),
  fc.double(),
  fc.maxSafeInteger(),
);
const holes = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<(T | null | undefined)[]> =>
  fc.array(fc.oneof({ weight: 9, arbitrary: item }, fc.constantFrom(null, undefined)), { maxLength: 40 });
const value = fc.oneof(
  text,
  number,
  fc.boolean(),
  holes(text),
  holes(number),
  holes(fc.boolean()),
) as fc.Arbitrary<AttributeValue>;
// An object cannot hold "__proto__" by assignment, so the official exporter loses that one.
const key = fc
  .oneof(text, fc.constantFrom("db.system.name", "http.route", "k".repeat(90), "k".repeat(130), "k".repeat(20_000)))
  .map((name) => name.replace(/\p{Surrogate}/gu, "\ufffd") || "k")
  .filter((name) => name !== "__proto__");
const attributes = fc.uniqueArray(fc.tuple(key, value), { selector: ([name]) => name, maxLength: 12 });
const hexId = (bytes: number): fc.Arbitrary<string> =>
  fc
    .uint8Array({ minLength: bytes, maxLength: bytes })
    .filter((id) => id.some((byte) => byte !== 0))
    .map((id) => Buffer.from(id).toString("hex"));
const context = fc.record({
  traceId: hexId(16),
  spanId: hexId(8),
  traceFlags: fc.nat(255),
  isRemote: fc.boolean(),
  traceState: fc.constantFrom(undefined, "vendor=1", "a=1,b=2"),
});
const time = fc.double({ min: 0, max: 4e9, noNaN: true });
const limit = fc.constantFrom(0, 1, 3, 128);

const spanInput = fc.record({
  scope: fc.constantFrom(
    { name: "pg", version: "8" },
    { name: "manual" },
    { name: "with schema", schemaUrl: "https://opentelemetry.io/schemas/1.41.0" },
  ),
  name: text,
  kind: fc.nat(4),
  parent: fc.option(context),
  start: time,
  end: time,
  blocks: fc.array(attributes, { maxLength: 3 }),
  attributes,
  events: fc.array(fc.tuple(text, attributes, time), { maxLength: 3 }),
  links: fc.array(fc.tuple(context, attributes), { maxLength: 3 }),
  status: fc.option(fc.record({ code: fc.nat(2), message: fc.option(text, { nil: undefined }) })),
  limits: fc.record({
    attributeCountLimit: limit,
    attributeValueLengthLimit: fc.constantFrom(0, 2, 1000, Infinity),
    eventCountLimit: limit,
    linkCountLimit: limit,
    attributePerEventCountLimit: limit,
    attributePerLinkCountLimit: limit,
  }),
});
type SpanInput = typeof spanInput extends fc.Arbitrary<infer T> ? T : never;

function toContext({ traceState, ...ids }: NonNullable<SpanInput["parent"]>): {
  traceId: string;
  spanId: string;
  traceFlags: number;
  isRemote: boolean;
} {
  const parsed = { ...ids, isRemote: ids.isRemote };
  return traceState === undefined ? parsed : { ...parsed, ...{ traceState: { serialize: () => traceState } } };
}

const scopes = new Map<string, InstrumentationScope>();

function build(input: SpanInput): Span {
  if (!scopes.has(input.scope.name)) scopes.set(input.scope.name, input.scope);
  const parent = input.parent === null ? undefined : PropagatedSpan.fromSpanContext(toContext(input.parent));
  const span = new Span(
    createPipeline(NOWHERE, input.limits),
    scopes.get(input.scope.name) as InstrumentationScope,
    parent,
    input.kind,
    input.name,
    fromTimeInput(1_700_000_000_000 + input.start),
  );
  const taken = new Set<string>();
  for (const block of input.blocks) {
    const fresh = block.filter(([name]) => !taken.has(name) && taken.add(name));
    span.attributeBlock(new AttributeBlock(Object.fromEntries(fresh)));
  }
  for (const [name, item] of input.attributes) span.setAttribute(name, item);
  for (const [name, items, at] of input.events) span.addEvent(name, Object.fromEntries(items), fromTimeInput(at));
  for (const [linked, items] of input.links) {
    span.addLink({ context: toContext(linked), attributes: Object.fromEntries(items) });
  }
  if (input.status !== null) span.setStatus(input.status as Parameters<Span["setStatus"]>[0]);
  span.end(1_700_000_000_000 + input.end);
  return span;
}

const wellFormed = (spans: ReceivedSpan[]): ReceivedSpan[] =>
  JSON.parse(
    JSON.stringify(spans, (_key, item: unknown) =>
      typeof item === "bigint" || (typeof item === "number" && !Number.isFinite(item)) ? `${item}` : item,
    ),
  );

describe.each(Object.entries(encodings))("%s", (_name, encoded) => {
  test("means what the official exporter means, for any spans", { timeout: 120_000 }, () => {
    fc.assert(
      fc.property(fc.array(spanInput, { minLength: 1, maxLength: 6 }), (inputs) => {
        const spans = inputs.map(build);
        const byScope = [...new Set(spans.map((span) => span.instrumentationScope))];
        const ordered = byScope.flatMap((scope) => spans.filter((span) => span.instrumentationScope === scope));
        expect(wellFormed(encoded(spans))).toEqual(wellFormed(official(ordered)));
      }),
      { numRuns: 400 },
    );
  });

  test("a shared block means the same each time it is sent", () => {
    const block = new AttributeBlock({ "db.system.name": "postgresql", "server.port": 5432 });
    const spans = ["a", "b"].map((name) => {
      const span = createSpan(name);
      span.attributeBlock(block);
      span.attribute("n", 1);
      span.end();
      return span;
    });
    for (const span of encoded(spans)) {
      expect(span.attributes).toEqual({ "db.system.name": "postgresql", "server.port": 5432, n: 1 });
    }
  });

  test("a value that comes again and again is itself each time, and so is what comes after it", () => {
    const values = ["1", 1, true, "€€€€€€€€€€€€", "", -1, 0.1, "1"] as const;
    const spans = values.flatMap((same) =>
      [1, 2, 3, 4].map((round) => {
        const span = createSpan("repeated");
        span.setAttribute("same", same);
        span.setAttribute("round", round);
        span.addEvent("event", { same });
        span.end();
        return span;
      }),
    );
    expect(encoded(spans).map((span) => [span.attributes, span.events[0]?.attributes])).toEqual(
      values.flatMap((same) => [1, 2, 3, 4].map((round) => [{ same, round }, { same }])),
    );
  });

  test("a name that comes again and again is itself each time, and so is one that is much like it", () => {
    const like = ["GET /a/1", "GET /b/1", "GET /€/1", "", "GET", "GOT", "n".repeat(64), "€".repeat(64), "n".repeat(65)];
    const spanNames = [...like.flatMap((name) => [name, name, name, name]), ...like, ...like];
    const spans = spanNames.map((name) => {
      const span = createSpan(name);
      span.setAttribute("named", name);
      span.end();
      return span;
    });
    expect(encoded(spans).map(({ name, attributes: { named } }) => [name, named])).toEqual(
      spanNames.map((name) => [name, name]),
    );
  });

  test("a span has as many attributes as it was given, few or many", () => {
    const counts = [0, 1, 5, 6, 7, 8, 40];
    const spans = counts.map((count) => {
      const span = createSpan("counted");
      for (let index = 0; index < count; index++) span.attribute(`key.${index}`, index);
      span.end();
      return span;
    });
    expect(encoded(spans).map((span) => span.attributes)).toEqual(
      counts.map((count) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`key.${index}`, index]))),
    );
  });

  test.each([100, 16_000, 17_000, 2_090_000, 2_200_000])("a value of %i characters arrives whole", (length) => {
    for (const long of ["a".repeat(length), "€".repeat(length)]) {
      const span = createSpan("large");
      span.setAttribute("body", long);
      span.setAttribute("list", [long, "b"]);
      span.addEvent("event", { body: long });
      span.end();
      const [received] = encoded([span]);
      expect(received?.attributes["body"] === long).toBe(true);
      expect((received?.attributes["list"] as string[] | undefined)?.[0] === long).toBe(true);
      expect(received?.events[0]?.attributes["body"] === long).toBe(true);
    }
  });

  test("a linked id that is no id becomes the invalid one, and the span is sent", () => {
    const span = createSpan("linked");
    span.addLink({ context: { traceId: "no hex", spanId: undefined as unknown as string, traceFlags: 1 } });
    span.end();
    expect(() => encoded([span])).toThrow(`link traceId is "${"0".repeat(32)}"`);
  });

  test("an upper-case id of a link is the same id", () => {
    const span = createSpan("linked");
    span.addLink({ context: { traceId: "AB".repeat(16), spanId: "CD".repeat(8), traceFlags: 1 } });
    span.end();
    expect(encoded([span])[0]?.links[0]).toMatchObject({ traceId: "ab".repeat(16), spanId: "cd".repeat(8) });
  });

  test("a name that is not a string is made one", () => {
    const span = createSpan("x");
    span.updateName(12 as unknown as string);
    span.end();
    expect(encoded([span])[0]?.name).toBe("12");
  });
});

test("JSON has 64-bit integers as strings with all their digits, and numbers that JSON lacks by name", () => {
  const span = createSpan("numbers");
  span.setAttributes({ big: 2 ** 62, nan: NaN, infinite: -Infinity });
  span.end();
  const json = encode(createJsonEncoding(RESOURCE), [span]).toString();
  expect(json).toContain('{"key":"big","value":{"intValue":"4611686018427387904"}}');
  expect(json).toContain('{"key":"nan","value":{"doubleValue":"NaN"}}');
  expect(json).toContain('{"key":"infinite","value":{"doubleValue":"-Infinity"}}');
  // Where the official one is wrong: null is not a number.
  const theirs = Buffer.from(JsonTraceSerializer.serializeRequest([span as unknown as ReadableSpan]) as Uint8Array);
  expect(theirs.toString()).toContain('{"key":"nan","value":{"doubleValue":null}}');
});

test("a span larger than a request may be is refused, and what the chunk held stays", () => {
  const encoding = createProtobufEncoding(RESOURCE);
  const small = createSpan("small");
  small.end();
  const large = createSpan("large");
  large.setAttribute("body", "x".repeat(MAX_REQUEST_BYTES));
  large.end();
  const chunk = new Chunk();
  encoding.append(chunk, small);
  expect(() => encoding.append(chunk, large)).toThrow(RangeError);
  expect(
    decodeTraces(Buffer.concat(encoding.assemble([{ scope: { name: "s" }, chunk }]))).map(({ name }) => name),
  ).toEqual(["small"]);
});

test("thousands of different keys are encoded as themselves", () => {
  const encoding = createProtobufEncoding(RESOURCE);
  for (let round = 0; round < 2; round++) {
    for (let index = 0; index < 3000; index++) {
      const span = createSpan("keys");
      span.setAttribute(`key.${index}`, index);
      span.end();
      expect(decodeTraces(encode(encoding, [span]))[0]?.attributes).toEqual({ [`key.${index}`]: index });
    }
  }
});
