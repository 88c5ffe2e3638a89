import kafkajs from "kafkajs";

const { TOPIC_URL } = process.env;
const kafka = new kafkajs.Kafka({ brokers: [new URL(TOPIC_URL).host], logLevel: kafkajs.logLevel.ERROR });

export async function connectPublisher() {
  const producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
  await producer.connect();
  return (topic, value) => producer.send({ topic, messages: [{ value }] });
}

export async function subscribe(topic, onMessage) {
  const consumer = kafka.consumer({ groupId: "notifier" });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const joined = new Promise((resolve) => consumer.on(consumer.events.GROUP_JOIN, resolve));
  await consumer.run({ eachMessage: async ({ message }) => onMessage(message.value.toString()) });
  await joined;
}
