// The application of memcached.test.ts: every way to use a client, each inside a root span of its own.
import { once } from "node:events";
import net from "node:net";
import Memcached from "memcached";
import scenarios from "./scenarios-app.cjs";

const { describeError, runMain, scenario, sleep, spanId, unsampledScenario } = scenarios;
const server = process.env.MEMCACHED_SERVER;

/** Resolves with what the callback was given; `where` is asked inside it. */
const called = (start, where = () => {}) =>
  new Promise((resolve) => {
    start(function (error, result) {
      where();
      const { type, key } = this ?? {};
      resolve({ error: error && describeError(Array.isArray(error) ? error[0] : error), result, type, key });
    });
  });

runMain(async () => {
  const cache = new Memcached(server);
  await called((done) => cache.flush(done));

  await scenario("strings", async (note, where) => {
    note(await called((done) => cache.get("nope", done), where));
    note(await called((done) => cache.set("url:x7k9m2", "https://example.com/", 3600, done), where));
    note(await called((done) => cache.get("url:x7k9m2", done), where));
    note(await called((done) => cache.set("empty", "", 0, done)));
    note(await called((done) => cache.get("empty", done)));
    note(await called((done) => cache.gets("url:x7k9m2", done)).then(({ result }) => Object.keys(result)));
    note(await called((done) => cache.gets("nope", done)));
  });

  await scenario("values", async (note) => {
    for (const [key, value] of [
      ["number", 42],
      ["bytes", Buffer.from([0, 255, 1])],
      ["json", { title: "T", password: "hunter2-hash" }],
      ["user:42:password", "hunter2-hash"],
      ["long", "x".repeat(1500)],
    ]) {
      note(await called((done) => cache.set(key, value, 10, done)));
      note(await called((done) => cache.get(key, done)));
    }
  });

  await scenario("writes", async (note) => {
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
    note(
      await called((done) => cache.cas("lock", "4", result.cas, Math.floor(Date.now() / 1000) + 90, done)).then(
        (each) => each.result,
      ),
    );
    note(await called((done) => cache.cas("lock", "5", result.cas, 60, done)).then((each) => each.result));
    note(await called((done) => cache.set("count", 1, 0, done)), await called((done) => cache.incr("count", 2, done)));
    note(await called((done) => cache.decr("count", 1, done)), await called((done) => cache.incr("nope", 1, done)));
    note(await called((done) => cache.touch("count", 30, done)), await called((done) => cache.touch("nope", 30, done)));
    note(await called((done) => cache.del("count", done)), await called((done) => cache.del("count", done)));
  });

  await scenario("many", async (note, where) => {
    const keys = Object.freeze(["url:x7k9m2", "nope", "empty"]);
    note(await called((done) => cache.getMulti(keys, done), where), keys);
    note(await called((done) => cache.get(["url:x7k9m2", "empty"], done)));
    note(await called((done) => cache.getMulti(["a1", "a2"], done)));
    const spaced = new Memcached(server, { namespace: "app:" });
    note(
      await called((done) => spaced.set("one", "1", 5, done)),
      await called((done) => spaced.getMulti(["one", "two"], done)),
    );
    spaced.end();
  });

  await scenario("server commands", async (note) => {
    note((await called((done) => cache.stats(done))).result.map((each) => typeof each.pid));
    note((await called((done) => cache.version(done))).result.length);
    note((await called((done) => cache.settings(done))).error);
  });

  await scenario("errors", async (note, where) => {
    note(await called((done) => cache.get("with space", done), where));
    note(await called((done) => cache.set("k", "v", "soon", done), where));
    note(await called((done) => cache.incr("empty", 1, done), where));
    note(await called((done) => cache.set("big", "x".repeat(2_000_000), 1, done), where));
    note(cache.get("no callback"));
    try {
      cache.get("url:x7k9m2", function thrower() {
        throw new Error("thrown by the callback");
      });
      const [error] = await once(process, "uncaughtException");
      note(error.message);
    } catch (error) {
      note(error.message);
    }
    const refused = () =>
      new Promise((resolve) => cache.get("url:x7k9m2", async (error) => resolve(describeError(error))));
    note(await refused());
    note(Memcached.prototype.command.length, Memcached.prototype.command.name, Memcached.prototype.connect.length);
    note(Object.keys(Memcached.prototype).length);
  });

  await scenario("refused", async (note, where) => {
    const refusing = net.createServer();
    await once(refusing.listen(0, "127.0.0.1"), "listening");
    const { port } = refusing.address();
    refusing.close();
    const away = new Memcached(`127.0.0.1:${port}`, { retries: 0, minTimeout: 1, failures: 0, retry: 1000 });
    away.on("issue", () => {});
    away.on("failure", () => {});
    const hide = (each) => JSON.parse(JSON.stringify(each).replaceAll(String(port), "PORT"));
    note(hide(await called((done) => away.get("a", done), where)));
    note(hide(await called((done) => away.get("a", done), where)));
    away.end();
  });

  await scenario("lost", async (note) => {
    const hanging = net.createServer((socket) => socket.on("data", () => socket.destroy()).on("error", () => {}));
    await once(hanging.listen(0, "127.0.0.1"), "listening");
    const away = new Memcached(`127.0.0.1:${hanging.address().port}`, { retries: 0 });
    away.on("issue", () => {});
    away.on("failure", () => {});
    let answered = false;
    away.get("a", () => (answered = true));
    await sleep(200);
    note(answered);
    away.end();
    hanging.close();
  });

  await scenario("timeout", async (note) => {
    const hanging = net.createServer((socket) =>
      socket
        .on("error", () => {})
        .on("end", () => socket.end())
        .resume(),
    );
    await once(hanging.listen(0, "127.0.0.1"), "listening");
    const away = new Memcached(`127.0.0.1:${hanging.address().port}`, { retries: 0, idle: 100 });
    away.on("issue", () => {});
    away.on("failure", () => {});
    let answered = false;
    away.get("a", () => (answered = true));
    await sleep(600);
    note(answered);
    away.end();
    hanging.close();
  });

  await scenario("queue limit", async (note, where) => {
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
  });

  await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      scenario(`request ${index}`, async (note, where) => {
        await called((done) => cache.set(`c${index}`, String(index), 5, done), where);
        note(await called((done) => cache.get(`c${index}`, done), where));
      }),
    ),
  );

  await unsampledScenario("unsampled", async (note, where) => {
    note(await called((done) => cache.get("url:x7k9m2", done), where));
  });
  if (spanId() !== undefined) throw new Error("a span outside of scenarios");
  // memcached goes on trying to reach the servers that were lost.
  process.exit(0);
});
