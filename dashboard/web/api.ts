import type {
  ApiError,
  ErrorCode,
  Facets,
  ImportResult,
  SavedFilter,
  ServiceMap,
  Status,
  TraceList,
} from "../src/model/api.ts";
import { formatFilter, type TraceFilter } from "../src/model/filter.ts";
import type { SpanDetail, TraceDetail, TraceSummary } from "../src/model/trace.ts";

/** Why a question got no answer. `server_gone`: nobody is listening, status 0; everything else is the server's own code. */
export class ApiFailure extends Error {
  readonly code: ErrorCode | "server_gone";
  readonly status: number;

  constructor(code: ErrorCode | "server_gone", message: string, status: number) {
    super(message);
    this.name = "ApiFailure";
    this.code = code;
    this.status = status;
  }
}

export type ConnectionState = "connecting" | "open" | "lost";

export interface LiveHandlers {
  traces?(traces: readonly TraceSummary[]): void;
  status?(status: Status): void;
  cleared?(): void;
  /** `lost` carries when the next attempt is made, in Unix milliseconds. `open` after `lost`: something may have been missed. */
  connection?(state: ConnectionState, nextAttemptAt?: number): void;
}

/** What the server is asked. Everything throws an `ApiFailure`; a `signal` that is aborted throws an `AbortError`. */
export const api = {
  status: (signal?: AbortSignal): Promise<Status> => get("/api/status", signal),

  traces: (filter: TraceFilter, page: { limit: number; cursor?: string }, signal?: AbortSignal): Promise<TraceList> => {
    const words = formatFilter(filter);
    words.set("limit", String(page.limit));
    if (page.cursor !== undefined) words.set("cursor", page.cursor);
    return get(`/api/traces?${words}`, signal);
  },

  trace: (traceId: string, signal?: AbortSignal): Promise<TraceDetail> =>
    get(`/api/traces/${encodeURIComponent(traceId)}`, signal),

  span: (traceId: string, spanId: string, signal?: AbortSignal): Promise<SpanDetail> =>
    get(`/api/traces/${encodeURIComponent(traceId)}/spans/${encodeURIComponent(spanId)}`, signal),

  services: (range: Pick<TraceFilter, "since" | "until">, signal?: AbortSignal): Promise<ServiceMap> =>
    get(withQuery("/api/services", formatFilter(range)), signal),

  facets: (filter: TraceFilter, signal?: AbortSignal): Promise<Facets> =>
    get(withQuery("/api/facets", formatFilter(filter)), signal),

  savedFilters: (signal?: AbortSignal): Promise<SavedFilter[]> => get("/api/saved-filters", signal),

  saveFilter: ({ name, query }: SavedFilter): Promise<SavedFilter[]> =>
    change("PUT", `/api/saved-filters/${encodeURIComponent(name)}`, JSON.stringify({ query })),

  deleteFilter: (name: string): Promise<SavedFilter[]> =>
    change("DELETE", `/api/saved-filters/${encodeURIComponent(name)}`),

  importFile: (file: Blob): Promise<ImportResult> => change("POST", "/api/import", file),

  /** Address of a download of OTLP JSON: of the traces with these ids, or of all that the filter finds. */
  exportUrl: (selection: TraceFilter | readonly string[]): string =>
    withQuery(
      "/api/export",
      isIds(selection) ? new URLSearchParams(selection.map((id) => ["trace", id])) : formatFilter(selection),
    ),

  clear: (): Promise<void> => change("DELETE", "/api/traces"),

  /** Tells what happens from a moment ago until the returned function is called. When the server goes away it is tried again
   *  after half a second, then ever more rarely, at most every 10 seconds, and at once when the window is looked at. A tab that
   *  nobody sees asks nothing: a browser has six connections for all the tabs of a server, and six of them would leave none.
   *  When it is looked at again, `open` says that something may have been missed. */
  live: (filter: TraceFilter, handlers: LiveHandlers): (() => void) => {
    const words = formatFilter(filter);
    // What comes between an answer and the opening of the stream would be told by neither.
    words.set("recent", "1");
    let source: EventSource | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let failures = 0;

    const connect = (): void => {
      clearTimeout(timer);
      timer = undefined;
      // EventSource tries again by itself only after some failures and never more slowly: each one is used once.
      const attempt = new EventSource(`/api/live?${words}`);
      words.delete("recent");
      source = attempt;
      attempt.addEventListener("open", () => {
        failures = 0;
        handlers.connection?.("open");
      });
      attempt.addEventListener("traces", (event) => handlers.traces?.(JSON.parse(event.data) as TraceSummary[]));
      attempt.addEventListener("status", (event) => handlers.status?.(JSON.parse(event.data) as Status));
      attempt.addEventListener("cleared", () => handlers.cleared?.());
      // Some were missed, as while there was no connection.
      attempt.addEventListener("resync", () => handlers.connection?.("open"));
      attempt.addEventListener("error", () => {
        attempt.close();
        const waitMillis = Math.min(10_000, 500 * 2 ** failures++);
        timer = setTimeout(connect, waitMillis);
        handlers.connection?.("lost", Date.now() + waitMillis);
      });
    };
    const disconnect = (): void => {
      clearTimeout(timer);
      timer = undefined;
      source?.close();
      source = undefined;
    };
    const followVisibility = (): void => {
      if (document.visibilityState === "hidden") disconnect();
      else if (source === undefined || timer !== undefined) connect();
    };
    handlers.connection?.("connecting");
    followVisibility();
    document.addEventListener("visibilitychange", followVisibility);
    return () => {
      disconnect();
      document.removeEventListener("visibilitychange", followVisibility);
    };
  },
};

function isIds(selection: TraceFilter | readonly string[]): selection is readonly string[] {
  return Array.isArray(selection);
}

function withQuery(path: string, words: URLSearchParams): string {
  const query = words.toString();
  return query === "" ? path : `${path}?${query}`;
}

function get<Answer>(path: string, signal: AbortSignal | undefined): Promise<Answer> {
  return request(path, { signal: signal ?? null });
}

function change<Answer>(method: string, path: string, body?: BodyInit): Promise<Answer> {
  const headers: Record<string, string> = { "x-tracekit": "1" };
  if (body !== undefined) headers["content-type"] = "application/json";
  return request(path, { method, headers, body: body ?? null });
}

async function request<Answer>(path: string, init: RequestInit): Promise<Answer> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(path, init);
    text = await response.text();
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiFailure("server_gone", "The dashboard's server does not answer. Is it still running?", 0);
  }
  if (response.ok) return (text === "" ? undefined : JSON.parse(text)) as Answer;
  const { error } = errorOf(text);
  throw new ApiFailure(error.code, error.message || `The server answered ${response.status}.`, response.status);
}

function errorOf(text: string): ApiError {
  try {
    const body = JSON.parse(text) as ApiError;
    if (typeof body.error.code === "string") return body;
  } catch {
    // not ours: a proxy's page, perhaps
  }
  return { error: { code: "internal", message: "" } };
}
