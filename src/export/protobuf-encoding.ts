import type { AttributeValue, Link, TraceState as ApiTraceState } from "@opentelemetry/api";
import { copyText, type FastBuffer } from "../node-buffer.ts";
import type { AttributeBlock } from "../trace/attributes.ts";
import { writeUnixNano } from "../trace/clock.ts";
import { hexToWord } from "../trace/ids.ts";
import type { InstrumentationScope } from "../trace/pipeline.ts";
import { type Span, type SpanEvent, type SpanLink, STATUS_UNSET } from "../trace/span.ts";
import { Chunk } from "./chunk.ts";
import { type Encoding, type ScopeSpans, toFlags } from "./encoding.ts";

/**
 * OTLP protobuf, written by hand soon after the end of every span: 0.2 to 0.5 µs, where the official serializer takes 2 µs and
 * all objects of a batch have to live until then (`benchmarks/`). Field numbers are those of `opentelemetry/proto/trace/v1/trace.proto`.
 *
 * A message's length precedes it and is not known yet when its bytes are written. Room is left for it: one byte where the
 * message will be short, more where it may be long. A length in more bytes than it needs is legal protobuf.
 */

/** Longer strings may be slices, which keep in memory what they were cut from (V8, from 13 characters). */
const MAX_KNOWN_CHARS = 12;

/** An attribute's key as `KeyValue.key` (tag, length, bytes), in words: four bytes a store, where `set` is a call into the runtime. */
class EncodedKey {
  readonly key: string;
  readonly byteLength: number;
  readonly words: Int32Array;
  /** The last short value a span had under this key: many keys never have another. */
  value: AttributeValue | undefined = undefined;
  /** Once it has come twice in a row: the whole attribute. */
  repeated: Int32Array | undefined = undefined;
  /** In bytes; 0 while it has not. */
  repeatedLength: number = 0;

  constructor(key: string, byteLength: number, words: Int32Array) {
    this.key = key;
    this.byteLength = byteLength;
    this.words = words;
  }
}

/** Direct-mapped: what falls on the same slot replaces it, so keys that an application makes up cost no memory. A `Map` takes ten times as long. */
const KEY_SLOTS = 1024;
const NO_KEY: EncodedKey = new EncodedKey("", 2, Int32Array.of(0x0a000000));
const keySlots: EncodedKey[] = Array.from({ length: KEY_SLOTS }, () => NO_KEY);

/** Spans of one trace share the trace state, so it is made a string once a trace rather than once a span. */
let lastTraceState: ApiTraceState | undefined;
let lastTraceStateText = "";

/** The tag of `Span.attributes`. */
const SPAN_ATTRIBUTE = 0x4a;

/** Below this many characters a loop in JavaScript is faster than calling the runtime's UTF-8 writer. */
const SHORT_STRING = 20;

function appendSpan(chunk: Chunk, span: Span): void {
  const start = chunk.length;
  chunk.reserve(start, 128);
  const { bytes, view } = chunk;
  bytes[start] = 0x12; // ScopeSpans.spans
  let at = start + 3;
  bytes[at] = 0x0a; // trace_id
  bytes[at + 1] = 16;
  view.setInt32(at + 2, span.traceWord0);
  view.setInt32(at + 6, span.traceWord1);
  view.setInt32(at + 10, span.traceWord2);
  view.setInt32(at + 14, span.traceWord3);
  bytes[at + 18] = 0x12; // span_id
  bytes[at + 19] = 8;
  view.setInt32(at + 20, span.spanWord0);
  view.setInt32(at + 24, span.spanWord1);
  at += 28;
  if ((span.parentWord0 | span.parentWord1) !== 0) {
    bytes[at] = 0x22; // parent_span_id
    bytes[at + 1] = 8;
    view.setInt32(at + 2, span.parentWord0);
    view.setInt32(at + 6, span.parentWord1);
    at += 10;
  }
  bytes[at] = 0x30; // kind: the API's plus one
  bytes[at + 1] = (span.kind + 1) & 127;
  bytes[at + 2] = 0x39; // start_time_unix_nano
  writeUnixNano(span.startMillis, view, at + 3);
  bytes[at + 11] = 0x41; // end_time_unix_nano
  writeUnixNano(span.endMillis, view, at + 12);
  bytes[at + 20] = 0x85; // flags, field 16
  bytes[at + 21] = 0x01;
  view.setInt32(at + 22, toFlags(span.flags, span.parentIsRemote), true);
  at = writeName(chunk, at + 26, span.name);

  const { block0, block1, block2, entries, entriesLength, eventList, linkList } = span;
  if (block0 !== undefined) {
    at = writeBlock(chunk, at, block0);
    if (block1 !== undefined) at = writeBlock(chunk, at, block1);
    if (block2 !== undefined) at = writeBlock(chunk, at, block2);
  }
  if (entries !== undefined) at = writeAttributes(chunk, at, SPAN_ATTRIBUTE, entries, entriesLength);
  if (span.traceState !== undefined) at = writeString(chunk, at, 0x1a, serialize(span.traceState));
  if (span.droppedAttributesCount !== 0) at = writeCount(chunk, at, 0x50, span.droppedAttributesCount);
  if (eventList !== undefined) for (const event of eventList) at = writeEvent(chunk, at, event);
  if (span.droppedEventsCount !== 0) at = writeCount(chunk, at, 0x60, span.droppedEventsCount);
  if (linkList !== undefined) for (const link of linkList) at = writeLink(chunk, at, link);
  if (span.droppedLinksCount !== 0) at = writeCount(chunk, at, 0x70, span.droppedLinksCount);
  if (span.statusCode !== STATUS_UNSET) at = writeStatus(chunk, at, span.statusCode, span.statusMessage);
  chunk.length = closeMessage(chunk, start + 1, at);
}

/** A name that was longer is written anew each time. */
const MAX_KNOWN_NAME = 64;
/** Direct-mapped, as keys are: the spans of a process have few names. */
const NAME_SLOTS = 64;

class EncodedName {
  name: string = "";
  /** The field, once the name has come twice in a row. */
  words: Int32Array | undefined = undefined;
  /** In bytes; 0 while it has not. */
  length: number = 0;
}

const nameSlots: EncodedName[] = Array.from({ length: NAME_SLOTS }, () => new EncodedName());

function writeName(chunk: Chunk, at: number, spanName: string): number {
  const name = knownString(typeof spanName === "string" ? spanName : String(spanName));
  const { length } = name;
  if (length > MAX_KNOWN_NAME) return writeString(chunk, at, 0x2a, name);
  const slot = (length * 37 + name.charCodeAt(0) * 7 + name.charCodeAt(length - 1)) & (NAME_SLOTS - 1);
  const known = nameSlots[slot] as EncodedName;
  const isKnown = known.name === name;
  if (isKnown && known.length !== 0) return writeWords(chunk, at, known.words as Int32Array, known.length);
  const end = writeString(chunk, at, 0x2a, name);
  if (isKnown) {
    known.words ??= new Int32Array((MAX_KNOWN_NAME * 3 + 8) >> 2);
    known.length = keepWords(chunk, at, end, known.words);
  } else {
    // It may be a slice of something large.
    known.name = length > MAX_KNOWN_CHARS ? copyText(name) : name;
    known.length = 0;
  }
  return end;
}

function serialize(traceState: ApiTraceState): string {
  if (traceState !== lastTraceState) {
    lastTraceStateText = String(traceState.serialize());
    lastTraceState = traceState;
  }
  return lastTraceStateText;
}

function writeBlock(chunk: Chunk, at: number, block: AttributeBlock): number {
  const encoded = (block.encoded ??= encodeBlock(block));
  chunk.reserve(at, encoded.length);
  chunk.bytes.set(encoded, at);
  return at + encoded.length;
}

function encodeBlock(block: AttributeBlock): Uint8Array {
  const scratch = new Chunk(1024);
  let at = 0;
  for (let index = 0; index < block.keys.length; index++) {
    at = writeAttribute(
      scratch,
      at,
      SPAN_ATTRIBUTE,
      block.keys[index] as string,
      block.values[index] as AttributeValue,
    );
  }
  return Uint8Array.prototype.slice.call(scratch.bytes, 0, at);
}

function writeEvent(chunk: Chunk, start: number, event: SpanEvent): number {
  chunk.reserve(start, 16);
  chunk.bytes[start] = 0x5a;
  let at = start + 3;
  chunk.bytes[at] = 0x09; // time_unix_nano
  writeUnixNano(event.time, chunk.view, at + 1);
  at = writeString(chunk, at + 9, 0x12, event.name);
  at = writeAttributes(chunk, at, 0x1a, event.entries, event.entries.length);
  if (event.droppedAttributesCount !== 0) at = writeCount(chunk, at, 0x20, event.droppedAttributesCount);
  return closeMessage(chunk, start + 1, at);
}

function writeLink(chunk: Chunk, start: number, link: SpanLink): number {
  const { context } = link;
  chunk.reserve(start, 64);
  const { bytes, view } = chunk;
  bytes[start] = 0x6a;
  let at = start + 3;
  bytes[at] = 0x0a; // trace_id
  bytes[at + 1] = 16;
  for (let word = 0; word < 4; word++) view.setInt32(at + 2 + word * 4, linkedWord(context.traceId, word));
  bytes[at + 18] = 0x12; // span_id
  bytes[at + 19] = 8;
  for (let word = 0; word < 2; word++) view.setInt32(at + 20 + word * 4, linkedWord(context.spanId, word));
  bytes[at + 28] = 0x35; // flags
  view.setInt32(at + 29, toFlags(context.traceFlags, context.isRemote === true), true);
  at += 33;
  if (context.traceState !== undefined) at = writeString(chunk, at, 0x1a, serialize(context.traceState));
  at = writeAttributes(chunk, at, 0x22, link.entries, link.entries.length);
  if (link.droppedAttributesCount !== 0) at = writeCount(chunk, at, 0x28, link.droppedAttributesCount);
  return closeMessage(chunk, start + 1, at);
}

/** A linked context is the application's own object: what is not hexadecimal becomes zeros, the invalid id. */
function linkedWord(id: Link["context"]["traceId"], word: number): number {
  const hex = String(id).toLowerCase();
  const value = hexToWord(hex, word * 8);
  return Number.isNaN(value) ? 0 : value;
}

function writeStatus(chunk: Chunk, start: number, code: number, message: string | undefined): number {
  chunk.reserve(start, 8);
  chunk.bytes[start] = 0x7a;
  chunk.bytes[start + 3] = 0x18;
  chunk.bytes[start + 4] = code & 127;
  let at = start + 5;
  if (message !== undefined && message !== "") at = writeString(chunk, at, 0x12, message);
  return closeMessage(chunk, start + 1, at);
}

function writeAttributes(
  chunk: Chunk,
  start: number,
  tag: number,
  entries: ReadonlyArray<string | AttributeValue | undefined>,
  length: number,
): number {
  let at = start;
  for (let index = 0; index < length; index += 2) {
    at = writeAttribute(chunk, at, tag, entries[index] as string, entries[index + 1] as AttributeValue);
  }
  return at;
}

function writeAttribute(chunk: Chunk, at: number, tag: number, key: string, value: AttributeValue): number {
  const length = key.length;
  const slot =
    (length * 37 + key.charCodeAt(length - 1) * 7 + key.charCodeAt(length >> 1) * 131 + key.charCodeAt(length >> 2)) &
    (KEY_SLOTS - 1);
  let encodedKey = keySlots[slot] as EncodedKey;
  if (encodedKey.key !== key) encodedKey = keySlots[slot] = toEncodedKey(key);
  const isString = typeof value === "string";
  const isKnown = value === encodedKey.value && tag === SPAN_ATTRIBUTE;
  if (isKnown && encodedKey.repeatedLength !== 0) {
    return writeWords(chunk, at, encodedKey.repeated as Int32Array, encodedKey.repeatedLength);
  }
  const end = isString
    ? writeStringAttribute(chunk, at, tag, encodedKey, value)
    : writeOtherAttribute(chunk, at, tag, encodedKey, value);
  if (isKnown) {
    encodedKey.repeated ??= new Int32Array((encodedKey.byteLength + MAX_KNOWN_CHARS * 3 + 32) >> 2);
    encodedKey.repeatedLength = keepWords(chunk, at, end, encodedKey.repeated);
  } else if (isString ? value.length <= MAX_KNOWN_CHARS : typeof value !== "object") {
    encodedKey.value = value;
    encodedKey.repeatedLength = 0;
  }
  return end;
}

/** Writes up to three bytes too many, which what follows overwrites. */
function writeWords(chunk: Chunk, at: number, words: Int32Array, byteLength: number): number {
  chunk.reserve(at, byteLength + 3);
  const { view } = chunk;
  for (let offset = 0; offset < byteLength; offset += 4) view.setInt32(at + offset, words[offset >> 2] as number);
  return at + byteLength;
}

/** The counterpart, of what was written from `start` to `end`. Returns its length. */
function keepWords(chunk: Chunk, start: number, end: number, words: Int32Array): number {
  chunk.reserve(end, 3);
  for (let at = start; at < end; at += 4) words[(at - start) >> 2] = chunk.view.getInt32(at);
  return end - start;
}

function toEncodedKey(key: string): EncodedKey {
  const scratch = new Chunk(key.length * 3 + 16);
  const byteLength = writeString(scratch, 0, 0x0a, key);
  const words = new Int32Array((byteLength + 3) >> 2);
  for (let index = 0; index < words.length; index++) words[index] = scratch.view.getInt32(index * 4);
  return new EncodedKey(key, byteLength, words);
}

/** Writes up to three bytes too many, which the value then overwrites. */
function writeKey(view: DataView, at: number, { words }: EncodedKey): void {
  for (let index = 0; index < words.length; index++) view.setInt32(at + index * 4, words[index] as number);
}

/** `tag length {key, 0x12 length {0x0a length text}}`: three lengths that only the text's bytes decide. */
function writeStringAttribute(chunk: Chunk, at: number, tag: number, key: EncodedKey, attribute: string): number {
  const keyLength = key.byteLength;
  const text = knownString(attribute);
  const { length } = text;
  const most = maxBytes(text, length) + keyLength + 24;
  chunk.reserve(at, most);
  const bytes = chunk.bytes as FastBuffer;
  const shortest = 123 - keyLength;
  if (length <= shortest) {
    bytes[at] = tag;
    writeKey(chunk.view, at + 2, key);
    const value = at + 2 + keyLength;
    const written = writeText(bytes, value + 4, text, length);
    if (written <= shortest) {
      bytes[at + 1] = keyLength + 4 + written;
      bytes[value] = 0x12;
      bytes[value + 1] = written + 2;
      bytes[value + 2] = 0x0a;
      bytes[value + 3] = written;
      return value + 4 + written;
    }
  }
  const width = lengthWidth(most);
  bytes[at] = tag;
  writeKey(chunk.view, at + 1 + width, key);
  const value = at + 1 + width + keyLength;
  const textAt = value + 2 + width * 2;
  const written = bytes.utf8Write(text, textAt, bytes.length - textAt);
  bytes[value] = 0x12;
  bytes[value + 1 + width] = 0x0a;
  writeLength(bytes, value + 2 + width, width, written);
  writeLength(bytes, value + 1, width, written + 1 + width);
  writeLength(bytes, at + 1, width, keyLength + written + 2 + width * 2);
  return textAt + written;
}

function writeOtherAttribute(chunk: Chunk, at: number, tag: number, key: EncodedKey, value: AttributeValue): number {
  const most = maxValueBytes(value) + key.byteLength + 24;
  chunk.reserve(at, most);
  const width = lengthWidth(most);
  chunk.bytes[at] = tag;
  const keyAt = at + 1 + width;
  writeKey(chunk.view, keyAt, key);
  const valueAt = keyAt + key.byteLength;
  chunk.bytes[valueAt] = 0x12;
  const end = writeAnyValue(chunk, valueAt + 1 + width, value, width);
  writeLength(chunk.bytes, valueAt + 1, width, end - valueAt - 1 - width);
  writeLength(chunk.bytes, at + 1, width, end - keyAt);
  return end;
}

/** The content of an `AnyValue`, for which room has been made. Empty for null, undefined and what is no attribute value. */
function writeAnyValue(chunk: Chunk, at: number, value: unknown, width: number): number {
  const bytes = chunk.bytes as FastBuffer;
  // Each `typeof` by itself: a switch over one asks V8's runtime for the word.
  if (typeof value === "number") {
    // int64, as the official exporter has it: also integers past 2^53, which a double holds exactly or not at all.
    if (Number.isInteger(value) && value >= -(2 ** 63) && value < 2 ** 63) {
      bytes[at] = 0x18;
      return writeInteger(bytes, at + 1, value);
    }
    bytes[at] = 0x21;
    chunk.view.setFloat64(at + 1, value, true);
    return at + 9;
  }
  if (typeof value === "string") {
    const textAt = at + 1 + width;
    const written = bytes.utf8Write(value, textAt, bytes.length - textAt);
    bytes[at] = 0x0a;
    writeLength(bytes, at + 1, width, written);
    return textAt + written;
  }
  if (typeof value === "boolean") {
    bytes[at] = 0x10;
    bytes[at + 1] = value ? 1 : 0;
    return at + 2;
  }
  if (!Array.isArray(value)) return at;
  bytes[at] = 0x2a; // array_value
  let end = at + 1 + width;
  for (const item of value as unknown[]) {
    bytes[end] = 0x0a;
    const itemEnd = writeAnyValue(chunk, end + 1 + width, item, width);
    writeLength(bytes, end + 1, width, itemEnd - end - 1 - width);
    end = itemEnd;
  }
  writeLength(bytes, at + 1, width, end - at - 1 - width);
  return end;
}

/**
 * The same string, of which V8 now knows that it is one. There are a dozen kinds of strings, and where three have been seen
 * `length` is looked up like any property: 30 ns a time, of which an attribute took five (Node 24).
 */
function knownString(text: string): string {
  return "" + text;
}

/** An upper bound, cheap for the usual text and exact for one so long that three bytes a character would be a waste. */
function maxBytes(text: string, length: number): number {
  return length <= 65536 ? length * 3 : Buffer.byteLength(text);
}

function maxValueBytes(value: unknown): number {
  if (typeof value === "string") return maxBytes(value, knownString(value).length) + 12;
  if (!Array.isArray(value)) return 12;
  let most = 12;
  for (const item of value as unknown[]) most += maxValueBytes(item) + 6;
  return most;
}

/** How many bytes the length of anything up to `most` bytes takes. */
function lengthWidth(most: number): number {
  return most < 128 ? 1 : most < 16384 ? 2 : most < 2097152 ? 3 : 4;
}

function writeLength(bytes: Uint8Array, at: number, width: number, length: number): void {
  let rest = length;
  for (let index = at; index < at + width - 1; index++) {
    bytes[index] = (rest & 127) | 128;
    rest >>>= 7;
  }
  bytes[at + width - 1] = rest;
}

/** Two's complement in 64 bits, as a varint. */
function writeInteger(bytes: Uint8Array, start: number, value: number): number {
  let at = start;
  if (value >= 0 && value < 2147483648) {
    let rest = value | 0;
    while (rest > 127) {
      bytes[at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    return at;
  }
  let high = Math.floor(value / 4294967296);
  let low = value - high * 4294967296;
  high >>>= 0;
  low >>>= 0;
  while (high !== 0 || low > 127) {
    bytes[at++] = (low & 127) | 128;
    low = ((low >>> 7) | (high << 25)) >>> 0;
    high >>>= 7;
  }
  bytes[at++] = low;
  return at;
}

function writeCount(chunk: Chunk, at: number, tag: number, count: number): number {
  chunk.reserve(at, 8);
  chunk.bytes[at] = tag;
  return writeInteger(chunk.bytes, at + 1, count >>> 0);
}

/** A string field. What should be a string but comes from an application without types is made one. */
function writeString(chunk: Chunk, at: number, tag: number, value: string): number {
  const text = knownString(typeof value === "string" ? value : String(value));
  const { length } = text;
  const most = maxBytes(text, length);
  chunk.reserve(at, most + 8);
  const bytes = chunk.bytes as FastBuffer;
  bytes[at] = tag;
  if (length < 128) {
    const written = writeText(bytes, at + 2, text, length);
    if (written < 128) {
      bytes[at + 1] = written;
      return at + 2 + written;
    }
  }
  const width = lengthWidth(most);
  const written = bytes.utf8Write(text, at + 1 + width, bytes.length - at - 1 - width);
  writeLength(bytes, at + 1, width, written);
  return at + 1 + width + written;
}

/** UTF-8; half a surrogate pair becomes U+FFFD. Returns the number of bytes. */
function writeText(bytes: FastBuffer, at: number, text: string, length: number): number {
  if (length >= SHORT_STRING) return bytes.utf8Write(text, at, bytes.length - at);
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    if (code > 127) return bytes.utf8Write(text, at, bytes.length - at);
    bytes[at + index] = code;
  }
  return length;
}

/** Fills in the length of a message that ends at `end`; two bytes were left for it at `lengthAt`. Returns where it ends now. */
function closeMessage(chunk: Chunk, lengthAt: number, end: number): number {
  const length = end - lengthAt - 2;
  if (length < 16384) {
    chunk.bytes[lengthAt] = (length & 127) | 128;
    chunk.bytes[lengthAt + 1] = length >>> 7;
    return end;
  }
  const width = lengthWidth(length);
  chunk.reserve(end, width - 2);
  chunk.bytes.copyWithin(lengthAt + width, lengthAt + 2, end);
  writeLength(chunk.bytes, lengthAt, width, length);
  return end + width - 2;
}

/** A tag, and a length in as many bytes as that of the largest request takes. */
const HEAD_BYTES = 5;

/** OTLP/HTTP's and gRPC's `ExportTraceServiceRequest`. `resource` is encoded once, and so is each scope. */
export function createProtobufEncoding(resource: Readonly<Record<string, unknown>>): Encoding {
  const encodedResource = encodeResource(resource);
  const encodedScopes = new WeakMap<InstrumentationScope, Uint8Array>();
  const encodedScope = (scope: InstrumentationScope): Uint8Array => {
    let encoded = encodedScopes.get(scope);
    if (encoded === undefined) encodedScopes.set(scope, (encoded = encodeScope(scope)));
    return encoded;
  };
  return {
    append: appendSpan,
    assemble(scopes: readonly ScopeSpans[]): Uint8Array[] {
      let headLength = HEAD_BYTES + encodedResource.length;
      let spansLength = 0;
      for (const { scope, chunk } of scopes) {
        headLength += HEAD_BYTES + encodedScope(scope).length;
        spansLength += chunk.length;
      }
      // What is not in a chunk, in one buffer.
      const heads = Buffer.allocUnsafe(headLength);
      let at = writeHead(heads, 0, 0x0a, headLength - HEAD_BYTES + spansLength); // resource_spans
      heads.set(encodedResource, at);
      at += encodedResource.length;
      const body: Uint8Array[] = [];
      let start = 0;
      for (const { scope, chunk } of scopes) {
        const encoded = encodedScope(scope);
        at = writeHead(heads, at, 0x12, encoded.length + chunk.length); // scope_spans
        heads.set(encoded, at);
        at += encoded.length;
        body.push(heads.subarray(start, at), chunk.written());
        start = at;
      }
      return body;
    },
  };
}

function writeHead(bytes: Uint8Array, at: number, tag: number, length: number): number {
  bytes[at] = tag;
  writeLength(bytes, at + 1, HEAD_BYTES - 1, length);
  return at + HEAD_BYTES;
}

function encodeResource(resource: Readonly<Record<string, unknown>>): Uint8Array {
  const chunk = new Chunk();
  chunk.bytes[0] = 0x0a;
  let at = 3;
  for (const [key, value] of Object.entries(resource)) {
    at = writeAttribute(chunk, at, 0x0a, key, value as AttributeValue);
  }
  chunk.length = closeMessage(chunk, 1, at);
  return Uint8Array.prototype.slice.call(chunk.written());
}

/** The start of a `ScopeSpans` message, which its spans follow. */
function encodeScope({ name, version, schemaUrl }: InstrumentationScope): Uint8Array {
  const chunk = new Chunk(256);
  chunk.bytes[0] = 0x0a;
  let at = writeString(chunk, 3, 0x0a, name);
  if (version) at = writeString(chunk, at, 0x12, version);
  at = closeMessage(chunk, 1, at);
  if (schemaUrl) at = writeString(chunk, at, 0x1a, schemaUrl);
  return Uint8Array.prototype.slice.call(chunk.bytes, 0, at);
}
