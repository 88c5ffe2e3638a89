// The cache contract with ioredis; one text for its versions 4 to 6.
import Redis from "ioredis";
import { runCache } from "./cache-app.cjs";

const options = {
  host: "127.0.0.1",
  port: Number(new URL(process.env.REDIS_URL).port),
  db: Number(process.env.REDIS_DATABASE),
};
const clients = [];
function open(extra) {
  const client = new Redis({ ...options, ...extra });
  client.on("error", () => {});
  clients.push(client);
  return client;
}

/** A command that not every version has as a method. */
function call(name, ...args) {
  if (client[name] !== undefined) return client[name](...args);
  const command = new Redis.Command(name, args, { replyEncoding: "utf8" });
  client.sendCommand(command);
  return command.promise;
}

let client;
let other;

runCache({
  async open() {
    client = open();
    other = open();
    await client.flushdb();
  },
  async close() {
    await call("acl", "DELUSER", "hunter2-user");
    for (const each of clients) each.disconnect();
  },
  get: (key) => client.get(key),
  set: (key, value) => client.set(key, value),
  getex: (key, seconds) => call("getex", key, "EX", seconds),
  mget: (keys) => client.mget(keys),
  exists: (key) => client.exists(key),
  setNx: (key, value) => client.set(key, value, "NX"),
  setGet: (key, value) => client.set(key, value, "GET"),
  hset: (key, object) => client.hmset(key, object),
  hget: (key, field) => client.hget(key, field),
  hmget: (key, fields) => client.hmget(key, ...fields),
  hgetall: (key) => client.hgetall(key),
  setEx: (key, value, seconds) => client.set(key, value, "EX", seconds),
  setPx: (key, value, millis) => client.set(key, value, "px", millis),
  setExAt: (key, value, time) => client.set(key, value, "EXAT", time),
  setex: (key, seconds, value) => client.setex(key, seconds, value),
  expire: (key, seconds) => client.expire(key, seconds),
  pipeline: (keys) => keys.reduce((pipeline, key) => pipeline.get(key), client.pipeline()).exec(),
  multi: (keys) => keys.reduce((multi, key) => multi.get(key), client.multi()).exec(),
  callback: (key, done) => void client.get(key, done),
  fail: () => client.lpush("here", "hunter2-argument"),
  auth: (password) => client.auth(password),
  hello: (password) => call("hello", "2", "AUTH", "nobody", password),
  acl: (user, rule) => call("acl", "SETUSER", user, rule),
  wait: (key) => other.blpop(key, 5),
  wake: (key) => client.lpush(key, "up"),
  async loseConnection() {
    const lost = open({ retryStrategy: () => null });
    const id = await lost.client("ID");
    const waiting = lost.blpop("never", 5);
    setTimeout(() => void client.client("KILL", "ID", id), 50);
    return waiting;
  },
  async hostile() {
    client.defineCommand("seven", { numberOfKeys: 0, lua: "return '7'" });
    const { scriptsSet } = client;
    Object.defineProperty(client, "scriptsSet", {
      get() {
        throw new Error("hostile");
      },
    });
    const seven = await client.seven();
    Object.defineProperty(client, "scriptsSet", { value: scriptsSet });
    return [seven, await client.get("here")];
  },
  own: {
    async "forgotten script"(note, where) {
      client.defineCommand("double", { numberOfKeys: 1, lua: "return redis.call('get', KEYS[1]) .. ARGV[1]" });
      note(await client.double("here", "hunter2-x"));
      await client.script("flush");
      note(await client.double("here", "hunter2-y"));
      where();
      note(await client.evalsha("0".repeat(40), 0).catch((error) => error.message));
    },
  },
});
