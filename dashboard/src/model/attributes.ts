/**
 * An OTLP AnyValue as JSON can carry it. Most values stand for themselves; what JSON would change is wrapped:
 * integers beyond 2^53 (`$int`, decimal digits), doubles without a fraction or by name (`$double`) and bytes (`$bytes`, base64). A map
 * (kvlistValue) is wrapped too, so that no map of the application is mistaken for one of these.
 * Source: opentelemetry-proto common/v1/common.proto.
 */
export type AttributeValue =
  | string
  | number
  | boolean
  | null
  | readonly AttributeValue[]
  | { readonly $int: string }
  | { readonly $double: number | "NaN" | "Infinity" | "-Infinity" }
  | { readonly $bytes: string }
  | { readonly $map: Attributes };

export type Attributes = { readonly [key: string]: AttributeValue };

/** The value as plain JSON for people and programs to read: wrappers are taken off. */
export function plainValue(value: AttributeValue): unknown {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(plainValue);
  if ("$int" in value) return value.$int;
  if ("$double" in value) return value.$double;
  if ("$bytes" in value) return value.$bytes;
  const map = (value as { $map: Attributes }).$map;
  return Object.fromEntries(Object.entries(map).map(([key, inner]) => [key, plainValue(inner)]));
}

/** The value in one line of text: strings as they are, everything else as JSON. */
export function valueText(value: AttributeValue): string {
  const plain = plainValue(value);
  return typeof plain === "string" ? plain : JSON.stringify(plain);
}
