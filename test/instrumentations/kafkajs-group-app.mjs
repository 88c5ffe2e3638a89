// A group of two consumers, each with two of a topic's four partitions; then one of them leaves, and the other has all four.
import kafkajs from "kafkajs";
import { runMain, scenario, tracer } from "./scenarios-app.cjs";

const { KAFKA_BROKER, DESTINATION } = process.env;
const { Kafka, logLevel } = kafkajs;
const retry = { retries: 8, initialRetryTime: 50, maxRetryTime: 200 };
const kafka = new Kafka({ brokers: [KAFKA_BROKER], clientId: "group", logLevel: logLevel.NOTHING, retry });
const producer = kafka.producer();

/** Who has handled what since the last scenario. */
let handled = [];
let onHandled = () => {};

class Member {
  constructor() {
    // The emulator begins anew one second before the session would have ended, whoever has come back by then.
    const times = { maxWaitTimeInMs: 100, heartbeatInterval: 200, sessionTimeout: 6000 };
    this.consumer = kafka.consumer({ groupId: DESTINATION, retry, ...times });
    this.partitions = [];
  }

  async join() {
    await this.consumer.connect();
    await this.consumer.subscribe({ topic: DESTINATION, fromBeginning: true });
    this.consumer.on(this.consumer.events.GROUP_JOIN, ({ payload }) => {
      this.partitions = payload.memberAssignment[DESTINATION] ?? [];
      onHandled();
    });
    await this.consumer.run({
      eachMessage: async ({ message }) => {
        tracer.startActiveSpan(`work ${message.value}`, (span) => span.end());
        handled.push(this);
        onHandled();
      },
    });
  }
}

const until = (isTrue) =>
  new Promise((resolve) => {
    onHandled = () => isTrue() && resolve();
    onHandled();
  });

/** Sends one message to each partition, and notes how many each member has handled. */
async function sendToAll(name, members) {
  await scenario(name, async (note) => {
    handled = [];
    for (const partition of [0, 1, 2, 3])
      await producer.send({ topic: DESTINATION, messages: [{ value: `${name} ${partition}`, partition }] });
    await until(() => handled.length === 4);
    note(members.map((member) => handled.filter((by) => by === member).length));
  });
}

runMain(async () => {
  await producer.connect();
  // The topic comes into being with the first message.
  await producer.send({ topic: DESTINATION, messages: [{ value: "first", partition: 0 }] });
  const [staying, leaving] = [new Member(), new Member()];
  await Promise.all([staying.join(), leaving.join()]);
  await until(() => staying.partitions.length === 2 && leaving.partitions.length === 2 && handled.length === 1);
  await sendToAll("two consumers", [staying, leaving]);
  await leaving.consumer.disconnect();
  await until(() => staying.partitions.length === 4);
  await sendToAll("one has left", [staying]);
  await Promise.all([producer.disconnect(), staying.consumer.disconnect()]);
});
