import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { cacheContract } from "../contract/cache.ts";
import type { TracedInstall } from "../contract/installs.ts";
import { childrenOf } from "../contract/scenarios.ts";
import { expectDescribed } from "../libraries/description.ts";
import description from "../libraries/redis.ts";
import type { ReceivedSpan } from "../support/otlp-receiver.ts";

const code = readFileSync(join(import.meta.dirname, "redis-app.mjs"), "utf8");
const redisUrl = (): string => process.env["TRACEKIT_TEST_REDIS_URL"] as string;
const DATABASE = "10";

cacheContract(
  {
    instrumentation: "redis",
    code,
    installs: (description.packages["redis"] ?? []).map((redis) => ({ redis })),
    env: () => ({ REDIS_URL: redisUrl(), REDIS_DATABASE: DATABASE }),
    target: () => ({
      "db.system.name": "redis",
      "db.namespace": DATABASE,
      "server.address": "127.0.0.1",
      "server.port": Number(new URL(redisUrl()).port),
    }),
    abilities: [
      "getex",
      "mget",
      "exists",
      "set nx",
      "set get",
      "hash",
      "EX",
      "PX",
      "EXAT",
      "SETEX",
      "EXPIRE",
      "pipeline",
      "multi",
      "waiting",
      "lost connection",
      "hostile",
    ],
    failure: { type: "WRONGTYPE", status: "WRONGTYPE" },
    lostConnection: /^Socket/,
  },
  (traced) => {
    // The oldest has another way of subscribing: it passes the contract.
    if (traced.installs["redis"] !== "4.1.0") declareOwn(traced);
  },
  (spans) => expectDescribed(description, spans),
);

/** What only node-redis has. */
function declareOwn({ spansIn, run }: TracedInstall): void {
  const below = (name: string): ReceivedSpan[] => childrenOf(run(), name);
  const named = (spans: readonly ReceivedSpan[]): string[] => spans.map(({ name }) => name);

  test("a raw command is a span too, and what the library refuses is one that failed", () => {
    expect(spansIn("raw").map(({ name, attributes }) => [name, attributes["db.query.text"]])).toEqual([
      ["GET", "GET here"],
      ["GET", "GET here"],
      ["NOSUCH", "NOSUCH ?"],
      ["GET", "GET "],
    ]);
    expect(spansIn("raw").map(({ attributes }) => attributes["error.type"])).toEqual([
      undefined,
      undefined,
      "ERR",
      "TypeError",
    ]);
  });

  test("a pipeline or transaction is one span, failed only when all of it failed", () => {
    const [get, ...batches] = spansIn("batches");
    expect(get?.attributes["db.query.text"]).toBe("GET here");
    const told = batches.map(({ name, status, attributes, events }) => [
      name,
      attributes["db.query.text"],
      attributes["cache.hit"],
      attributes["tracekit.db.failed_commands"],
      attributes["db.response.status_code"],
      status.code,
      events.length,
    ]);
    const no = undefined;
    // Version 4 waits for EXEC, the later ones end with the first error.
    const aborted = /^(?:ERR|EXECABORT)$/.exec(String(told[2]?.[4]))?.[0];
    expect(told).toEqual([
      ["MULTI", "SET m ?; GET m; GET nowhere", false, no, no, "UNSET", 0],
      ["MULTI", "SET m ?; LPUSH m ?", no, 1, "WRONGTYPE", "UNSET", 1],
      ["MULTI", "SET m; GET m", no, no, aborted, "ERROR", 1],
      ["PIPELINE", "LPUSH here ?; GET m", no, no, "WRONGTYPE", "ERROR", 1],
      ["WATCH", "WATCH m", no, no, no, "UNSET", 0],
      ["SET", "SET m ?", no, no, no, "UNSET", 0],
      // Somebody else was faster: that is no failure of the server's.
      ["MULTI SET", "SET m ?", no, no, no, "UNSET", 0],
      ["MULTI", "SELECT 12; GET m", false, no, no, "UNSET", 0],
      ["GET", "GET m", false, no, no, "UNSET", 0],
      ["SELECT", "SELECT 10", no, no, no, "UNSET", 0],
      ["GET", "GET m", true, no, no, "UNSET", 0],
    ]);
    expect(batches.slice(-3).map(({ attributes }) => attributes["db.namespace"])).toEqual(["12", "12", "10"]);
  });

  test("a script is one span with its name, though a forgotten one is sent twice", () => {
    expect(
      spansIn("scripts").map(({ name, status, attributes }) => [
        name,
        status.code,
        attributes["db.stored_procedure.name"],
      ]),
    ).toEqual([
      ["SCRIPT", "UNSET", undefined],
      ["EVALSHA", "UNSET", "double"],
      ["EVALSHA", "UNSET", "double"],
      ["EVALSHA", "ERROR", "0".repeat(40)],
      ["EVAL", "UNSET", undefined],
      ["MULTI", "UNSET", undefined],
    ]);
  });

  test("commands that wait for a connection, or follow a lost one, are one span each; set-up is none", () => {
    expect(named(spansIn("commands of two kinds of connection"))).toEqual([
      "GET",
      "SET",
      "CLIENT",
      "CLIENT",
      "GET",
      "PING",
      "GET",
    ]);
    const roots = run().spans.filter(({ parentSpanId }) => parentSpanId === "");
    expect(named(roots).filter((name) => /^(?:AUTH|HELLO|SELECT|CLIENT|READONLY|PING|SUBSCRIBE)$/.test(name))).toEqual(
      [],
    );
  });

  test("a hit of the client-side cache is counted, not a span of its own", () => {
    const scenario = run().spans.find(({ name }) => name === "client-side cache");
    const texts = spansIn("client-side cache").map(({ attributes }) => attributes["db.query.text"]);
    const { "tracekit.cache.client_side.hits": hits, "tracekit.cache.client_side.misses": misses } =
      scenario?.attributes ?? {};
    // Version 4 has none.
    const hasCache = run().told.get("client-side cache")?.seen.length !== 0;
    expect([hits, misses, texts]).toEqual(
      hasCache
        ? [1, 3, ["GET here", "GET nowhere", "SET here ?", "GET here", "SET here ?"]]
        : [undefined, undefined, []],
    );
  });

  test("what waits for a connection of a pool stays in its caller's context", () => {
    for (let index = 0; index < 6; index++)
      expect(spansIn(`pool ${index}`).map(({ attributes }) => attributes["db.query.text"])).toEqual([
        `SET pool${index} ?`,
        `GET pool${index}`,
      ]);
  });

  test("the callbacks of the legacy interface end their spans", () => {
    expect(spansIn("legacy").map(({ name, status }) => [name, status.code])).toEqual([
      ["GET", "UNSET"],
      ["LPUSH", "ERROR"],
      ["MULTI GET", "UNSET"],
    ]);
  });

  test("a message is a producer span and, for each subscription, a consumer span below it", () => {
    const publish = below("publishing");
    expect(publish.map((span) => [span.name, named(childrenOf(run(), span))])).toEqual([
      ["publish news", ["process news", "process n*"]],
      ["publish other", ["process other"]],
      ["publish third", ["process third"]],
      ["MULTI", ["process other"]],
      ["PIPELINE", ["process other"]],
      // Context does not travel inside a transaction of single commands, nor with a script.
      ["MULTI", []],
      ["publish other", []],
      ["EXEC", []],
      ["EVAL", []],
    ]);
    const [first] = publish;
    const [process] = childrenOf(run(), first);
    expect(first).toMatchObject({ kind: "PRODUCER", attributes: { "tracekit.messaging.receivers": 2 } });
    expect(process).toMatchObject({ kind: "CONSUMER", links: [{ spanId: first?.spanId }] });
    expect(process?.attributes["tracekit.messaging.body.content"]).toBe("one");
    const lone = run().spans.filter(({ name, parentSpanId }) => name === "process other" && parentSpanId === "");
    expect(lone.map(({ attributes }) => attributes["tracekit.messaging.body.content"])).toEqual([
      "between",
      "in a script",
    ]);
    expect(run().bytes.toString("latin1")).not.toContain("__tracekit__");
  });

  test("the span of a message lasts until its async listeners are done, and fails with them", () => {
    const [process] = childrenOf(run(), below("publishing")[0]);
    expect(Number((process?.endTimeUnixNano ?? 0n) - (process?.startTimeUnixNano ?? 0n)) / 1e6).toBeGreaterThan(15);
    expect(named(childrenOf(run(), process))).toEqual(["GET"]);
    const [rejecting] = childrenOf(run(), below("rejecting listener")[0]);
    expect(rejecting?.status).toEqual({ code: "ERROR", message: "from the async listener" });
  });

  test("after a reconnect a message is received once, in its publisher's trace", () => {
    const [publish] = below("after a reconnect");
    expect(named(childrenOf(run(), publish))).toEqual(["process news", "process n*"]);
  });

  test("entries of a stream are sent, received and acknowledged", () => {
    const spans = spansIn("streams");
    expect(spans.map(({ name, kind }) => [name, kind])).toEqual([
      ["XGROUP", "CLIENT"],
      ["send orders", "PRODUCER"],
      ["send orders", "PRODUCER"],
      ["receive orders", "CLIENT"],
      ["receive orders", "CLIENT"],
      ["receive orders", "CLIENT"],
      ["receive", "CLIENT"],
      ["ack orders", "CLIENT"],
      ["XLEN", "CLIENT"],
    ]);
  });
}
