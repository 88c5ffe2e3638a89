import type { Socket } from "node:net";
import type { Capture } from "../../src/capture/capture.ts";
import type { OperationSpan } from "../../src/instrumentation/operation.ts";
import { type OperationCall, recordFailure } from "../../src/instrumentation/trace-operation.ts";
import {
  HTTP_REQUEST_BODY_SIZE,
  HTTP_REQUEST_METHOD,
  HTTP_REQUEST_METHOD_ORIGINAL,
  HTTP_REQUEST_RESEND_COUNT,
  HTTP_RESPONSE_BODY_SIZE,
  HTTP_RESPONSE_STATUS_CODE,
  NETWORK_PEER_ADDRESS,
  NETWORK_PEER_PORT,
  NETWORK_PROTOCOL_VERSION,
  SERVER_ADDRESS,
  SERVER_PORT,
  TRACEKIT_HTTP_ABORTED,
  TRACEKIT_HTTP_PHASE_PREFIX,
  TRACEKIT_HTTP_STREAMING,
  URL_FULL,
} from "../../src/semconv/attributes.ts";
import { AttributeBlock } from "../../src/trace/attributes.ts";
import { now } from "../../src/trace/clock.ts";
import type { TraceContext } from "../../src/trace/context.ts";
import { createHiddenSlot } from "./hidden-slot.ts";
import { OTHER_METHOD, OTHER_METHOD_NAME } from "./http-attributes.ts";
import { type BodyRecorder, REQUEST_BODY, RESPONSE_BODY } from "./http-bodies.ts";
import { EVENT_STREAM_MILLIS, watch } from "./http-watch.ts";

/* What the clients of node:http and undici have in common: an exchange, seen as points in time and what was learnt at them. */

/** A time that has not come. */
export const NEVER = -1;

/** A shorter wait for a connection is the ordinary way to one, and no phase. */
const MIN_QUEUE_MILLIS = 0.5;

const PHASE_QUEUE = `${TRACEKIT_HTTP_PHASE_PREFIX}queue`;
const PHASE_DNS = `${TRACEKIT_HTTP_PHASE_PREFIX}dns`;
const PHASE_CONNECT = `${TRACEKIT_HTTP_PHASE_PREFIX}connect`;
const PHASE_TLS = `${TRACEKIT_HTTP_PHASE_PREFIX}tls`;
const PHASE_SEND = `${TRACEKIT_HTTP_PHASE_PREFIX}send`;
const PHASE_TTFB = `${TRACEKIT_HTTP_PHASE_PREFIX}ttfb`;
const PHASE_BODY = `${TRACEKIT_HTTP_PHASE_PREFIX}body`;

/** What has been seen of one request and its response. Times are readings of `trace/clock.ts`. */
export class ClientExchange {
  /** As sent, secrets and all: never on a span. */
  readonly url: string;
  /** How often the request had been sent before: after redirects, on lost connections. */
  resendCount: number;
  /** The connection, when it was made for this request. */
  connection: ConnectionTimes | undefined = undefined;
  /** There is a connection for the request, or one begins to be made. */
  socketAt: number = NEVER;
  /** The first byte goes. */
  sendAt: number = NEVER;
  /** The last byte of the body has gone; a request without one is sent at once. */
  sentAt: number = NEVER;
  headersAt: number = NEVER;
  /** When something arrived last; only while `isWatched`. */
  lastChunkAt: number = NEVER;
  /** Nobody seems to read the response; see `watchUnread`. */
  isWatched: boolean = false;
  statusCode: number = 0;
  requestContentType: string | undefined = undefined;
  requestBody: BodyRecorder | undefined = undefined;
  responseContentType: string | undefined = undefined;
  responseBody: BodyRecorder | undefined = undefined;
  /** The application has given up on the request, which is no failure. */
  isCancelled: boolean = false;

  constructor(url: string, resendCount: number) {
    this.url = url;
    this.resendCount = resendCount;
  }
}

/** Name and attributes known before anything is sent. */
export function startExchange(
  span: OperationSpan,
  method: string,
  origin: Origin,
  target: string,
  httpKnownMethods: ReadonlySet<string>,
  capture: Capture,
): void {
  const isKnown = httpKnownMethods.has(method);
  span.name = isKnown ? method : OTHER_METHOD_NAME;
  span.attributeBlock(origin.attributes(isKnown ? method : OTHER_METHOD));
  if (!isKnown) span.attribute(HTTP_REQUEST_METHOD_ORIGINAL, capture.text(method));
  span.attribute(URL_FULL, origin.toSafeUrl(target, capture));
}

/** The response is there, or the application has given up on it: what was learnt by then. */
export function finishExchange(span: OperationSpan, call: OperationCall<ClientExchange>, capture: Capture): void {
  const exchange = call.state;
  const { statusCode, requestBody, responseBody } = exchange;
  call.endMillis ??= now();
  if (statusCode !== 0) {
    span.attribute(HTTP_RESPONSE_STATUS_CODE, statusCode);
    if (statusCode >= 400) span.fail(String(statusCode));
  }
  if (exchange.isCancelled) span.attribute(TRACEKIT_HTTP_ABORTED, true);
  if (exchange.resendCount > 0) span.attribute(HTTP_REQUEST_RESEND_COUNT, exchange.resendCount);
  recordPhases(span, exchange, call.startMillis, call.endMillis);
  if (requestBody !== undefined && requestBody.size > 0) {
    span.attribute(HTTP_REQUEST_BODY_SIZE, requestBody.size);
    requestBody.record(call, REQUEST_BODY, exchange.requestContentType, capture);
  }
  if (responseBody !== undefined && responseBody.size > 0) {
    span.attribute(HTTP_RESPONSE_BODY_SIZE, responseBody.size);
    responseBody.record(call, RESPONSE_BODY, exchange.responseContentType, capture);
  }
}

/** The exchange broke off; what was learnt by then is recorded too. */
export function failExchange(
  span: OperationSpan,
  error: unknown,
  call: OperationCall<ClientExchange>,
  capture: Capture,
): void {
  finishExchange(span, call, capture);
  recordFailure(span, error);
}

/** The application has given up on the request: the span ends, without an error. */
export function cancelExchange(call: OperationCall<ClientExchange>): void {
  call.state.isCancelled = true;
  call.succeed();
}

/** True for what `AbortController.abort()` and its relatives reject with. A deadline (`TimeoutError`) is a failure. */
export function isCancellation(error: unknown): boolean {
  // No network layer throws what is no object: it is the reason somebody gave to `abort`.
  if (typeof error !== "object" || error === null) return true;
  const { name, code } = error as { name?: unknown; code?: unknown };
  return (
    name === "AbortError" ||
    name === "CanceledError" ||
    code === "ABORT_ERR" ||
    code === "ERR_CANCELED" ||
    code === "UND_ERR_ABORTED"
  );
}

function recordPhases(span: OperationSpan, exchange: ClientExchange, start: number, end: number): void {
  const { connection, socketAt, sendAt, sentAt, headersAt } = exchange;
  if (socketAt - start >= MIN_QUEUE_MILLIS) span.attribute(PHASE_QUEUE, toMillis(socketAt - start));
  if (connection !== undefined) {
    const { startedAt, lookedUpAt, connectedAt, securedAt } = connection;
    if (lookedUpAt !== NEVER) span.attribute(PHASE_DNS, toMillis(lookedUpAt - startedAt));
    if (connectedAt !== NEVER) {
      span.attribute(PHASE_CONNECT, toMillis(connectedAt - (lookedUpAt === NEVER ? startedAt : lookedUpAt)));
      if (securedAt !== NEVER) span.attribute(PHASE_TLS, toMillis(securedAt - connectedAt));
    }
  }
  if (sendAt === NEVER) return;
  // A server may answer before it has read everything.
  const isSent = sentAt !== NEVER && (headersAt === NEVER || sentAt <= headersAt);
  if (isSent) span.attribute(PHASE_SEND, toMillis(sentAt - sendAt));
  if (headersAt === NEVER) return;
  span.attribute(PHASE_TTFB, toMillis(headersAt - (isSent ? sentAt : sendAt)));
  span.attribute(PHASE_BODY, toMillis(end - headersAt));
}

/** To the microsecond: the clock tells no more. */
function toMillis(duration: number): number {
  return duration <= 0 ? 0 : Math.round(duration * 1000) / 1000;
}

/** How a connection came to be. */
export class ConnectionTimes {
  readonly startedAt: number;
  /** NEVER for an address that needed no look-up. */
  lookedUpAt: number = NEVER;
  connectedAt: number = NEVER;
  /** NEVER without TLS. */
  securedAt: number = NEVER;

  constructor(startedAt: number) {
    this.startedAt = startedAt;
  }

  /** When the first byte could go. */
  get readyAt(): number {
    return this.securedAt === NEVER ? this.connectedAt : this.securedAt;
  }
}

/** Watches a socket that is about to connect: three listeners, once a connection, gone when it is there. */
export function watchConnection(socket: Socket, startedAt: number): ConnectionTimes {
  const times = new ConnectionTimes(startedAt);
  const onLookup = (): void => {
    times.lookedUpAt = now();
  };
  const onSecure = (): void => {
    times.securedAt = now();
  };
  socket.once("lookup", onLookup);
  socket.once("connect", () => {
    times.connectedAt = now();
    socket.removeListener("lookup", onLookup);
  });
  if ("encrypted" in socket) socket.once("secureConnect", onSecure);
  return times;
}

const peers = createHiddenSlot<AttributeBlock>();

/** Who answered: the same for every request on a connection, so it is encoded once. */
export function recordPeer(span: OperationSpan, socket: Socket, protocolVersion: string): void {
  let block = peers.get(socket);
  if (block === undefined) {
    const { remoteAddress, remotePort } = socket;
    if (remoteAddress === undefined) {
      // A Unix socket, or gone already.
      span.attribute(NETWORK_PROTOCOL_VERSION, protocolVersion);
      return;
    }
    block = new AttributeBlock({
      [NETWORK_PEER_ADDRESS]: remoteAddress,
      [NETWORK_PEER_PORT]: remotePort,
      [NETWORK_PROTOCOL_VERSION]: protocolVersion,
    });
    peers.set(socket, block);
  }
  span.attributeBlock(block);
}

/** Where requests go: scheme, host and port, and what all spans of one method to it share. */
export class Origin {
  readonly address: string;
  private readonly port: number | undefined;
  private readonly url: string;
  private safeUrl: string | undefined = undefined;
  private readonly blocks = new Map<string, AttributeBlock>();

  constructor(url: string) {
    this.url = url;
    if (URL.canParse(url)) {
      const { hostname, port, protocol } = new URL(url);
      this.address = hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
      this.port = port === "" ? (protocol === "https:" ? 443 : 80) : Number(port);
    } else {
      this.address = url.slice(url.indexOf("//") + 2);
      this.port = undefined;
    }
  }

  /** `method` is one of the few known ones, or `_OTHER`. */
  attributes(method: string): AttributeBlock {
    let block = this.blocks.get(method);
    if (block === undefined) {
      block = new AttributeBlock({
        [HTTP_REQUEST_METHOD]: method,
        [SERVER_ADDRESS]: this.address,
        [SERVER_PORT]: this.port,
      });
      this.blocks.set(method, block);
    }
    return block;
  }

  /** The URL of a request target: a path, or an entire URL where a proxy is asked. `CONNECT` and `OPTIONS *` have none. */
  toUrl(target: string): string {
    if (target.startsWith("/")) return this.url + target;
    return target.includes("://") ? target : this.url;
  }

  /** The same without secrets. What all targets share is looked through once. */
  toSafeUrl(target: string, capture: Capture): string {
    if (!target.startsWith("/")) return capture.url(this.toUrl(target));
    this.safeUrl ??= capture.url(this.url);
    return this.safeUrl + capture.url(target);
  }
}

/** Origins by what is left of their URLs after `prefix`; a crawler's many are made, but not kept. */
export class Origins {
  private readonly prefix: string;
  private readonly known = new Map<string, Origin>();

  constructor(prefix: string) {
    this.prefix = prefix;
  }

  get(name: string): Origin {
    let origin = this.known.get(name);
    if (origin === undefined) {
      origin = new Origin(this.prefix + name);
      if (this.known.size < 1000) this.known.set(name, origin);
    }
    return origin;
  }
}

/**
 * Whether a `traceparent` the application has set itself is to stay. It does when it names another trace: that was meant.
 * One of this very trace was forwarded, by a proxy or by hand, and our span comes in between.
 */
export function keepsTraceparent(existing: unknown, context: TraceContext): boolean {
  if (existing === undefined) return false;
  const traceId = context.span?.spanContext().traceId;
  return traceId === undefined || !String(existing).includes(traceId);
}

/** Ours to replace once `keepsTraceparent` has said so; every other header the application has set stays. */
export function isTraceContextHeader(name: string): boolean {
  return name === "traceparent" || name === "tracestate";
}

const pendingRedirects = createHiddenSlot<Map<string, number>>();
let hasRedirects = false;

/** Remembers that the request `url` made from `caller` was answered with a redirect. */
export function noteRedirect(call: OperationCall<ClientExchange>, location: string): void {
  const { url, resendCount } = call.state;
  if (!URL.canParse(location, url)) return;
  hasRedirects = true;
  let pending = pendingRedirects.get(call.caller);
  if (pending === undefined) {
    pending = new Map();
    pendingRedirects.set(call.caller, pending);
  }
  // Whoever follows no redirects leaves them here.
  if (pending.size < 20) pending.set(withoutHash(new URL(location, url)), resendCount + 1);
}

/**
 * How many times a request for `url` has been sent before: it is the next hop when the same caller was just redirected to
 * it. No client says so itself.
 */
export function takeResendCount(caller: TraceContext, url: string): number {
  if (!hasRedirects) return 0;
  const pending = pendingRedirects.get(caller);
  if (pending === undefined || pending.size === 0 || !URL.canParse(url)) return 0;
  const key = withoutHash(new URL(url));
  const count = pending.get(key) ?? 0;
  if (count > 0) pending.delete(key);
  return count;
}

/** True for the answers clients follow. */
export function isRedirect(statusCode: number): boolean {
  return statusCode >= 301 && statusCode <= 308 && statusCode !== 304;
}

function withoutHash(url: URL): string {
  url.hash = "";
  return url.href;
}

/** An unread response is given up on when nothing has moved for this long. */
const UNREAD_MILLIS = 3000;

/**
 * Nobody has read this response for as much as the client buffers, and perhaps nobody ever will: its end would never come.
 * Once nothing has moved for three seconds the span ends, as of the last chunk that arrived; also when the process exits.
 * A response that is read as it comes never gets here, however slow the server.
 */
export function watchUnread(call: OperationCall<ClientExchange>): void {
  const exchange = call.state;
  exchange.lastChunkAt = now();
  if (exchange.isWatched) return;
  exchange.isWatched = true;
  watch({
    isOver: () => call.isSettled,
    isDue: (time) => exchange.lastChunkAt < time - UNREAD_MILLIS,
    end: () => endUnread(call),
  });
}

/** The span of a watched response ends, as of the last chunk that arrived. */
export function endUnread(call: OperationCall<ClientExchange>): void {
  call.endMillis = call.state.lastChunkAt;
  call.succeed();
}

/** Its headers are those of an event stream: the span ends with that, or some seconds later while it goes on. */
export function watchEventStream(call: OperationCall<ClientExchange>): void {
  const exchange = call.state;
  const until = now() + EVENT_STREAM_MILLIS;
  exchange.lastChunkAt = now();
  exchange.isWatched = true;
  watch({
    isOver: () => call.isSettled,
    isDue: (time) => time >= until,
    end() {
      call.span.attribute(TRACEKIT_HTTP_STREAMING, true);
      call.succeed();
    },
  });
}
