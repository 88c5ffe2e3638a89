import type { AttributeValue } from "../model/attributes.ts";
import { MalformedPayload } from "./malformed-payload.ts";

/** An object of a body that has been parsed. */
export type Json = { readonly [name: string]: unknown };

/** V8's longest string. */
const MAX_CHARS = 0x1fffffe8;

/** Parses a body, or part of one; `what` is told where that fails. Bytes that are not UTF-8 become U+FFFD. */
export function parseJson(body: Uint8Array, what: string): unknown {
  if (body.length > MAX_CHARS) {
    throw new MalformedPayload(`${what} of ${body.length >>> 20} MB is more than can be read at once (512 MB)`);
  }
  const text = new TextDecoder().decode(body);
  if (text.trim() === "") throw new MalformedPayload(`${what} is empty`);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new MalformedPayload(`${what} is not JSON: ${(error as Error).message}`, { cause: error });
  }
}

const NOTHING: Json = {};

/** What is absent or null is empty, here and below. Throws a `MalformedPayload` for anything but an object. */
export function objectOf(value: unknown, name: string): Json {
  if (value === undefined || value === null) return NOTHING;
  if (typeof value !== "object" || Array.isArray(value)) throw wrongType(value, name, "an object");
  return value as Json;
}

export function listOf(value: unknown, name: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw wrongType(value, name, "an array");
  return value;
}

export function textOf(value: unknown, name: string): string {
  if (typeof value === "string") return value;
  if (value === undefined || value === null) return "";
  throw wrongType(value, name, "a string");
}

/** An unsigned 32-bit integer, as a number or its digits. */
export function countOf(value: unknown, name: string): number {
  if (value === undefined || value === null) return 0;
  const count = typeof value === "string" && /^\d{1,10}$/.test(value) ? Number(value) : value;
  if (typeof count === "number" && Number.isInteger(count) && count >= 0 && count <= 0xffffffff) return count;
  throw wrongType(value, name, "an integer of 32 bits");
}

export function wrongType(value: unknown, name: string, expected: string): MalformedPayload {
  return new MalformedPayload(`${name} must be ${expected}, not ${show(value)}`);
}

/** For a message. Not what is inside of it, which may be large or deep. */
export function show(value: unknown): string {
  if (value === undefined) return "absent";
  if (value !== null && typeof value === "object") return Array.isArray(value) ? "an array" : "an object";
  const text = JSON.stringify(value);
  return text.length > 50 ? `${text.slice(0, 50)}…` : text;
}

/** A value of a format that has no types but JSON's. Arrays and objects are kept as text. */
export function jsonValue(value: unknown): AttributeValue {
  if (typeof value === "string" || typeof value === "boolean" || value === null) return value;
  if (typeof value === "number")
    return Number.isInteger(value) && !Number.isSafeInteger(value) ? { $double: value } : value;
  try {
    return JSON.stringify(value);
  } catch (error) {
    // Too deep for it, though not for JSON.parse.
    throw new MalformedPayload(`a value nests too deep: ${(error as Error).message}`, { cause: error });
  }
}
