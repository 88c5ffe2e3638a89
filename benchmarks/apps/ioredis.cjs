const { createServer } = require("node:http");
const { Redis } = require("ioredis");
const { listen } = require("./listen.cjs");

const redis = new Redis(process.env.REDIS_URL);
const server = createServer(async (request, response) => {
  let characters = 0;
  for (let i = 0; i < 10; i++) characters += (await redis.get(`bench:user:${i}`)).length;
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ characters }));
});
redis.once("ready", () => listen(server));
