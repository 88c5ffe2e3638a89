// The two applications of kafkajs.test.ts: the scenarios of the messaging contract, and every other way to send and consume.
import kafkajs from "kafkajs";
import { runMessaging } from "./messaging-app.cjs";
import { describeError, failureOf, print, scenario, sleep, spanId, tracer } from "./scenarios-app.cjs";

const { KAFKA_BROKER, DESTINATION } = process.env;
const { Kafka, logLevel } = kafkajs;
const retry = { retries: 8, initialRetryTime: 50, maxRetryTime: 200 };
const kafka = new Kafka({ brokers: [KAFKA_BROKER], clientId: "orders", logLevel: logLevel.NOTHING, retry });
const topic = (name) => `${DESTINATION}_${name}`;

const producer = kafka.producer();
const consumers = [];
/** Kafka's own errors tell where and when, which differs from run to run. */
const describe = (error) => ({ ...describeError(error), keys: Object.keys(error).sort() });

async function work(name) {
  const home = spanId();
  await sleep(2);
  tracer.startActiveSpan(`work ${name}`, (span) => span.end());
  return home !== undefined && spanId() === home;
}

/** Starts a consumer, and resolves once it gets what is sent from now on. */
async function consume(name, topics, config, options = {}) {
  const consumer = kafka.consumer({ groupId: `${DESTINATION}_${name}`, retry, maxWaitTimeInMs: 100, ...options });
  consumers.push(consumer);
  await consumer.connect();
  for (const each of topics) await consumer.subscribe({ topic: each, fromBeginning: true });
  const joined = new Promise((resolve) => consumer.on(consumer.events.GROUP_JOIN, resolve));
  await consumer.run(config);
  await joined;
  return consumer;
}

const nameIn = (message) => JSON.parse(message.value).name;
const json = (name) => JSON.stringify({ name });
const shape = (results) =>
  results.map(({ topicName, partition, errorCode, baseOffset }) => [
    topicName,
    partition,
    errorCode,
    typeof baseOffset,
  ]);

async function ownPublisher() {
  // A header with several values came with version 2.
  const list = kafkajs.Partitioners?.LegacyPartitioner ? { list: ["c", Buffer.from("d")] } : {};
  await scenario("headers and key", async (note) => {
    const messages = [
      {
        key: Buffer.from("session:abc123"),
        value: Buffer.from(json("headers and key")),
        partition: 2,
        headers: { text: "a", bytes: Buffer.from("b"), ...list, traceparent: "00-stale" },
      },
    ];
    const record = { topic: topic("own"), acks: -1, messages };
    const frozen = Object.freeze({ ...record, messages: Object.freeze(messages.map((each) => Object.freeze(each))) });
    note(shape(await producer.send(frozen)), Object.keys(messages[0].headers), frozen.messages === messages);
  });
  await scenario("tombstone", async (note) => {
    note(
      shape(
        await producer.send({ topic: topic("tombstones"), messages: [{ key: "gone", value: null, partition: 0 }] }),
      ),
    );
  });
  await scenario("no acks", async (note) => {
    note(await producer.send({ topic: topic("own"), acks: 0, messages: [{ value: json("no acks"), partition: 0 }] }));
  });
  await scenario("several", async (note) => {
    const messages = [1, 2, 3].map((index) => ({ value: json(`several ${index}`), partition: 1 }));
    note(shape(await producer.send({ topic: topic("own"), messages })));
  });
  await scenario("several topics", async (note) => {
    const topicMessages = ["own", "tombstones"].map((name) => ({
      topic: topic(name),
      messages: [{ value: json(`several topics ${name}`), partition: 0 }],
    }));
    note(
      shape(await producer.sendBatch({ topicMessages })).sort(),
      topicMessages.map(({ messages }) => Object.keys(messages[0])),
    );
  });
  await scenario("batch of one topic", async (note) => {
    const messages = [{ key: "k", value: json("batch of one topic"), partition: 3 }];
    note(shape(await producer.sendBatch({ topicMessages: [{ topic: topic("own"), messages }] })));
  });
  await scenario("a class of its own", async (note) => {
    class Message {
      value = json("a class of its own");
      partition = 0;
    }
    note(shape(await producer.send({ topic: topic("own"), messages: [new Message()] })));
  });
  await scenario("batches", async () => {
    const messages = [1, 2, 3].map((index) => ({ value: json(`batch ${index}`), partition: 0 }));
    await producer.send({ topic: topic("batches"), messages });
    await sleep(400);
    await producer.send({ topic: topic("batches"), messages: [{ value: json("single"), partition: 0 }] });
  });
  await scenario("failing batch", async () => {
    await producer.send({
      topic: topic("failing"),
      messages: [1, 2].map(() => ({ value: json("failing batch"), partition: 0 })),
    });
  });
  const rejected = {
    "no value": { topic: topic("own"), messages: [{ key: "a" }, { key: "b", value: "c" }] },
    "no messages": { topic: topic("own") },
    "no topic": { messages: [{ value: "x" }] },
    "null message": { topic: topic("own"), messages: [null] },
    nothing: undefined,
  };
  for (const [name, record] of Object.entries(rejected)) {
    await scenario(`rejected: ${name}`, async (note) => {
      note(describe(await failureOf(() => producer.send(record))));
    });
  }
  await scenario("rejected: odd batch", async (note) => {
    const topicMessages = [{ topic: topic("own"), messages: [{ value: "x" }] }, { topic: topic("own") }];
    note(describe(await failureOf(() => producer.sendBatch({ topicMessages }))));
  });
  await scenario("transactions", async (note, where) => {
    const ends = [];
    const transactional = kafka.producer({ transactionalId: `${DESTINATION}_tx`, maxInFlightRequests: 1, retry });
    await transactional.connect();
    const committed = await transactional.transaction();
    where();
    const messages = [{ value: json("in a transaction"), partition: 0 }];
    note(shape(await committed.send({ topic: topic("own"), messages })), Object.keys(messages[0]));
    const topicMessages = [{ topic: topic("own"), messages: [{ value: json("in its batch"), partition: 0 }] }];
    note(shape(await committed.sendBatch({ topicMessages })));
    const offsets = [{ topic: topic("own"), partitions: [{ partition: 0, offset: "1" }] }];
    ends.push(await committed.sendOffsets({ consumerGroupId: `${DESTINATION}_tx`, topics: offsets }));
    ends.push(committed.isActive(), await committed.commit(), committed.isActive());
    where();
    note(describe(await failureOf(() => committed.send({ topic: topic("own"), messages }))));

    const aborted = await transactional.transaction();
    note(shape(await aborted.send({ topic: topic("aborted"), messages: [{ value: json("aborted"), partition: 0 }] })));
    note(describe(await failureOf(() => transactional.transaction())));
    ends.push(await aborted.abort(), aborted.isActive());
    note(ends, Object.keys(aborted).sort(), describe(await failureOf(() => producer.transaction())));
    await transactional.disconnect();
  });
  await sleep(1500);
}

async function ownConsumer() {
  let failures = 0;
  const own = {
    async eachMessage({ message, partition, topic: name }) {
      if (message.value === null) {
        print("handled tombstone", [message.key.toString(), message.value], [await work("tombstone")]);
        return;
      }
      const { text, bytes, list } = message.headers ?? {};
      const headers = [text, bytes, ...(list ?? [])].filter(Boolean).map(String);
      const what = nameIn(message);
      print(
        `handled ${what} of ${name === topic("own") ? "own" : "tombstones"}`,
        [partition, headers],
        [await work(what)],
      );
    },
  };
  const batches = {
    async eachBatch({ batch, resolveOffset, heartbeat }) {
      const names = batch.messages.map(nameIn).join();
      print(`handled ${names}`, [batch.partition, typeof batch.firstOffset()], [await work(names)]);
      resolveOffset(batch.lastOffset());
      await heartbeat();
    },
  };
  const failing = {
    async eachBatch({ batch }) {
      const attempt = ++failures;
      print(`failing batch ${attempt}`, [batch.messages.length], [await work(`failing ${attempt}`)]);
      if (attempt === 1) throw new Error("from the batch");
    },
  };
  // At once, because the emulator takes seconds to let a group begin.
  await Promise.all([
    consume("own", [topic("own"), topic("tombstones")], own),
    consume("batches", [topic("batches")], batches),
    consume("failing", [topic("failing")], failing),
  ]);
}

runMessaging({
  async open() {
    await producer.connect();
  },
  publish: (value, { headers, key }) => producer.send({ topic: DESTINATION, messages: [{ key, value, headers }] }),
  publishBytes: (value) => producer.send({ topic: DESTINATION, messages: [{ value }] }),
  async publishFailing() {
    await kafka.producer().send({ topic: DESTINATION, messages: [{ value: "x" }] });
  },
  shape: (results) => results.map(({ topicName, errorCode, baseOffset }) => [topicName, errorCode, typeof baseOffset]),
  async consume(handler) {
    await consume("contract", [DESTINATION], {
      eachMessage({ message }) {
        const body = message.value[0] === 123 ? message.value.toString() : "bytes";
        const headers = Object.entries(message.headers ?? {}).map(([key, value]) => [key, String(value)]);
        return handler({ body, headers: Object.fromEntries(headers) });
      },
    });
  },
  async close() {
    await Promise.all([producer.disconnect(), ...consumers.map((each) => each.disconnect())]);
  },
  functions: () => [
    Kafka.prototype.producer,
    Kafka.prototype.consumer,
    producer.send,
    producer.sendBatch,
    producer.transaction,
  ],
  own: (role) => (role === "publisher" ? ownPublisher() : ownConsumer()),
});
