import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { childrenOf, runScenarios, type ScenarioRun, seenIn, warningsIn } from "../contract/scenarios.ts";
import { expectDescribed } from "../libraries/description.ts";
import { memjs } from "../libraries/memjs.ts";
import { startMemcached } from "../services/memcached.ts";
import type { Service } from "../services/service.ts";
import { installLibraries } from "../support/library.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";

const code = readFileSync(join(import.meta.dirname, "memjs-app.mjs"), "utf8");
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
  ["1.3.2", "esm", "import"],
  ["1.3.2", "cjs", "require"],
  ["1.0.0", "cjs", "import"],
] as const)("memjs %s in %s", (version, type, preload) => {
  const hasPromises = version !== "1.0.0";
  let plain: ScenarioRun;
  let traced: ScenarioRun;
  beforeAll(async () => {
    const libraries = await installLibraries({ memjs: version });
    const env = {
      MEMCACHED_SERVER: `127.0.0.1:${port()}`,
      NODE_OPTIONS: "--no-deprecation",
      PROMISES: hasPromises ? "yes" : "no",
    };
    plain = await runScenarios(receiver, { code, type, preload: "none", libraries, env });
    traced = await runScenarios(receiver, { code, type, preload, libraries, env });
    all.push(...traced.spans.filter(({ scope }) => scope.name === "@tracekit/auto/memjs"));
  }, 150_000);

  const brief = (scenario: string): unknown[] =>
    childrenOf(traced, scenario).map(({ attributes, status }) => {
      const { text, ...rest } = Object.fromEntries(
        Object.entries(attributes)
          .filter(([key]) => /^(?:tracekit\.cache|cache|db\.(?:query|response)|error)\./.test(key))
          .map(([key, value]) => [key.split(".").at(-1), value]),
      ) as Record<string, unknown>;
      const particular = ["hit", "ttl", "item_size", "value", "status_code", "type"]
        .map((key) => rest[key])
        .filter((part) => part !== undefined);
      return [text, ...particular, ...(status.code === "ERROR" ? ["failed"] : [])].join(" | ");
    });

  test("the application sees the same results, errors and orders as without us", () => {
    expect(seenIn(traced)).toEqual(seenIn(plain));
    expect(JSON.stringify([...plain.told.values()])).not.toContain("unexpected");
    expect(warningsIn(traced)).toBe(warningsIn(plain));
    expect(traced.stderr).not.toContain("no longer traced");
  });

  test("callbacks and continuations run in the context of whoever made the call", () => {
    for (const { name, where } of traced.told.values()) {
      expect({ name, where }).toEqual({ name, where: where.map(() => true) });
    }
    expect([...traced.told.values()].flatMap(({ where }) => where).length).toBeGreaterThan(25);
  });

  test("a command is one client span with its text, key and server", () => {
    const [, set] = childrenOf(traced, "callbacks");
    expect(set).toMatchObject({ name: "set", kind: "CLIENT", status: { code: "UNSET" } });
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

  test("a read says hit or miss, and secret values stay here", () => {
    expect(brief("callbacks")).toEqual([
      "get nope | false",
      "set url:x7k9m2 ? | 3600 | 20 | https://example.com/",
      "get url:x7k9m2 | true | 20 | https://example.com/",
      "set empty ? | 0 | ",
      "get empty | true | 0 | ",
      "set bytes ? | 3 | <Buffer 3 bytes>",
      "get bytes | true | 3 | <Buffer 3 bytes>",
      "set user:42:password ? | 12 | REDACTED",
      "get user:42:password | true | 12 | REDACTED",
    ]);
    expect(traced.bytes.includes("hunter2-hash")).toBe(false);
  });

  test("what was not stored or not found is no failure, what is too large or no number is", () => {
    expect(brief("writes")).toEqual([
      "add lock ? | 60 | 1 | 1",
      "add lock ? | 60 | 1 | 1 | EXISTS",
      "replace lock ? | 60 | 1 | 2",
      "replace nope ? | 60 | 1 | 2 | NOT_FOUND",
      "append lock ? | 1 | 3",
      "append nope ? | 1 | 3 | NOT_STORED",
      "incr count ?",
      "decr count ?",
      "touch count | 30",
      "touch nope | 30 | NOT_FOUND",
      "delete count",
      "delete count | NOT_FOUND",
      "incr url:x7k9m2 ? | NON_NUMERIC | NON_NUMERIC | failed",
      expect.stringMatching(/^set big \? \| 2000000 \| x+… \| TOO_LARGE \| TOO_LARGE \| failed$/),
    ]);
  });

  test("commands for all servers are one span", () => {
    expect(childrenOf(traced, "all servers").map(({ name }) => name)).toEqual(["stats", "flush_all"]);
  });

  test.runIf(hasPromises)("a promise gives one span, also when nobody handles its rejection", () => {
    expect(childrenOf(traced, "promises").map(({ name }) => name)).toEqual([
      "set",
      "get",
      "get",
      "delete",
      "flush_all",
      "set",
    ]);
    expect(brief("unhandled rejection").at(-1)).toBe("incr text ? | NON_NUMERIC | NON_NUMERIC | failed");
  });

  test("a command that is tried again is one span, and names the server that answered", () => {
    const spans = childrenOf(traced, "refused");
    expect(spans.map(({ name, status }) => [name, status.code])).toEqual([
      ["get", "ERROR"],
      ["set", "UNSET"],
      ["set", "UNSET"],
    ]);
    expect(spans[0]?.attributes["error.type"]).toBe("ECONNREFUSED");
    for (const { attributes } of spans.slice(1)) expect(attributes["server.port"]).toBe(port());
  });

  test("a time-out ends the span", () => {
    expect(childrenOf(traced, "timeout").map(({ status }) => status)).toEqual([
      { code: "ERROR", message: "socket timed out waiting on response." },
    ]);
  });

  test("concurrent requests on one connection keep their own spans, and an unsampled one has none", () => {
    for (let index = 0; index < 10; index++) {
      const texts = childrenOf(traced, `request ${index}`).map(({ attributes }) => attributes["db.query.text"]);
      expect(texts).toEqual([`set c${index} ?`, `get c${index}`]);
    }
    expect(traced.spans.some(({ traceId }) => traceId === "a".repeat(32))).toBe(false);
  });
});

test("the described attributes are those that occur", () => expectDescribed(memjs, all));
