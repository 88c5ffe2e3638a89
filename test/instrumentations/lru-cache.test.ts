import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runScenarios, type ScenarioRun, seenIn, warningsIn } from "../contract/scenarios.ts";
import { lruCache } from "../libraries/lru-cache.ts";
import { installLibraries } from "../support/library.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../support/otlp-receiver.ts";

const code = readFileSync(join(import.meta.dirname, "lru-cache-app.mjs"), "utf8");
const HITS = "tracekit.cache.lru_cache.hits";
const MISSES = "tracekit.cache.lru_cache.misses";

let receiver: OtlpReceiver;
beforeAll(async () => {
  receiver = await startOtlpReceiver();
});
afterAll(() => receiver.close());

const versions = lruCache.packages["lru-cache"] as readonly string[];
const runs = [
  ...versions.map((version) => [version, "cjs"] as const),
  ...versions.map((version) => [version, "esm"] as const),
];

describe.each(runs)("lru-cache %s in %s", (version, type) => {
  let plain: ScenarioRun;
  let traced: ScenarioRun;
  beforeAll(async () => {
    const libraries = await installLibraries({ "lru-cache": version });
    const env = { OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: "2" };
    plain = await runScenarios(receiver, { code, type, preload: "none", libraries, env });
    traced = await runScenarios(receiver, { code, type, libraries, env });
  }, 120_000);

  const countsOf = (name: string): [hits: unknown, misses: unknown] => {
    const span = traced.spans.find((each) => each.name === name);
    return [span?.attributes[HITS], span?.attributes[MISSES]];
  };

  test("the application sees the same values, orders and errors as without us", () => {
    expect(seenIn(traced)).toEqual(seenIn(plain));
    expect(JSON.stringify([...plain.told.values()])).not.toContain("unexpected");
    expect(warningsIn(traced)).toBe(warningsIn(plain));
    expect(traced.stderr).not.toContain("no longer traced");
  });

  test("there is no span of its own", () => {
    expect(traced.spans.filter(({ scope }) => scope.name !== "app")).toEqual([]);
  });

  // Version 7.0 has no ES module: what is imported is the CommonJS file.
  const isCounted = (): boolean =>
    type === "cjs" || version.startsWith("7.0") || traced.told.get("hooks")?.seen[0] === true;

  test("hits and misses are counted on the active span, and stale values and empty ones are hits", () => {
    // Imported, on a Node without module hooks in the same thread (before 22.15).
    if (!isCounted()) return expect(countsOf("gets")).toEqual([undefined, undefined]);
    expect(countsOf("gets")).toEqual([3, 1]);
    expect(countsOf("only misses")).toEqual([undefined, 2]);
    expect(countsOf("stale")).toEqual([1, 1]);
    expect(countsOf("subclass")).toEqual([1, undefined]);
    // The last `fetch` is one of a cache that cannot fetch.
    if (traced.told.has("fetch")) expect(countsOf("fetch")).toEqual([1, 4]);
    if (traced.told.has("memo")) expect(countsOf("memo")).toEqual([1, 2]);
  });

  test("each span has its own counts, also across awaits and after the end of another", () => {
    if (!isCounted()) return;
    expect(countsOf("child")).toEqual([2, 1]);
    expect(countsOf("parent")).toEqual([2, undefined]);
    for (let index = 0; index < 5; index++) expect(countsOf(`request ${index}`)).toEqual([20, index || undefined]);
  });

  test("the counts are the described attributes", () => {
    expect(lruCache.attributes).toEqual([HITS, MISSES]);
    for (const { attributes } of traced.spans) {
      expect(Object.keys(attributes).filter((key) => !lruCache.attributes.includes(key))).toEqual([]);
    }
  });
});
