import type { Kit } from "../../src/instrumentation/kit.ts";
import { createHiddenSlot } from "../shared/hidden-slot.ts";
import type { RedisConnection } from "../shared/redis-connection.ts";
import { type Client, Link, type Queue, UNKNOWN } from "./library.ts";

/** Asks, in place of channels, which queue a client has. */
export const PROBE: unique symbol = Symbol("tracekit.probe");

const linkOfQueue = createHiddenSlot<Link>();

/**
 * Which client a queue belongs to. Neither says so: commands pass through the queue, which knows no address, and a client keeps
 * its queue private. So a client that connects is made to unsubscribe from a channel that is none, and the queue that is
 * asked to is its own; the question goes no further.
 */
export class Links {
  private readonly queues = new WeakMap<Client, Queue>();
  private found: Queue | undefined;

  /** The answer, from a queue. */
  answer(queue: Queue): void {
    this.found = queue;
  }

  get(queue: Queue): Link | undefined {
    return linkOfQueue.get(queue);
  }

  queueOf(client: Client): Queue | undefined {
    return this.queues.get(selfOf(client));
  }

  connectionOf(queue: Queue): RedisConnection {
    return linkOfQueue.get(queue)?.connection ?? UNKNOWN;
  }

  /** MULTI and EXEC as commands of their own. */
  noteTransaction(queue: Queue, isOpen: boolean): void {
    const link = linkOfQueue.get(queue);
    if (link !== undefined) link.inTransaction = isOpen;
  }

  /** A client is about to connect. `prototype`: of clients, as the library made it. */
  link(prototype: { UNSUBSCRIBE?: (channels: unknown) => unknown }, client: Client): void {
    const self = selfOf(client);
    if (this.queues.has(self) || prototype.UNSUBSCRIBE === undefined) return;
    this.found = undefined;
    Reflect.apply(prototype.UNSUBSCRIBE, client, [PROBE]);
    const queue = this.found as Queue | undefined;
    this.found = undefined;
    if (queue === undefined) return;
    this.queues.set(self, queue);
    linkOfQueue.set(queue, new Link(client));
  }
}

/** Asks each client when it connects: before that no command is accepted. `prototype`: of clients. */
export function watchClients(prototype: object, links: Links, kit: Kit): void {
  kit.wrap(
    prototype,
    "connect",
    (original) =>
      function (this: Client, ...args: unknown[]): unknown {
        try {
          links.link(prototype, this);
        } catch (error) {
          kit.owner.disable("connecting", error);
        }
        return Reflect.apply(original, this, args);
      },
  );
}

/** Clients with other command options have the client they were made from as prototype. */
function selfOf(client: Client): Client {
  return (client as { _self?: Client })._self ?? client;
}
