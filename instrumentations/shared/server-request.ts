import type { Exception } from "@opentelemetry/api";
import type { OperationCall } from "../../src/instrumentation/trace-operation.ts";
import { createHiddenSlot } from "./hidden-slot.ts";
import { serverConnections } from "./server-connections.ts";

/** A request a server is answering, as far as frameworks have something to add to its span. */
export interface ServerRequest {
  /** Undefined once the span has ended. */
  readonly call: OperationCall | undefined;
  /** The matched route's pattern, mount paths included: `/users/:id/posts`. */
  route: string | undefined;
  /** The last error the application handed to its framework. */
  failure: { readonly error: unknown } | undefined;
  /** For the router that is at work: where it is mounted. */
  routing: object | undefined;
}

const slot = createHiddenSlot<ServerRequest>();
let hasRegistered = false;
let openOnConnections = 0;

/** Whoever asks for a request asks again soon, for each of its layers: the last one found, until it ends. */
let lastIncoming: object | undefined;
let lastRequest: ServerRequest | undefined;

/** Makes `request` known to frameworks by the object they get it as, where its connection is not asked for it. */
export function registerServerRequest(incoming: object, request: ServerRequest): void {
  hasRegistered = true;
  slot.set(incoming, request);
}

/** One more request that its connection finds. */
export function openOnConnection(incoming: object, request: ServerRequest): void {
  openOnConnections++;
  lastIncoming = incoming;
  lastRequest = request;
}

/** One less: it is let go. */
export function closeOnConnection(request: ServerRequest): void {
  openOnConnections--;
  if (lastRequest === request) lastIncoming = lastRequest = undefined;
}

/** The recorded request behind an `http.IncomingMessage`, or HTTP/2's like, while its span is open. */
export function findServerRequest(incoming: object): ServerRequest | undefined {
  if (incoming === lastIncoming) return lastRequest;
  // Frameworks ask for each of their layers: where nothing is sampled, 140 ns each time for nothing.
  if (openOnConnections === 0 && !hasRegistered) return undefined;
  // Handlers can be called with anything, in an application's own tests for one.
  if (typeof incoming !== "object" || incoming === null) return undefined;
  const request = onConnection(incoming);
  if (request !== undefined) {
    lastIncoming = incoming;
    return (lastRequest = request);
  }
  const registered = slot.get(incoming) ?? slotOfStream(incoming);
  return registered?.call === undefined ? undefined : registered;
}

function onConnection(incoming: { readonly socket?: unknown }): ServerRequest | undefined {
  const { socket } = incoming;
  return typeof socket === "object" && socket !== null ? serverConnections.get(socket)?.find(incoming) : undefined;
}

/** HTTP/2's requests are made for one of several listeners; their stream is the same for all. */
function slotOfStream(incoming: { readonly stream?: unknown }): ServerRequest | undefined {
  const { stream } = incoming;
  return typeof stream === "object" && stream !== null ? slot.get(stream) : undefined;
}

/** The route that matched; the last one wins. */
export function setRoute(incoming: object, route: string | undefined): void {
  const request = findServerRequest(incoming);
  if (request !== undefined) request.route = route;
}

/**
 * An error the application threw, or passed on for its framework to answer: an event on the request's span, and its
 * `error.type` should the answer be a 5xx. An error that passes several handlers is recorded once.
 */
export function recordRequestError(incoming: object, error: unknown): void {
  const request = findServerRequest(incoming);
  if (request === undefined || request.failure?.error === error) return;
  request.failure = { error };
  request.call?.span.recordException(error as Exception);
}
