import type { Attributes, AttributeValue } from "@opentelemetry/api";

/** Limits of one span. Counts; `attributeValueLengthLimit` is in UTF-16 units. Source: OpenTelemetry SDK specification, "Span limits". */
export interface SpanLimits {
  readonly attributeCountLimit: number;
  readonly attributeValueLengthLimit: number;
  readonly eventCountLimit: number;
  readonly linkCountLimit: number;
  readonly attributePerEventCountLimit: number;
  readonly attributePerLinkCountLimit: number;
}

/**
 * Attributes that many spans share (a connection's, a statement's, a route's): built once, encoded once.
 * Keys are distinct; values are final (limits and redaction already applied by whoever builds it).
 */
export class AttributeBlock {
  readonly keys: readonly string[];
  readonly values: readonly AttributeValue[];
  /** The block as OTLP bytes; filled by the exporter when a span with it first leaves. */
  encoded: Uint8Array | undefined;

  constructor(entries: Readonly<Record<string, AttributeValue | undefined>>) {
    const keys: string[] = [];
    const values: AttributeValue[] = [];
    for (const key of Object.keys(entries)) {
      const value = entries[key];
      if (value === undefined) continue;
      keys.push(key);
      values.push(value);
    }
    this.keys = keys;
    this.values = values;
    this.encoded = undefined;
  }
}

/** An attribute whose value takes long to work out, of what nobody can change any more: see `OperationSpan.attributeLater`. */
export interface LateAttribute {
  readonly key: string;
  /** For the span: the one before it. */
  next: LateAttribute | undefined;
  /** The value, redacted and cut; undefined when there is none to be shown. Asked once. */
  read(): AttributeValue | undefined;
}

/** True for what the specification lets an attribute be: a primitive, or an array of one primitive type with null holes. */
export function isAttributeValue(value: unknown): value is AttributeValue {
  if (isPrimitiveType(typeof value)) return true;
  if (Array.isArray(value)) {
    let type: string | undefined;
    for (const item of value) {
      if (item === null || item === undefined) continue;
      type ??= typeof item;
      if (typeof item !== type) return false;
    }
    return type === undefined || isPrimitiveType(type);
  }
  return false;
}

function isPrimitiveType(type: string): boolean {
  return type === "string" || type === "number" || type === "boolean";
}

/** Cuts strings (alone or in an array) to the limit; arrays are copied, so that a caller may reuse its own. */
export function limitValue(value: AttributeValue, lengthLimit: number): AttributeValue {
  if (typeof value === "string") return value.length > lengthLimit ? value.slice(0, lengthLimit) : value;
  if (!Array.isArray(value)) return value;
  return value.map((item) =>
    typeof item === "string" && item.length > lengthLimit ? item.slice(0, lengthLimit) : item,
  ) as AttributeValue;
}

/** A bounded, validated copy of foreign attributes as a flat `[key, value, …]` list, and how many were dropped. */
export function copyAttributes(
  attributes: Attributes | undefined,
  countLimit: number,
  lengthLimit: number,
): { entries: Array<string | AttributeValue>; dropped: number } {
  const entries: Array<string | AttributeValue> = [];
  let dropped = 0;
  if (attributes === undefined || attributes === null) return { entries, dropped };
  for (const key of Object.keys(attributes)) {
    const value = attributes[key];
    if (key === "" || value === undefined || value === null || !isAttributeValue(value)) continue;
    if (entries.length >= countLimit * 2) dropped++;
    else entries.push(key, limitValue(value, lengthLimit));
  }
  return { entries, dropped };
}

/** The object form of a flat `[key, value, …]` list, or of its first `length` items. */
export function toAttributes(
  entries: ReadonlyArray<string | AttributeValue | undefined>,
  length: number = entries.length,
): Attributes {
  const attributes: Attributes = {};
  for (let index = 0; index < length; index += 2) {
    attributes[entries[index] as string] = entries[index + 1] as AttributeValue;
  }
  return attributes;
}
