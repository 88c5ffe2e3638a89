// The application of memjs.test.ts: every way to use a client, each inside a root span of its own.
import { once } from "node:events";
import net from "node:net";
import memjs from "memjs";
import scenarios from "./scenarios-app.cjs";

const { describeError, failureOf, runMain, scenario, sleep, unsampledScenario } = scenarios;
const server = process.env.MEMCACHED_SERVER;
const logger = { log() {} };
const open = (address = server, options = {}) => memjs.Client.create(address, { logger, ...options });

const text = (value) => (Buffer.isBuffer(value) ? value.toString() : value);
const called = (start, where = () => {}) =>
  new Promise((resolve) => {
    start((error, ...results) => {
      where();
      resolve({ error: error && describeError(error), results: results.map(text) });
    });
  });

runMain(async () => {
  const cache = open();
  await called((done) => cache.flush(done));

  await scenario("callbacks", async (note, where) => {
    note(await called((done) => cache.get("nope", done), where));
    note(await called((done) => cache.set("url:x7k9m2", "https://example.com/", { expires: 3600 }, done), where));
    note(await called((done) => cache.get("url:x7k9m2", done), where));
    note(await called((done) => cache.set("empty", "", {}, done)), await called((done) => cache.get("empty", done)));
    note(await called((done) => cache.set("bytes", Buffer.from([0, 255, 1]), {}, done)));
    note(await called((done) => cache.get("bytes", done)));
    note(await called((done) => cache.set("user:42:password", "hunter2-hash", {}, done)));
    note(await called((done) => cache.get("user:42:password", done)));
  });

  await scenario("writes", async (note) => {
    note(await called((done) => cache.add("lock", "1", { expires: 60 }, done)));
    note(await called((done) => cache.add("lock", "1", { expires: 60 }, done)));
    note(await called((done) => cache.replace("lock", "2", { expires: 60 }, done)));
    note(await called((done) => cache.replace("nope", "2", { expires: 60 }, done)));
    note(
      await called((done) => cache.append("lock", "3", done)),
      await called((done) => cache.append("nope", "3", done)),
    );
    note(await called((done) => cache.increment("count", 2, { initial: 5 }, done)));
    note(await called((done) => cache.decrement("count", 1, {}, done)));
    note(await called((done) => cache.touch("count", 30, done)), await called((done) => cache.touch("nope", 30, done)));
    note(await called((done) => cache.delete("count", done)), await called((done) => cache.delete("count", done)));
    note(await called((done) => cache.increment("url:x7k9m2", 1, {}, done)));
    note(await called((done) => cache.set("big", "x".repeat(2_000_000), {}, done)));
  });

  await scenario("all servers", async (note, where) => {
    note((await called((done) => cache.stats(done), where)).results.length);
    note((await called((done) => cache.flush(done), where)).results.length);
    note(memjs.Client.prototype.perform.length, memjs.Client.prototype.flush.name, Object.keys(memjs.Client.prototype));
  });

  // 1.0 and 1.1 have no promises yet.
  if (process.env.PROMISES === "yes") {
    await scenario("promises", async (note, where) => {
      const promise = cache.set("p", "1", { expires: 5 });
      note(promise.constructor === Promise, await promise);
      where();
      note(text((await cache.get("p")).value), (await cache.get("nope")).value, await cache.delete("p"));
      where();
      note(Object.keys(await cache.flush()).length);
      note(describeError(await failureOf(() => cache.set("big", "x".repeat(2_000_000), {}))));
      where();
    });
    await scenario("unhandled rejection", async (note) => {
      const unhandled = once(process, "unhandledRejection");
      void cache
        .increment("text", 1, { initial: 1 })
        .then(() => cache.set("text", "t", {}))
        .then(() => cache.increment("text", 1));
      note(describeError((await unhandled)[0]));
    });
  }

  await scenario("refused", async (note, where) => {
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
  });

  await scenario("timeout", async (note, where) => {
    const hanging = net.createServer((socket) => socket.on("error", () => {}).resume());
    await once(hanging.listen(0, "127.0.0.1"), "listening");
    const away = open(`127.0.0.1:${hanging.address().port}`, { retries: 1, timeout: 0.1 });
    note((await called((done) => away.get("a", done), where)).error.message);
    away.close();
    hanging.close();
    await sleep(10);
  });

  await scenario("thrown by a callback", async (note) => {
    const uncaught = once(process, "uncaughtException");
    cache.get("nope", () => {
      throw new Error("thrown by the callback");
    });
    note((await uncaught)[0].message);
  });

  const shared = open();
  await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      scenario(`request ${index}`, async (note, where) => {
        await called((done) => shared.set(`c${index}`, String(index), {}, done), where);
        note(await called((done) => shared.get(`c${index}`, done), where));
      }),
    ),
  );
  await unsampledScenario("unsampled", async (note, where) => {
    note(await called((done) => shared.get("c1", done), where));
  });
  shared.close();
  cache.close();
  process.exit(0);
});
