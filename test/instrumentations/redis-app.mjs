// The application of redis.test.ts: the cache contract, and what is particular to node-redis. One text for `redis` 4 to 6.
import { trace } from "@opentelemetry/api";
import * as library from "redis";
import { runCache } from "./cache-app.cjs";
import { describeError, failureOf, print, scenario, sleep, spanId, tracer } from "./scenarios-app.cjs";

const { createClient, createClientPool } = library;
const database = Number(process.env.REDIS_DATABASE);
const url = `${process.env.REDIS_URL}/${database}`;
const isVersion4 = createClientPool === undefined;

const clients = [];
/** Connected, and closed at the end. */
async function open(options) {
  const client = createClient({ url, disableClientInfo: true, ...options });
  client.on("error", () => {});
  clients.push(client);
  await client.connect();
  return client;
}

let client;
let other;

runCache({
  async open() {
    client = await open();
    other = await open();
    await client.flushDb();
  },
  async close() {
    await client.aclDelUser("hunter2-user");
    for (const each of clients) if (each.isOpen) await each.disconnect();
  },
  get: (key) => client.get(key),
  set: (key, value) => client.set(key, value),
  getex: (key, seconds) => client.getEx(key, { EX: seconds }),
  mget: (keys) => client.mGet(keys),
  exists: (key) => client.exists(key),
  setNx: (key, value) => client.set(key, value, { NX: true }),
  setGet: (key, value) => client.set(key, value, { GET: true }),
  hset: (key, object) => client.hSet(key, object),
  hget: (key, field) => client.hGet(key, field),
  hmget: (key, fields) => client.hmGet(key, fields),
  hgetall: (key) => client.hGetAll(key),
  setEx: (key, value, seconds) => client.set(key, value, { EX: seconds }),
  setPx: (key, value, millis) => client.set(key, value, { PX: millis }),
  setExAt: (key, value, time) => client.set(key, value, { EXAT: time }),
  setex: (key, seconds, value) => client.setEx(key, seconds, value),
  expire: (key, seconds) => client.expire(key, seconds),
  pipeline: (keys) => keys.reduce((multi, key) => multi.get(key), client.multi()).execAsPipeline(),
  multi: (keys) => keys.reduce((multi, key) => multi.get(key), client.multi()).exec(),
  fail: () => client.lPush("here", "hunter2-argument"),
  auth: (password) => client.auth({ password }),
  hello: (password) => client.hello(2, { AUTH: { username: "nobody", password }, protover: 2 }),
  acl: (user, rule) => client.aclSetUser(user, rule),
  wait: (key) => other.blPop(key, 5),
  wake: (key) => client.lPush(key, "up"),
  async loseConnection() {
    const lost = await open();
    const id = await lost.clientId();
    const waiting = lost.blPop("never", 5);
    setTimeout(() => void client.sendCommand(["CLIENT", "KILL", "ID", String(id)]), 50);
    return waiting;
  },
  async hostile() {
    const argument = new Proxy(Buffer.from("x"), {
      getPrototypeOf() {
        throw new Error("hostile");
      },
    });
    const failure = describeError(await failureOf(() => client.sendCommand(["GET", argument])));
    return [failure, await client.get("here")];
  },
  own: {
    async raw(note, where) {
      const promise = client.sendCommand(["GET", "here"]);
      note(promise.constructor.name, Object.keys(promise), await promise);
      where();
      note(await client.sendCommand(["get", Buffer.from("here")]));
      note(describeError(await failureOf(() => client.sendCommand(["NOSUCH", "argument-of-hunter2"]))));
      note(describeError(await failureOf(() => client.sendCommand(["GET", 7]))));
    },
  },
});
void [trace, print, scenario, sleep, spanId, tracer, isVersion4];
