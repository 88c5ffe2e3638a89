import type { ClientRequest, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { TextMapSetter } from "@opentelemetry/api";
import type { Capture } from "../../src/capture/capture.ts";
import type { Kit } from "../../src/instrumentation/kit.ts";
import type { Operation } from "../../src/instrumentation/operation.ts";
import type { Instrumented } from "../../src/instrumentation/safely.ts";
import { beginOperation, type OperationCall } from "../../src/instrumentation/trace-operation.ts";
import { now } from "../../src/trace/clock.ts";
import { KIND_CLIENT } from "../../src/trace/span-kind.ts";
import { createHiddenSlot } from "../shared/hidden-slot.ts";
import { findHeader, REQUEST_HEADERS, RESPONSE_HEADERS, sentHeaders } from "../shared/http-attributes.ts";
import { type BodyObserver, createBodyRecorder, observeBody } from "../shared/http-bodies.ts";
import {
  cancelExchange,
  ClientExchange,
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

/** What Node's code knows of a request, besides its types. */
export interface HttpRequest extends ClientRequest {
  readonly res: (IncomingMessage & { readonly upgrade?: boolean }) | null;
}

/** Starts a request's span, once a request. Gives the headers to send, where they were given as an array. */
export type Begin = (request: HttpRequest, headers?: readonly unknown[]) => readonly unknown[] | undefined;

/** A request's exchange; null when it is not recorded. */
const exchanges = createHiddenSlot<HttpExchange | null>();

/** Patches `ClientRequest`; loads node:http. Of each request made from now on the returned function is to be told. */
export function createRequestTracer(kit: Kit): Begin {
  const begin = createBegin(kit);
  patchRequests(kit, begin);
  return begin;
}

function createBegin(kit: Kit): Begin {
  const { owner } = kit;
  const bound = kit.bind(createOperation(kit));
  const plain = new Origins("http://");
  const secure = new Origins("https://");
  return (request, headers) => {
    if (!owner.enabled || exchanges.get(request) !== undefined) return headers;
    try {
      const array = headers === undefined ? undefined : new HeaderArray(headers);
      const host = array === undefined ? request.getHeader("host") : array.get("host");
      const origins = request.protocol === "https:" ? secure : plain;
      const origin = proxied(request.path) ?? origins.get(host === undefined ? request.host : String(host));
      const call = beginOperation(bound, request, [origin, array]);
      exchanges.set(request, call === undefined ? null : call.state);
      return array === undefined ? undefined : array.items;
    } catch (error) {
      owner.disable("http request, start", error);
      return headers;
    }
  };
}

/** Through a proxy a request names its server in its target (RFC 9112, 3.2.2); the connection is the proxy's. */
const proxiedOrigins = new Origins("");

function proxied(target: string): Origin | undefined {
  if (target.startsWith("/")) return undefined;
  const url = /^https?:\/\/[^/?#]+/i.exec(target)?.[0];
  return url === undefined ? undefined : proxiedOrigins.get(url);
}

function createOperation(kit: Kit): Operation<undefined, HttpExchange> {
  return {
    title: "http request",
    kind: KIND_CLIENT,
    leaf: true,
    start(span, call, capture) {
      const request = call.self as HttpRequest;
      const origin = call.args[0] as Origin;
      const url = origin.toUrl(request.path);
      call.state = new HttpExchange(call, url, takeResendCount(call.caller, url), kit.owner, capture);
      startExchange(span, request.method, origin, request.path, kit.options.httpKnownMethods, capture);
    },
    inject(call) {
      const request = call.self as HttpRequest;
      const [origin, array] = call.args as [Origin, HeaderArray | undefined];
      if (array === undefined) {
        if (keepsTraceparent(request.getHeader("traceparent"), call.context)) return;
        kit.inject(call.context, request, requestSetter, origin.address);
      } else {
        if (keepsTraceparent(array.get("traceparent"), call.context)) return;
        kit.inject(call.context, array, arraySetter, origin.address);
      }
    },
    finish(span, _, call, capture) {
      call.state.noteSending();
      if (capture.headers)
        REQUEST_HEADERS.record(span, sentHeaders(call.self as HttpRequest, REQUEST_HEADERS), capture);
      finishExchange(span, call, capture);
    },
    fail(span, error, call, capture) {
      call.state.noteSending();
      if (capture.headers)
        REQUEST_HEADERS.record(span, sentHeaders(call.self as HttpRequest, REQUEST_HEADERS), capture);
      failExchange(span, error, call, capture);
      // Node's own error for it is "socket hang up".
      if (call.state.hasGivenUpWaiting) span.fail("timeout");
    },
  };
}

function patchRequests(kit: Kit, begin: Begin): void {
  const { prototype } = process.getBuiltinModule("node:http").ClientRequest;
  const parent = Object.getPrototypeOf(prototype);

  kit.wrap(
    prototype,
    "emit",
    () =>
      function (this: HttpRequest, type: unknown, value: unknown): boolean {
        exchanges.get(this)?.onEvent(type, value);
        // Looked up each time: `domain` replaces the one all emitters share. Most events have no argument or one, and
        // Node emits eight a request: to pass on `arguments` itself costs as much as all else here.
        if (arguments.length === 1) return parent.emit.call(this, type);
        if (arguments.length === 2) return parent.emit.call(this, type, value);
        return Reflect.apply(parent.emit, this, arguments);
      },
  );
  kit.wrap(
    prototype,
    "onSocket",
    (original) =>
      function (this: HttpRequest): unknown {
        exchanges.get(this)?.onAssigned();
        return Reflect.apply(original, this, arguments);
      },
  );
  kit.wrap(
    prototype,
    "_storeHeader",
    (original) =>
      function (this: HttpRequest, firstLine: string, headers: unknown): unknown {
        const sent = begin(this, Array.isArray(headers) ? headers : undefined) ?? headers;
        exchanges.get(this)?.onHeadersFinal();
        return original.call(this, firstLine, sent);
      },
  );
  kit.wrap(
    prototype,
    "destroy",
    (original) =>
      function (this: HttpRequest, error?: unknown): unknown {
        exchanges.get(this)?.onDestroy(error);
        return Reflect.apply(original, this, arguments);
      },
  );
  const watchBody = (original: (...args: any[]) => unknown) =>
    function (this: HttpRequest, chunk: unknown, encoding: unknown): unknown {
      if (typeof chunk === "string" || chunk instanceof Uint8Array)
        exchanges.get(this)?.onRequestChunk(chunk, encoding);
      return Reflect.apply(original, this, arguments);
    };
  kit.wrap(prototype, "write", watchBody);
  kit.wrap(prototype, "end", watchBody);
}

/** Tells `begin` of requests where Node does not. */
export function watchAgents(kit: Kit, begin: Begin): void {
  kit.wrap(
    process.getBuiltinModule("node:http").Agent.prototype,
    "addRequest",
    (original) =>
      function (this: unknown, request: HttpRequest): unknown {
        begin(request);
        return Reflect.apply(original, this, arguments);
      },
  );
}

/** One request, as Node and the application let it be seen. */
class HttpExchange extends ClientExchange implements BodyObserver {
  private readonly call: OperationCall<HttpExchange>;
  private readonly request: HttpRequest;
  private readonly owner: Instrumented;
  private readonly capture: Capture;
  private headersFinalAt: number = NEVER;
  private isTimedOut: boolean = false;
  /** By the application, and with which error. */
  private isDestroyed: boolean = false;
  private destroyError: unknown = undefined;

  constructor(
    call: OperationCall<HttpExchange>,
    url: string,
    resendCount: number,
    owner: Instrumented,
    capture: Capture,
  ) {
    super(url, resendCount);
    this.call = call;
    this.request = call.self as HttpRequest;
    this.owner = owner;
    this.capture = capture;
  }

  /** The idiom `on("timeout", () => request.destroy())`. */
  get hasGivenUpWaiting(): boolean {
    return this.isTimedOut && this.isDestroyed && this.destroyError === undefined;
  }

  /** Before the application's listeners. */
  onEvent(type: unknown, value: unknown): void {
    if (this.call.isSettled || !this.owner.enabled) return;
    try {
      switch (type) {
        case "socket":
          this.onSocket(value as Socket);
          break;
        case "finish":
          if (this.requestBody !== undefined) this.sentAt = now();
          break;
        case "response":
          this.onResponse(value as IncomingMessage);
          break;
        case "upgrade":
        case "connect":
          this.onHeaders(value as IncomingMessage);
          this.settle();
          break;
        case "timeout":
          this.isTimedOut = true;
          break;
        case "error":
          this.onError(value);
          break;
        case "close":
          this.onClose();
          break;
      }
    } catch (error) {
      this.owner.disable(`http request, ${String(type)}`, error);
    }
  }

  /** A connection, or the beginning of one. */
  onAssigned(): void {
    this.socketAt = now();
  }

  onHeadersFinal(): void {
    this.headersFinalAt = now();
  }

  onDestroy(error: unknown): void {
    if (this.isDestroyed || this.request.destroyed) return;
    this.isDestroyed = true;
    this.destroyError = error ?? undefined;
  }

  onRequestChunk(chunk: string | Uint8Array, encoding: unknown): void {
    // Node refuses what is written after the end.
    if (this.call.isSettled || this.request.writableEnded || !this.owner.enabled) return;
    try {
      let body = this.requestBody;
      if (body === undefined) {
        const { request } = this;
        const array = this.call.args[1] as HeaderArray | undefined;
        const type = array === undefined ? request.getHeader("content-type") : array.get("content-type");
        const coding = array === undefined ? request.getHeader("content-encoding") : array.get("content-encoding");
        this.requestContentType = toText(type);
        body = createBodyRecorder(this.requestContentType, toText(coding), this.capture);
        this.requestBody = body;
      }
      body.add(chunk, encoding);
    } catch (error) {
      this.owner.disable("http request, body", error);
    }
  }

  onChunk(chunk: Uint8Array | string, encoding: unknown): void {
    try {
      this.responseBody?.add(chunk, encoding);
      if (this.isWatched) this.lastChunkAt = now();
    } catch (error) {
      this.owner.disable("http response, body", error);
    }
  }

  onPause(): void {
    if (!this.call.isSettled) watchUnread(this.call);
  }

  onEnd(response: IncomingMessage): void {
    if (response.complete) this.settle();
  }

  /** The first byte goes once there are a connection and a header. */
  noteSending(): void {
    const { connection, headersFinalAt, socketAt } = this;
    const readyAt = connection === undefined ? socketAt : connection.readyAt;
    if (readyAt !== NEVER && headersFinalAt !== NEVER) this.sendAt = Math.max(readyAt, headersFinalAt);
  }

  private onSocket(socket: Socket): void {
    // It was there before the request had been constructed, which is when we heard of it.
    if (this.socketAt === NEVER) this.socketAt = this.call.startMillis;
    if (socket.connecting) this.connection = watchConnection(socket, this.socketAt);
  }

  private onHeaders(response: IncomingMessage): void {
    const { span } = this.call;
    const { statusCode = 0, rawHeaders } = response;
    this.headersAt = now();
    this.statusCode = statusCode;
    const { socket } = this.request;
    if (socket !== null) recordPeer(span, socket, response.httpVersion);
    if (this.capture.headers) RESPONSE_HEADERS.record(span, rawHeaders, this.capture);
    if (isRedirect(statusCode)) {
      const location = findHeader(rawHeaders, "location");
      if (location !== undefined) noteRedirect(this.call, location);
    }
  }

  private onResponse(response: IncomingMessage): void {
    this.onHeaders(response);
    const { rawHeaders } = response;
    this.responseContentType = findHeader(rawHeaders, "content-type");
    const coding = findHeader(rawHeaders, "content-encoding");
    this.responseBody = createBodyRecorder(this.responseContentType, coding, this.capture);
    observeBody(response, this);
    if (isEventStream(this.responseContentType)) watchEventStream(this.call);
  }

  private onError(error: unknown): void {
    const isOwnWish = this.isDestroyed && this.destroyError === undefined && !this.isTimedOut;
    if (isOwnWish || isCancellation(error)) this.settle(true);
    else this.settle(false, error);
  }

  /** Without an error before it: the response is there, or was cut off. */
  private onClose(): void {
    const response = this.request.res;
    if (response === null || this.isDestroyed) {
      if (this.hasGivenUpWaiting) this.settle(false, new Error("the request timed out"));
      else this.settle(true);
    } else if (response.complete || response.upgrade) {
      // An upgrade nobody listened for.
      this.statusCode = response.statusCode ?? 0;
      this.settle();
    } else if ((response.errored as NodeJS.ErrnoException | null)?.code === "ECONNRESET") {
      // Node's way to say that the connection ended too early; the application's own `destroy` does not look like it.
      this.settle(false, response.errored);
    } else {
      this.settle(true);
    }
  }

  private settle(isCancelled: boolean = false, error?: unknown): void {
    const { call } = this;
    if (call.isSettled) return;
    if (isCancelled) cancelExchange(call);
    else if (error === undefined) call.succeed();
    else call.fail(error);
    // The application may keep its request for long.
    this.requestBody = this.responseBody = this.connection = undefined;
  }
}

const requestSetter: TextMapSetter<HttpRequest> = {
  set(request, name, value) {
    if (isTraceContextHeader(name) || !request.hasHeader(name)) request.setHeader(name, value);
  },
};

const arraySetter: TextMapSetter<HeaderArray> = {
  set(array, name, value) {
    if (isTraceContextHeader(name) || array.get(name) === undefined) array.set(name, value);
  },
};

/** Headers given as `[name, value, …]` or `[[name, value], …]`: the application's array stays as it is. */
class HeaderArray {
  items: readonly unknown[];
  private readonly hasPairs: boolean;

  constructor(items: readonly unknown[]) {
    this.items = items;
    this.hasPairs = Array.isArray(items[0]);
  }

  /** `name` in lower case. */
  get(name: string): unknown {
    const index = this.indexOf(name);
    if (index === -1) return undefined;
    return this.hasPairs ? (this.items[index] as unknown[])[1] : this.items[index + 1];
  }

  set(name: string, value: string): void {
    const index = this.indexOf(name);
    const copy = [...this.items];
    if (this.hasPairs) copy.splice(index === -1 ? copy.length : index, 1, [name, value]);
    else copy.splice(index === -1 ? copy.length : index, 2, name, value);
    this.items = copy;
  }

  private indexOf(name: string): number {
    const step = this.hasPairs ? 1 : 2;
    for (let index = 0; index < this.items.length; index += step) {
      const item = this.hasPairs ? (this.items[index] as unknown[])[0] : this.items[index];
      if (String(item).toLowerCase() === name) return index;
    }
    return -1;
  }
}

function toText(header: unknown): string | undefined {
  return header === undefined ? undefined : String(header);
}
