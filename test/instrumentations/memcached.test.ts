import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cacheContract } from "../contract/cache.ts";
import { expectDescribed } from "../libraries/description.ts";
import { memcached } from "../libraries/memcached.ts";
import { startMemcached } from "../services/memcached.ts";
import type { Service } from "../services/service.ts";

let service: Service;
beforeAll(async () => {
  service = await startMemcached();
}, 120_000);
afterAll(() => service.stop());

const port = (): number => Number(new URL(service.url).port);

cacheContract(
  {
    instrumentation: "memcached",
    code: readFileSync(join(import.meta.dirname, "memcached-app.mjs"), "utf8"),
    installs: (memcached.packages["memcached"] ?? []).map((version) => ({ memcached: version })),
    env: () => ({ MEMCACHED_SERVER: `127.0.0.1:${port()}`, NODE_OPTIONS: "--no-deprecation" }),
    target: () => ({ "db.system.name": "memcached", "server.address": "127.0.0.1", "server.port": port() }),
    abilities: ["mget", "EX", "EXAT", "EXPIRE", "callback", "lost connection", "hostile"],
    failure: { type: "Error" },
    lostConnection: "CONNECTION_LOST",
  },
  ({ spansIn }) => {
    /** What is particular, in the order the commands started. */
    const brief = (scenario: string): Record<string, unknown>[] =>
      spansIn(scenario).map(({ attributes, status }) => {
        const shared = ["db.system.name", "db.operation.name", "server.address", "server.port", "cache.key"];
        const rest = Object.fromEntries(
          Object.entries(attributes)
            .filter(([key]) => !shared.includes(key))
            .map(([key, value]) => [key.replace(/^(?:tracekit\.)?(?:cache|db\.(?:query|response))\./, ""), value]),
        );
        return status.code === "ERROR" ? { ...rest, failed: status.message } : rest;
      });

    test("a command's text has its keys and not its values", () => {
      const named = (scenario: string): unknown[] => [
        ...spansIn(scenario).map(({ name }) => name),
        ...brief(scenario).map(({ text }) => text),
      ];
      expect(named("set")).toEqual(["set", "set new ?"]);
      expect(named("mget, partial")).toEqual(["get", "get here nowhere empty"]);
    });

    test("a read that is to be followed by a write says hit or miss, too", () => {
      expect(brief("gets")).toEqual([
        { operation: "get", text: "gets here", hit: true, item_size: 5, value: "value" },
        { operation: "get", text: "gets nowhere", hit: false },
      ]);
    });

    test("a read of several keys may find none, and shows keys with their namespace", () => {
      const one = { item_size: 1, value: "1" };
      expect(brief("many").slice(1)).toEqual([
        { operation: "get", text: "get a1 a2", hit: false, hits: 0, misses: 2 },
        { operation: "set", text: "set app:one ?", ttl: 5, ...one },
        {
          operation: "get",
          text: "get app:one app:two",
          hit: false,
          hits: 1,
          misses: 1,
          item_size: 1,
          value: '{"app:one":"1","app:two":null}',
        },
      ]);
    });

    test("numbers, bytes and JSON are shown as what they are", () => {
      expect(brief("values").map(({ value }) => value)).toEqual([
        "42",
        "42",
        "<Buffer 3 bytes>",
        "<Buffer 3 bytes>",
        expect.stringMatching(/"password":"?REDACTED/),
        expect.stringMatching(/"password":"?REDACTED/),
      ]);
    });

    test("what was not stored or not found is told apart", () => {
      const outcomes = brief("writes").map(({ text, status_code: status, ttl, failed }) =>
        [text, status, ttl, failed].filter((part) => part !== undefined).join(" / "),
      );
      expect(outcomes).toEqual([
        "add lock ? / 60",
        "add lock ? / NOT_STORED / 60",
        "replace lock ? / 60",
        "replace nope ? / NOT_STORED / 60",
        "append lock ?",
        "prepend lock ?",
        "gets lock",
        "cas lock ? / 90",
        "cas lock ? / 60",
        "set count ?",
        "incr count ?",
        "decr count ?",
        "incr nope ? / NOT_FOUND",
        "touch nope / NOT_FOUND / 30",
        "delete count",
        "delete count / NOT_FOUND",
      ]);
    });

    test("commands without keys are named by what they ask", () => {
      expect(spansIn("server commands").map(({ name }) => name)).toEqual(["stats", "version", "stats settings"]);
    });

    test("what the library refuses is a failed span", () => {
      const failed = spansIn("refusals").map(({ name, attributes, status }) => [
        name,
        attributes["error.type"],
        status.message,
      ]);
      expect(failed).toEqual([
        ["get", "Error", "The key should not contain any whitespace or new lines"],
        ["set", "Error", 'Argument "lifetime" is not a valid Number.'],
      ]);
    });

    test("a server that refuses, hangs or is asked too much ends the span", () => {
      const types = (scenario: string): unknown[] =>
        spansIn(scenario).map(({ attributes }) => attributes["error.type"]);
      expect(types("refused")[0]).toBe("ECONNREFUSED");
      expect(types("refused")).toHaveLength(2);
      expect(types("timeout")).toEqual(["CONNECTION_LOST"]);
      expect(types("queue limit").filter((each) => each === "_OTHER")).toHaveLength(2);
    });
  },
  (spans) => expectDescribed(memcached, spans),
);
