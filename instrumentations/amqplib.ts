import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import type { Operation, OperationSpan } from "../src/instrumentation/operation.ts";
import {
  beginOperation,
  type BoundOperation,
  type OperationCall,
  recordFailure,
} from "../src/instrumentation/trace-operation.ts";
import {
  MESSAGING_DESTINATION_ANONYMOUS,
  MESSAGING_MESSAGE_CONVERSATION_ID,
  MESSAGING_RABBITMQ_DESTINATION_ROUTING_KEY,
  MESSAGING_RABBITMQ_MESSAGE_DELIVERY_TAG,
  MESSAGING_SYSTEM,
  SERVER_ADDRESS,
  SERVER_PORT,
  TRACEKIT_MESSAGING_OUTCOME,
} from "../src/semconv/attributes.ts";
import type { Capture } from "../src/capture/capture.ts";
import { AttributeBlock } from "../src/trace/attributes.ts";
import { now } from "../src/trace/clock.ts";
import { ROOT_CONTEXT, type TraceContext } from "../src/trace/context.ts";
import { KIND_CLIENT, KIND_CONSUMER, KIND_PRODUCER } from "../src/trace/span-kind.ts";
import {
  type Carrier,
  carrierOf,
  describeDelivery,
  describeDestination,
  describeMessage,
  endWithHandler,
  type Headers,
  type MessagingOperation,
  type Origin,
  originOf,
  PROCESS,
  publishedAtOf,
  RECEIVE,
  runHandler,
  SEND,
} from "./shared/messaging.ts";

/*
 * amqplib: a published message, a processed one, one fetched with `get`; promise and callback API alike.
 *
 * - Context travels in message headers, and with it the time of publishing. They are written where the library has made its own
 *   copy of the application's headers.
 * - A publish on a confirm channel lasts until the broker confirms it; on any other channel, until it is handed to the socket:
 *   whether the broker took it is not known. A mandatory message that comes back has failed on a confirm channel only.
 * - The span of a consumed message lasts as long as its handler: until the promise it returns settles. A handler that returns
 *   anything else is done when it has returned and the message is acknowledged or rejected; if that takes longer than a
 *   minute, or never happens, the span ends with the handler's return.
 * - A message rejected or requeued is a failed span, if that happens before the span's end.
 * - The delivery attempt counts what the broker tells: `x-delivery-count` of quorum queues, dead-lettering from this queue, else
 *   only whether it is a redelivery.
 * - A server-named queue (`amq.gen-…`) is "(anonymous)" in a span's name.
 * - `get` of an empty queue is a span only inside a trace: applications poll.
 */

const VERSIONS = ">=0.5.5 <3";

const amqplib: Instrumentation = defineInstrumentation({
  name: "amqplib",
  modules: [
    { name: "amqplib", versions: VERSIONS, file: "lib/connect.js", patch: patchConnect },
    { name: "amqplib", versions: VERSIONS, file: "lib/channel.js", patch: patchChannel },
    { name: "amqplib", versions: VERSIONS, file: "lib/channel_model.js", patch: patchModel },
    { name: "amqplib", versions: VERSIONS, file: "lib/callback_model.js", patch: patchModel },
  ],
});
export default amqplib;

/** Class and method of AMQP 0-9-1 frames, as the library numbers them (`class << 16 | method`). */
const CHANNEL_CLOSE = (20 << 16) | 40;
const BASIC_RETURN = (60 << 16) | 50;
const BASIC_ACK = (60 << 16) | 80;
const BASIC_REJECT = (60 << 16) | 90;
const BASIC_NACK = (60 << 16) | 120;

/** A handler that has returned may acknowledge for this long. */
const MAX_UNSETTLED_MILLIS = 60_000;
/** Of one channel: with neither a prefetch limit nor acknowledgements there would be no end to them. */
const MAX_UNSETTLED = 1000;

// As much of the library as is relied on here (0.5 to 2.x).

interface Channel {
  readonly connection: object;
  /** The least unconfirmed delivery tag, and what is to be called for it and the following ones. */
  readonly lwm: number;
  readonly unconfirmed: readonly unknown[];
}

interface Frame {
  readonly id: number | undefined;
  readonly fields: Fields;
}

interface Fields {
  readonly deliveryTag: number;
  readonly multiple?: boolean;
  readonly requeue?: boolean;
  readonly redelivered?: boolean;
  readonly exchange?: string;
  readonly routingKey?: string;
  readonly replyCode?: number;
  readonly replyText?: string;
}

interface Message {
  readonly fields: Fields;
  readonly properties: Properties;
  readonly content: Uint8Array;
}

interface Properties {
  readonly headers?: Headers;
  readonly messageId?: unknown;
  readonly correlationId?: unknown;
  readonly timestamp?: unknown;
}

type AnyFunction = (...args: any[]) => any;

/** What the files of one amqplib need together. */
interface Shared {
  readonly kit: Kit;
  readonly publish: BoundOperation<unknown, Publish>;
  readonly process: BoundOperation<unknown, Delivery>;
  readonly receive: BoundOperation<unknown, Delivery>;
  readonly channels: WeakMap<Channel, ChannelState>;
  /** Channels whose handlers have returned without acknowledging. */
  readonly unsettled: Set<ChannelState>;
  /** The publish that is being made: the library copies its headers meanwhile. */
  publishing: Publish | undefined;
}

/** What is open on a channel, by delivery tag, lowest first. */
interface ChannelState {
  readonly publishes: Map<number, OperationCall<Publish>>;
  readonly deliveries: Map<number, OperationCall<Delivery>>;
}

interface Publish {
  carrier: Carrier | undefined;
  isReturned: boolean;
}

type Outcome = "ack" | "reject" | "requeue";

interface Delivery {
  /** Until the span has been described: an open span does not keep it alive. Undefined for an empty queue, too. */
  message: Message | undefined;
  readonly queue: string;
  readonly origin: Origin;
  /** Where it is to be taken from when the call is over; undefined when nothing is to be acknowledged. */
  readonly channel: ChannelState | undefined;
  readonly tag: number;
  outcome: Outcome | undefined;
  /** When the handler returned, on the clock of `trace/clock.ts`. */
  returnedAt: number | undefined;
}

const sharedByKit = new WeakMap<Kit, Shared>();

function sharedOf(kit: Kit): Shared {
  let shared = sharedByKit.get(kit);
  if (shared === undefined) {
    shared = {
      kit,
      publish: kit.bind(publishOperation(kit)),
      process: kit.bind(processOperation),
      receive: kit.bind(receiveOperation),
      channels: new WeakMap(),
      unsettled: new Set(),
      publishing: undefined,
    };
    sharedByKit.set(kit, shared);
  }
  return shared;
}

// Patches.

interface Broker {
  readonly host: string | undefined;
  readonly block: AttributeBlock;
}

const UNKNOWN_BROKER: Broker = { host: undefined, block: new AttributeBlock({ [MESSAGING_SYSTEM]: "rabbitmq" }) };
const brokers = new WeakMap<object, Broker>();

function brokerOf({ connection }: Channel): Broker {
  return brokers.get(connection) ?? UNKNOWN_BROKER;
}

function patchConnect(exports: object, kit: Kit): void {
  kit.wrap(
    exports,
    "connect",
    (original) =>
      function (this: unknown, url: unknown, options: unknown, done: AnyFunction): unknown {
        return original.call(this, url, options, (...results: unknown[]) => {
          kit.owner.safely("a connection", () => {
            if (results[1] !== undefined) brokers.set(results[1] as object, describeBroker(url));
          });
          return Reflect.apply(done, undefined, results);
        });
      },
  );
}

function patchChannel(exports: { readonly Channel: { readonly prototype: object } }, kit: Kit): void {
  const shared = sharedOf(kit);
  const { prototype } = exports.Channel;
  kit.wrap(
    prototype,
    "sendMessage",
    (original) =>
      function (this: Channel, fields: unknown, properties: { headers?: object }, content: unknown): unknown {
        if (shared.publishing !== undefined) kit.owner.safely("headers", () => addHeaders(shared, properties));
        return original.call(this, fields, properties, content);
      },
  );
  kit.wrap(
    prototype,
    "sendImmediately",
    (original) =>
      function (this: Channel, method: number, fields: Fields): unknown {
        const result: unknown = original.call(this, method, fields);
        if (method === BASIC_ACK || method === BASIC_NACK || method === BASIC_REJECT) {
          kit.owner.safely("an acknowledgement", () => onSettled(shared, this, method, fields));
        }
        return result;
      },
  );
  kit.wrap(
    prototype,
    "accept",
    (original) =>
      function (this: Channel, frame: Frame): unknown {
        const { id } = frame;
        if (id === BASIC_ACK || id === BASIC_NACK || id === BASIC_RETURN || id === CHANNEL_CLOSE) {
          kit.owner.safely("a confirmation", () => onConfirmation(shared, this, id, frame.fields));
        }
        return original.call(this, frame);
      },
  );
  kit.wrap(
    prototype,
    "toClosed",
    (original) =>
      function (this: Channel, ...args: unknown[]): unknown {
        kit.owner.safely("a closing channel", () => onClosed(shared, this));
        return Reflect.apply(original, this, args);
      },
  );
}

interface Model {
  readonly Channel: { readonly prototype: object };
  readonly ConfirmChannel: { readonly prototype: object };
}

/** Both APIs: they differ in where callbacks are. */
function patchModel({ Channel, ConfirmChannel }: Model, kit: Kit): void {
  const shared = sharedOf(kit);
  for (const [{ prototype }, isConfirmed] of [
    [Channel, false],
    [ConfirmChannel, true],
  ] as const) {
    kit.wrap(
      prototype,
      "publish",
      (original) =>
        function (this: Channel, ...args: unknown[]): unknown {
          // A confirm channel's calls the other one's.
          if (shared.publishing !== undefined) return Reflect.apply(original, this, args);
          return publish(shared, this, args, original, isConfirmed);
        },
    );
  }
  kit.wrap(
    Channel.prototype,
    "consume",
    (original) =>
      function (this: Channel, ...args: any[]): unknown {
        const [queue, handler, options] = args;
        if (typeof handler === "function" && kit.owner.enabled) {
          kit.owner.safely("a consumer", () => {
            args[1] = consumer(shared, this, textOf(queue), options?.noAck === true, handler);
          });
        }
        return Reflect.apply(original, this, args);
      },
  );
  kit.wrap(
    Channel.prototype,
    "get",
    (original) =>
      function (this: Channel, ...args: any[]): unknown {
        return get(shared, this, args, original);
      },
  );
}

// Publishing.

function publish(shared: Shared, channel: Channel, args: any[], original: AnyFunction, isConfirmed: boolean): unknown {
  const state: Publish = { carrier: undefined, isReturned: false };
  const call = beginOperation(shared.publish, channel, args, state);
  if (call === undefined && state.carrier === undefined) return Reflect.apply(original, channel, args);
  // The broker numbers a channel's messages, and tells the library no more than that.
  const tag = channel.lwm + channel.unconfirmed?.length;
  const callback: unknown = args[4];
  if (call !== undefined && isConfirmed && typeof callback === "function") {
    const inCaller = (...results: unknown[]): unknown => call.runInCaller(callback as AnyFunction, undefined, results);
    args[4] = inCaller;
  }
  shared.publishing = state;
  let result: unknown;
  try {
    result = Reflect.apply(original, channel, args);
  } catch (error) {
    call?.fail(error);
    throw error;
  } finally {
    shared.publishing = undefined;
  }
  if (call === undefined) return result;
  if (isConfirmed) stateOf(shared, channel).publishes.set(tag, call);
  else call.succeed();
  return result;
}

/** The object is the library's, with the application's headers as its prototype; both are sent. */
function addHeaders({ publishing }: Shared, { headers }: { headers?: object }): void {
  const carrier = publishing?.carrier;
  if (carrier === undefined || typeof headers !== "object" || headers === null) return;
  // Not by assignment: the application's headers may be frozen.
  for (const key in carrier) {
    Object.defineProperty(headers, key, {
      value: carrier[key],
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
}

function onConfirmation(shared: Shared, channel: Channel, id: number, fields: Fields): void {
  const publishes = shared.channels.get(channel)?.publishes;
  if (publishes === undefined || publishes.size === 0) return;
  if (id === CHANNEL_CLOSE) {
    const { replyCode, replyText } = fields;
    const failure = { name: "Error", code: String(replyCode), message: `Channel closed by server: ${replyText}` };
    for (const call of publishes.values()) call.fail(failure);
    publishes.clear();
    return;
  }
  if (id === BASIC_RETURN) {
    // It comes right before its acknowledgement, without a number.
    for (const { state, args } of publishes.values()) {
      const [exchange, routingKey, , options] = args;
      if (state.isReturned || exchange !== fields.exchange || routingKey !== fields.routingKey) continue;
      if (options?.mandatory !== true) continue;
      state.isReturned = true;
      return;
    }
    return;
  }
  for (const call of take(publishes, fields)) {
    if (id === BASIC_NACK) call.fail({ name: "Error", code: "nack", message: "message nacked" });
    else if (call.state.isReturned) call.fail({ name: "Error", code: "NO_ROUTE", message: "message returned" });
    else call.succeed();
  }
}

function publishOperation(kit: Kit): Operation<unknown, Publish> {
  return {
    title: "amqplib publish",
    kind: KIND_PRODUCER,
    leaf: true,
    start(span, call, capture) {
      const [exchange, routingKey, content, options] = call.args;
      const { messageId, correlationId } = (options ?? {}) as Properties;
      describeRoute(span, SEND, textOf(exchange), textOf(routingKey), undefined, capture);
      span.attributeBlock(brokerOf(call.self).block);
      if (correlationId !== undefined)
        span.attribute(MESSAGING_MESSAGE_CONVERSATION_ID, capture.text(textOf(correlationId)));
      describeMessage(span, textOf(messageId), content instanceof Uint8Array ? content : undefined, capture);
    },
    inject(call) {
      call.state.carrier = carrierOf(kit, call.context, brokerOf(call.self).host, true);
    },
    fail: recordBrokerError,
  };
}

// Consuming.

function consumer(shared: Shared, channel: Channel, queue: string, noAck: boolean, handler: AnyFunction): AnyFunction {
  return function (this: unknown, ...args: any[]): unknown {
    const message = args[0] as Message | null;
    const call =
      message === null ? undefined : beginDelivery(shared, channel, queue, noAck ? undefined : channel, message);
    return runHandler(shared.kit, call, handler, this, args, noAck ? endWithHandler : onReturn(shared));
  };
}

function beginDelivery(
  shared: Shared,
  channel: Channel,
  queue: string,
  acknowledgedOn: Channel | undefined,
  message: Message,
): OperationCall<Delivery> | undefined {
  const state: Delivery = {
    message,
    queue,
    origin: originOf(shared.kit, message.properties.headers),
    channel: acknowledgedOn === undefined ? undefined : stateOf(shared, acknowledgedOn),
    tag: message.fields.deliveryTag,
    outcome: undefined,
    returnedAt: undefined,
  };
  const call = beginOperation(shared.process, channel, [], state);
  state.message = undefined;
  if (call?.recording === true) state.channel?.deliveries.set(state.tag, call);
  return call;
}

const onReturns = new WeakMap<Shared, (call: OperationCall, result: unknown) => unknown>();

/** How a delivery that is to be acknowledged ends: one function for all of them. */
function onReturn(shared: Shared): (call: OperationCall, result: unknown) => unknown {
  let end = onReturns.get(shared);
  if (end === undefined) {
    end = (call: OperationCall<Delivery>, result) => {
      const { state, recording } = call;
      if (result instanceof Promise || state.outcome !== undefined || !recording) return endWithHandler(call, result);
      state.returnedAt = now();
      const channel = state.channel as ChannelState;
      // The oldest first: its number is the lowest.
      if (channel.deliveries.size > MAX_UNSETTLED) {
        for (const oldest of channel.deliveries.values()) {
          if (oldest.state.returnedAt === undefined) continue;
          endUnsettled(oldest);
          break;
        }
      }
      watch(shared, channel);
      return result;
    };
    onReturns.set(shared, end);
  }
  return end;
}

function onSettled(shared: Shared, channel: Channel, method: number, fields: Fields): void {
  const deliveries = shared.channels.get(channel)?.deliveries;
  if (deliveries === undefined) return;
  const outcome = method === BASIC_ACK ? "ack" : fields.requeue === true ? "requeue" : "reject";
  for (const call of take(deliveries, fields)) {
    call.state.outcome = outcome;
    // Else its handler is still running: the span lasts as long.
    if (call.state.returnedAt !== undefined) call.succeed();
  }
}

function onClosed(shared: Shared, channel: Channel): void {
  const state = shared.channels.get(channel);
  if (state === undefined) return;
  for (const call of state.publishes.values()) call.fail({ name: "Error", message: "channel closed" });
  state.publishes.clear();
  // No acknowledgement can follow. A handler that is still running ends its own.
  for (const call of state.deliveries.values()) if (call.state.returnedAt !== undefined) endUnsettled(call);
  state.deliveries.clear();
  shared.unsettled.delete(state);
}

function endUnsettled(call: OperationCall<Delivery>): void {
  call.endMillis = call.state.returnedAt;
  call.succeed();
}

const { setTimeout } = globalThis;

function watch(shared: Shared, channel: ChannelState): void {
  const { unsettled, kit } = shared;
  if (unsettled.size === 0) {
    // In no context: a timer keeps the one it was made in.
    const timer = kit.tracing.run(ROOT_CONTEXT, setTimeout, undefined, [() => sweep(shared), MAX_UNSETTLED_MILLIS / 4]);
    timer.unref();
  }
  unsettled.add(channel);
}

function sweep(shared: Shared): void {
  const { unsettled, kit } = shared;
  const channels = [...unsettled];
  unsettled.clear();
  kit.owner.safely("a sweep", () => {
    const oldest = now() - MAX_UNSETTLED_MILLIS;
    for (const channel of channels) {
      let isOpen = false;
      for (const call of channel.deliveries.values()) {
        const { returnedAt } = call.state;
        if (returnedAt === undefined) continue;
        if (returnedAt < oldest) endUnsettled(call);
        else isOpen = true;
      }
      if (isOpen) watch(shared, channel);
    }
  });
}

const processOperation: Operation<unknown, Delivery> = {
  title: "amqplib message",
  kind: KIND_CONSUMER,
  leaf: false,
  parent: (call) => call.state.origin.parent,
  start: (span, call, capture) => describeReceived(span, PROCESS, call, capture),
  finish(span, _result, { state }) {
    forget(state);
    const { outcome } = state;
    if (outcome === undefined) return;
    span.attribute(TRACEKIT_MESSAGING_OUTCOME, outcome);
    if (outcome !== "ack") span.fail(outcome);
  },
  fail(span, error, { state }) {
    forget(state);
    if (state.outcome !== undefined) span.attribute(TRACEKIT_MESSAGING_OUTCOME, state.outcome);
    recordFailure(span, error);
  },
};

function forget({ channel, tag }: Delivery): void {
  channel?.deliveries.delete(tag);
}

// Fetching.

function get(shared: Shared, channel: Channel, args: any[], original: AnyFunction): unknown {
  const { kit } = shared;
  if (!kit.owner.enabled) return Reflect.apply(original, channel, args);
  const caller = kit.tracing.active();
  const startMillis = now();
  const queue = args[0] as unknown;
  const report = (error: unknown, message: Message | false | undefined): void =>
    kit.owner.safely("get", () => reportGet(shared, channel, textOf(queue), caller, startMillis, error, message));
  const callback: unknown = args[2];
  if (typeof callback === "function") {
    const reported = function (this: unknown, ...results: any[]): unknown {
      report(results[0], results[1]);
      return kit.tracing.run(caller, callback as AnyFunction, this, results);
    };
    args[2] = reported;
  }
  let returned: any;
  try {
    returned = Reflect.apply(original, channel, args);
  } catch (error) {
    report(error, undefined);
    throw error;
  }
  // The callback API returns the channel. Up to 0.9 the promises are Bluebird's: the derived one is, too.
  if (typeof callback === "function" || typeof returned?.then !== "function") return returned;
  return returned.then(
    (message: Message | false) => {
      report(undefined, message);
      return message;
    },
    (error: unknown) => {
      report(error, undefined);
      throw error;
    },
  );
}

function reportGet(
  shared: Shared,
  channel: Channel,
  queue: string,
  caller: TraceContext,
  startMillis: number,
  error: unknown,
  message: Message | false | undefined,
): void {
  const hasFailed = error !== undefined && error !== null;
  if (!hasFailed && !message && caller.span === undefined) return;
  const state: Delivery = {
    message: message || undefined,
    queue,
    origin: originOf(shared.kit, message ? message.properties.headers : undefined),
    channel: undefined,
    tag: message ? message.fields.deliveryTag : 0,
    outcome: undefined,
    returnedAt: undefined,
  };
  const call = beginOperation(shared.receive, channel, [], state, caller, startMillis);
  if (hasFailed) call?.fail(error);
  else call?.succeed();
}

const receiveOperation: Operation<unknown, Delivery> = {
  title: "amqplib get",
  kind: KIND_CLIENT,
  leaf: true,
  start: (span, call, capture) => describeReceived(span, RECEIVE, call, capture),
  fail: recordBrokerError,
};

// What spans say.

function describeReceived(
  span: OperationSpan,
  operation: MessagingOperation,
  { state, self }: OperationCall<Delivery>,
  capture: Capture,
): void {
  const { message, queue, origin } = state;
  if (message === undefined) {
    describeRoute(span, operation, "", "", queue, capture);
    span.attributeBlock(brokerOf(self).block);
    return;
  }
  const { fields, properties, content } = message;
  describeRoute(span, operation, textOf(fields.exchange), textOf(fields.routingKey), queue, capture);
  span.attributeBlock(brokerOf(self).block);
  const { correlationId, messageId } = properties;
  if (correlationId !== undefined)
    span.attribute(MESSAGING_MESSAGE_CONVERSATION_ID, capture.text(textOf(correlationId)));
  span.attribute(MESSAGING_RABBITMQ_MESSAGE_DELIVERY_TAG, fields.deliveryTag);
  describeMessage(span, textOf(messageId), content, capture);
  describeDelivery(span, origin, publishTimeOf(properties), attemptOf(message, queue));
}

/** Where a reply is to go: each consumer's has a secret part. */
const REPLY_TO = "amq.rabbitmq.reply-to";
const ANONYMOUS = "(anonymous)";

/**
 * Destinations are `exchange:routing key` and `exchange:routing key:queue`, without empty and repeated parts (semantic
 * conventions, "RabbitMQ"). Routing keys are many; a span's name has the exchange or queue alone.
 */
function describeRoute(
  span: OperationSpan,
  operation: MessagingOperation,
  exchange: string,
  routingKey: string,
  queue: string | undefined,
  capture: Capture,
): void {
  const key = withoutReplyToken(routingKey);
  const target = withoutReplyToken(queue ?? (exchange === "" ? routingKey : ""));
  const isAnonymous = target.startsWith("amq.gen-") || (queue === "" && target === "");
  let destination = exchange;
  if (key !== "" && key !== exchange) destination += destination === "" ? key : `:${key}`;
  if (target !== "" && target !== key && target !== exchange) destination += destination === "" ? target : `:${target}`;
  const name = isAnonymous ? ANONYMOUS : target;
  // Of a server-named queue the exchange tells more.
  const label = name === "" || (isAnonymous && exchange !== "") ? exchange : name;
  describeDestination(span, operation, destination || "amq.default", capture, label || "amq.default");
  if (key !== "") span.attribute(MESSAGING_RABBITMQ_DESTINATION_ROUTING_KEY, capture.text(key));
  if (isAnonymous || target === REPLY_TO) span.attribute(MESSAGING_DESTINATION_ANONYMOUS, true);
}

function withoutReplyToken(name: string): string {
  return name.startsWith(REPLY_TO) ? REPLY_TO : name;
}

/** 1 for the first delivery. */
function attemptOf({ fields, properties: { headers } }: Message, queue: string): number {
  const deliveries = headers?.["x-delivery-count"];
  let attempt = 1 + (typeof deliveries === "number" ? deliveries : fields.redelivered === true ? 1 : 0);
  const deaths = headers?.["x-death"];
  if (!Array.isArray(deaths)) return attempt;
  for (const death of deaths as Array<{ queue?: unknown; count?: unknown } | null>) {
    if (death?.queue === queue && typeof death.count === "number") attempt += death.count;
  }
  return attempt;
}

/** Milliseconds since the epoch: our own header, RabbitMQ's plugin, the publisher's property (in seconds; some write more). */
function publishTimeOf({ headers, timestamp }: Properties): number | undefined {
  const own = publishedAtOf(headers);
  if (own !== undefined) return own;
  const received = headers?.["timestamp_in_ms"];
  if (typeof received === "number") return received;
  if (typeof timestamp !== "number" || timestamp <= 0) return undefined;
  return timestamp < 1e11 ? timestamp * 1000 : timestamp;
}

/** The broker's errors have AMQP reply codes, which are numbers: 404. Up to 0.10 `get` fails with the broker's frame itself. */
function recordBrokerError(span: OperationSpan, error: unknown): void {
  const { name, message, stack, code, fields } = (error ?? {}) as Partial<Error> & { code?: unknown; fields?: Fields };
  if (typeof code === "number") return recordFailure(span, { name, message, stack, code: String(code) });
  if (fields?.replyCode === undefined) return recordFailure(span, error);
  recordFailure(span, { name: "Error", code: String(fields.replyCode), message: fields.replyText });
}

// Helpers.

function stateOf({ channels }: Shared, channel: Channel): ChannelState {
  let state = channels.get(channel);
  if (state === undefined) channels.set(channel, (state = { publishes: new Map(), deliveries: new Map() }));
  return state;
}

/** The calls with this delivery tag, or with `multiple` all up to it (0: all), which are no longer open. */
function take<State>(
  open: Map<number, OperationCall<State>>,
  { deliveryTag, multiple }: Fields,
): OperationCall<State>[] {
  const calls: OperationCall<State>[] = [];
  if (multiple !== true) {
    const call = open.get(deliveryTag);
    if (call !== undefined) calls.push(call);
    open.delete(deliveryTag);
    return calls;
  }
  for (const [tag, call] of open) {
    if (deliveryTag !== 0 && tag > deliveryTag) break;
    calls.push(call);
    open.delete(tag);
  }
  return calls;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function describeBroker(url: unknown): Broker {
  const { protocol, hostname, port } = addressOf(url);
  const standard = protocol.startsWith("amqps") ? 5671 : 5672;
  const block = new AttributeBlock({
    [MESSAGING_SYSTEM]: "rabbitmq",
    [SERVER_ADDRESS]: hostname,
    [SERVER_PORT]: port === 0 || port === standard ? undefined : port,
  });
  return { host: hostname, block };
}

function addressOf(url: unknown): { protocol: string; hostname: string; port: number } {
  if (typeof url === "object" && url !== null) {
    const { protocol, hostname, port } = url as { protocol?: string; hostname?: string; port?: unknown };
    return { protocol: protocol ?? "amqp", hostname: hostname ?? "localhost", port: Number(port ?? 0) };
  }
  // The library's own reading is more lenient than the standard one.
  const parsed = URL.canParse(String(url ?? "")) ? new URL(String(url)) : undefined;
  const { protocol = "amqp:", hostname = "", port = "" } = parsed ?? {};
  return { protocol, hostname: hostname || "localhost", port: Number(port) };
}
