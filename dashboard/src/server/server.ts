import type { IncomingMessage, ServerResponse } from "node:http";
import type { Status } from "../model/api.ts";
import type { Store } from "../store/store.ts";
import { apiRoutes, sendJson } from "./api.ts";
import { Assets } from "./assets.ts";
import { Counts } from "./counts.ts";
import { answerGrpc } from "./grpc.ts";
import { Guard, isWildcard, SECURITY_HEADERS } from "./guard.ts";
import { HttpError, SenderGone, toHttpError } from "./http-error.ts";
import { Intake } from "./intake.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import { type Handlers, listen, listenIfFree, type Listener } from "./listen.ts";
import { Live } from "./live.ts";
import { receiverRoutes } from "./receiver.ts";
import { Router, type Route } from "./router.ts";
import { createSpanDetails } from "./span-details.ts";

export interface ServerOptions {
  store: Store;
  /** 0 for any free one. */
  port: number;
  /** Name or address to listen on; `localhost` is 127.0.0.1 and ::1. Others can reach anything but loopback, so it needs a token. */
  host: string;
  /** What every request has to show, as a bearer token or by the cookie that `/?token=` sets. */
  token?: string;
  /** Ports for senders alone, taken where they are free. */
  alsoListenOn?: readonly number[];
  /** Folder of the built page. */
  assets: string;
  version: string;
  /** Whose links open a source line: `vscode` (default), another of `editors.ts`, or an address with `{file}` and `{line}`. */
  editor?: string;
  /** Source lines are only read below these folders; from anywhere by default. */
  sourceRoots?: readonly string[];
  limits?: Partial<Limits>;
  /** Called once when somebody sends metrics, which are accepted and not kept. */
  onMetrics?: () => void;
}

export interface RunningServer {
  /** Where the page is, without the token: `http://localhost:9400`. */
  urls: readonly string[];
  /** Where senders can send to, the page's own address first. */
  receivedEndpoints: readonly string[];
  /** How many are connected to `/api/live` now: pages, `tracekit tail` and `dev`. */
  watcherCount(): number;
  /** Answers what is being asked, ends live pages, and frees the ports. The store stays open. */
  close(): Promise<void>;
}

/** Receives from senders and serves the page and its API. Rejects when the port cannot be had (`EADDRINUSE`), and without a token
 *  where one is needed. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { store, host, version } = options;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const guard = new Guard(host, options.token);
  const counts = new Counts();
  const endpoints: string[] = [];

  const status = async (): Promise<Status> => {
    const { evictedTraces, ...stored } = await store.getStatus();
    return { version, ...stored, endpoints, received: counts.received(evictedTraces) };
  };
  const live = new Live(store, status, limits);
  const details = createSpanDetails(options);
  const assets = new Assets(options.assets);

  const intake = new Intake(store, counts, limits, options.onMetrics);
  const receivers = receiverRoutes(intake, limits);
  const everything = [...receivers, ...apiRoutes(store, status, live, details, limits), ...pageRoutes(assets)];
  const handlersOf = (routes: readonly Route[]): Handlers => {
    const router = new Router(routes);
    const page = routes === everything ? assets : undefined;
    return {
      onRequest: (request, response) => void answer(request, response, { router, guard, counts, limits, page }),
      onStream: (stream, headers) => void answerGrpc(stream, headers, { guard, counts, intake, limits }),
      onMalformed: (reason) => counts.refuse(reason),
    };
  };

  const main = await listen(handlersOf(everything), host, options.port, limits);
  const listeners: Listener[] = [main];
  for (const port of options.alsoListenOn ?? []) {
    if (port === main.port) continue;
    const listener = await listenIfFree(handlersOf(receivers), host, port, limits);
    if (listener !== undefined) listeners.push(listener);
  }
  endpoints.push(...listeners.map(({ port }) => addressOf(host, port)));

  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    live.close();
    await Promise.all(listeners.map((listener) => listener.close()));
  };
  return {
    urls: [addressOf(host, main.port)],
    receivedEndpoints: endpoints,
    watcherCount: () => live.watcherCount,
    close: () => (closed ??= close()),
  };
}

interface Context {
  router: Router;
  guard: Guard;
  counts: Counts;
  limits: Limits;
  /** Absent where only senders are answered. */
  page: Assets | undefined;
}

async function answer(request: IncomingMessage, response: ServerResponse, context: Context): Promise<void> {
  const { router, guard, counts, limits, page } = context;
  for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value as string);
  const { path, query } = target(request);
  const isReceiver = router.isReceiver(path);
  request.on("error", () => {});
  response.on("error", () => {});
  try {
    guard.checkHost(request);
    if (isReceiver && allowOrigin(request, response, context, path)) return;
    const match = router.match(request.method ?? "", path);
    if (match === undefined) {
      guard.check(request, "page");
      if (isReading(request) && page?.answer(path, request, response) === true) return;
      throw new HttpError("not_found", `Nothing is at ${path}.`);
    }
    const { route, params } = match;
    if (route.access === "page" && acceptToken(request, response, guard, path, query)) return;
    guard.check(request, route.access);
    await route.handle({ request, response, params, query });
  } catch (error) {
    if (error instanceof SenderGone) {
      response.destroy();
      return;
    }
    const failure = toHttpError(error);
    if (isReceiver) counts.refuse(`${request.url}: ${failure.message}`);
    refuse(request, response, failure);
  } finally {
    linger(request, response, limits.lingerMillis);
  }
}

/** The path as it was sent, not decoded, and the query. */
function target(request: IncomingMessage): { path: string; query: URLSearchParams } {
  // A proxy's form, `GET http://localhost:9400/api/status`.
  const sent = (request.url ?? "/").replace(/^https?:\/\/[^/?#]*/i, "") || "/";
  const hash = sent.indexOf("#");
  const whole = hash === -1 ? sent : sent.slice(0, hash);
  const mark = whole.indexOf("?");
  if (mark === -1) return { path: whole, query: new URLSearchParams() };
  return { path: whole.slice(0, mark) || "/", query: new URLSearchParams(whole.slice(mark + 1)) };
}

/** Lets a page in development read what its sender is answered. True when the request only asked for that. */
function allowOrigin(
  request: IncomingMessage,
  response: ServerResponse,
  { guard, router }: Context,
  path: string,
): boolean {
  const origin = guard.senderOrigin(request);
  if (origin === undefined) return false;
  response.setHeader("access-control-allow-origin", origin);
  // `sendBeacon` asks for it; a cookie counts for nothing here.
  response.setHeader("access-control-allow-credentials", "true");
  response.setHeader("vary", "origin");
  if (request.method !== "OPTIONS") return false;
  response.writeHead(204, {
    "access-control-allow-headers": request.headers["access-control-request-headers"] ?? "content-type",
    "access-control-allow-methods": router.methodsOf(path).join(", "),
    "access-control-max-age": "7200",
  });
  response.end();
  return true;
}

/** `/?token=…`: the browser gets its cookie, and an address without the token, which would stay in its history. */
function acceptToken(
  request: IncomingMessage,
  response: ServerResponse,
  guard: Guard,
  path: string,
  query: URLSearchParams,
): boolean {
  const token = query.get("token");
  if (token === null) return false;
  const cookie = guard.cookieFor(token, request.socket.localPort ?? 0);
  if (cookie === undefined) return false;
  query.delete("token");
  const rest = query.toString();
  response.writeHead(303, {
    "cache-control": "no-store",
    location: rest === "" ? path : `${path}?${rest}`,
    "set-cookie": cookie,
  });
  response.end();
  return true;
}

/** What a trace is shown with: the document names only what the list needs. */
const TRACE_SCRIPTS = "</trace-page.js>; rel=modulepreload, </span-panel.js>; rel=modulepreload";

/** Every address of the page is the same document; it looks at the address itself. */
function pageRoutes(assets: Assets): Route[] {
  return ["/", "/trace/:traceId", "/services"].map((path) => ({
    method: "GET",
    path,
    access: "page",
    handle({ request, response }) {
      if (path.startsWith("/trace/")) response.setHeader("link", TRACE_SCRIPTS);
      if (!assets.answer("/index.html", request, response))
        throw new HttpError("not_found", "The page is not part of this build: npm run build.");
    },
  }));
}

function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  { code, status, message, headers }: HttpError,
): void {
  if (response.headersSent) {
    // What was begun cannot be taken back; a body that ends early is at least noticed.
    response.destroy();
    return;
  }
  if (!/^text\/html\b/.test(request.headers.accept ?? "")) {
    sendJson(response, { error: { code, message } }, status, headers);
    return;
  }
  // Somebody reads it in a browser.
  response.writeHead(status, { ...headers, "cache-control": "no-store", "content-type": "text/plain; charset=utf-8" });
  response.end(message);
}

/** Reads and drops what a refused request still sends, for a while: a connection closed on a sender loses it the answer. */
function linger(request: IncomingMessage, response: ServerResponse, lingerMillis: number): void {
  if (request.complete || !response.writableEnded) return;
  request.resume();
  const timer = setTimeout(() => request.socket.destroy(), lingerMillis);
  request.on("close", () => clearTimeout(timer));
}

function isReading({ method }: IncomingMessage): boolean {
  return method === "GET" || method === "HEAD";
}

function addressOf(host: string, port: number): string {
  const name = isWildcard(host) ? "localhost" : host;
  return `http://${name.includes(":") ? `[${name}]` : name}:${port}`;
}
