/** Node's own way around looking up an encoding's name; absent from its types. */
export interface FastBuffer extends Buffer {
  utf8Slice(start: number, end: number): string;
  hexSlice(start: number, end: number): string;
  latin1Slice(start: number, end: number): string;
  utf8Write(text: string, at: number): number;
}

/**
 * Texts that come again and again, each made once: making a string of bytes is a call into the runtime (210 ns on a slow
 * machine with Node 20), finding it here is not (30 ns). Direct-mapped and bounded, so that what a sender makes up costs no memory:
 * a text replaces the one it shares a slot with.
 */
export class SharedTexts {
  readonly #texts: string[];
  readonly #lengths: Uint16Array;
  /** Hash of the text that missed last. Only one that comes again takes the slot: most that miss never do, and keeping them took
   *  longer than making them. */
  readonly #missed: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #slots: number;
  readonly #maxLength: number;
  readonly #areKeys: boolean;

  /** `slots` is a power of two. Longer texts, in bytes, are not shared. `areKeys`: they will name properties. */
  constructor(slots: number, maxLength: number, areKeys: boolean) {
    this.#texts = Array.from({ length: slots }, () => "");
    this.#lengths = new Uint16Array(slots);
    this.#missed = new Int32Array(slots);
    this.#bytes = new Uint8Array(slots * maxLength);
    this.#view = new DataView(this.#bytes.buffer);
    this.#slots = slots;
    this.#maxLength = maxLength;
    this.#areKeys = areKeys;
  }

  /** The text of these bytes; those that are not UTF-8 become U+FFFD. */
  read(bytes: FastBuffer, view: DataView, start: number, end: number): string {
    const length = end - start;
    if (length < 4) return length === 0 ? "" : this.#readShort(bytes, start, length);
    if (length > this.#maxLength) return bytes.utf8Slice(start, end);
    // The end of a key or path tells most, then its middle.
    const last = view.getInt32(end - 4);
    const middle = view.getInt32(start + ((length - 4) >> 1));
    let hash = Math.imul(last ^ Math.imul(middle + length, 0x85ebca6b), 0xc2b2ae35);
    hash ^= hash >>> 15;
    const slot = hash & (this.#slots - 1);
    const known = this.#view;
    const base = slot * this.#maxLength;
    if (this.#lengths[slot] === length && known.getInt32(base + length - 4) === last) {
      const stop = length - 4;
      let at = 0;
      while (at < stop && view.getInt32(start + at) === known.getInt32(base + at)) at += 4;
      if (at >= stop) return this.#texts[slot] as string;
    }
    let text = bytes.utf8Slice(start, end);
    if (this.#missed[slot] !== hash) {
      this.#missed[slot] = hash;
      return text;
    }
    // As the name of a property it is the one copy that V8 keeps of it, and need not be looked up any more to be used as one.
    if (this.#areKeys) text = Object.keys({ [text]: 0 })[0] as string;
    this.#texts[slot] = text;
    this.#lengths[slot] = length;
    for (let at = 0; at < length; at++) this.#bytes[base + at] = bytes[start + at] as number;
    return text;
  }

  #readShort(bytes: FastBuffer, start: number, length: number): string {
    const first = bytes[start] as number;
    const second = length > 1 ? (bytes[start + 1] as number) : 0;
    const third = length > 2 ? (bytes[start + 2] as number) : 0;
    if ((first | second | third) > 0x7f) return bytes.utf8Slice(start, start + length);
    if (length === 1) return String.fromCharCode(first);
    return length === 2 ? String.fromCharCode(first, second) : String.fromCharCode(first, second, third);
  }
}
