import type { EventEmitter } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { errorMessage, errorType } from "../../src/instrumentation/errors.ts";
import type { Kit } from "../../src/instrumentation/kit.ts";
import type { Operation } from "../../src/instrumentation/operation.ts";
import { beginOperation, type BoundOperation, type OperationCall } from "../../src/instrumentation/trace-operation.ts";
import { toFastBuffer } from "../../src/node-buffer.ts";
import {
  HTTP_REQUEST_METHOD,
  HTTP_REQUEST_METHOD_ORIGINAL,
  HTTP_RESPONSE_STATUS_CODE,
  HTTP_ROUTE,
  TRACEKIT_HTTP_ABORTED,
} from "../../src/semconv/attributes.ts";
import { ROOT_CONTEXT } from "../../src/trace/context.ts";
import { KIND_SERVER } from "../../src/trace/span-kind.ts";
import { createHiddenSlot } from "../shared/hidden-slot.ts";
import { OTHER_METHOD, OTHER_METHOD_NAME, REQUEST_HEADERS, RESPONSE_HEADERS } from "../shared/http-attributes.ts";
import { recordTarget } from "../shared/request-target.ts";
import { registerServerRequest, type ServerRequest } from "../shared/server-request.ts";
import { ConnectionAttributes, RequestHeaders } from "./connection.ts";
import { rawHeadersGetter } from "./raw-headers.ts";

/*
 * `upgrade` and CONNECT requests, which Node's channels do not know: one span for the handshake, from the event that hands
 * the connection over to the first that is written on it, which is the answer. What follows is not HTTP; the connection
 * keeps nothing of ours.
 *
 * Servers without such listeners are left alone: it is asked for once a connection.
 */

/** Gives what makes spans of a server's upgrades: to be called with each server that takes some, as often as one likes. */
export function createUpgradeTracer(kit: Kit): (server: EventEmitter) => void {
  const bound = kit.bind(describeUpgrades(kit));
  const watched = new WeakSet<object>();
  return (server) => {
    const prototype = Object.getPrototypeOf(server) as EventEmitter;
    if (watched.has(prototype)) return;
    watched.add(prototype);
    watchServers(prototype, bound, kit);
    watchAnswers(kit);
  };
}

function watchServers(prototype: EventEmitter, bound: BoundOperation<Ending, Upgrade>, kit: Kit): void {
  const isOwn = Object.hasOwn(prototype, "emit");
  const parent = Object.getPrototypeOf(prototype) as EventEmitter;
  kit.wrap(
    prototype,
    "emit",
    (original) =>
      function (this: EventEmitter, type: unknown, incoming: unknown, socket: unknown): boolean {
        // Looked up each time: `domain` replaces the one all emitters share.
        const emit = isOwn ? original : parent.emit;
        if ((type !== "upgrade" && type !== "connect") || !kit.owner.enabled)
          return Reflect.apply(emit, this, arguments);
        let context;
        try {
          const caller = kit.extract(ROOT_CONTEXT, (incoming as IncomingMessage).rawHeaders, rawHeadersGetter);
          const call = beginOperation(bound, incoming, [socket], undefined, caller);
          context = call === undefined ? caller : call.context;
        } catch (error) {
          kit.owner.disable("HTTP upgrade, start", error);
          return Reflect.apply(emit, this, arguments);
        }
        return kit.tracing.run(context, emit, this, [...(arguments as unknown as unknown[])]);
      },
  );
}

let isWatchingAnswers = false;

/** The answer is the application's own text on the socket. Only processes that take upgrades pay for the look: some 5 ns a write. */
function watchAnswers(kit: Kit): void {
  if (isWatchingAnswers) return;
  isWatchingAnswers = true;
  const { prototype } = process.getBuiltinModule("node:net").Socket;
  kit.wrap(
    prototype,
    "_write",
    (original) =>
      function (this: Socket, chunk: unknown): unknown {
        upgrades.get(this)?.onAnswer(chunk);
        return Reflect.apply(original, this, arguments);
      },
  );
  kit.wrap(
    prototype,
    "_writev",
    (original) =>
      function (this: Socket, chunks: ReadonlyArray<{ chunk: unknown }>): unknown {
        upgrades.get(this)?.onAnswer(chunks[0]?.chunk);
        return Reflect.apply(original, this, arguments);
      },
  );
}

const upgrades = createHiddenSlot<Upgrade>();
const headers = new RequestHeaders();

const ANSWERED = "answered";
const CLOSED = "closed";
type Ending = typeof ANSWERED | typeof CLOSED;

function describeUpgrades(kit: Kit): Operation<Ending, Upgrade> {
  const { httpKnownMethods } = kit.options;
  return {
    title: "HTTP upgrade",
    kind: KIND_SERVER,
    leaf: false,

    start(span, call, capture) {
      const incoming = call.self as IncomingMessage;
      const socket = call.args[0] as Socket;
      const method = incoming.method as string;
      const isKnown = httpKnownMethods.has(method);
      span.name = isKnown ? method : OTHER_METHOD_NAME;
      span.attribute(HTTP_REQUEST_METHOD, isKnown ? method : OTHER_METHOD);
      if (!isKnown) span.attribute(HTTP_REQUEST_METHOD_ORIGINAL, capture.text(method));
      recordTarget(span, incoming.url as string, capture);
      headers.read(incoming.rawHeaders);
      new ConnectionAttributes().addTo(span, socket, incoming, headers, capture);
      if (capture.headers) REQUEST_HEADERS.record(span, incoming.rawHeaders, capture);
      call.state = new Upgrade(call, socket, span.name, kit);
      upgrades.set(socket, call.state);
      registerServerRequest(incoming, call.state);
    },

    finish(span, ending, call, capture) {
      const { name, route, status, answer, failure } = call.state;
      if (route !== undefined) {
        if (span.name === name) span.name = `${name} ${route}`;
        span.attribute(HTTP_ROUTE, route);
      }
      if (status !== undefined) {
        span.attribute(HTTP_RESPONSE_STATUS_CODE, status);
        if (status >= 500 && failure === undefined) span.fail(String(status));
        else if (status >= 500) span.fail(errorType(failure?.error), errorMessage(failure?.error));
      }
      if (answer !== undefined && capture.headers) RESPONSE_HEADERS.record(span, answer, capture);
      if (ending === CLOSED) span.attribute(TRACEKIT_HTTP_ABORTED, true);
    },
  };
}

/** From the request to its answer. */
class Upgrade implements ServerRequest {
  call: OperationCall | undefined;
  route: string | undefined = undefined;
  failure: { readonly error: unknown } | undefined = undefined;
  routing: object | undefined = undefined;
  status: number | undefined = undefined;
  /** Its headers, as `[name, value, …]`. */
  answer: string[] | undefined = undefined;
  readonly name: string;
  private readonly kit: Kit;
  private socket: Socket | undefined;
  private readonly onClose = (): void => this.end(CLOSED);

  constructor(call: OperationCall, socket: Socket, name: string, kit: Kit) {
    this.call = call;
    this.name = name;
    this.kit = kit;
    this.socket = socket;
    socket.on("close", this.onClose);
  }

  /** The first bytes on the connection that are the application's. */
  onAnswer(chunk: unknown): void {
    if (this.call === undefined) return;
    try {
      const text =
        typeof chunk === "string"
          ? chunk.slice(0, MAX_ANSWER)
          : chunk instanceof Uint8Array
            ? toFastBuffer(chunk).latin1Slice(0, Math.min(chunk.byteLength, MAX_ANSWER))
            : "";
      const status = /^HTTP\/1\.\d (\d{3})/.exec(text)?.[1];
      if (status !== undefined) {
        this.status = Number(status);
        this.answer = text
          .slice(0, text.indexOf("\r\n\r\n"))
          .split("\r\n")
          .slice(1)
          .flatMap((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
      }
    } catch (error) {
      this.kit.owner.disable("HTTP upgrade, answer", error);
    }
    this.end(ANSWERED);
  }

  private end(ending: Ending): void {
    const { call, socket } = this;
    if (call === undefined) return;
    socket?.removeListener("close", this.onClose);
    call.succeed(ending);
    // The connection lives on.
    this.call = this.socket = this.answer = undefined;
    this.failure = this.routing = undefined;
  }
}

const MAX_ANSWER = 4096;
