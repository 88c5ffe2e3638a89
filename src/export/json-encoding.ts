import type { AttributeValue } from "@opentelemetry/api";
import { toHrTime } from "../trace/clock.ts";
import type { InstrumentationScope } from "../trace/pipeline.ts";
import type { Span } from "../trace/span.ts";
import type { Chunk } from "./chunk.ts";
import { type Encoding, type ScopeSpans, toFlags } from "./encoding.ts";

/**
 * OTLP/JSON: ids are hex, 64-bit integers are strings, enumerations are numbers, names are lowerCamelCase.
 * Source: OTLP specification, "JSON Protobuf Encoding".
 */
export function createJsonEncoding(resource: Readonly<Record<string, unknown>>): Encoding {
  const head = `{"resourceSpans":[{"resource":${JSON.stringify({ attributes: toKeyValues(Object.entries(resource).flat()) })},"scopeSpans":[`;
  return {
    append(chunk: Chunk, span: Span): void {
      const start = chunk.length;
      const text = stringify(toSpan(span));
      const byteLength = Buffer.byteLength(text);
      chunk.reserve(start, byteLength + 1);
      let at = start;
      if (at !== 0) chunk.bytes[at++] = 0x2c;
      chunk.length = at + chunk.bytes.write(text, at, byteLength, "utf8");
    },
    assemble(scopes: readonly ScopeSpans[]): Uint8Array[] {
      const body: Uint8Array[] = [];
      let before = head;
      for (const { scope, chunk } of scopes) {
        body.push(Buffer.from(before + scopeHead(scope)), chunk.written());
        before = "]},";
      }
      body.push(Buffer.from("]}]}]}"));
      return body;
    },
  };
}

/** Half a surrogate pair, which JSON.stringify escapes and strict parsers refuse together with the whole request, becomes U+FFFD. */
function stringify(value: unknown): string {
  const text = JSON.stringify(value);
  return /\\ud[89a-f]/.test(text)
    ? JSON.stringify(value, (_key, item: unknown) =>
        typeof item === "string" ? item.replace(/\p{Surrogate}/gu, "\ufffd") : item,
      )
    : text;
}

function scopeHead({ name, version, schemaUrl }: InstrumentationScope): string {
  const schema = schemaUrl ? `"schemaUrl":${JSON.stringify(schemaUrl)},` : "";
  return `{${schema}"scope":${JSON.stringify({ name, version })},"spans":[`;
}

function toSpan(span: Span): unknown {
  const { traceId, spanId, traceState } = span.spanContext();
  const entries: Array<string | AttributeValue> = [];
  for (const block of [span.block0, span.block1, span.block2]) {
    block?.keys.forEach((key, index) => entries.push(key, block.values[index] as AttributeValue));
  }
  if (span.entries !== undefined) for (const entry of span.entries) entries.push(entry);
  return {
    traceId,
    spanId,
    traceState: traceState?.serialize(),
    parentSpanId: span.parentSpanContext?.spanId,
    flags: toFlags(span.flags, span.parentIsRemote),
    name: String(span.name),
    kind: span.kind + 1,
    startTimeUnixNano: toNanos(span.startMillis),
    endTimeUnixNano: toNanos(span.endMillis),
    attributes: toKeyValues(entries),
    droppedAttributesCount: span.droppedAttributesCount,
    events: span.eventList?.map((event) => ({
      timeUnixNano: toNanos(event.time),
      name: String(event.name),
      attributes: toKeyValues(event.entries),
      droppedAttributesCount: event.droppedAttributesCount,
    })),
    droppedEventsCount: span.droppedEventsCount,
    links: span.linkList?.map(({ context, entries: linkEntries, droppedAttributesCount }) => ({
      traceId: toId(context.traceId, 32),
      spanId: toId(context.spanId, 16),
      traceState: context.traceState?.serialize(),
      flags: toFlags(context.traceFlags, context.isRemote === true),
      attributes: toKeyValues(linkEntries),
      droppedAttributesCount,
    })),
    droppedLinksCount: span.droppedLinksCount,
    status: { code: span.statusCode, message: span.statusMessage },
  };
}

/** A linked context is the application's own object. */
function toId(id: string, digits: number): string {
  const hex = String(id).toLowerCase();
  return hex.length === digits && /^[0-9a-f]+$/.test(hex) ? hex : "0".repeat(digits);
}

function toNanos(time: number): string {
  const [seconds, nanos] = toHrTime(time);
  return `${seconds}${String(nanos).padStart(9, "0")}`;
}

function toKeyValues(entries: ReadonlyArray<unknown>): unknown[] {
  const pairs: unknown[] = [];
  for (let index = 0; index < entries.length; index += 2) {
    pairs.push({ key: entries[index], value: toAnyValue(entries[index + 1]) });
  }
  return pairs;
}

function toAnyValue(value: unknown): unknown {
  switch (typeof value) {
    case "string":
      return { stringValue: value };
    case "boolean":
      return { boolValue: value };
    case "number":
      // BigInt: past 2^53 a number prints rounded digits.
      if (Number.isInteger(value) && value >= -(2 ** 63) && value < 2 ** 63) {
        return { intValue: BigInt(value).toString() };
      }
      // JSON has no NaN and no Infinity; protobuf's JSON mapping names them.
      return { doubleValue: Number.isFinite(value) ? value : String(value) };
    default:
      return Array.isArray(value) ? { arrayValue: { values: value.map(toAnyValue) } } : {};
  }
}
