// The application of redis.test.ts: the cache contract, and what is particular to node-redis. One text for `redis` 4 to 6.
import * as library from "redis";
import { runCache } from "./cache-app.cjs";
import { describeError, failureOf, print, sleep, spanId, tracer } from "./scenarios-app.cjs";

const { createClient, createClientPool, defineScript } = library;
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
const client1Dot5 = typeof createClient().getPubSubListeners === "function";

const own = {
  async raw(note, where) {
    const promise = client.sendCommand(["GET", "here"]);
    note(promise.constructor.name, Object.keys(promise), await promise);
    where();
    note(await client.sendCommand(["get", Buffer.from("here")]));
    note(describeError(await failureOf(() => client.sendCommand(["NOSUCH", "argument-of-hunter2"]))));
    note(describeError(await failureOf(() => client.sendCommand(["GET", 7]))));
    note(Object.keys(client).includes("addCommand"), client.get.length, client.connect.name, client.subscribe.length);
  },

  async batches(note, where) {
    const one = await client.multi().get("here").execAsPipeline();
    note(one, await client.multi().execAsPipeline());
    where();
    note(await client.multi().set("m", "1").get("m").get("nowhere").exec());
    note(describeError(await failureOf(() => client.multi().set("m", "2").lPush("m", "x").exec())));
    note(describeError(await failureOf(() => client.multi().addCommand(["SET", "m"]).get("m").exec())));
    note(describeError(await failureOf(() => client.multi().lPush("here", "x").get("m").execAsPipeline())));
    const watching = await open();
    await watching.watch("m");
    await client.set("m", "3");
    note(describeError(await failureOf(() => watching.multi().set("m", "4").exec())));
    note(
      await watching
        .multi()
        .select(database + 2)
        .get("m")
        .exec(),
      await watching.get("m"),
    );
    await watching.select(database);
    note(await watching.get("m"));
  },

  async scripts(note, where) {
    const lua = "return redis.call('get', KEYS[1]) .. ARGV[1]";
    const double = isVersion4
      ? defineScript({ NUMBER_OF_KEYS: 1, SCRIPT: lua, transformArguments: (key, tail) => [key, tail] })
      : defineScript({
          NUMBER_OF_KEYS: 1,
          SCRIPT: lua,
          parseCommand(parser, key, tail) {
            parser.pushKey(key);
            parser.push(tail);
          },
          transformReply: (reply) => reply,
        });
    const scripted = await open({ scripts: { double } });
    note(await scripted.scriptFlush());
    note(await scripted.double("here", "hunter2-x"));
    where();
    note(await scripted.double("here", "hunter2-y"));
    note(describeError(await failureOf(() => scripted.evalSha("0".repeat(40), { keys: [] }))));
    note(await scripted.eval("return {KEYS[1], ARGV[1]}", { keys: ["here"], arguments: ["hunter2-argument"] }));
    note(await scripted.multi().double("here", "z").double("here", "w").exec());
    await scripted.disconnect();
  },

  async iterators(note) {
    const found = [];
    for await (const keys of client.scanIterator({ MATCH: "c1*", COUNT: 1000 })) found.push(...[keys].flat());
    note(found.length);
  },

  async "commands of two kinds of connection"(note) {
    // What waits for its connection, and what comes back after one was lost.
    const early = createClient({ url, disableClientInfo: true });
    early.on("error", () => {});
    clients.push(early);
    const connecting = early.connect();
    const values = [early.get("here"), early.set("early", "1")];
    await connecting;
    note(await Promise.all(values));
    const id = await early.sendCommand(["CLIENT", "ID"]);
    const ready = new Promise((resolve) => early.once("ready", resolve));
    await client.sendCommand(["CLIENT", "KILL", "ID", String(id)]);
    await ready;
    note(await early.get("early"), await early.ping());
    await early.disconnect();
    note(describeError(await failureOf(() => early.get("here"))));
    const copy = client.duplicate();
    copy.on("error", () => {});
    await copy.connect();
    note(await copy.get("here"));
    await copy.disconnect();
  },

  async abort(note, where) {
    const signal = AbortSignal.abort();
    const waiting = isVersion4
      ? client.get(library.commandOptions({ signal }), "here")
      : client.withAbortSignal(signal).get("here");
    note(await waiting.catch((error) => error.constructor.name));
    where();
  },

  async "client-side cache"(note, where) {
    if (isVersion4) return;
    const caching = await open({ RESP: 3, clientSideCache: { ttl: 0, maxEntries: 10 } });
    note(await caching.get("here"), await caching.get("here"), await caching.get("nowhere"));
    where();
    await client.set("here", "other");
    await sleep(30);
    note(await caching.get("here"), await client.set("here", "value"));
  },

  async pool(note) {
    const use = await pooled();
    const answers = await Promise.all(
      Array.from({ length: 6 }, (_, index) =>
        tracer.startActiveSpan(`pool ${index}`, async (span) => {
          const home = spanId();
          const answer = await use(async (each) => {
            const isHome = spanId() === home;
            await each.set(`pool${index}`, "x");
            return [await each.get(`pool${index}`), isHome && spanId() === home];
          });
          const isHome = spanId() === home;
          span.end();
          return [...answer, isHome];
        }),
      ),
    );
    // Without the preload there is no context to be in.
    note(answers.map(([value]) => value));
    poolContexts = answers.map(([, inside, after]) => [inside, after]);
    await use.close();
  },

  async legacy(note, where) {
    const legacy = isVersion4 ? await open({ legacyMode: true }) : client.legacy();
    await new Promise((resolve) => {
      legacy.get("here", (...args) => {
        where();
        note(args);
        resolve();
      });
    });
    await new Promise((resolve) => {
      legacy.lPush("here", "x", (error, ...rest) => {
        note(describeError(error), rest);
        resolve();
      });
    });
    await new Promise((resolve) => {
      legacy
        .multi()
        .get("here")
        .get("empty")
        .exec((...args) => {
          note(args);
          resolve();
        });
    });
  },

  async "listening and publishing"(note, where) {
    const subscriber = await open();
    const id = await subscriber.sendCommand(["CLIENT", "ID"]);
    const cache = await open();
    const heard = [];
    const onNews = async function (message, channel) {
      heard.push(["news", message, channel, arguments.length]);
      await sleep(20);
      await cache.get("here");
    };
    const onPattern = (message, channel) => heard.push(["n*", message, channel]);
    const onBytes = (message, channel) => heard.push(["bytes", message, channel]);
    await subscriber.subscribe("news", onNews);
    await subscriber.pSubscribe("n*", onPattern);
    await subscriber.subscribe(["other", "third"], onBytes, true);
    await subscriber.subscribe("other", onPattern);
    note(
      [...subscriber.getPubSubListeners("CHANNELS").keys()],
      [...subscriber.getPubSubListeners("PATTERNS").keys()],
      subscriber.isPubSubActive,
    );
    // The companions' subscriptions follow in a round trip of their own.
    await sleep(30);
    await tracer.startActiveSpan("publishing", async (span) => {
      note(await client.publish("news", "one"), await client.publish("other", Buffer.from([0, 255])));
      note(await client.publish("third", JSON.stringify({ password: "hunter2-message" })));
      note(await client.multi().publish("other", "in a transaction").get("here").exec());
      note(await client.multi().publish("other", "in a pipeline").get("here").execAsPipeline());
      note(await client.sendCommand(["MULTI"]), await client.publish("other", "between"));
      note(await client.sendCommand(["EXEC"]));
      note(await client.eval("return redis.call('publish', 'other', 'in a script')", { arguments: [] }));
      span.end();
    });
    where();
    await sleep(60);
    note(heard.splice(0));

    const uncaught = new Promise((resolve) => process.once("unhandledRejection", resolve));
    await subscriber.subscribe("rejecting", async () => {
      await sleep(5);
      throw new Error("from the async listener");
    });
    await sleep(20);
    await tracer.startActiveSpan("rejecting listener", async (span) => {
      await client.publish("rejecting", "x");
      span.end();
    });
    note((await uncaught).message);

    // Reconnecting brings the subscriptions back, and nothing twice.
    const killed = new Promise((resolve) => subscriber.once("ready", resolve));
    await client.sendCommand(["CLIENT", "KILL", "ID", String(id)]);
    await killed;
    await sleep(50);
    await tracer.startActiveSpan("after a reconnect", async (span) => {
      note(await client.publish("news", "again"));
      span.end();
    });
    await sleep(60);
    note(heard.splice(0));

    note(await subscriber.unsubscribe("other", onPattern), await subscriber.pUnsubscribe("n*"));
    note([...subscriber.getPubSubListeners("CHANNELS").keys()]);
    note(await subscriber.unsubscribe("news", onNews), await subscriber.unsubscribe(["other", "third", "rejecting"]));
    note(subscriber.isPubSubActive, await subscriber.get("here"));
    await subscriber.subscribe("again", onPattern);
    await sleep(20);
    note(await subscriber.unsubscribe(), subscriber.isPubSubActive, await subscriber.get("here"));
    note(await client.pubSubChannels("*news*"), await client.pubSubChannels("*again*"));
  },

  async streams(note, where) {
    note(await client.xGroupCreate("orders", "workers", "$", { MKSTREAM: true }));
    const id = await client.xAdd("orders", "*", { item: "book", password: "hunter2-entry" });
    note(typeof id, await client.xAdd("orders", "9999999999999-1", { traceparent: "none", n: "2" }, trimmed()));
    where();
    const read = await client.xReadGroup("workers", "one", { key: "orders", id: ">" }, { COUNT: 1 });
    note(withoutIds(read));
    note(withoutIds(await client.xReadGroup("workers", "one", { key: "orders", id: ">" }, { COUNT: 10 })));
    note(await client.xReadGroup("workers", "one", { key: "orders", id: ">" }));
    note(
      withoutIds(
        await client.xRead([
          { key: "orders", id: "0" },
          { key: "nowhere", id: "0" },
        ]),
      ),
    );
    note(await client.xAck("orders", "workers", id), await client.xLen("orders"));
  },
};

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
  // Before `@redis/client` 1.5 much of it is different: those versions pass the contract.
  own: client1Dot5 ? own : {},
  finish() {
    if (client.isOpen) print("pool contexts", [], poolContexts.flat());
  },
});

let poolContexts = [];

/** What uses a connection of a pool of two. */
async function pooled() {
  if (isVersion4) {
    const isolating = await open({ isolationPoolOptions: { max: 2 } });
    const use = (work) => isolating.executeIsolated(work);
    use.close = () => isolating.disconnect();
    return use;
  }
  const pool = createClientPool({ url, disableClientInfo: true }, { minimum: 1, maximum: 2 });
  pool.on("error", () => {});
  await pool.connect();
  const use = (work) => pool.execute(work);
  use.close = () => pool.close();
  return use;
}

const trimmed = () => ({ TRIM: { strategy: "MAXLEN", strategyModifier: "~", threshold: 1000, limit: 10 } });

/** Entries without the ids the server made. */
function withoutIds(reply) {
  return JSON.parse(JSON.stringify(reply).replaceAll(/\d{13}-\d/g, "id"));
}
