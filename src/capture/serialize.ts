import type { SensitiveNames } from "./names.ts";
import { REDACTED } from "./span.ts";

const MAX_DEPTH = 12;
const MAX_NODES = 2000;

/**
 * An array or object as JSON, written only as far as `maxChars` (UTF-16 units) and 2000 values: what is asked of
 * a huge object is not more than of a small one. Getters are not called, cycles and depth end in a word, and a
 * value that throws while being read (a revoked proxy, a faulty `toJSON`) becomes "[Unreadable]".
 */
export function serialize(value: object, maxChars: number, names: SensitiveNames): { text: string; isCut: boolean } {
  const writer = new Writer(maxChars, names);
  writer.write(value);
  return { text: writer.text, isCut: writer.isFull };
}

class Writer {
  text = "";
  isFull = false;
  readonly #maxChars: number;
  readonly #names: SensitiveNames;
  readonly #ancestors: object[] = [];
  #nodes = 0;

  constructor(maxChars: number, names: SensitiveNames) {
    this.#maxChars = maxChars;
    this.#names = names;
  }

  write(value: unknown): void {
    this.#nodes++;
    if (this.#nodes > MAX_NODES || this.text.length >= this.#maxChars) this.isFull = true;
    if (this.isFull) return;
    try {
      this.#writeUnsafely(value);
    } catch {
      this.#string("[Unreadable]");
    }
  }

  #writeUnsafely(value: unknown): void {
    switch (typeof value) {
      case "string":
        return this.#string(value);
      case "number":
        this.text += Number.isFinite(value) ? String(value) : "null";
        return;
      case "boolean":
      case "bigint":
        this.text += String(value);
        return;
      case "object":
        if (value !== null) return this.#object(value);
        break;
    }
    this.text += "null";
  }

  #string(value: string): void {
    const room = this.#maxChars - this.text.length;
    if (value.length <= room) {
      this.text += JSON.stringify(value);
      return;
    }
    // Left open on purpose: what follows the cut is unknown.
    this.text += JSON.stringify(value.slice(0, Math.max(0, room))).slice(0, -1);
    this.isFull = true;
  }

  #object(value: object): void {
    if (value instanceof Date) return this.#string(dateText(value));
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer)
      return this.#string(`<Buffer ${value.byteLength} bytes>`);
    if (value instanceof Error) return this.#string(`${value.name}: ${value.message}`);
    if (this.#ancestors.includes(value)) return this.#string("[Circular]");
    if (this.#ancestors.length >= MAX_DEPTH) return this.#string("[Object]");

    this.#ancestors.push(value);
    try {
      const { toJSON } = value as { toJSON?: unknown };
      // The driver calls it too; so does whatever logs the value.
      if (typeof toJSON === "function") this.write(toJSON.call(value, ""));
      else if (Array.isArray(value)) this.#array(value);
      else this.#record(value);
    } finally {
      this.#ancestors.pop();
    }
  }

  #array(value: readonly unknown[]): void {
    this.text += "[";
    for (let i = 0; i < value.length && !this.isFull; i++) {
      if (i > 0) this.text += ",";
      this.write(value[i]);
    }
    if (!this.isFull) this.text += "]";
  }

  #record(value: object): void {
    this.text += "{";
    let isFirst = true;
    for (const key of Object.keys(value)) {
      if (this.isFull) return;
      const property = Object.getOwnPropertyDescriptor(value, key);
      if (property === undefined) continue;
      const field: unknown = property.get === undefined ? property.value : "[Getter]";
      if (field === undefined || typeof field === "function" || typeof field === "symbol") continue;
      if (!isFirst) this.text += ",";
      isFirst = false;
      this.#string(key);
      if (this.isFull) return;
      this.text += ":";
      const isHidden = field !== null && typeof field !== "boolean" && this.#names.has(key);
      this.write(isHidden ? REDACTED : field);
    }
    if (!this.isFull) this.text += "}";
  }
}

/** ISO 8601, as drivers send it; "Invalid Date" rather than an exception. */
export function dateText(date: Date): string {
  const time = Date.prototype.getTime.call(date);
  return Number.isNaN(time) ? "Invalid Date" : new Date(time).toISOString();
}
