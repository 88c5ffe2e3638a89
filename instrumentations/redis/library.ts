import type { RedisText } from "../shared/redis-commands.ts";
import { describeConnection, type RedisConnection } from "../shared/redis-connection.ts";

/*
 * As much of `@redis/client` as is relied on here (1.x, 5.x and 6.x, which are `redis` 4, 5 and 6). Its classes keep all they
 * know to themselves: what is shown here is what they call on each other's prototypes.
 */

/** A client of one connection. */
export interface Client {
  readonly options?: {
    readonly socket?: { readonly host?: string; readonly port?: number; readonly path?: string };
    readonly database?: number;
    readonly commandsQueueMaxLength?: number;
    readonly scripts?: Readonly<Record<string, { readonly SHA1?: string } | undefined>>;
  } | null;
}

/** Its queue of commands, through which all of them pass. */
export interface Queue {
  addCommand(args: RedisText[], options?: CommandOptions): Promise<unknown>;
}

export interface CommandOptions {
  /** Before all others: how version 1 sets up a connection. */
  readonly asap?: boolean;
  /** Commands that stay together: the later versions' set-up, transactions, and a cluster's ASK. */
  readonly chainId?: symbol;
}

/** A command of a pipeline or transaction. */
export interface QueuedCommand {
  readonly args: RedisText[];
}

/** Subscriptions and their listeners. */
export interface PubSubState {
  /** From version 5. */
  readonly listeners?: Readonly<Record<string, ReadonlyMap<string, ChannelListeners>>>;
  /** Before. */
  getTypeListeners?(type: string): ReadonlyMap<string, ChannelListeners>;
}

export interface ChannelListeners {
  readonly unsubscribing: boolean;
  readonly buffers: ReadonlySet<Listener>;
  readonly strings: ReadonlySet<Listener>;
}

export type Listener = (message: RedisText, channel: RedisText) => unknown;

/** What is known of a queue once its client connects. */
export class Link {
  readonly client: Client;
  /** True between MULTI and EXEC as commands of their own: what is sent then appears in the results. */
  inTransaction = false;
  /** Its server refuses companion channels. */
  refusesCompanions = false;
  private db: number;
  private described: RedisConnection | undefined = undefined;

  constructor(client: Client) {
    this.client = client;
    this.db = client.options?.database ?? 0;
  }

  get connection(): RedisConnection {
    if (this.described === undefined) {
      const socket = this.client.options?.socket;
      this.described = describeConnection(socket?.host ?? "localhost", socket?.port, socket?.path, this.db);
    }
    return this.described;
  }

  /** A SELECT succeeded. */
  select(db: number): void {
    if (db === this.db || !Number.isInteger(db)) return;
    this.db = db;
    this.described = undefined;
  }
}

/** The connection of a queue nobody connected as we know it. */
export const UNKNOWN: RedisConnection = describeConnection(undefined, undefined, undefined, 0);
