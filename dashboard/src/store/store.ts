import type { Facets, ImportResult, SavedFilter, ServiceMap, TraceList } from "../model/api.ts";
import type { TraceFilter } from "../model/filter.ts";
import type { LogRecord, SpanRecord } from "../model/span.ts";
import type { SpanDetail, TraceSummary } from "../model/trace.ts";

/** How the bytes of a request are to be read. */
export type PayloadFormat = "otlp-protobuf" | "otlp-json" | "zipkin-json";

/** A request's body, decompressed. */
export interface Payload {
  signal: "traces" | "logs";
  format: PayloadFormat;
  body: Uint8Array<ArrayBuffer>;
}

/** What became of a payload. Nothing of it is acknowledged before it is committed. */
export type IngestResult =
  | { outcome: "kept"; spans: number; logs: number; rejected: number; reason?: string }
  | { outcome: "malformed"; reason: string }
  /** Too much is waiting to be written, or the disk is full: the sender is to try again. */
  | { outcome: "busy" | "full"; reason: string };

export interface StoreStatus {
  driver: string;
  storePath?: string;
  storeBytes: number;
  maxStoreBytes: number;
  traceCount: number;
  spanCount: number;
  logCount: number;
  evictedTraces: number;
}

/** A span with what the store knows about it; the rest of `SpanDetail` is worked out of these. */
export type StoredSpan = Pick<SpanDetail, "span" | "category" | "linkedFrom" | "linksTo"> & {
  logs: readonly LogRecord[];
};

/** Where everything that arrived is kept, and the questions it answers. One set of queries for pages, terminal and tools. */
export interface Store {
  ingest(payload: Payload): Promise<IngestResult>;
  listTraces(filter: TraceFilter, page: { limit: number; cursor?: string }): Promise<Omit<TraceList, "problems">>;
  /** A `TraceDetail`, by its id or the first 8 digits or more of it; the latest, where several begin so. In JSON, made in the store's
   *  thread: a large trace stops nothing else that this process does. */
  getTraceJson(traceId: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  getSpan(traceId: string, spanId: string): Promise<StoredSpan | undefined>;
  getServiceMap(range: Pick<TraceFilter, "since" | "until">): Promise<ServiceMap>;
  getFacets(filter: TraceFilter): Promise<Facets>;
  /** Whole traces, one array each. */
  readTraces(selection: TraceFilter | { traceIds: readonly string[] }): AsyncIterable<SpanRecord[]>;
  /** OTLP, Jaeger or Zipkin JSON, told apart by its shape. Throws a `StoreError` for anything else. */
  importTraces(body: Uint8Array<ArrayBuffer>): Promise<ImportResult>;
  getSavedFilters(): Promise<SavedFilter[]>;
  putSavedFilter(saved: SavedFilter): Promise<SavedFilter[]>;
  deleteSavedFilter(name: string): Promise<SavedFilter[]>;
  clear(): Promise<void>;
  getStatus(): Promise<StoreStatus>;
  /** Calls with the summaries of traces that changed, of `filter` where given, at most 4 times a second; gives what stops it. With
   *  `recent` also, at once, with those that changed in the seconds before: whoever has asked for what there is just now, and
   *  watches from now on, misses nothing between the two. */
  watch(filter: TraceFilter, listener: (event: WatchEvent) => void, options?: { recent?: boolean }): () => void;
  close(): Promise<void>;
}

export type WatchEvent = { type: "traces"; traces: readonly TraceSummary[] } | { type: "cleared" };

/** Why a store cannot be opened or used. The message says what to do. */
export class StoreError extends Error {
  readonly code: "locked" | "newer_version" | "corrupt" | "full" | "unwritable" | "bad_import";

  constructor(code: StoreError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "StoreError";
    this.code = code;
  }
}
