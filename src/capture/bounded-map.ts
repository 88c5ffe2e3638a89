/**
 * A cache keyed by text that cannot grow without limit: two generations, so that what is used often survives
 * and a stream of one-off keys costs a `Map.set` each and never a scan.
 *
 * `maxEntries` is a count; `maxChars` bounds the total length of the keys, in UTF-16 units, default unlimited.
 */
export class BoundedMap<V> {
  readonly #halfEntries: number;
  readonly #halfChars: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();
  #chars = 0;

  constructor(maxEntries: number, maxChars: number = Number.POSITIVE_INFINITY) {
    this.#halfEntries = Math.max(1, maxEntries >> 1);
    this.#halfChars = maxChars / 2;
  }

  get(key: string): V | undefined {
    const value = this.#young.get(key);
    return value === undefined ? this.#promote(key) : value;
  }

  set(key: string, value: V): void {
    if (this.#young.size >= this.#halfEntries || this.#chars + key.length > this.#halfChars) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#chars = 0;
    }
    this.#young.set(key, value);
    this.#chars += key.length;
  }

  /** Entries held at this moment, both generations. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  #promote(key: string): V | undefined {
    const value = this.#old.get(key);
    if (value !== undefined) {
      this.#old.delete(key);
      this.set(key, value);
    }
    return value;
  }
}
