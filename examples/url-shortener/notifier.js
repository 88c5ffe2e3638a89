import { Redis } from "ioredis";

const redis = new Redis(process.env.REDIS_URL);

redis.on("message", (_channel, message) => {
  const { type, id, url } = JSON.parse(message);
  console.log(`${id} was ${type}: ${url}`);
});

await redis.subscribe("url-events");
console.log("subscribed");
