// The application of redis-streams.test.ts, with the client library that LIBRARY names: it sends, or receives, or both.
import { createRequire } from "node:module";
import { print, runMain, scenario, sleep, tracer, unsampledScenario } from "./scenarios-app.cjs";

const require = createRequire(import.meta.url);
const { LIBRARY, REDIS_URL, STREAM, PART = "both" } = process.env;

/** Both libraries, by the same few names; entries are `[id, {field: value}]`. */
const libraries = {
  async ioredis() {
    const Redis = require("ioredis");
    const client = new Redis(REDIS_URL);
    const toEntries = (list) =>
      list?.map(([id, fields]) => [
        id,
        Object.fromEntries(fields.flatMap((_, at) => (at % 2 ? [] : [[fields[at], fields[at + 1]]]))),
      ]);
    const toStreams = (reply) => reply?.flatMap(([, entries]) => toEntries(entries)) ?? null;
    const group = (count, block) => [
      "GROUP",
      "workers",
      "one",
      "COUNT",
      count,
      ...(block ? ["BLOCK", block] : []),
      "STREAMS",
      STREAM,
      ">",
    ];
    return {
      create: () => client.xgroup("CREATE", STREAM, "workers", "$", "MKSTREAM"),
      add: (fields, id = "*") => client.xadd(STREAM, "MAXLEN", "~", 1000, id, ...Object.entries(fields).flat()),
      addTogether: (list) =>
        list
          .reduce((pipeline, fields) => pipeline.xadd(STREAM, "*", ...Object.entries(fields).flat()), client.pipeline())
          .exec()
          .then((results) => results.length),
      addInTransaction: (fields) =>
        client
          .multi()
          .xadd(STREAM, "*", ...Object.entries(fields).flat())
          .get("x")
          .exec()
          .then((results) => results.length),
      readGroup: async (count, block) => toStreams(await client.xreadgroup(...group(count, block))),
      read: async (...streams) => toStreams(await client.xread("STREAMS", ...streams, ...streams.map(() => "0"))),
      readTogether: async () => {
        const [[, range], [, read]] = await client
          .pipeline()
          .xrange(STREAM, "-", "+")
          .xread("STREAMS", STREAM, "0")
          .exec();
        return [toEntries(range), toStreams(read)];
      },
      range: async () => toEntries(await client.xrange(STREAM, "-", "+")),
      claim: async (id) => toEntries(await client.xclaim(STREAM, "workers", "two", 0, id)),
      ack: (...ids) => client.xack(STREAM, "workers", ...ids),
      close: async () => client.disconnect(),
    };
  },
  async redis() {
    const { createClient } = require("redis");
    const client = createClient({ url: REDIS_URL });
    client.on("error", () => {});
    await client.connect();
    const toEntries = (list) => list?.map(({ id, message }) => [id, { ...message }]);
    const toStreams = (reply) => reply?.flatMap(({ messages }) => toEntries(messages)) ?? null;
    return {
      create: () => client.xGroupCreate(STREAM, "workers", "$", { MKSTREAM: true }),
      add: (fields, id = "*") =>
        client.xAdd(STREAM, id, fields, { TRIM: { strategy: "MAXLEN", strategyModifier: "~", threshold: 1000 } }),
      addTogether: (list) =>
        list
          .reduce((multi, fields) => multi.xAdd(STREAM, "*", fields), client.multi())
          .execAsPipeline()
          .then(({ length }) => length),
      addInTransaction: (fields) =>
        client
          .multi()
          .xAdd(STREAM, "*", fields)
          .get("x")
          .exec()
          .then(({ length }) => length),
      readGroup: async (COUNT, BLOCK) =>
        toStreams(
          await client.xReadGroup("workers", "one", { key: STREAM, id: ">" }, { COUNT, ...(BLOCK && { BLOCK }) }),
        ),
      read: async (...streams) => toStreams(await client.xRead(streams.map((key) => ({ key, id: "0" })))),
      readTogether: async () => {
        const [range, read] = await client
          .multi()
          .xRange(STREAM, "-", "+")
          .xRead([{ key: STREAM, id: "0" }])
          .exec();
        return [toEntries(range), toStreams(read)];
      },
      range: async () => toEntries(await client.xRange(STREAM, "-", "+")),
      claim: async (id) => toEntries(await client.xClaim(STREAM, "workers", "two", 0, id)),
      ack: (...ids) => client.xAck(STREAM, "workers", ids),
      close: () => client.disconnect(),
    };
  },
};

/** What can be seen of entries, but the ids the server made. */
const shape = (entries) => entries?.map(([id, fields]) => [id.length > 5, fields]) ?? entries;

runMain(async () => {
  const stream = await libraries[LIBRARY]();
  if (PART !== "receive") {
    await scenario("creating", async (note) => note(await stream.create()));
    await scenario("sending one", async (note, where) => {
      note((await stream.add({ item: "book", card: '{"password":"hunter2-entry","title":"T"}' })).length > 5);
      where();
    });
    await scenario("sending two", async (note) => {
      for (const item of ["pen", "ink"])
        await tracer.startActiveSpan(`sender of ${item}`, async (span) => {
          await stream.add({ item });
          span.end();
        });
      note(2);
    });
    await scenario("sending together", async (note) => {
      note(await stream.addTogether([{ item: "a" }, { item: "b" }]), await stream.addInTransaction({ item: "c" }));
    });
    await unsampledScenario("unsampled", async (note) => note((await stream.add({ item: "decision" })).length > 5));
    await scenario("own context", async (note) => {
      await stream.add({ item: "own", traceparent: `00-${"c".repeat(32)}-${"d".repeat(16)}-01` });
      note(1);
    });
  }
  if (PART !== "send") {
    let first;
    await scenario("receiving one", async (note, where) => {
      const entries = await stream.readGroup(1);
      where();
      first = entries[0][0];
      note(shape(entries));
    });
    await scenario("receiving many", async (note) => note(shape(await stream.readGroup(10))));
    await scenario("receiving none", async (note) => note(await stream.readGroup(10, 20)));
    // A loop that waits for work, outside of any trace.
    print("polling", [await stream.readGroup(10, 20)]);
    await scenario("reading", async (note) => {
      note(shape(await stream.range()), shape(await stream.read(STREAM, "nowhere")));
      note((await stream.readTogether()).map(shape), shape(await stream.claim(first)));
    });
    await scenario("acknowledging", async (note) => note(await stream.ack(first), await stream.ack(first, "5-5")));
    await scenario("waiting", async (note) => {
      const other = await libraries[LIBRARY]();
      const waiting = stream.readGroup(1, 5000);
      await sleep(60);
      await other.add({ item: "late" });
      note(shape(await waiting));
      await other.close();
    });
  }
  await stream.close();
});
