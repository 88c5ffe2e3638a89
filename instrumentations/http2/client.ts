import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { TextMapSetter } from "@opentelemetry/api";
import type { Capture } from "../../src/capture/capture.ts";
import { errorMessage, errorType } from "../../src/instrumentation/errors.ts";
import type { Kit } from "../../src/instrumentation/kit.ts";
import type { Operation } from "../../src/instrumentation/operation.ts";
import { beginOperation, type OperationCall } from "../../src/instrumentation/trace-operation.ts";
import { now } from "../../src/trace/clock.ts";
import { KIND_CLIENT } from "../../src/trace/span-kind.ts";
import { createHiddenSlot } from "../shared/hidden-slot.ts";
import { REQUEST_HEADERS, RESPONSE_HEADERS } from "../shared/http-attributes.ts";
import { createBodyRecorder } from "../shared/http-bodies.ts";
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
import {
  type Headers,
  isReset,
  listedHeaders,
  nameOfCode,
  socketOf,
  type StreamWatcher,
  textOf,
  watchers,
} from "./streams.ts";

type RequestTracer = (
  original: (...args: any[]) => any,
  session: ClientHttp2Session,
  headers: unknown,
  options: unknown,
  argumentCount: number,
) => unknown;

/** What is known of a session: where its requests go by default, and whether somebody else traces them. */
interface SessionState {
  readonly authority: string;
  readonly scheme: string;
  readonly isTraced: boolean;
  /** A request of ours has seen how its connection came to be. */
  isUsed: boolean;
}

const sessions = createHiddenSlot<SessionState>();

export function createRequestTracer(kit: Kit): RequestTracer {
  const bound = kit.bind(createOperation(kit));
  const origins = new Origins("");
  return (original, session, headers, options, argumentCount) => {
    let call: OperationCall<Http2Exchange> | undefined;
    let sent = headers;
    if (kit.owner.enabled && (headers === undefined || (typeof headers === "object" && headers !== null))) {
      try {
        const state = stateOf(session);
        if (state.isTraced) {
          const outgoing = new OutgoingHeaders(headers as Headers | readonly unknown[] | undefined);
          const scheme = toText(outgoing.get(":scheme")) ?? state.scheme;
          const authority = toText(outgoing.get(":authority") ?? outgoing.get("host")) ?? state.authority;
          const origin = origins.get(`${scheme}://${withoutDefaultPort(authority, scheme)}`);
          call = beginOperation<Http2Exchange>(bound, session, [origin, outgoing]);
          sent = outgoing.items;
        }
      } catch (error) {
        kit.owner.disable("http2 request, start", error);
      }
    }
    let stream: ClientHttp2Stream;
    try {
      stream = Reflect.apply(original, session, argumentCount > 1 || sent === undefined ? [sent, options] : [sent]);
    } catch (error) {
      call?.fail(error);
      throw error;
    }
    if (call === undefined) watchers.set(stream, null);
    else call.state.attach(stream);
    return stream;
  };
}

function createOperation(kit: Kit): Operation<undefined, Http2Exchange> {
  return {
    title: "http2 request",
    kind: KIND_CLIENT,
    leaf: true,
    start(span, call, capture) {
      const [origin, outgoing] = call.args as [Origin, OutgoingHeaders];
      const method = toText(outgoing.get(":method")) ?? "GET";
      const target = method === "CONNECT" ? "" : (toText(outgoing.get(":path")) ?? "/");
      const url = origin.toUrl(target);
      call.state = new Http2Exchange(call, url, takeResendCount(call.caller, url), kit, capture);
      startExchange(span, method, origin, target, kit.options.httpKnownMethods, capture);
      if (capture.headers) REQUEST_HEADERS.record(span, outgoing.list(), capture);
    },
    inject(call) {
      const [origin, outgoing] = call.args as [Origin, OutgoingHeaders];
      if (keepsTraceparent(outgoing.get("traceparent"), call.context)) return;
      kit.inject(call.context, outgoing, headerSetter, origin.address);
    },
    finish(span, _, call, capture) {
      finishExchange(span, call, capture);
    },
    fail(span, error, call, capture) {
      failExchange(span, error, call, capture);
      // Node's code for every reset is the same.
      if (isReset(error)) span.fail(call.state.resetCode);
      // Nor does a request say itself why its connection did not come to be.
      const { code, cause } = error as { code?: unknown; cause?: unknown };
      if (code === "ERR_HTTP2_STREAM_CANCEL" && cause !== undefined) span.fail(errorType(cause), errorMessage(cause));
    },
  };
}

/** One request over HTTP/2. */
class Http2Exchange extends ClientExchange implements StreamWatcher {
  readonly context = undefined;
  private readonly call: OperationCall<Http2Exchange>;
  private readonly kit: Kit;
  private readonly capture: Capture;
  private stream: ClientHttp2Stream | undefined = undefined;
  private isResponded: boolean = false;
  private isComplete: boolean = false;
  private isWished: boolean = false;

  constructor(call: OperationCall<Http2Exchange>, url: string, resendCount: number, kit: Kit, capture: Capture) {
    super(url, resendCount);
    this.call = call;
    this.kit = kit;
    this.capture = capture;
  }

  /** The name of the code a stream was closed with. */
  get resetCode(): string {
    return nameOfCode(this.stream?.rstCode);
  }

  attach(stream: ClientHttp2Stream): void {
    try {
      this.stream = stream;
      watchers.set(stream, this);
      const session = this.call.self as ClientHttp2Session;
      const state = stateOf(session);
      if (!stream.pending) this.socketAt = this.sendAt = this.call.startMillis;
      else if (!state.isUsed && session.connecting) {
        const socket = socketOf(session);
        if (socket?.connecting) {
          this.socketAt = this.call.startMillis;
          this.connection = watchConnection(socket, this.socketAt);
        }
      }
      state.isUsed = true;
    } catch (error) {
      this.kit.owner.disable("http2 request, stream", error);
    }
  }

  onEvent(type: unknown, value: unknown): void {
    if (this.call.isSettled || !this.kit.owner.enabled) return;
    try {
      switch (type) {
        case "ready":
          this.sendAt = now();
          if (this.socketAt === NEVER) this.socketAt = this.sendAt;
          break;
        case "finish":
          if (this.requestBody !== undefined) this.sentAt = now();
          break;
        case "response":
          this.onResponse(value as Headers);
          break;
        case "error":
          if (isCancellation(value)) this.settle(true);
          else this.settle(false, value);
          break;
        case "close":
          this.onClose();
          break;
      }
    } catch (error) {
      this.kit.owner.disable(`http2 request, ${String(type)}`, error);
    }
  }

  onIncoming(chunk: unknown, encoding: unknown): void {
    try {
      this.responseBody?.add(chunk, encoding);
      if (this.isWatched) this.lastChunkAt = now();
    } catch (error) {
      this.kit.owner.disable("http2 response, body", error);
    }
  }

  onIncomingEnd(): void {
    const { stream } = this;
    if (stream === undefined || stream.destroyed || stream.aborted || stream.rstCode) return;
    this.isComplete = true;
    // Without a body the end comes with the headers, before anybody was told of them.
    if (this.isResponded) this.settle();
  }

  onPause(): void {
    if (!this.call.isSettled) watchUnread(this.call);
  }

  onOutgoing(chunk: unknown, encoding: unknown): void {
    if (this.call.isSettled || !this.kit.owner.enabled) return;
    try {
      if (this.requestBody === undefined) {
        const outgoing = this.call.args[1] as OutgoingHeaders;
        this.requestContentType = toText(outgoing.get("content-type"));
        const coding = toText(outgoing.get("content-encoding"));
        this.requestBody = createBodyRecorder(this.requestContentType, coding, this.capture);
      }
      this.requestBody.add(chunk, encoding);
    } catch (error) {
      this.kit.owner.disable("http2 request, body", error);
    }
  }

  onWish(): void {
    this.isWished = true;
  }

  private onResponse(headers: Headers): void {
    const { call, capture } = this;
    this.isResponded = true;
    this.headersAt = now();
    this.statusCode = Number(headers[":status"] ?? 0);
    const socket = socketOf(call.self as ClientHttp2Session);
    if (socket !== undefined) recordPeer(call.span, socket, "2");
    if (capture.headers) RESPONSE_HEADERS.record(call.span, listedHeaders(headers, RESPONSE_HEADERS), capture);
    if (isRedirect(this.statusCode)) {
      const location = textOf(headers, "location");
      if (location !== undefined) noteRedirect(call, location);
    }
    this.responseContentType = textOf(headers, "content-type");
    this.responseBody = createBodyRecorder(this.responseContentType, textOf(headers, "content-encoding"), capture);
    if (this.isComplete) this.settle();
    else if (isEventStream(this.responseContentType)) watchEventStream(call);
  }

  /** Without an error before it, and before the response was complete. */
  private onClose(): void {
    if (this.isComplete && this.isResponded) this.settle();
    else if (this.isWished) this.settle(true);
    // The other side, or the connection: Node reports a cancellation as no error at all.
    else {
      const error = new Error("the stream was closed before its response was complete");
      this.settle(false, Object.assign(error, { code: this.resetCode }));
    }
  }

  private settle(isCancelled: boolean = false, error?: unknown): void {
    const { call } = this;
    if (call.isSettled) return;
    if (isCancelled) cancelExchange(call);
    else if (error === undefined) call.succeed();
    else call.fail(error);
    // The application may keep its stream for long.
    this.requestBody = this.responseBody = this.connection = this.stream = undefined;
  }
}

function stateOf(session: ClientHttp2Session): SessionState {
  let state = sessions.get(session);
  if (state === undefined) {
    let authority: unknown;
    let protocol: unknown;
    let isTraced = true;
    for (const symbol of Object.getOwnPropertySymbols(session)) {
      const { [symbol]: value } = session as unknown as Record<symbol, unknown>;
      if (symbol.description === "authority") authority = value;
      else if (symbol.description === "protocol") protocol = value;
      // undici's mark on its own sessions.
      else if (symbol.description === "open streams") isTraced = false;
    }
    state = {
      authority: typeof authority === "string" ? authority : (socketOf(session)?.remoteAddress ?? "unknown"),
      scheme: typeof protocol === "string" ? protocol.replace(/:$/, "") : session.encrypted ? "https" : "http",
      isTraced,
      isUsed: false,
    };
    sessions.set(session, state);
  }
  return state;
}

function withoutDefaultPort(authority: string, scheme: string): string {
  const port = scheme === "https" ? ":443" : ":80";
  return authority.endsWith(port) ? authority.slice(0, -port.length) : authority;
}

/** A request's headers, an object or `[name, value, …]`; the application's own stay as they are. */
class OutgoingHeaders {
  items: Headers | readonly unknown[] | undefined;

  constructor(items: Headers | readonly unknown[] | undefined) {
    this.items = items;
  }

  /** `name` in lower case. */
  get(name: string): unknown {
    const { items } = this;
    if (items === undefined) return undefined;
    if (isArray(items)) {
      const index = indexOf(items, name);
      return index === -1 ? undefined : items[index + 1];
    }
    const value = items[name];
    if (value !== undefined) return value;
    for (const key of Object.keys(items))
      if (key.length === name.length && key.toLowerCase() === name) return items[key];
    return undefined;
  }

  set(name: string, value: string): void {
    const { items } = this;
    if (items !== undefined && isArray(items)) {
      const copy = [...items];
      const index = indexOf(items, name);
      copy.splice(index === -1 ? copy.length : index, index === -1 ? 0 : 2, name, value);
      this.items = copy;
      return;
    }
    // With the symbol that says which headers are sensitive.
    const copy: Record<string, unknown> = { ...items };
    for (const key of Object.keys(copy)) if (key.toLowerCase() === name) delete copy[key];
    copy[name] = value;
    this.items = copy;
  }

  /** The recorded ones, as `[name, value, …]`. */
  list(): string[] {
    const { items } = this;
    if (items === undefined) return [];
    return isArray(items) ? items.map(String) : listedHeaders(items, REQUEST_HEADERS);
  }
}

const isArray = (items: Headers | readonly unknown[]): items is readonly unknown[] => Array.isArray(items);

function indexOf(items: readonly unknown[], name: string): number {
  for (let index = 0; index + 1 < items.length; index += 2)
    if (String(items[index]).toLowerCase() === name) return index;
  return -1;
}

const headerSetter: TextMapSetter<OutgoingHeaders> = {
  set(outgoing, name, value) {
    if (isTraceContextHeader(name) || outgoing.get(name) === undefined) outgoing.set(name, value);
  },
};

function toText(header: unknown): string | undefined {
  if (header === undefined || header === null) return undefined;
  return String(Array.isArray(header) ? header[0] : header);
}
