import type { TraceSummary } from "./trace.ts";

/**
 * What the server answers, and the page, the terminal and other tools ask. All of it is JSON unless said otherwise.
 *
 * | request                                      | answer                                                         |
 * | -------------------------------------------- | -------------------------------------------------------------- |
 * | `GET /api/status`                            | `Status`                                                       |
 * | `GET /api/traces?<filter>&limit&cursor`      | `TraceList`                                                    |
 * | `GET /api/traces/<trace id>`                 | `TraceDetail`; an id may be cut to its first 8 digits or more  |
 * | `GET /api/traces/<trace id>/spans/<span id>` | `SpanDetail`                                                   |
 * | `GET /api/services?<since, until>`           | `ServiceMap`                                                   |
 * | `GET /api/facets?<filter>`                   | `Facets`                                                       |
 * | `GET /api/live?<filter>`                     | server-sent events: `traces` (`TraceSummary[]`, at most 4 a second), `status` (`Status`), `cleared`, `resync` (the page was too slow and missed some: ask anew); with `recent` first those traces that changed in the last 2 seconds |
 * | `GET /api/saved-filters`                     | `SavedFilter[]`                                                |
 * | `PUT, DELETE /api/saved-filters/<name>`      | the same, after the change; the body of PUT is `{ query }`     |
 * | `GET /api/export?<filter>` or `?trace=<id>…` | OTLP JSON (`{ resourceSpans }`) as a download                  |
 * | `POST /api/import`                           | `ImportResult`; the body is OTLP, Jaeger or Zipkin JSON        |
 * | `DELETE /api/traces`                         | 204; everything is forgotten, saved filters aside              |
 *
 * Requests that change something need the header `x-tracekit: 1`, which no form of another site can send.
 */
export interface Status {
  version: string;
  /** `node:sqlite` or `node-sqlite3-wasm`. */
  driver: string;
  /** Path of the store's file; absent when it is kept in memory. */
  storePath?: string;
  storeBytes: number;
  /** When it grows beyond, the oldest traces leave. */
  maxStoreBytes: number;
  /** Where senders can send to: `http://localhost:9400`, `http://localhost:4318`, `http://localhost:4317`. */
  endpoints: readonly string[];
  traceCount: number;
  spanCount: number;
  logCount: number;
  received: Received;
}

/** Counts since the start. */
export interface Received {
  requests: number;
  spans: number;
  logs: number;
  /** Requests answered 4xx, with the latest reason. */
  refusedRequests: number;
  lastRefusal?: string;
  /** Spans of accepted requests that could not be kept: without ids, for example. */
  rejectedSpans: number;
  /** Requests answered 503 because the store was behind. */
  busyRequests: number;
  /** Requests with metrics, which are accepted and not kept. */
  metricsRequests: number;
  /** Traces that left because the store was full or they were too old. */
  evictedTraces: number;
}

export interface TraceList {
  /** Latest first. */
  traces: readonly TraceSummary[];
  /** Give it back as `cursor` for those that follow; absent at the end. */
  nextCursor?: string;
  /** What of the filter was not understood. */
  problems: readonly string[];
}

/** Values to choose from, most frequent first, at most 200 each. Counts are of traces. */
export interface Facets {
  services: readonly { value: string; count: number }[];
  operations: readonly { value: string; count: number }[];
  statuses: readonly { value: string; count: number }[];
  users: readonly { value: string; count: number }[];
  /** Attribute keys of recent spans. */
  attributeKeys: readonly string[];
}

export interface SavedFilter {
  name: string;
  /** As in the address: `service=url&status=5xx`. */
  query: string;
}

export interface ImportResult {
  format: "otlp" | "jaeger" | "zipkin";
  traces: number;
  spans: number;
  rejectedSpans: number;
}

/** Who talks to whom, from what arrived. */
export interface ServiceMap {
  nodes: readonly ServiceNode[];
  edges: readonly ServiceEdge[];
}

export interface ServiceNode {
  /** Unique: `service:url`, `database:postgresql/app`, `cache:redis`, `topic:url-events`, `host:api.mixpanel.example`. */
  id: string;
  name: string;
  type: "service" | "database" | "cache" | "topic" | "host";
  /** Of what it answered: server and consumer spans of a service; the callers' spans for the others. */
  stats: RequestStats;
}

export interface ServiceEdge {
  from: string;
  to: string;
  stats: RequestStats;
}

export interface RequestStats {
  count: number;
  errorCount: number;
  perSecond: number;
  /** Nearest rank. */
  p50Nanos: number;
  p95Nanos: number;
}

/** Body of every answer that is an error. The code is stable; see `ERRORS`. */
export interface ApiError {
  error: { code: ErrorCode; message: string };
}

/** Every error code with its HTTP status. */
export const ERRORS = {
  bad_request: 400,
  unauthorized: 401,
  forbidden_host: 403,
  forbidden_origin: 403,
  not_found: 404,
  method_not_allowed: 405,
  too_large: 413,
  unsupported_media_type: 415,
  store_busy: 503,
  store_full: 507,
  internal: 500,
} as const;

export type ErrorCode = keyof typeof ERRORS;
