// The application of redis-topologies.test.ts: a cluster and a sentinel, with the client library that LIBRARY names.
import { createRequire } from "node:module";
import { scenario, runMain, sleep, tracer, describeError, failureOf } from "./scenarios-app.cjs";

const require = createRequire(import.meta.url);
const addresses = (urls) => urls.split(",").map((url) => ({ host: "127.0.0.1", port: Number(new URL(url).port) }));
const nodes = addresses(process.env.CLUSTER);
const [sentinel] = addresses(process.env.SENTINEL);

/** Both libraries, by the same few names. */
const libraries = {
  ioredis() {
    const Redis = require("ioredis");
    return {
      cluster: async (some) => new Redis.Cluster(some).on("error", () => {}),
      // Its sentinel options are a client's.
      sentinel: async () => new Redis({ sentinels: [sentinel], name: "mymaster" }).on("error", () => {}),
      single: async (node) => new Redis(node),
      call: (client, ...args) => client.call(...args),
      pipeline: (client, keys) => keys.reduce((pipeline, key) => pipeline.get(key), client.pipeline()).exec(),
      close: async (client) => client.disconnect(),
      subscribe: async (client, channel, listener) => {
        await client.subscribe(channel);
        client.on("message", (_channel, message) => listener(message));
      },
    };
  },
  redis() {
    const { createClient, createCluster, createSentinel } = require("redis");
    const connected = async (client) => {
      client.on("error", () => {});
      await client.connect();
      return client;
    };
    return {
      cluster: (some) => connected(createCluster({ rootNodes: some.map((socket) => ({ socket })) })),
      sentinel:
        createSentinel && (() => connected(createSentinel({ name: "mymaster", sentinelRootNodes: [sentinel] }))),
      single: (socket) => connected(createClient({ socket })),
      call: (client, ...args) => client.sendCommand(args),
      pipeline: (client, keys) => keys.reduce((multi, key) => multi.get(key), client.multi()).execAsPipeline(),
      close: (client) => client.disconnect?.() ?? client.destroy(),
      subscribe: (client, channel, listener) => client.subscribe(channel, listener),
    };
  },
};
const library = libraries[process.env.LIBRARY]();

runMain(async () => {
  const cluster = await library.cluster(nodes);
  await scenario("cluster", async (note, where) => {
    // Keys of three slots, one on each node.
    for (const key of ["a", "b", "c"]) note(await cluster.set(key, key.repeat(3)));
    where();
    note(await Promise.all(["a", "b", "c", "nowhere"].map((key) => cluster.get(key))));
    note(await library.pipeline(cluster, ["{a}1", "{a}2", "a"]));
    note(describeError(await failureOf(() => cluster.lPush?.("a", "x") ?? cluster.lpush("a", "x"))));
  });
  await scenario("concurrency", async (note) => {
    note(
      await Promise.all(
        Array.from({ length: 9 }, (_, index) =>
          tracer.startActiveSpan(`request ${index}`, async (span) => {
            await sleep(index % 3);
            const value = await cluster.get(["a", "b", "c"][index % 3]);
            span.end();
            return value;
          }),
        ),
      ),
    );
  });
  await scenario("subscribing", async () => {
    const subscriber = await library.cluster(nodes);
    const heard = new Promise((resolve) => void library.subscribe(subscriber, "news", resolve));
    await sleep(300);
    await tracer.startActiveSpan("publishing", async (span) => {
      await cluster.publish("news", "across the cluster");
      span.end();
    });
    await heard;
    await library.close(subscriber);
  });
  await scenario("redirection", async (note, where) => {
    // A slot that is moving: its node sends whoever asks for a key that it has not to the other one.
    const singles = await Promise.all(nodes.map((node) => library.single(node)));
    const ids = await Promise.all(singles.map((single) => library.call(single, "CLUSTER", "MYID")));
    const slot = String(await library.call(singles[0], "CLUSTER", "KEYSLOT", "{moving}"));
    const owner = slot <= 5460 ? 0 : slot <= 10922 ? 1 : 2;
    const target = (owner + 1) % 3;
    await library.call(singles[target], "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[owner]);
    await library.call(singles[owner], "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target]);
    await tracer.startActiveSpan("asking", async (span) => {
      note(await cluster.set("{moving}key", "moved"), await cluster.get("{moving}key"));
      span.end();
    });
    where();
    for (const single of singles) await library.call(single, "CLUSTER", "SETSLOT", slot, "STABLE");
    for (const single of singles) await library.close(single);
  });
  await library.close(cluster);

  if (library.sentinel) {
    const client = await library.sentinel();
    await scenario("sentinel", async (note, where) => {
      note(await client.set("watched", "1"), await client.get("watched"));
      where();
    });
    await library.close(client);
  }
});
