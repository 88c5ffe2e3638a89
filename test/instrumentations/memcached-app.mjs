// The application of memcached.test.ts: the cache contract, and what is particular to memcached.
import { once } from "node:events";
import net from "node:net";
import Memcached from "memcached";
import { runCache } from "./cache-app.cjs";
import { describeError, sleep } from "./scenarios-app.cjs";

const server = process.env.MEMCACHED_SERVER;
let cache;

/** The result a command calls back with. */
const promised = (start) =>
  new Promise((resolve, reject) => {
    start((error, result) => (error ? reject(Array.isArray(error) ? error[0] : error) : resolve(result)));
  });

/** Resolves with what the callback was given; `where` is asked inside it. */
const called = (start, where = () => {}) =>
  new Promise((resolve) => {
    start(function (error, result) {
      where();
      const { type, key } = this ?? {};
      resolve({ error: error && describeError(Array.isArray(error) ? error[0] : error), result, type, key });
    });
  });

/** A client of a server that may go away. */
function unsure(address, options) {
  const client = new Memcached(address, { retries: 0, ...options });
  client.on("issue", () => {});
  client.on("failure", () => {});
  return client;
}

/** Whether a command to a server that treats its connections like this is ever answered. */
async function isAnswered(treat, millis, options) {
  const hanging = net.createServer((socket) => treat(socket.on("error", () => {})));
  await once(hanging.listen(0, "127.0.0.1"), "listening");
  const away = unsure(`127.0.0.1:${hanging.address().port}`, options);
  let answered = false;
  away.get("a", () => (answered = true));
  await sleep(millis);
  away.end();
  hanging.close();
  return answered;
}

const own = {
  async gets(note, where) {
    note(await called((done) => cache.gets("here", done), where).then(({ result }) => Object.keys(result)));
    note(await called((done) => cache.gets("nowhere", done), where));
  },

  async values(note) {
    for (const [key, value] of [
      ["number", 42],
      ["bytes", Buffer.from([0, 255, 1])],
      ["json", { title: "T", password: "hunter2-hash" }],
    ]) {
      note(await called((done) => cache.set(key, value, 10, done)));
      note(await called((done) => cache.get(key, done)));
    }
  },

  async writes(note) {
    note(
      await called((done) => cache.add("lock", "1", 60, done)),
      await called((done) => cache.add("lock", "1", 60, done)),
    );
    note(await called((done) => cache.replace("lock", "2", 60, done)));
    note(await called((done) => cache.replace("nope", "2", 60, done)));
    note(
      await called((done) => cache.append("lock", "3", done)),
      await called((done) => cache.prepend("lock", "1", done)),
    );
    const { result } = await called((done) => cache.gets("lock", done));
    note(await called((done) => cache.cas("lock", "4", result.cas, 90, done)).then((each) => each.result));
    note(await called((done) => cache.cas("lock", "5", result.cas, 60, done)).then((each) => each.result));
    note(await called((done) => cache.set("count", 1, 0, done)), await called((done) => cache.incr("count", 2, done)));
    note(await called((done) => cache.decr("count", 1, done)), await called((done) => cache.incr("nope", 1, done)));
    note(await called((done) => cache.touch("nope", 30, done)));
    note(await called((done) => cache.del("count", done)), await called((done) => cache.del("count", done)));
  },

  async many(note, where) {
    const keys = Object.freeze(["here", "nowhere"]);
    note(await called((done) => cache.get(keys, done), where), keys);
    note(await called((done) => cache.getMulti(["a1", "a2"], done)));
    const spaced = new Memcached(server, { namespace: "app:" });
    note(
      await called((done) => spaced.set("one", "1", 5, done)),
      await called((done) => spaced.getMulti(["one", "two"], done)),
    );
    spaced.end();
  },

  async "server commands"(note) {
    note((await called((done) => cache.stats(done))).result.map((each) => typeof each.pid));
    note((await called((done) => cache.version(done))).result.length);
    note((await called((done) => cache.settings(done))).error);
  },

  async refusals(note, where) {
    note(await called((done) => cache.get("with space", done), where));
    note(await called((done) => cache.set("k", "v", "soon", done), where));
    note(await called((done) => cache.set("big", "x".repeat(2_000_000), 1, done), where));
    note(cache.get("no callback"));
    const asynchronous = () =>
      new Promise((resolve) => cache.get("here", async (error) => resolve(describeError(error))));
    note(await asynchronous());
    note(Memcached.prototype.command.length, Memcached.prototype.command.name, Memcached.prototype.connect.length);
    note(Object.keys(Memcached.prototype).length);
  },

  async refused(note, where) {
    const refusing = net.createServer();
    await once(refusing.listen(0, "127.0.0.1"), "listening");
    const { port } = refusing.address();
    refusing.close();
    const away = unsure(`127.0.0.1:${port}`, { minTimeout: 1, failures: 0, retry: 1000 });
    const hide = (each) => JSON.parse(JSON.stringify(each).replaceAll(String(port), "PORT"));
    note(hide(await called((done) => away.get("a", done), where)));
    note(hide(await called((done) => away.get("a", done), where)));
    away.end();
  },

  timeout: async (note) =>
    note(await isAnswered((socket) => socket.on("end", () => socket.end()).resume(), 600, { idle: 100 })),

  async "queue limit"(note, where) {
    const limited = new Memcached(server, { maxQueueSize: 1 });
    note(
      await Promise.all(
        [1, 2, 3].map(
          (index) =>
            new Promise((resolve) => {
              limited.get(`q${index}`, (error) => {
                where();
                resolve(error);
              });
            }),
        ),
      ),
    );
    limited.end();
  },
};

runCache({
  async open() {
    cache = new Memcached(server);
    await promised((done) => cache.flush(done));
  },
  close() {
    cache.end();
    // It goes on trying to reach the servers that were lost.
    setImmediate(() => process.exit(0));
  },
  get: (key) => promised((done) => cache.get(key, done)),
  set: (key, value) => promised((done) => cache.set(key, value, 0, done)),
  mget: (keys) => promised((done) => cache.getMulti(keys, done)),
  setEx: (key, value, seconds) => promised((done) => cache.set(key, value, seconds, done)),
  setExAt: (key, value, time) => promised((done) => cache.set(key, value, time, done)),
  expire: (key, seconds) => promised((done) => cache.touch(key, seconds, done)),
  callback: (key, done) => void cache.get(key, done),
  fail: () => promised((done) => cache.incr("here", 1, done)),
  async loseConnection() {
    // Nobody is told.
    const answered = await isAnswered((socket) => socket.on("data", () => socket.destroy()), 200);
    throw new Error(`answered: ${answered}`);
  },
  async hostile() {
    const callback = new Proxy(() => {}, {
      get() {
        throw new Error("hostile");
      },
    });
    const failure = await promised(() => cache.get("here", callback)).catch(describeError);
    return [failure, await promised((done) => cache.get("here", done))];
  },
  own,
});
