import type { Context } from "@opentelemetry/api";
import { counters, diag } from "../diag/diag.ts";
import { reanchor } from "../trace/clock.ts";
import type { DeferredSpan, InstrumentationScope, SpanSink } from "../trace/pipeline.ts";
import { Span } from "../trace/span.ts";
import type { Batch } from "./batch.ts";
import { type Chunk, ChunkPool } from "./chunk.ts";
import type { Encoding, ScopeSpans } from "./encoding.ts";
import type { RunOutside } from "./outside.ts";
import { startTimer, stopTimer } from "./timers.ts";
import type { Settled } from "./transport.ts";

/**
 * Encoded bytes that make a batch. A request costs 0.1 to 0.3 ms whatever it carries: with 32 KB the requests were most of
 * the cost, and with 1 MB nothing was gained over 256 KB (`benchmarks/`).
 */
const BATCH_BYTES = 256 * 1024;

/** Scopes in one batch: each has a chunk of its own. An application that makes up scopes gets more batches. */
const MAX_SCOPES = 64;

/**
 * Spans that are encoded in one go, or fewer once a batch is due. Between two spans of an application the processor's cache
 * loses the encoder's instructions, 14 KB: this way they are fetched once for all (`benchmarks/`).
 */
const ENCODED_TOGETHER = 64;
/** Fewer of spans so large that these are more bytes: what waits outlives a scavenge, and V8 doubles its young generation for it. */
const BYTES_TOGETHER = 32 * 1024;
/** Fewer where the queue is small: room for one in so many bytes. */
const BYTES_EACH = 64 * 1024;

/** What the sink needs of a transport. */
interface Sender {
  readonly isReady: boolean;
  send(batch: Batch, settled: Settled): void;
  close(): void;
}

export interface BatchLimits {
  /** Longest time a span waits for its batch. */
  readonly delayMillis: number;
  /** Encoded spans that are held, those under way included. */
  readonly maxQueueBytes: number;
  /** Spans that wait, and spans in a batch. */
  readonly maxQueueSpans: number;
  readonly maxBatchSpans: number;
  /** For `forceFlush`. */
  readonly flushTimeoutMillis: number;
}

interface HeldBatch extends Batch {
  /** The chunks that `body` consists of, once they are free again. */
  readonly chunks: readonly Chunk[];
}

/**
 * Where the default lane begins: encodes ended spans, a few at a time, into a chunk a scope, and cuts a batch at BATCH_BYTES
 * or after `delayMillis`. What is held is bounded; a span that finds no room is dropped and counted (`counters.droppedSpans`).
 */
export class BatchSink implements SpanSink {
  readonly observesStart = false;
  /** Called after each ended span once set, which is encoded at once: an exiting process has no later batch. */
  onEncoded: (() => void) | undefined = undefined;
  private readonly encoding: Encoding;
  private readonly limits: BatchLimits;
  private readonly runOutside: RunOutside;
  private readonly sender: Sender;
  private readonly releases: boolean;
  /** Not encoded yet: room for `mostTogether`, of which the first `endedCount` are there. */
  private ended: Array<Span | DeferredSpan | undefined>;
  private endedCount = 0;
  private readonly mostTogether: number;
  /** How many are to wait, by the size of the last ones. */
  private together: number;
  /** Of those being encoded. */
  private encodedBytes = 0;
  private readonly pool = new ChunkPool();
  private readonly open = new Map<InstrumentationScope, Chunk>();
  private lastScope: InstrumentationScope | undefined = undefined;
  private lastChunk: Chunk | undefined = undefined;
  private openBytes = 0;
  private openSpans = 0;
  /** The open batch has waited long enough, or is large enough. */
  private isDue = false;
  private timer: NodeJS.Timeout | undefined = undefined;
  private queue: HeldBatch[] = [];
  private readonly underWay = new Set<HeldBatch>();
  /** Of queue and those under way. */
  private sealedBytes = 0;
  private queuedSpans = 0;
  private isClosed = false;
  private readonly waiters = new Set<{ readonly batches: Set<HeldBatch>; readonly done: () => void }>();

  /** `releases`: no one else reads the spans after this. */
  constructor(
    encoding: Encoding,
    limits: BatchLimits,
    runOutside: RunOutside,
    releases: boolean,
    createSender: (onReady: () => void) => Sender,
  ) {
    this.encoding = encoding;
    this.limits = limits;
    this.runOutside = runOutside;
    this.releases = releases;
    const { maxBatchSpans, maxQueueSpans, maxQueueBytes } = limits;
    const together = Math.min(ENCODED_TOGETHER, maxBatchSpans, maxQueueSpans, Math.ceil(maxQueueBytes / BYTES_EACH));
    this.together = this.mostTogether = Math.max(1, together);
    this.ended = new Array<undefined>(this.mostTogether);
    this.sender = createSender(() => this.pump());
  }

  onStart(_span: Span, _parent: Context): void {}

  onEnd(span: Span): void {
    this.add(span);
  }

  onDeferredEnd(span: DeferredSpan): void {
    this.add(span);
  }

  /** Sends what has ended so far. Resolves when all of it was accepted, refused or given up, or after `flushTimeoutMillis`. */
  forceFlush(): Promise<void> {
    return new Promise((resolve) => {
      this.runOutside(() => {
        this.isDue = true;
        this.pump();
        if (this.openSpans > 0) this.enqueue();
        const batches = new Set([...this.underWay, ...this.queue]);
        if (batches.size === 0) return resolve();
        // Not unref'd, as everything else is: whoever awaits this must live to see it.
        const timer = startTimer(() => waiter.done(), this.limits.flushTimeoutMillis);
        const waiter = {
          batches,
          done: () => {
            stopTimer(timer);
            this.waiters.delete(waiter);
            resolve();
          },
        };
        this.waiters.add(waiter);
      });
    });
  }

  /** Flushes; spans that end later are ignored. */
  async shutdown(): Promise<void> {
    const flushed = this.forceFlush();
    this.isClosed = true;
    await flushed;
    stopTimer(this.timer);
    for (const batch of this.queue) counters.droppedSpans += batch.spanCount;
    this.queue = [];
    this.runOutside(() => this.sender.close());
  }

  /** Everything that no backend has confirmed, for somebody else to send: what is under way, and what was to follow. */
  takePending(): Batch[] {
    this.encodeEnded();
    if (this.openSpans > 0) this.enqueue();
    const pending = [...this.underWay, ...this.queue];
    for (const batch of this.queue) this.sealedBytes -= batch.byteLength;
    this.queue = [];
    this.queuedSpans = 0;
    return pending;
  }

  private add(span: Span | DeferredSpan): void {
    if (this.isClosed) return;
    this.ended[this.endedCount++] = span;
    if (this.endedCount >= this.together || this.onEncoded !== undefined) this.encodeEnded();
    else if (this.timer === undefined && !this.isDue) this.startDelay();
  }

  private encodeEnded(): void {
    const { ended, endedCount } = this;
    if (endedCount === 0) return;
    // What ends meanwhile is not one of these.
    this.ended = new Array<undefined>(this.mostTogether);
    this.endedCount = 0;
    this.encodedBytes = 0;
    // One after the other: together they are more instructions than the cache holds.
    for (let index = 0; index < endedCount; index++) {
      const one = ended[index];
      const span = one instanceof Span ? one : this.make(one as DeferredSpan);
      if (span?.late !== undefined) span.readLate();
      ended[index] = span;
    }
    for (let index = 0; index < endedCount; index++) {
      const span = ended[index] as Span | undefined;
      if (span !== undefined) this.encode(span);
      ended[index] = undefined;
    }
    const fitting = Math.ceil((BYTES_TOGETHER * endedCount) / (this.encodedBytes + 1));
    this.together = Math.min(fitting, this.mostTogether);
  }

  private make(deferred: DeferredSpan): Span | undefined {
    try {
      return deferred.toSpan();
    } catch (error) {
      this.drop(`one could not be made: ${String(error)}`);
      return undefined;
    }
  }

  private encode(span: Span): void {
    try {
      const scope = span.instrumentationScope;
      const chunk = scope === this.lastScope ? (this.lastChunk as Chunk) : this.chunkOf(scope);
      const { length } = chunk;
      this.encoding.append(chunk, span);
      const added = chunk.length - length;
      this.encodedBytes += added;
      const { limits } = this;
      if (
        this.openBytes + this.sealedBytes + added > limits.maxQueueBytes ||
        this.openSpans + this.queuedSpans >= limits.maxQueueSpans
      ) {
        chunk.length = length;
        this.drop("there is no room to keep more of them until the backend takes them");
        return;
      }
      this.openBytes += added;
      this.openSpans++;
      if (this.openBytes >= BATCH_BYTES || this.openSpans >= limits.maxBatchSpans) this.cut();
      else if (this.timer === undefined && !this.isDue) this.startDelay();
      this.onEncoded?.();
    } catch (error) {
      this.drop(`one could not be encoded: ${String(error)}`);
    } finally {
      if (this.releases) span.release();
    }
  }

  private chunkOf(scope: InstrumentationScope): Chunk {
    let chunk = this.open.get(scope);
    if (chunk === undefined) {
      if (this.open.size >= MAX_SCOPES) {
        if (this.openSpans > 0) this.cut();
        else this.open.clear();
      }
      chunk = this.pool.take();
      this.open.set(scope, chunk);
    }
    this.lastScope = scope;
    this.lastChunk = chunk;
    return chunk;
  }

  private startDelay(): void {
    this.runOutside(() => {
      this.timer = startTimer(() => {
        this.timer = undefined;
        this.isDue = true;
        this.pump();
      }, this.limits.delayMillis);
      this.timer.unref();
    });
  }

  private cut(): void {
    this.isDue = true;
    this.runOutside(() => this.pump());
    if (this.openSpans > 0) this.enqueue();
  }

  /** Sends for as long as the sender takes batches. Outside every request. */
  private pump(): void {
    if (this.isDue) {
      // Which may fill a batch, and send it: then what is left is due.
      this.encodeEnded();
      this.isDue = true;
    }
    while (this.sender.isReady) {
      const batch = this.queue.shift();
      if (batch !== undefined) this.queuedSpans -= batch.spanCount;
      else if (!this.isDue || this.openSpans === 0) break;
      this.send(batch ?? this.seal());
    }
    // Such as when the delay of a batch is over that has left because it was large: the next span begins a delay of its own.
    if (this.openSpans === 0) this.isDue = false;
  }

  private send(batch: HeldBatch): void {
    this.underWay.add(batch);
    this.sender.send(batch, (isClean) => {
      this.underWay.delete(batch);
      this.sealedBytes -= batch.byteLength;
      if (isClean) for (const chunk of batch.chunks) this.pool.give(chunk);
      for (const waiter of this.waiters) {
        waiter.batches.delete(batch);
        if (waiter.batches.size === 0) waiter.done();
      }
      this.pump();
    });
  }

  /** The open batch, without copying its bytes. */
  private seal(): HeldBatch {
    reanchor();
    const scopes: ScopeSpans[] = [];
    for (const [scope, chunk] of this.open) {
      if (chunk.length > 0) scopes.push({ scope, chunk });
      else this.pool.give(chunk);
    }
    const body = this.encoding.assemble(scopes);
    const byteLength = body.reduce((sum, piece) => sum + piece.length, 0);
    const batch = { body, byteLength, spanCount: this.openSpans, chunks: scopes.map(({ chunk }) => chunk) };
    this.open.clear();
    this.lastScope = this.lastChunk = undefined;
    this.openBytes = this.openSpans = 0;
    this.isDue = false;
    this.sealedBytes += byteLength;
    return batch;
  }

  /** Sets the open batch aside in a buffer of exactly its size: while a backend is down, chunks would hold many times what is in them. */
  private enqueue(): void {
    const { body, byteLength, spanCount, chunks } = this.seal();
    this.queue.push({ body: [Buffer.concat(body)], byteLength, spanCount, chunks: [] });
    this.queuedSpans += spanCount;
    for (const chunk of chunks) this.pool.give(chunk);
  }

  private drop(why: string): void {
    counters.droppedSpans++;
    diag.warnOnce("span-dropped", `spans are lost: ${why}. Further ones are counted, not reported.`);
  }
}
