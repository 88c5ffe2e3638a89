import { channel as diagnosticsChannel } from "node:diagnostics_channel";
import { diag } from "../../src/diag/diag.ts";
import type { Kit } from "../../src/instrumentation/kit.ts";
import { beginOperation, type BoundOperation, type OperationCall } from "../../src/instrumentation/trace-operation.ts";
import { Delivery } from "../shared/emitted-messages.ts";
import { type Carrier, carrierOf, originOf } from "../shared/messaging.ts";
import type { RedisCommand, RedisText } from "../shared/redis-commands.ts";
import { redisCommand } from "../shared/redis-commands.ts";
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
import { companionOf, encodeContext, isCompanion, PendingContexts } from "../shared/redis-pub-sub.ts";
import type { ChannelListeners, CommandOptions, Link, Listener, PubSubState, Queue } from "./library.ts";
import { type Links, PROBE } from "./links.ts";

/*
 * Publishing and receiving messages, and the trace context that travels beside them (`shared/redis-pub-sub.ts`).
 *
 * Companion channels are subscriptions of the client like any other, with a listener that does nothing: the library counts,
 * renews and ends them with its own. The application gets no message of theirs and does not find them among its listeners.
 */

const TYPES: Readonly<Record<string, string>> = { message: "CHANNELS", pmessage: "PATTERNS", smessage: "SHARDED" };
/** What subscribing is called by its type; version 1 before 1.5 has the command's name for a type. */
const SUBSCRIBE: Readonly<Record<string, string>> = {
  CHANNELS: "SUBSCRIBE",
  PATTERNS: "PSUBSCRIBE",
  SHARDED: "SSUBSCRIBE",
};

/** Listens to companions: what they say is read before listeners are called. */
const ignore: Listener = () => {};

/** Others who watch messages are told by the library's own loop, which is then left to run. */
const received = diagnosticsChannel("node-redis:pubsub");

type AddCommand = (this: Queue, args: RedisText[], options?: CommandOptions) => Promise<unknown>;
type Subscribe = (channels: readonly string[], listener?: Listener, returnsBuffers?: boolean) => Promise<unknown>;
type Method = (...args: any[]) => any;

/** The messages of one process. */
export class PubSub {
  private readonly kit: Kit;
  private readonly links: Links;
  private readonly publish: BoundOperation<unknown, PublishState>;
  private readonly process: BoundOperation<unknown, ProcessState>;
  private readonly subscription: BoundOperation<unknown, RedisCommand>;
  private readonly pending = new WeakMap<Queue, PendingContexts>();
  private readonly queues = new WeakMap<PubSubState, Queue>();
  private readonly states = new WeakMap<Queue, WeakRef<PubSubState>>();
  /** The queue in whose call a subscription changes. */
  private current: Queue | undefined;
  /** The subscription that changes is one of ours. */
  isOurs = false;
  /** How clients subscribe. */
  client: Partial<Record<"SUBSCRIBE" | "PSUBSCRIBE" | "UNSUBSCRIBE" | "PUNSUBSCRIBE", Subscribe>> = {};

  constructor(kit: Kit, links: Links, subscription: BoundOperation<unknown, RedisCommand>) {
    this.kit = kit;
    this.links = links;
    const connectionOf = (queue: Queue) => links.connectionOf(queue);
    this.publish = kit.bind(
      publishOperation("redis publish", connectionOf, (context, queue: Queue) =>
        this.isEnabled ? carrierOf(kit, context, connectionOf(queue).host) : undefined,
      ),
    );
    this.process = kit.bind(processOperation("redis message", connectionOf));
    this.subscription = subscription;
  }

  private get isEnabled(): boolean {
    return this.kit.options.redisPubSubContext && this.kit.carriesContext;
  }

  /** Starts the span of a PUBLISH. `carrier` is for `sendContext`. */
  beginPublish(
    queue: Queue,
    args: RedisText[],
  ): { readonly call: OperationCall | undefined; readonly carrier: Carrier | undefined } {
    const state: PublishState = { carrier: undefined };
    const call = beginOperation(this.publish, queue, args, state);
    return { call, carrier: state.carrier };
  }

  /** Queues the context of a message, right before it. `args` are those of PUBLISH. */
  sendContext(
    queue: Queue,
    [channel, payload]: readonly RedisText[],
    carrier: Carrier,
    options: CommandOptions | undefined,
    addCommand: AddCommand,
  ): void {
    const link = this.links.get(queue);
    if (!this.isEnabled || link === undefined || link.inTransaction || link.refusesCompanions) return;
    // The queue would be full one command earlier.
    if (channel === undefined || payload === undefined || link.client.options?.commandsQueueMaxLength) return;
    const args = ["PUBLISH", companionOf(String(channel)), encodeContext(carrier, payload)];
    addCommand
      .call(queue, args, options?.asap === true ? { asap: true } : undefined)
      .catch((error: unknown) => onRefusal(link, error));
  }

  /** Runs a method of a queue, and learns which subscriptions are its. */
  inQueue(queue: Queue, original: Method, args: unknown[]): unknown {
    const outer = this.current;
    this.current = queue;
    try {
      return Reflect.apply(original, queue, args);
    } finally {
      this.current = outer;
    }
  }

  /** The application's subscription, and ours once it stands. */
  subscribed(queue: Queue, args: unknown[], returned: unknown): unknown {
    const traced = this.traceSubscription(queue, args, returned, "");
    const [type, channels] = args;
    if (!this.isEnabled || !(traced instanceof Promise) || typeof type !== "string") return traced;
    return traced.then((value: unknown) => {
      this.follow(queue, type, listOf(channels));
      return value;
    });
  }

  /** The span of a subscription that was sent. */
  traceSubscription(queue: Queue, args: unknown[], returned: unknown, prefix: "" | "UN"): unknown {
    if (!(returned instanceof Promise)) return returned;
    let call: OperationCall | undefined;
    try {
      const type = String(args[0]);
      const name = (SUBSCRIBE[type] ?? type).replace(/^([PS]?)(?:UN)?(SUBSCRIBE)$/, `$1${prefix}$2`);
      call = beginOperation(this.subscription, queue, listOf(args[1]), redisCommand(name));
    } catch (error) {
      this.kit.owner.disable("subscribing", error);
    }
    if (call === undefined) return returned;
    const { succeed, fail } = settledBy(call);
    return returned.then(succeed, fail);
  }

  /** Subscribes to the companions of channels the application listens to. */
  follow(queue: Queue, type: string, channels: readonly string[]): void {
    const link = this.links.get(queue);
    if (!this.kit.owner.enabled || link === undefined || link.refusesCompanions) return;
    if (type !== "CHANNELS" && type !== "PATTERNS") return;
    try {
      const names = channels.filter((channel) => !isCompanion(channel)).map(companionOf);
      if (names.length > 0) this.change(link, type === "CHANNELS" ? "SUBSCRIBE" : "PSUBSCRIBE", names);
    } catch (error) {
      this.kit.owner.disable("subscribing to a companion", error);
    }
  }

  /** Ours go first, so that the application's own is the one that ends subscriber mode. */
  unsubscribing(queue: Queue, [type, channels, listener, returnsBuffers]: unknown[]): void {
    const link = this.links.get(queue);
    // Without channels it is all of them, ours included.
    if (link === undefined || !channels || (type !== "CHANNELS" && type !== "PATTERNS")) return;
    try {
      const state = this.states.get(queue)?.deref();
      const listeners = state === undefined ? undefined : listenersOf(state, type);
      const names = listOf(channels)
        .filter((channel) => isLast(listeners?.get(channel), listener, returnsBuffers === true))
        .map(companionOf)
        .filter((name) => listeners?.has(name));
      if (names.length > 0) this.change(link, type === "CHANNELS" ? "UNSUBSCRIBE" : "PUNSUBSCRIBE", names);
    } catch (error) {
      this.kit.owner.disable("unsubscribing from a companion", error);
    }
  }

  private change(link: Link, method: keyof typeof this.client, names: readonly string[]): void {
    const change = this.client[method];
    if (change === undefined) return;
    this.isOurs = true;
    try {
      const listener = method.includes("UN") ? undefined : ignore;
      const returned: unknown = Reflect.apply(change, link.client, [names, listener, true]);
      if (returned instanceof Promise) returned.catch((error: unknown) => onRefusal(link, error));
    } finally {
      this.isOurs = false;
    }
  }

  /** Hands a reply to the library: a message inside its span, a companion's message not at all. */
  receive(
    state: PubSubState,
    queue: Queue,
    reply: readonly RedisText[],
    original: (reply: unknown) => unknown,
  ): unknown {
    let call: OperationCall | undefined;
    let listeners: ChannelListeners | undefined;
    let message: Message | undefined;
    try {
      message = messageOf(reply);
      if (message === undefined || message.channel === "__redis__:invalidate") return original.call(state, reply);
      const { pattern, channel, body } = message;
      if (isCompanion(channel)) {
        // A pattern of the application's that happens to match companions brings them a second time.
        const isOwn = pattern === undefined || isCompanion(pattern);
        if (isOwn) this.pendingOf(queue).put(subscriptionKey(pattern, channel), body);
        return true;
      }
      listeners = listenersOf(state, TYPES[String(reply[0])] as string)?.get(pattern ?? channel);
      const context = this.pending.get(queue)?.take(keyOf(message), body);
      if (listeners !== undefined) {
        const origin = originOf(this.kit, context?.carrier);
        call = beginOperation(this.process, queue, [], { ...message, publishedAt: context?.publishedAt, origin });
      }
    } catch (error) {
      this.kit.owner.disable("receiving a message", error);
    }
    if (call === undefined || listeners === undefined || message === undefined) return original.call(state, reply);
    const delivery = new Delivery(call);
    try {
      if (received.hasSubscribers) return this.kit.tracing.run(call.context, original, state, [reply]);
      return this.kit.tracing.run(call.context, deliver, undefined, [delivery, listeners, reply, message]);
    } catch (error) {
      call.fail(error);
      throw error;
    } finally {
      delivery.release();
    }
  }

  /** The queue of these subscriptions, once they have changed. */
  queueOf(state: PubSubState): Queue | undefined {
    return this.queues.get(state);
  }

  /** Called on each change. */
  noteState(state: PubSubState): void {
    const { current } = this;
    if (current === undefined || this.queues.has(state)) return;
    this.queues.set(state, current);
    this.states.set(current, new WeakRef(state));
  }

  private pendingOf(queue: Queue): PendingContexts {
    let pending = this.pending.get(queue);
    if (pending === undefined) this.pending.set(queue, (pending = new PendingContexts()));
    return pending;
  }
}

/** `prototype`: of clients. */
export function patchListeners(prototype: PubSub["client"], pubSub: PubSub, kit: Kit): void {
  pubSub.client = prototype;
  kit.wrap(
    prototype,
    "getPubSubListeners",
    (original) =>
      function (this: unknown, ...args: unknown[]): unknown {
        return withoutCompanions(Reflect.apply(original, this, args));
      },
  );
}

/** `prototype`: of queues. */
export function patchSubscriptions(prototype: object, pubSub: PubSub, links: Links, kit: Kit): void {
  kit.wrap(
    prototype,
    "subscribe",
    (original) =>
      function (this: Queue, ...args: unknown[]): unknown {
        const returned = pubSub.inQueue(this, original, args);
        return pubSub.isOurs ? returned : pubSub.subscribed(this, args, returned);
      },
  );
  kit.wrap(
    prototype,
    "unsubscribe",
    (original) =>
      function (this: Queue, ...args: unknown[]): unknown {
        if (args[1] === PROBE) return links.answer(this);
        if (pubSub.isOurs) return Reflect.apply(original, this, args);
        pubSub.unsubscribing(this, args);
        return pubSub.traceSubscription(this, args, pubSub.inQueue(this, original, args), "UN");
      },
  );
  // A cluster moves listeners from one connection to another.
  for (const method of ["extendPubSubChannelListeners", "extendPubSubListeners"]) {
    kit.wrap(
      prototype,
      method,
      (original) =>
        function (this: Queue, ...args: unknown[]): unknown {
          const returned = pubSub.inQueue(this, original, args);
          if (!(returned instanceof Promise)) return returned;
          const channels = args[1] instanceof Map ? [...(args[1].keys() as Iterable<string>)] : [String(args[1])];
          return returned.then((value: unknown) => {
            pubSub.follow(this, String(args[0]), channels);
            return value;
          });
        },
    );
  }
  kit.wrap(
    prototype,
    "resubscribe",
    (original) =>
      function (this: Queue, ...args: unknown[]): unknown {
        return pubSub.inQueue(this, original, args);
      },
  );
}

/** `prototype`: of the library's own state of subscriptions. */
export function patchMessages(prototype: object, pubSub: PubSub, kit: Kit): void {
  for (const method of ["subscribe", "extendChannelListeners", "extendTypeListeners", "resubscribe"]) {
    kit.wrap(
      prototype,
      method,
      (original) =>
        function (this: PubSubState, ...args: unknown[]): unknown {
          pubSub.noteState(this);
          return Reflect.apply(original, this, args);
        },
    );
  }
  kit.wrap(
    prototype,
    "handleMessageReply",
    (original) =>
      function (this: PubSubState, reply: readonly RedisText[]): unknown {
        const queue = kit.owner.enabled ? pubSub.queueOf(this) : undefined;
        return queue === undefined ? original.call(this, reply) : pubSub.receive(this, queue, reply, original);
      },
  );
}

/** Calls the listeners as the library does, but sees what they return. */
function deliver(
  delivery: Delivery,
  { buffers, strings }: ChannelListeners,
  reply: readonly RedisText[],
  { pattern, channel, body }: Message,
): boolean {
  const bytes = reply[pattern === undefined ? 1 : 2] as RedisText;
  for (const listener of buffers) delivery.watch(listener as () => unknown, listener(body, bytes));
  if (strings.size === 0) return true;
  const text = body.toString();
  for (const listener of strings) delivery.watch(listener as () => unknown, listener(text, channel));
  return true;
}

function settledBy(call: OperationCall): { succeed(value: unknown): unknown; fail(error: unknown): never } {
  return {
    succeed(value) {
      call.succeed(value);
      return value;
    },
    fail(error) {
      call.fail(error);
      throw error;
    },
  };
}

let saidRefused = false;

function onRefusal(link: Link, error: unknown): void {
  if (!/^(?:NOPERM|ERR)\b/.test(String((error as Error | undefined)?.message))) return;
  link.refusesCompanions = true;
  if (saidRefused) return;
  saidRefused = true;
  diag.debug(`redis: trace context does not travel with messages, the server refuses it: ${String(error)}`);
}

function listOf(channels: unknown): string[] {
  if (channels === undefined || channels === null) return [];
  return Array.isArray(channels) ? channels.map(String) : [String(channels)];
}

function listenersOf(state: PubSubState, type: string): ReadonlyMap<string, ChannelListeners> | undefined {
  return state.listeners === undefined ? state.getTypeListeners?.(type) : state.listeners[type];
}

/** Is `listener` (or without one, whoever listens) the last? As the library decides it. */
function isLast(channel: ChannelListeners | undefined, listener: unknown, returnsBuffers: boolean): boolean {
  if (channel === undefined || listener === undefined || listener === null) return true;
  const { buffers, strings } = channel;
  const [own, others] = returnsBuffers ? [buffers, strings] : [strings, buffers];
  return others.size === 0 && (own.has(listener as Listener) ? own.size - 1 : own.size) === 0;
}

function withoutCompanions(listeners: unknown): unknown {
  if (!(listeners instanceof Map)) return listeners;
  const channels = [...(listeners as Map<string, unknown>)];
  const own = channels.filter(([channel]) => !isCompanion(channel));
  return own.length === channels.length ? listeners : new Map(own);
}
