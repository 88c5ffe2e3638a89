import type { IncomingMessage } from "node:http";
import { bodyFormat } from "../../src/capture/body.ts";
import type { Capture } from "../../src/capture/capture.ts";
import { sameShape } from "../../src/instrumentation/settlement.ts";
import { createHiddenSlot } from "./hidden-slot.ts";

/*
 * Bodies are seen as they pass: nothing is read, paused or resumed for our sake, and no listener is added. A message whose
 * body somebody wants to see has an observer; `IncomingMessage.prototype.push` is patched once, for the server's requests
 * and the client's responses alike.
 */

/** Told about the body of one incoming message. */
export interface BodyObserver {
  /** Before the application can see the chunk. The bytes are the application's: copy what is to be kept. */
  onChunk(chunk: Uint8Array | string, encoding?: unknown): void;
  /** The buffer is full: nobody is reading. Further chunks come when somebody does. */
  onPause?(): void;
  /** The last byte has arrived from the network, whether or not anybody reads it. */
  onEnd(message: IncomingMessage): void;
}

const observers = createHiddenSlot<BodyObserver>();

/** Lets `observer` see the body of `message`: one observer a message, given before its first chunk. */
export function observeBody(message: IncomingMessage, observer: BodyObserver): void {
  if (!isInstalled) install();
  observers.set(message, observer);
}

let isInstalled = false;

function install(): void {
  isInstalled = true;
  const { prototype } = process.getBuiltinModule("node:http").IncomingMessage;
  const original = prototype.push;
  const push = function (this: IncomingMessage, chunk: any, encoding?: BufferEncoding): boolean {
    const observer = observers.get(this);
    if (observer === undefined) return original.call(this, chunk, encoding);
    if (chunk === null) {
      observer.onEnd(this);
      return original.call(this, chunk, encoding);
    }
    observer.onChunk(chunk, encoding);
    const wantsMore = original.call(this, chunk, encoding);
    if (!wantsMore) observer.onPause?.();
    return wantsMore;
  };
  prototype.push = sameShape(push, original);
}

/** How many bytes of a body are worth keeping: none of what is compressed or no text. */
export function bodyLimit(
  contentType: string | undefined,
  contentEncoding: string | undefined,
  capture: Capture,
): number {
  if (!capture.bodies || bodyFormat(contentType) === undefined) return 0;
  const isPlain = contentEncoding === undefined || contentEncoding === "" || contentEncoding === "identity";
  return isPlain ? capture.maxBytes : 0;
}

/** The size of one body, and its first bytes. */
export class BodyRecorder {
  /** Bytes seen, kept or not. */
  size = 0;
  /** How many bytes may still be kept; 0: none. */
  private room: number;
  private first: Uint8Array | undefined = undefined;
  private more: Uint8Array[] | undefined = undefined;
  private keptSize = 0;

  /** `limit` in bytes; 0 counts only. */
  constructor(limit: number) {
    this.room = limit;
  }

  /** Keeps no further bytes, and lets go of those there are: the body turned out to be none that is recorded. */
  countOnly(): void {
    this.room = 0;
    this.first = this.more = undefined;
    this.keptSize = 0;
  }

  add(chunk: unknown, encoding?: unknown): void {
    if (typeof chunk === "string") {
      const known = typeof encoding === "string" ? (encoding as BufferEncoding) : "utf8";
      this.size += Buffer.byteLength(chunk, known);
      if (this.room > 0) this.keep(Buffer.from(chunk.length > this.room ? chunk.slice(0, this.room) : chunk, known));
    } else if (chunk instanceof Uint8Array) {
      const { byteLength } = chunk;
      this.size += byteLength;
      if (this.room === 0) return;
      // Copied: the application may write into its chunk, or transfer it away, before the span ends.
      const copy = Buffer.allocUnsafe(byteLength < this.room ? byteLength : this.room);
      copy.set(byteLength > this.room ? chunk.subarray(0, this.room) : chunk);
      this.keep(copy);
    }
  }

  /** What was kept, as the text it may be shown as; undefined for an empty body or a type that is no text. */
  text(contentType: string | undefined, capture: Capture): string | undefined {
    if (this.first === undefined) return undefined;
    const bytes = this.more === undefined ? this.first : Buffer.concat([this.first, ...this.more], this.keptSize);
    return capture.body(contentType, bytes, this.size > this.keptSize);
  }

  private keep(bytes: Uint8Array): void {
    const fitting = bytes.byteLength > this.room ? bytes.subarray(0, this.room) : bytes;
    this.room -= fitting.byteLength;
    this.keptSize += fitting.byteLength;
    if (this.first === undefined) this.first = fitting;
    else if (this.more === undefined) this.more = [fitting];
    else this.more.push(fitting);
  }
}
