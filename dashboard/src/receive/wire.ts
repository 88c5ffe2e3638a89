import { PbfReader } from "pbf";
import type { Instant } from "../model/span.ts";
import { MalformedPayload } from "./malformed-payload.ts";
import { type FastBuffer, SharedTexts } from "./shared-texts.ts";

/** Names of a message's fields by number, for messages about them. Fields that are passed over have none. */
export interface MessageShape {
  readonly name: string;
  readonly fields: readonly (string | undefined)[];
}

const WIRE_TYPES = ["a varint", "fixed64", "length-delimited", "a group", "a group", "fixed32"];

/** Kept across requests. Keys are few; values are many and longer: routes, statements, hosts. */
const keys = new SharedTexts(4096, 64, true);
const values = new SharedTexts(4096, 192, false);
/** The latest span ids: direct-mapped, by their bytes. */
const SPAN_IDS = 512;
const spanIdWords = new Int32Array(2 * SPAN_IDS);
const spanIds: string[] = Array.from({ length: SPAN_IDS }, () => "");

/** Things a body of a few bytes each could be made of, until memory is full. No honest request comes near. */
const MAX_OBJECTS = 1_000_000;

/**
 * Protobuf's wire format, over pbf's reader, which trusts its input: here nothing is read across the end of its message, and
 * everything that is wrong is a `MalformedPayload`.
 *
 * A message is read by a loop `while (wire.pos < end)` over tags, with `wire.finish(end, shape)` after it.
 */
export class Wire extends PbfReader {
  readonly bytes: FastBuffer;
  #objects = 0;
  #idLength = 0;
  #lastId = "";
  /** Where `#lastId` was read; -1 before. */
  #lastIdStart = -1;

  constructor(body: Uint8Array) {
    const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength) as FastBuffer;
    super(bytes);
    this.bytes = bytes;
  }

  /** Reads the length of what follows and gives where it ends. */
  readEnd(end: number): number {
    const stop = this.readVarint() + this.pos;
    if (stop > end) {
      throw new MalformedPayload(
        `at byte ${this.pos}: ${stop - this.pos} bytes should follow, but only ${Math.max(0, end - this.pos)} are left (cut off?)`,
      );
    }
    return stop;
  }

  /** Bytes that are not UTF-8 become U+FFFD. */
  readText(end: number): string {
    const stop = this.readEnd(end);
    const start = this.pos;
    this.pos = stop;
    return start === stop ? "" : this.bytes.utf8Slice(start, stop);
  }

  /** A text that is likely to come again. */
  readSharedText(end: number): string {
    const stop = this.readEnd(end);
    const start = this.pos;
    this.pos = stop;
    return values.read(this.bytes, this.dataView, start, stop);
  }

  /** Likewise, of an attribute. */
  readKey(end: number): string {
    const stop = this.readEnd(end);
    const start = this.pos;
    this.pos = stop;
    return keys.read(this.bytes, this.dataView, start, stop);
  }

  /** The key between these bytes. */
  keyAt(start: number, end: number): string {
    return keys.read(this.bytes, this.dataView, start, end);
  }

  /** An id of 16 or 8 bytes in hex; `""` where it is empty or all zeros, undefined where its length is another one. */
  readId(end: number, length: 16 | 8): string | undefined {
    const stop = this.readEnd(end);
    const start = this.pos;
    this.pos = stop;
    this.#idLength = stop - start;
    if (stop - start !== length) return stop === start ? "" : undefined;
    const { dataView } = this;
    const word0 = dataView.getInt32(start);
    const word1 = dataView.getInt32(start + 4);
    if (length === 8) return word0 === 0 && word1 === 0 ? "" : this.#readSpanId(start, word0, word1);
    const word2 = dataView.getInt32(start + 8);
    const word3 = dataView.getInt32(start + 12);
    // Spans of a trace come together.
    const last = this.#lastIdStart;
    if (
      last >= 0 &&
      word3 === dataView.getInt32(last + 12) &&
      word2 === dataView.getInt32(last + 8) &&
      word1 === dataView.getInt32(last + 4) &&
      word0 === dataView.getInt32(last)
    )
      return this.#lastId;
    if (word0 === 0 && word1 === 0 && word2 === 0 && word3 === 0) return "";
    this.#lastIdStart = start;
    return (this.#lastId = this.bytes.hexSlice(start, stop));
  }

  /** Each is read once for its span, and once for each of its children: near by, as a rule. */
  #readSpanId(start: number, word0: number, word1: number): string {
    const slot = (word0 ^ word1) & (SPAN_IDS - 1);
    if (spanIdWords[2 * slot] === word0 && spanIdWords[2 * slot + 1] === word1) return spanIds[slot] as string;
    spanIdWords[2 * slot] = word0;
    spanIdWords[2 * slot + 1] = word1;
    return (spanIds[slot] = this.bytes.hexSlice(start, start + 8));
  }

  /** What was wrong with the id that was read last. */
  idProblem(what: string, length: number): string {
    if (this.#idLength === 0 || this.#idLength === length) return `it has no ${what}`;
    return `its ${what} has ${this.#idLength} bytes instead of ${length}`;
  }

  /** A fixed64 of nanoseconds since 1970. Exact until the year 2255, and no BigInt. */
  readInstant(): Instant {
    const low = this.dataView.getUint32(this.pos, true);
    const high = this.dataView.getUint32(this.pos + 4, true);
    this.pos += 8;
    // 2^32 = 4294967 * 1000 + 296
    const rest = high * 296 + low;
    const restMicros = Math.floor(rest / 1000);
    return { unixMicros: high * 4294967 + restMicros, nanos: rest - restMicros * 1000 };
  }

  /** An int64: a number, or its digits where a number would not be exact. */
  readInteger(): number | string {
    const start = this.pos;
    const number = this.readVarint(true);
    if (Number.isSafeInteger(number)) return number;
    let exact = 0n;
    for (let at = start, shift = 0n; at < this.pos; at++, shift += 7n) {
      exact |= BigInt((this.buf[at] as number) & 0x7f) << shift;
    }
    return String(BigInt.asIntN(64, exact));
  }

  readUint32(): number {
    return this.readVarint() >>> 0;
  }

  readBase64(end: number): string {
    const stop = this.readEnd(end);
    const start = this.pos;
    this.pos = stop;
    return this.bytes.toString("base64", start, stop);
  }

  /** Passes over a field that is not known. One that is, and has another wire type than it should, is a mistake. */
  skipField(tag: number, end: number, { name, fields }: MessageShape): void {
    const field = tag >>> 3;
    const known = fields[field];
    if (known !== undefined) {
      throw new MalformedPayload(
        `at byte ${this.pos}: ${name}.${known} cannot be ${WIRE_TYPES[tag & 7] ?? `of wire type ${tag & 7}`}`,
      );
    }
    if (field === 0 || (tag & 7) > 5 || (tag & 7) === 3 || (tag & 7) === 4) {
      throw new MalformedPayload(`at byte ${this.pos}: no field of ${name} begins like this (is it protobuf?)`);
    }
    this.skip(tag);
    if (this.pos > end) this.finish(end, { name, fields });
  }

  /** To be called where a message has been read: what it held must not have reached beyond it. */
  finish(end: number, { name }: MessageShape): void {
    if (this.pos !== end) throw new MalformedPayload(`at byte ${end}: the last field of this ${name} is cut off`);
  }

  /** To be called for whatever a few bytes can make many of. */
  count(): void {
    if (++this.#objects > MAX_OBJECTS) {
      throw new MalformedPayload(`more than ${MAX_OBJECTS} spans, events, links, lists and maps in one request`);
    }
  }
}
