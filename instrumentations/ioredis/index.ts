import type { EventEmitter } from "node:events";
import { defineInstrumentation, type Instrumentation } from "../../src/instrumentation/instrumentation.ts";
import type { Kit } from "../../src/instrumentation/kit.ts";
import type { Operation } from "../../src/instrumentation/operation.ts";
import { settleByMethods } from "../../src/instrumentation/settlement.ts";
import { beginOperation, type BoundOperation } from "../../src/instrumentation/trace-operation.ts";
import {
  DB_OPERATION_BATCH_SIZE,
  DB_OPERATION_NAME,
  DB_QUERY_TEXT,
  DB_RESPONSE_STATUS_CODE,
  TRACEKIT_DB_FAILED_COMMANDS,
} from "../../src/semconv/attributes.ts";
import { KIND_CLIENT } from "../../src/trace/tracer.ts";
import {
  addHits,
  type CommandRole,
  describeCall,
  describeReply,
  itemsFound,
  itemsWanted,
  queryText,
  type RedisCommand,
  redisCommand,
} from "../shared/redis-commands.ts";
import type { Carrier } from "../shared/messaging.ts";
import {
  type Command,
  connectionOf,
  type DataHandler,
  kCall,
  nameNode,
  type Pipeline,
  recordRedisException,
  recordRedisFailure,
  type Redis,
  replyErrorCode,
} from "./library.ts";
import { PubSub } from "./pub-sub.ts";

/*
 * ioredis: one span a command, one a pipeline or transaction, one a published and one a processed message.
 *
 * - A command is traced where it is sent and ends where ioredis settles it, so promises and callbacks are the library's own.
 *   Sent again (offline queue, reconnect, cluster redirection) it keeps its span.
 * - Commands that set up a connection (AUTH, HELLO, SELECT, CLIENT, INFO, SUBSCRIBE, …) have a span only inside a trace:
 *   ioredis sends them by itself, on connecting and reconnecting.
 * - A pipeline of one command is that command. Auto-pipelined commands are spans of their own, under their own callers.
 * - MULTI without a pipeline (`multi({ pipeline: false })`) is a span for each of its commands.
 * - A cluster's pipeline does not name its node.
 * - Context travels with a message through a companion channel, `__tracekit__:<channel>:context`; see `pub-sub.ts`. It does
 *   not with SPUBLISH, with PUBLISH inside a script, inside `multi({ pipeline: false })` or in a cluster's pipeline, not when
 *   publisher or subscriber is not traced, when the server's ACL forbids the companion channel, or in the first round trip
 *   after subscribing. Such a message starts a new trace.
 * - The span of a message lasts until async listeners are done. Of a listener that is no async function and returns a
 *   promise, only the synchronous part is seen: watching a promise others may hold could hide or invent a rejection.
 */

const VERSIONS = ">=5 <7";

const ioredis: Instrumentation = defineInstrumentation({
  name: "ioredis",
  modules: [
    { name: "ioredis", versions: VERSIONS, file: "built/Redis.js", patch: patchRedis },
    { name: "ioredis", versions: VERSIONS, file: "built/cluster/index.js", patch: patchCluster },
    { name: "ioredis", versions: VERSIONS, file: "built/Pipeline.js", patch: patchPipeline },
    { name: "ioredis", versions: VERSIONS, file: "built/DataHandler.js", patch: patchDataHandler },
  ],
});
export default ioredis;

/** What the files of one ioredis need together. */
interface Shared {
  readonly kit: Kit;
  readonly command: BoundOperation<unknown, RedisCommand>;
  readonly batch: BoundOperation<unknown, BatchState>;
  readonly pubSub: PubSub;
  /** Pipelines that were sent: a cluster may send one again. */
  readonly sent: WeakSet<Pipeline>;
}

interface BatchState {
  /** Goes along with the messages it publishes. */
  carrier: Carrier | undefined;
}

const sharedByKit = new WeakMap<Kit, Shared>();

function sharedOf(kit: Kit): Shared {
  let shared = sharedByKit.get(kit);
  if (shared === undefined) {
    const pubSub = new PubSub(kit);
    const batch = kit.bind(batchOperation(pubSub));
    shared = { kit, command: kit.bind(commandOperation), batch, pubSub, sent: new WeakSet() };
    sharedByKit.set(kit, shared);
  }
  return shared;
}

interface ExportedClass {
  readonly default: { readonly prototype: object };
}

function patchRedis(exports: ExportedClass, kit: Kit): void {
  const shared = sharedOf(kit);
  const { pubSub } = shared;
  const { prototype } = exports.default;
  kit.wrap(
    prototype,
    "sendCommand",
    (original) =>
      function (this: Redis, command: Command, stream?: unknown): unknown {
        const role = begin(shared, this, command, stream);
        if (role === undefined) return original.call(this, command, stream);
        return pubSub.send(this, command, role, () => original.call(this, command));
      },
  );
  kit.wrap(
    prototype,
    "handleReconnection",
    (original) =>
      function (this: Redis, error: unknown, item: { command: Command }): unknown {
        // That a command of ours failed is no reason to ask the application whether to reconnect.
        if (pubSub.isOurs(item.command)) return item.command.reject(error);
        return original.call(this, error, item);
      },
  );
  patchEmit(prototype, shared);
}

function patchCluster(exports: ExportedClass, kit: Kit): void {
  const shared = sharedOf(kit);
  const { prototype } = exports.default;
  kit.wrap(
    prototype,
    "sendCommand",
    (original) =>
      function (this: Redis, command: Command, stream?: unknown, node?: unknown): unknown {
        begin(shared, this, command, stream);
        return original.call(this, command, stream, node);
      },
  );
  kit.wrap(
    prototype,
    "delayUntilReady",
    (original) =>
      function (this: Redis, callback: (...args: unknown[]) => unknown): unknown {
        // What waits for the cluster goes on in the context of whoever made it wait.
        const caller = kit.tracing.active();
        return original.call(this, (...args: unknown[]) => kit.tracing.run(caller, callback, undefined, args));
      },
  );
  patchEmit(prototype, shared);
}

function patchEmit(prototype: object, { kit, pubSub }: Shared): void {
  kit.wrap(
    prototype,
    "emit",
    (original) =>
      function (this: EventEmitter, ...args: unknown[]): unknown {
        return pubSub.emit(this, args, original);
      },
  );
}

function patchPipeline(exports: ExportedClass, kit: Kit): void {
  const shared = sharedOf(kit);
  const { prototype } = exports.default;
  kit.wrap(
    prototype,
    "sendCommand",
    (original) =>
      function (this: Pipeline, command: Command): unknown {
        beginAutomatic(shared, this, command);
        return original.call(this, command);
      },
  );
  kit.wrap(
    prototype,
    "exec",
    (original) =>
      function (this: Pipeline, ...args: unknown[]): unknown {
        beginPipeline(shared, this);
        return Reflect.apply(original, this, args);
      },
  );
}

function patchDataHandler(exports: ExportedClass, kit: Kit): void {
  const { pubSub } = sharedOf(kit);
  kit.wrap(
    exports.default.prototype,
    "handleSubscriberReply",
    (original) =>
      function (this: DataHandler, reply: unknown): unknown {
        // This is all that connections without subscriptions notice, once a reply.
        if (!this.redis.condition?.subscriber || !Array.isArray(reply)) return original.call(this, reply);
        return pubSub.receive(this, reply, original);
      },
  );
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
      if (kit.owner.enabled) start(shared, redis, command, description);
      return description.role;
    }
    if (call !== null && call.self !== redis) nameNode(call, redis);
    if (isPipelined) return undefined;
    const { role } = redisCommand(command.name);
    return role !== undefined && !pubSub.isOurs(command) ? role : undefined;
  } catch (error) {
    kit.owner.disable("sending a command", error);
    return undefined;
  }
}

function start({ command: bound, pubSub }: Shared, redis: Redis, command: Command, description: RedisCommand): void {
  command[kCall] = null;
  const call =
    description.role === "publish"
      ? pubSub.beginPublish(redis, command)
      : beginOperation(bound, redis, command.args, description);
  if (call === undefined) return;
  command[kCall] = call;
  settleByMethods(call, command, "resolve", "reject");
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
    const state: BatchState = { carrier: undefined };
    if (first[kCall] === undefined) {
      if (queue.length === 1) start(shared, redis, first, redisCommand(first.name));
      else {
        const call = beginOperation(batch, redis, queue as Command[], state);
        if (call !== undefined) settleByMethods(call, pipeline, "resolve", "reject");
      }
    }
    pubSub.beforePipeline(pipeline, state.carrier);
  } catch (error) {
    kit.owner.disable("sending a pipeline", error);
  }
}

const commandOperation: Operation<unknown, RedisCommand> = {
  title: "ioredis command",
  kind: KIND_CLIENT,
  leaf: true,
  skip: ({ state, self, caller }) =>
    state.isSetUp && (self.status === "connect" || caller.span?.isRecording() !== true),
  start(span, call, capture) {
    const { state: command, self, args } = call;
    span.name = command.name;
    span.attributeBlock(command.block);
    span.attributeBlock(connectionOf(self).database);
    const procedure = command.isStoredProcedure ? scriptName(self, args[0]) : undefined;
    call.state = describeCall(span, command, args, capture, procedure);
  },
  finish(span, reply, call, capture) {
    describeReply(span, call.state, call.args, reply, capture);
  },
  fail: (span, error, call) => recordRedisFailure(span, error, call.state),
};

/** The name under which the application defined the script with this hash. */
function scriptName({ scriptsSet }: Redis, sha: unknown): string | undefined {
  for (const name in scriptsSet) if (scriptsSet[name]?.sha === sha) return name;
  return undefined;
}

/** UTF-16 units after which a batch's text ends. */
const MAX_BATCH_TEXT = 4096;

/** Its arguments are the commands of a pipeline; its result is the list of `[error, reply]` it resolves to. */
function batchOperation(pubSub: PubSub): Operation<unknown, BatchState> {
  return {
    title: "ioredis pipeline",
    kind: KIND_CLIENT,
    leaf: true,
    start(span, call, capture) {
      const queue = call.args as readonly Command[];
      let size = 0;
      let shared: string | undefined;
      let text = "";
      for (const { name, args } of queue) {
        const command = redisCommand(name);
        if (command.role === "multi" || command.role === "exec") continue;
        size++;
        if (size === 1) shared = command.name;
        else if (shared !== command.name) shared = undefined;
        if (text.length >= MAX_BATCH_TEXT) continue;
        text += `${text === "" ? "" : "; "}${queryText(command, args, capture)}`;
        if (text.length >= MAX_BATCH_TEXT) text += "; ...";
      }
      const kind = redisCommand(queue[0]?.name ?? "").role === "multi" ? "MULTI" : "PIPELINE";
      span.name = shared === undefined ? kind : `${kind} ${shared}`;
      span.attributeBlock(connectionOf(call.self).database);
      span.attribute(DB_OPERATION_NAME, span.name);
      // One command is no batch (semantic conventions, `db.operation.batch.size`).
      if (size !== 1) span.attribute(DB_OPERATION_BATCH_SIZE, size);
      if (text !== "") span.attribute(DB_QUERY_TEXT, text);
    },
    inject(call) {
      const queue = call.args as readonly Command[];
      if (queue.every(({ name }) => redisCommand(name).role !== "publish")) return;
      call.state.carrier = pubSub.carrierOf(call.context, call.self);
    },
    finish(span, results, call) {
      if (!Array.isArray(results)) return;
      const tally = new Tally();
      const queue = call.args as readonly Command[];
      let execError: unknown;
      results.forEach(([error, reply]: [unknown, unknown], index) => {
        const isExec = queue[index]?.name.toLowerCase() === "exec";
        if (isExec && error) execError = error;
        else if (isExec && Array.isArray(reply)) {
          reply.forEach((own, position) => {
            tally.add(queue[index - reply.length + position], own instanceof Error ? own : undefined, own);
          });
        } else tally.add(queue[index], error, reply);
      });
      if (tally.wanted > 0) addHits(span, tally.hits, tally.wanted);
      if (tally.failed > 0) span.attribute(TRACEKIT_DB_FAILED_COMMANDS, tally.failed);
      if (execError !== undefined) {
        if (tally.failed > 0) recordRedisException(span, tally.firstError, tally.firstFailed);
        recordRedisFailure(span, execError);
      } else if (tally.failed > 0 && tally.failed === results.length) {
        recordRedisFailure(span, tally.firstError, tally.firstFailed);
      } else if (tally.failed > 0) {
        const code = replyErrorCode(tally.firstError);
        if (code !== undefined) span.attribute(DB_RESPONSE_STATUS_CODE, code);
        recordRedisException(span, tally.firstError, tally.firstFailed);
      }
    },
    fail: (span, error) => recordRedisFailure(span, error),
  };
}

/** What the commands of a batch came to. */
class Tally {
  hits = 0;
  wanted = 0;
  failed = 0;
  firstError: unknown = undefined;
  firstFailed: RedisCommand | undefined = undefined;

  add(command: Command | undefined, error: unknown, reply: unknown): void {
    if (command === undefined) return;
    const description = redisCommand(command.name);
    if (error) {
      if (this.failed++ === 0) {
        this.firstError = error;
        this.firstFailed = description;
      }
      return;
    }
    const wanted = itemsWanted(description, command.args, reply);
    if (wanted === 0) return;
    this.wanted += wanted;
    this.hits += itemsFound(description, reply);
  }
}
