import type { OperationCall } from "../../src/instrumentation/trace-operation.ts";
import { SERVER_ADDRESS, SERVER_PORT } from "../../src/semconv/attributes.ts";
import { createHiddenSlot } from "../shared/hidden-slot.ts";
import type { RedisText } from "../shared/redis-commands.ts";
import { describeConnection, type RedisConnection } from "../shared/redis-connection.ts";

/*
 * As much of ioredis as is relied on here (4.x to 6.x), and what its objects say about the server. Its own types call most
 * of this private.
 */

/** The span of a command, on the command: ioredis sends some more than once. `null`: seen, and not traced. */
export const kCall: unique symbol = Symbol("tracekit.call");

/** `Redis`, and where marked `Cluster`. */
export interface Redis {
  readonly options: {
    readonly host?: string;
    readonly port?: number;
    readonly path?: string | null;
    readonly sentinels?: unknown;
    readonly db?: number;
  };
  readonly isCluster?: boolean;
  readonly status: string;
  /** One object a connection: a new one after each reconnect. */
  readonly condition?: { readonly select?: number; readonly subscriber: unknown } | null;
  readonly stream?: Socket | null;
  readonly scriptsSet?: Readonly<Record<string, { readonly sha: string }>>;
  readonly _autoPipelines?: ReadonlyMap<string, unknown>;
  listenerCount(event: string): number;
  sendCommand(command: Command): unknown;
}

interface Socket {
  readonly remoteAddress?: string;
  readonly remotePort?: number;
  cork?(): void;
  uncork?(): void;
}

export interface Command {
  readonly name: string;
  args: RedisText[];
  resolve(reply: unknown): unknown;
  reject(error: unknown): unknown;
  /** What replies are to be decoded to; none for methods like `getBuffer`. */
  readonly replyEncoding?: string | null;
  /** Its place in a pipeline; undefined outside. */
  readonly pipelineIndex?: number;
  [kCall]?: OperationCall | null;
}

export type CommandClass = new (
  name: string,
  args: readonly RedisText[],
  options: object,
  callback: (error: unknown, reply: unknown) => void,
) => Command;

export interface Pipeline {
  readonly redis: Redis;
  readonly _queue: readonly Command[];
  /** MULTIs without their EXEC. */
  readonly _transactions: number;
  resolve(results: unknown): unknown;
  reject(error: unknown): unknown;
}

export interface DataHandler {
  readonly redis: Redis;
}

interface CachedConnection extends RedisConnection {
  readonly stream: unknown;
  readonly db: number;
}

interface Connections {
  last: CachedConnection | undefined;
}

const connections = createHiddenSlot<Connections>();

export function connectionOf(redis: Redis): RedisConnection {
  const db = redis.condition?.select ?? redis.options.db ?? 0;
  let known = connections.get(redis);
  const cached = known?.last;
  if (cached !== undefined && cached.db === db && cached.stream === redis.stream) return cached;
  const { options, stream } = redis;
  let host: string | undefined;
  let port: number | undefined;
  if (options.sentinels) {
    // The options name the sentinels; the server they chose is known once connected.
    host = stream?.remoteAddress;
    port = stream?.remotePort;
  } else if (redis.isCluster !== true) {
    host = options.host ?? "localhost";
    port = options.port;
  }
  const connection = { ...describeConnection(host, port, options.path ?? undefined, db), stream, db };
  // While a sentinel is being asked there is a stream without an address yet.
  if (connection.host !== undefined || redis.isCluster === true) {
    if (known === undefined) connections.set(redis, (known = { last: undefined }));
    known.last = connection;
  }
  return connection;
}

/**
 * Says which server a command goes to, where that is known only now: a cluster's goes to one of its nodes, to another after a
 * redirection, and the last one is the one that answered; a sentinel has to name the master first.
 */
export function nameServer(call: OperationCall, redis: Redis): void {
  if (!call.recording || call.isSettled) return;
  const { options, stream } = redis;
  const isBehindSentinel = Boolean(options.sentinels);
  if (!isBehindSentinel && call.self.isCluster !== true) return;
  const host = isBehindSentinel ? stream?.remoteAddress : options.host;
  const port = isBehindSentinel ? stream?.remotePort : options.port;
  if (host !== undefined) call.span.setAttribute(SERVER_ADDRESS, host);
  if (port !== undefined) call.span.setAttribute(SERVER_PORT, port);
}
