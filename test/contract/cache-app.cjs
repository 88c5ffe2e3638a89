// The scenarios of the cache contract. A library's application gives `runCache` what is particular to it:
//
//   open(), close()              outside of any trace: connects to an empty cache, and leaves nothing behind
//   get(key), set(key, value)    as the library has them: its own result or promise, or one made of its callback
//   fail()                       one command that the server (or library) refuses: rejects
//   own                          scenarios of the library's own test: { [name]: (note, where) => … }
//   finish()                     after all scenarios, still connected
// and, where the library has them, each one call of it:
//   getex(key, seconds)  mget(keys)  exists(key)  setNx(key, value)  setGet(key, value)
//   hset(key, object)  hget(key, field)  hmget(key, fields)  hgetall(key)      four together
//   jsonSet(key, value)  jsonGet(key)                                          together, where the server knows them
//   setEx(key, value, seconds)  setPx(key, value, millis)  setExAt(key, value, unixSeconds)
//   setex(key, seconds, value)  expire(key, seconds)
//   pipeline(keys), multi(keys)  GETs sent together
//   callback(key, done)          like `get`; `done` gets whatever the library calls back with
//   auth(password), hello(password), acl(user, rule)       the server may refuse them
//   wait(key), wake(key)         a read that blocks until something is there, and what ends it (on a connection of its own)
//   loseConnection()             a command whose connection is cut while it waits
//   hostile()                    a command with an argument that throws when looked at, and that the library may refuse
"use strict";
const {
  describeError,
  failureOf,
  print,
  runMain,
  scenario,
  sleep,
  tracer,
  spanId,
  unsampledScenario,
} = require("./scenarios-app.cjs");

/** What a call gives, or how it fails. */
async function outcome(call) {
  try {
    return await call();
  } catch (error) {
    return describeError(error);
  }
}

async function runScenarios(cache) {
  const warnings = [];
  process.on("warning", ({ name, message }) => warnings.push(`${name}: ${message}`));

  await cache.open();
  await cache.set("here", "value");
  await cache.set("empty", "");
  const has = (method) => typeof cache[method] === "function";
  /** One scenario with one call, if the library has it. */
  const one = async (name, method, ...args) => {
    if (!has(method)) return;
    await scenario(name, async (note, where) => {
      const returned = cache[method](...args);
      note(returned?.constructor?.name, Object.keys(returned ?? {}));
      note(await returned);
      where();
    });
  };

  await one("set", "set", "new", "12345");
  await one("get, hit", "get", "here");
  await one("get, miss", "get", "nowhere");
  await one("get, empty", "get", "empty");
  await one("getex", "getex", "here", 60);
  await one("mget, partial", "mget", ["here", "nowhere", "empty"]);
  await one("mget, all", "mget", ["here", "empty"]);
  await one("exists, hit", "exists", "here");
  await one("exists, miss", "exists", "nowhere");
  await one("set nx", "setNx", "here", "refused");
  await one("set get, hit", "setGet", "here", "value");
  await one("set get, miss", "setGet", "not yet", "1");
  if (has("hset")) {
    await cache.hset("hash", { title: "T", empty: "", password: "hunter2-field" });
    await one("hget, hit", "hget", "hash", "title");
    await one("hget, miss", "hget", "hash", "nowhere");
    await one("hget, empty", "hget", "hash", "empty");
    await one("hmget, partial", "hmget", "hash", ["title", "nowhere"]);
    await one("hgetall, hit", "hgetall", "hash");
    await one("hgetall, miss", "hgetall", "nowhere");
  }
  if (has("jsonSet")) {
    await cache.jsonSet("document", { a: 1 });
    await one("json.get, hit", "jsonGet", "document");
    await one("json.get, miss", "jsonGet", "nowhere");
  }

  await one("ttl, EX", "setEx", "new", "x", 3600);
  await one("ttl, PX", "setPx", "new", "x", 1500);
  await one("ttl, EXAT", "setExAt", "new", "x", Math.floor(Date.now() / 1000) + 100);
  await one("ttl, SETEX", "setex", "new", 60, "x");
  await one("ttl, EXPIRE", "expire", "new", 61);

  await one("pipeline", "pipeline", ["here", "nowhere", "empty"]);
  await one("multi", "multi", ["here", "nowhere"]);

  await scenario("failure", async (note, where) => {
    note(describeError(await failureOf(() => cache.fail())));
    where();
    note(await cache.get("here"));
  });

  await scenario("unhandled failure", async (note) => {
    const unhandled = new Promise((resolve) => {
      process.once("unhandledRejection", (error, promise) => resolve([error, promise]));
    });
    const promise = cache.fail();
    const [error, rejected] = await unhandled;
    note(describeError(error), rejected === promise);
  });

  if (has("callback")) {
    await scenario("callback", async (note, where) => {
      await new Promise((resolve) => {
        cache.callback("here", (...args) => {
          where();
          note(args);
          resolve();
        });
      });
      const uncaught = new Promise((resolve) => process.once("uncaughtException", resolve));
      cache.callback("here", () => {
        throw new Error("from the callback");
      });
      note((await uncaught).message);
    });
  }

  await scenario("concurrency", async (note) => {
    const values = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        tracer.startActiveSpan(`request ${index}`, async (span) => {
          const home = spanId();
          await sleep(index % 3);
          await cache.set(`c${index}`, "x");
          const isHome = spanId() === home;
          const value = await cache.get(`c${index}`);
          span.end();
          // Without the preload there are no spans to be in.
          return [value, isHome && spanId() === home];
        }),
      ),
    );
    note(values);
  });

  await scenario("secrets", async (note) => {
    for (const [method, ...args] of [
      ["auth", "hunter2-auth"],
      ["hello", "hunter2-hello"],
      ["acl", "hunter2-user", ">hunter2-rule"],
    ])
      if (has(method)) note(await outcome(() => cache[method](...args)));
    note(await outcome(() => cache.set("reset-token:hunter2-in-key", "1")));
    note(await outcome(() => cache.set("user:42:password", "hunter2-under-key")));
    note(await outcome(() => cache.get("user:42:password")));
    note(await outcome(() => cache.set("profile", JSON.stringify({ name: "Ann", api_key: "hunter2-json" }))));
    note(await outcome(() => cache.get("profile")));
    note(await outcome(() => cache.get("token:hunter2-get")));
    if (has("mget")) note(await outcome(() => cache.mget(["token:hunter2-mget", "here"])));
    if (has("hset")) note(await outcome(() => cache.hset("user:1", { secret: "hunter2-field", name: "Ann" })));
    if (has("hset")) note(await outcome(() => cache.hgetall("user:1")));
    if (has("pipeline")) note(await outcome(() => cache.pipeline(["token:hunter2-pipeline", "here"])));
  });

  if (has("wait")) {
    await scenario("waiting", async (note, where) => {
      const waiting = cache.wait("wake");
      await sleep(60);
      await cache.wake("wake");
      note(await waiting);
      where();
    });
  }
  if (has("loseConnection")) {
    await scenario("lost connection", async (note, where) => {
      note(describeError(await failureOf(() => cache.loseConnection())));
      where();
    });
  }

  await unsampledScenario("unsampled", async (note, where) => {
    note(await cache.get("here"));
    where();
    note(await cache.set("decision", "decision"), describeError(await failureOf(() => cache.fail())));
    if (has("multi")) note(await cache.multi(["here", "empty"]));
    where();
  });

  for (const [name, body] of Object.entries(cache.own ?? {})) await scenario(name, body);
  if (has("hostile")) await scenario("hostile", async (note) => note(await outcome(() => cache.hostile())));
  await cache.finish?.();
  await cache.close();
  print("warnings", warnings);
}

exports.runCache = (cache) => runMain(() => runScenarios(cache));
