/**
 * mqtt (MQTT.js): `publish` and `publishAsync`, and the messages a client gets.
 *
 * A publish is a PRODUCER span, with QoS 1 and 2 until the broker has acknowledged it. A message is a CONSUMER span around
 * its `message` listeners, until the async ones among them are done, and an overridden `handleMessage`. Context travels in
 * the user properties of protocol version 5.
 *
 * Known limitations:
 * - Protocol versions 3.1 and 3.1.1 have no place for context: publishing and processing are two traces.
 * - With QoS 0 and no callback a publish ends when the client has taken the message.
 * - A publish with QoS 1 or 2 that is never acknowledged has no span.
 * - A retained message that a new subscriber gets starts a trace of its own, with a link to its publisher.
 * - A will carries no context: it is sent by the broker.
 */
import { isUtf8 } from "node:buffer";
import type { Capture } from "../src/capture/capture.ts";
import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import type { Operation } from "../src/instrumentation/operation.ts";
import { sameShape } from "../src/instrumentation/settlement.ts";
import { beginOperation, type BoundOperation, type OperationCall } from "../src/instrumentation/trace-operation.ts";
import { toFastBuffer } from "../src/node-buffer.ts";
import {
  MESSAGING_CLIENT_ID,
  MESSAGING_CONSUMER_GROUP_NAME,
  MESSAGING_DESTINATION_TEMPLATE,
  MESSAGING_MESSAGE_CONVERSATION_ID,
  MESSAGING_SYSTEM,
  NETWORK_PROTOCOL_VERSION,
  SERVER_ADDRESS,
  SERVER_PORT,
  TRACEKIT_MQTT_DUPLICATE,
  TRACEKIT_MQTT_QOS,
  TRACEKIT_MQTT_RETAIN,
} from "../src/semconv/attributes.ts";
import { AttributeBlock } from "../src/trace/attributes.ts";
import { KIND_CONSUMER, KIND_PRODUCER } from "../src/trace/span-kind.ts";
import { Delivery, emitDelivery } from "./shared/emitted-messages.ts";
import {
  carrierOf,
  describeDelivery,
  describeDestination,
  describeMessage,
  type Headers,
  type Origin,
  originOf,
  PROCESS,
  PUBLISH,
  publishedAtOf,
} from "./shared/messaging.ts";

const mqtt: Instrumentation = defineInstrumentation({
  name: "mqtt",
  modules: [
    { name: "mqtt", versions: ">=4 <5", file: "lib/client.js", patch: patchClient },
    { name: "mqtt", versions: ">=5 <6", file: "build/lib/client.js", patch: patchModule },
    // 5.0 alone.
    { name: "mqtt", versions: ">=5 <5.1", file: "build/src/lib/client.js", patch: patchModule },
  ],
});
export default mqtt;

type AnyFunction = (...args: any[]) => any;

interface Packet {
  readonly qos?: unknown;
  readonly retain?: unknown;
  readonly dup?: unknown;
  readonly properties?: { readonly userProperties?: Headers; readonly correlationData?: unknown };
}

interface Message {
  readonly topic: string;
  readonly payload: unknown;
  readonly packet: Packet;
  readonly origin: Origin;
}

function patchModule(exports: { default: unknown }, kit: Kit): void {
  patchClient(exports.default, kit);
}

function patchClient(Client: any, kit: Kit): void {
  patchPublish(Client.prototype, kit);
  patchMessages(Client.prototype, kit);
  for (const method of ["subscribe", "unsubscribe"]) {
    kit.wrap(
      Client.prototype,
      method,
      (original) =>
        function (this: any, ...args: unknown[]): unknown {
          subscriptions.delete(this);
          return Reflect.apply(original, this, args);
        },
    );
  }
}

// Publishing.

function patchPublish(prototype: object, kit: Kit): void {
  const bound = kit.bind(publishOperation(kit));
  kit.wrap(
    prototype,
    "publish",
    (original) =>
      function publish(this: any, ...args: any[]): unknown {
        if (!kit.owner.enabled) return Reflect.apply(original, this, args);
        const isShort = typeof args[2] === "function";
        const callback: unknown = isShort ? args[2] : args[3];
        const own = [args[0], args[1], isShort ? undefined : args[2], callback];
        const call = beginOperation<undefined>(bound, this, own);
        if (typeof callback === "function") {
          if (call !== undefined) own[3] = settling(call, callback as AnyFunction);
        } else if (call !== undefined && own[2]?.qos > 0 && this.disconnecting !== true) {
          own[3] = settling(call, undefined);
        }
        let returned: unknown;
        try {
          returned = Reflect.apply(original, this, own);
        } catch (error) {
          call?.fail(error);
          throw error;
        }
        // What a callback would have been told is an event then.
        if (own[3] === undefined && this.disconnecting === true) call?.fail(new Error("client disconnecting"));
        else if (own[3] === undefined) call?.succeed();
        return returned;
      },
  );
}

/** The library waits for a full stream only when it was given a callback, so that one of ours is not always harmless. */
function settling(call: OperationCall, callback: AnyFunction | undefined): AnyFunction {
  const settled = function (this: unknown, ...outcome: unknown[]): unknown {
    if (outcome[0]) call.fail(outcome[0]);
    else call.succeed();
    return callback && call.runInCaller(callback, this, outcome);
  };
  return callback === undefined ? settled : sameShape(settled, callback);
}

function publishOperation(kit: Kit): Operation<unknown, undefined> {
  return {
    title: "mqtt client.publish",
    kind: KIND_PRODUCER,
    leaf: true,
    start(span, call, capture) {
      const [topic, payload, options] = call.args as [unknown, unknown, Packet | null | undefined];
      if (typeof topic === "string") describeDestination(span, PUBLISH, topic, capture);
      span.attributeBlock(brokerOf(call.self));
      describeMessage(span, undefined, contentOf(payload), capture);
      describePacket(call, options ?? {}, capture);
    },
    inject(call) {
      const { options } = call.self;
      if (options?.protocolVersion !== 5) return;
      const carrier = carrierOf(kit, call.context, options.hostname ?? options.host, true);
      if (carrier === undefined) return;
      const given = call.args[2];
      const properties = given?.properties;
      call.args[2] = {
        ...given,
        properties: { ...properties, userProperties: { ...properties?.userProperties, ...carrier } },
      };
    },
  };
}

// Messages.

function patchMessages(prototype: any, kit: Kit): void {
  const bound = kit.bind(processOperation);
  const ignoresMessages: unknown = prototype.handleMessage;
  kit.wrap(
    prototype,
    "emit",
    (original) =>
      function emit(this: any, event: unknown): unknown {
        if (event !== "message" || !kit.owner.enabled) return Reflect.apply(original, this, arguments);
        const isOverridden = this.handleMessage !== ignoresMessages;
        const isHandled = isOverridden || this.listenerCount("message") > 0;
        const call = isHandled ? beginProcess(bound, this, arguments, kit) : undefined;
        if (call === undefined) return Reflect.apply(original, this, arguments);
        const delivery = new Delivery(call);
        try {
          const args = [this, Array.from(arguments), original, delivery] as const;
          const returned = kit.tracing.run(call.context, emitDelivery, undefined, args as any);
          if (isOverridden) delegateOnce(this, call, delivery, kit);
          return returned;
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
  bound: BoundOperation<unknown, Message>,
  client: any,
  args: ArrayLike<any>,
  kit: Kit,
): OperationCall<Message> | undefined {
  try {
    const [, topic, payload, packet] = args as unknown as [unknown, unknown, unknown, Packet | undefined];
    if (typeof topic !== "string") return undefined;
    const origin = originOf(kit, packet?.properties?.userProperties);
    return beginOperation(bound, client, [], { topic, payload, packet: packet ?? {}, origin });
  } catch (error) {
    kit.owner.disable("mqtt message", error);
    return undefined;
  }
}

/**
 * The client calls `handleMessage` right after the listeners, with nothing of the application's in between: for that one
 * call, it finds ours.
 */
function delegateOnce(client: any, call: OperationCall, delivery: Delivery, kit: Kit): void {
  const own = Object.getOwnPropertyDescriptor(client, "handleMessage");
  if (own !== undefined && own.configurable !== true) return;
  const handleMessage: AnyFunction = client.handleMessage;
  let isPending = true;
  const restore = (): boolean => {
    if (!isPending) return false;
    isPending = false;
    if (own === undefined) delete client.handleMessage;
    else Object.defineProperty(client, "handleMessage", own);
    return true;
  };
  delivery.hold();
  Object.defineProperty(client, "handleMessage", {
    configurable: true,
    enumerable: own?.enumerable ?? false,
    writable: true,
    value(this: unknown, packet: unknown, done: AnyFunction): unknown {
      restore();
      const settled = function (this: unknown, ...outcome: unknown[]): unknown {
        if (outcome[0]) delivery.fail(outcome[0]);
        else delivery.release();
        return Reflect.apply(done, this, outcome);
      };
      try {
        return kit.tracing.run(call.context, handleMessage, this, [packet, sameShape(settled, done)]);
      } catch (error) {
        delivery.fail(error);
        throw error;
      }
    },
  });
  queueMicrotask(() => {
    if (restore()) delivery.release();
  });
}

const processOperation: Operation<unknown, Message> = {
  title: "mqtt message",
  kind: KIND_CONSUMER,
  leaf: false,
  // What a broker keeps for subscribers to come may be from long ago.
  parent: ({ state: { packet, origin } }) =>
    packet.retain === true ? origin.parent.withSpan(undefined) : origin.parent,
  start(span, call, capture) {
    const { topic, payload, packet, origin } = call.state;
    const { template, group } = subscriptionOf(call.self, topic);
    describeDestination(span, PROCESS, topic, capture, template);
    span.attributeBlock(brokerOf(call.self));
    if (template !== undefined) span.attribute(MESSAGING_DESTINATION_TEMPLATE, capture.text(template));
    if (group !== undefined) span.attribute(MESSAGING_CONSUMER_GROUP_NAME, capture.text(group));
    describeMessage(span, undefined, contentOf(payload), capture);
    describeDelivery(span, origin, publishedAtOf(packet.properties?.userProperties), undefined);
    describePacket(call, packet, capture);
  },
};

function contentOf(payload: unknown): string | Uint8Array | undefined {
  return typeof payload === "string" || payload instanceof Uint8Array ? payload : undefined;
}

function describePacket(
  { span, self }: OperationCall,
  { qos, retain, dup, properties }: Packet,
  capture: Capture,
): void {
  span.attribute(TRACEKIT_MQTT_QOS, typeof qos === "number" ? qos : 0);
  if (retain === true) span.attribute(TRACEKIT_MQTT_RETAIN, true);
  if (dup === true) span.attribute(TRACEKIT_MQTT_DUPLICATE, true);
  if (self.options?.protocolVersion !== 5) return;
  const id = properties?.correlationData;
  if (!(id instanceof Uint8Array) || id.byteLength === 0) return;
  const bytes = toFastBuffer(id);
  const text = isUtf8(id) ? capture.text(bytes.toString()) : bytes.hexSlice(0, bytes.length);
  span.attribute(MESSAGING_MESSAGE_CONVERSATION_ID, text);
}

// The client.

const PROTOCOL_VERSIONS: Readonly<Record<number, string>> = { 3: "3.1", 4: "3.1.1", 5: "5.0" };

interface Connection {
  readonly host: unknown;
  readonly port: unknown;
  readonly block: AttributeBlock;
}

const connections = new WeakMap<object, Connection>();

/** A client may go from server to server: its options name the one of now. */
function brokerOf(client: any): AttributeBlock {
  const { options = {} } = client;
  const host: unknown = options.hostname ?? options.host;
  const { port, clientId, protocolVersion } = options;
  let connection = connections.get(client);
  if (connection === undefined || connection.host !== host || connection.port !== port) {
    const block = new AttributeBlock({
      [MESSAGING_SYSTEM]: "mqtt",
      [MESSAGING_CLIENT_ID]: typeof clientId === "string" && clientId !== "" ? clientId : undefined,
      [NETWORK_PROTOCOL_VERSION]: PROTOCOL_VERSIONS[protocolVersion],
      [SERVER_ADDRESS]: typeof host === "string" ? host : undefined,
      [SERVER_PORT]: Number(port) > 0 ? Number(port) : undefined,
    });
    connections.set(client, (connection = { host, port, block }));
  }
  return connection.block;
}

/** A subscription with wildcards, and of a shared one its group. */
interface Subscription {
  readonly template: string | undefined;
  readonly group: string | undefined;
}

const MAX_REMEMBERED_TOPICS = 1000;

/** By client and topic; forgotten when it subscribes or unsubscribes. */
const subscriptions = new WeakMap<object, Map<string, Subscription>>();

/** Which of its subscriptions a message came by; the client keeps them for its next connection. */
function subscriptionOf(client: any, topic: string): Subscription {
  let known = subscriptions.get(client);
  if (known === undefined) subscriptions.set(client, (known = new Map()));
  let subscription = known.get(topic);
  if (subscription === undefined) {
    subscription = findSubscription(Object.keys(client._resubscribeTopics ?? {}), topic);
    if (known.size >= MAX_REMEMBERED_TOPICS) known.clear();
    known.set(topic, subscription);
  }
  return subscription;
}

function findSubscription(filters: readonly string[], topic: string): Subscription {
  for (const filter of filters) {
    const [, group, shared] = /^\$share\/([^/]+)\/(.+)$/s.exec(filter) ?? [];
    const pattern = shared ?? filter;
    if (matches(pattern, topic)) return { group, template: pattern === topic ? undefined : pattern };
  }
  return { group: undefined, template: undefined };
}

/** Topic filters: MQTT 5.0, §4.7. */
function matches(filter: string, topic: string): boolean {
  const wanted = filter.split("/");
  const levels = topic.split("/");
  for (const [index, level] of wanted.entries()) {
    if (level === "#") return true;
    if (index >= levels.length || (level !== "+" && level !== levels[index])) return false;
  }
  return wanted.length === levels.length;
}
