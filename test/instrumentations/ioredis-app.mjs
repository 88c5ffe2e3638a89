// The application of ioredis.test.ts: every way to use a client, each inside a root span of its own. It prints what an
// application can see, line by line, so that a run without the preload can be compared; `where` is what only a traced run
// can know.
import { trace } from "@opentelemetry/api";
import { once } from "node:events";
import Redis from "ioredis";

const port = Number(new URL(process.env.REDIS_URL).port);
const options = { port, host: "127.0.0.1", db: 9 };
const tracer = trace.getTracer("app");
const clients = [];
const open = (extra) => {
  const client = new Redis({ ...options, ...extra });
  clients.push(client);
  return client;
};

/** A command that not every version has as a method. */
const call = (client, name, ...args) => {
  if (client[name] !== undefined) return client[name](...args);
  const command = new Redis.Command(name, args, { replyEncoding: "utf8" });
  client.sendCommand(command);
  return command.promise;
};
const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));
const spanId = () => trace.getActiveSpan()?.spanContext().spanId;

/** Runs `body(note, where)`: `note` is for what must not depend on the preload, `where()` for the context it is called in. */
async function scenario(name, body) {
  const seen = [];
  const where = [];
  await tracer.startActiveSpan(name, async (span) => {
    const home = spanId();
    try {
      await body(
        (...values) => seen.push(...values),
        () => where.push(spanId() === home),
      );
    } catch (error) {
      seen.push(`unexpected ${error.stack}`);
    }
    span.end();
  });
  console.log(JSON.stringify({ name, seen, where }));
}

const describe = (error) => ({
  class: error?.constructor?.name,
  name: error?.name,
  message: error?.message,
  command: error?.command,
  keys: Object.keys(error ?? {}),
});
const results = (list) => list?.map(([error, value]) => (error ? describe(error) : value));
const nextUncaught = () => new Promise((resolve) => process.once("uncaughtException", resolve));

async function main() {
  const redis = open();
  await redis.flushdb();

  await scenario("strings", async (note, where) => {
    const promise = redis.set("url:x7k9m2", "https://example.com/", "EX", 3600);
    note(promise.constructor === Promise, Object.keys(promise));
    note(await promise);
    where();
    note(await redis.get("url:x7k9m2"), await redis.get("nope"));
    note(await redis.set("empty", ""), await redis.get("empty"));
    note(await redis.set("empty", "1", "NX"), await redis.set("new", "1", "PX", 1500, "NX"));
    note(await redis.set("new", "22", "GET"), await redis.set("other", "1", "GET"));
    note(
      await call(redis, "getex", "new", "EXAT", Math.floor(Date.now() / 1000) + 100),
      await call(redis, "getdel", "new"),
    );
    note(await redis.setex("s", 60, "v"), await redis.psetex("p", 2500, "v"), await redis.expire("s", 61));
    note(await redis.getset("s", "w"), await redis.del("s", "p", "other"));
    where();
  });

  await scenario("many", async (note) => {
    note(await redis.mset({ a: 1, b: "two" }), await redis.mget("a", "nope", "b"), await redis.mget("a", "b"));
    note(await redis.exists("a", "nope"), await redis.exists("a"));
    note(await redis.hset("h", { title: "T", password: "hunter2-hash" }), await redis.hget("h", "title"));
    note(await redis.hget("h", "nope"), await redis.hget("h", "password"), await redis.hgetall("h"));
    note(await redis.hgetall("nope"), await redis.hmget("h", "title", "nope"), await redis.hexists("h", "title"));
    note(await redis.rpush("list", "x", "y"), await redis.lrange("list", 0, -1));
  });

  await scenario("bytes", async (note) => {
    const prefixed = open({ keyPrefix: "app:" });
    note(await prefixed.set(Buffer.from("bytes"), Buffer.from([0, 255, 1])));
    note(await prefixed.getBuffer("bytes"), await redis.getBuffer("app:bytes"), await redis.getBuffer("nope"));
    note(await redis.get("app:bytes"), await redis.set("accents", "caf\u00e9 \u2615"), await redis.get("accents"));
    note(await prefixed.duplicate().quit(), prefixed.duplicate({ lazyConnect: true }).status);
    note(prefixed.get.length, Redis.prototype.sendCommand.length, Redis.prototype.sendCommand.name);
    note(Object.keys(new Redis.Command("get", ["k"])).includes("name"));
  });

  await scenario("another database", async (note) => {
    const wandering = open();
    note(await wandering.set("here", "1"), await wandering.select(8), await wandering.get("here"));
    await wandering.quit();
  });

  await scenario("commands made by hand", async (note) => {
    for (const [name, ...args] of [
      ["get", "a"],
      ["get", "a", "b", "c"],
      ["evalsha", "0".repeat(40), "0"],
      ["xread", "COUNT", "1", "STREAMS", "no-stream", "0"],
    ]) {
      const command = new Redis.Command(name, args, { replyEncoding: "utf8" });
      const { resolve, reject } = command;
      redis.sendCommand(command).catch(() => {});
      await Promise.allSettled([command.promise]);
      note(command.resolve === resolve, command.reject === reject);
    }
  });

  await scenario("callbacks", async (note, where) => {
    await new Promise((resolve) => {
      const returned = redis.get("a", function (...args) {
        where();
        note(args, this === undefined);
        resolve();
      });
      note(returned instanceof Promise);
    });
    await new Promise((resolve) => {
      redis
        .lpush("a", "x", (error, ...rest) => {
          where();
          note(describe(error), rest);
          resolve();
        })
        .catch(() => {});
    });
    const uncaught = nextUncaught();
    redis.get("a", () => {
      throw new Error("from the callback");
    });
    note((await uncaught).message);
  });

  await scenario("errors", async (note, where) => {
    const caught = async (promise) => {
      try {
        note("no error", await promise);
      } catch (error) {
        where();
        note(describe(error));
      }
    };
    await caught(redis.lpush("a", "x"));
    await caught(call(redis, "NOSUCH", "argument-of-hunter2", "x"));
    await caught(redis.auth("hunter2-auth"));
    await caught(redis.sendCommand(new Redis.Command("set", ["only"])));
    await caught(redis.eval("return redis.error_reply('My own words')", 0));
    await caught(redis.config("SET", "hunter2-parameter", "hunter2-value"));
    await caught(call(redis, "acl", "SETUSER", "hunter2-user", "hunter2-rule>"));
    const closed = open({ enableOfflineQueue: false, lazyConnect: true });
    await caught(closed.get("a"));
    closed.disconnect();
    await once(closed, "end");
    await caught(closed.get("a"));
    const slow = open({ commandTimeout: 1000 });
    await once(slow, "ready");
    await caught(slow.blpop("nothing", 5));
  });

  await scenario("unhandled rejection", async (note) => {
    const unhandled = new Promise((resolve) => {
      process.once("unhandledRejection", (error, promise) => resolve([error, promise]));
    });
    const promise = redis.lpush("a", "x");
    const [error, rejected] = await unhandled;
    note(describe(error), rejected === promise);
  });

  await scenario("resending", async (note) => {
    // Before it is connected, across a lost connection, and when the application asks for it.
    const client = open({ lazyConnect: true });
    note(await client.set("queued", "1"));
    const id = await client.client("ID");
    const waiting = client.blpop("wake", 0);
    await sleep(50);
    await redis.client("KILL", "ID", id);
    await once(client, "ready");
    await redis.rpush("wake", "up");
    note(await waiting);
    let asked = 0;
    const again = open({ reconnectOnError: () => (asked++ === 0 ? 2 : false) });
    note(await again.lpush("a", "x").catch(describe), asked);
  });

  await scenario("concurrency", async (note) => {
    const values = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        tracer.startActiveSpan(`request ${index}`, async (span) => {
          await sleep(index % 3);
          const value = await redis.set(`c${index}`, "x");
          span.end();
          return value;
        }),
      ),
    );
    note(values);
  });

  await scenario("pipeline", async (note, where) => {
    const pipeline = redis.pipeline().set("p1", "1").get("p1").get("nope").mget("a", "nope");
    note(pipeline.length);
    note(results(await pipeline.exec()));
    where();
    note(
      results(
        await redis
          .pipeline([
            ["get", "a"],
            ["lpush", "a", "x"],
          ])
          .exec(),
      ),
    );
    await new Promise((resolve) => {
      redis
        .pipeline()
        .get("a")
        .get("b")
        .exec((...args) => {
          where();
          note(args);
          resolve();
        });
    });
    note(results(await redis.pipeline().get("a").exec()));
    note(await redis.pipeline().exec());
    note(results(await redis.pipeline().lpush("a", "x").lpush("b", "x").exec()));
    redis.pipeline().get("never sent");
    const repeated = redis.pipeline().getBuffer("a").hgetall("h");
    note(repeated.exec() === repeated.exec());
    note(results(await repeated.promise));
  });

  await scenario("transaction", async (note) => {
    note(results(await redis.multi().set("m", "1").get("m").get("nope").exec()));
    note(
      results(
        await redis
          .multi([
            ["get", "m"],
            ["get", "m"],
          ])
          .exec(),
      ),
    );
    note(results(await redis.multi().set("m", "2").lpush("m", "x").exec()));
    const aborted = await redis
      .multi()
      .set("m")
      .get("m")
      .exec()
      .catch((error) => error);
    note(describe(aborted), aborted.previousErrors?.map(describe));
    const watching = open();
    await watching.watch("m");
    await redis.set("m", "3");
    note(await watching.multi().set("m", "4").exec());
    await redis.multi({ pipeline: false });
    note(await redis.set("m", "5"), await redis.get("m"), await redis.publish("nobody", "x"));
    note(results(await redis.exec()));
  });

  await scenario("auto-pipelining", async (note, where) => {
    const automatic = open({ enableAutoPipelining: true });
    await once(automatic, "ready");
    const ask = (name, key) =>
      tracer.startActiveSpan(name, async (span) => {
        const home = spanId();
        const value = await automatic.get(key).catch(describe);
        note(value);
        if (spanId() !== home) note("wrong context");
        span.end();
      });
    await Promise.all([ask("first caller", "a"), ask("second caller", "nope"), ask("third caller", "list")]);
    note(results(await automatic.pipeline().get("a").get("b").exec()));
    where();
  });

  await scenario("scripts", async (note) => {
    redis.defineCommand("double", { numberOfKeys: 1, lua: "return redis.call('get', KEYS[1]) .. ARGV[1]" });
    note(await redis.double("a", "hunter2-argument"), await redis.double("a", "x"));
    note(await redis.eval("return {KEYS[1], ARGV[1]}", 1, "a", "hunter2-argument"));
    note(results(await redis.pipeline().double("a", "y").get("a").exec()));
    const found = [];
    for await (const keys of redis.scanStream({ match: "c1*", count: 1000 })) found.push(...keys);
    note(found.length);
  });

  await scenario("streams", async (note) => {
    note(await redis.xgroup("CREATE", "orders", "workers", "$", "MKSTREAM"));
    for (const item of ["book", "pen", "ink"]) await redis.xadd("orders", "*", "item", item);
    const read = (count) => redis.xreadgroup("GROUP", "workers", "one", "COUNT", count, "STREAMS", "orders", ">");
    const [[, [[id]]]] = await read(1);
    note(
      (await read(5))[0][1].map(([, fields]) => fields),
      await redis.xack("orders", "workers", id),
    );
  });

  await scenario("secrets", async (note) => {
    note(await redis.set("reset-token:hunter2-in-key", "1"), await redis.set("user:42:password", "hunter2-under-key"));
    note(await redis.get("user:42:password"), await redis.set("sess:hunter2-id", '{"cart":"hunter2-session"}'));
    note(
      await redis.set("profile", JSON.stringify({ name: "Ann", api_key: "hunter2-json" })),
      await redis.get("profile"),
    );
    note(await redis.hset("user:1", "secret", "hunter2-field", "name", "Ann"));
    note(await redis.mset("token:hunter2-mset", "hunter2-mset-value", "plain", "shown"));
    note(await redis.publish("nobody", JSON.stringify({ password: "hunter2-message" })));
  });

  await messages(redis);
  for (const client of clients) client.disconnect();
}

async function messages(redis) {
  const subscriber = open();
  const deliveries = [];
  const cache = open();

  await scenario("subscribing", async (note) => {
    // Several at once: the counts arrive in one piece.
    note(await Promise.all([subscriber.subscribe("news", "other"), subscriber.subscribe("third")]));
    note(await subscriber.psubscribe("n*"), await subscriber.subscribe("news"), subscriber.mode);
    await new Promise((resolve) => {
      subscriber.subscribe("fourth", (error, count) => {
        note(error, count);
        resolve();
      });
    });
    note(await subscriber.unsubscribe("fourth", "third"), await subscriber.unsubscribe("never"));
    note(await Promise.all([subscriber.subscribe("brief"), subscriber.unsubscribe("brief")]));
    const brief = open({ protocol: 2 });
    note(await Promise.all([brief.subscribe("brief"), brief.unsubscribe("brief"), brief.get("a").catch(describe)]));
    note(await brief.get("a"), brief.mode, await redis.pubsub("NUMSUB", "brief"));
    note(results(await brief.pipeline().subscribe("brief").unsubscribe("brief").exec()), await brief.get("a"));
  });

  const onMessage = async function (channel, message) {
    deliveries.push(["message", channel, message, this === subscriber, arguments.length]);
    await sleep(20);
    await cache.get("a");
  };
  subscriber.on("message", onMessage);
  subscriber.once("message", (channel, message) => deliveries.push(["once", channel, message]));
  subscriber.on("messageBuffer", (channel, message) => deliveries.push(["messageBuffer", channel, message]));
  subscriber.on("pmessage", (...args) => deliveries.push(["pmessage", ...args]));

  await scenario("publishing", async (note, where) => {
    note(await redis.publish("news", "one"), await redis.publish("other", Buffer.from([0, 255])));
    note(await redis.publish("nobody", "x"));
    where();
    note(results(await redis.pipeline().publish("other", "in a pipeline").get("a").exec()));
    note(results(await redis.multi().publish("other", "in a transaction").get("a").exec()));
    await redis.multi({ pipeline: false });
    note(await redis.publish("other", "between multi and exec"), results(await redis.exec()));
    note(await redis.eval("return redis.call('publish', 'other', 'in a script')", 0));
    const automatic = open({ enableAutoPipelining: true });
    note(await Promise.all([automatic.publish("other", "automatic"), automatic.get("a")]));
    await sleep(100);
  });
  console.log(JSON.stringify({ name: "deliveries", seen: deliveries.splice(0), where: [] }));

  const second = open();
  await Promise.all(
    ["left", "right"].map((name, index) =>
      scenario(`same payload, ${name}`, async (note) => {
        note(await (index === 0 ? redis : second).publish("other", "the same"));
      }),
    ),
  );
  await sleep(60);
  note2("same payload", deliveries.splice(0));

  // Uncaught exceptions, rejections, and listeners that come and go.
  const uncaught = nextUncaught();
  subscriber.once("messageBuffer", () => {
    throw new Error("from the listener");
  });
  await scenario("throwing listener", async () => void (await redis.publish("other", "throw")));
  note2("thrown", (await uncaught).message, deliveries.splice(0));
  const unhandled = once(process, "unhandledRejection");
  subscriber.once("message", async () => {
    await sleep(5);
    throw new Error("from the async listener");
  });
  await scenario("rejecting listener", async () => void (await redis.publish("other", "reject")));
  note2("rejected", (await unhandled)[0].message);
  subscriber.removeListener("message", onMessage);
  subscriber.removeAllListeners("messageBuffer");
  deliveries.length = 0;
  await scenario("nobody listens", async (note) => note(await redis.publish("other", "unheard")));
  await sleep(30);
  note2("unheard", deliveries.splice(0), subscriber.listenerCount("message"));

  // Reconnecting brings the subscriptions back, and nothing twice.
  const reader = open();
  await reader.subscribe("news");
  const id = Number(/id=(\d+) [^\n]*cmd=subscribe/.exec(await clientsOf(redis, reader))?.[1]);
  await redis.client("KILL", "ID", id);
  await once(reader, "ready");
  await sleep(50);
  const heard = [];
  reader.on("message", (channel, message) => heard.push([channel, message]));
  await scenario("after a reconnect", async (note) => {
    note(await redis.publish("news", "again"), await reader.subscribe("later"));
    await sleep(50);
    note(heard);
  });

  await scenario("unsubscribing", async (note) => {
    note(await subscriber.punsubscribe("n*"), await subscriber.unsubscribe("news"), await subscriber.unsubscribe());
    note(await subscriber.get("a"), subscriber.mode, await reader.unsubscribe("news", "later"), await reader.get("b"));
    note((await redis.pubsub("CHANNELS")).filter((channel) => /news|other|third|brief/.test(channel)));
  });
}

/** The line of `CLIENT LIST` for this client. */
async function clientsOf(redis, client) {
  const { localPort } = client.stream;
  const list = await redis.client("LIST");
  return list.split("\n").find((line) => line.includes(`addr=127.0.0.1:${localPort} `)) ?? "";
}

function note2(name, ...seen) {
  console.log(JSON.stringify({ name, seen, where: [] }));
}

void main();
