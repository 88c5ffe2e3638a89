import { Redis } from "ioredis";

const { TOPIC_URL } = process.env;

export function connectPublisher() {
  const redis = new Redis(TOPIC_URL);
  return (topic, message) => redis.publish(topic, message);
}

export async function subscribe(topic, onMessage) {
  const redis = new Redis(TOPIC_URL);
  redis.on("message", (_channel, message) => onMessage(message));
  await redis.subscribe(topic);
}
