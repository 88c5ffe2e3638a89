import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectDescribed } from "../libraries/description.ts";
import description from "../libraries/ioredis.ts";
import { startOwnRedis } from "../services/redis.ts";
import type { Service } from "../services/service.ts";
import { installLibraries } from "../support/library.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { type AppOptions, runApp, startApp } from "../support/run-app.ts";

const source = readFileSync(join(import.meta.dirname, "ioredis-app.mjs"), "utf8");

/** Where a row of a table has nothing. */
const no = undefined;

/** What the application printed for one scenario. */
interface Told {
  name: string;
  seen: unknown[];
  where: boolean[];
}

interface Run {
  told: Told[];
  spans: ReceivedSpan[];
  /** Everything that was sent, as it was sent. */
  bytes: Buffer;
  stderr: string;
}

let receiver: OtlpReceiver;
let redis: Service;
const all: ReceivedSpan[] = [];
beforeAll(async () => {
  [receiver, redis] = await Promise.all([startOtlpReceiver(), startOwnRedis()]);
});
afterAll(() => Promise.all([receiver.close(), redis.stop()]));

/** The oldest lacks too much of what is asked here; it passes the cache contract. */
const versions = description.packages["ioredis"] ?? [];
const newest = versions.at(-1) as string;

interface RunOptions {
  version?: string;
  type?: "cjs" | "esm";
  preload?: "import" | "require" | "none";
  env?: Record<string, string>;
  code?: string;
}

async function run(options: RunOptions): Promise<Run> {
  receiver.reset();
  const { preload = "import" } = options;
  const result = await runApp({ ...(await appOf(options)), preload, timeoutMillis: 60_000 });
  if (result.code !== 0) throw new Error(`the application failed\n${result.stdout}\n${result.stderr}`);
  const told = result.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Told);
  const bytes = Buffer.concat(receiver.requests.map(({ body }) => body));
  return { told, spans: receivedOnce(), bytes, stderr: result.stderr };
}

/** A batch still on its way when the process ends is sent again: better twice than never. */
function receivedOnce(): ReceivedSpan[] {
  return [...new Map(receiver.spans.map((span) => [span.spanId, span])).values()];
}

async function appOf({ version = newest, type = "esm", code = source, env }: RunOptions): Promise<AppOptions> {
  return {
    type,
    code: type === "esm" ? code : code.replace(/^import (.+) from (".+");$/gm, "const $1 = require($2);"),
    libraries: await installLibraries({ ioredis: version }),
    env: { REDIS_URL: redis.url, OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, ...env },
  };
}

describe.each([
  ...versions.slice(1).map((version) => [version, "esm", "import"] as const),
  [newest, "cjs", "require"] as const,
])("ioredis %s in %s", (version, type, preload) => {
  let plain: Run;
  let traced: Run;
  beforeAll(async () => {
    plain = await run({ version, type, preload: "none" });
    traced = await run({ version, type, preload });
    all.push(...traced.spans.filter(({ scope }) => scope.name === "@tracekit/auto/ioredis"));
  }, 150_000);

  const root = (scenario: string): ReceivedSpan => {
    const span = traced.spans.find(({ name }) => name === scenario);
    if (span === undefined) throw new Error(`no span "${scenario}"`);
    return span;
  };
  const childrenOf = ({ spanId }: ReceivedSpan): ReceivedSpan[] =>
    traced.spans
      .filter(({ parentSpanId }) => parentSpanId === spanId)
      .toSorted((a, b) => Number(a.startTimeUnixNano - b.startTimeUnixNano));
  /** The spans inside a scenario, in the order they started. */
  const spansIn = (scenario: string): ReceivedSpan[] =>
    // Version 4 asks whether a script exists before it sends a pipeline.
    childrenOf(root(scenario)).filter(({ name }) => name !== "SCRIPT");
  const attributesIn = (scenario: string): Record<string, unknown>[] =>
    spansIn(scenario).map(({ attributes }) => attributes);
  const textsIn = (scenario: string): unknown[] => attributesIn(scenario).map((each) => each["db.query.text"]);

  test("the application sees the same replies, errors, counts, events and orders as without us", () => {
    expect(traced.told.map(({ name, seen }) => ({ name, seen }))).toEqual(
      plain.told.map(({ name, seen }) => ({ name, seen })),
    );
    expect(JSON.stringify(plain.told)).not.toContain("unexpected");
    const warningsIn = ({ stderr }: Run): string => stderr.replaceAll(/\(node:\d+\)|^tracekit:.*\n/gm, "");
    expect(warningsIn(traced)).toBe(warningsIn(plain));
    expect(traced.stderr).not.toContain("no longer traced");
  });

  test("continuations and callbacks run in the context of whoever made the call", () => {
    for (const { name, where } of traced.told) expect({ name, where }).toEqual({ name, where: where.map(() => true) });
    expect(traced.told.flatMap(({ where }) => where).length).toBeGreaterThan(15);
  });

  test("a command is one client span with its text, database and server", () => {
    const [set] = spansIn("strings");
    expect(set).toMatchObject({ name: "SET", kind: "CLIENT", status: { code: "UNSET" } });
    expect(set?.attributes).toEqual({
      "db.system.name": "redis",
      "db.namespace": "9",
      "db.operation.name": "SET",
      "db.query.text": "SET url:x7k9m2 ? EX 3600",
      "server.address": "127.0.0.1",
      "server.port": Number(new URL(redis.url).port),
      "cache.operation": "set",
      "cache.key": ["url:x7k9m2"],
      "cache.ttl": 3600,
      "cache.item_size": 20,
      "tracekit.cache.value": "https://example.com/",
    });
    expect(set?.scope.name).toBe("@tracekit/auto/ioredis");
  });

  test("every command of an application is one span under its caller, however it ends", () => {
    const counts = [
      "strings",
      "many",
      "bytes",
      "commands made by hand",
      "callbacks",
      "errors",
      "unhandled rejection",
      "scripts",
    ].map((name) => [
      name,
      spansIn(name)
        .map((span) => span.name)
        .join(" "),
    ]);
    expect(Object.fromEntries(counts)).toEqual({
      strings: "SET GET GET SET GET SET SET SET SET GETEX GETDEL SETEX PSETEX EXPIRE GETSET DEL",
      many: "MSET MGET MGET EXISTS EXISTS HSET HGET HGET HGET HGETALL HGETALL HMGET HEXISTS RPUSH LRANGE",
      bytes: "SET GET GET GET GET SET GET QUIT",
      "commands made by hand": "GET GET EVALSHA receive no-stream",
      callbacks: "GET LPUSH GET",
      errors: "LPUSH NOSUCH AUTH SET EVAL CONFIG ACL GET GET BLPOP",
      "unhandled rejection": "LPUSH",
      scripts: "EVALSHA EVALSHA EVAL PIPELINE SCAN",
    });
    for (let index = 0; index < 20; index++) expect(textsIn(`request ${index}`)).toEqual([`SET c${index} ?`]);
  });

  test("a command is one of the database it was sent to", () => {
    expect(spansIn("another database").map(({ name, attributes }) => [name, attributes["db.namespace"]])).toEqual([
      ["SET", "9"],
      ["SELECT", "9"],
      ["GET", "8"],
      ["QUIT", "8"],
    ]);
  });

  test("a cache read says hit or miss, and an empty string is a hit", () => {
    const told = (scenario: string, name: string): unknown[] =>
      spansIn(scenario)
        .filter((span) => span.name === name)
        .map(({ attributes }) => [
          attributes["cache.hit"],
          attributes["tracekit.cache.hits"],
          attributes["tracekit.cache.misses"],
          attributes["cache.item_size"],
          attributes["tracekit.cache.value"],
        ]);
    const none = [no, no] as const;
    expect(told("strings", "GET")).toEqual([
      [true, ...none, 20, "https://example.com/"],
      [false, ...none, undefined, undefined],
      [true, ...none, 0, ""],
    ]);
    // NX alone asks nothing; GET asks for what was there before.
    expect(told("strings", "SET").map((each) => (each as unknown[])[0])).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      true,
      false,
    ]);
    expect(told("strings", "GETEX")).toEqual([[true, ...none, 2, "22"]]);
    expect(told("strings", "GETDEL")).toEqual([[true, ...none, 2, "22"]]);
    expect(told("strings", "GETSET")).toEqual([[true, ...none, 1, "w"]]);
    expect(told("many", "MGET")).toEqual([
      [false, 2, 1, 4, '{"a":"1","nope":null,"b":"two"}'],
      [true, 2, 0, 4, '{"a":"1","b":"two"}'],
    ]);
    expect(told("many", "EXISTS")).toEqual([
      [false, 1, 1, undefined, undefined],
      [true, ...none, undefined, undefined],
    ]);
    expect(told("many", "HGET")).toEqual([
      [true, ...none, 1, "T"],
      [false, ...none, undefined, undefined],
      [true, ...none, 12, "REDACTED"],
    ]);
    expect(told("many", "HGETALL")).toEqual([
      [true, ...none, 13, '{"title":"T","password":"REDACTED"}'],
      [false, ...none, undefined, undefined],
    ]);
    expect(told("many", "HMGET")).toEqual([[false, 1, 1, 1, '{"title":"T","nope":null}']]);
    expect(told("many", "HEXISTS")).toEqual([[true, ...none, undefined, undefined]]);
    expect(told("bytes", "GET")).toEqual([
      [true, ...none, 3, "<Buffer 3 bytes>"],
      [true, ...none, 3, "<Buffer 3 bytes>"],
      [false, ...none, undefined, undefined],
      // What is a text to the application.
      [true, ...none, 3, "<Buffer 3 bytes>"],
      [true, ...none, 9, "café ☕"],
    ]);
  });

  test("a write says how long it lives, in seconds", () => {
    const ttls = spansIn("strings").flatMap(({ name, attributes }) =>
      "cache.ttl" in attributes ? [[name, attributes["cache.ttl"]]] : [],
    );
    expect(ttls.map(([name]) => name)).toEqual(["SET", "SET", "GETEX", "SETEX", "PSETEX", "EXPIRE"]);
    const [ex, px, exat, setex, psetex, expire] = ttls.map(([, ttl]) => ttl);
    expect([ex, px, setex, psetex, expire]).toEqual([3600, 2, 60, 3, 61]);
    expect(exat).toBeGreaterThan(50);
    expect(exat).toBeLessThanOrEqual(100);
  });

  test("keys are what the server sees", () => {
    expect(attributesIn("bytes")[0]).toMatchObject({
      "db.query.text": "SET app:bytes ?",
      "cache.key": ["app:bytes"],
    });
  });

  test("an error reply is its prefix, and never repeats an argument", () => {
    const failures = spansIn("errors").map(({ name, attributes, status, events }) => [
      name,
      attributes["db.response.status_code"],
      attributes["error.type"],
      status.message,
      events.length,
    ]);
    expect(failures).toEqual([
      ["LPUSH", "WRONGTYPE", "WRONGTYPE", "WRONGTYPE Operation against a key holding the wrong kind of value", 1],
      ["NOSUCH", "ERR", "ERR", "ERR unknown command 'NOSUCH'", 1],
      ["AUTH", "ERR", "ERR", expect.stringMatching(/^ERR AUTH <password>/), 1],
      ["SET", "ERR", "ERR", "ERR wrong number of arguments for 'set' command", 1],
      ["EVAL", undefined, "ReplyError", "My own words", 1],
      ["CONFIG", "ERR", "ERR", "ERR Unknown option or number of arguments for CONFIG SET - ", 1],
      ["ACL", "ERR", "ERR", "ERR Error in ACL SETUSER modifier ", 1],
      ["GET", undefined, "Error", "Stream isn't writeable and enableOfflineQueue options is false", 1],
      ["GET", undefined, "Error", "Connection is closed.", 1],
      ["BLPOP", undefined, "Error", "Command timed out", 1],
    ]);
    expect(textsIn("errors").slice(1, 7)).toEqual(["NOSUCH ? ?", "AUTH", "SET only", "EVAL ? 0", "CONFIG", "ACL"]);
  });

  test("a command that is sent twice is one span", () => {
    expect(spansIn("resending").map(({ name, attributes }) => [name, attributes["error.type"]])).toEqual([
      ["SET", undefined],
      ["CLIENT", undefined],
      ["BLPOP", undefined],
      ["CLIENT", undefined],
      ["RPUSH", undefined],
      ["LPUSH", "WRONGTYPE"],
    ]);
  });

  test("a pipeline is one span, failed only when all of it failed", () => {
    expect(
      spansIn("pipeline").map(({ name, status, attributes, events }) => [
        name,
        attributes["db.operation.name"],
        attributes["db.operation.batch.size"],
        attributes["db.query.text"],
        attributes["cache.hit"],
        attributes["tracekit.cache.hits"],
        attributes["tracekit.cache.misses"],
        attributes["tracekit.db.failed_commands"],
        attributes["db.response.status_code"],
        status.code,
        events.length,
      ]),
    ).toEqual([
      ["PIPELINE", "PIPELINE", 4, "SET p1 ?; GET p1; GET nope; MGET a nope", false, 2, 2, no, no, "UNSET", 0],
      ["PIPELINE", "PIPELINE", 2, "GET a; LPUSH a ?", true, no, no, 1, "WRONGTYPE", "UNSET", 1],
      ["PIPELINE GET", "PIPELINE GET", 2, "GET a; GET b", true, 2, 0, no, no, "UNSET", 0],
      ["GET", "GET", no, "GET a", true, no, no, no, no, "UNSET", 0],
      ["PIPELINE LPUSH", "PIPELINE LPUSH", 2, "LPUSH a ?; LPUSH b ?", no, no, no, 2, "WRONGTYPE", "ERROR", 1],
      ["PIPELINE", "PIPELINE", 2, "GET a; HGETALL h", true, 2, 0, no, no, "UNSET", 0],
    ]);
    expect(JSON.stringify(traced.spans.map(({ attributes }) => attributes))).not.toContain("never sent");
  });

  test("a transaction is one span, failed when it was aborted", () => {
    expect(
      spansIn("transaction").map(({ name, status, attributes }) => [
        name,
        attributes["db.operation.batch.size"],
        attributes["cache.hit"],
        attributes["tracekit.db.failed_commands"],
        attributes["error.type"],
        status.code,
      ]),
    ).toEqual([
      ["MULTI", 3, false, no, no, "UNSET"],
      ["MULTI GET", 2, true, no, no, "UNSET"],
      ["MULTI", 2, no, 1, no, "UNSET"],
      ["MULTI", 2, no, 1, "EXECABORT", "ERROR"],
      ["WATCH", no, no, no, no, "UNSET"],
      ["SET", no, no, no, no, "UNSET"],
      ["MULTI SET", no, no, no, no, "UNSET"],
      ["MULTI", no, no, no, no, "UNSET"],
      ["SET", no, no, no, no, "UNSET"],
      ["GET", no, no, no, no, "UNSET"],
      ["publish nobody", no, no, no, no, "UNSET"],
      ["EXEC", no, no, no, no, "UNSET"],
    ]);
  });

  test("auto-pipelined commands are under their own callers", () => {
    expect(["first caller", "second caller", "third caller"].map(textsIn)).toEqual([
      ["GET a"],
      ["GET nope"],
      ["GET list"],
    ]);
    expect(spansIn("third caller")[0]?.attributes["error.type"]).toBe("WRONGTYPE");
    expect(spansIn("auto-pipelining").map(({ name }) => name)).toEqual([
      "first caller",
      "second caller",
      "third caller",
      "PIPELINE GET",
    ]);
  });

  test("a script is its name, or its hash", () => {
    const [first, , , pipeline] = attributesIn("scripts");
    expect(first).toMatchObject({
      "db.stored_procedure.name": "double",
      "db.query.text": expect.stringMatching(/^EVALSHA [0-9a-f]{40} 1 a \?$/),
    });
    expect(textsIn("scripts").slice(2)).toEqual([
      "EVAL ? 1 a ?",
      expect.stringMatching(/^EVALSHA [0-9a-f]{40} 1 a \?; GET a$/),
      "SCAN 0 MATCH ? COUNT 1000",
    ]);
    expect(pipeline?.["db.operation.batch.size"]).toBe(2);
  });

  test("no secret of an argument, key, value, error or message leaves", () => {
    expect(traced.bytes.length).toBeGreaterThan(10_000);
    expect(traced.bytes.toString("latin1")).not.toContain("hunter2");
    expect(attributesIn("secrets").map((each) => each["tracekit.cache.value"])).toEqual([
      "REDACTED",
      "REDACTED",
      "REDACTED",
      "REDACTED",
      '{"name":"Ann","api_key":"REDACTED"}',
      '{"name":"Ann","api_key":"REDACTED"}',
      '{"secret":"REDACTED","name":"Ann"}',
      '{"token:REDACTED":"REDACTED","plain":"shown"}',
      undefined,
    ]);
  });

  test("what ioredis sends by itself is no root span", () => {
    const roots = traced.spans.filter(({ parentSpanId }) => parentSpanId === "").map(({ name }) => name);
    const ownCommands = /^(?:AUTH|HELLO|SELECT|CLIENT|INFO|SUBSCRIBE|PSUBSCRIBE|QUIT)$/;
    expect(roots.filter((name) => ownCommands.test(name))).toEqual([]);
    // Nothing of what carries contexts is a span either.
    expect(traced.bytes.toString("latin1")).not.toContain("__tracekit__");
    const subscribing = spansIn("subscribing").map(({ name }) => name);
    expect(subscribing.slice(0, 7)).toEqual([
      "SUBSCRIBE",
      "SUBSCRIBE",
      "PSUBSCRIBE",
      "SUBSCRIBE",
      "SUBSCRIBE",
      "UNSUBSCRIBE",
      "UNSUBSCRIBE",
    ]);
  });

  test("a message is a producer span and, for each subscription, a consumer span below it", () => {
    const [publish] = spansIn("publishing");
    expect(publish).toMatchObject({ name: "publish news", kind: "PRODUCER" });
    expect(publish?.attributes).toEqual({
      "messaging.system": "redis",
      "messaging.operation.name": "publish",
      "messaging.operation.type": "send",
      "messaging.destination.name": "news",
      "messaging.message.body.size": 3,
      "tracekit.messaging.body.content": "one",
      "tracekit.messaging.receivers": 2,
      "server.address": "127.0.0.1",
      "server.port": Number(new URL(redis.url).port),
    });
    const processed = childrenOf(publish as ReceivedSpan);
    expect(processed.map(({ name, kind, traceId }) => [name, kind, traceId === publish?.traceId])).toEqual([
      ["process news", "CONSUMER", true],
      ["process n*", "CONSUMER", true],
    ]);
    expect(processed[1]?.attributes).toEqual({
      "messaging.system": "redis",
      "messaging.operation.name": "process",
      "messaging.operation.type": "process",
      "messaging.destination.name": "news",
      "messaging.destination.template": "n*",
      "messaging.message.body.size": 3,
      "tracekit.messaging.body.content": "one",
      "tracekit.messaging.queue_time_ms": expect.any(Number),
      "server.address": "127.0.0.1",
      "server.port": Number(new URL(redis.url).port),
    });
    for (const { links } of processed) {
      expect(links.map(({ spanId, traceId }) => [spanId, traceId])).toEqual([[publish?.spanId, publish?.traceId]]);
    }
  });

  test("the span of a message lasts until its async listener is done, and what that does is below it", () => {
    const [process] = childrenOf(spansIn("publishing")[0] as ReceivedSpan);
    expect(Number((process?.endTimeUnixNano ?? 0n) - (process?.startTimeUnixNano ?? 0n)) / 1e6).toBeGreaterThan(15);
    expect(childrenOf(process as ReceivedSpan).map(({ name }) => name)).toEqual(["GET"]);
  });

  test("context travels with bytes, pipelines, transactions and auto-pipelining, and not where it cannot", () => {
    const receivedFrom = spansIn("publishing").map((span) => [
      span.name,
      childrenOf(span).map(({ name, attributes }) => [name, attributes["tracekit.messaging.body.content"]]),
    ]);
    expect(receivedFrom).toEqual([
      [
        "publish news",
        [
          ["process news", "one"],
          ["process n*", "one"],
        ],
      ],
      ["publish other", [["process other", "<Buffer 2 bytes>"]]],
      ["publish nobody", [["process n*", "x"]]],
      ["PIPELINE", [["process other", "in a pipeline"]]],
      ["MULTI", [["process other", "in a transaction"]]],
      ["MULTI", []],
      ["publish other", []],
      ["EXEC", []],
      ["EVAL", []],
      ["publish other", [["process other", "automatic"]]],
      ["GET", []],
    ]);
    const alone = traced.spans.filter(({ name, parentSpanId }) => name === "process other" && parentSpanId === "");
    expect(alone.map(({ attributes }) => attributes["tracekit.messaging.body.content"]).slice(0, 2)).toEqual([
      "between multi and exec",
      "in a script",
    ]);
    expect(alone.every(({ links }) => links.length === 0)).toBe(true);
  });

  test("equal payloads of two publishers keep their own contexts", () => {
    for (const side of ["left", "right"]) {
      const [publish] = spansIn(`same payload, ${side}`);
      expect(childrenOf(publish as ReceivedSpan).map(({ name }) => name)).toEqual(["process other"]);
    }
  });

  test("a listener that throws or rejects is a failed message, once", () => {
    for (const [scenario, message] of [
      ["throwing listener", "from the listener"],
      ["rejecting listener", "from the async listener"],
    ] as const) {
      const [publish] = spansIn(scenario);
      const processed = childrenOf(publish as ReceivedSpan);
      expect(processed.map(({ status }) => status)).toEqual([{ code: "ERROR", message }]);
    }
  });

  test("a message nobody listens to is no span", () => {
    const [publish] = spansIn("nobody listens");
    expect(childrenOf(publish as ReceivedSpan)).toEqual([]);
  });

  test("after a reconnect a message is received once, in its publisher's trace", () => {
    const [publish] = spansIn("after a reconnect");
    const processed = childrenOf(publish as ReceivedSpan).filter(({ name }) => name === "process news");
    expect(processed.length).toBe(1);
  });
});

test("TRACEKIT_MESSAGING_CONTEXT=link starts a new trace with a link", async () => {
  const { spans } = await run({ code: PUBLISH_ONE, env: { TRACEKIT_MESSAGING_CONTEXT: "link" } });
  const publish = spans.find(({ kind }) => kind === "PRODUCER");
  const process = spans.find(({ kind }) => kind === "CONSUMER");
  expect(process?.parentSpanId).toBe("");
  expect(process?.traceId).not.toBe(publish?.traceId);
  expect(process?.links).toMatchObject([{ traceId: publish?.traceId, spanId: publish?.spanId }]);
});

test("without sampling there are no spans, nothing changes, and the decision travels with a message", async () => {
  const plain = await run({ preload: "none" });
  const { told, spans, stderr } = await run({ env: { OTEL_TRACES_SAMPLER: "always_off" } });
  expect(told.map(({ name, seen }) => ({ name, seen }))).toEqual(plain.told.map(({ name, seen }) => ({ name, seen })));
  expect(stderr).not.toContain("no longer traced");
  expect(spans).toEqual([]);
  const one = await run({ code: PUBLISH_ONE, env: { OTEL_TRACES_SAMPLER: "always_off" } });
  expect(one.told).toMatchObject([{ seen: ["hello", { sameTrace: true, traceFlags: 2 }] }]);
});

test("a server that forbids companion channels costs the context and nothing else", async () => {
  const { told, spans, stderr } = await run({ code: FORBIDDEN, env: { OTEL_LOG_LEVEL: "debug" } });
  expect(told).toMatchObject([{ seen: [1, 2, 1, 1, ["one", "two"], 0, "OK", 0, "NOPERM", "normal", "1"] }]);
  expect(spans.filter(({ kind }) => kind === "CONSUMER").map(({ parentSpanId }) => parentSpanId)).toEqual(["", ""]);
  expect(stderr.match(/does not travel with messages/g)?.length).toBe(1);
});

test("a subscriber without us sees the message as it was published, and no other", async () => {
  receiver.reset();
  const options: RunOptions = { code: HEAR };
  const plain = startApp({ ...(await appOf(options)), preload: "none" });
  await plain.waitForLine(/subscribed/);
  await run({ code: SAY });
  const [, heard] = await plain.waitForLine(/heard (.*)/);
  await plain.exited;
  expect(JSON.parse(heard as string)).toEqual([
    ["message", "plain.news", "first"],
    ["pmessage", "plain.*", "plain.news", "first"],
    ["message", "plain.news", "last"],
    ["pmessage", "plain.*", "plain.news", "last"],
  ]);
});

test("a message of a publisher without us starts a trace of its own", async () => {
  receiver.reset();
  const hearing: RunOptions = { code: HEAR };
  const traced = startApp(await appOf(hearing));
  await traced.waitForLine(/subscribed/);
  await runApp({ ...(await appOf({ code: SAY })), preload: "none" });
  await traced.exited;
  const processed = receivedOnce().filter(({ kind }) => kind === "CONSUMER");
  expect(processed.map(({ parentSpanId, links }) => [parentSpanId, links.length])).toEqual([
    ["", 0],
    ["", 0],
    ["", 0],
    ["", 0],
  ]);
});

test("an error of ours switches tracing off and leaves subscriptions as the application made them", async () => {
  const { told, stderr } = await run({ code: BROKEN });
  expect(told).toMatchObject([{ seen: [1, "7", 2, [["broken", "after"]], 1, 0, "OK"] }]);
  expect(stderr).toMatch(/ioredis is no longer traced/);
});

test("the spans have the attributes that are described, and no others", () => expectDescribed(description, all));

/** A published and a processed message. */
const PUBLISH_ONE = `
import { trace } from "@opentelemetry/api";
import Redis from "ioredis";
const [publisher, subscriber] = [new Redis(process.env.REDIS_URL), new Redis(process.env.REDIS_URL)];
void (async () => {
  await subscriber.subscribe("one");
  const heard = new Promise((resolve) => {
    subscriber.on("message", (channel, message) => resolve([message, trace.getActiveSpan()?.spanContext()]));
  });
  await trace.getTracer("app").startActiveSpan("root", async (span) => {
    await publisher.publish("one", "hello");
    const [message, context] = await heard;
    const sameTrace = context?.traceId === span.spanContext().traceId;
    console.log(JSON.stringify({ name: "one", seen: [message, { sameTrace, traceFlags: context?.traceFlags }], where: [] }));
    span.end();
  });
  publisher.disconnect();
  subscriber.disconnect();
})();
`;

const FORBIDDEN = `
import Redis from "ioredis";
const admin = new Redis(process.env.REDIS_URL);
const limited = { host: "127.0.0.1", port: Number(new URL(process.env.REDIS_URL).port), username: "limited", password: "pw" };
const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));
void (async () => {
  await admin.acl("SETUSER", "limited", "reset", "on", ">pw", "~*", "+@all", "&allowed.*");
  let asked = 0;
  const options = { ...limited, reconnectOnError: () => (asked++, false) };
  const [publisher, subscriber] = [new Redis(options), new Redis(options)];
  const heard = [];
  const seen = [await subscriber.subscribe("allowed.news"), await subscriber.psubscribe("allowed.*").then(() => 2)];
  await subscriber.punsubscribe("allowed.*");
  subscriber.on("message", (channel, message) => heard.push(message));
  seen.push(await publisher.publish("allowed.news", "one"), await publisher.publish("allowed.news", "two"));
  await sleep(50);
  seen.push(heard, await subscriber.unsubscribe("allowed.news"), await subscriber.set("x", "1"), asked);
  // The other way round: the companion channel is allowed, the application's own is not.
  await admin.acl("SETUSER", "limited", "resetchannels", "&__tracekit__:*");
  const other = new Redis({ ...options, protocol: 2 });
  const refused = await other.subscribe("allowed.news").catch((error) => error.message.split(" ")[0]);
  seen.push(refused, other.mode, await other.get("x"));
  other.disconnect();
  console.log(JSON.stringify({ name: "forbidden", seen, where: [] }));
  for (const client of [publisher, subscriber]) client.disconnect();
  await admin.acl("DELUSER", "limited");
  admin.disconnect();
})();
`;

const HEAR = `
import Redis from "ioredis";
const subscriber = new Redis(process.env.REDIS_URL);
const heard = [];
void (async () => {
  await subscriber.subscribe("plain.news");
  await subscriber.psubscribe("plain.*");
  subscriber.on("message", (...args) => heard.push(["message", ...args]));
  subscriber.on("pmessage", (...args) => {
    heard.push(["pmessage", ...args]);
    if (args[2] !== "last") return;
    console.log("heard " + JSON.stringify(heard));
    subscriber.disconnect();
  });
  console.log("subscribed");
})();
`;

const SAY = `
import Redis from "ioredis";
const publisher = new Redis(process.env.REDIS_URL);
void (async () => {
  await publisher.publish("plain.news", "first");
  await publisher.publish("plain.news", "last");
  console.log(JSON.stringify({ name: "say", seen: [], where: [] }));
  publisher.disconnect();
})();
`;

const BROKEN = `
import Redis from "ioredis";
const [redis, subscriber] = [new Redis(process.env.REDIS_URL), new Redis(process.env.REDIS_URL)];
const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));
void (async () => {
  const seen = [await subscriber.subscribe("broken")];
  redis.defineCommand("seven", { numberOfKeys: 0, lua: "return '7'" });
  const { scriptsSet } = redis;
  Object.defineProperty(redis, "scriptsSet", { get() { throw new Error("hostile"); } });
  seen.push(await redis.seven());
  const heard = [];
  subscriber.on("message", (...args) => heard.push(args));
  seen.push(await subscriber.subscribe("broken2"));
  await redis.publish("broken", "after");
  await sleep(50);
  seen.push(heard, await subscriber.unsubscribe("broken"), await subscriber.unsubscribe("broken2"), await subscriber.set("x", "1"));
  console.log(JSON.stringify({ name: "broken", seen, where: [] }));
  for (const client of [redis, subscriber]) client.disconnect();
})();
`;
