import type { Http2Session, ServerHttp2Stream } from "node:http2";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Exception, TextMapGetter } from "@opentelemetry/api";
import type { Capture } from "../../src/capture/capture.ts";
import { errorMessage, errorType } from "../../src/instrumentation/errors.ts";
import type { Kit } from "../../src/instrumentation/kit.ts";
import type { Operation } from "../../src/instrumentation/operation.ts";
import { beginOperation, type OperationCall } from "../../src/instrumentation/trace-operation.ts";
import {
  HTTP_REQUEST_BODY_SIZE,
  HTTP_REQUEST_METHOD,
  HTTP_REQUEST_METHOD_ORIGINAL,
  HTTP_RESPONSE_BODY_SIZE,
  HTTP_RESPONSE_STATUS_CODE,
  HTTP_ROUTE,
  TRACEKIT_HTTP_ABORTED,
  TRACEKIT_HTTP_STREAMING,
} from "../../src/semconv/attributes.ts";
import { now } from "../../src/trace/clock.ts";
import { ROOT_CONTEXT, type TraceContext } from "../../src/trace/context.ts";
import { KIND_SERVER } from "../../src/trace/span-kind.ts";
import { ConnectionAttributes, RequestHeaders } from "../http-server/connection.ts";
import { createHiddenSlot } from "../shared/hidden-slot.ts";
import { OTHER_METHOD, OTHER_METHOD_NAME, REQUEST_HEADERS, RESPONSE_HEADERS } from "../shared/http-attributes.ts";
import { type BodyRecorder, createBodyRecorder, REQUEST_BODY, RESPONSE_BODY } from "../shared/http-bodies.ts";
import { EVENT_STREAM_MILLIS, isEventStream, watch } from "../shared/http-watch.ts";
import { recordTarget } from "../shared/request-target.ts";
import { registerServerRequest, type ServerRequest } from "../shared/server-request.ts";
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

interface StreamTracer {
  /** The context a stream's listeners are to run in; undefined for a stream that is no request. */
  (session: Http2Session, stream: unknown, headers: unknown): TraceContext | undefined;
  /** What arrives together with the headers comes before the event that tells of them. */
  keepEarly(stream: ServerHttp2Stream, chunk: Uint8Array): void;
}

/** `Http2Session.type`. Source: node:http2, `NGHTTP2_SESSION_SERVER`. */
const SERVER = 0;
/** Of 16 KB at most, in 64 KB. */
const MAX_EARLY_CHUNKS = 16;
const PROTOCOL = { httpVersion: "2" } as IncomingMessage;
const NOBODY = {} as Socket;

const earlyChunks = createHiddenSlot<Uint8Array[]>();
const connections = createHiddenSlot<ConnectionAttributes>();
const headersRead = new RequestHeaders();

export function createStreamTracer(kit: Kit): StreamTracer {
  const bound = kit.bind(describeStreams(kit));
  const trace = (session: Http2Session, stream: unknown, headers: unknown): TraceContext | undefined => {
    if (!kit.owner.enabled || session.type !== SERVER) return undefined;
    try {
      const caller = kit.extract(ROOT_CONTEXT, headers as Headers, headersGetter);
      const call = beginOperation<StreamInProgress>(bound, stream, [session, headers], undefined, caller);
      if (call === undefined || call.state === undefined) watchers.set(stream as object, null);
      return call === undefined ? caller : call.context;
    } catch (error) {
      kit.owner.disable("http2 stream, start", error);
      return undefined;
    }
  };
  return Object.assign(trace, {
    keepEarly(stream: ServerHttp2Stream, chunk: Uint8Array): void {
      if (stream.session?.type !== SERVER || !kit.owner.enabled) return;
      const known = earlyChunks.get(stream);
      if (known === undefined) earlyChunks.set(stream, [chunk]);
      // One read of the connection has no more; a stream nobody is told of may.
      else if (known.length < MAX_EARLY_CHUNKS) known.push(chunk);
    },
  });
}

function describeStreams(kit: Kit): Operation<undefined, StreamInProgress> {
  const { httpKnownMethods } = kit.options;
  return {
    title: "HTTP/2 request",
    kind: KIND_SERVER,
    leaf: false,

    start(span, call, capture) {
      const stream = call.self as ServerHttp2Stream;
      const [session, headers] = call.args as [Http2Session, Headers];
      const method = textOf(headers, ":method") ?? "GET";
      const isKnown = httpKnownMethods.has(method);
      span.name = isKnown ? method : OTHER_METHOD_NAME;
      span.attribute(HTTP_REQUEST_METHOD, isKnown ? method : OTHER_METHOD);
      if (!isKnown) span.attribute(HTTP_REQUEST_METHOD_ORIGINAL, capture.text(method));
      // CONNECT has no path.
      const path = textOf(headers, ":path");
      if (path !== undefined) recordTarget(span, path, capture);

      headersRead.read(flatten(headers));
      headersRead.host ??= textOf(headers, ":authority");
      let connection = connections.get(session);
      if (connection === undefined) connections.set(session, (connection = new ConnectionAttributes()));
      connection.addTo(span, socketOf(session) ?? NOBODY, PROTOCOL, headersRead, capture);
      if (capture.headers) REQUEST_HEADERS.record(span, listedHeaders(headers, REQUEST_HEADERS), capture);

      const request = new StreamInProgress(call, stream, span.name, headersRead, kit, capture);
      call.state = request;
      watchers.set(stream, request);
      registerServerRequest(stream, request);
      const early = earlyChunks.get(stream);
      if (early === undefined) return;
      for (const chunk of early) request.onIncoming(chunk);
      early.length = 0;
    },

    finish(span, _, call, capture) {
      call.state.describe(span, capture);
    },
  };
}

/** From its headers to its close. */
class StreamInProgress implements ServerRequest, StreamWatcher {
  call: OperationCall | undefined;
  route: string | undefined = undefined;
  failure: { readonly error: unknown } | undefined = undefined;
  routing: object | undefined = undefined;
  /** Streams are created in the context of their connection, and so are what they emit. */
  readonly context: TraceContext;
  private readonly name: string;
  private readonly kit: Kit;
  private readonly capture: Capture;
  private stream: ServerHttp2Stream | undefined;
  private readonly requestType: string | undefined;
  private requestBody: BodyRecorder | undefined = undefined;
  private responseType: string | undefined = undefined;
  private responseBody: BodyRecorder | undefined = undefined;
  private isWished: boolean = false;
  private isStreaming: boolean = false;
  private error: { readonly value: unknown } | undefined = undefined;

  constructor(
    call: OperationCall,
    stream: ServerHttp2Stream,
    name: string,
    headers: RequestHeaders,
    kit: Kit,
    capture: Capture,
  ) {
    this.call = call;
    this.context = call.context;
    this.stream = stream;
    this.name = name;
    this.kit = kit;
    this.capture = capture;
    this.requestType = headers.contentType;
    this.requestBody = createBodyRecorder(headers.contentType, headers.contentEncoding, capture);
  }

  onEvent(type: unknown, value: unknown): void {
    if (this.call === undefined) return;
    if (type === "error") this.error = { value };
    else if (type === "close") this.end();
  }

  onIncoming(chunk: unknown, encoding?: unknown): void {
    try {
      this.requestBody?.add(chunk, encoding);
    } catch (error) {
      this.kit.owner.disable("http2 request, body", error);
    }
  }

  onIncomingEnd(): void {}
  onPause(): void {}

  onOutgoing(chunk: unknown, encoding: unknown): void {
    if (this.call === undefined || !this.kit.owner.enabled) return;
    try {
      this.responseBody ??= this.startResponseBody();
      this.responseBody.add(chunk, encoding);
    } catch (error) {
      this.kit.owner.disable("http2 response, body", error);
    }
  }

  onWish(): void {
    this.isWished = true;
  }

  describe(span: OperationCall["span"], capture: Capture): void {
    const { stream, route, requestBody, responseBody, failure } = this;
    if (stream === undefined) return;
    const sent = stream.headersSent ? (stream.sentHeaders as Headers) : undefined;
    const status = sent === undefined ? 0 : Number(sent[":status"] ?? 200);
    if (route !== undefined) {
      if (span.name === this.name) span.name = `${this.name} ${route}`;
      span.attribute(HTTP_ROUTE, route);
    }
    if (status !== 0) span.attribute(HTTP_RESPONSE_STATUS_CODE, status);
    if (capture.headers) RESPONSE_HEADERS.record(span, listedHeaders(sent, RESPONSE_HEADERS), capture);
    const { call } = this;
    if (call !== undefined && requestBody !== undefined && requestBody.size > 0) {
      span.attribute(HTTP_REQUEST_BODY_SIZE, requestBody.size);
      // What nobody has read was never part of what the application did.
      if (stream.readableDidRead) requestBody.record(call, REQUEST_BODY, this.requestType, capture);
    }
    if (call !== undefined && responseBody !== undefined && responseBody.size > 0) {
      span.attribute(HTTP_RESPONSE_BODY_SIZE, responseBody.size);
      responseBody.record(call, RESPONSE_BODY, this.responseType, capture);
    }
    if (this.isStreaming) span.attribute(TRACEKIT_HTTP_STREAMING, true);
    // Closing a stream ends it, too; whether the application had is what `aborted` tells.
    else if (status === 0 || stream.aborted || stream.rstCode) this.describeAbort(span, stream);
    else if (status >= 500) {
      if (failure === undefined) span.fail(String(status));
      else span.fail(errorType(failure.error), errorMessage(failure.error));
    }
  }

  /** It has failed when the server gave up, and not when the client did. */
  private describeAbort(span: OperationCall["span"], stream: ServerHttp2Stream): void {
    const { error, failure } = this;
    span.attribute(TRACEKIT_HTTP_ABORTED, true);
    if (!this.isWished) return;
    if (error !== undefined && !isReset(error.value)) {
      span.fail(errorType(error.value), errorMessage(error.value));
      if (failure?.error !== error.value) span.recordException(error.value as Exception);
    } else if (failure !== undefined) span.fail(errorType(failure.error), errorMessage(failure.error));
    else span.fail(nameOfCode(stream.rstCode));
  }

  private startResponseBody(): BodyRecorder {
    const sent = this.stream?.sentHeaders as Headers | undefined;
    this.responseType = textOf(sent, "content-type");
    if (isEventStream(this.responseType)) {
      const until = now() + EVENT_STREAM_MILLIS;
      watch({
        isOver: () => this.call === undefined,
        isDue: (time) => time >= until,
        end: () => {
          this.isStreaming = true;
          this.end();
        },
      });
    }
    return createBodyRecorder(this.responseType, textOf(sent, "content-encoding"), this.capture);
  }

  private end(): void {
    const { call } = this;
    if (call === undefined) return;
    call.succeed();
    this.call = this.stream = this.requestBody = this.responseBody = this.error = undefined;
    this.failure = this.routing = undefined;
  }
}

/** `[name, value, …]`, repeated headers repeated. */
function flatten(headers: Headers): string[] {
  const flat: string[] = [];
  for (const name in headers) {
    const value = headers[name];
    if (!Array.isArray(value)) flat.push(name, String(value));
    else for (const item of value) flat.push(name, String(item));
  }
  return flat;
}

const headersGetter: TextMapGetter<Headers> = {
  keys: (headers) => Object.keys(headers),
  get(headers, key) {
    const value = headers[key.toLowerCase()];
    return value === undefined ? undefined : Array.isArray(value) ? value.map(String) : String(value);
  },
};
