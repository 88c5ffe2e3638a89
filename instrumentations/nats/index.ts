/**
 * nats 2 and @nats-io 3 (nats-core under any transport, jetstream): publishing, requests and the messages of subscriptions
 * and JetStream consumers.
 *
 * A publish is a PRODUCER span; JetStream's lasts until the stream has acknowledged it. A request is a CLIENT span until its
 * reply, or the last one of `requestMany`. A message is a CONSUMER span: around its callback, or in a `for await` loop from
 * the moment the body starts to the moment it asks for the next message (`shared/message-iteration.ts`). `next()` and `pull()`
 * are CLIENT spans with a link to the publisher.
 *
 * Known limitations:
 * - Servers before 2.2 have no message headers: context does not travel.
 * - A `for await` loop that is left by an error looks like one left by `break`: the message's span does not show the error.
 * - A message that `next()` or `pull()` gave is processed outside of any span of ours.
 * - Replies are no spans of their own; neither is what the library itself sends and receives (`$JS.`, `$SYS.`, `$SRV.`), nor
 *   the key-value and object stores (`$KV.`, `$O.`).
 * - Other than `next()` and `pull()`, what asks a consumer for messages is no span.
 * - The library writes `reply` into the options of a publish; traced, it leaves them alone.
 */
import type { Capture } from "../../src/capture/capture.ts";
import { defineInstrumentation, type Instrumentation } from "../../src/instrumentation/instrumentation.ts";
import type { Kit } from "../../src/instrumentation/kit.ts";
import type { Operation, OperationSpan } from "../../src/instrumentation/operation.ts";
import { returned as settlesReturned } from "../../src/instrumentation/settlement.ts";
import {
  beginOperation,
  type BoundOperation,
  type OperationCall,
  recordFailure,
} from "../../src/instrumentation/trace-operation.ts";
import {
  MESSAGING_CLIENT_ID,
  MESSAGING_CONSUMER_GROUP_NAME,
  MESSAGING_DESTINATION_TEMPLATE,
  MESSAGING_MESSAGE_ID,
  MESSAGING_SYSTEM,
  SERVER_ADDRESS,
  SERVER_PORT,
  TRACEKIT_MESSAGING_OUTCOME,
  TRACEKIT_NATS_DUPLICATE,
  TRACEKIT_NATS_SEQUENCE,
  TRACEKIT_NATS_STREAM,
} from "../../src/semconv/attributes.ts";
import { AttributeBlock } from "../../src/trace/attributes.ts";
import { now } from "../../src/trace/clock.ts";
import type { TraceContext } from "../../src/trace/context.ts";
import { KIND_CLIENT, KIND_CONSUMER, KIND_PRODUCER } from "../../src/trace/span-kind.ts";
import { createHiddenSlot } from "../shared/hidden-slot.ts";
import { traceIteration } from "../shared/message-iteration.ts";
import {
  type Carrier,
  carrierOf,
  describeDelivery,
  describeDestination,
  describeMessage,
  type MessagingOperation,
  type Origin,
  originOf,
  PROCESS,
  PUBLISH,
  publishedAtOf,
  RECEIVE,
  REQUEST,
  runHandler,
} from "../shared/messaging.ts";
import { carrierIn, HeadersWithContext, type NatsHeaders, sizeOfContext } from "./headers.ts";

const CORE = "@nats-io/nats-core";
const JETSTREAM = "@nats-io/jetstream";

const nats: Instrumentation = defineInstrumentation({
  name: "nats",
  modules: [
    { name: "nats", versions: ">=2.6 <3", file: "lib/nats-base-client/nats.js", patch: patchConnection },
    { name: "nats", versions: ">=2.6 <3", file: "lib/nats-base-client/protocol.js", patch: patchProtocol },
    { name: "nats", versions: ">=2.6 <3", file: "lib/nats-base-client/queued_iterator.js", patch: patchIterator },
    { name: "nats", versions: ">=2.6 <2.15", file: "lib/nats-base-client/jsclient.js", patch: patchJetStream },
    { name: "nats", versions: ">=2.6 <2.15", file: "lib/nats-base-client/jsmsg.js", patch: patchJetStreamMessage },
    // Its preview of consumers (2.14) is left alone.
    { name: "nats", versions: ">=2.15 <3", file: "lib/jetstream/jsclient.js", patch: patchJetStream },
    { name: "nats", versions: ">=2.15 <3", file: "lib/jetstream/jsmsg.js", patch: patchJetStreamMessage },
    { name: "nats", versions: ">=2.15 <3", file: "lib/jetstream/consumer.js", patch: patchConsumers },
    { name: CORE, versions: ">=3 <4", file: "lib/nats.js", patch: patchConnection },
    { name: CORE, versions: ">=3 <4", file: "lib/protocol.js", patch: patchProtocol },
    { name: CORE, versions: ">=3 <4", file: "lib/queued_iterator.js", patch: patchIterator },
    { name: JETSTREAM, versions: ">=3 <4", file: "lib/jsclient.js", patch: patchJetStream },
    { name: JETSTREAM, versions: ">=3 <4", file: "lib/jsmsg.js", patch: patchJetStreamMessage },
    { name: JETSTREAM, versions: ">=3 <4", file: "lib/consumer.js", patch: patchConsumers },
    { name: JETSTREAM, versions: ">=3 <4", file: "lib/pushconsumer.js", patch: patchConsumers },
  ],
});
export default nats;

type AnyFunction = (...args: any[]) => any;
type Content = string | Uint8Array;

/** A message of a subscription. */
interface CoreMessage {
  readonly _msg: unknown;
  readonly subject: string;
  readonly reply?: string;
  readonly data: Uint8Array;
  readonly headers?: NatsHeaders;
  /** The protocol. */
  readonly publisher: any;
}

/** A message of a JetStream consumer: one of the kind above that says in its reply subject where it comes from. */
interface JetStreamMessage {
  readonly msg: CoreMessage;
  readonly info: DeliveryInfo;
}

interface DeliveryInfo {
  readonly stream: string;
  readonly consumer: string;
  readonly streamSequence: number;
  readonly timestampNanos: number;
  readonly deliveryCount?: number;
  /** Until 2.2, and counting the same. */
  readonly redeliveryCount?: number;
}

interface Sending {
  carrier: Carrier | undefined;
}

interface Received {
  readonly message: CoreMessage;
  readonly info: DeliveryInfo | undefined;
  /** What was subscribed to, and in which queue group. */
  readonly pattern: string | undefined;
  readonly group: string | undefined;
  readonly carrier: Carrier | undefined;
  readonly origin: Origin;
  outcome: string | undefined;
}

/** The application's call that the library is at work on, synchronously: what it sends itself on the way is part of it. */
let sending: Sending | undefined;

/** Marks contexts in which the library works for one call of the application, with awaits in between. */
const work = createHiddenSlot<Sending>();
/** By JetStream message: its processing. */
const processing = createHiddenSlot<OperationCall<Received>>();

function whileSending(state: Sending, fn: AnyFunction, self: unknown, args: ArrayLike<unknown>): unknown {
  const outer = sending;
  sending = state;
  try {
    return Reflect.apply(fn, self, args);
  } finally {
    sending = outer;
  }
}

// Sending.

function patchConnection({ NatsConnectionImpl }: any, kit: Kit): void {
  const { prototype } = NatsConnectionImpl;
  const publish = kit.bind(sendOperation("nats publish", KIND_PRODUCER, PUBLISH, kit));
  const request = kit.bind(sendOperation("nats request", KIND_CLIENT, REQUEST, kit));

  kit.wrap(
    prototype,
    "publish",
    (original) =>
      function (this: any, ...args: any[]): unknown {
        if (sending !== undefined || !isOwnSubject(this, args[0])) return Reflect.apply(original, this, args);
        const state: Sending = { carrier: undefined };
        const call = beginOperation(publish, this, args, state);
        try {
          const result = whileSending(state, original, this, args);
          call?.succeed();
          return result;
        } catch (error) {
          call?.fail(error);
          throw error;
        }
      },
  );

  for (const method of ["request", "requestMany"]) {
    kit.wrap(
      prototype,
      method,
      (original) =>
        function (this: any, ...args: any[]): unknown {
          if (sending !== undefined || !isOwnSubject(this, args[0])) return Reflect.apply(original, this, args);
          // A JetStream publish, which is a request of the library's.
          const outer = work.get(kit.tracing.active());
          if (outer !== undefined) return whileSending({ carrier: outer.carrier }, original, this, args);
          const state: Sending = { carrier: undefined };
          const call = beginOperation(request, this, args, state);
          try {
            const result = whileSending(state, original, this, args);
            return call === undefined ? result : settleRequest(call, result);
          } catch (error) {
            call?.fail(error);
            throw error;
          }
        },
    );
  }
}

/** The reply, or an iterator over replies that are complete when it is closed. */
function settleRequest(call: OperationCall, result: unknown): unknown {
  if (!(result instanceof Promise)) {
    call.succeed();
    return result;
  }
  const settled = result.then(
    (reply) => {
      const closed: unknown = reply?.iterClosed;
      if (!(closed instanceof Promise)) call.succeed();
      else
        closed.then(
          (error) => (error ? call.fail(error) : call.succeed()),
          (error) => call.fail(error),
        );
      return reply;
    },
    (error) => {
      call.fail(error);
      throw error;
    },
  );
  // The library's promises can be settled from outside, which is written on them.
  return Object.assign(settled, result);
}

function patchProtocol({ ProtocolHandler }: any, kit: Kit): void {
  // Here all that is sent comes by, with headers that are about to be written.
  kit.wrap(
    ProtocolHandler.prototype,
    "publish",
    (original) =>
      function (this: any, subject: unknown, payload: any, options: any): unknown {
        const carrier = sending?.carrier;
        if (sending === undefined || carrier === undefined || !canCarry(this, payload, options, carrier)) {
          return Reflect.apply(original, this, arguments);
        }
        sending.carrier = undefined;
        const headers = new HeadersWithContext(options?.headers, carrier);
        return Reflect.apply(original, this, [subject, payload, { ...options, headers }]);
      },
  );

  const bound = kit.bind(processOperation);
  kit.wrap(
    ProtocolHandler.prototype,
    "subscribe",
    (original) =>
      function (this: any, subscription: any): unknown {
        try {
          if (subscription.noIterator === true && isOwnSubject(this, subscription.subject)) {
            subscription.callback = tracedCallback(subscription.callback, subscription, bound, kit);
          }
        } catch (error) {
          kit.owner.disable("nats subscribe", error);
        }
        return Reflect.apply(original, this, arguments);
      },
  );
}

function canCarry(protocol: any, payload: unknown, options: any, carrier: Carrier): boolean {
  const { info } = protocol;
  // Before the first answer of the server the library hopes for the best, and so may we only where headers are there already.
  if (info === undefined || info === null) return options?.headers !== undefined;
  if (info.headers !== true) return false;
  const size = payload === undefined || payload === null ? 0 : sizeOfContent(payload) + sizeOfContext(carrier);
  // The application's own headers are rarely long, and what is refused here is only a message near the limit.
  const given: Uint8Array | undefined = size * 2 > info.max_payload ? options?.headers?.encode() : undefined;
  return size + (given?.length ?? 0) <= info.max_payload;
}

function sizeOfContent(payload: unknown): number {
  return typeof payload === "string" ? Buffer.byteLength(payload) : ((payload as Uint8Array).length ?? 0);
}

function sendOperation(
  title: string,
  kind: typeof KIND_PRODUCER | typeof KIND_CLIENT,
  operation: MessagingOperation,
  kit: Kit,
): Operation<unknown, Sending> {
  return {
    title,
    kind,
    leaf: true,
    start(span, call, capture) {
      const [subject, data] = call.args;
      describeDestination(span, operation, subject, capture);
      span.attributeBlock(serverOf(call.self.protocol));
      describeMessage(span, undefined, contentOf(data), capture);
    },
    inject(call) {
      call.state.carrier = carrierOf(kit, call.context, call.self.protocol?.server?.hostname, true);
    },
  };
}

/** Not what the library itself sends and receives, nor replies: their subjects are the other side's, and one of very many. */
function isOwnSubject(connectionOrProtocol: any, subject: unknown): boolean {
  if (typeof subject !== "string" || subject === "") return false;
  if (/^\$(?:JS|SYS|SRV|KV|O)\./.test(subject)) return false;
  const prefix: unknown = connectionOrProtocol.options?.inboxPrefix;
  return !subject.startsWith("_INBOX.") && (typeof prefix !== "string" || !subject.startsWith(`${prefix}.`));
}

// JetStream: sending.

function patchJetStream({ JetStreamClientImpl }: any, kit: Kit): void {
  const { prototype } = JetStreamClientImpl;
  const bound = kit.bind(jetStreamPublishOperation(kit));
  kit.wrap(
    prototype,
    "publish",
    (original) =>
      function (this: any, ...args: any[]): unknown {
        if (!isOwnSubject(this.nc, args[0])) return Reflect.apply(original, this, args);
        const state: Sending = { carrier: undefined };
        const call = beginOperation(bound, this, args, state);
        if (call === undefined) return Reflect.apply(original, this, args);
        // Every attempt carries the same context.
        work.set(call.context, state);
        try {
          const result = kit.tracing.run(call.context, original, this, args);
          return settlesReturned.after?.(call, result);
        } catch (error) {
          call.fail(error);
          throw error;
        }
      },
  );

  const process = kit.bind(processOperation);
  kit.wrap(
    prototype,
    "_buildTypedSubscriptionOpts",
    (original) =>
      function (this: any, ...args: any[]): unknown {
        const options = Reflect.apply(original, this, args);
        if (typeof options?.callback === "function") {
          const [{ config } = {} as any] = args;
          const subscription = { subject: config?.filter_subject, queue: undefined };
          options.callback = tracedCallback(options.callback, subscription, process, kit);
        }
        return options;
      },
  );

  traceReceiving(prototype, "pull", kit, (_client, [stream]) => stream);
}

function jetStreamPublishOperation(kit: Kit): Operation<any, Sending> {
  return {
    title: "nats JetStream publish",
    kind: KIND_PRODUCER,
    leaf: false,
    start(span, call, capture) {
      const [subject, data, options] = call.args;
      describeDestination(span, PUBLISH, subject, capture);
      span.attributeBlock(serverOf(call.self.nc?.protocol));
      const id: unknown = options?.msgID;
      describeMessage(span, typeof id === "string" ? id : undefined, contentOf(data), capture);
    },
    inject(call) {
      call.state.carrier = carrierOf(kit, call.context, call.self.nc?.protocol?.server?.hostname, true);
    },
    finish(span, acknowledged, call, capture) {
      const { stream, seq, duplicate } = acknowledged ?? {};
      if (typeof stream === "string") span.attribute(TRACEKIT_NATS_STREAM, capture.text(stream));
      if (typeof seq === "number") {
        span.attribute(TRACEKIT_NATS_SEQUENCE, seq);
        if (!call.args[2]?.msgID) span.attribute(MESSAGING_MESSAGE_ID, String(seq));
      }
      if (duplicate === true) span.attribute(TRACEKIT_NATS_DUPLICATE, true);
    },
  };
}

// Receiving: callbacks.

/** `subscription`: what was subscribed to, looked at when a message arrives. */
function tracedCallback(
  callback: AnyFunction,
  subscription: { readonly subject?: unknown; readonly queue?: unknown },
  bound: BoundOperation<unknown, Received>,
  kit: Kit,
): AnyFunction {
  return function (this: unknown, ...args: any[]): unknown {
    // JetStream consumers give the message alone.
    const message: unknown = args.length === 1 ? args[0] : args[1];
    const isFailure = args.length > 1 && args[0] !== null && args[0] !== undefined;
    const call = isFailure ? undefined : beginProcessing(message, subscription, bound, kit, args.length === 1);
    return runHandler(kit, call, callback, this, args);
  };
}

// Receiving: iterators.

function patchIterator({ QueuedIteratorImpl }: any, kit: Kit): void {
  const bound = kit.bind(processOperation);
  kit.wrap(
    QueuedIteratorImpl.prototype,
    "iterate",
    (original) =>
      function (this: any): unknown {
        const iterator = Reflect.apply(original, this, arguments);
        // The library's own loop.
        if (!kit.owner.enabled || work.get(kit.tracing.active()) !== undefined) return iterator;
        return traceIteration(
          iterator,
          (message) => beginProcessing(message, subscriptionOf(this), bound, kit, true),
          kit,
        );
      },
  );
}

function subscriptionOf(iterator: any): { subject: unknown; queue: unknown } {
  if (typeof iterator.getSubject === "function" && typeof iterator.subject === "string") return iterator;
  // A JetStream consumer's: what it filters.
  const config = iterator.consumer?._info?.config ?? iterator.sub?.info?.config;
  return { subject: config?.filter_subject, queue: undefined };
}

// Receiving: JetStream consumers.

function patchConsumers(exports: any, kit: Kit): void {
  const bound = kit.bind(processOperation);
  for (const name of ["PullConsumerImpl", "OrderedPullConsumerImpl", "PushConsumerImpl"]) {
    const prototype = exports[name]?.prototype;
    if (prototype === undefined) continue;
    for (const method of ["consume", "fetch"]) {
      if (prototype[method] === undefined) continue;
      kit.wrap(
        prototype,
        method,
        (original) =>
          function (this: any, ...args: any[]): unknown {
            const caller = kit.tracing.active();
            const callback: unknown = args[0]?.callback;
            if (!kit.owner.enabled || work.get(caller) !== undefined) return Reflect.apply(original, this, args);
            if (typeof callback === "function") {
              const subscription = subscriptionOf({ consumer: this });
              args[0] = { ...args[0], callback: tracedCallback(callback as AnyFunction, subscription, bound, kit) };
            }
            // An ordered consumer uses another one, with callbacks of its own.
            if (name !== "OrderedPullConsumerImpl") return Reflect.apply(original, this, args);
            return kit.tracing.run(workContext(caller), original, this, args);
          },
      );
    }
    traceReceiving(prototype, "next", kit, (consumer) => consumer._info?.stream_name ?? consumer.stream);
  }
}

/** A context like `caller`, in which the library is at work. */
function workContext(caller: TraceContext): TraceContext {
  const context = caller.withSpan(caller.span);
  work.set(context, { carrier: undefined });
  return context;
}

/** A call that asks for one message. Without one it is a span only inside a trace: applications poll. */
function traceReceiving(
  prototype: any,
  method: string,
  kit: Kit,
  streamOf: (self: any, args: readonly unknown[]) => unknown,
): void {
  const bound = kit.bind(receiveOperation);
  if (prototype[method] === undefined) return;
  kit.wrap(
    prototype,
    method,
    (original) =>
      function (this: any, ...args: any[]): unknown {
        const caller = kit.tracing.active();
        if (!kit.owner.enabled || work.get(caller) !== undefined) return Reflect.apply(original, this, args);
        const startMillis = now();
        const begin = (message?: unknown): OperationCall | undefined => {
          try {
            const received = receivedFrom(message, { subject: undefined, queue: undefined }, kit);
            if (received === undefined && caller.span === undefined) return undefined;
            const state = { stream: streamOf(this, args), received, protocol: protocolOf(this) };
            return beginOperation(bound, this, args, state, caller, startMillis);
          } catch (error) {
            kit.owner.disable(`nats ${method}`, error);
            return undefined;
          }
        };
        const result = kit.tracing.run(workContext(caller), original, this, args);
        if (!(result instanceof Promise)) return result;
        return result.then(
          (message) => {
            begin(message)?.succeed();
            return message;
          },
          (error) => {
            begin()?.fail(error);
            throw error;
          },
        );
      },
  );
}

function protocolOf(self: any): unknown {
  return (self.api?.nc ?? self.nc)?.protocol;
}

interface Receiving {
  readonly stream: unknown;
  readonly received: Received | undefined;
  readonly protocol: unknown;
}

const receiveOperation: Operation<unknown, Receiving> = {
  title: "nats receive",
  kind: KIND_CLIENT,
  leaf: true,
  start(span, call, capture) {
    const { stream, received, protocol } = call.state;
    describeDestination(span, RECEIVE, typeof stream === "string" ? stream : "", capture);
    span.attributeBlock(serverOf(protocol));
    if (received !== undefined) describeReceived(span, received, capture);
  },
};

// What a message is.

function beginProcessing(
  value: unknown,
  subscription: { readonly subject?: unknown; readonly queue?: unknown },
  bound: BoundOperation<unknown, Received>,
  kit: Kit,
  isDelivered: boolean,
): OperationCall<Received> | undefined {
  if (!kit.owner.enabled) return undefined;
  try {
    const received = receivedFrom(value, subscription, kit);
    // A JetStream message among plain ones is the library's to unpack; a message with a status is about messages.
    if (received === undefined) return undefined;
    const { message, info } = received;
    if (!isDelivered && info === undefined && message.reply?.startsWith("$JS.ACK.") === true) return undefined;
    if (info === undefined && (message.headers?.code ?? 0) > 0) return undefined;
    if (!isOwnSubject(message.publisher, message.subject)) return undefined;
    const call = beginOperation(bound, message.publisher, [], received);
    if (call?.recording === true && info !== undefined && processing.get(value as object) === undefined) {
      processing.set(value as object, call);
    }
    return call;
  } catch (error) {
    kit.owner.disable("nats message", error);
    return undefined;
  }
}

/** Undefined for what is no message: iterators give other things, too. */
function receivedFrom(
  value: unknown,
  { subject, queue }: { readonly subject?: unknown; readonly queue?: unknown },
  kit: Kit,
): Received | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const isJetStream = "didAck" in value && "msg" in value;
  const message = (isJetStream ? value.msg : value) as CoreMessage;
  if (!("_msg" in message)) return undefined;
  const carrier = carrierIn(message.headers, kit);
  return {
    message,
    info: isJetStream ? (value as object as JetStreamMessage).info : undefined,
    pattern: typeof subject === "string" ? subject : undefined,
    group: typeof queue === "string" ? queue : undefined,
    carrier,
    origin: originOf(kit, carrier),
    outcome: undefined,
  };
}

const processOperation: Operation<unknown, Received> = {
  title: "nats message",
  kind: KIND_CONSUMER,
  leaf: false,
  parent: (call) => call.state.origin.parent,
  start(span, call, capture) {
    const { message, pattern } = call.state;
    const isTemplate = pattern !== undefined && /[*>]/.test(pattern);
    describeDestination(span, PROCESS, message.subject, capture, isTemplate ? pattern : undefined);
    span.attributeBlock(serverOf(message.publisher));
    if (isTemplate) span.attribute(MESSAGING_DESTINATION_TEMPLATE, capture.text(pattern));
    describeReceived(span, call.state, capture);
  },
  finish(span, _result, { state: { outcome } }) {
    if (outcome === undefined) return;
    span.attribute(TRACEKIT_MESSAGING_OUTCOME, outcome);
    if (outcome !== "ack") span.fail(outcome);
  },
  fail(span, error, { state: { outcome } }) {
    if (outcome !== undefined) span.attribute(TRACEKIT_MESSAGING_OUTCOME, outcome);
    recordFailure(span, error);
  },
};

function describeReceived(
  span: OperationSpan,
  { message, info, group, carrier, origin }: Received,
  capture: Capture,
): void {
  if (info === undefined) {
    if (group !== undefined) span.attribute(MESSAGING_CONSUMER_GROUP_NAME, capture.text(group));
    describeMessage(span, undefined, message.data, capture);
    describeDelivery(span, origin, publishedAtOf(carrier), undefined);
    return;
  }
  const { stream, consumer, streamSequence, timestampNanos } = info;
  span.attribute(MESSAGING_CONSUMER_GROUP_NAME, capture.text(consumer));
  span.attribute(TRACEKIT_NATS_STREAM, capture.text(stream));
  span.attribute(TRACEKIT_NATS_SEQUENCE, streamSequence);
  describeMessage(span, message.headers?.get("Nats-Msg-Id") || String(streamSequence), message.data, capture);
  describeDelivery(span, origin, timestampNanos / 1e6, info.deliveryCount ?? info.redeliveryCount);
}

function patchJetStreamMessage({ JsMsgImpl }: any, kit: Kit): void {
  // What a message comes to; `working` only asks for more time.
  for (const [method, outcome] of Object.entries({ ack: "ack", ackAck: "ack", nak: "nak", term: "term" })) {
    kit.wrap(
      JsMsgImpl.prototype,
      method,
      (original) =>
        function (this: any, ...args: unknown[]): unknown {
          const call = processing.get(this);
          if (call !== undefined && !call.isSettled) call.state.outcome ??= outcome;
          return Reflect.apply(original, this, args);
        },
    );
  }
}

function contentOf(data: unknown): Content | undefined {
  return typeof data === "string" || data instanceof Uint8Array ? data : undefined;
}

interface Server {
  readonly server: unknown;
  readonly block: AttributeBlock;
}

const NO_SERVER = new AttributeBlock({ [MESSAGING_SYSTEM]: "nats" });
const servers = new WeakMap<object, Server>();

/** A connection moves from server to server; its protocol knows the one of now. */
function serverOf(protocol: any): AttributeBlock {
  if (typeof protocol !== "object" || protocol === null) return NO_SERVER;
  const { server } = protocol;
  let known = servers.get(protocol);
  if (known === undefined || known.server !== server) {
    const name: unknown = protocol.options?.name;
    const block = new AttributeBlock({
      [MESSAGING_SYSTEM]: "nats",
      [MESSAGING_CLIENT_ID]: typeof name === "string" && name !== "" ? name : undefined,
      [SERVER_ADDRESS]: typeof server?.hostname === "string" ? server.hostname : undefined,
      [SERVER_PORT]: typeof server?.port === "number" ? server.port : undefined,
    });
    servers.set(protocol, (known = { server, block }));
  }
  return known.block;
}
