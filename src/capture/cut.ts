// Here and wherever it is used for every span: the global is a getter, which V8 calls each time.
import { Buffer } from "node:buffer";
import { REDACTED } from "./span.ts";

/** Marks the end of a value that was longer than its budget; counts as part of the budget (3 bytes). */
export const CUT_MARK = "…";
const CUT_MARK_BYTES = 3;

/**
 * How far behind the budget a text is examined, in UTF-16 units: a credential that lies across the cut is seen
 * entirely. Longer ones (private keys, large tokens) are recognised by their beginning.
 */
export const LOOK_AHEAD_CHARS = 1024;
const MAX_PARTIAL_CHARS = 512;

const encoder = new TextEncoder();
let scratch = new Uint8Array(4096);

/**
 * `text` in at most `maxBytes` bytes of UTF-8, on a character boundary, with {@link CUT_MARK} at the end when
 * something is missing: because it is cut here, or because `isCut` says it was cut before.
 */
export function cutToBytes(text: string, maxBytes: number, isCut: boolean): string {
  // A UTF-16 unit is at most three bytes of UTF-8, so most values need no counting.
  const room = isCut ? maxBytes - CUT_MARK_BYTES : maxBytes;
  const { length } = text;
  if (length * 3 <= room || (length <= room && Buffer.byteLength(text) <= room)) {
    return isCut ? text + CUT_MARK : text;
  }
  if (maxBytes < CUT_MARK_BYTES) return "";
  if (scratch.length < maxBytes) scratch = new Uint8Array(maxBytes);
  let { read } = encoder.encodeInto(text, scratch.subarray(0, maxBytes - CUT_MARK_BYTES));
  for (let back = 1; back < REDACTED.length; back++) {
    // Half the word would hide that something was hidden.
    if (back <= read && text.startsWith(REDACTED, read - back)) {
      read -= back;
      break;
    }
  }
  return text.slice(0, read) + CUT_MARK;
}

/**
 * Drops what may be the first part of a credential from the end of a text whose rest was not looked at: the last
 * run without a space, quote or bracket, a last group of digits, and the authority of a URL.
 */
export function dropPartial(text: string): string {
  const lowest = Math.max(0, text.length - MAX_PARTIAL_CHARS);
  let end = text.length;
  while (end > lowest && !/[\s"'<>,;&(){}[\]]/.test(text.charAt(end - 1))) end--;
  while (end > lowest && /[\d -]/.test(text.charAt(end - 1))) end--;
  // A URL whose "@" may follow: its password can hold any of these delimiters.
  const url = text.lastIndexOf("://", end);
  if (url >= lowest && !/[\s"'<>@]/.test(text.slice(url, end))) end = Math.min(end, url + 3);
  return text.slice(0, end);
}
