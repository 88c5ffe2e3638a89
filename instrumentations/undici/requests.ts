import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import type { TextMapSetter } from "@opentelemetry/api";
import type { Capture } from "../../src/capture/capture.ts";
import type { Kit } from "../../src/instrumentation/kit.ts";
import type { Operation } from "../../src/instrumentation/operation.ts";
import { beginOperation, type OperationCall } from "../../src/instrumentation/trace-operation.ts";
import { toFastBuffer } from "../../src/node-buffer.ts";
import { now } from "../../src/trace/clock.ts";
import type { TraceContext } from "../../src/trace/context.ts";
import { KIND_CLIENT } from "../../src/trace/span-kind.ts";
import { createHiddenSlot } from "../shared/hidden-slot.ts";
import { findHeader, REQUEST_HEADERS, RESPONSE_HEADERS } from "../shared/http-attributes.ts";
import { createBodyRecorder } from "../shared/http-bodies.ts";
import {
  cancelExchange,
  ClientExchange,
  type ConnectionTimes,
  endUnread,
  failExchange,
  finishExchange,
  isCancellation,
  isRedirect,
  isTraceContextHeader,
  keepsTraceparent,
  NEVER,
  noteRedirect,
  type Origin,
  Origins,
  recordPeer,
  startExchange,
  takeResendCount,
  watchConnection,
  watchEventStream,
  watchUnread,
} from "../shared/http-client.ts";
import { isEventStream } from "../shared/http-watch.ts";
import { onSocketConnect } from "../shared/sockets.ts";

/** undici's `Request`, as the channels show it. */
interface UndiciRequest {
  readonly origin: string | URL;
  readonly method: string;
  readonly path: string;
  /** `[name, value, …]`, a repeated header's values as an array; header lines in undici 5. */
  headers: Array<string | string[]> | string;
  readonly contentType: string | null;
  addHeader(name: string, value: string): unknown;
}

export interface Message {
  readonly request: UndiciRequest;
}
export interface SendMessage extends Message {
  readonly socket: Socket;
}
export interface ResponseMessage extends Message {
  readonly response: { readonly statusCode: number; readonly headers: RawHeaders };
}
export interface ErrorMessage extends Message {
  readonly error: unknown;
}

/** `[name, value, …]`, or an object for some HTTP/2 upgrades. */
type RawHeaders = ReadonlyArray<Buffer | string> | Readonly<Record<string, unknown>> | null;

const exchanges = createHiddenSlot<UndiciExchange>();

/** Connections that no request has been sent on yet. */
const freshConnections = createHiddenSlot<{ times: ConnectionTimes | undefined }>();

/** What the channels are told, once there has been a request. */
export class RequestTracer {
  private readonly kit: Kit;
  private readonly begin: (request: UndiciRequest, origin: Origin) => OperationCall<UndiciExchange> | undefined;
  private readonly origins = new Origins("");
  private readonly patched = new Set<object>();
  private watchesSockets = false;
  private expectsSocket = false;
  private readonly stopExpecting = (): void => {
    this.expectsSocket = false;
  };

  constructor(kit: Kit) {
    this.kit = kit;
    const bound = kit.bind(createOperation(kit));
    const begin = (request: UndiciRequest, origin: Origin): OperationCall<UndiciExchange> | undefined =>
      beginOperation(
        bound,
        request,
        [origin],
        undefined,
        undefined,
        delivery === undefined || delivery.resendCount > 0 ? undefined : delivery.startMillis,
      );
    this.begin = begin;
  }

  onSend({ request, socket }: SendMessage): void {
    exchanges.get(request)?.onSend(socket);
  }

  onSent({ request }: Message): void {
    exchanges.get(request)?.onSent();
  }

  onHeaders({ request, response }: ResponseMessage): void {
    exchanges.get(request)?.onHeaders(response.statusCode, response.headers);
  }

  onEnd({ request }: Message): void {
    exchanges.get(request)?.onEnd();
  }

  onError({ request, error }: ErrorMessage): void {
    exchanges.get(request)?.onError(error);
  }

  onCreate({ request }: Message): void {
    const prototype = Object.getPrototypeOf(request);
    if (!this.patched.has(prototype)) this.patchRequests(prototype);
    const call = this.begin(request, this.origins.get(String(request.origin)));
    if (call !== undefined) exchanges.set(request, call.state);
    if (delivery !== undefined) delivery.isSent = true;
  }

  /** The socket that connects next, in this very call, is undici's. */
  onBeforeConnect(): void {
    if (!this.watchesSockets) {
      this.watchesSockets = true;
      onSocketConnect((socket) => this.onConnect(socket));
    }
    this.expectsSocket = true;
    queueMicrotask(this.stopExpecting);
  }

  /** Any socket of the process. */
  private onConnect(socket: Socket): void {
    if (!this.expectsSocket) return;
    this.expectsSocket = false;
    if (freshConnections.get(socket) === undefined)
      freshConnections.set(socket, { times: watchConnection(socket, now()) });
  }

  /** Of one copy of undici. */
  private patchRequests(prototype: any): void {
    // Whoever publishes on undici's channels without being undici brings a few objects at most.
    if (this.patched.size > 20) return;
    this.patched.add(prototype);
    const { kit } = this;
    if (!Object.hasOwn(prototype, "onBodySent")) return;
    const watchChunks = (original: (...args: any[]) => any) =>
      function (this: UndiciRequest, chunk: unknown): unknown {
        const exchange = exchanges.get(this);
        if (exchange === undefined) return Reflect.apply(original, this, arguments);
        exchange.onChunk(chunk);
        const wantsMore = Reflect.apply(original, this, arguments);
        if (wantsMore === false) exchange.onPause();
        return wantsMore;
      };
    kit.wrap(prototype, "onData", watchChunks);
    kit.wrap(prototype, "onResponseData", watchChunks); // undici 8
    kit.wrap(
      prototype,
      "onBodySent",
      (original) =>
        function (this: UndiciRequest, chunk: unknown): unknown {
          exchanges.get(this)?.onRequestChunk(chunk);
          return Reflect.apply(original, this, arguments);
        },
    );
    const watchUpgrade = (original: (...args: any[]) => any) =>
      function (this: UndiciRequest, statusCode: number | null, headers: RawHeaders): unknown {
        if (statusCode !== null) exchanges.get(this)?.onUpgrade(statusCode, headers);
        return Reflect.apply(original, this, arguments);
      };
    kit.wrap(prototype, "onUpgrade", watchUpgrade);
    kit.wrap(prototype, "onRequestUpgrade", watchUpgrade); // undici 8
  }
}

function createOperation(kit: Kit): Operation<undefined, UndiciExchange> {
  return {
    title: "undici request",
    kind: KIND_CLIENT,
    leaf: true,
    start(span, call, capture) {
      const request = call.self as UndiciRequest;
      const origin = call.args[0] as Origin;
      const url = origin.toUrl(request.path);
      const resendCount = delivery === undefined ? 0 : delivery.resendCount;
      call.state = new UndiciExchange(call, url, resendCount || takeResendCount(call.caller, url), kit, capture);
      startExchange(span, request.method, origin, request.path, kit.options.httpKnownMethods, capture);
      if (capture.headers) REQUEST_HEADERS.record(span, requestHeaders(request), capture);
    },
    inject(call) {
      const request = call.self as UndiciRequest;
      if (keepsTraceparent(getHeader(request, "traceparent"), call.context)) return;
      kit.inject(call.context, request, headerSetter, (call.args[0] as Origin).address);
    },
    finish(span, _, call, capture) {
      finishExchange(span, call, capture);
    },
    fail(span, error, call, capture) {
      failExchange(span, error, call, capture);
    },
  };
}

/** One request of undici's, as its channels show it. */
class UndiciExchange extends ClientExchange {
  private readonly call: OperationCall<UndiciExchange>;
  private readonly request: UndiciRequest;
  private readonly kit: Kit;
  private readonly capture: Capture;
  private readonly delivery: Delivery | undefined;
  private socket: Socket | undefined = undefined;

  constructor(call: OperationCall<UndiciExchange>, url: string, resendCount: number, kit: Kit, capture: Capture) {
    super(url, resendCount);
    this.call = call;
    this.request = call.self as UndiciRequest;
    this.kit = kit;
    this.capture = capture;
    this.delivery = delivery;
  }

  onSend(socket: Socket): void {
    // The connection was lost, and undici has sent the same request on the next one.
    if (this.sendAt !== NEVER) this.resendCount++;
    this.sendAt = this.socketAt = now();
    this.sentAt = NEVER;
    this.socket = socket;
    const fresh = freshConnections.get(socket);
    if (fresh?.times === undefined) return;
    if (fresh.times.startedAt >= this.call.startMillis) {
      this.connection = fresh.times;
      this.socketAt = fresh.times.startedAt;
    }
    fresh.times = undefined;
  }

  onSent(): void {
    if (this.requestBody !== undefined) this.sentAt = now();
  }

  onRequestChunk(chunk: unknown): void {
    if (this.call.isSettled || !this.kit.owner.enabled) return;
    try {
      if (this.requestBody === undefined) {
        this.requestContentType = this.request.contentType ?? undefined;
        const encoding = getHeader(this.request, "content-encoding");
        this.requestBody = createBodyRecorder(this.requestContentType, encoding, this.capture);
      }
      this.requestBody.add(chunk);
    } catch (error) {
      this.kit.owner.disable("undici request, body", error);
    }
  }

  onHeaders(statusCode: number, headers: RawHeaders): void {
    // Before the answer there may be hints.
    if ((statusCode < 200 && statusCode !== 101) || this.call.isSettled) return;
    const { call, capture, socket } = this;
    this.headersAt = now();
    this.statusCode = statusCode;
    if (socket !== undefined) recordPeer(call.span, socket, isHttp2(socket) ? "2" : "1.1");
    const listed = listedHeaders(headers);
    if (capture.headers) RESPONSE_HEADERS.record(call.span, listed, capture);
    if (isRedirect(statusCode)) {
      const location = findHeader(listed, "location");
      if (location !== undefined) noteRedirect(call, location);
    }
    this.responseContentType = findHeader(listed, "content-type");
    const encoding = findHeader(listed, "content-encoding");
    this.responseBody = createBodyRecorder(this.responseContentType, encoding, capture);
    if (isEventStream(this.responseContentType)) watchEventStream(call);
  }

  onChunk(chunk: unknown): void {
    try {
      this.responseBody?.add(chunk);
      if (this.isWatched) this.lastChunkAt = now();
    } catch (error) {
      this.kit.owner.disable("undici response, body", error);
    }
  }

  onPause(): void {
    if (!this.call.isSettled) watchUnread(this.call);
  }

  onUpgrade(statusCode: number, headers: RawHeaders): void {
    try {
      this.onHeaders(statusCode, headers);
      this.onEnd();
    } catch (error) {
      this.kit.owner.disable("undici upgrade", error);
    }
  }

  onEnd(): void {
    // Anything but a success may be sent again, to elsewhere or the same place.
    if (this.delivery !== undefined && this.statusCode < 300) this.delivery.isDone = true;
    this.call.succeed();
    this.release();
  }

  onError(error: unknown): void {
    // Whatever `fetch` gave was dropped before anybody read it.
    if (this.isWatched && error === "Response object has been garbage collected") endUnread(this.call);
    else if (isCancellation(error)) cancelExchange(this.call);
    else this.call.fail(error);
    this.release();
  }

  private release(): void {
    this.requestBody = this.responseBody = this.connection = this.socket = undefined;
  }
}

/*
 * Dispatchers hand a request on to one another, at last to the one that has the connection. A pool without a free one
 * keeps it until there is; a handler that retries or follows redirects dispatches itself again. Both happen when something
 * comes in for some other request, and in its context. The handler stays the same, and so tells whose request it is.
 */

/** What is known of a request outside undici's `Request`, which may not exist yet, or for the second time. */
interface Delivery {
  context: TraceContext;
  startMillis: number;
  /** A `Request` has been made of it. */
  isSent: boolean;
  /** It was answered well: whoever dispatches its handler again begins something new. */
  isDone: boolean;
  resendCount: number;
}

const deliveries = createHiddenSlot<Delivery>();

/** For the first request. */
export function createRequestTracer(kit: Kit): RequestTracer {
  return new RequestTracer(kit);
}

/** What is being dispatched right now. */
let delivery: Delivery | undefined;

/** Of the package; a request that waited, or is sent again, then has the context it was made in. */
export function patchDispatcher(DispatcherBase: any, kit: Kit): void {
  const { owner, tracing } = kit;
  kit.wrap(
    DispatcherBase.prototype,
    "dispatch",
    (original) =>
      function (this: unknown, options: unknown, handler: unknown): unknown {
        if (!owner.enabled || typeof handler !== "object" || handler === null) {
          return original.call(this, options, handler);
        }
        const outer = delivery;
        const known = deliveries.get(handler);
        if (outer !== undefined && (known === undefined || known === outer)) {
          // A dispatcher hands on, and may have wrapped the handler: it is the same request still.
          if (known === undefined) deliveries.set(handler, outer);
          return original.call(this, options, handler);
        }
        const active = tracing.active();
        delivery = known === undefined ? createDelivery(handler, active) : resumeDelivery(known, active);
        try {
          if (delivery.context === active) return original.call(this, options, handler);
          return tracing.run(delivery.context, original, this, [options, handler]);
        } finally {
          delivery = outer;
        }
      },
  );
}

function createDelivery(handler: object, active: TraceContext): Delivery {
  const created = { context: active, startMillis: now(), isSent: false, isDone: false, resendCount: 0 };
  deliveries.set(handler, created);
  return created;
}

function resumeDelivery(known: Delivery, active: TraceContext): Delivery {
  if (known.isDone) {
    known.context = active;
    known.startMillis = now();
    known.isSent = known.isDone = false;
    known.resendCount = 0;
  } else if (known.isSent) {
    known.isSent = false;
    known.resendCount++;
  }
  return known;
}

const headerSetter: TextMapSetter<UndiciRequest> = {
  set(request, name, value) {
    const { headers } = request;
    if (getHeader(request, name) === undefined) request.addHeader(name, value);
    else if (!isTraceContextHeader(name)) return;
    else if (typeof headers === "string") {
      request.headers = headers.replace(new RegExp(`(^|\\n)${name}:[^\\r]*`, "i"), `$1${name}: ${value}`);
    } else {
      // undici's own array, made from what the application gave.
      headers[indexOfHeader(headers, name) + 1] = value;
    }
  },
};

function getHeader(request: UndiciRequest, name: string): string | undefined {
  const { headers } = request;
  if (typeof headers === "string") return findHeader(requestHeaders(request), name);
  const index = indexOfHeader(headers, name);
  return index === -1 ? undefined : String(headers[index + 1]);
}

function indexOfHeader(headers: ReadonlyArray<string | string[]>, name: string): number {
  const { length } = name;
  for (let index = 0; index < headers.length; index += 2) {
    const candidate = headers[index] as string;
    if (candidate.length === length && candidate.toLowerCase() === name) return index;
  }
  return -1;
}

/** `[name, value, …]`, repeated headers repeated. */
function requestHeaders({ headers }: UndiciRequest): readonly string[] {
  if (typeof headers === "string") {
    return headers
      .split("\r\n")
      .flatMap((line) => (line === "" ? [] : [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
  }
  for (let index = 1; index < headers.length; index += 2) {
    if (typeof headers[index] !== "string") return flatHeaders(headers);
  }
  return headers as string[];
}

function flatHeaders(headers: ReadonlyArray<string | string[]>): string[] {
  const flat: string[] = [];
  for (let index = 0; index + 1 < headers.length; index += 2) {
    for (const value of [headers[index + 1]].flat()) flat.push(headers[index] as string, value as string);
  }
  return flat;
}

/** Those response headers that may be listed, as text: most need not be decoded. */
function listedHeaders(headers: RawHeaders): string[] {
  const listed: string[] = [];
  if (headers === null) return listed;
  const flat = Array.isArray(headers) ? (headers as ReadonlyArray<Buffer | string>) : Object.entries(headers).flat();
  for (let index = 0; index + 1 < flat.length; index += 2) {
    const name = flat[index] as Buffer | string;
    if (RESPONSE_HEADERS.mayList(name.length)) listed.push(decode(name), decode(flat[index + 1]));
  }
  return listed;
}

function decode(text: unknown): string {
  return Buffer.isBuffer(text) ? toFastBuffer(text).latin1Slice(0, text.length) : String(text);
}

function isHttp2(socket: Socket): boolean {
  return (socket as { alpnProtocol?: unknown }).alpnProtocol === "h2";
}
