// The application of lru-cache.test.ts.
import nodeModule from "node:module";
import * as library from "lru-cache";
import scenarios from "./scenarios-app.cjs";

const { describeError, failureOf, runMain, scenario, tracer, unsampledScenario } = scenarios;
const LRUCache = library.LRUCache ?? library.default ?? library;

runMain(async () => {
  const cache = new LRUCache({ max: 100 });

  await scenario("gets", (note) => {
    for (const [key, value] of Object.entries({ a: 1, empty: "", null: null })) cache.set(key, value);
    note(cache.get("a"), cache.get("empty"), cache.get("null"), cache.get("nope"), cache.peek("a"), cache.has("a"));
    note(cache.size, Object.keys(cache).length, LRUCache.prototype.get.length, LRUCache.prototype.get.name);
    note([...cache.keys()]);
  });

  await scenario("hooks", (note) => note("registerHooks" in nodeModule));

  await scenario("only misses", (note) => note(cache.get("x"), cache.get("y")));

  await scenario("stale", (note) => {
    const stale = new LRUCache({ max: 10, ttl: 1, ttlResolution: 0, allowStale: true });
    stale.set("a", 1, { ttl: 1 });
    const start = performance.now();
    while (performance.now() < start + 5);
    note(stale.get("a"), stale.get("a"));
  });

  // 7.6 and later, 10.3 and later.
  if (LRUCache.prototype.fetch !== undefined) {
    await scenario("fetch", async (note) => {
      const fetching = new LRUCache({
        max: 10,
        fetchMethod: async (key) => (key === "bad" ? Promise.reject(new Error(key)) : `${key}!`),
      });
      note(await fetching.fetch("a"), await fetching.fetch("a"), await fetching.fetch("b"));
      note(describeError(await failureOf(() => fetching.fetch("bad"))));
      note(await new LRUCache({ max: 10 }).fetch("a"), [...fetching.keys()]);
    });
  }
  if (LRUCache.prototype.memo !== undefined) {
    await scenario("memo", (note) => {
      const remembering = new LRUCache({ max: 10, memoMethod: (key) => `${key}!` });
      note(remembering.memo("a"), remembering.memo("a"), remembering.memo("b"));
    });
  }

  await scenario("parent", async (note) => {
    cache.get("a");
    await tracer.startActiveSpan("child", async (span) => {
      cache.get("a");
      await null;
      cache.get("a");
      cache.get("nope");
      span.end();
      cache.get("a");
    });
    cache.get("a");
    note("done");
  });

  await scenario("subclass", (note) => {
    class Twice extends LRUCache {
      get(key, options) {
        return super.get(key, options) * 2;
      }
    }
    const twice = new Twice({ max: 2 });
    twice.set("a", 21);
    note(twice.get("a"));
  });

  await Promise.all(
    Array.from({ length: 5 }, (_, index) =>
      scenario(`request ${index}`, async (note) => {
        for (let round = 0; round < 20; round++) {
          cache.get("a");
          if (round < index) cache.get("nope");
          await null;
        }
        note(index);
      }),
    ),
  );

  await scenario("full", (note) => {
    for (let index = 0; index < 3; index++) note(cache.get("a"));
  });

  await unsampledScenario("unsampled", (note) => note(cache.get("a")));
  cache.get("a");
});
