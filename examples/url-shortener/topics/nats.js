import { connect, StringCodec } from "nats";

const { TOPIC_URL } = process.env;
const text = StringCodec();

export async function connectPublisher() {
  const connection = await connect({ servers: TOPIC_URL });
  return async (topic, message) => connection.publish(topic, text.encode(message));
}

export async function subscribe(topic, onMessage) {
  const connection = await connect({ servers: TOPIC_URL });
  connection.subscribe(topic, { callback: (_error, message) => onMessage(text.decode(message.data)) });
  await connection.flush();
}
