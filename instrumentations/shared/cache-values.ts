import type { Capture } from "../../src/capture/capture.ts";
import { toFastBuffer } from "../../src/node-buffer.ts";

/*
 * What may be shown of cached items, for all caches: the names they have and the values behind them.
 */

/** A key or an item as clients hand it over. */
export type CacheText = string | Uint8Array;

/** UTF-16 units of one key, field or channel that are looked at. */
const MAX_KEY = 512;
/** Bytes of a cached value that are shown: a part of the general budget, because every request reads several. */
export const MAX_VALUE_BYTES = 1024;
const MAX_SHOWN_ITEMS = 32;

/** The start of a key, field or channel as text. */
export function shown(value: CacheText): string {
  if (typeof value === "string") return value.length > MAX_KEY ? value.slice(0, MAX_KEY) : value;
  return toUtf8(value, MAX_KEY);
}

/** The beginning of bytes as text. */
export function toUtf8(bytes: Uint8Array, maxBytes: number): string {
  return toFastBuffer(bytes).utf8Slice(0, Math.min(bytes.length, maxBytes));
}

/** No item: a null or undefined reply. An empty string is one. */
export function isMissing(reply: unknown): boolean {
  return reply === null || reply === undefined;
}

/** Whether a key, field or item of this name holds a secret. */
export function isSecretName(name: CacheText | undefined, capture: Capture): boolean {
  if (name === undefined) return false;
  const text = shown(name);
  return namesSecret(text, capture) || capture.key(text) !== text;
}

/**
 * The last part of the key names what its value is: "user:42:password". (What follows an earlier such part, `Capture.key`
 * hides.) With a digit it is an identifier: asking about each of those would only fill the memory of names.
 */
export function namesSecret(key: string, capture: Capture): boolean {
  let start = key.length;
  while (start > 0) {
    const code = key.charCodeAt(start - 1);
    if (code >= 48 && code <= 57) return false;
    // "#" "." "/" ":" "|"
    if (code === 58 || code === 46 || code === 47 || code === 35 || code === 124) break;
    start--;
  }
  return key.length - start > 2 && capture.isSensitiveName(key.slice(start));
}

/** Several named values as one JSON text within the budget. */
export class CachedItems {
  isFull = false;
  private readonly capture: Capture;
  private readonly hidesValues: boolean;
  private readonly values: Record<string, string | null> = Object.create(null) as Record<string, string | null>;
  private bytes = 0;
  private count = 0;

  constructor(capture: Capture, hidesValues: boolean) {
    this.capture = capture;
    this.hidesValues = hidesValues;
  }

  add(name: CacheText, value: unknown): void {
    const { capture } = this;
    const key = capture.cacheKeys ? capture.key(shown(name)) : String(this.count);
    let text: string | null = null;
    if (!isMissing(value)) {
      if (this.hidesValues || isSecretName(name, capture)) text = "REDACTED";
      else text = capture.payload(value instanceof Uint8Array ? value : String(value), MAX_VALUE_BYTES - this.bytes);
    }
    this.values[key] = text;
    this.count++;
    this.bytes += key.length + (text?.length ?? 4) + 6;
    this.isFull = this.bytes >= MAX_VALUE_BYTES || this.count >= MAX_SHOWN_ITEMS;
  }

  text(): string {
    return JSON.stringify(this.values);
  }
}
