import type { FastBuffer } from "../node-buffer.ts";
import { findCardNumber } from "./card-number.ts";
import { CREDENTIAL_FAMILIES } from "./credentials.ts";
import { findFieldValue, rejectName } from "./fields.ts";
import { NAME_WINDOWS, type SensitiveNames } from "./names.ts";
import { REDACTED, SecretSpan } from "./span.ts";

/** Below this, reading the characters one by one is cheaper than the call that copies them all. */
const SHORT_CHARS = 40;

const BEGINS = 1;
const ENDS = 2;

/**
 * Replaces in a text what must not leave: credentials known by their shape, and values that stand after a
 * sensitive name. Holds no state between calls; the work is linear in the length of the text, hostile or not.
 *
 * Why not one big regular expression: V8 tries its alternatives one after the other at every character, which
 * for these costs 13-16 ns a character, 60 µs for 4 KiB. Here every name and family has a window of three
 * characters; one table look-up for two characters tells where a window can be, and expressions run only where
 * one is (Node 24, same machine: 1 ns a character for plain text, 2-4 for JSON full of numbers).
 */
export class Redactor {
  readonly #names: SensitiveNames;
  readonly #patterns: readonly RegExp[];
  // Bit b of first[x] & second[y] & third[z]: the characters x, y, z in a row may be a window of line b.
  readonly #first = new Int32Array(256);
  readonly #second = new Int32Array(256);
  readonly #third = new Int32Array(256);
  /** A text with fewer characters holds nothing to replace: `pw=x` does. */
  readonly #shortest: number;
  #nameBits = 0;
  #cardBit = 0;
  #isPrepared = false;
  readonly #span = new SecretSpan();
  // By family: the position before which it was already looked for, so that no text is read twice.
  readonly #nextOf = new Int32Array(32);
  #isNextOfUsed = false;
  /** The bits of the window that {@link Redactor.#nextWindow} stopped at. */
  #hit = 0;
  /** By two bytes, read as one number: whether they are the first two (BEGINS), or the last two (ENDS), of some window. */
  readonly #parts = new Uint8Array(65_536);
  // The text's low bytes, which are enough to find windows: they are ASCII. Kept only for the memory.
  #bytes: Buffer = Buffer.alloc(2048);
  #pairs: Uint16Array = toPairs(this.#bytes);

  constructor(names: SensitiveNames, patterns: readonly RegExp[]) {
    this.#names = names;
    this.#patterns = patterns.map(toGlobal);
    this.#shortest = patterns.length > 0 || names.extraWindows.length > 0 ? 0 : 4;
  }

  /** Fills the tables at the first text rather than at start-up, which has no time for it. */
  #prepare(): void {
    this.#isPrepared = true;
    let bit = 0;
    for (const { windows } of CREDENTIAL_FAMILIES) this.#addWindows(bit++, windows.split(" "), false);
    this.#cardBit = 1 << bit;
    this.#addClasses(bit++, "23456", "0123456789", "0123456789");
    const lines = NAME_WINDOWS.map((line) => line.split(" "));
    // One bit for all extra names together: they are few.
    if (this.#names.extraWindows.length > 0) lines.push([...this.#names.extraWindows]);
    for (const line of lines) {
      this.#nameBits |= 1 << bit;
      this.#addWindows(bit++, line, true);
    }
  }

  /** Whether anything in the text could be a secret or a sensitive name: a cheap "no" in front of dearer work. */
  isSuspicious(text: string): boolean {
    return this.#patterns.length > 0 || this.#scan(text, false) !== undefined;
  }

  /** The text with its secrets replaced; the same string when there are none. `source`: the bytes of a text with one a character. */
  redact(text: string, source?: Uint8Array): string {
    if (text.length < this.#shortest) return text;
    let clean = this.#scan(text, true, source) ?? text;
    for (const pattern of this.#patterns) clean = clean.replace(pattern, (match) => (match === "" ? "" : REDACTED));
    return clean;
  }

  /** With `replace`, the redacted text; without it any string as soon as a window is seen. Undefined: nothing found. */
  #scan(unknown: string, replace: boolean, source?: Uint8Array): string | undefined {
    if (!this.#isPrepared) this.#prepare();
    // Tells V8 that it is a string: it would look up the length of one like any property (30 ns).
    const text = "" + unknown;
    const { length } = text;
    // One more byte than characters, so that a look at the next one stays inside.
    if (this.#bytes.length <= length) {
      this.#bytes = Buffer.alloc(length * 2 + 2);
      this.#pairs = toPairs(this.#bytes);
    }
    const bytes = this.#bytes;
    if (length <= SHORT_CHARS) {
      if (source === undefined) for (let i = 0; i < length; i++) bytes[i] = text.charCodeAt(i);
      else for (let i = 0; i < length; i++) bytes[i] = source[i]!;
    } else if (source !== undefined) bytes.set(source);
    else (bytes as FastBuffer).latin1Write(text, 0, length);

    if (this.#isNextOfUsed) this.#nextOf.fill(0);
    this.#isNextOfUsed = false;
    let out: string | undefined;
    let done = 0;
    let nextName = 0;
    let nextCard = 0;
    for (let i = this.#nextWindow(0, 0, length); i < length; i = this.#nextWindow(i, done, length)) {
      if (!replace) return "";
      const hit = this.#hit;
      const at = i - 2;
      i++;
      let found = this.#findCredential(text, at, done, hit & ~(this.#nameBits | this.#cardBit));
      if (!found && (hit & this.#cardBit) !== 0 && at >= nextCard) {
        nextCard = findCardNumber(text, bytes, length, at, done, this.#span);
        found = nextCard === -1;
      }
      if (!found && (hit & this.#nameBits) !== 0 && at >= nextName) {
        nextName = rejectName(bytes, length, at);
        if (nextName === -1) nextName = findFieldValue(text, at, done, this.#names, this.#span);
        found = nextName === -1;
      }
      if (!found) continue;
      const { from, to, replacement } = this.#span;
      out = (out ?? "") + text.slice(done, from) + replacement;
      done = nextName = nextCard = i = to;
    }
    return out === undefined ? undefined : out + text.slice(done);
  }

  /** Position of the third character of the next window at or after `from`, of which none stands before `floor`;
   *  `length` if there is none. Sets `#hit`. */
  #nextWindow(from: number, floor: number, length: number): number {
    const pairs = this.#pairs;
    const parts = this.#parts;
    const end = (length + 1) >> 1;
    for (let i = Math.max(floor, from - 2) >> 1; i < end; i++) {
      const part = parts[pairs[i]!]!;
      if (part === 0) continue;
      const odd = 2 * i + 1;
      // The pair is the end of a window that began one before it, or the beginning of one, or both.
      if ((part & ENDS) !== 0 && odd >= from && odd - 2 >= floor && odd < length && this.#isWindow(odd)) return odd;
      const even = odd + 1;
      if ((part & BEGINS) !== 0 && even >= from && even - 2 >= floor && even < length && this.#isWindow(even))
        return even;
    }
    return length;
  }

  #isWindow(third: number): boolean {
    const bytes = this.#bytes;
    this.#hit = this.#first[bytes[third - 2]!]! & this.#second[bytes[third - 1]!]! & this.#third[bytes[third]!]!;
    return this.#hit !== 0;
  }

  #findCredential(text: string, at: number, floor: number, bits: number): boolean {
    for (let rest = bits; rest !== 0; rest &= rest - 1) {
      const bit = 31 - Math.clz32(rest & -rest);
      const family = CREDENTIAL_FAMILIES[bit]!;
      const start = at - family.offset;
      if (start < floor || start < this.#nextOf[bit]!) continue;
      const next = family.find(text, start, this.#span);
      if (next === -1) return true;
      this.#nextOf[bit] = next;
      this.#isNextOfUsed = true;
    }
    return false;
  }

  #addWindows(bit: number, windows: readonly string[], anyCase: boolean): void {
    for (const window of windows) {
      const [a, b, c] = [...window].map((char) => toClass(char, anyCase));
      this.#addClasses(bit, a!, b!, c!);
    }
  }

  #addClasses(bit: number, ...classes: [string, string, string]): void {
    const tables = [this.#first, this.#second, this.#third];
    classes.forEach((chars, column) => {
      for (const char of chars) tables[column]![char.charCodeAt(0)]! |= 1 << bit;
    });
    const [first, second, third] = classes;
    this.#markPairs(first, second, BEGINS);
    this.#markPairs(second, third, ENDS);
  }

  #markPairs(left: string, right: string, part: number): void {
    const bytes = new Uint8Array(2);
    const pair = new Uint16Array(bytes.buffer); // in the byte order of this machine
    for (const a of left) {
      for (const b of right) {
        bytes[0] = a.charCodeAt(0);
        bytes[1] = b.charCodeAt(0);
        this.#parts[pair[0]!]! |= part;
      }
    }
  }
}

function toPairs(bytes: Buffer): Uint16Array {
  return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length >> 1);
}

const ALL = String.fromCharCode(...Array(256).keys());
const NOT_LETTERS = ALL.replace(/[a-z]/gi, "");

function toClass(char: string, anyCase: boolean): string {
  if (char === "*") return ALL;
  if (char === "~") return NOT_LETTERS;
  if (char === "#") return "0123456789abcdef";
  return anyCase ? char.toLowerCase() + char.toUpperCase() : char;
}

function toGlobal(pattern: RegExp): RegExp {
  return new RegExp(pattern.source, `${pattern.flags.replace(/[gy]/g, "")}g`);
}
