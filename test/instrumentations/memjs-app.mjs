// The application of memjs.test.ts: the cache contract, and what is particular to memjs. Promises came with 1.2.
import { once } from "node:events";
import net from "node:net";
import memjs from "memjs";
import { runCache } from "./cache-app.cjs";
import { describeError, failureOf } from "./scenarios-app.cjs";

const server = process.env.MEMCACHED_SERVER;
const logger = { log() {} };
const open = (address = server, options = {}) => memjs.Client.create(address, { logger, ...options });

const text = (value) => (Buffer.isBuffer(value) ? value.toString() : value);
/** The first result a command calls back with. */
const promised = (start) =>
  new Promise((resolve, reject) => {
    start((error, result) => (error ? reject(error) : resolve(text(result))));
  });
/** All that a command calls back with; `where` is asked inside. */
const called = (start, where = () => {}) =>
  new Promise((resolve) => {
    start((error, ...results) => {
      where();
      resolve({ error: error && describeError(error), results: results.map(text) });
    });
  });

/** A command to a server that treats its connections like this. */
async function ask(treat, where) {
  const hanging = net.createServer((socket) => treat(socket.on("error", () => {})));
  await once(hanging.listen(0, "127.0.0.1"), "listening");
  const away = open(`127.0.0.1:${hanging.address().port}`, { retries: 1, timeout: 0.1 });
  const { error } = await called((done) => away.get("a", done), where);
  away.close();
  hanging.close();
  return error;
}

let cache;
let other;
let hasPromises;

const set = (key, value, expires) =>
  hasPromises ? cache.set(key, value, { expires }) : promised((done) => cache.set(key, value, { expires }, done));
const get = (key) =>
  hasPromises ? cache.get(key).then(({ value }) => text(value)) : promised((done) => cache.get(key, done));

const own = {
  async bytes(note) {
    note(await called((done) => cache.set("bytes", Buffer.from([0, 255, 1]), {}, done)));
    note(await called((done) => cache.get("bytes", done)));
  },

  async writes(note, where) {
    note(await called((done) => cache.add("lock", "1", { expires: 60 }, done), where));
    note(await called((done) => cache.add("lock", "1", { expires: 60 }, done)));
    note(await called((done) => cache.replace("lock", "2", { expires: 60 }, done)));
    note(await called((done) => cache.replace("nope", "2", { expires: 60 }, done)));
    note(
      await called((done) => cache.append("lock", "3", done)),
      await called((done) => cache.append("nope", "3", done)),
    );
    note(await called((done) => cache.increment("count", 2, { initial: 5 }, done), where));
    note(await called((done) => cache.decrement("count", 1, {}, done)));
    note(await called((done) => cache.touch("nope", 30, done)));
    note(await called((done) => cache.delete("count", done)), await called((done) => cache.delete("count", done)));
    note(await called((done) => cache.set("big", "x".repeat(2_000_000), {}, done)));
  },

  async "all servers"(note, where) {
    note((await called((done) => cache.stats(done), where)).results.length);
    note((await called((done) => cache.flush(done), where)).results.length);
    note(memjs.Client.prototype.perform.length, memjs.Client.prototype.flush.name, Object.keys(memjs.Client.prototype));
  },

  async promises(note, where) {
    if (!hasPromises) return;
    note(await cache.delete("nowhere"));
    where();
    note(Object.keys(await cache.flush()).length);
    note(describeError(await failureOf(() => cache.set("big", "x".repeat(2_000_000), {}))));
    where();
  },

  async refused(note, where) {
    const refusing = net.createServer();
    await once(refusing.listen(0, "127.0.0.1"), "listening");
    const { port } = refusing.address();
    refusing.close();
    const away = open(`127.0.0.1:${port}`, { retries: 2, retry_delay: 0.01 });
    const { error } = await called((done) => away.get("a", done), where);
    note(error.code);
    away.close();
    const failing = open(`127.0.0.1:${port},${server}`, { retries: 1, failover: true, failoverTime: 60 });
    note((await called((done) => failing.set("b", "1", {}, done), where)).results);
    note((await called((done) => failing.set("a", "1", {}, done), where)).results);
    failing.close();
  },

  timeout: async (note, where) => note((await ask((socket) => socket.resume(), where)).message),
};

runCache({
  async open() {
    cache = open();
    other = open();
    hasPromises = cache.get("nowhere") instanceof Promise;
    await promised((done) => cache.flush(done));
  },
  close() {
    cache.close();
    other.close();
    // Its clients of servers that are away have timers left.
    setImmediate(() => process.exit(0));
  },
  get,
  set: (key, value) => set(key, value, 0),
  setEx: set,
  setExAt: set,
  expire: (key, seconds) =>
    hasPromises ? cache.touch(key, seconds) : promised((done) => cache.touch(key, seconds, done)),
  // A callback that throws leaves its connection unusable.
  callback: (key, done) => void other.get(key, done),
  fail: () => (hasPromises ? cache.increment("here", 1) : promised((done) => cache.increment("here", 1, {}, done))),
  async loseConnection() {
    const { code } = await ask((socket) => socket.on("data", () => socket.resetAndDestroy()));
    throw new Error(code);
  },
  async hostile() {
    // The library itself takes its value.
    const key = Object.assign(new String("here"), {
      toString() {
        throw new Error("hostile");
      },
    });
    return [await get(key), await get("here")];
  },
  own,
});
