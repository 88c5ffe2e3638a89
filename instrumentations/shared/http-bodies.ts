import { Buffer } from "node:buffer";
import type { IncomingMessage } from "node:http";
import { bodyFormat } from "../../src/capture/body.ts";
import type { Capture } from "../../src/capture/capture.ts";
import { sameShape } from "../../src/instrumentation/settlement.ts";
import type { OperationCall } from "../../src/instrumentation/trace-operation.ts";
import {
  HTTP_REQUEST_BODY_CONTENT,
  HTTP_REQUEST_BODY_SIZE,
  HTTP_RESPONSE_BODY_CONTENT,
  HTTP_RESPONSE_BODY_SIZE,
  TRACEKIT_HTTP_REQUEST_BODY_PARTS,
  TRACEKIT_HTTP_RESPONSE_BODY_PARTS,
} from "../../src/semconv/attributes.ts";
import type { LateAttribute } from "../../src/trace/attributes.ts";
import { decode, knownCoding } from "./decoding.ts";
import { createHiddenSlot } from "./hidden-slot.ts";
import { multipartBoundary, MultipartOutline } from "./multipart.ts";

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

/** In bytes or UTF-16 units. What is longer is looked through when its span ends: many at once would hold up the application. */
const MAX_LATE_LENGTH = 4096;

/** What a body's attributes are called. */
export interface BodyKeys {
  readonly size: string;
  readonly content: string;
  readonly parts: string;
}

export const REQUEST_BODY: BodyKeys = {
  size: HTTP_REQUEST_BODY_SIZE,
  content: HTTP_REQUEST_BODY_CONTENT,
  parts: TRACEKIT_HTTP_REQUEST_BODY_PARTS,
};
export const RESPONSE_BODY: BodyKeys = {
  size: HTTP_RESPONSE_BODY_SIZE,
  content: HTTP_RESPONSE_BODY_CONTENT,
  parts: TRACEKIT_HTTP_RESPONSE_BODY_PARTS,
};

/** A recorder for a body of this type and coding: what is no text, or coded in ways unknown, is counted and not kept. */
export function createBodyRecorder(
  contentType: string | undefined,
  contentEncoding: string | undefined,
  capture: Capture,
): BodyRecorder {
  if (!capture.bodies) return new BodyRecorder(0);
  const isPlain = contentEncoding === undefined || contentEncoding === "" || contentEncoding === "identity";
  if (bodyFormat(contentType) === undefined) {
    const boundary = isPlain ? multipartBoundary(contentType) : undefined;
    return boundary === undefined ? new BodyRecorder(0) : new MultipartRecorder(boundary);
  }
  if (isPlain) return new BodyRecorder(capture.maxBytes);
  const coding = knownCoding(contentEncoding);
  return coding === undefined ? new BodyRecorder(0) : new CodedRecorder(capture.maxBytes, coding);
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
  /** A body written as one string, as most are, stays one: to bytes and back would take longer than all else that is done with it. */
  private whole: string | undefined = undefined;

  /** `limit` in bytes; 0 counts only. */
  constructor(limit: number) {
    this.room = limit;
  }

  /** Keeps no further bytes, and lets go of those there are: the body turned out to be none that is recorded. */
  countOnly(): void {
    this.room = 0;
    this.first = this.more = this.whole = undefined;
    this.keptSize = 0;
  }

  add(chunk: unknown, encoding?: unknown): void {
    if (typeof chunk === "string") {
      const known = typeof encoding === "string" ? (encoding as BufferEncoding) : "utf8";
      const byteLength = Buffer.byteLength(chunk, known);
      this.size += byteLength;
      if (this.room === 0 || byteLength === 0) return;
      if (known === "utf8" && this.keptSize === 0 && byteLength <= this.room) {
        this.whole = chunk;
        this.keptSize = byteLength;
        this.room -= byteLength;
        return;
      }
      this.keep(Buffer.from(chunk.length > this.room ? chunk.slice(0, this.room) : chunk, known));
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

  /** Adds what may be shown of the body to its call's span: nothing for an empty one, or a type that is no text. */
  record(call: OperationCall, keys: BodyKeys, contentType: string | undefined, capture: Capture): void {
    const body = this.whole !== undefined && !this.isCut ? this.whole : this.kept();
    if (body === undefined) return;
    if (body.length <= MAX_LATE_LENGTH) {
      call.span.attributeLater(new BodyContent(keys.content, contentType, body, this.isCut, capture));
      return;
    }
    const text = capture.body(contentType, body, this.isCut);
    if (text !== undefined) call.span.attribute(keys.content, text);
  }

  /** The bytes that were kept. */
  protected kept(): Uint8Array | undefined {
    this.splitWhole();
    if (this.first === undefined || this.more === undefined) return this.first;
    return Buffer.concat([this.first, ...this.more], this.keptSize);
  }

  /** There was more than was kept. */
  protected get isCut(): boolean {
    return this.size > this.keptSize;
  }

  /** The string is bytes after all: more of the body has come, or it has to be decoded. */
  private splitWhole(): void {
    if (this.whole === undefined) return;
    this.first = Buffer.from(this.whole);
    this.whole = undefined;
  }

  private keep(bytes: Uint8Array): void {
    this.splitWhole();
    const fitting = bytes.byteLength > this.room ? bytes.subarray(0, this.room) : bytes;
    this.room -= fitting.byteLength;
    this.keptSize += fitting.byteLength;
    if (this.first === undefined) this.first = fitting;
    else if (this.more === undefined) this.more = [fitting];
    else this.more.push(fitting);
  }
}

/** What may be shown of a body. */
class BodyContent implements LateAttribute {
  readonly key: string;
  next: LateAttribute | undefined = undefined;
  private readonly contentType: string | undefined;
  private readonly body: Uint8Array | string;
  private readonly isCut: boolean;
  private readonly capture: Capture;

  constructor(
    key: string,
    contentType: string | undefined,
    body: Uint8Array | string,
    isCut: boolean,
    capture: Capture,
  ) {
    this.key = key;
    this.contentType = contentType;
    this.body = body;
    this.isCut = isCut;
    this.capture = capture;
  }

  read(): string | undefined {
    return this.capture.body(this.contentType, this.body, this.isCut);
  }
}

/** A compressed body: the span stays open until it is decoded, and ends as of before that. */
class CodedRecorder extends BodyRecorder {
  private readonly coding: string;

  constructor(limit: number, coding: string) {
    super(limit);
    this.coding = coding;
  }

  override record(call: OperationCall, keys: BodyKeys, contentType: string | undefined, capture: Capture): void {
    const bytes = this.kept();
    if (bytes === undefined) return;
    const { isCut } = this;
    const isDecoding = decode(this.coding, bytes, capture.maxBytes, (decoded, isDecodedCut) => {
      try {
        const text =
          decoded === undefined || decoded.length === 0
            ? undefined
            : capture.body(contentType, decoded, isCut || isDecodedCut);
        if (text !== undefined) call.span.attribute(keys.content, text);
      } finally {
        call.release();
      }
    });
    if (isDecoding) call.hold();
  }
}

/** A multipart body: what is in it, without what that contains. */
class MultipartRecorder extends BodyRecorder {
  private readonly outline: MultipartOutline;

  constructor(boundary: string) {
    super(0);
    this.outline = new MultipartOutline(boundary);
  }

  override add(chunk: unknown, encoding?: unknown): void {
    super.add(chunk, encoding);
    if (typeof chunk === "string") this.outline.add(Buffer.from(chunk, toEncoding(encoding)));
    else if (chunk instanceof Uint8Array) this.outline.add(chunk);
  }

  override record(call: OperationCall, keys: BodyKeys, _contentType: string | undefined, capture: Capture): void {
    const parts = this.outline.describe(capture);
    if (parts !== undefined) call.span.attribute(keys.parts, parts);
  }
}

function toEncoding(encoding: unknown): BufferEncoding {
  return typeof encoding === "string" && Buffer.isEncoding(encoding) ? encoding : "utf8";
}
