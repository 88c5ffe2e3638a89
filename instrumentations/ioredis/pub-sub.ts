import type { EventEmitter } from "node:events";
import { diag } from "../../src/diag/diag.ts";
import type { Kit } from "../../src/instrumentation/kit.ts";
import { beginOperation, type BoundOperation, type OperationCall } from "../../src/instrumentation/trace-operation.ts";
import type { TraceContext } from "../../src/trace/context.ts";
import { Delivery, emitDelivery } from "../shared/emitted-messages.ts";
import { type Carrier, carrierOf, originOf } from "../shared/messaging.ts";
import { type CommandRole, type RedisText, redisCommand } from "../shared/redis-commands.ts";
import {
  keyOf,
  type Message,
  messageOf,
  processOperation,
  type ProcessState,
  publishOperation,
  type PublishState,
  subscriptionKey,
} from "../shared/redis-messages.ts";
import {
  companionOf,
  encodeContext,
  isCompanion,
  type MessageContext,
  PendingContexts,
} from "../shared/redis-pub-sub.ts";
import {
  type Command,
  type CommandClass,
  connectionOf,
  type DataHandler,
  kCall,
  type Pipeline,
  type Redis,
} from "./library.ts";

/*
 * Publishing and receiving messages, and the trace context that travels beside them (`shared/redis-pub-sub.ts`).
 *
 * What the application sees stays the same: its commands keep their replies (PUBLISH its receivers, SUBSCRIBE its count
 * without ours), messages are neither delayed nor reordered nor changed, errors of our commands are ours alone. What others
 * see: companion channels in `PUBSUB CHANNELS`, one more small PUBLISH a message, and in processes without Tracekit whose
 * pattern starts and ends with "*", messages on companion channels.
 */

/** Channels, or patterns. */
type Kind = "SUBSCRIBE" | "PSUBSCRIBE";

/** What one client listens to besides what its application does. */
interface Companions {
  /** Companions of all the application is subscribed to, or wants to be. */
  readonly wanted: Readonly<Record<Kind, Set<string>>>;
  /** Confirmed by the server on this connection: what its counts include. */
  readonly active: Readonly<Record<Kind, Set<string>>>;
  condition: unknown;
  readonly pending: PendingContexts;
}

const MESSAGE_EVENTS = new Set([
  "message",
  "messageBuffer",
  "pmessage",
  "pmessageBuffer",
  "smessage",
  "smessageBuffer",
]);

/** The messages of one process. */
export class PubSub {
  private readonly kit: Kit;
  private readonly publish: BoundOperation<unknown, PublishState>;
  private readonly process: BoundOperation<unknown, ProcessState>;
  /** Contexts of PUBLISH commands that have not reached a connection yet. */
  private readonly carriers = new WeakMap<Command, Carrier>();
  private readonly companions = new WeakMap<Redis, Companions>();
  /** Clients whose server refuses companions. */
  private readonly refused = new WeakSet<Redis>();
  /** Connections between MULTI and EXEC: a command of ours would appear in the results. */
  private readonly transactions = new WeakSet<Redis>();
  private readonly ours = new WeakSet<Command>();
  /** Subscriptions of the application that have been through here. */
  private readonly prepared = new WeakSet<Command>();
  /** The message whose listeners are running. */
  private delivery: Delivery | undefined;

  constructor(kit: Kit) {
    this.kit = kit;
    this.publish = kit.bind(
      publishOperation("ioredis publish", connectionOf, (context, redis: Redis) => this.carrierOf(context, redis)),
    );
    this.process = kit.bind(processOperation("ioredis message", connectionOf));
  }

  private get isEnabled(): boolean {
    return this.kit.options.redisPubSubContext && this.kit.carriesContext;
  }

  /** Starts the span of a PUBLISH. */
  beginPublish(redis: Redis, command: Command): OperationCall | undefined {
    const state: PublishState = { carrier: undefined };
    const call = beginOperation(this.publish, redis, command.args, state);
    if (state.carrier !== undefined && command.name.toLowerCase() === "publish")
      this.carriers.set(command, state.carrier);
    return call;
  }

  /** Sends a command that has a role here (`send` does), and what of ours goes with it. */
  send(redis: Redis, command: Command, role: CommandRole, send: () => unknown): unknown {
    switch (role) {
      case "multi":
        this.transactions.add(redis);
        return send();
      case "exec":
        this.transactions.delete(redis);
        return send();
      case "publish":
        return this.sendPublish(redis, command, send);
      default:
        // Not again when it comes back from the offline queue, or after a reconnect.
        if (!this.prepared.has(command)) {
          this.prepared.add(command);
          this.safely("a subscription", () => this.prepareSubscription(redis, command));
        }
        return send();
    }
  }

  /** The contexts of the messages in a pipeline go out before it. `carrier` is for those without a span of their own. */
  beforePipeline({ redis, _queue }: Pipeline, carrier: Carrier | undefined): void {
    if (redis.isCluster === true || this.transactions.has(redis)) return;
    for (const command of _queue) {
      const { role, name } = redisCommand(command.name);
      if (name === "PUBLISH") {
        const own = this.carriers.get(command) ?? (this.isEnabled ? carrier : undefined);
        if (own !== undefined) this.sendContext(redis, command, own);
      } else if (role === "subscribe" || role === "unsubscribe") this.prepareSubscription(redis, command);
    }
  }

  /** What a message published under `context` carries; undefined when contexts do not travel. */
  carrierOf(context: TraceContext, redis: Redis): Carrier | undefined {
    return this.isEnabled ? carrierOf(this.kit, context, connectionOf(redis).host) : undefined;
  }

  /** True for what is sent from here. */
  isOurs(command: Command): boolean {
    return this.ours.has(command);
  }

  /** Hands a reply of a subscribed connection to the library: a message inside its span, a companion's message not at all. */
  receive(handler: DataHandler, reply: readonly RedisText[], original: (reply: unknown) => unknown): unknown {
    const { redis } = handler;
    const message = messageOf(reply);
    if (message === undefined) return Reflect.apply(original, handler, [reply]);
    const { pattern, channel, body } = message;
    const companions = this.companions.get(redis);
    if (isCompanion(channel)) {
      // A pattern that matches companions by accident brings each context a second time.
      const isOwn = pattern === undefined || isCompanion(pattern);
      if (isOwn) companions?.pending.put(subscriptionKey(pattern, channel), body);
      return true;
    }
    const context = companions?.pending.take(keyOf(message), body);
    const call = hasListeners(redis, reply) ? this.beginProcess(redis, message, context) : undefined;
    if (call === undefined) return Reflect.apply(original, handler, [reply]);
    const outer = this.delivery;
    const delivery = (this.delivery = new Delivery(call));
    try {
      return this.kit.tracing.run(call.context, original, handler, [reply]);
    } catch (error) {
      call.fail(error);
      throw error;
    } finally {
      this.delivery = outer;
      delivery.release();
    }
  }

  /** Emits a message's event as Node does, but sees the promises of async listeners: their span lasts until they are done. */
  emit(emitter: EventEmitter, args: readonly unknown[], original: (...args: any[]) => unknown): unknown {
    const { delivery } = this;
    return delivery === undefined || !MESSAGE_EVENTS.has(args[0] as string)
      ? Reflect.apply(original, emitter, args)
      : emitDelivery(emitter, args, original, delivery);
  }

  private beginProcess(
    redis: Redis,
    message: Message,
    context: MessageContext | undefined,
  ): OperationCall<ProcessState> | undefined {
    const origin = originOf(this.kit, context?.carrier);
    return beginOperation(this.process, redis, [], { ...message, publishedAt: context?.publishedAt, origin });
  }

  private sendPublish(redis: Redis, command: Command, send: () => unknown): unknown {
    const carrier = this.carriers.get(command);
    if (carrier === undefined || this.transactions.has(redis)) return send();
    this.carriers.delete(command);
    const { stream } = redis;
    // One write for both: the message costs no further system call, and no other publisher comes in between.
    stream?.cork?.();
    try {
      this.safely("sending a message's context", () => this.sendContext(redis, command, carrier));
      return send();
    } finally {
      stream?.uncork?.();
    }
  }

  private sendContext(redis: Redis, command: Command, carrier: Carrier): void {
    const [channel, payload] = command.args;
    if (channel === undefined || payload === undefined || this.refused.has(redis)) return;
    this.sendOurs(redis, command, "publish", [companionOf(String(channel)), encodeContext(carrier, payload)]);
  }

  private prepareSubscription(redis: Redis, command: Command): void {
    switch (command.name.toUpperCase()) {
      case "SUBSCRIBE":
        return this.prepareSubscribe(redis, command, "SUBSCRIBE");
      case "PSUBSCRIBE":
        return this.prepareSubscribe(redis, command, "PSUBSCRIBE");
      case "UNSUBSCRIBE":
        return this.prepareUnsubscribe(redis, command, "SUBSCRIBE");
      case "PUNSUBSCRIBE":
        return this.prepareUnsubscribe(redis, command, "PSUBSCRIBE");
    }
  }

  private prepareSubscribe(redis: Redis, command: Command, kind: Kind): void {
    // After a reconnect the library subscribes to all it knows, in one command: were ours refused now, so would be the rest.
    const channels = command.args.filter((channel) => !isCompanion(String(channel)));
    if (channels.length === 0) return;
    if (channels.length < command.args.length) command.args = channels;
    const companions = this.companionsOf(redis);
    const wanted = companions.wanted[kind];
    const names = channels.map((channel) => companionOf(String(channel)));
    for (const name of names) wanted.add(name);
    const { resolve, reject } = command;
    const onReply = (count: unknown): unknown => {
      const returned = resolve.call(command, ownCount(redis, companions, count));
      // Not before: alone, ours would make a subscriber of a connection whose own subscription was refused. The application
      // may have changed its mind meanwhile.
      this.safely("a companion's subscription", () => {
        this.subscribeCompanions(
          redis,
          command,
          kind,
          companions,
          names.filter((name) => wanted.has(name)),
        );
      });
      return returned;
    };
    const onError = (error: unknown): unknown => {
      for (const name of names) wanted.delete(name);
      return reject.call(command, error);
    };
    command.resolve = onReply;
    command.reject = onError;
  }

  private subscribeCompanions(
    redis: Redis,
    cause: Command,
    kind: Kind,
    companions: Companions,
    names: readonly string[],
  ): void {
    if (names.length === 0 || !this.isEnabled || !this.kit.owner.enabled || this.refused.has(redis)) return;
    this.sendOurs(redis, cause, kind.toLowerCase(), names, (error) => {
      const active = activeOf(redis, companions)[kind];
      for (const name of names) {
        if (error === undefined) active.add(name);
        else companions.wanted[kind].delete(name);
      }
    });
  }

  private prepareUnsubscribe(redis: Redis, command: Command, kind: Kind): void {
    const companions = this.companions.get(redis);
    if (companions === undefined) return;
    const wanted = companions.wanted[kind];
    // Without channels it unsubscribes from all, ours included.
    const isAll = command.args.length === 0;
    const { resolve } = command;
    const onReply = (count: unknown): unknown => {
      if (isAll) activeOf(redis, companions)[kind].clear();
      return resolve.call(command, ownCount(redis, companions, count));
    };
    command.resolve = onReply;
    if (isAll) return wanted.clear();
    // Ours go first, so that the application's own is the one that leaves subscriber mode.
    const names = command.args.map((channel) => companionOf(String(channel))).filter((name) => wanted.delete(name));
    if (names.length === 0) return;
    this.sendOurs(redis, command, command.name.toLowerCase(), names, () => {
      for (const name of names) activeOf(redis, companions)[kind].delete(name);
    });
  }

  /** `onEnd` gets undefined or the error. Nobody else learns of either. */
  private sendOurs(
    redis: Redis,
    cause: Command,
    name: string,
    args: readonly RedisText[],
    onEnd?: (error: unknown) => void,
  ): void {
    const CommandOfLibrary = cause.constructor as CommandClass;
    const command = new CommandOfLibrary(name, args, {}, () => {
      // With a callback the promise's rejection is handled.
    });
    const { resolve, reject } = command;
    // Where the library settles it, not a microtask later: the application's own reply may be the next one.
    const onReply = (reply: unknown): unknown => {
      this.safely("a reply to us", () => onEnd?.(undefined));
      return resolve.call(command, reply);
    };
    const onError = (error: unknown): unknown => {
      this.safely("a refusal", () => {
        this.onFailure(redis, error);
        onEnd?.(error);
      });
      return reject.call(command, error);
    };
    command.resolve = onReply;
    command.reject = onError;
    command[kCall] = null;
    this.ours.add(command);
    redis.sendCommand(command);
  }

  private onFailure(redis: Redis, error: unknown): void {
    if (!/^(?:NOPERM|ERR)\b/.test(String((error as Error).message))) return;
    this.refused.add(redis);
    if (saidRefused) return;
    saidRefused = true;
    diag.debug(`ioredis: trace context does not travel with messages, the server refuses it: ${String(error)}`);
  }

  private companionsOf(redis: Redis): Companions {
    let companions = this.companions.get(redis);
    if (companions === undefined) {
      companions = {
        wanted: { SUBSCRIBE: new Set(), PSUBSCRIBE: new Set() },
        active: { SUBSCRIBE: new Set(), PSUBSCRIBE: new Set() },
        condition: undefined,
        pending: new PendingContexts(),
      };
      this.companions.set(redis, companions);
    }
    return companions;
  }

  private safely(during: string, step: () => void): void {
    try {
      step();
    } catch (error) {
      this.kit.owner.disable(during, error);
    }
  }
}

let saidRefused = false;

/** What the application is to be told: its own subscriptions, not ours. */
function ownCount(redis: Redis, companions: Companions, count: unknown): unknown {
  const { SUBSCRIBE, PSUBSCRIBE } = activeOf(redis, companions);
  const own = Math.max(0, Number(count) - SUBSCRIBE.size - PSUBSCRIBE.size);
  return typeof count === "string" ? String(own) : own;
}

/** What the server counts on the connection of now. */
function activeOf(redis: Redis, companions: Companions): Companions["active"] {
  if (companions.condition !== redis.condition) {
    companions.condition = redis.condition;
    companions.active.SUBSCRIBE.clear();
    companions.active.PSUBSCRIBE.clear();
  }
  return companions.active;
}

function hasListeners(redis: Redis, reply: readonly RedisText[]): boolean {
  const event = String(reply[0]);
  return redis.listenerCount(event) > 0 || redis.listenerCount(`${event}Buffer`) > 0;
}
