import type { InstrumentationScope } from "../trace/pipeline.ts";
import type { Span } from "../trace/span.ts";
import type { Chunk } from "./chunk.ts";

/** The spans of one instrumentation scope, encoded. */
export interface ScopeSpans {
  readonly scope: InstrumentationScope;
  readonly chunk: Chunk;
}

/** How spans become the body of an OTLP request. */
export interface Encoding {
  /** Encodes an ended span behind what the chunk holds. Throws, and leaves the chunk as it was, when that cannot be done. */
  append(chunk: Chunk, span: Span): void;
  /** A whole request body, in pieces that are the chunks themselves: nothing is copied. */
  assemble(scopes: readonly ScopeSpans[]): Uint8Array[];
}

/** `flags` bits 8 and 9 of OTLP: whether the context is remote is known, and it is. */
const FLAG_REMOTE_KNOWN = 0x100;
const FLAG_REMOTE = 0x200;

/** OTLP's `flags` of a span (for `isRemote`, its parent's) or a link. */
export function toFlags(traceFlags: number, isRemote: boolean): number {
  return (traceFlags & 255) | FLAG_REMOTE_KNOWN | (isRemote ? FLAG_REMOTE : 0);
}
