import type { FastBuffer } from "./shared-texts.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** What stands behind the backslash for a byte that JSON escapes; 1 for one that stands for itself, 0 for all others. */
const ESCAPES = new Uint8Array(256).fill(1, 0x20, 0x80);
for (const [byte, letter] of ['""', "\\\\", "\nn", "\rr", "\tt", "\bb", "\ff"].map((pair) => [...Buffer.from(pair)]))
  ESCAPES[byte as number] = letter as number;

/** What is shorter is copied faster in a loop than by making the object that `set` wants, and leaving JavaScript. */
const MAX_LOOP = 1000;

/** JSON in UTF-8, written piece by piece into memory that grows and is used again. Written this way it takes a third of the time of
 *  making the values, their JSON and its bytes. */
export class JsonBytes {
  bytes: FastBuffer;
  /** Over the same memory. */
  view: DataView;
  length = 0;

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafeSlow(size) as FastBuffer;
    this.view = new DataView(this.bytes.buffer);
  }

  /** Empty again. What one large request took is given back. */
  clear(keepBytes: number): void {
    this.length = 0;
    if (this.bytes.length > keepBytes) this.#use(Buffer.allocUnsafeSlow(keepBytes) as FastBuffer);
  }

  byte(byte: number): void {
    if (this.length === this.bytes.length) this.#reserve(1);
    this.bytes[this.length++] = byte;
  }

  /** A text that is JSON. */
  json(text: string): void {
    if (this.length + text.length * 3 > this.bytes.length) this.#reserve(text.length * 3);
    this.length += this.bytes.utf8Write(text, this.length);
  }

  number(value: number): void {
    // Of other numbers the digits are not as easily told.
    if (!(value >= 0 && value < 1e9 && value === (value | 0))) {
      this.json(JSON.stringify(value));
      return;
    }
    if (this.length + 10 > this.bytes.length) this.#reserve(10);
    const { bytes } = this;
    if (value < 10) {
      bytes[this.length++] = 0x30 + value;
      return;
    }
    let digits = 1;
    for (let limit = 10; value >= limit; limit *= 10) digits++;
    let rest = value | 0;
    for (let at = this.length + digits - 1; at >= this.length; at--) {
      const tens = (rest / 10) | 0;
      bytes[at] = 0x30 + rest - tens * 10;
      rest = tens;
    }
    this.length += digits;
  }

  /** The text of UTF-8 bytes, as JSON; those that are not UTF-8 become U+FFFD. */
  text(source: FastBuffer, start: number, end: number): void {
    const most = 2 * (end - start) + 2;
    if (this.length + most > this.bytes.length) this.#reserve(most);
    const { bytes } = this;
    let to = this.length;
    bytes[to++] = QUOTE;
    for (let at = start; at < end; at++) {
      const byte = source[at] as number;
      const escape = ESCAPES[byte] as number;
      if (escape !== 1) {
        if (escape === 0) {
          // Beyond ASCII, or a control character.
          this.json(JSON.stringify(source.utf8Slice(start, end)));
          return;
        }
        bytes[to++] = BACKSLASH;
        bytes[to++] = escape;
      } else bytes[to++] = byte;
    }
    bytes[to++] = QUOTE;
    this.length = to;
  }

  /** Bytes of JSON, which may be its own. */
  copy(source: DataView, start: number, end: number): void {
    const more = end - start;
    if (this.length + more > this.bytes.length) this.#reserve(more);
    if (more > MAX_LOOP) {
      this.bytes.set(new Uint8Array(source.buffer, source.byteOffset + start, more), this.length);
      this.length += more;
      return;
    }
    const { view } = this;
    const stop = end - 3;
    let from = start;
    let to = this.length;
    for (; from < stop; from += 4, to += 4) view.setInt32(to, source.getInt32(from));
    for (; from < end; from++, to++) view.setInt8(to, source.getInt8(from));
    this.length = to;
  }

  #reserve(more: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.bytes.length, this.length + more)) as FastBuffer;
    this.bytes.copy(larger, 0, 0, this.length);
    this.#use(larger);
  }

  #use(bytes: FastBuffer): void {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }
}
