/** The largest request, and so the largest chunk, in bytes. Source: OTLP exporter specification, "maximum request size". */
export const MAX_REQUEST_BYTES: number = 64 * 1024 * 1024;

/** Small enough that an application with many instrumentation scopes does not pay for them, large enough to double rarely. */
const INITIAL_BYTES = 16 * 1024;

/**
 * Bytes at the end that nothing is written to. An access to the last ones of a view V8's Maglev takes for one beyond it, and
 * from then on no such access is compiled any more, but each is a call of 108 instructions (Node 24, `benchmarks/`).
 */
const SLACK_BYTES = 16;

/** A chunk grown past this was filled by an unusual span: it is not worth keeping. */
const MAX_KEPT_BYTES = 1024 * 1024;
const MAX_KEPT_CHUNKS = 32;

/** A buffer that grows: spans are encoded into it one after another. The bytes before `length` are written. */
export class Chunk {
  bytes: Buffer;
  view: DataView;
  length: number = 0;

  constructor(byteLength: number = INITIAL_BYTES) {
    this.bytes = Buffer.allocUnsafeSlow(byteLength);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Makes room for `count` bytes at `position`, keeping what is before it. Throws a RangeError past MAX_REQUEST_BYTES. */
  reserve(position: number, count: number): void {
    if (position + count + SLACK_BYTES > this.bytes.length) this.grow(position, position + count);
  }

  /** The written part, not copied. */
  written(): Buffer {
    return this.bytes.subarray(0, this.length);
  }

  private grow(position: number, needed: number): void {
    if (needed > MAX_REQUEST_BYTES) throw new RangeError("larger than a request may be");
    const larger = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, needed + SLACK_BYTES));
    this.bytes.copy(larger, 0, 0, position);
    this.bytes = larger;
    this.view = new DataView(larger.buffer);
  }
}

/** Chunks whose bytes have left, for the next ones to be written. Bounded in number and size. */
export class ChunkPool {
  private readonly free: Chunk[] = [];

  take(): Chunk {
    return this.free.pop() ?? new Chunk();
  }

  give(chunk: Chunk): void {
    if (this.free.length >= MAX_KEPT_CHUNKS || chunk.bytes.length > MAX_KEPT_BYTES) return;
    chunk.length = 0;
    this.free.push(chunk);
  }
}
