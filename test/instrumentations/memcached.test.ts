import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { childrenOf, runScenarios, type ScenarioRun, seenIn, warningsIn } from "../contract/scenarios.ts";
import { expectDescribed } from "../libraries/description.ts";
import { memcached } from "../libraries/memcached.ts";
import { startMemcached } from "../services/memcached.ts";
import type { Service } from "../services/service.ts";
import { installLibraries } from "../support/library.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";

const code = readFileSync(join(import.meta.dirname, "memcached-app.mjs"), "utf8");
const all: ReceivedSpan[] = [];

let receiver: OtlpReceiver;
let service: Service;
beforeAll(async () => {
  [receiver, service] = await Promise.all([startOtlpReceiver(), startMemcached()]);
}, 120_000);
afterAll(async () => {
  await Promise.all([receiver.close(), service.stop()]);
});

const port = (): number => Number(new URL(service.url).port);

describe.each([
  ["2.2.2", "esm", "import"],
  ["2.2.2", "cjs", "require"],
  ["2.2.0", "cjs", "import"],
] as const)("memcached %s in %s", (version, type, preload) => {
  let plain: ScenarioRun;
  let traced: ScenarioRun;
  beforeAll(async () => {
    const libraries = await installLibraries({ memcached: version });
    const env = { MEMCACHED_SERVER: `127.0.0.1:${port()}`, NODE_OPTIONS: "--no-deprecation" };
    plain = await runScenarios(receiver, { code, type, preload: "none", libraries, env });
    traced = await runScenarios(receiver, { code, type, preload, libraries, env });
    all.push(...traced.spans.filter(({ scope }) => scope.name === "@tracekit/auto/memcached"));
  }, 150_000);

  /** Name, what is particular, in the order the commands started. */
  const brief = (scenario: string): unknown[] =>
    childrenOf(traced, scenario).map(({ attributes, status }) => {
      const shared = ["db.system.name", "db.operation.name", "server.address", "server.port", "cache.key"];
      const rest = Object.fromEntries(
        Object.entries(attributes)
          .filter(([key]) => !shared.includes(key))
          .map(([key, value]) => [key.replace(/^(?:tracekit\.)?(?:cache|db\.(?:query|response))\./, ""), value]),
      );
      return status.code === "ERROR" ? { ...rest, failed: status.message } : rest;
    });

  test("the application sees the same results, errors and orders as without us", () => {
    expect(seenIn(traced)).toEqual(seenIn(plain));
    expect(JSON.stringify([...plain.told.values()])).not.toContain("unexpected");
    expect(warningsIn(traced)).toBe(warningsIn(plain));
    expect(traced.stderr).not.toContain("no longer traced");
  });

  test("callbacks run in the context of whoever made the call", () => {
    for (const { name, where } of traced.told.values()) {
      expect({ name, where }).toEqual({ name, where: where.map(() => true) });
    }
    expect([...traced.told.values()].flatMap(({ where }) => where).length).toBeGreaterThan(30);
  });

  test("a command is one client span with its text, key and server", () => {
    const [, set] = childrenOf(traced, "strings");
    expect(set).toMatchObject({ name: "set", kind: "CLIENT", status: { code: "UNSET" }, links: [] });
    expect(set?.attributes).toEqual({
      "db.system.name": "memcached",
      "db.operation.name": "set",
      "db.query.text": "set url:x7k9m2 ?",
      "server.address": "127.0.0.1",
      "server.port": port(),
      "cache.operation": "set",
      "cache.key": ["url:x7k9m2"],
      "cache.ttl": 3600,
      "cache.item_size": 20,
      "tracekit.cache.value": "https://example.com/",
    });
  });

  test("a read says hit or miss, and an empty string is a hit", () => {
    const url = { item_size: 20, value: "https://example.com/" };
    expect(brief("strings")).toEqual([
      { operation: "get", text: "get nope", hit: false },
      { operation: "set", text: "set url:x7k9m2 ?", ttl: 3600, ...url },
      { operation: "get", text: "get url:x7k9m2", hit: true, ...url },
      { operation: "set", text: "set empty ?", item_size: 0, value: "" },
      { operation: "get", text: "get empty", hit: true, item_size: 0, value: "" },
      { operation: "get", text: "gets url:x7k9m2", hit: true, ...url },
      { operation: "get", text: "gets nope", hit: false },
    ]);
  });

  test("a read of several keys counts what was there", () => {
    const both = { item_size: 20, value: '{"url:x7k9m2":"https://example.com/","nope":null,"empty":""}' };
    expect(brief("many")).toEqual([
      { operation: "get", text: "get url:x7k9m2 nope empty", hit: false, hits: 2, misses: 1, ...both },
      {
        operation: "get",
        text: "get url:x7k9m2 empty",
        hit: true,
        hits: 2,
        misses: 0,
        item_size: 20,
        value: both.value.replace('"nope":null,', ""),
      },
      { operation: "get", text: "get a1 a2", hit: false, hits: 0, misses: 2 },
      { operation: "set", text: "set app:one ?", ttl: 5, item_size: 1, value: "1" },
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

  test("values are shown within their budget, and not where their name says that they are secret", () => {
    const shown = brief("values").map((each) => (each as Record<string, unknown>)["value"]);
    expect(shown.slice(0, 8)).toEqual([
      "42",
      "42",
      "<Buffer 3 bytes>",
      "<Buffer 3 bytes>",
      expect.stringMatching(/"password":"?REDACTED/),
      expect.stringMatching(/"password":"?REDACTED/),
      "REDACTED",
      "REDACTED",
    ]);
    expect(Buffer.byteLength(shown[8] as string)).toBeLessThanOrEqual(1024);
    expect(traced.bytes.includes("hunter2-hash")).toBe(false);
  });

  test("what was not stored, not found or is no number is told apart", () => {
    const outcomes = brief("writes").map((each) => {
      const { text, status_code: status, ttl, failed } = each as Record<string, unknown>;
      return [text, status, ttl, failed].filter((part) => part !== undefined).join(" / ");
    });
    expect(outcomes).toEqual([
      "add lock ? / 60",
      "add lock ? / NOT_STORED / 60",
      "replace lock ? / 60",
      "replace nope ? / NOT_STORED / 60",
      "append lock ?",
      "prepend lock ?",
      "gets lock",
      expect.stringMatching(/^cas lock \? \/ (89|90)$/),
      "cas lock ? / 60",
      "set count ?",
      "incr count ?",
      "decr count ?",
      "incr nope ? / NOT_FOUND",
      "touch count / 30",
      "touch nope / NOT_FOUND / 30",
      "delete count",
      "delete count / NOT_FOUND",
    ]);
  });

  test("commands without keys are named by what they ask", () => {
    expect(childrenOf(traced, "server commands").map(({ name }) => name)).toEqual([
      "stats",
      "version",
      "stats settings",
    ]);
  });

  test("a failed command's span ends once, with its error", () => {
    const failed = childrenOf(traced, "errors").map(({ name, status, attributes }) => [
      name,
      attributes["error.type"],
      status.message,
    ]);
    expect(failed).toEqual([
      ["get", "Error", "The key should not contain any whitespace or new lines"],
      ["set", "Error", 'Argument "lifetime" is not a valid Number.'],
      ["incr", "Error", "cannot increment or decrement non-numeric value"],
      ["get", undefined, ""],
    ]);
  });

  test("a server that refuses, closes, hangs or is asked too much ends the span", () => {
    const types = (scenario: string): unknown[] =>
      childrenOf(traced, scenario).map(({ attributes }) => attributes["error.type"]);
    expect(types("refused")[0]).toBe("ECONNREFUSED");
    expect(types("refused")).toHaveLength(2);
    expect(types("lost")).toEqual(["CONNECTION_LOST"]);
    expect(types("timeout")).toEqual(["CONNECTION_LOST"]);
    expect(types("queue limit").filter((each) => each === "_OTHER")).toHaveLength(2);
  });

  test("concurrent requests on shared connections keep their own spans, and an unsampled one has none", () => {
    for (let index = 0; index < 10; index++) {
      const texts = childrenOf(traced, `request ${index}`).map(({ attributes }) => attributes["db.query.text"]);
      expect(texts).toEqual([`set c${index} ?`, `get c${index}`]);
    }
    const inside = traced.spans.filter(({ scope }) => scope.name === "@tracekit/auto/memcached");
    // The one outside of scenarios empties the cache.
    expect(inside.filter(({ parentSpanId }) => parentSpanId === "").map(({ name }) => name)).toEqual(["flush_all"]);
    expect(traced.spans.some(({ traceId }) => traceId === "a".repeat(32))).toBe(false);
  });
});

test("the described attributes are those that occur", () => expectDescribed(memcached, all));
