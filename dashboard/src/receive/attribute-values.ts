import type { AttributeValue, Attributes } from "../model/attributes.ts";
import type { Resource } from "../model/span.ts";

/** Attributes while they are read. */
export type AttributesInMaking = { [key: string]: AttributeValue };

/** Makes empty objects with room for attributes: adding 20 of them to `{}` moves them to a larger place six times, which took
 *  a third of all the time of reading. V8 leaves as much room as the first objects of a constructor needed. */
const Roomy = function (this: Record<string, undefined>, fill: boolean): void {
  if (!fill) return;
  for (let field = 0; field < 20; field++) this[`field${field}`] = undefined;
} as unknown as new (fill: boolean) => AttributesInMaking;
// So that they are plain objects to everybody else.
Roomy.prototype = Object.prototype;
for (let first = 0; first < 8; first++) void new Roomy(true);

export function createAttributes(): AttributesInMaking {
  return new Roomy(false);
}

/** How deep arrays and maps of attributes may nest; everything that reads or shows them is recursive. */
export const MAX_VALUE_DEPTH = 64;

/** Sets an attribute; of several with the same key the last one stays. */
export function setAttribute(attributes: AttributesInMaking, key: string, value: AttributeValue): void {
  // Assigned, it would become the object's prototype.
  if (key === "__proto__") Object.defineProperty(attributes, key, { value, enumerable: true, configurable: true });
  else attributes[key] = value;
}

export function doubleValue(double: number): AttributeValue {
  if (!Number.isFinite(double)) return { $double: String(double) as "NaN" | "Infinity" | "-Infinity" };
  // The sum makes -0, which JSON does not know, 0.
  return Number.isInteger(double) ? { $double: double + 0 } : double;
}

/** An integer of decimal digits; undefined when it is none or beyond 64 bits. */
export function integerValue(digits: string): AttributeValue | undefined {
  if (!/^[+-]?\d{1,20}$/.test(digits)) return undefined;
  const number = Number(digits);
  if (Number.isSafeInteger(number)) return number + 0;
  const exact = BigInt(digits.startsWith("+") ? digits.slice(1) : digits);
  return BigInt.asIntN(64, exact) === exact ? { $int: String(exact) } : undefined;
}

/** Fills in what the resource is called from its attributes. */
export function nameResource(resource: Resource): void {
  const name = resource.attributes["service.name"];
  if (typeof name === "string" && name !== "") resource.serviceName = name;
}

export function createResource(attributes: Attributes = {}): Resource {
  const resource = { serviceName: "unknown_service", attributes };
  nameResource(resource);
  return resource;
}

/** What is known by this key, or else made now: one resource for all of a body that have it. */
export function share<Value>(known: Map<string, Value>, key: string, create: () => Value): Value {
  let value = known.get(key);
  if (value === undefined) known.set(key, (value = create()));
  return value;
}
