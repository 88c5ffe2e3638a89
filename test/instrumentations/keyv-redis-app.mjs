// The application of keyv.test.ts whose store is Redis.
import nodeModule from "node:module";
import * as keyvRedis from "@keyv/redis";
import * as library from "keyv";
import scenarios from "./scenarios-app.cjs";

const { runMain, scenario } = scenarios;
const Keyv = library.Keyv ?? library.default ?? library;
const KeyvRedis = keyvRedis.KeyvRedis ?? keyvRedis.default ?? keyvRedis;

runMain(async () => {
  await scenario("hooks", (note) => note("registerHooks" in nodeModule));
  const cache = new Keyv({ store: new KeyvRedis(process.env.REDIS_URL), namespace: `keyv-${process.pid}` });
  await cache.set("a", 1, 60_000);
  await scenario("hit", async (note, where) => {
    note(await cache.get("a"));
    where();
  });
  await scenario("miss", async (note) => note((await cache.get("nope")) ?? null));
  await scenario("many", async (note) => note(await cache.get(["a", "nope"])));
  await cache.disconnect();
});
