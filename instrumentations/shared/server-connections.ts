import { createHiddenSlot, type HiddenSlot } from "./hidden-slot.ts";
import type { ServerRequest } from "./server-request.ts";

/** A connection a server has accepted, by its socket, and the recorded requests it is answering. */
export interface ServerConnection {
  /** The request that handlers get as `incoming`. */
  find(incoming: object): ServerRequest | undefined;
}

/**
 * HTTP/1 requests are found by their connection: a hidden field on each request would have to be added each time, and makes
 * Node's own code, which has then seen two shapes of requests, slower.
 */
export const serverConnections: HiddenSlot<ServerConnection> = createHiddenSlot();
