import type { AttributeValue } from "../model/attributes.ts";
import type { JsonBytes } from "./json-bytes.ts";

const SLOTS = 4096;
/** Attributes from 4 to so many bytes are kept, as sent and as JSON. */
const MAX_BYTES = 192;
const MAX_JSON_BYTES = 224;

/**
 * Attributes that come again and again, each made JSON once: most of a span's are the same as another's, name and value, and finding
 * one is less work than reading it. Direct-mapped and bounded, as `SharedTexts`.
 */
export class KnownAttributes {
  readonly #lengths = new Uint16Array(SLOTS);
  readonly #jsonLengths = new Uint16Array(SLOTS);
  /** Hash of what missed last: only what comes again takes the slot. */
  readonly #missed = new Int32Array(SLOTS);
  readonly #sent = new DataView(new ArrayBuffer(SLOTS * MAX_BYTES));
  readonly #json = new DataView(new ArrayBuffer(SLOTS * MAX_JSON_BYTES));
  readonly #keys: string[] = Array.from({ length: SLOTS }, () => "");
  readonly #values: AttributeValue[] = Array.from({ length: SLOTS }, () => null);
  #hash = 0;

  /** Forgets all of them. */
  clear(): void {
    this.#lengths.fill(0);
  }

  /** The slot of the attribute that is sent as these bytes, or -1. */
  find(bytes: DataView, start: number, end: number): number {
    const length = end - start;
    this.#hash = 0;
    if (length < 4 || length > MAX_BYTES) return -1;
    // The value is at the end; of two names, what differs may be anywhere.
    const last = bytes.getInt32(end - 4);
    const quarter = (length - 4) >> 2;
    const first = Math.imul(bytes.getInt32(start + quarter) ^ length, 0x9e3779b1);
    const middle = Math.imul(bytes.getInt32(start + 2 * quarter) + first, 0x85ebca6b);
    const third = bytes.getInt32(start + 3 * quarter);
    let hash = Math.imul(last ^ (middle >>> 13) ^ middle, 0xc2b2ae35) + Math.imul(third, 0x27d4eb2f);
    hash ^= hash >>> 15;
    this.#hash = hash;
    const slot = hash & (SLOTS - 1);
    if (this.#lengths[slot] !== length) return -1;
    const known = this.#sent;
    const base = slot * MAX_BYTES;
    if (known.getInt32(base + length - 4) !== last) return -1;
    const stop = length - 4;
    for (let at = 0; at < stop; at += 4) if (bytes.getInt32(start + at) !== known.getInt32(base + at)) return -1;
    return slot;
  }

  /** Keeps what `find` has just missed, when it has missed it before: what is sent from `start` to `end` is the JSON from `jsonStart`
   *  on. `key` is `""` where nobody wants the value. */
  keep(
    bytes: DataView,
    start: number,
    end: number,
    json: JsonBytes,
    jsonStart: number,
    key: string,
    value: AttributeValue,
  ): void {
    const hash = this.#hash;
    const slot = hash & (SLOTS - 1);
    const jsonLength = json.length - jsonStart;
    if (hash === 0 || jsonLength > MAX_JSON_BYTES) return;
    if (this.#missed[slot] !== hash) {
      this.#missed[slot] = hash;
      return;
    }
    this.#lengths[slot] = end - start;
    this.#jsonLengths[slot] = jsonLength;
    this.#keys[slot] = key;
    this.#values[slot] = value;
    for (let at = start; at < end; at++) this.#sent.setInt8(slot * MAX_BYTES + at - start, bytes.getInt8(at));
    for (let at = 0; at < jsonLength; at++)
      this.#json.setInt8(slot * MAX_JSON_BYTES + at, json.view.getInt8(jsonStart + at));
  }

  writeTo(json: JsonBytes, slot: number): void {
    const start = slot * MAX_JSON_BYTES;
    json.copy(this.#json, start, start + (this.#jsonLengths[slot] as number));
  }

  key(slot: number): string {
    return this.#keys[slot] as string;
  }

  value(slot: number): AttributeValue {
    return this.#values[slot] as AttributeValue;
  }
}
