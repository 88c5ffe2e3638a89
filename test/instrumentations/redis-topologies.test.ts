import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { childrenOf, runScenarios, type ScenarioRun, seenIn, warningsIn } from "../contract/scenarios.ts";
import ioredis from "../libraries/ioredis.ts";
import redis from "../libraries/redis.ts";
import { type RedisServers, startRedisCluster, startRedisSentinel } from "../services/redis.ts";
import { installLibraries } from "../support/library.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../support/otlp-receiver.ts";

const code = readFileSync(join(import.meta.dirname, "redis-topologies-app.mjs"), "utf8");

let receiver: OtlpReceiver;
let cluster: RedisServers;
let sentinel: RedisServers;
beforeAll(async () => {
  [receiver, cluster, sentinel] = await Promise.all([startOtlpReceiver(), startRedisCluster(), startRedisSentinel()]);
}, 120_000);
afterAll(() => Promise.all([receiver.close(), cluster.stop(), sentinel.stop()]));

const portOf = (url: string | undefined): number => Number(new URL(url as string).port);

describe.each(
  [ioredis, redis].flatMap(({ packages }) =>
    Object.entries(packages)
      .filter(([name]) => !name.startsWith("@"))
      .flatMap(([name, versions]) =>
        // The last of each major.
        versions.slice(1).map((version) => ({ name, version })),
      ),
  ),
)("$name $version", ({ name, version }) => {
  let plain: ScenarioRun;
  let traced: ScenarioRun;
  beforeAll(async () => {
    const libraries = await installLibraries({ [name]: version });
    const env = { LIBRARY: name, CLUSTER: cluster.urls.join(), SENTINEL: sentinel.urls.join() };
    plain = await runScenarios(receiver, { code, libraries, env, preload: "none" });
    traced = await runScenarios(receiver, { code, libraries, env });
  }, 150_000);

  test("the application sees the same as without us", () => {
    expect(seenIn(traced)).toEqual(seenIn(plain));
    expect(JSON.stringify(seenIn(plain))).not.toContain("unexpected ");
    expect(warningsIn(traced)).toBe(warningsIn(plain));
    expect(traced.stderr).not.toContain(`${name} is no longer traced`);
    for (const { where } of traced.told.values()) expect(where).toEqual(where.map(() => true));
  });

  test("a cluster's command is one span that names the node which answered", () => {
    const spans = childrenOf(traced, "cluster");
    expect(spans.map(({ attributes }) => attributes["db.query.text"])).toEqual([
      "SET a ?",
      "SET b ?",
      "SET c ?",
      "GET a",
      "GET b",
      "GET c",
      "GET nowhere",
      "GET {a}1; GET {a}2; GET a",
      "LPUSH a ?",
    ]);
    const ports = cluster.urls.map(portOf);
    // Slots 15495, 3300 and 7365.
    expect(spans.slice(0, 3).map(({ attributes }) => attributes["server.port"])).toEqual([
      ports[2],
      ports[0],
      ports[1],
    ]);
    expect(spans.at(-1)?.attributes["db.response.status_code"]).toBe("WRONGTYPE");
    for (let index = 0; index < 9; index++)
      expect(childrenOf(traced, `request ${index}`).map(({ attributes }) => attributes["db.query.text"])).toEqual([
        `GET ${["a", "b", "c"][index % 3]}`,
      ]);
  });

  test("a message crosses the cluster with its context", () => {
    const [publish, ...others] = childrenOf(traced, "publishing");
    expect(others).toEqual([]);
    expect(publish?.name).toBe("publish news");
    expect(childrenOf(traced, publish).map(({ name: own }) => own)).toEqual(["process news"]);
  });

  test("a redirected command ends well", () => {
    const spans = childrenOf(traced, "asking");
    const answered = spans.filter(({ status }) => status.code === "UNSET");
    expect(answered.map(({ attributes }) => attributes["db.query.text"])).toEqual([
      "SET {moving}key ?",
      "GET {moving}key",
    ]);
    const redirected = spans.filter(({ status }) => status.code === "ERROR");
    // node-redis sends such a command twice; ioredis sends the same one again.
    expect(redirected.map(({ attributes }) => attributes["db.response.status_code"])).toEqual(
      name === "redis" ? ["ASK", "ASK"] : [],
    );
  });

  test("behind a sentinel a command names the master", () => {
    // node-redis has sentinels from 5.
    const told = childrenOf(traced, "sentinel").map((span) => [span.name, span.attributes["server.port"]]);
    const master = portOf(sentinel.urls[1]);
    const expected = [
      ["SET", master],
      ["GET", master],
    ];
    expect(told).toEqual(traced.told.has("sentinel") ? expected : []);
  });
});
