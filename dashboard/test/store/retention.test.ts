import { statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Store } from "../../src/store/store.ts";
import { hexId, logsOf, span } from "./spans.ts";
import { drivers, getTrace, keep, mustBeKept, open, operations, temporaryFolder } from "./support.ts";

const MAX_BYTES = 4_000_000;

describe.each(drivers)("with %s", (driver) => {
  test(
    "when the store is full the oldest traces leave first, and its file stays within the cap",
    { timeout: 120_000 },
    async () => {
      const path = join(temporaryFolder(), "traces.db");
      const store = await open({ path, driver, maxBytes: MAX_BYTES });
      const sent = 20_000;
      for (let number = 0; number < sent; number += 500) {
        const spans = Array.from({ length: 500 }, (_, index) =>
          span({ name: `n${number + index}`, at: number + index, attributes: { text: "x".repeat(400) } }),
        );
        await keep(store, spans);
        const { storeBytes } = await store.getStatus();
        // What was just written may be above for a moment.
        expect(storeBytes).toBeLessThan(MAX_BYTES * 1.5);
      }
      await expect
        .poll(async () => (await store.getStatus()).storeBytes, { timeout: 30_000 })
        .toBeLessThanOrEqual(MAX_BYTES * 1.05);
      // It goes on until there is some room again.
      await expect.poll(() => isStill(store), { timeout: 30_000 }).toBe(true);
      const status = await store.getStatus();
      expect(status.evictedTraces).toBeGreaterThan(sent / 2);
      expect(status.traceCount).toBe(sent - status.evictedTraces);
      expect(status.spanCount).toBe(status.traceCount);
      const { traces } = await store.listTraces({}, { limit: 1000 });
      expect(traces.slice(0, 3).map(({ operation }) => operation)).toEqual(["n19999", "n19998", "n19997"]);
      // Nothing is missing between those that are left.
      expect(await operations(store, { operation: `n${sent - status.traceCount}` })).toContain(
        `n${sent - status.traceCount}`,
      );
      expect(await operations(store, { operation: `n${sent - status.traceCount - 1}` })).not.toContain(
        `n${sent - status.traceCount - 1}`,
      );
      await store.close();
      expect(statSync(path).size).toBeLessThan(MAX_BYTES * 1.05);
    },
  );

  test("a cap that was lowered is kept to when the store is opened", async () => {
    const path = join(temporaryFolder(), "traces.db");
    const large = await open({ path, driver });
    const spans = Array.from({ length: 5000 }, () => span({ attributes: { text: "x".repeat(1000) } }));
    await keep(large, spans);
    expect((await large.getStatus()).storeBytes).toBeGreaterThan(MAX_BYTES);
    await large.close();
    const small = await open({ path, driver, maxBytes: MAX_BYTES });
    await expect
      .poll(async () => (await small.getStatus()).storeBytes, { timeout: 30_000 })
      .toBeLessThanOrEqual(MAX_BYTES);
    expect((await small.getStatus()).traceCount).toBeGreaterThan(1000);
  });

  test("logs without traces leave, too", async () => {
    const store = await open({ driver, maxBytes: 2_000_000 });
    for (let part = 0; part < 10; part++)
      mustBeKept(await store.ingest(logsOf(Array.from({ length: 1000 }, () => ({ body: "y".repeat(500) })))));
    await expect.poll(async () => (await store.getStatus()).storeBytes, { timeout: 30_000 }).toBeLessThan(2_100_000);
    expect((await store.getStatus()).logCount).toBeGreaterThan(0);
    expect((await store.getStatus()).logCount).toBeLessThan(9000);
  });

  test("traces to which nothing was added for as long as asked leave when the store is opened", async () => {
    const path = join(temporaryFolder(), "traces.db");
    const first = await open({ path, driver });
    // Started long ago, and just arrived: that is what counts, or nothing old could be imported.
    await keep(first, [span({ at: -1e12 })]);
    await first.close();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const patient = await open({ path, driver, retentionMillis: 3_600_000 });
    expect((await patient.getStatus()).traceCount).toBe(1);
    await patient.close();
    const second = await open({ path, driver, retentionMillis: 200 });
    await expect.poll(async () => (await second.getStatus()).traceCount).toBe(0);
    expect((await second.getStatus()).evictedTraces).toBe(1);
  });

  test("spans of a trace that has left begin it anew", async () => {
    const store = await open({ driver, maxBytes: 1_000_000 });
    const traceId = hexId(0xaaaa, 32);
    const first = span({ traceId, name: "first" });
    await keep(store, [first]);
    for (let part = 0; part < 10; part++)
      await keep(
        store,
        Array.from({ length: 500 }, () => span({ attributes: { text: "x".repeat(400) } })),
      );
    await expect.poll(() => getTrace(store, traceId)).toBeUndefined();
    await keep(store, [span({ traceId, name: "late", parentSpanId: first.spanId }), first]);
    expect((await getTrace(store, traceId))?.summary).toMatchObject({ spanCount: 2, operation: "first" });
  });

  test("questions are answered in a flood that does not end, and all of it is kept", { timeout: 120_000 }, async () => {
    const store = await open({ driver });
    let sent = 0;
    const ended = new AbortController();
    const send = async (): Promise<void> => {
      while (!ended.signal.aborted) {
        sent += 200;
        await keep(
          store,
          Array.from({ length: 200 }, () => span({ attributes: { text: "z".repeat(200) } })),
        );
      }
    };
    const flood = Promise.all(Array.from({ length: 4 }, send));
    await keep(
      store,
      Array.from({ length: 2000 }, () => span()),
    );
    const [page] = await Promise.all([
      store.listTraces({ text: "nowhere" }, { limit: 10 }),
      store.getServiceMap({}),
      store.getFacets({}),
    ]);
    expect(page.traces).toEqual([]);
    ended.abort();
    await flood;
    expect(await store.getStatus()).toMatchObject({ traceCount: sent + 2000, spanCount: sent + 2000 });
  });
});

async function isStill(store: Store): Promise<boolean> {
  const { evictedTraces } = await store.getStatus();
  await new Promise((resolve) => setTimeout(resolve, 200));
  return (await store.getStatus()).evictedTraces === evictedTraces;
}
