import { Buffer } from "node:buffer";
import type { EventEmitter } from "node:events";
import type { Kit, Wrapper } from "../../src/instrumentation/kit.ts";
import { NOT_DEFERRED, type Operation } from "../../src/instrumentation/operation.ts";
import { settleByMethods } from "../../src/instrumentation/settlement.ts";
import { beginOperation, type BoundOperation, type OperationCall } from "../../src/instrumentation/trace-operation.ts";
import { now } from "../../src/trace/clock.ts";
import { KIND_CLIENT } from "../../src/trace/span-kind.ts";
import { isConstant } from "../shared/deferral.ts";
import { batchOperation, type BatchState } from "../shared/redis-batches.ts";
import {
  type CommandRole,
  describeCall,
  describeReply,
  isDeferrable,
  type RedisCommand,
  redisCommand,
} from "../shared/redis-commands.ts";
import { recordRedisFailure, replyErrorCode } from "../shared/redis-failures.ts";
import {
  isStreamRole,
  isWorthTelling,
  readsEntries,
  Streams,
  withContext,
  withoutContext,
} from "../shared/redis-streams.ts";
import {
  type Command,
  connectionOf,
  type DataHandler,
  kCall,
  nameServer,
  type Pipeline,
  type Redis,
} from "./library.ts";
import { PubSub } from "./pub-sub.ts";

/** What the files of one ioredis need together. */
interface Shared {
  readonly kit: Kit;
  readonly command: BoundOperation<unknown, RedisCommand>;
  readonly batch: BoundOperation<unknown, BatchState>;
  readonly pubSub: PubSub;
  readonly streams: Streams<Redis>;
  /** Pipelines that were sent: a cluster may send one again. */
  readonly sent: WeakSet<Pipeline>;
  /** Scripts the server did not know, until the library sends their text: in the same tick, or never. */
  readonly unknownScripts: UnknownScript[];
}

interface UnknownScript {
  readonly call: OperationCall;
  readonly command: Command;
}

const sharedByKit = new WeakMap<Kit, Shared>();

function sharedOf(kit: Kit): Shared {
  let shared = sharedByKit.get(kit);
  if (shared === undefined) {
    const pubSub = new PubSub(kit);
    const batch = kit.bind(batchOperation("ioredis pipeline", kit, connectionOf));
    shared = {
      kit,
      command: kit.bind(commandOperation),
      batch,
      pubSub,
      streams: new Streams("ioredis", kit, connectionOf),
      sent: new WeakSet(),
      unknownScripts: [],
    };
    sharedByKit.set(kit, shared);
  }
  return shared;
}

/** For class `Redis`. */
export function redisWrappers(kit: Kit): Record<"sendCommand" | "handleReconnection" | "emit", Wrapper> {
  const shared = sharedOf(kit);
  const { pubSub } = shared;
  return {
    sendCommand: (original) =>
      function (this: Redis, command: Command, stream?: unknown): unknown {
        const role = begin(shared, this, command, stream);
        if (role === undefined) return original.call(this, command, stream);
        return pubSub.send(this, command, role, () => original.call(this, command));
      },
    handleReconnection: (original) =>
      function (this: Redis, error: unknown, item: { command: Command }): unknown {
        // That a command of ours failed is no reason to ask the application whether to reconnect.
        if (pubSub.isOurs(item.command)) return item.command.reject(error);
        return original.call(this, error, item);
      },
    emit: wrapEmit(shared),
  };
}

/** For class `Cluster`. */
export function clusterWrappers(kit: Kit): Record<"sendCommand" | "delayUntilReady" | "emit", Wrapper> {
  const shared = sharedOf(kit);
  return {
    sendCommand: (original) =>
      function (this: Redis, command: Command, stream?: unknown, node?: unknown): unknown {
        begin(shared, this, command, stream);
        return original.call(this, command, stream, node);
      },
    delayUntilReady: (original) =>
      function (this: Redis, callback: (...args: unknown[]) => unknown): unknown {
        // What waits for the cluster goes on in the context of whoever made it wait.
        const caller = kit.tracing.active();
        return original.call(this, (...args: unknown[]) => kit.tracing.run(caller, callback, undefined, args));
      },
    emit: wrapEmit(shared),
  };
}

function wrapEmit({ pubSub }: Shared): Wrapper {
  return (original) =>
    function (this: EventEmitter, ...args: unknown[]): unknown {
      return pubSub.emit(this, args, original);
    };
}

/** For class `Pipeline`. */
export function pipelineWrappers(kit: Kit): Record<"sendCommand" | "exec", Wrapper> {
  const shared = sharedOf(kit);
  return {
    sendCommand: (original) =>
      function (this: Pipeline, command: Command): unknown {
        beginAutomatic(shared, this, command);
        return original.call(this, command);
      },
    exec: (original) =>
      function (this: Pipeline, ...args: unknown[]): unknown {
        beginPipeline(shared, this);
        return Reflect.apply(original, this, args);
      },
  };
}

/** For class `DataHandler`. */
export function dataHandlerWrappers(kit: Kit): Record<"handleSubscriberReply", Wrapper> {
  const { pubSub } = sharedOf(kit);
  return {
    handleSubscriberReply: (original) =>
      function (this: DataHandler, reply: unknown): unknown {
        // This is all that connections without subscriptions notice, once a reply.
        if (!this.redis.condition?.subscriber || !Array.isArray(reply)) return original.call(this, reply);
        return pubSub.receive(this, reply, original);
      },
  };
}

/** Starts the command's span unless it has one, and says what else it takes to send it. */
function begin(shared: Shared, redis: Redis, command: Command, stream: unknown): CommandRole | undefined {
  const { kit, pubSub } = shared;
  try {
    const isPipelined = command.pipelineIndex !== undefined || stream !== undefined;
    const call = command[kCall];
    if (call === undefined) {
      if (isPipelined) return undefined;
      const description = redisCommand(command.name);
      const { role } = description;
      if (kit.owner.enabled) start(shared, redis, command, description);
      return role === undefined || isStreamRole(role) || role === "entries" ? undefined : role;
    }
    if (call !== null) nameServer(call, redis);
    if (isPipelined) return undefined;
    const { role } = redisCommand(command.name);
    if (role === undefined || isStreamRole(role) || role === "entries") return undefined;
    return pubSub.isOurs(command) ? undefined : role;
  } catch (error) {
    kit.owner.disable("sending a command", error);
    return undefined;
  }
}

function start(shared: Shared, redis: Redis, command: Command, description: RedisCommand): void {
  const { command: bound, pubSub, streams, unknownScripts } = shared;
  const { role } = description;
  if (unknownScripts.length > 0 && continueScript(unknownScripts, command)) return;
  command[kCall] = null;
  let call: OperationCall | undefined;
  if (role === undefined) {
    call = beginOperation(bound, redis, command.args, description);
    if (call === undefined) return;
    command[kCall] = call;
    if (description.isStoredProcedure) settleScript(shared, call, command);
    else settle(call, command);
    return;
  }
  if (role === "publish") call = pubSub.beginPublish(redis, command);
  else if (isStreamRole(role)) {
    const begun = streams.begin(redis, role, command.args);
    call = begun.call;
    if (begun.carrier !== undefined) command.args = withContext(command.args, begun.carrier);
  } else call = beginOperation(bound, redis, command.args, description);
  if (readsEntries(role)) takeContextOut(command);
  if (call === undefined) return;
  command[kCall] = call;
  if (role === "receive") settleReceive(call, command);
  else settle(call, command);
}

/** As `settleByMethods`, for what every command passes. */
function settle(call: OperationCall, command: Command): void {
  const { resolve, reject } = command;
  const onReply = (reply: unknown): unknown => {
    letGo(command, resolve, reject);
    const text = decoded(command, reply);
    const answer = resolve.call(command, text ?? reply);
    call.succeed(reply, text);
    return answer;
  };
  const onError = (error: unknown): unknown => {
    letGo(command, resolve, reject);
    const answer = reject.call(command, error);
    call.fail(error);
    return answer;
  };
  command.resolve = onReply;
  command.reject = onError;
}

/**
 * Takes what is ours off a command that is over. While ioredis is new to V8, every command is in memory until the next full
 * collection (`benchmarks/README.md`, "Memory"): the span is not to stay with it.
 */
function letGo(command: Command, resolve: Command["resolve"], reject: Command["reject"]): void {
  command[kCall] = null;
  command.resolve = resolve;
  command.reject = reject;
}

/** Bytes that are all shown, or nearly. Of more than that, only the beginning need be decoded here. */
const MAX_DECODED_BYTES = 4096;

/** The text that ioredis would make of a reply. It takes this for one that came as text, and need not do it again. */
function decoded({ replyEncoding }: Command, reply: unknown): string | undefined {
  if (replyEncoding !== "utf8" || !(reply instanceof Buffer) || reply.length > MAX_DECODED_BYTES) return undefined;
  return reply.toString();
}

/** Before anything else looks at the reply. */
function takeContextOut(command: Command): void {
  const { resolve } = command;
  const onReply = (reply: unknown): unknown => {
    command.resolve = resolve;
    withoutContext(reply);
    return resolve.call(command, reply);
  };
  command.resolve = onReply;
}

function settleReceive(call: OperationCall, command: Command): void {
  const { resolve, reject } = command;
  const onReply = (reply: unknown): unknown => {
    letGo(command, resolve, reject);
    // The reply still has our fields: the application gets it, without them, right after.
    if (isWorthTelling(call, reply)) call.succeed(reply);
    return resolve.call(command, reply);
  };
  const onError = (error: unknown): unknown => {
    letGo(command, resolve, reject);
    const answer = reject.call(command, error);
    call.fail(error);
    return answer;
  };
  command.resolve = onReply;
  command.reject = onError;
}

/** A script the server has forgotten is sent once more, as text: that is still the one call the application made. */
function settleScript({ unknownScripts }: Shared, call: OperationCall, command: Command): void {
  const { resolve, reject } = command;
  const onReply = (reply: unknown): unknown => {
    letGo(command, resolve, reject);
    const answer = resolve.call(command, reply);
    call.succeed(reply);
    return answer;
  };
  const onError = (error: unknown): unknown => {
    letGo(command, resolve, reject);
    const answer = reject.call(command, error);
    if (replyErrorCode(error) !== "NOSCRIPT" || scriptName(call.self, command.args[0]) === undefined) {
      call.fail(error);
      return answer;
    }
    call.endMillis = now();
    const unknown = { call, command };
    unknownScripts.push(unknown);
    setImmediate(() => {
      const index = unknownScripts.indexOf(unknown);
      if (index === -1) return;
      unknownScripts.splice(index, 1);
      call.fail(error);
    });
    return answer;
  };
  command.resolve = onReply;
  command.reject = onError;
}

/** Is this the text of a script the server did not know? Then its span goes on. */
function continueScript(unknownScripts: UnknownScript[], command: Command): boolean {
  const name = command.name.toLowerCase();
  if (name !== "eval" && name !== "evalsha") return false;
  const index = unknownScripts.findIndex(
    ({ command: { args } }) =>
      // The first is the hash or the text.
      args.length === command.args.length && args.every((argument, at) => at === 0 || argument === command.args[at]),
  );
  const [unknown] = index === -1 ? [] : unknownScripts.splice(index, 1);
  if (unknown === undefined) return false;
  unknown.call.endMillis = undefined;
  command[kCall] = unknown.call;
  settle(unknown.call, command);
  return true;
}

/** Auto-pipelining queues here what its callers asked for, one by one and in their contexts. */
function beginAutomatic(shared: Shared, pipeline: Pipeline, command: Command): void {
  const { owner } = shared.kit;
  try {
    if (!owner.enabled || command[kCall] !== undefined || !isAutomatic(pipeline)) return;
    start(shared, pipeline.redis, command, redisCommand(command.name));
  } catch (error) {
    owner.disable("queueing a command", error);
  }
}

function isAutomatic(pipeline: Pipeline): boolean {
  const { _autoPipelines: automatic } = pipeline.redis;
  if (automatic === undefined || automatic.size === 0) return false;
  for (const candidate of automatic.values()) if (candidate === pipeline) return true;
  return false;
}

function beginPipeline(shared: Shared, pipeline: Pipeline): void {
  const { kit, batch, pubSub, sent } = shared;
  try {
    const { redis, _queue: queue } = pipeline;
    const first = queue[0];
    // The first `exec` of a transaction only queues EXEC; another one sends all of it.
    if (!kit.owner.enabled || pipeline._transactions > 0 || first === undefined || sent.has(pipeline)) return;
    sent.add(pipeline);
    const isTransaction = redisCommand(first.name).role === "multi";
    const state: BatchState = { kind: isTransaction ? "MULTI" : "PIPELINE", carrier: undefined };
    if (first[kCall] === undefined) {
      if (queue.length === 1) start(shared, redis, first, redisCommand(first.name));
      else {
        const call = beginOperation(batch, redis, queue as Command[], state);
        if (call !== undefined) settleByMethods(call, pipeline, "resolve", "reject");
      }
    }
    pubSub.beforePipeline(pipeline, state.carrier);
    for (const command of queue) {
      const { role } = redisCommand(command.name);
      if (command[kCall] !== undefined) continue;
      if (role === "send" && state.carrier !== undefined && kit.options.redisStreamContext)
        command.args = withContext(command.args, state.carrier);
      else if (readsEntries(role)) takeContextOut(command);
    }
  } catch (error) {
    kit.owner.disable("sending a pipeline", error);
  }
}

const commandOperation: Operation<unknown, RedisCommand> = {
  title: "ioredis command",
  kind: KIND_CLIENT,
  leaf: true,
  skip: ({ state, self, caller }) =>
    state.isSetUp && (self.status === "connect" || state.name === "ASKING" || caller.span?.isRecording() !== true),
  start(span, call, capture) {
    const { state: command, self, args } = call;
    span.name = command.name;
    span.attributeBlock(call.target ?? connectionOf(self).database);
    const procedure = command.isStoredProcedure ? scriptName(self, args[0]) : undefined;
    call.state = describeCall(span, command, args, capture, procedure);
  },
  finish(span, reply, call, capture, text) {
    describeReply(span, call.state, call.args, reply, capture, text);
  },
  fail: (span, error, call) => recordRedisFailure(span, error, call.state),
  deferral: {
    atStart(call) {
      const { state: command, self, args } = call;
      // A cluster or a sentinel chooses the server.
      if (self.isCluster === true || self.options.sentinels || !isDeferrable(command, args)) return false;
      call.target = connectionOf(self).database;
      return true;
    },
    // The bytes of a text are nobody else's.
    atEnd: (_call, reply, text) => (text !== undefined || isConstant(reply) ? reply : NOT_DEFERRED),
  },
};

/** The name under which the application defined the script with this hash. */
function scriptName({ scriptsSet }: Redis, sha: unknown): string | undefined {
  for (const name in scriptsSet) if (scriptsSet[name]?.sha === sha) return name;
  return undefined;
}
