import { defineInstrumentation, type Instrumentation } from "../../src/instrumentation/instrumentation.ts";
import type { Kit } from "../../src/instrumentation/kit.ts";
import { NOT_DEFERRED, type Operation } from "../../src/instrumentation/operation.ts";
import { beginOperation, type BoundOperation, type OperationCall } from "../../src/instrumentation/trace-operation.ts";
import { now } from "../../src/trace/clock.ts";
import { KIND_CLIENT } from "../../src/trace/span-kind.ts";
import { shown } from "../shared/cache-values.ts";
import { CacheCounts } from "../shared/cache-counts.ts";
import { isConstant } from "../shared/deferral.ts";
import type { Carrier } from "../shared/messaging.ts";
import { type BatchedCommand, batchOperation, type BatchResults, type BatchState } from "../shared/redis-batches.ts";
import {
  describeCall,
  describeReply,
  isDeferrable,
  type RedisCommand,
  redisCommand,
  type RedisText,
} from "../shared/redis-commands.ts";
import type { RedisConnection } from "../shared/redis-connection.ts";
import { recordRedisFailure, replyErrorCode } from "../shared/redis-failures.ts";
import {
  isStreamRole,
  isWorthTelling,
  readsEntries,
  Streams,
  withContext,
  withoutContext,
} from "../shared/redis-streams.ts";
import type { Client, CommandOptions, Link, Queue, QueuedCommand } from "./library.ts";
import { Links, watchClients } from "./links.ts";
import { patchListeners, patchMessages, patchSubscriptions, PubSub } from "./pub-sub.ts";

/*
 * node-redis (`redis` 4 to 6, whose clients, clusters, sentinels and pools are all `@redis/client`): one span a command, one a
 * pipeline or transaction, one a published and one a processed message, streams as messages.
 *
 * - A command's span begins where it is queued and ends where its reply settles it: waiting for the connection is part of it.
 *   What never reaches a queue is no span: a command on a closed client, or offline with the offline queue switched off.
 * - What the library sends by itself to set up a connection is no span; AUTH, HELLO, SELECT, CLIENT, PING, SUBSCRIBE, … of the
 *   application are spans inside a trace only.
 * - A command that a cluster's node redirects is a span for each node that was asked; the redirecting answers are failures.
 * - A hit of the client-side cache (`clientSideCache`) sends nothing and is no span: hits and misses are counted on the active
 *   one, `tracekit.cache.client_side.hits` and `.misses`.
 * - A pipeline whose commands did not all succeed ends with the first error, as the library reports it.
 * - Context travels with a message through a companion channel, `__tracekit__:<channel>:context`; see `pub-sub.ts`. It does
 *   not with sharded pub/sub, with PUBLISH inside a script, with `commandsQueueMaxLength` (a
 *   command of ours could take the place of one of the application's), nor when publisher or subscriber is not traced.
 * - Before `@redis/client` 1.5 messages are published with their context, but processing them is no span.
 */

const VERSIONS = ">=1.0.6 <2 || >=5 <7";

const redis: Instrumentation = defineInstrumentation({
  name: "redis",
  modules: [
    { name: "@redis/client", versions: VERSIONS, file: "dist/lib/client/commands-queue.js", patch: patchQueue },
    { name: "@redis/client", versions: VERSIONS, file: "dist/lib/client/index.js", patch: patchClient },
    { name: "@redis/client", versions: VERSIONS, file: "dist/lib/client/pub-sub.js", patch: patchPubSub },
    { name: "@redis/client", versions: ">=5 <7", file: "dist/lib/client/pool.js", patch: patchPool },
    { name: "@redis/client", versions: ">=5.1 <7", file: "dist/lib/client/cache.js", patch: patchCache },
  ],
});
export default redis;

/** What the files of one `@redis/client` need together. */
interface Shared {
  readonly kit: Kit;
  readonly command: BoundOperation<unknown, RedisCommand>;
  readonly batch: BoundOperation<unknown, BatchState>;
  readonly streams: Streams<Queue>;
  readonly links: Links;
  readonly pubSub: PubSub;
  /** Scripts the server did not know, by the array of arguments the library sends again as text. */
  readonly unknownScripts: WeakMap<RedisText[], OperationCall>;
  /** A pipeline or transaction is being queued: its commands are not spans of their own. */
  inBatch: boolean;
  /** A script is being sent. */
  inScript: boolean;
}

const sharedByKit = new WeakMap<Kit, Shared>();

function sharedOf(kit: Kit): Shared {
  let shared = sharedByKit.get(kit);
  if (shared === undefined) {
    const links = new Links();
    const connectionOf = (queue: Queue): RedisConnection => links.connectionOf(queue);
    const command = kit.bind(commandOperation(links));
    shared = {
      kit,
      command,
      batch: kit.bind(batchOperation("redis pipeline", kit, connectionOf)),
      streams: new Streams("redis", kit, connectionOf),
      links,
      pubSub: new PubSub(kit, links, command),
      unknownScripts: new WeakMap(),
      inBatch: false,
      inScript: false,
    };
    sharedByKit.set(kit, shared);
  }
  return shared;
}

interface ExportedClass {
  readonly default: { readonly prototype: object };
}

function patchQueue(exports: ExportedClass, kit: Kit): void {
  const shared = sharedOf(kit);
  const { prototype } = exports.default;
  kit.wrap(
    prototype,
    "addCommand",
    (original) =>
      function (this: Queue, args: RedisText[], options?: CommandOptions): unknown {
        if (shared.inBatch || !kit.owner.enabled) return original.call(this, args, options);
        return addCommand(shared, this, args, options, original);
      },
  );
  patchSubscriptions(prototype, shared.pubSub, shared.links, kit);
}

function patchClient(exports: ExportedClass, kit: Kit): void {
  const shared = sharedOf(kit);
  const { prototype } = exports.default;
  watchClients(prototype, shared.links, kit);
  patchListeners(prototype, shared.pubSub, kit);
  // Version 1 has one method for both, with a chain for transactions.
  kit.wrap(
    prototype,
    "multiExecutor",
    (original) =>
      function (this: Client, commands: QueuedCommand[], ...rest: unknown[]): unknown {
        const isTransaction = typeof rest.at(-1) === "symbol";
        return runBatch(shared, this, commands, isTransaction ? "MULTI" : "PIPELINE", true, rest, original);
      },
  );
  for (const [method, kind] of [
    ["_executeMulti", "MULTI"],
    ["_executePipeline", "PIPELINE"],
  ] as const) {
    kit.wrap(
      prototype,
      method,
      (original) =>
        function (this: Client, commands: QueuedCommand[], ...rest: unknown[]): unknown {
          return runBatch(shared, this, commands, kind, false, rest, original);
        },
    );
  }
  for (const method of ["executeScript", "_executeScript"]) {
    kit.wrap(
      prototype,
      method,
      (original) =>
        function (this: Client, ...args: unknown[]): unknown {
          shared.inScript = true;
          try {
            return Reflect.apply(original, this, args);
          } finally {
            shared.inScript = false;
          }
        },
    );
  }
}

function patchPubSub(exports: { readonly PubSub: { readonly prototype: object } }, kit: Kit): void {
  patchMessages(exports.PubSub.prototype, sharedOf(kit).pubSub, kit);
}

function patchPool(exports: { readonly RedisClientPool: { readonly prototype: object } }, kit: Kit): void {
  kit.wrap(
    exports.RedisClientPool.prototype,
    "execute",
    (original) =>
      function (this: unknown, work: unknown, ...rest: unknown[]): unknown {
        if (typeof work !== "function") return Reflect.apply(original, this, [work, ...rest]);
        // Who waits for a connection gets it from whoever gives it back, and would go on in the context of that one.
        const caller = kit.tracing.active();
        const inCaller = (...args: unknown[]): unknown =>
          kit.tracing.run(caller, work as (...args: unknown[]) => unknown, undefined, args);
        return Reflect.apply(original, this, [inCaller, ...rest]);
      },
  );
}

function patchCache(exports: { readonly BasicClientSideCache: { readonly prototype: object } }, kit: Kit): void {
  const { prototype } = exports.BasicClientSideCache;
  const counts = new CacheCounts(kit.tracing, "client_side", prototype);
  kit.wrap(
    prototype,
    "handleCache",
    (original) =>
      function (this: object, client: unknown, parser: unknown, send: () => unknown, ...rest: unknown[]): unknown {
        let isSent = false;
        const sending = (): unknown => {
          isSent = true;
          return send();
        };
        // Whether it sends the command is decided before anything is awaited.
        const returned: unknown = Reflect.apply(original, this, [client, parser, sending, ...rest]);
        try {
          if (kit.owner.enabled) counts.count(this, !isSent);
        } catch (error) {
          kit.owner.disable("counting a hit", error);
        }
        return returned;
      },
  );
}

type AddCommand = (this: Queue, args: RedisText[], options?: CommandOptions) => Promise<unknown>;

function addCommand(
  shared: Shared,
  queue: Queue,
  args: RedisText[],
  options: CommandOptions | undefined,
  original: AddCommand,
): unknown {
  let call: OperationCall | undefined;
  let sent = args;
  let description: RedisCommand | undefined;
  let carrier: Carrier | undefined;
  try {
    description = redisCommand(shown(args[0] as RedisText));
    const { role } = description;
    if (description.isSetUp && (options?.asap === true || options?.chainId !== undefined)) {
      // The library itself, on connecting.
    } else if (role === undefined) {
      call = shared.unknownScripts.get(args);
      if (call === undefined) call = beginOperation(shared.command, queue, ownArguments(args), description);
      else call.endMillis = undefined;
    } else if (role === "publish") {
      ({ call, carrier } = shared.pubSub.beginPublish(queue, ownArguments(args)));
      if (description.name !== "PUBLISH") carrier = undefined;
    } else if (isStreamRole(role)) {
      const begun = shared.streams.begin(queue, role, ownArguments(args));
      call = begun.call;
      if (begun.carrier !== undefined) sent = withContext(args, begun.carrier);
    } else {
      call = beginOperation(shared.command, queue, ownArguments(args), description);
      if (role === "multi" || role === "exec") shared.links.noteTransaction(queue, role === "multi");
    }
  } catch (error) {
    shared.kit.owner.disable("queueing a command", error);
    call = undefined;
    carrier = undefined;
    sent = args;
  }
  // What is queued "as soon as possible" goes before what was queued so: the context is then queued after its message.
  const isLast = options?.asap === true;
  if (carrier !== undefined && !isLast) sendContext(shared, queue, args, carrier, options, original);
  let returned: Promise<unknown>;
  try {
    returned = original.call(queue, sent, options);
  } catch (error) {
    call?.fail(error);
    throw error;
  }
  if (carrier !== undefined && isLast) sendContext(shared, queue, args, carrier, options, original);
  if (description === undefined || (call === undefined && !isWatched(description))) return returned;
  return settle(shared, queue, args, call, description, returned);
}

/** What is to be done with the reply of a command that has no span. */
function isWatched({ name, role }: RedisCommand): boolean {
  return name === "SELECT" || readsEntries(role);
}

/** The arguments after the command's name. What is neither text nor bytes fails in the library, and is nothing here. */
function ownArguments(args: readonly RedisText[]): RedisText[] {
  const own: RedisText[] = [];
  for (let index = 1; index < args.length; index++) {
    const argument = args[index] as RedisText;
    own.push(typeof argument === "string" || argument instanceof Uint8Array ? argument : "");
  }
  return own;
}

function sendContext(
  { kit, pubSub }: Shared,
  queue: Queue,
  args: readonly RedisText[],
  carrier: Carrier,
  options: CommandOptions | undefined,
  original: AddCommand,
): void {
  try {
    pubSub.sendContext(queue, ownArguments(args), carrier, options, original);
  } catch (error) {
    kit.owner.disable("sending a message's context", error);
  }
}

/** The library gets the derived promise: it has the same fate, and the span has ended before the application goes on. */
function settle(
  shared: Shared,
  queue: Queue,
  args: RedisText[],
  call: OperationCall | undefined,
  { role, name }: RedisCommand,
  returned: Promise<unknown>,
): Promise<unknown> {
  const { inScript } = shared;
  return returned.then(
    (reply) => {
      if (call !== undefined && (role !== "receive" || isWorthTelling(call, reply))) call.succeed(reply);
      if (role !== undefined && readsEntries(role)) withoutContext(reply);
      if (name === "SELECT") shared.links.get(queue)?.select(Number(args[1]));
      return reply;
    },
    (error: unknown) => {
      if (call !== undefined) {
        if (inScript && replyErrorCode(error) === "NOSCRIPT") awaitText(shared, args, call, error);
        else call.fail(error);
      }
      throw error;
    },
  );
}

/** A script the server has forgotten is sent once more, as text: that is still the one call the application made. */
function awaitText({ unknownScripts }: Shared, args: RedisText[], call: OperationCall, error: unknown): void {
  call.endMillis = now();
  unknownScripts.set(args, call);
  setImmediate(() => {
    unknownScripts.delete(args);
    // Taken up, it has no end yet.
    if (call.endMillis !== undefined) call.fail(error);
  });
}

/** What is known of a pipeline or transaction while it is on its way. */
interface Batch {
  readonly call: OperationCall | undefined;
  /** What the library is to queue: the application's own, or copies with context. */
  readonly commands: QueuedCommand[];
  readonly readsEntries: boolean;
  /** The database after its last SELECT. */
  readonly db: number | undefined;
}

function runBatch(
  shared: Shared,
  client: Client,
  commands: QueuedCommand[],
  kind: BatchState["kind"],
  isV1: boolean,
  rest: unknown[],
  original: (...args: any[]) => any,
): unknown {
  let batch: Batch | undefined;
  // A pipeline of one command is that command.
  if (shared.kit.owner.enabled && (kind === "MULTI" || commands.length !== 1)) {
    try {
      batch = beginBatch(shared, client, commands, kind);
    } catch (error) {
      shared.kit.owner.disable("sending a pipeline", error);
    }
  }
  if (batch === undefined) return Reflect.apply(original, client, [commands, ...rest]);
  const { call } = batch;
  let returned: unknown;
  shared.inBatch = true;
  try {
    returned = Reflect.apply(original, client, [batch.commands, ...rest]);
  } catch (error) {
    call?.fail(error);
    throw error;
  } finally {
    shared.inBatch = false;
  }
  if (!(returned instanceof Promise)) {
    call?.succeed();
    return returned;
  }
  if (call === undefined && !batch.readsEntries && batch.db === undefined) return returned;
  return returned.then(
    (results: unknown) => {
      const queue = shared.links.queueOf(client);
      if (batch.readsEntries) withoutContext(results);
      if (batch.db !== undefined && queue !== undefined) shared.links.get(queue)?.select(batch.db);
      call?.succeed(resultsOf(results, kind === "MULTI" && isV1));
      return results;
    },
    (error: unknown) => {
      // Somebody else was faster: that is an answer.
      if ((error as Error | undefined)?.constructor?.name === "WatchError") call?.succeed();
      else call?.fail(error);
      throw error;
    },
  );
}

function beginBatch(
  shared: Shared,
  client: Client,
  commands: QueuedCommand[],
  kind: BatchState["kind"],
): Batch | undefined {
  const { batch: bound, links, pubSub, kit } = shared;
  const queue = links.queueOf(client);
  if (queue === undefined) return undefined;
  const state: BatchState = { kind, carrier: undefined };
  const items: BatchedCommand[] = [];
  let reads = false;
  let db: number | undefined;
  for (const { args } of commands) {
    const { name, role } = redisCommand(shown(args[0] as RedisText));
    if (role === "multi" || role === "exec") continue;
    if (role !== undefined && readsEntries(role)) reads = true;
    if (name === "SELECT") db = Number(args[1]);
    items.push({ name, args: ownArguments(args) });
  }
  const call = beginOperation(bound, queue, items, state);
  const { carrier } = state;
  if (carrier === undefined) return { call, commands, readsEntries: reads, db };
  shared.inBatch = true;
  try {
    for (const { name, args } of items) {
      if (name === "PUBLISH") pubSub.sendContext(queue, args, carrier, undefined, queue.addCommand);
    }
  } finally {
    shared.inBatch = false;
  }
  const queued = kit.options.redisStreamContext ? commands.map((command) => carrying(command, carrier)) : commands;
  return { call, commands: queued, readsEntries: reads, db };
}

/** A copy of an XADD with context; any other command itself. */
function carrying(command: QueuedCommand, carrier: Carrier): QueuedCommand {
  const { args } = command;
  if (redisCommand(shown(args[0] as RedisText)).role !== "send") return command;
  return { ...command, args: withContext(args, carrier) };
}

/** The replies of a transaction are the last of what version 1 gives and all that the later ones give. */
function resultsOf(results: unknown, isV1Transaction: boolean): BatchResults | undefined {
  if (!Array.isArray(results)) return undefined;
  const replies: unknown = isV1Transaction ? results.at(-1) : results;
  if (!Array.isArray(replies)) return undefined;
  return replies.map((reply: unknown) => (reply instanceof Error ? [reply, undefined] : [undefined, reply]));
}

function commandOperation(links: Links): Operation<unknown, RedisCommand> {
  return {
    title: "redis command",
    kind: KIND_CLIENT,
    leaf: true,
    skip: ({ state, caller }) => state.isSetUp && (state.name === "ASKING" || caller.span?.isRecording() !== true),
    start(span, call, capture) {
      const { state: command, self, args } = call;
      span.name = command.name;
      span.attributeBlock(call.target ?? links.connectionOf(self).database);
      const procedure = command.isStoredProcedure ? scriptName(links.get(self), args[0]) : undefined;
      call.state = describeCall(span, command, args, capture, procedure);
    },
    finish(span, reply, call, capture) {
      describeReply(span, call.state, call.args, reply, capture);
    },
    fail: (span, error, call) => recordRedisFailure(span, error, call.state),
    deferral: {
      atStart(call) {
        const { state: command, self, args } = call;
        if (!isDeferrable(command, args)) return false;
        call.target = links.connectionOf(self).database;
        return true;
      },
      atEnd: (_call, reply) => (isConstant(reply) ? reply : NOT_DEFERRED),
    },
  };
}

/** The name under which the application defined the script with this hash. */
function scriptName(link: Link | undefined, sha: unknown): string | undefined {
  const scripts = link?.client.options?.scripts;
  for (const name in scripts) if (scripts[name]?.SHA1 === sha) return name;
  return undefined;
}
