import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AttributeValue, Attributes } from "../../src/model/attributes.ts";
import type { Instant, Resource, Scope, SpanEvent, SpanLink, SpanRecord } from "../../src/model/span.ts";
import { toResourceSpans } from "../../src/receive/otlp-json-writer.ts";
import { readImport } from "../../src/receive/read-import.ts";
import { fakeSpan } from "../support/fake-store.ts";

const write = (spans: readonly SpanRecord[]): string => JSON.stringify({ resourceSpans: [...toResourceSpans(spans)] });

/** In any order, of fields too; but `__proto__`, -0 and what is not JSON at all would show. */
function texts(records: readonly SpanRecord[]): string[] {
  const inOrder = (_: string, field: unknown): unknown =>
    field !== null && typeof field === "object" && !Array.isArray(field)
      ? Object.fromEntries(Object.entries(field).toSorted(([one], [other]) => (one < other ? -1 : 1)))
      : field;
  return records.map((record) => JSON.stringify(record, inOrder)).toSorted();
}

const text = fc.oneof(fc.string(), fc.string({ unit: "binary" }), fc.constantFrom("", "\ud800", "\0", "__proto__"));
const key = fc.oneof(text, fc.constantFrom("$int", "$double", "$map", "constructor", "7", "service.name"));
const hex = (digits: number): fc.Arbitrary<string> =>
  fc.bigInt({ min: 1n, max: 16n ** BigInt(digits) - 1n }).map((id) => id.toString(16).padStart(digits, "0"));
const count = fc.nat(0xffffffff);
const double = fc.double({ noNaN: true, noDefaultInfinity: true });

const { value } = fc.letrec<{ value: AttributeValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    text,
    fc.maxSafeInteger().map((integer) => integer + 0),
    double.filter((number) => !Number.isInteger(number)),
    fc.boolean(),
    fc.constant(null),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }).map(($int) => ({ $int: String($int) })),
    fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) }).map(($int) => ({ $int: String($int) })),
    double.map((number) => ({ $double: Math.trunc(number) + 0 })),
    fc.constantFrom({ $double: "NaN" as const }, { $double: "-Infinity" as const }),
    fc.uint8Array().map((bytes) => ({ $bytes: Buffer.from(bytes).toString("base64") })),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.array(fc.tuple(key, tie("value")), { maxLength: 4 }).map((pairs) => ({ $map: attributesOf(pairs) })),
  ),
}));
const attributes = fc.array(fc.tuple(key, value), { maxLength: 6 }).map(attributesOf);

/** `Object.fromEntries` defines what assignment would take for the prototype. */
function attributesOf(pairs: [string, AttributeValue][]): Attributes {
  return Object.fromEntries(pairs);
}

const instant: fc.Arbitrary<Instant> = fc.record({
  unixMicros: fc.oneof(fc.nat(2000), fc.integer({ min: 0, max: 8e15 })),
  nanos: fc.nat(999),
});
const dropped = fc.option(fc.integer({ min: 1, max: 0xffffffff }), { nil: undefined });
const present = <Value extends object>(record: Value): Value =>
  Object.fromEntries(Object.entries(record).filter(([, field]) => field !== undefined)) as Value;
const event = fc
  .record({ name: text, time: instant, attributes, droppedAttributesCount: dropped })
  .map(present) as fc.Arbitrary<SpanEvent>;
const link = fc
  .record({
    traceId: hex(32),
    spanId: hex(16),
    traceState: fc.option(fc.string({ minLength: 1 }), { nil: undefined }),
    attributes,
    droppedAttributesCount: dropped,
  })
  .map(present) as fc.Arbitrary<SpanLink>;
const resource: fc.Arbitrary<Resource> = attributes.map((known) => {
  const name = Object.hasOwn(known, "service.name") ? known["service.name"] : undefined;
  return { serviceName: typeof name === "string" && name !== "" ? name : "unknown_service", attributes: known };
});
const scope: fc.Arbitrary<Scope> = fc.record({ name: text, version: text });
const span = (resources: Resource[], scopes: Scope[]): fc.Arbitrary<SpanRecord> =>
  fc.record({
    traceId: hex(32),
    spanId: hex(16),
    parentSpanId: fc.oneof(hex(16), fc.constant("")),
    traceState: text,
    flags: count,
    name: text,
    kind: fc.constantFrom(0, 1, 2, 3, 4, 5),
    start: instant,
    durationNanos: fc.oneof(fc.nat(2000), fc.integer({ min: 0, max: 2 ** 52 })),
    status: fc.record({ code: fc.constantFrom(0, 1, 2), message: text }),
    attributes,
    events: fc.array(event, { maxLength: 3 }),
    links: fc.array(link, { maxLength: 3 }),
    droppedAttributesCount: count,
    droppedEventsCount: count,
    droppedLinksCount: count,
    resource: fc.constantFrom(...resources),
    scope: fc.constantFrom(...scopes),
  });
const spans = fc
  .tuple(fc.array(resource, { minLength: 1, maxLength: 3 }), fc.array(scope, { minLength: 1, maxLength: 3 }))
  .chain(([resources, scopes]) => fc.array(span(resources, scopes), { maxLength: 8 }));

const ONE = fakeSpan({ scope: { name: "s", version: "" } });

describe("OTLP JSON that was written", () => {
  test("is read as the same records", () => {
    fc.assert(
      fc.property(spans, (records) => {
        const { format, spans: back, rejected } = readImport(Buffer.from(write(records)));
        expect([format, rejected]).toEqual(["otlp", 0]);
        // By resource and scope, so in another order.
        expect(texts(back)).toEqual(texts(records));
      }),
      { numRuns: 250 },
    );
  });

  test("has each resource and scope once, be they one object or equal ones", () => {
    const other = { ...ONE.resource, serviceName: "b", attributes: { "service.name": "b" } };
    const groups = [
      ...toResourceSpans([
        ONE,
        { ...ONE, resource: other },
        structuredClone(ONE),
        { ...ONE, scope: { name: "t", version: "1" } },
      ]),
    ];
    expect(
      groups.map(({ scopeSpans }) => scopeSpans.map(({ scope: { name }, spans: { length } }) => [name, length])),
    ).toEqual([
      [
        ["s", 2],
        ["t", 1],
      ],
      [["s", 1]],
    ]);
  });

  test("names the service of a resource that has the name only", () => {
    const record = { ...ONE, resource: { serviceName: "only", attributes: {} } };
    expect(readImport(Buffer.from(write([record]))).spans[0]?.resource.serviceName).toBe("only");
  });

  test("comes in pieces of at most 1000 spans", () => {
    const sizes = Array.from(
      toResourceSpans(Array.from({ length: 2500 }, () => ONE)),
      ({ scopeSpans }) => scopeSpans[0]?.spans.length,
    );
    expect(sizes).toEqual([1000, 1000, 500]);
  });
});
