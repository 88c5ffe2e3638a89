import { Buffer } from "node:buffer";

/**
 * A buffer with the methods that Node has for each encoding, absent from its types: they save looking up an encoding's name.
 *
 * For any encoding but UTF-8 they are the only way here. `toString("latin1")` and `Buffer.from(text, "base64")` have one call for
 * all encodings, which V8 compiles to go straight to its target while a process uses one of them. A single use of another, and
 * each `toString("utf8")` of the application takes a detour for good: 90 instructions, six times a query in pg (Node 24).
 */
export interface FastBuffer extends Buffer {
  utf8Slice(start: number, end: number): string;
  latin1Slice(start: number, end: number): string;
  ucs2Slice(start: number, end: number): string;
  hexSlice(start: number, end: number): string;
  base64Slice(start: number, end: number): string;
  /** Each returns the number of bytes. */
  utf8Write(text: string, offset: number, length: number): number;
  latin1Write(text: string, offset: number, length: number): number;
  ucs2Write(text: string, offset: number, length: number): number;
  base64Write(text: string, offset: number, length: number): number;
}

/** The same bytes; the same object if it is a buffer. */
export function toFastBuffer(bytes: Uint8Array): FastBuffer {
  return (Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)) as FastBuffer;
}

export function fromLatin1(text: string): Buffer {
  const bytes = Buffer.allocUnsafe(text.length) as FastBuffer;
  return bytes.subarray(0, bytes.latin1Write(text, 0, text.length));
}

/** Of base64 or base64url; what is neither is skipped, as `Buffer.from` does. */
export function fromBase64(text: string): Buffer {
  const bytes = Buffer.allocUnsafe(text.length) as FastBuffer;
  return bytes.subarray(0, bytes.base64Write(text, 0, text.length));
}

/** A string of its own. A short one may be a slice of a long one, and keeps that in memory (V8, from 13 characters). */
export function copyText(text: string): string {
  const bytes = Buffer.allocUnsafe(text.length * 2) as FastBuffer;
  return bytes.ucs2Slice(0, bytes.ucs2Write(text, 0, bytes.length));
}
