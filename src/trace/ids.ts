/** Ids are kept as int32 words (`| 0` stays a small integer in V8) and turned into hex only for headers and the API. */

const POOL_WORDS = 4096;
const pool = new Int32Array(POOL_WORDS);
let next = POOL_WORDS;

/** One random int32 other than zero, so that no id made of them is ever the invalid all-zero id. */
export function randomWord(): number {
  if (next === POOL_WORDS) {
    // Only now: loading node:crypto takes as long as all of this package, and a process may never start a span.
    process.getBuiltinModule("node:crypto").randomFillSync(pool);
    next = 0;
  }
  const word = pool[next++] as number;
  return word === 0 ? 1 : word;
}

const HEX_BYTES: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Eight lower-case hex digits. */
export function wordToHex(word: number): string {
  return (
    (HEX_BYTES[word >>> 24] as string) +
    (HEX_BYTES[(word >>> 16) & 255] as string) +
    (HEX_BYTES[(word >>> 8) & 255] as string) +
    (HEX_BYTES[word & 255] as string)
  );
}

/** Eight lower-case hex digits at `offset` as an int32, or NaN when one is anything else (W3C trace context §3.2: upper case is invalid). */
export function hexToWord(text: string, offset: number): number {
  let word = 0;
  for (let index = offset; index < offset + 8; index++) {
    const code = text.charCodeAt(index);
    if (code >= 48 && code <= 57) word = (word << 4) | (code - 48);
    else if (code >= 97 && code <= 102) word = (word << 4) | (code - 87);
    else return Number.NaN;
  }
  return word;
}
