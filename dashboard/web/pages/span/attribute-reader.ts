import { type AttributeValue, type Attributes, plainValue, valueText } from "../../../src/model/attributes.ts";

/**
 * Reads attributes under any of their names: conventions have renamed most of them, and senders of every age exist. The newest name
 * stands first.
 */
export class AttributeReader {
  readonly #attributes: Attributes;

  constructor(attributes: Attributes) {
    this.#attributes = attributes;
  }

  /** The first that is there. */
  value(...names: string[]): AttributeValue | undefined {
    for (const name of names) {
      const value = Object.hasOwn(this.#attributes, name) ? this.#attributes[name] : undefined;
      if (value !== undefined && value !== null && value !== "") return value;
    }
    return undefined;
  }

  text(...names: string[]): string | undefined {
    const value = this.value(...names);
    if (value === undefined) return undefined;
    return Array.isArray(value) ? value.map((item) => valueText(item as AttributeValue)).join(", ") : valueText(value);
  }

  /** Also of a number that was sent as text. */
  number(...names: string[]): number | undefined {
    const value = this.value(...names);
    if (value === undefined) return undefined;
    const plain = plainValue(value);
    if (typeof plain !== "number" && (typeof plain !== "string" || plain.trim() === "")) return undefined;
    const number = Number(plain);
    return Number.isFinite(number) ? number : undefined;
  }

  flag(...names: string[]): boolean | undefined {
    const value = this.value(...names);
    if (value === undefined) return undefined;
    return value === true || value === "true";
  }

  /** One text stands for a list of one. */
  list(...names: string[]): string[] {
    const value = this.value(...names);
    if (value === undefined) return [];
    return Array.isArray(value) ? value.map((item) => valueText(item as AttributeValue)) : [valueText(value)];
  }

  /** Everything whose name begins so, without that beginning. */
  under(prefix: string): (readonly [name: string, value: AttributeValue])[] {
    return Object.entries(this.#attributes).flatMap(([name, value]) =>
      name.startsWith(prefix) && name.length > prefix.length ? [[name.slice(prefix.length), value] as const] : [],
    );
  }
}
