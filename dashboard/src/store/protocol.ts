import type { ImportResult } from "../model/api.ts";
import type { TraceFilter } from "../model/filter.ts";
import type { SpanRecord } from "../model/span.ts";
import type { TraceSummary } from "../model/trace.ts";
import type { DriverName } from "./driver.ts";
import type { Store, StoreError } from "./store.ts";

// What the two threads say to each other.

/** What the store's thread is started with. */
export interface ThreadOptions {
  /** Absent: in memory. */
  path?: string;
  maxBytes: number;
  retentionMillis?: number;
  driver?: DriverName;
}

/** A portion of `Store.readTraces`; `next` is given back for the following one. */
export interface TracesPortion {
  traces: SpanRecord[][];
  next?: string;
}

/** What the thread can be asked, by name. */
export type ThreadApi = Omit<Store, "readTraces" | "watch" | "importTraces"> & {
  readTraces(selection: TraceFilter | { traceIds: readonly string[] }, next?: string): Promise<TracesPortion>;
  importTraces(body: Uint8Array<ArrayBuffer>): Promise<ImportResult>;
  watch(watcher: number, filter: TraceFilter, recent: boolean): Promise<void>;
  unwatch(watcher: number): Promise<void>;
};

export interface Question {
  id: number;
  method: keyof ThreadApi;
  args: readonly unknown[];
}

export interface ThreadError {
  message: string;
  /** Of a `StoreError`. */
  code?: StoreError["code"];
}

/** `ready` and `failed` come once, first. */
export type Said =
  | { type: "ready" }
  | { type: "failed"; error: ThreadError }
  | { type: "answers"; answers: readonly Answer[] }
  | { type: "traces"; watcher: number; traces: readonly TraceSummary[] }
  | { type: "cleared" };

export type Answer = { id: number; result: unknown } | { id: number; error: ThreadError };
