// The application of keyv.test.ts.
import nodeModule from "node:module";
import * as cacheManager from "cache-manager";
import * as library from "keyv";
import * as lru from "lru-cache";
import scenarios from "./scenarios-app.cjs";

const { describeError, failureOf, runMain, scenario, sleep, unsampledScenario } = scenarios;
const Keyv = library.Keyv ?? library.default ?? library;
const LRUCache = lru.LRUCache ?? lru.default ?? lru;

/** Keyv passes a lifetime where lru-cache wants options. */
class LruStore extends LRUCache {
  set(key, value) {
    return super.set(key, value);
  }
}

/** As a remote store: a promise, and no class of ours. */
const remote = () => {
  const items = new Map();
  return {
    get: async (key) => sleep(1).then(() => items.get(key)),
    set: async (key, value) => void items.set(key, value),
    delete: async (key) => items.delete(key),
    clear: async () => items.clear(),
  };
};

runMain(async () => {
  await scenario("hooks", (note) => note("registerHooks" in nodeModule));

  for (const [name, store] of [
    ["map", undefined],
    ["lru", new LruStore({ max: 10 })],
    ["remote", remote()],
  ]) {
    const cache = new Keyv({ namespace: "app", ...(store !== undefined && { store }) });
    cache.on("error", () => {});
    await scenario(name, async (note, where) => {
      await cache.set("a", 1);
      await cache.set("empty", "");
      await cache.set("short", 1, 5);
      await sleep(30);
      const promise = cache.get("a");
      note(promise.constructor === Promise, await promise, await cache.get("empty"), await cache.get("nope"));
      where();
      note((await cache.get("short")) ?? null);
      where();
    });
    if (process.env.HAS_MANY === "yes") {
      await scenario(`${name}, many`, async (note) => note(await cache.get(["a", "nope", "empty"])));
      await scenario(`${name}, getMany`, async (note) => note((await cache.getMany?.(["a", "nope"])) ?? "none"));
      await scenario(`${name}, getRaw`, async (note) => note((await cache.getRaw?.("a"))?.value ?? "none"));
    }
  }

  await scenario("failing", async (note) => {
    const failing = new Keyv({
      store: { ...remote(), get: () => Promise.reject(new Error("no store")) },
      emitErrors: false,
      throwOnErrors: true,
    });
    note(describeError(await failureOf(() => failing.get("a"))));
  });

  await unsampledScenario("unsampled", async (note) => note((await new Keyv().get("a")) ?? null));

  // Version 5 keeps its memory store in an lru-cache, later ones in a Keyv.
  const managed =
    cacheManager.caching === undefined
      ? cacheManager.createCache({ ttl: 10_000 })
      : await cacheManager.caching("memory", { max: 10, ttl: 10_000 });
  await scenario("cache-manager", async (note) => {
    await managed.set("a", 1);
    note(await managed.get("a"), (await managed.get("nope")) ?? null);
    note(await managed.wrap("w", async () => 2), await managed.wrap("w", async () => 3));
  });
  if (cacheManager.caching === undefined) {
    const far = new Keyv({ store: remote() });
    const layered = cacheManager.createCache({ stores: [new Keyv({ store: new LruStore({ max: 10 }) }), far] });
    await far.set("far", 1);
    await scenario("layers", async (note) => note(await layered.get("far")));
  }
});
