import type { TraceFilter } from "../../src/model/filter.ts";
import type { Resource, SpanRecord } from "../../src/model/span.ts";
import type { SavedFilter } from "../../src/model/api.ts";
import type { TraceSummary } from "../../src/model/trace.ts";
import type { IngestResult, Payload, Store, StoredSpan, WatchEvent } from "../../src/store/store.ts";

/** A store that remembers what it was asked, and answers what a test put into it. */
export interface FakeStore extends Store {
  payloads: Payload[];
  ingestResult: IngestResult | Promise<IngestResult>;
  calls: { name: string; args: unknown[] }[];
  spans: Map<string, StoredSpan>;
  traces: SpanRecord[][];
  watchers: Set<(event: WatchEvent) => void>;
  emit(event: WatchEvent): void;
}

export function createFakeStore(): FakeStore {
  const calls: FakeStore["calls"] = [];
  let saved: SavedFilter[] = [];
  const called = (name: string, ...args: unknown[]): void => void calls.push({ name, args });
  const store: FakeStore = {
    payloads: [],
    ingestResult: { outcome: "kept", spans: 1, logs: 0, rejected: 0 },
    calls,
    spans: new Map(),
    traces: [],
    watchers: new Set(),
    emit(event) {
      for (const watcher of store.watchers) watcher(event);
    },
    async ingest(payload) {
      store.payloads.push(payload);
      return store.ingestResult;
    },
    async listTraces(filter, page) {
      called("listTraces", filter, page);
      return { traces: [fakeSummary()], nextCursor: "next" };
    },
    async getTraceJson(traceId) {
      called("getTraceJson", traceId);
      return undefined;
    },
    async getSpan(traceId, spanId) {
      called("getSpan", traceId, spanId);
      return store.spans.get(spanId);
    },
    async getServiceMap(range) {
      called("getServiceMap", range);
      return { nodes: [], edges: [] };
    },
    async getFacets(filter) {
      called("getFacets", filter);
      return { services: [], operations: [], statuses: [], users: [], attributeKeys: [] };
    },
    async *readTraces(selection: TraceFilter | { traceIds: readonly string[] }) {
      called("readTraces", selection);
      yield* store.traces;
    },
    async importTraces(body) {
      called("importTraces", body);
      return { format: "otlp", traces: 1, spans: 1, rejectedSpans: 0 };
    },
    async getSavedFilters() {
      return saved;
    },
    async putSavedFilter(filter) {
      saved = [...saved.filter(({ name }) => name !== filter.name), filter];
      return saved;
    },
    async deleteSavedFilter(name) {
      saved = saved.filter((filter) => filter.name !== name);
      return saved;
    },
    async clear() {
      called("clear");
    },
    async getStatus() {
      return {
        driver: "fake",
        storeBytes: 0,
        maxStoreBytes: 1,
        traceCount: 0,
        spanCount: 0,
        logCount: 0,
        evictedTraces: 7,
      };
    },
    watch(filter, listener) {
      called("watch", filter);
      store.watchers.add(listener);
      return () => void store.watchers.delete(listener);
    },
    async close() {},
  };
  return store;
}

const resource: Resource = { serviceName: "url", attributes: { "service.name": "url" } };

export function fakeSpan(changes: Partial<SpanRecord> = {}): SpanRecord {
  return {
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    spanId: "00f067aa0ba902b7",
    parentSpanId: "",
    traceState: "",
    flags: 1,
    name: "POST /shorten",
    kind: 2,
    start: { unixMicros: 1_800_000_000_000_000, nanos: 1 },
    durationNanos: 5_000_000,
    status: { code: 0, message: "" },
    attributes: {},
    events: [],
    links: [],
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
    resource,
    scope: { name: "test", version: "1" },
    ...changes,
  };
}

export function fakeStoredSpan(changes: Partial<SpanRecord> = {}): StoredSpan {
  return { span: fakeSpan(changes), category: "internal", logs: [], linkedFrom: [], linksTo: [] };
}

export function fakeSummary(changes: Partial<TraceSummary> = {}): TraceSummary {
  return {
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    service: "url",
    operation: "POST /shorten",
    kind: 2,
    start: { unixMicros: 1_800_000_000_000_000, nanos: 1 },
    durationNanos: 5_000_000,
    hasRoot: true,
    hasError: false,
    statusCode: 0,
    services: ["url"],
    spanCount: 1,
    errorCount: 0,
    queryCount: 0,
    cacheHits: 0,
    cacheMisses: 0,
    arrivedAt: 1_800_000_000_000,
    ...changes,
  };
}
