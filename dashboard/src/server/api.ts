import type { ServerResponse } from "node:http";
import type { SavedFilter, Status, TraceList } from "../model/api.ts";
import { asciiJson } from "../model/ascii-json.ts";
import { parseFilter, type TraceFilter } from "../model/filter.ts";
import type { Store } from "../store/store.ts";
import { readBody } from "./body.ts";
import { streamExport } from "./export.ts";
import { HttpError } from "./http-error.ts";
import type { Limits } from "./limits.ts";
import type { Live } from "./live.ts";
import type { Call, Route } from "./router.ts";
import type { SpanDetails } from "./span-details.ts";

const DEFAULT_PAGE = 50;
const MAX_PAGE = 1000;
const MAX_NAME_CHARS = 200;
const MAX_SAVED_BYTES = 64 * 1024;

/** What the page, the terminal and other tools ask: the table of `src/model/api.ts`, row by row. */
export function apiRoutes(
  store: Store,
  status: () => Promise<Status>,
  live: Live,
  details: SpanDetails,
  limits: Limits,
): Route[] {
  const read = (path: string, handle: Route["handle"]): Route => ({ method: "GET", path, access: "read", handle });
  const write = (method: Route["method"], path: string, handle: Route["handle"]): Route => {
    return { method, path, access: "write", handle };
  };

  return [
    read("/api/status", async ({ response }) => sendJson(response, await status())),

    read("/api/traces", async ({ response, query }) => {
      const { filter, problems } = parseFilter(query);
      const { limit, problem } = pageSize(query);
      const cursor = query.get("cursor");
      const page = await store.listTraces(filter, { limit, ...(cursor ? { cursor } : {}) });
      const list: TraceList = { ...page, problems: problem === undefined ? problems : [...problems, problem] };
      sendJson(response, list);
    }),

    read("/api/traces/:traceId", async ({ response, params }) => {
      const trace = await store.getTraceJson(traceId(params));
      if (trace === undefined) throw new HttpError("not_found", `No span of trace ${params["traceId"]} has arrived.`);
      sendBytes(response, trace);
    }),

    read("/api/traces/:traceId/spans/:spanId", async ({ response, params }) => {
      const spanId = params["spanId"]?.toLowerCase() ?? "";
      if (!/^[0-9a-f]{16}$/.test(spanId)) throw new HttpError("bad_request", "A span id has 16 hexadecimal digits.");
      const stored = await store.getSpan(traceId(params), spanId);
      if (stored === undefined) throw new HttpError("not_found", `Span ${spanId} has not arrived.`);
      sendJson(response, await details.of(stored));
    }),

    read("/api/services", async ({ response, query }) => {
      const { since, until } = parseFilter(query).filter;
      const range: Pick<TraceFilter, "since" | "until"> = {};
      if (since !== undefined) range.since = since;
      if (until !== undefined) range.until = until;
      sendJson(response, await store.getServiceMap(range));
    }),

    read("/api/facets", async ({ response, query }) => {
      sendJson(response, await store.getFacets(parseFilter(query).filter));
    }),

    read("/api/live", ({ request, response, query }) => {
      if (request.method === "HEAD") return void response.writeHead(200).end();
      live.add(parseFilter(query).filter, query.has("recent"), response);
    }),

    read("/api/saved-filters", async ({ response }) => sendJson(response, await store.getSavedFilters())),

    write("PUT", "/api/saved-filters/:name", async (call) => {
      const saved = { name: filterName(call), query: await savedQuery(call, limits) };
      sendJson(call.response, await store.putSavedFilter(saved));
    }),

    write("DELETE", "/api/saved-filters/:name", async (call) => {
      sendJson(call.response, await store.deleteSavedFilter(filterName(call)));
    }),

    read("/api/export", (call) => streamExport(store, call)),

    write("POST", "/api/import", async ({ request, response }) => {
      const body = await readBody(request, { maxBytes: limits.maxImportBytes, idleMillis: limits.bodyIdleMillis });
      sendJson(response, await store.importTraces(body.bytes));
    }),

    write("DELETE", "/api/traces", async ({ response }) => {
      await store.clear();
      response.writeHead(204, { "cache-control": "no-store" }).end();
    }),
  ];
}

export function sendJson(
  response: ServerResponse,
  value: unknown,
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): void {
  sendBytes(response, asciiJson(value), status, headers);
}

function sendBytes(
  response: ServerResponse,
  json: Uint8Array,
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, {
    ...headers,
    "cache-control": "no-store",
    "content-type": "application/json; charset=utf-8",
    "content-length": json.length,
  });
  response.end(response.req.method === "HEAD" ? undefined : json);
}

function traceId(params: Call["params"]): string {
  const id = params["traceId"]?.toLowerCase() ?? "";
  if (!/^[0-9a-f]{8,32}$/.test(id))
    throw new HttpError("bad_request", "A trace id has 32 hexadecimal digits; its first 8 are enough.");
  return id;
}

function pageSize(query: URLSearchParams): { limit: number; problem?: string } {
  const text = query.get("limit");
  if (text === null || text === "") return { limit: DEFAULT_PAGE };
  const limit = Number(text);
  if (Number.isInteger(limit) && limit >= 1) return { limit: Math.min(limit, MAX_PAGE) };
  return { limit: DEFAULT_PAGE, problem: `limit=${text} is not a number from 1 to ${MAX_PAGE}` };
}

function filterName({ params }: Call): string {
  const name = params["name"]?.trim() ?? "";
  if (name === "" || name.length > MAX_NAME_CHARS)
    throw new HttpError("bad_request", `A saved filter's name has 1 to ${MAX_NAME_CHARS} characters.`);
  return name;
}

async function savedQuery({ request }: Call, limits: Limits): Promise<string> {
  const { bytes } = await readBody(request, { maxBytes: MAX_SAVED_BYTES, idleMillis: limits.bodyIdleMillis });
  let saved: Partial<SavedFilter> | null;
  try {
    saved = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as Partial<SavedFilter> | null;
  } catch {
    throw new HttpError("bad_request", "The body is not JSON.");
  }
  if (typeof saved?.query !== "string") throw new HttpError("bad_request", 'The body is { "query": "service=…" }.');
  return saved.query;
}
