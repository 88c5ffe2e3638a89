import type { EventEmitter } from "node:events";
import { errorMessage } from "../src/instrumentation/errors.ts";
import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import type { Operation, OperationSpan } from "../src/instrumentation/operation.ts";
import { callback } from "../src/instrumentation/settlement.ts";
import {
  beginOperation,
  type BoundOperation,
  type OperationCall,
  recordFailure,
  traceOperation,
} from "../src/instrumentation/trace-operation.ts";
import {
  MESSAGING_GCP_PUBSUB_MESSAGE_ORDERING_KEY,
  MESSAGING_SYSTEM,
  SERVER_ADDRESS,
  SERVER_PORT,
  TRACEKIT_MESSAGING_CONTEXT_OMITTED,
  TRACEKIT_MESSAGING_OUTCOME,
} from "../src/semconv/attributes.ts";
import { AttributeBlock } from "../src/trace/attributes.ts";
import { KIND_CONSUMER, KIND_PRODUCER } from "../src/trace/span-kind.ts";
import { Delivery, emitDelivery } from "./shared/emitted-messages.ts";
import { createHiddenSlot } from "./shared/hidden-slot.ts";
import {
  carrierOf,
  describeDelivery,
  describeDestination,
  describeMessage,
  type Origin,
  originOf,
  PROCESS,
  SEND,
} from "./shared/messaging.ts";

/*
 * @google-cloud/pubsub: a PRODUCER span a published message, from the call to the server's answer, so it includes the time the
 * message waits for its batch; a CONSUMER span a message of a subscription's `message` event, until it is acknowledged (or not,
 * or its lease ends) and its async listeners are done.
 *
 * - Context travels in attributes: `traceparent`, `tracestate` and `baggage`, and the first two once more with the prefix
 *   `googclient_`, which the library's own tracing reads. An attribute over 1024 bytes or past the hundredth stays behind.
 * - Where the application has switched the library's own tracing on (`enableOpenTelemetryTracing`), that is what traces.
 * - Of a listener that is no async function and returns a promise, only the time until the acknowledgement is seen.
 * - A subscription does not know its topic: its span is named after the subscription.
 * - Its gRPC requests are HTTP/2 spans: one for several messages is below one of them.
 * - `pull` of the low-level `v1.SubscriberClient`, acknowledgements and administration are no spans.
 */

const VERSIONS = ">=3 <7";

const googleCloudPubsub: Instrumentation = defineInstrumentation({
  name: "google-cloud-pubsub",
  modules: [
    { name: "@google-cloud/pubsub", versions: VERSIONS, file: "build/src/telemetry-tracing.js", patch: patchTelemetry },
    { name: "@google-cloud/pubsub", versions: VERSIONS, file: "build/src/publisher/index.js", patch: patchPublisher },
    { name: "@google-cloud/pubsub", versions: VERSIONS, file: "build/src/subscription.js", patch: patchSubscription },
    { name: "@google-cloud/pubsub", versions: VERSIONS, file: "build/src/subscriber.js", patch: patchMessage },
    { name: "@google-cloud/pubsub", versions: VERSIONS, file: "build/src/lease-manager.js", patch: patchLeases },
  ],
});
export default googleCloudPubsub;

interface PubSub {
  readonly options?: { readonly servicePath?: unknown; readonly port?: unknown };
}

interface Options {
  readonly enableOpenTelemetryTracing?: unknown;
}

interface Publisher {
  readonly topic: { readonly name: string; readonly pubsub?: PubSub };
  readonly settings?: Options;
}

interface Subscription extends EventEmitter {
  readonly name: string;
  readonly pubsub?: PubSub;
  readonly _subscriber?: { readonly _options?: Options };
}

type Attributes = Readonly<Record<string, string>>;

interface OutgoingMessage {
  readonly data?: Uint8Array | null;
  readonly attributes?: Attributes | null;
  readonly orderingKey?: string;
}

interface IncomingMessage {
  readonly id: string;
  readonly data: Uint8Array;
  readonly attributes: Attributes;
  readonly publishTime?: Date;
  /** 0 where the subscription does not count. */
  readonly deliveryAttempt: number;
  readonly orderingKey?: string;
}

/** What becomes of a message. */
type Outcome = "ack" | "nack" | "expired";

interface State {
  readonly subscription: Subscription;
  readonly message: IncomingMessage;
  readonly origin: Origin;
  outcome: Outcome | undefined;
}

/** A message that waits to be settled. */
interface Open {
  readonly delivery: Delivery;
  readonly state: State;
}

const PREFIX = "googclient_";
/** Bytes and number: https://cloud.google.com/pubsub/quotas. */
const MAX_ATTRIBUTE_BYTES = 1024;
const MAX_ATTRIBUTES = 100;
const DEFAULT_HOST = "pubsub.googleapis.com";

/** The library's own tracing, where this version has it. */
let isOwnTracingOn: ((settings?: Options) => unknown) | undefined;

function patchTelemetry(exports: { isEnabled?: (settings?: Options) => unknown }): void {
  isOwnTracingOn = exports.isEnabled;
}

function isTracedByItself(options: Options | undefined): boolean {
  return options?.enableOpenTelemetryTracing === true || Boolean(isOwnTracingOn?.());
}

const blocks = new WeakMap<object, AttributeBlock>();
const ANY_SERVER = new AttributeBlock({ [MESSAGING_SYSTEM]: "gcp_pubsub" });

/** What all spans of one client share. */
function serverOf(pubsub: PubSub | undefined): AttributeBlock {
  if (pubsub === undefined) return ANY_SERVER;
  let block = blocks.get(pubsub);
  if (block === undefined) {
    const { servicePath, port } = pubsub.options ?? {};
    block = new AttributeBlock({
      [MESSAGING_SYSTEM]: "gcp_pubsub",
      [SERVER_ADDRESS]: typeof servicePath === "string" ? servicePath : DEFAULT_HOST,
      [SERVER_PORT]: typeof port === "number" ? port : undefined,
    });
    blocks.set(pubsub, block);
  }
  return block;
}

// Publishing.

function patchPublisher(exports: { readonly Publisher: { readonly prototype: object } }, kit: Kit): void {
  const bound = kit.bind(publishOperation);
  kit.wrap(
    exports.Publisher.prototype,
    "publishMessage",
    (original) =>
      function (this: Publisher, ...args: any[]): unknown {
        if (!kit.owner.enabled || isTracedByItself(this.settings)) return Reflect.apply(original, this, args);
        return traceOperation(bound, original, this, args, kit);
      },
  );
}

const publishOperation: Operation<unknown, Kit> = {
  title: "@google-cloud/pubsub publishMessage",
  kind: KIND_PRODUCER,
  // The request of a batch is made where its first message is published, or its last.
  leaf: false,
  settles: callback,
  start(span, call, capture) {
    const { topic } = call.self as Publisher;
    const message = call.args[0] as OutgoingMessage;
    span.attributeBlock(serverOf(topic.pubsub));
    describeDestination(span, SEND, nameOf(topic.name), capture);
    describeMessage(span, undefined, message.data ?? undefined, capture);
    if (message.orderingKey) {
      span.attribute(MESSAGING_GCP_PUBSUB_MESSAGE_ORDERING_KEY, capture.text(message.orderingKey));
    }
  },
  inject(call) {
    const message = call.args[0] as OutgoingMessage;
    const attributes = message.attributes ?? {};
    // Nothing to send at all: for the library to complain about.
    if (!message.data && Object.keys(attributes).length === 0) return;
    const { pubsub } = (call.self as Publisher).topic;
    const host = pubsub?.options?.servicePath;
    const carrier = carrierOf(call.state, call.context, typeof host === "string" ? host : DEFAULT_HOST);
    if (carrier === undefined) return;
    const carrying: Record<string, string> = { ...attributes };
    let count = Object.keys(attributes).length;
    let isOmitted = false;
    for (const name in carrier) {
      const value = carrier[name] as string;
      for (const key of name === "baggage" ? [name] : [name, PREFIX + name]) {
        if (!(key in carrying) && ++count > MAX_ATTRIBUTES) isOmitted = true;
        else if (Buffer.byteLength(value) > MAX_ATTRIBUTE_BYTES) isOmitted = true;
        else carrying[key] = value;
      }
    }
    if (isOmitted && call.recording) call.span.attribute(TRACEKIT_MESSAGING_CONTEXT_OMITTED, true);
    call.args[0] = { ...message, attributes: carrying };
  },
  finish(span, id, _call, capture) {
    describeMessage(span, typeof id === "string" ? id : undefined, undefined, capture);
  },
  fail: recordGrpcFailure,
};

// Processing.

const opened = createHiddenSlot<Open>();

function patchSubscription(exports: { readonly Subscription: { readonly prototype: object } }, kit: Kit): void {
  const bound = kit.bind(processOperation);
  kit.wrap(
    exports.Subscription.prototype,
    "emit",
    (original) =>
      function (this: Subscription, ...args: any[]): unknown {
        if (args[0] !== "message" || !kit.owner.enabled) return Reflect.apply(original, this, args);
        const call = beginProcess(bound, kit, this, args[1]);
        if (call === undefined) return Reflect.apply(original, this, args);
        const delivery = new Delivery(call);
        // Until it is settled.
        delivery.hold();
        opened.set(call.state.message, { delivery, state: call.state });
        try {
          return kit.tracing.run(call.context, emitDelivery, undefined, [this, args, original, delivery]);
        } catch (error) {
          call.fail(error);
          throw error;
        } finally {
          delivery.release();
        }
      },
  );
}

function beginProcess(
  bound: BoundOperation<unknown, State>,
  kit: Kit,
  subscription: Subscription,
  message: IncomingMessage | undefined,
): OperationCall<State> | undefined {
  try {
    if (typeof message !== "object" || message === null || opened.get(message) !== undefined) return undefined;
    if (subscription.listenerCount("message") === 0) return undefined;
    if (isTracedByItself(subscription._subscriber?._options)) return undefined;
    const origin = originOf(kit, message.attributes, attributesGetter);
    return beginOperation(bound, subscription, [], { subscription, message, origin, outcome: undefined });
  } catch (error) {
    kit.owner.disable("@google-cloud/pubsub message", error);
    return undefined;
  }
}

const attributesGetter = {
  get: (attributes: Attributes, name: string): string | undefined => attributes[name] ?? attributes[PREFIX + name],
  keys: (attributes: Attributes): string[] => Object.keys(attributes),
};

function patchMessage(exports: { readonly Message: { readonly prototype: object } }, kit: Kit): void {
  const outcomes: Readonly<Record<string, Outcome>> = {
    ack: "ack",
    ackWithResponse: "ack",
    nack: "nack",
    nackWithResponse: "nack",
  };
  for (const [method, outcome] of Object.entries(outcomes)) {
    kit.wrap(
      exports.Message.prototype,
      method,
      (original) =>
        function (this: object, ...args: any[]): unknown {
          kit.owner.safely("settling a message", () => settle(this, outcome));
          return Reflect.apply(original, this, args);
        },
    );
  }
}

/** Messages whose lease is no longer extended, because it took too long or the subscription was closed. */
function patchLeases(exports: { readonly LeaseManager: { readonly prototype: object } }, kit: Kit): void {
  const { prototype } = exports.LeaseManager;
  kit.wrap(
    prototype,
    "remove",
    (original) =>
      function (this: unknown, message: object): unknown {
        kit.owner.safely("a message's lease", () => settle(message, "expired"));
        return original.call(this, message);
      },
  );
  kit.wrap(
    prototype,
    "clear",
    (original) =>
      function (this: { readonly _messages?: Iterable<object> }, ...args: any[]): unknown {
        kit.owner.safely("leases", () => {
          for (const message of this._messages ?? []) settle(message, "expired");
        });
        return Reflect.apply(original, this, args);
      },
  );
}

/** The first of an acknowledgement, its refusal, and the end of the lease counts. */
function settle(message: object, outcome: Outcome): void {
  const open = opened.get(message);
  if (open === undefined || open.state.outcome !== undefined) return;
  open.state.outcome = outcome;
  open.delivery.release();
}

const processOperation: Operation<unknown, State> = {
  title: "@google-cloud/pubsub message",
  kind: KIND_CONSUMER,
  leaf: false,
  parent: (call) => call.state.origin.parent,
  start(span, call, capture) {
    const { subscription, message, origin } = call.state;
    span.attributeBlock(serverOf(subscription.pubsub));
    describeDestination(span, PROCESS, nameOf(subscription.name), capture);
    describeMessage(span, message.id, message.data, capture);
    const { publishTime, deliveryAttempt, orderingKey } = message;
    describeDelivery(span, origin, publishTime?.getTime(), deliveryAttempt > 0 ? deliveryAttempt : undefined);
    if (orderingKey) span.attribute(MESSAGING_GCP_PUBSUB_MESSAGE_ORDERING_KEY, capture.text(orderingKey));
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

/** "orders" of "projects/shop/topics/orders". */
function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Source: https://grpc.io/docs/guides/status-codes. */
const GRPC_CODES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
];

function recordGrpcFailure(span: OperationSpan, error: unknown): void {
  recordFailure(span, error);
  const { code } = (error ?? {}) as { code?: unknown };
  const name = typeof code === "number" ? GRPC_CODES[code] : undefined;
  if (name !== undefined) span.fail(name, errorMessage(error));
}
