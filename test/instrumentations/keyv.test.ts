import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { childrenOf, runScenarios, type ScenarioRun, seenIn, warningsIn } from "../contract/scenarios.ts";
import { keyv } from "../libraries/keyv.ts";
import { installLibraries } from "../support/library.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../support/otlp-receiver.ts";

const code = readFileSync(join(import.meta.dirname, "keyv-app.mjs"), "utf8");
const redisCode = readFileSync(join(import.meta.dirname, "keyv-redis-app.mjs"), "utf8");
const LRU = "tracekit.cache.lru_cache";
const KEYV = "tracekit.cache.keyv";

let receiver: OtlpReceiver;
beforeAll(async () => {
  receiver = await startOtlpReceiver();
});
afterAll(() => receiver.close());

/** What is imported, on a Node without module hooks in the same thread (before 22.15), is not counted. */
function canCount(type: "cjs" | "esm", traced: ScenarioRun): boolean {
  return type === "cjs" || traced.told.get("hooks")?.seen[0] === true;
}

describe.each([
  ["4.0.0", "5.0.0", "8.0.5", "cjs"],
  ["4.5.4", "5.7.6", "10.4.3", "cjs"],
  ["5.0.0", "6.0.0", "11.5.3", "cjs"],
  ["5.0.1", "6.0.0", "11.5.3", "cjs"],
  ["5.6.0", "7.2.9", "11.5.3", "cjs"],
  ["5.6.0", "7.2.9", "11.5.3", "esm"],
] as const)("keyv %s, cache-manager %s, lru-cache %s in %s", (version, managerVersion, lruVersion, type) => {
  const hasMany = !version.startsWith("4.0");
  let plain: ScenarioRun;
  let traced: ScenarioRun;
  beforeAll(async () => {
    const libraries = await installLibraries({
      keyv: version,
      "cache-manager": managerVersion,
      "lru-cache": lruVersion,
    });
    const env = { HAS_MANY: hasMany ? "yes" : "no" };
    plain = await runScenarios(receiver, { code, type, preload: "none", libraries, env });
    traced = await runScenarios(receiver, { code, type, libraries, env });
  }, 120_000);

  const countsOf = (name: string, prefix: string): [hits: unknown, misses: unknown] => {
    const span = traced.spans.find((each) => each.name === name);
    return [span?.attributes[`${prefix}.hits`], span?.attributes[`${prefix}.misses`]];
  };
  const isCounted = (): boolean => canCount(type, traced);

  test("the application sees the same values, promises and errors as without us, and there is no span", () => {
    expect(seenIn(traced)).toEqual(seenIn(plain));
    expect(JSON.stringify([...plain.told.values()])).not.toContain("unexpected");
    expect(warningsIn(traced)).toBe(warningsIn(plain));
    expect(traced.stderr).not.toContain("no longer traced");
    expect(traced.spans.filter(({ scope }) => scope.name !== "app")).toEqual([]);
    for (const { where } of traced.told.values()) expect(where).toEqual(where.map(() => true));
  });

  test("a Keyv counts once, whatever its store", () => {
    if (!isCounted()) return expect(countsOf("map", KEYV)).toEqual([undefined, undefined]);
    for (const store of ["map", "lru", "remote"]) {
      expect([store, countsOf(store, KEYV), countsOf(store, LRU)]).toEqual([store, [2, 2], [undefined, undefined]]);
      if (!hasMany) continue;
      expect([store, countsOf(`${store}, many`, KEYV)]).toEqual([store, [2, 1]]);
      const [many] = traced.told.get(`${store}, getMany`)?.seen ?? [];
      if (many !== "none") expect([store, countsOf(`${store}, getMany`, KEYV)]).toEqual([store, [1, 1]]);
      const [raw] = traced.told.get(`${store}, getRaw`)?.seen ?? [];
      if (raw !== "none") expect([store, countsOf(`${store}, getRaw`, KEYV)]).toEqual([store, [1, undefined]]);
    }
    expect(countsOf("failing", KEYV)).toEqual([undefined, undefined]);
  });

  test("cache-manager is counted by what it is made of", () => {
    if (!isCounted()) return;
    const made = managerVersion.startsWith("5") ? [LRU, KEYV] : [KEYV, LRU];
    expect(countsOf("cache-manager", made[0] as string)).toEqual([2, 2]);
    expect(countsOf("cache-manager", made[1] as string)).toEqual([undefined, undefined]);
    if (traced.told.has("layers")) {
      expect(countsOf("layers", KEYV)).toEqual([1, 1]);
      expect(countsOf("layers", LRU)).toEqual([undefined, undefined]);
    }
  });

  test("the counts are the described attributes", () => {
    expect(keyv.attributes).toEqual([`${KEYV}.hits`, `${KEYV}.misses`]);
    const seen = new Set(traced.spans.flatMap(({ attributes }) => Object.keys(attributes)));
    for (const name of seen) expect(name).toMatch(/^tracekit\.cache\.(?:keyv|lru_cache)\.(?:hits|misses)$/);
  });
});

describe.each([
  ["4.5.4", "2.8.5", "ioredis", "cjs"],
  ["5.6.0", "5.1.6", "redis", "cjs"],
  ["5.6.0", "5.1.6", "redis", "esm"],
] as const)("keyv %s over @keyv/redis %s in %s, %s", (version, storeVersion, client, type) => {
  let plain: ScenarioRun;
  let traced: ScenarioRun;
  beforeAll(async () => {
    const libraries = await installLibraries({ keyv: version, "@keyv/redis": storeVersion });
    const env = { REDIS_URL: process.env["TRACEKIT_TEST_REDIS_URL"] as string };
    plain = await runScenarios(receiver, { code: redisCode, type, preload: "none", libraries, env });
    traced = await runScenarios(receiver, { code: redisCode, type, libraries, env });
  }, 120_000);

  test("what it asks of Redis is one span, and counts once: on the span around it", () => {
    expect(seenIn(traced)).toEqual(seenIn(plain));
    expect(traced.told.get("hit")).toMatchObject({ seen: [1], where: [true] });
    const told = ["hit", "miss", "many"].map((name) => {
      const around = traced.spans.find((each) => each.name === name);
      const below = childrenOf(traced, name).map(({ name: command, scope, attributes }) => [
        `${scope.name}: ${command}`,
        attributes["cache.hit"],
      ]);
      return [name, below, around?.attributes];
    });
    const scope = `@tracekit/auto/${client}`;
    const counts = (...of: string[]): unknown =>
      canCount(type, traced) ? Object.fromEntries(of.map((name) => [`${KEYV}.${name}`, 1])) : {};
    expect(told).toEqual([
      ["hit", [[`${scope}: GET`, true]], counts("hits")],
      ["miss", [[`${scope}: GET`, false]], counts("misses")],
      ["many", [[`${scope}: MGET`, false]], counts("hits", "misses")],
    ]);
    const counted = traced.spans.filter(({ attributes }) =>
      Object.keys(attributes).some((key) => key.startsWith(KEYV)),
    );
    expect(counted.map(({ name }) => name).sort()).toEqual(canCount(type, traced) ? ["hit", "many", "miss"] : []);
  });
});
