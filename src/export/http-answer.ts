import { toFastBuffer } from "../node-buffer.ts";
import { MAX_RESPONSE_BYTES } from "./exchange.ts";

/** As much as Node reads of a head by default. */
const MAX_HEAD_BYTES = 16 * 1024;

const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: (.*))?$/;
const EMPTY = Buffer.alloc(0);

/** What makes an answer unusable, in words for the user. */
export class UnreadableAnswer extends Error {}

const HEAD = 0;
/** The body's next `expected` bytes. */
const BYTES = 1;
const CHUNK_SIZE = 2;
/** The end of line behind a chunk. */
const CHUNK_END = 3;
const TRAILERS = 4;
const UNTIL_CLOSED = 5;
const COMPLETE = 6;

/** Reads the answer to one request as it arrives. Source: RFC 9112, "Message Parsing" and "Message Body". */
export class HttpAnswer {
  status = 0;
  statusMessage = "";
  /** Names in lower case; of several with one name, the last. */
  headers: Readonly<Record<string, string>> = {};
  private step = HEAD;
  /** Arrived, and not read yet. */
  private rest: Buffer = EMPTY;
  private expected = 0;
  private isChunked = false;
  private keepsAlive = false;
  private readonly pieces: Buffer[] = [];
  private bodyBytes = 0;

  get isComplete(): boolean {
    return this.step === COMPLETE;
  }

  /** Whether another request may follow on the same connection. */
  get isReusable(): boolean {
    return this.keepsAlive && this.rest.length === 0;
  }

  get body(): Buffer {
    return Buffer.concat(this.pieces);
  }

  /** `bytes` may be written over once this returns. Throws an UnreadableAnswer. */
  push(bytes: Uint8Array): void {
    this.rest = Buffer.concat([this.rest, bytes]);
    while (this.step !== COMPLETE && this.read());
  }

  /** The connection has ended, which ends a body that has no other end. */
  end(): void {
    if (this.step === UNTIL_CLOSED) this.step = COMPLETE;
  }

  /** One step; false when it takes more than has arrived. */
  private read(): boolean {
    switch (this.step) {
      case HEAD:
        return this.readHead();
      case BYTES:
        return this.readBytes();
      case CHUNK_SIZE: {
        const line = this.takeLine();
        if (line === undefined) return false;
        this.expected = /^[0-9a-f]{1,8}(?=[;\s]|$)/i.test(line) ? parseInt(line, 16) : NaN;
        if (Number.isNaN(this.expected)) throw new UnreadableAnswer("its answer has a chunk without a size");
        this.step = this.expected === 0 ? TRAILERS : BYTES;
        return true;
      }
      case CHUNK_END:
        if (this.takeLine() === undefined) return false;
        this.step = CHUNK_SIZE;
        return true;
      case TRAILERS: {
        const line = this.takeLine();
        if (line === "") this.step = COMPLETE;
        return line !== undefined;
      }
      default:
        this.takeBody(this.rest.length);
        return false;
    }
  }

  private readHead(): boolean {
    const end = this.rest.indexOf("\r\n\r\n");
    const head = toFastBuffer(this.rest).latin1Slice(0, end === -1 ? Math.min(this.rest.length, MAX_HEAD_BYTES) : end);
    const lines = head.split("\r\n");
    const [, minor, status, message = ""] = STATUS_LINE.exec(lines[0]!) ?? [];
    if (end === -1) {
      // What is no answer may never have an end.
      if (!"HTTP/1.".startsWith(head.slice(0, 7))) throw notHttp(head);
      if (head.length >= MAX_HEAD_BYTES) throw new UnreadableAnswer("its answer has headers without an end");
      return false;
    }
    if (status === undefined) throw notHttp(head);
    this.rest = this.rest.subarray(end + 4);
    // "100 Continue" and the like come before the answer.
    if (status.startsWith("1")) return true;
    const headers: Record<string, string> = {};
    for (const line of lines.slice(1)) {
      const colon = line.indexOf(":");
      if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    this.status = Number(status);
    this.statusMessage = message;
    this.headers = headers;
    const connection = headers["connection"]?.toLowerCase() ?? "";
    this.keepsAlive = minor === "1" ? !connection.includes("close") : connection.includes("keep-alive");
    this.beginBody(headers);
    return true;
  }

  private beginBody(headers: Readonly<Record<string, string>>): void {
    const { "content-length": length, "transfer-encoding": encoding } = headers;
    if (this.status === 204 || this.status === 304) this.step = COMPLETE;
    else if (encoding !== undefined && /(?:^|,)\s*chunked\s*$/i.test(encoding)) {
      this.isChunked = true;
      this.step = CHUNK_SIZE;
    } else if (encoding === undefined && length !== undefined && /^\d{1,15}$/.test(length)) {
      this.expected = Number(length);
      this.step = this.expected === 0 ? COMPLETE : BYTES;
    } else {
      this.keepsAlive = false;
      this.step = UNTIL_CLOSED;
    }
  }

  private readBytes(): boolean {
    if (this.rest.length === 0) return false;
    const count = Math.min(this.expected, this.rest.length);
    this.takeBody(count);
    this.expected -= count;
    if (this.expected === 0) this.step = this.isChunked ? CHUNK_END : COMPLETE;
    return true;
  }

  private takeBody(count: number): void {
    this.bodyBytes += count;
    if (this.bodyBytes > MAX_RESPONSE_BYTES) {
      throw new UnreadableAnswer(`its answer was longer than ${MAX_RESPONSE_BYTES} bytes`);
    }
    this.pieces.push(this.rest.subarray(0, count));
    this.rest = this.rest.subarray(count);
  }

  /** Without its end; undefined while that has not arrived. */
  private takeLine(): string | undefined {
    const end = this.rest.indexOf("\r\n");
    if (end === -1) {
      if (this.rest.length > MAX_HEAD_BYTES) throw new UnreadableAnswer("its answer has a line without an end");
      return undefined;
    }
    const line = toFastBuffer(this.rest).latin1Slice(0, end);
    this.rest = this.rest.subarray(end + 2);
    return line;
  }
}

function notHttp(head: string): UnreadableAnswer {
  return new UnreadableAnswer(
    `what answers there does not speak HTTP/1.1 (it said ${JSON.stringify(head.slice(0, 20))}): is it the gRPC port?`,
  );
}
