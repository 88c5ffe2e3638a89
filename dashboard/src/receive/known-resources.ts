import type { Resource } from "../model/span.ts";
import type { FastBuffer } from "./shared-texts.ts";

const MAX_KNOWN = 200;
const MAX_BYTES = 8192;

/** Resources by the bytes they were read from. A sender has the same one with every request, and some have it with every span. */
export class KnownResources {
  readonly #known: Map<string, Resource> = new Map();
  #lastBytes = "";
  #last: Resource | undefined;

  get(bytes: FastBuffer, start: number, end: number): Resource | undefined {
    if (end - start > MAX_BYTES) return undefined;
    const text = bytes.latin1Slice(start, end);
    if (text !== this.#lastBytes || this.#last === undefined) {
      this.#last = this.#known.get(text);
      this.#lastBytes = text;
    }
    return this.#last;
  }

  /** It must not be changed any more. */
  set(bytes: FastBuffer, start: number, end: number, resource: Resource): void {
    if (end - start > MAX_BYTES) return;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(bytes.latin1Slice(start, end), resource);
  }
}
