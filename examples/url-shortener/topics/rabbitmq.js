import { connect } from "amqplib";

const { TOPIC_URL } = process.env;

export async function connectPublisher() {
  const connection = await connect(TOPIC_URL);
  const channel = await connection.createConfirmChannel();
  return async (topic, message) => {
    channel.sendToQueue(topic, Buffer.from(message), { contentType: "application/json" });
    await channel.waitForConfirms();
  };
}

export async function subscribe(topic, onMessage) {
  const connection = await connect(TOPIC_URL);
  const channel = await connection.createChannel();
  await channel.assertQueue(topic);
  await channel.consume(topic, (message) => {
    onMessage(message.content.toString());
    channel.ack(message);
  });
}
