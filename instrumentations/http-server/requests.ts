import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Exception } from "@opentelemetry/api";
import type { Capture } from "../../src/capture/capture.ts";
import { errorMessage, errorType } from "../../src/instrumentation/errors.ts";
import type { Kit } from "../../src/instrumentation/kit.ts";
import type { Operation, OperationSpan } from "../../src/instrumentation/operation.ts";
import type { Instrumented } from "../../src/instrumentation/safely.ts";
import { beginOperation, type OperationCall } from "../../src/instrumentation/trace-operation.ts";
import {
  HTTP_REQUEST_BODY_SIZE,
  HTTP_REQUEST_METHOD,
  HTTP_REQUEST_METHOD_ORIGINAL,
  HTTP_RESPONSE_BODY_SIZE,
  HTTP_RESPONSE_HEADER_PREFIX,
  TRACEKIT_HTTP_ABORTED,
  TRACEKIT_HTTP_STREAMING,
} from "../../src/semconv/attributes.ts";
import { now } from "../../src/trace/clock.ts";
import { ROOT_CONTEXT } from "../../src/trace/context.ts";
import { KIND_SERVER } from "../../src/trace/span-kind.ts";
import {
  findHeader,
  HeaderSelection,
  OTHER_METHOD,
  OTHER_METHOD_NAME,
  REQUEST_HEADERS,
  RESPONSE_HEADERS,
  sentHeaders,
} from "../shared/http-attributes.ts";
import {
  type BodyObserver,
  type BodyRecorder,
  createBodyRecorder,
  observeBody,
  REQUEST_BODY,
  RESPONSE_BODY,
} from "../shared/http-bodies.ts";
import { EVENT_STREAM_MILLIS, isEventStream, watch } from "../shared/http-watch.ts";
import { recordTarget } from "../shared/request-target.ts";
import { type ServerConnection, serverConnections } from "../shared/server-connections.ts";
import {
  closeOnConnection,
  findServerRequest,
  openOnConnection,
  type ServerRequest,
} from "../shared/server-request.ts";
import { ConnectionAttributes, RequestHeaders } from "./connection.ts";
import { Endpoints } from "./endpoints.ts";
import { lengthsOfContextHeaders, mayCarryContext, rawHeadersGetter } from "./raw-headers.ts";

const CLOSED_BY_SERVER = "connection_closed";

/** What both channels publish. Node makes one a request, so it serves as the traced call's own object. */
interface ServerMessage {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly socket: Socket;
}

/** What the two channels are told, once there has been a request. */
export interface RequestTracer {
  onStart(message: unknown): void;
  onFinish(message: unknown): void;
}

/** Patches `ServerResponse`: node:http has been loaded by whoever got the request, and no handler has seen a response yet. */
export function createRequestTracer(kit: Kit): RequestTracer {
  const bound = kit.bind(describeRequests(kit));
  const contextLengths = lengthsOfContextHeaders(kit.tracing.propagator);
  watchResponseBodies(kit);
  return {
    onStart(message) {
      // Not the active context: what a connection's earlier request has entered may still be there.
      const { rawHeaders } = (message as ServerMessage).request;
      const caller = mayCarryContext(rawHeaders, contextLengths)
        ? kit.extract(ROOT_CONTEXT, rawHeaders, rawHeadersGetter)
        : ROOT_CONTEXT;
      const call = beginOperation(bound, message, NO_ARGUMENTS, undefined, caller);
      kit.tracing.enter(call === undefined ? caller : call.context);
    },
    onFinish(message) {
      (findServerRequest((message as ServerMessage).request) as RequestInProgress | undefined)?.end(COMPLETE);
    },
  };
}

const OTHER_RESPONSE_HEADERS = new HeaderSelection(
  HTTP_RESPONSE_HEADER_PREFIX,
  RESPONSE_HEADERS.names.filter((name) => name !== "content-type"),
);
const NO_ARGUMENTS: never[] = [];
const COMPLETE = "complete";
const CLOSED = "closed";
type Ending = typeof COMPLETE | typeof CLOSED;

/** Read and written within one synchronous step. */
const headers = new RequestHeaders();

function describeRequests(kit: Kit): Operation<Ending, RequestInProgress | undefined> {
  const { httpKnownMethods } = kit.options;
  const endpoints = new Endpoints();
  return {
    title: "HTTP request",
    kind: KIND_SERVER,
    leaf: false,

    start(span, call, capture) {
      const { request: incoming, response, socket } = call.self as ServerMessage;
      const method = incoming.method as string;
      const isKnown = httpKnownMethods.has(method);
      span.name = isKnown ? method : OTHER_METHOD_NAME;
      span.attribute(HTTP_REQUEST_METHOD, isKnown ? method : OTHER_METHOD);
      if (!isKnown) span.attribute(HTTP_REQUEST_METHOD_ORIGINAL, capture.text(method));
      recordTarget(span, incoming.url as string, capture);

      headers.read(incoming.rawHeaders);
      const connection = connectionOf(socket);
      connection.attributes.addTo(span, socket, incoming, headers, capture);
      if (capture.headers) REQUEST_HEADERS.record(span, incoming.rawHeaders, capture);

      const request = new RequestInProgress(call, connection, incoming, response, span.name, capture, kit.owner);
      call.state = request;
      connection.add(request);
    },

    finish(span, ending, call, capture) {
      const request = call.state as RequestInProgress;
      const { response, route } = request;
      const isAborted = ending === CLOSED;
      const status = isAborted && !response.headersSent ? undefined : response.statusCode;
      const endpoint = endpoints.of(route);
      // A name the application has chosen stays.
      if (route !== undefined && span.name === request.name) span.name = endpoint.nameOf(request.name);
      const contentType = capture.headers ? recordResponseHeaders(span, response, capture) : undefined;
      span.attributeBlock(endpoint.attributesOf(status, contentType, capture));
      request.recordBodies(call, isAborted);
      if (isAborted) recordAbort(span, request, (call.self as ServerMessage).socket);
      else if (response.statusCode >= 500) {
        const { failure } = request;
        if (failure === undefined) span.fail(String(response.statusCode));
        else span.fail(errorType(failure.error), errorMessage(failure.error));
      }
    },
  };
}

/** Adds the listed headers but for the content type, which is returned: it is encoded with the route and the status. */
function recordResponseHeaders(span: OperationSpan, response: ServerResponse, capture: Capture): string | undefined {
  if (!response.headersSent) return undefined;
  let listed: string[] | undefined;
  let contentType: string | undefined;
  for (const name of response.getHeaderNames()) {
    if (name === "content-type") contentType = asText(response.getHeader(name));
    else if (OTHER_RESPONSE_HEADERS.placeOf(name) !== -1) {
      const value = response.getHeader(name);
      for (const item of Array.isArray(value) ? value : [value]) (listed ??= []).push(name, String(item));
    }
  }
  if (listed === undefined && contentType === undefined) {
    // Perhaps they were given to `writeHead` alone.
    listed = sentHeaders(response, RESPONSE_HEADERS);
    contentType = findHeader(listed, "content-type");
  }
  if (listed !== undefined) OTHER_RESPONSE_HEADERS.record(span, listed, capture);
  return contentType;
}

function recordAbort(span: OperationSpan, request: RequestInProgress, socket: Socket): void {
  span.attribute(TRACEKIT_HTTP_ABORTED, true);
  // An end of stream can only have come from the client.
  if (socket.readableEnded) return;
  const error = socket.errored ?? request.response.errored;
  if (error !== null && error !== undefined) {
    if (isConnectionFault(error)) return;
    span.fail(errorType(error), errorMessage(error));
    if (request.failure?.error !== error) span.recordException(error as Exception);
  } else if (request.failure !== undefined) {
    // Express and others close the connection when an error comes after the headers.
    span.fail(errorType(request.failure.error), errorMessage(request.failure.error));
  } else {
    span.fail(CLOSED_BY_SERVER);
  }
}

/** The network's errors and the client's own, as opposed to what the application destroys a response with. */
function isConnectionFault(error: Error): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return (
    syscall !== undefined ||
    (code !== undefined && /^(?:ECONNRESET|EPIPE|HPE_.*|ERR_SSL_.*|ERR_HTTP_REQUEST_TIMEOUT)$/.test(code))
  );
}

/** From its arrival to the end of its span. */
class RequestInProgress implements ServerRequest, BodyObserver {
  call: OperationCall | undefined;
  route: string | undefined = undefined;
  failure: { readonly error: unknown } | undefined = undefined;
  routing: object | undefined = undefined;
  /** Next on the same connection: pipelined requests are in progress together. */
  next: RequestInProgress | undefined = undefined;
  /** The span's name as long as there is no route. */
  readonly name: string;
  readonly incoming: IncomingMessage;
  response: ServerResponse;
  private readonly connection: Connection;
  private readonly owner: Instrumented;
  private readonly capture: Capture;
  private readonly isHead: boolean;
  private requestBody: BodyRecorder | undefined = undefined;
  private readonly requestType: string | undefined;
  /** As announced; -1 where it was not. */
  private readonly requestLength: number;
  private responseBody: BodyRecorder | undefined = undefined;
  private responseType: string | undefined = undefined;

  constructor(
    call: OperationCall,
    connection: Connection,
    incoming: IncomingMessage,
    response: ServerResponse,
    name: string,
    capture: Capture,
    owner: Instrumented,
  ) {
    this.call = call;
    this.connection = connection;
    this.incoming = incoming;
    this.response = response;
    this.name = name;
    this.owner = owner;
    this.capture = capture;
    this.isHead = incoming.method === "HEAD";
    this.requestType = headers.contentType;
    this.requestLength = headers.contentLength === undefined ? -1 : Number(headers.contentLength);
    if (this.requestLength > 0 || headers.isChunked) {
      this.requestBody = createBodyRecorder(headers.contentType, headers.contentEncoding, capture);
      observeBody(incoming, this);
    }
  }

  /** The span ends, once, and everything that hung on it is let go: sockets and frames may keep this object. */
  end(ending: Ending): void {
    const { call } = this;
    if (call === undefined) return;
    this.connection.remove(this);
    call.succeed(ending);
    this.call = undefined;
    this.response = undefined as unknown as ServerResponse;
    this.requestBody = this.responseBody = undefined;
    this.failure = this.routing = undefined;
  }

  onChunk(chunk: Uint8Array | string, encoding?: unknown): void {
    try {
      this.requestBody?.add(chunk, encoding);
    } catch (error) {
      this.owner.disable("HTTP request, body", error);
    }
  }

  onEnd(): void {}

  /** A chunk the application writes, before Node gets it. */
  onResponseChunk(chunk: unknown, encoding: unknown): void {
    // Node drops what is written in answer to HEAD, and after the end.
    if (this.isHead || this.response.writableEnded) return;
    try {
      this.responseBody ??= this.startResponseBody(chunk);
      this.responseBody.add(chunk, encoding);
    } catch (error) {
      this.owner.disable("HTTP response, body", error);
    }
  }

  recordBodies(call: OperationCall, isAborted: boolean): void {
    const { span } = call;
    const { response, requestBody, responseBody, capture } = this;
    if (requestBody !== undefined) {
      const size = this.requestLength === -1 || isAborted ? requestBody.size : this.requestLength;
      if (size > 0) span.attribute(HTTP_REQUEST_BODY_SIZE, size);
      // What nobody has read was never part of what the application did.
      if (response.req.readableDidRead) requestBody.record(call, REQUEST_BODY, this.requestType, capture);
    }
    const { statusCode } = response;
    if (responseBody !== undefined && responseBody.size > 0 && statusCode !== 204 && statusCode !== 304) {
      span.attribute(HTTP_RESPONSE_BODY_SIZE, responseBody.size);
      responseBody.record(call, RESPONSE_BODY, this.responseType, capture);
    }
  }

  /** Its span ends with the stream of events, or some seconds later while that goes on. */
  private watchEventStream(): void {
    const until = now() + EVENT_STREAM_MILLIS;
    watch({
      isOver: () => this.call === undefined,
      isDue: (time) => time >= until,
      end: () => {
        this.call?.span.attribute(TRACEKIT_HTTP_STREAMING, true);
        this.end(COMPLETE);
      },
    });
  }

  /** With the first chunk the headers are settled: they are in their final text, or in the map it will be made from. */
  private startResponseBody(chunk: unknown): BodyRecorder {
    const { response } = this;
    let type: unknown;
    let encoding: unknown;
    if (response.headersSent) {
      const sent = sentHeaders(response, RESPONSE_HEADERS);
      type = findHeader(sent, "content-type");
      encoding = findHeader(sent, "content-encoding");
    } else {
      type = response.getHeader("content-type");
      encoding = response.getHeader("content-encoding");
    }
    // Without a type a string is text all the same.
    this.responseType = type === undefined && typeof chunk === "string" ? "text/plain" : asText(type);
    if (isEventStream(this.responseType)) this.watchEventStream();
    return createBodyRecorder(this.responseType, asText(encoding), this.capture);
  }
}

function asText(value: unknown): string | undefined {
  return value === undefined ? undefined : String(value);
}

function watchResponseBodies(kit: Kit): void {
  const { prototype } = process.getBuiltinModule("node:http").ServerResponse;
  const watchBody = (original: (...args: any[]) => any) =>
    function (this: ServerResponse, chunk: unknown, encoding: unknown): unknown {
      const incoming = this.req as IncomingMessage | undefined;
      if (incoming !== undefined && chunk !== undefined && chunk !== null && typeof chunk !== "function") {
        (findServerRequest(incoming) as RequestInProgress | undefined)?.onResponseChunk(chunk, encoding);
      }
      // Callers may count their arguments, and so may whoever has patched this method before.
      return Reflect.apply(original, this, arguments);
    };
  kit.wrap(prototype, "write", watchBody);
  kit.wrap(prototype, "end", watchBody);
}

/** One socket, and its requests whose response is not complete. */
class Connection implements ServerConnection {
  readonly attributes: ConnectionAttributes = new ConnectionAttributes();
  private first: RequestInProgress | undefined = undefined;

  find(incoming: object): RequestInProgress | undefined {
    let request = this.first;
    while (request !== undefined && request.incoming !== incoming) request = request.next;
    return request;
  }

  add(request: RequestInProgress): void {
    request.next = this.first;
    this.first = request;
    openOnConnection(request.incoming, request);
  }

  remove(request: RequestInProgress): void {
    if (this.first === request) this.first = request.next;
    else {
      let before = this.first;
      while (before !== undefined && before.next !== request) before = before.next;
      if (before !== undefined) before.next = request.next;
    }
    request.next = undefined;
    closeOnConnection(request);
  }

  close(): void {
    while (this.first !== undefined) this.first.end(CLOSED);
  }
}

function connectionOf(socket: Socket): Connection {
  let connection = serverConnections.get(socket) as Connection | undefined;
  if (connection === undefined) {
    connection = new Connection();
    serverConnections.set(socket, connection);
    // One listener a connection, however many requests it carries.
    socket.on("close", onClose);
  }
  return connection;
}

function onClose(this: Socket): void {
  (serverConnections.get(this) as Connection | undefined)?.close();
}
