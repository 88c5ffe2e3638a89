import { isUtf8 } from "node:buffer";
import { toFastBuffer } from "../node-buffer.ts";
import { BoundedMap } from "./bounded-map.ts";

/** Semantic conventions for `http.request.body.content`: which content types are text. */
const TEXT_TYPE = /^text\/|[/+](?:json|xml|yaml)$|^application\/x-www-form-urlencoded$/;
/** The registered types of JSON lines, and those that are text without saying so. */
const ALSO_TEXT = /^application\/(?:x-)?(?:ndjson|jsonl|json-seq|jsonlines|graphql|javascript)$/;
// oxlint-disable-next-line no-control-regex -- their presence is the question
const CONTROL_CHARACTERS = /[\u0000-\u0008\u000e-\u001a\u001c-\u001f]/;

export type BodyFormat = { isForm: boolean; encoding: "utf8" | "latin1" | "utf16le" };
const NOT_TEXT = null;

// A service sees a handful of content types; but a client chooses what it sends.
const formats = new BoundedMap<BodyFormat | null>(256, 32_768);
/** To compare with the last one is cheaper than to look for a string that was made just now, whose hash nobody knows yet. */
let lastType = "";
let lastFormat: BodyFormat | null = null;

/** How to read a body of this content type; undefined when it is not text. Multipart is not: it carries files. */
export function bodyFormat(contentType: string | undefined): BodyFormat | undefined {
  if (contentType === undefined) return undefined;
  if (contentType === lastType) return lastFormat ?? undefined;
  let format = formats.get(contentType);
  if (format === undefined) {
    format = parse(contentType);
    formats.set(contentType, format);
  }
  if (contentType.length <= 128) {
    lastType = contentType;
    lastFormat = format;
  }
  return format ?? undefined;
}

function parse(contentType: string): BodyFormat | null {
  const [type = "", ...parameters] = contentType.toLowerCase().split(";");
  const mime = type.trim();
  const charset = parameters.map((parameter) => /^\s*charset\s*=\s*"?([\w.:-]+)/.exec(parameter)?.[1]).find(Boolean);
  if (mime.startsWith("multipart/")) return NOT_TEXT;
  if (!TEXT_TYPE.test(mime) && !ALSO_TEXT.test(mime) && charset === undefined) return NOT_TEXT;
  const isForm = mime === "application/x-www-form-urlencoded";
  if (charset !== undefined && /^(?:iso-?8859-\d+|latin-?\d|windows-125\d)$/.test(charset))
    return { isForm, encoding: "latin1" };
  if (charset !== undefined && /^utf-?16(?:le)?$/.test(charset)) return { isForm, encoding: "utf16le" };
  return { isForm, encoding: "utf8" };
}

/** `bytes` as text, at most `maxBytes` of them; a character cut in the middle is left out. */
export function decodeBytes(
  bytes: Uint8Array,
  maxBytes: number,
  encoding: BodyFormat["encoding"],
  isCut: boolean,
): string {
  const length = Math.min(bytes.length, maxBytes);
  const whole = encoding === "utf8" && (isCut || length < bytes.length) ? endOfCharacter(bytes, length) : length;
  const buffer = toFastBuffer(bytes);
  if (encoding === "utf8") return buffer.utf8Slice(0, whole);
  return encoding === "latin1" ? buffer.latin1Slice(0, whole) : buffer.ucs2Slice(0, whole);
}

/** Up to here a loop takes less than asking an expression. */
const SHORT_BYTES = 32;

/**
 * `bytes` as UTF-8 text, or undefined when they are something else (compressed, protobuf, an image). `decoded`: all of them, if
 * somebody has decoded them.
 */
export function decodeUnknown(bytes: Uint8Array, maxBytes: number, decoded?: string): string | undefined {
  const whole = bytes.length > maxBytes ? endOfCharacter(bytes, maxBytes) : bytes.length;
  const buffer = toFastBuffer(bytes);
  const text = decoded !== undefined && whole === bytes.length ? decoded : buffer.utf8Slice(0, whole);
  if (whole <= SHORT_BYTES && isPrintable(bytes, whole)) return text;
  // What is no UTF-8 has become U+FFFD; a text that has one of its own is rare enough to be looked at twice.
  if (text.includes("\ufffd") && !isUtf8(buffer.subarray(0, whole))) return undefined;
  return CONTROL_CHARACTERS.test(text) ? undefined : text;
}

/** Whether the first `length` bytes are ASCII that is no control character. */
function isPrintable(bytes: Uint8Array, length: number): boolean {
  for (let index = 0; index < length; index++) {
    const byte = bytes[index]!;
    if (byte < 32 || byte > 126) return false;
  }
  return true;
}

/** The largest end, not behind `length`, that does not lie inside a UTF-8 character. */
function endOfCharacter(bytes: Uint8Array, length: number): number {
  let start = length - 1;
  while (start >= 0 && start > length - 4 && (bytes[start]! & 0xc0) === 0x80) start--;
  const lead = bytes[start] ?? 0;
  const needed = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
  return start + needed > length ? start : length;
}
