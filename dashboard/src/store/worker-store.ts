import { resolve as resolvePath } from "node:path";
import { Worker } from "node:worker_threads";
import type { TraceFilter } from "../model/filter.ts";
import type { SpanRecord } from "../model/span.ts";
import type { DriverName } from "./driver.ts";
import { lockStore } from "./file-lock.ts";
import type { Answer, Question, Said, ThreadApi, ThreadError, ThreadOptions, TracesPortion } from "./protocol.ts";
import { StoreError, type IngestResult, type Payload, type Store, type WatchEvent } from "./store.ts";

/** Bytes of payloads that may wait to be written. */
const MAX_WAITING_BYTES = 64_000_000;
/** A thread that dies again so soon after its restart is not started once more. */
const RESTART_MILLIS = 60_000;

export interface StoreOptions {
  /** Where the store is kept; made with its folders where there is none. Ignored with `memory`. */
  path?: string;
  /** Kept in memory, and gone with the process. */
  memory?: boolean;
  /** When the store grows beyond, the oldest traces leave. */
  maxBytes: number;
  /** How long after the last of its spans a trace leaves. Without it only `maxBytes` counts. */
  retentionMillis?: number;
  /** Which SQLite; by itself the one of Node where it has one. */
  driver?: DriverName;
}

/** Opens the store, and makes it if need be. Throws a `StoreError` that says what to do when that cannot be. */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { memory = false, maxBytes, retentionMillis, driver } = options;
  if (!memory && options.path === undefined) throw new TypeError("openStore needs a path, or memory");
  const path = memory ? undefined : resolvePath(options.path!);
  const release = path === undefined ? () => {} : lockStore(path);
  const store = new WorkerStore(
    {
      maxBytes,
      ...(path !== undefined && { path }),
      ...(retentionMillis !== undefined && { retentionMillis }),
      ...(driver !== undefined && { driver }),
    },
    release,
  );
  try {
    await store.opened;
  } catch (error) {
    release();
    throw error;
  }
  return store;
}

interface Asked {
  resolve(result: unknown): void;
  reject(error: unknown): void;
  /** What a payload gets when the thread dies under it. */
  isPayload: boolean;
}

/** The store as the rest of the process sees it: everything is done in its thread. */
class WorkerStore implements Store {
  readonly opened: Promise<void>;
  private readonly options: ThreadOptions;
  private readonly release: () => void;
  private worker: Worker;
  private readonly asked: Map<number, Asked> = new Map();
  private readonly watchers: Map<number, { filter: TraceFilter; listener: (event: WatchEvent) => void }> = new Map();
  private nextId = 1;
  private waitingBytes = 0;
  private restartedMillis = 0;
  /** Why nothing can be asked any more. */
  private end: Error | undefined;

  constructor(options: ThreadOptions, release: () => void) {
    this.options = options;
    this.release = release;
    this.worker = this.start();
    this.opened = this.whenOpened(this.worker);
  }

  async ingest(payload: Payload): Promise<IngestResult> {
    const { byteLength } = payload.body;
    // One that is larger by itself is let in when nothing else waits.
    if (this.waitingBytes > 0 && this.waitingBytes + byteLength > MAX_WAITING_BYTES)
      return { outcome: "busy", reason: "the store is behind with writing: try again in a moment" };
    this.waitingBytes += byteLength;
    try {
      const body = wholeBuffer(payload.body);
      return await this.ask("ingest", [{ ...payload, body }], [body.buffer]);
    } finally {
      this.waitingBytes -= byteLength;
    }
  }

  listTraces(...args: Parameters<Store["listTraces"]>): ReturnType<Store["listTraces"]> {
    return this.ask("listTraces", args);
  }

  getTraceJson(...args: Parameters<Store["getTraceJson"]>): ReturnType<Store["getTraceJson"]> {
    return this.ask("getTraceJson", args);
  }

  getSpan(...args: Parameters<Store["getSpan"]>): ReturnType<Store["getSpan"]> {
    return this.ask("getSpan", args);
  }

  getServiceMap(...args: Parameters<Store["getServiceMap"]>): ReturnType<Store["getServiceMap"]> {
    return this.ask("getServiceMap", args);
  }

  getFacets(...args: Parameters<Store["getFacets"]>): ReturnType<Store["getFacets"]> {
    return this.ask("getFacets", args);
  }

  async *readTraces(selection: TraceFilter | { traceIds: readonly string[] }): AsyncGenerator<SpanRecord[]> {
    let portion: TracesPortion | undefined;
    do {
      portion = await this.ask("readTraces", portion === undefined ? [selection] : [selection, portion.next]);
      yield* portion.traces;
    } while (portion.next !== undefined);
  }

  async importTraces(body: Uint8Array<ArrayBuffer>): ReturnType<Store["importTraces"]> {
    const whole = wholeBuffer(body);
    return this.ask("importTraces", [whole], [whole.buffer]);
  }

  getSavedFilters(): ReturnType<Store["getSavedFilters"]> {
    return this.ask("getSavedFilters", []);
  }

  putSavedFilter(...args: Parameters<Store["putSavedFilter"]>): ReturnType<Store["putSavedFilter"]> {
    return this.ask("putSavedFilter", args);
  }

  deleteSavedFilter(...args: Parameters<Store["deleteSavedFilter"]>): ReturnType<Store["deleteSavedFilter"]> {
    return this.ask("deleteSavedFilter", args);
  }

  clear(): ReturnType<Store["clear"]> {
    return this.ask("clear", []);
  }

  getStatus(): ReturnType<Store["getStatus"]> {
    return this.ask("getStatus", []);
  }

  watch(filter: TraceFilter, listener: (event: WatchEvent) => void, { recent = false } = {}): () => void {
    const watcher = this.nextId++;
    this.watchers.set(watcher, { filter, listener });
    // When the thread is gone nothing changes any more: there is nobody to tell.
    this.ask("watch", [watcher, filter, recent]).catch(() => {});
    return () => {
      if (this.watchers.delete(watcher)) this.ask("unwatch", [watcher]).catch(() => {});
    };
  }

  async close(): Promise<void> {
    if (this.end !== undefined) return;
    const closing = this.ask("close", []);
    this.end = new Error("The store is closed.");
    this.watchers.clear();
    try {
      await closing;
    } finally {
      await this.worker.terminate();
      this.release();
    }
  }

  private start(): Worker {
    const options = {
      workerData: this.options,
      name: "tracekit-store",
      // What is read from a request lives until it is written. With the usual 16 MB that is promoted to the old generation and
      // collected from there: a tenth of all the time it takes.
      resourceLimits: { maxYoungGenerationSizeMb: 96 },
    };
    const worker = import.meta.url.endsWith(".ts")
      ? new Worker(fromSource(), { ...options, eval: true })
      : new Worker(new URL("./store-worker.js", import.meta.url), options);
    worker.on("message", (said: Said) => this.hear(said));
    worker.on("error", (error) => this.restart(worker, error));
    worker.on("exit", (code) => this.restart(worker, new Error(`it exited with code ${code}`)));
    return worker;
  }

  private whenOpened(worker: Worker): Promise<void> {
    return new Promise((resolve, reject) => {
      worker.once("error", reject);
      worker.once("exit", () => reject(new Error("The store's thread did not start.")));
      worker.on("message", (said: Said) => {
        if (said.type === "ready") resolve();
        if (said.type !== "failed") return;
        const error = toError(said.error);
        this.end = error;
        void worker.terminate();
        reject(error);
      });
    });
  }

  private hear(said: Said): void {
    switch (said.type) {
      case "answers":
        for (const answer of said.answers) this.settle(answer);
        break;
      case "traces":
        this.watchers.get(said.watcher)?.listener({ type: "traces", traces: said.traces });
        break;
      case "cleared":
        for (const { listener } of this.watchers.values()) listener({ type: "cleared" });
        break;
      case "ready":
      case "failed":
        break;
    }
  }

  private settle(answer: Answer): void {
    const asked = this.asked.get(answer.id);
    this.asked.delete(answer.id);
    if ("error" in answer) asked?.reject(toError(answer.error));
    else asked?.resolve(answer.result);
  }

  // What was asked with a method's name and arguments is answered with that method's result.
  private ask<Method extends keyof ThreadApi>(
    method: Method,
    args: readonly unknown[],
    transfer: ArrayBuffer[] = [],
  ): Promise<Awaited<ReturnType<ThreadApi[Method]>>> {
    return new Promise((resolve, reject) => {
      if (this.end !== undefined) {
        reject(this.end);
        return;
      }
      const id = this.nextId++;
      this.asked.set(id, { resolve: resolve as Asked["resolve"], reject, isPayload: method === "ingest" });
      this.worker.postMessage({ id, method, args } satisfies Question, transfer);
    });
  }

  /** The thread has died. Nothing that it acknowledged is lost; what it had not, senders send again. */
  private restart(worker: Worker, cause: Error): void {
    if (worker !== this.worker || this.end !== undefined) return;
    const message = `The store's thread has died: ${cause.message}`;
    const unanswered = [...this.asked.values()];
    this.asked.clear();
    if (Date.now() - this.restartedMillis < RESTART_MILLIS) {
      this.end = new Error(message, { cause });
      this.release();
    } else {
      this.restartedMillis = Date.now();
      this.worker = this.start();
      this.whenOpened(this.worker).catch((error: Error) => {
        this.end = error;
      });
      for (const [watcher, { filter }] of this.watchers) this.ask("watch", [watcher, filter, true]).catch(() => {});
    }
    for (const { resolve, reject, isPayload } of unanswered) {
      if (isPayload && this.end === undefined) resolve({ outcome: "busy", reason: message });
      else reject(new Error(message, { cause }));
    }
  }
}

/** Tests and tools run the TypeScript itself, and a thread does not inherit what makes Node 20 understand it. */
function fromSource(): string {
  const entry = new URL("./worker.ts", import.meta.url).href;
  return `import("tsx/esm/api").then(({ register }) => (register(), import(${JSON.stringify(entry)})));`;
}

/** A buffer that can be handed over to another thread: one that shares its memory with others is copied. */
function wholeBuffer(body: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return body.byteLength === body.buffer.byteLength ? body : new Uint8Array(body);
}

function toError({ message, code }: ThreadError): Error {
  return code === undefined ? new Error(message) : new StoreError(code, message);
}
