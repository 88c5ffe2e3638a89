import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import fc from "fast-check";
import { PbfWriter } from "pbf";
import { expect, test } from "vitest";
import type { SpanRecord } from "../../src/model/span.ts";
import { readPayload } from "../../src/receive/read-payload.ts";
import { officialSpans } from "./official-sdk.ts";

const WANTED = new Set(["text", "numbers", "map", "twice", "turned"]);

type Outcome = { spans: SpanRecord[]; keys: string[]; rejected: number } | { message: string };

/** Reads the body with all attributes as values, and once more with all of them as JSON: must be the same in the end. */
function expectSame(body: Uint8Array): void {
  const payload = { signal: "traces", format: "otlp-protobuf", body } as const;
  const asValues = outcome(() => {
    const { spans, rejected } = readPayload(payload);
    return { spans, keys: spans.map(({ attributes }) => JSON.stringify(attributes)), rejected };
  });
  const asJson = outcome(() => {
    const { spans, rejected, attributesJson } = readPayload(payload, WANTED);
    const { json, ends } = attributesJson!;
    const whole = spans.map((span, index) => {
      const text = json.bytes.toString("utf8", ends[index - 1] ?? 0, ends[index]);
      const attributes = JSON.parse(text) as SpanRecord["attributes"];
      const wanted = Object.entries(attributes).filter(([key]) => WANTED.has(key));
      expect(span.attributes).toEqual(Object.fromEntries(wanted));
      return { ...span, attributes };
    });
    return { spans: whole, keys: whole.map(({ attributes }) => JSON.stringify(attributes)), rejected };
  });
  expect(asJson).toEqual(asValues);
}

function outcome(read: () => Outcome): Outcome {
  try {
    return read();
  } catch (error) {
    return { message: (error as Error).message };
  }
}

type Write = (writer: PbfWriter) => void;
const message =
  (field: number, write: Write): Write =>
  (writer) =>
    writer.writeMessage(field, (_, inner) => write(inner), null);
const all =
  (...writes: Write[]): Write =>
  (writer) =>
    writes.forEach((write) => write(writer));
const text =
  (field: number, value: string | Uint8Array): Write =>
  (writer) =>
    writer.writeBytesField(field, Buffer.from(value as string));
const attribute = (key: string, value: Write): Write => message(9, all(text(1, key), message(2, value)));
const ids = (id: number): Write => all(text(1, new Uint8Array(16).fill(id)), text(2, new Uint8Array(8).fill(id)));

function request(...spans: Write[]): Uint8Array {
  const writer = new PbfWriter();
  message(1, message(2, all(...spans.map((span) => message(2, span)))))(writer);
  return writer.finish();
}

const integer =
  (value: number | bigint): Write =>
  (writer) => {
    writer.writeTag(3, 0);
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest > 127n; rest >>= 7n) writer.writeVarint(Number(rest & 127n) | 128);
    // pbf's own writes numbers only.
    writer.writeVarint(Number(rest));
  };
const double =
  (value: number): Write =>
  (writer) =>
    writer.writeDoubleField(4, value);
const boolean =
  (value: boolean): Write =>
  (writer) =>
    writer.writeBooleanField(2, value);
const nothing: Write = () => {};

const VALUES: Record<string, Write> = {
  text: text(1, 'quotes " and \\ and / \b\f\n\r\t\0\x1b\x7f'),
  unicode: text(1, "\u{feff}grüße \u{2028}\u{1f389}"),
  "not UTF-8": text(1, new Uint8Array([0x61, 0xff, 0x22, 0xc3])),
  "a cut surrogate": text(1, new Uint8Array([0xed, 0xa0, 0x80])),
  'key " \\ \n ü': text(1, "x"),
  zero: integer(0),
  ten: integer(10),
  "nine digits": integer(999_999_999),
  "ten digits": integer(1_000_000_000),
  "ten nines": integer(9_999_999_999),
  negative: integer(-1),
  safe: integer(Number.MAX_SAFE_INTEGER),
  large: integer(2n ** 63n - 1n),
  whole: double(3),
  fraction: double(0.1),
  "minus zero": double(-0),
  nan: double(Number.NaN),
  infinite: double(-Infinity),
  yes: boolean(true),
  no: boolean(false),
  bytes: text(7, new Uint8Array([0, 255])),
  numbers: message(5, all(message(1, integer(1)), message(1, double(2.5)), message(1, message(5, nothing)))),
  map: message(6, message(1, all(text(1, "inner"), message(2, text(1, "ü"))))),
  empty: nothing,
  "an empty list": message(5, nothing),
  "the last of two kinds": all(integer(1), text(1, "two")),
  "a list, and a text": all(message(5, message(1, integer(1))), text(1, "two")),
  "a field nobody knows": all(text(1, "one"), text(99, "what")),
  "7": text(1, "a number's name"),
};

test("attributes as JSON are what the attributes are", () => {
  const each = Object.entries(VALUES).map(([key, value]) => attribute(key, value));
  each.push(attribute("__proto__", text(1, "not one")));
  expectSame(request(all(ids(1), ...each), all(...each.toReversed(), ids(2)), ids(3)));
  expectSame(ProtobufTraceSerializer.serializeRequest(officialSpans()) as Uint8Array);
});

test("of several with the same key the last one stays, and a key may come after its value or not at all", () => {
  const turned = message(9, all(message(2, text(1, "value first")), text(1, "turned")));
  const merged = message(9, all(text(1, "other"), text(1, "merged"), message(2, text(1, "a")), message(2, integer(1))));
  const bare = all(message(9, nothing), message(9, text(1, "no value")), message(9, message(2, text(1, "no key"))));
  const twice = [attribute("twice", text(1, "first")), attribute("between", nothing), attribute("twice", integer(2))];
  // An id begins with the byte that a key does.
  expectSame(request(all(...twice, turned, merged, bare, message(9, nothing), ids(1))));
});

test("a span that is left out leaves nothing behind", () => {
  const kept = all(attribute("a", text(1, "kept")), ids(1));
  expectSame(request(kept, attribute("b", text(1, "no ids")), kept, text(1, "short"), kept));
});

test("what one request left is not in the next, however large it was", () => {
  const large = request(all(ids(1), attribute("text", text(1, `${"x".repeat(10_000_000)}"`))));
  const small = request(all(ids(2), attribute("text", text(1, "small"))));
  for (const body of [large, small, large, small]) expectSame(body);
});

test("an attribute is not taken for another that came before, however alike they are", () => {
  const plain = "SELECT id, url FROM urls WHERE id = $1 AND deleted_at IS NULL";
  const attributes = [attribute("text", text(1, plain)), attribute("texts", text(1, plain))];
  for (let at = 0; at < plain.length; at++) {
    const other = `${plain.slice(0, at)}#${plain.slice(at + 1)}`;
    attributes.push(attribute("text", text(1, other)), attribute(other, text(1, "x")));
  }
  for (const length of [
    ...Array.from({ length: 12 }, (_, short) => short),
    180,
    181,
    182,
    183,
    184,
    185,
    186,
    200,
    250,
  ])
    attributes.push(attribute("text", text(1, "x".repeat(length))), attribute("t", text(1, '"'.repeat(length))));
  for (const value of Object.values(VALUES)) attributes.push(attribute("map", value), attribute("maps", value));
  const spans = attributes.map((one) => all(ids(1), one));
  // What comes often enough is found from then on, next to what never was.
  for (let round = 0; round < 4; round++) expectSame(request(...spans));
  for (const one of spans) for (let round = 0; round < 4; round++) expectSame(request(one));
});

test("who wants other attributes gets those", () => {
  const body = request(all(ids(1), attribute("one", integer(1)), attribute("two", integer(2))));
  const read = (wanted: string): SpanRecord["attributes"] =>
    readPayload({ signal: "traces", format: "otlp-protobuf", body }, new Set([wanted])).spans[0]!.attributes;
  const one = new Set(["one"]);
  for (let round = 0; round < 4; round++) readPayload({ signal: "traces", format: "otlp-protobuf", body }, one);
  expect(read("two")).toEqual({ two: 2 });
});

test("what is broken is refused for the same reason", () => {
  const each = Object.entries(VALUES).map(([key, value]) => attribute(key, value));
  const chosen = fc.constantFrom(
    request(all(ids(1), ...each)),
    ProtobufTraceSerializer.serializeRequest(officialSpans()) as Uint8Array,
  );
  const flips = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(chosen, flips, fc.nat(), (body, changes, end) => {
      const copy = Buffer.from(body);
      for (const [at, byte] of changes) copy[at % copy.length] = byte;
      expectSame(copy);
      expectSame(copy.subarray(0, end % copy.length));
    }),
    { numRuns: 700 },
  );
});
