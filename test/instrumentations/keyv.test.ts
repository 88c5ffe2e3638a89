import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runScenarios, type ScenarioRun, seenIn, warningsIn } from "../contract/scenarios.ts";
import { keyv } from "../libraries/keyv.ts";
import { installLibraries } from "../support/library.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../support/otlp-receiver.ts";

const code = readFileSync(join(import.meta.dirname, "keyv-app.mjs"), "utf8");
const LRU = "tracekit.cache.lru_cache";
const KEYV = "tracekit.cache.keyv";

let receiver: OtlpReceiver;
beforeAll(async () => {
  receiver = await startOtlpReceiver();
});
afterAll(() => receiver.close());

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
  // What is imported, on a Node without module hooks in the same thread (before 22.15), is not.
  const isCounted = (): boolean => type === "cjs" || traced.told.get("hooks")?.seen[0] === true;

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
