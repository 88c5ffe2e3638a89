/**
 * kafkajs: `producer.send` and `sendBatch`, alone and in transactions, and a consumer's `eachMessage` and `eachBatch`.
 *
 * A send is a PRODUCER span, however many messages it has, until the brokers acknowledge it; every message carries its
 * context in its headers. A message in `eachMessage` is a CONSUMER span; so is a batch in `eachBatch`, with a link to the
 * publisher of each message. A batch of one message is that message.
 *
 * Known limitations:
 * - `sendBatch` to several topics is one span without a destination.
 * - Brokers before 0.11 have no message headers: context does not travel.
 * - Kafka does not count deliveries: the delivery attempt is how often this consumer has started on the message in a row.
 * - Fetches, commits of offsets, and the begin, commit and abort of a transaction are no spans.
 */
import type { Capture } from "../src/capture/capture.ts";
import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import type { Operation, OperationSpan } from "../src/instrumentation/operation.ts";
import { returned } from "../src/instrumentation/settlement.ts";
import {
  beginOperation,
  type BoundOperation,
  type OperationCall,
  recordFailure,
} from "../src/instrumentation/trace-operation.ts";
import {
  MESSAGING_CLIENT_ID,
  MESSAGING_CONSUMER_GROUP_NAME,
  MESSAGING_DESTINATION_PARTITION_ID,
  MESSAGING_KAFKA_CLUSTER_ID,
  MESSAGING_KAFKA_MESSAGE_KEY,
  MESSAGING_KAFKA_MESSAGE_TOMBSTONE,
  MESSAGING_KAFKA_OFFSET,
  MESSAGING_SYSTEM,
  SERVER_ADDRESS,
  SERVER_PORT,
} from "../src/semconv/attributes.ts";
import { AttributeBlock } from "../src/trace/attributes.ts";
import { ROOT_CONTEXT } from "../src/trace/context.ts";
import { KIND_CONSUMER, KIND_PRODUCER } from "../src/trace/span-kind.ts";
import {
  type Carrier,
  carrierOf,
  describeBatch,
  describeDelivery,
  describeDestination,
  describeMessage,
  type Headers,
  type Origin,
  originOf,
  PROCESS,
  runHandler,
  SEND,
} from "./shared/messaging.ts";

const VERSIONS = ">=1.15 <3";

const kafkajs: Instrumentation = defineInstrumentation({
  name: "kafkajs",
  modules: [
    { name: "kafkajs", versions: VERSIONS, file: "src/index.js", patch: patchClient },
    { name: "kafkajs", versions: VERSIONS, file: "src/consumer/runner.js", patch: patchRunner },
  ],
});
export default kafkajs;

type AnyFunction = (...args: any[]) => any;

/** A message to send, as the application wrote it. */
interface OutgoingMessage {
  readonly key?: Buffer | string | null;
  readonly value: Buffer | string | null;
  readonly headers?: Headers;
}

interface TopicMessages {
  readonly topic: string;
  readonly messages: readonly OutgoingMessage[];
}

/** A message as it arrived. */
interface IncomingMessage {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly offset: string;
  /** Milliseconds since the epoch, in digits. */
  readonly timestamp: string;
  readonly headers?: Headers;
}

/** What a send tells once it is acknowledged, one entry a partition. */
interface SendResult {
  readonly topicName: string;
  readonly partition: number;
  readonly baseOffset?: string;
}

interface Delivery {
  readonly broker: Broker;
  readonly topic: string;
  readonly partition: number;
  readonly messages: readonly IncomingMessage[];
  readonly origins: readonly Origin[];
  readonly attempt: number;
}

// Sending.

/** The `Kafka` class. */
function patchClient(Kafka: any, kit: Kit): void {
  kit.wrap(
    Kafka.prototype,
    "producer",
    (original) =>
      function producer(this: any, ...args: unknown[]): unknown {
        const [made, cluster] = withCluster(this, () => Reflect.apply(original, this, args));
        try {
          traceProducer(made, brokerOf(cluster), kit);
        } catch (error) {
          kit.owner.disable("kafkajs producer", error);
        }
        return made;
      },
  );
}

/** A producer keeps its cluster to itself; the client makes it while it makes the producer. */
function withCluster(kafka: any, makeProducer: () => any): [producer: any, cluster: object | undefined] {
  let cluster: object | undefined;
  const key = Object.getOwnPropertySymbols(kafka ?? {}).find(
    ({ description }) => description === "private:Kafka:createCluster",
  );
  const createCluster: unknown = key === undefined ? undefined : kafka[key];
  if (key === undefined || typeof createCluster !== "function") return [makeProducer(), undefined];
  const createAndKeep = function (this: unknown, ...args: unknown[]): unknown {
    cluster = Reflect.apply(createCluster, this, args) as object;
    return cluster;
  };
  kafka[key] = createAndKeep;
  try {
    return [makeProducer(), cluster];
  } finally {
    kafka[key] = createCluster;
  }
}

function traceProducer(producer: any, broker: Broker, kit: Kit): void {
  const send = sendOperation("send", broker, kit);
  const sendBatch = sendOperation("sendBatch", broker, kit);
  kit.trace(producer, "send", send);
  kit.trace(producer, "sendBatch", sendBatch);
  kit.wrap(
    producer,
    "transaction",
    (original) =>
      function transaction(this: unknown, ...args: unknown[]): unknown {
        const started = Reflect.apply(original, this, args);
        if (!(started instanceof Promise)) return started;
        return started.then((made) => {
          try {
            kit.trace(made, "send", send);
            kit.trace(made, "sendBatch", sendBatch);
          } catch (error) {
            kit.owner.disable("kafkajs transaction", error);
          }
          return made;
        });
      },
  );
}

function sendOperation(method: "send" | "sendBatch", broker: Broker, kit: Kit): Operation<SendResult[], undefined> {
  return {
    title: `kafkajs producer.${method}`,
    kind: KIND_PRODUCER,
    leaf: true,
    skip: (call) => !isObject(call.args[0]),
    inject(call) {
      const carrier = carrierOf(kit, call.context, broker.host);
      if (carrier === undefined) return;
      const [record] = call.args;
      call.args[0] =
        method === "send"
          ? copyWith(record, "messages", withContext(record.messages, carrier))
          : copyWith(record, "topicMessages", withContextEach(record.topicMessages, carrier));
    },
    start(span, call, capture) {
      const sent = topicMessagesOf(call.args[0], method);
      const topic = sent.every((entry) => entry.topic === sent[0]?.topic) ? sent[0]?.topic : undefined;
      if (typeof topic === "string") describeDestination(span, SEND, topic, capture);
      else {
        span.name = SEND.name;
        span.attributeBlock(SEND.block);
      }
      const messages = sent.flatMap((entry) => entry.messages);
      if (messages.length === 1) describeContent(span, messages[0] as OutgoingMessage, capture);
      else describeBatch(span, messages.length);
    },
    finish(span, result, call) {
      const only = Array.isArray(result) && result.length === 1 ? (result[0] as SendResult) : undefined;
      span.attributeBlock(broker.block(only?.topicName, only?.partition));
      if (only === undefined) return;
      span.attribute(MESSAGING_DESTINATION_PARTITION_ID, String(only.partition));
      const count = topicMessagesOf(call.args[0], method).reduce((sum, { messages }) => sum + messages.length, 0);
      if (count === 1) recordOffset(span, only.baseOffset);
    },
    fail(span, error) {
      span.attributeBlock(broker.block(undefined, undefined));
      recordFailure(span, error);
    },
    settles: returned,
  };
}

/** Both forms of a send as one, without what is none: that is for kafkajs to refuse. */
function topicMessagesOf(record: any, method: "send" | "sendBatch"): readonly TopicMessages[] {
  const entries: unknown = method === "send" ? [record] : record.topicMessages;
  if (!Array.isArray(entries)) return [];
  return entries.filter(isObject).map(({ topic, messages }): TopicMessages => ({
    topic,
    messages: Array.isArray(messages)
      ? messages.filter((message): message is OutgoingMessage => isObject(message))
      : [],
  }));
}

function withContextEach(topicMessages: unknown, carrier: Carrier): unknown {
  if (!Array.isArray(topicMessages)) return topicMessages;
  return topicMessages.map((entry) =>
    isObject(entry) ? copyWith(entry, "messages", withContext(entry["messages"], carrier)) : entry,
  );
}

/** Copies with our headers; what kafkajs is going to complain about stays as it is, because the complaint shows it. */
function withContext(messages: unknown, carrier: Carrier): unknown {
  if (!Array.isArray(messages)) return messages;
  return messages.map((message) =>
    isObject(message) && message["value"] !== undefined
      ? copyWith(message, "headers", { ...(message["headers"] as Headers), ...carrier })
      : message,
  );
}

/** A copy that differs in one property, of an object of any class: kafkajs copies own properties, partitioners may use all. */
function copyWith(object: object, key: string, value: unknown): object {
  const copy: object = Object.create(Object.getPrototypeOf(object) as object | null);
  return Object.assign(copy, object, { [key]: value });
}

// Consuming.

function patchRunner(Runner: any, kit: Kit): void {
  const bound = kit.bind(processOperation);
  const prepared = new WeakSet<object>();
  // The runner has the handlers by then, and every restart of the consumer makes a new one.
  kit.wrap(
    Runner.prototype,
    "start",
    (original) =>
      function start(this: any, ...args: unknown[]): unknown {
        try {
          if (!prepared.has(this)) {
            prepared.add(this);
            traceRunner(this, bound, kit);
          }
        } catch (error) {
          kit.owner.disable("kafkajs consumer.run", error);
        }
        return Reflect.apply(original, this, args);
      },
  );
}

function traceRunner(runner: any, bound: BoundOperation<unknown, Delivery>, kit: Kit): void {
  const { eachMessage, eachBatch, consumerGroup } = runner;
  const broker = brokerOf(consumerGroup?.cluster, consumerGroup?.groupId);
  if (typeof eachMessage === "function") {
    runner.eachMessage = traced(
      eachMessage,
      bound,
      broker,
      kit,
      (payload) => payload,
      (payload) => [payload.message],
    );
  }
  if (typeof eachBatch === "function") {
    runner.eachBatch = traced(
      eachBatch,
      bound,
      broker,
      kit,
      (payload) => payload.batch,
      (payload) => payload.batch.messages,
    );
  }
}

/** A handler of the application's, run in the context of what it processes. */
function traced(
  handler: AnyFunction,
  bound: BoundOperation<unknown, Delivery>,
  broker: Broker,
  kit: Kit,
  placeOf: (payload: any) => { topic: string; partition: number },
  messagesOf: (payload: any) => readonly IncomingMessage[],
): AnyFunction {
  return function (this: unknown, payload: any): unknown {
    let call: OperationCall<Delivery> | undefined;
    try {
      if (kit.owner.enabled) {
        const { topic, partition } = placeOf(payload);
        const messages = messagesOf(payload);
        const origins = messages.map(({ headers }) => originOf(kit, headers));
        const attempt = broker.countAttempt(topic, partition, messages[0]?.offset);
        call = beginOperation(bound, this, [], { broker, topic, partition, messages, origins, attempt });
      }
    } catch (error) {
      kit.owner.disable("kafkajs consumer", error);
    }
    return runHandler(kit, call, handler, this, [payload]);
  };
}

const processOperation: Operation<unknown, Delivery> = {
  title: "kafkajs consumer",
  kind: KIND_CONSUMER,
  leaf: false,
  parent({ state: { origins } }) {
    return origins.length === 1 ? (origins[0] as Origin).parent : ROOT_CONTEXT;
  },
  start(span, call, capture) {
    const { broker, topic, partition, messages, origins, attempt } = call.state;
    describeDestination(span, PROCESS, topic, capture);
    span.attributeBlock(broker.block(topic, partition));
    span.attribute(MESSAGING_DESTINATION_PARTITION_ID, String(partition));
    const [first] = messages;
    if (first === undefined) return;
    const [origin] = origins as [Origin];
    const publishedAt = Number(first.timestamp);
    describeDelivery(span, origin, publishedAt > 0 ? publishedAt : undefined, attempt);
    if (messages.length > 1) return describeBatch(span, messages.length, origins.slice(1));
    describeContent(span, first, capture);
    recordOffset(span, first.offset);
  },
};

function describeContent(
  span: OperationSpan,
  { key, value }: OutgoingMessage | IncomingMessage,
  capture: Capture,
): void {
  if (key !== undefined && key !== null && capture.messages) {
    const text = typeof key === "string" ? key : Buffer.isBuffer(key) ? key.toString("utf8") : undefined;
    if (text !== undefined) span.attribute(MESSAGING_KAFKA_MESSAGE_KEY, capture.key(text));
  }
  if (value === null) span.attribute(MESSAGING_KAFKA_MESSAGE_TOMBSTONE, true);
  else if (typeof value === "string" || Buffer.isBuffer(value)) describeMessage(span, undefined, value, capture);
}

function recordOffset(span: OperationSpan, offset: string | undefined): void {
  const number = Number(offset);
  if (offset !== undefined && number >= 0) span.attribute(MESSAGING_KAFKA_OFFSET, number);
}

// The brokers.

/** Of partitions and their leaders: a client of a big cluster knows tens of thousands. */
const MAX_REMEMBERED = 10_000;

const brokers = new WeakMap<object, Broker>();

/** What a producer or a consumer is connected to. A consumer's stays the same when it restarts. */
function brokerOf(cluster: object | undefined, group?: string): Broker {
  let broker = cluster === undefined ? undefined : brokers.get(cluster);
  if (broker === undefined) {
    broker = new Broker(cluster, group);
    if (cluster !== undefined) brokers.set(cluster, broker);
  }
  return broker;
}

interface BrokerAddress {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
}

/** The brokers of one producer or consumer, as its spans name them. */
class Broker {
  /** kafkajs' own, of which not everything may be there yet, or in every version. */
  private readonly cluster: any;
  private readonly group: string | undefined;
  /** The blocks belong to these metadata; kafkajs replaces them as a whole. */
  private metadata: unknown = undefined;
  private readonly blocks = new Map<string, AttributeBlock>();
  private readonly started = new Map<string, { offset: string | undefined; attempt: number }>();

  constructor(cluster: unknown, group: string | undefined) {
    this.cluster = cluster;
    this.group = group;
  }

  /** Of the broker that told about all others. */
  get host(): string | undefined {
    return this.connection?.host;
  }

  /** What spans about this partition have in common; without one, or while its leader is not known, what all have. */
  block(topic: string | undefined, partition: number | undefined): AttributeBlock {
    const metadata = this.cluster?.brokerPool?.metadata;
    if (metadata !== this.metadata || this.blocks.size >= MAX_REMEMBERED) {
      this.metadata = metadata;
      this.blocks.clear();
    }
    const key = `${partition}/${topic}`;
    let block = this.blocks.get(key);
    if (block === undefined) {
      const address = leaderOf(metadata, topic, partition);
      block = new AttributeBlock({
        [MESSAGING_SYSTEM]: "kafka",
        [MESSAGING_CONSUMER_GROUP_NAME]: this.group,
        [MESSAGING_CLIENT_ID]: textOrNothing(this.connection?.clientId),
        [MESSAGING_KAFKA_CLUSTER_ID]: textOrNothing(metadata?.clusterId),
        [SERVER_ADDRESS]: textOrNothing(address?.host),
        [SERVER_PORT]: typeof address?.port === "number" ? address.port : undefined,
      });
      this.blocks.set(key, block);
    }
    return block;
  }

  /** Failed messages come again with the same offset, before any other of their partition. Counts from 1. */
  countAttempt(topic: string, partition: number, offset: string | undefined): number {
    const key = `${partition}/${topic}`;
    const last = this.started.get(key);
    if (last !== undefined) {
      last.attempt = last.offset === offset ? last.attempt + 1 : 1;
      last.offset = offset;
      return last.attempt;
    }
    if (this.started.size >= MAX_REMEMBERED) this.started.clear();
    this.started.set(key, { offset, attempt: 1 });
    return 1;
  }

  private get connection(): any {
    const seed = this.cluster?.brokerPool?.seedBroker;
    // A pool of connections since 2.0.
    return seed?.connectionPool ?? seed?.connection;
  }
}

function leaderOf(metadata: any, topic: string | undefined, partition: number | undefined): BrokerAddress | undefined {
  const known: readonly BrokerAddress[] | undefined = metadata?.brokers;
  if (!Array.isArray(known)) return undefined;
  if (known.length === 1) return known[0] as BrokerAddress;
  const partitions: ReadonlyArray<{ partitionId: number; leader: number }> | undefined = metadata.topicMetadata?.find(
    (entry: { topic: string }) => entry.topic === topic,
  )?.partitionMetadata;
  const leader = partitions?.find(({ partitionId }) => partitionId === partition)?.leader;
  return (known as readonly BrokerAddress[]).find(({ nodeId }) => nodeId === leader);
}

function isObject(value: unknown): value is Record<string, any> {
  return typeof value === "object" && value !== null;
}

function textOrNothing(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
