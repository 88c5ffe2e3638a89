import { describe, expect, test } from "vitest";
import type { RequestStats } from "../../src/model/api.ts";
import { parseFilter } from "../../src/model/filter.ts";
import type { SpanRecord } from "../../src/model/span.ts";
import type { Store } from "../../src/store/store.ts";
import { EPOCH, hexId, logsOf, payload, span } from "./spans.ts";
import { drivers, getTrace, keep, mustBeKept, open, operations } from "./support.ts";

describe.each(drivers)("the list with %s", (driver) => {
  const http = (status: number): SpanRecord["attributes"] => ({
    "http.request.method": "GET",
    "http.response.status_code": status,
  });
  const order = span({ name: "POST /orders", at: 1_000_000, kind: 2, attributes: { ...http(201), "user.id": "ann" } });
  const query = span({
    traceId: order.traceId,
    parentSpanId: order.spanId,
    service: "billing",
    name: "SELECT",
    kind: 3,
    at: 1_000_100,
    attributes: {
      "db.system.name": "postgresql",
      "db.query.text": 'SELECT "Größe" FROM t',
      rows: 47,
      tags: ["red", "blue"],
    },
    events: [{ name: "retry", time: { unixMicros: EPOCH, nanos: 0 }, attributes: { "why.so": "a lost\nconnection" } }],
  });
  const broken = span({
    name: "GET /broken",
    at: 2_000_000,
    kind: 2,
    durationNanos: 2_000_000_000,
    attributes: { ...http(500), "user.id": "bob" },
    status: { code: 2, message: "Out of Coffee" },
  });
  const swallowed = span({ name: "tick", at: 3_000_000 });
  const failure = span({
    traceId: swallowed.traceId,
    parentSpanId: swallowed.spanId,
    at: 3_000_001,
    status: { code: 2, message: "" },
    resource: { serviceName: "shop", attributes: { "service.name": "shop", region: "eu-1" } },
  });

  async function filled(): Promise<Store> {
    const store = await open({ driver });
    await keep(store, [order, query, broken, swallowed, failure]);
    mustBeKept(await store.ingest(logsOf([{ traceId: swallowed.traceId, body: "Nothing to do: 100%" }])));
    return store;
  }

  test("every condition finds what it is about, and nothing else", async () => {
    const store = await filled();
    const cases: [words: string, found: string[]][] = [
      ["", ["tick", "GET /broken", "POST /orders"]],
      ["service=billing", ["POST /orders"]],
      ["service=bill", []],
      ["service=billing&service=shop", ["tick", "GET /broken", "POST /orders"]],
      ["operation=ORDERS", ["POST /orders"]],
      ["operation=%25", []],
      ["status=ok", ["POST /orders"]],
      ["status=error", ["tick", "GET /broken"]],
      ["status=201", ["POST /orders"]],
      ["status=5xx", ["GET /broken"]],
      ["min=2s", ["GET /broken"]],
      ["min=2001ms", []],
      ["max=1999ms", ["tick", "POST /orders"]],
      [`since=${EPOCH / 1000 + 2000}`, ["tick", "GET /broken"]],
      [`until=${EPOCH / 1000 + 2000}`, ["POST /orders"]],
      ["user=ann", ["POST /orders"]],
      ["user=an", []],
      ["attr=rows", ["POST /orders"]],
      ["attr=row", []],
      ["attr=rows=47", ["POST /orders"]],
      ["attr=rows=47.0", ["POST /orders"]],
      ["attr=rows=4", []],
      ["attr=rows>46", ["POST /orders"]],
      ["attr=rows>47", []],
      ["attr=rows<100", ["POST /orders"]],
      ["attr=rows!=47", []],
      ["attr=http.response.status_code!=500", ["POST /orders"]],
      ["attr=tags=red", ["POST /orders"]],
      ["attr=tags~BLU", ["POST /orders"]],
      ["attr=user.id=bob", ["GET /broken"]],
      ["attr=region=eu-1", ["tick"]],
      ["attr=region~EU", ["tick"]],
      ["attr=region=eu-2", []],
      ["attr=service.name=billing", ["POST /orders"]],
      ["attr=rows=47&attr=user.id=ann", ["POST /orders"]],
      ["attr=rows=47&attr=user.id=bob", []],
      ["q=out of coffee", ["GET /broken"]],
      ["q=GRÖßE", ["POST /orders"]],
      ['q="größe', ["POST /orders"]],
      ["q=lost\nconnection", ["POST /orders"]],
      ["q=why.so", ["POST /orders"]],
      ["q=RETRY", ["POST /orders"]],
      ["q=nothing to", ["tick"]],
      ["q=100%25", ["tick"]],
      ["q=1_0", []],
      ["q=EU-1", ["tick"]],
      ["q=47", ["POST /orders"]],
      ["q=service", ["tick", "GET /broken", "POST /orders"]],
      // Words of the store's own format.
      ["q=micros", []],
      ["q=internal", []],
      [`q=${order.traceId}`, ["POST /orders"]],
      [`q=${query.spanId.toUpperCase()}`, ["POST /orders"]],
      ["q=coffee&user=ann", []],
    ];
    const found: typeof cases = [];
    for (const [words] of cases) {
      const { filter, problems } = parseFilter(new URLSearchParams(words));
      expect(problems, words).toEqual([]);
      found.push([words, await operations(store, filter)]);
    }
    expect(found).toEqual(cases);
  });

  test("times before now move with it", async () => {
    const store = await open({ driver });
    const recent = Date.now() - 60_000;
    await keep(store, [
      span({ name: "recent", start: { unixMicros: recent * 1000, nanos: 0 } } as object),
      span({ name: "old", start: { unixMicros: (recent - 3_600_000) * 1000, nanos: 0 } } as object),
    ]);
    expect(await operations(store, { since: -120_000 })).toEqual(["recent"]);
    expect(await operations(store, { until: -120_000 })).toEqual(["old"]);
  });

  test("pages follow each other without a gap or a repetition, with and without spans to look at", async () => {
    const store = await open({ driver });
    // Many start in the same microsecond.
    const spans = Array.from({ length: 700 }, (_, index) =>
      span({ name: `n${index}`, at: Math.floor(index / 50), attributes: index % 2 === 0 ? { even: "yes" } : {} }),
    );
    await keep(store, spans);
    for (const [filter, expected] of [
      [{}, 700],
      [{ text: "yes" }, 350],
      [{ attributes: [{ key: "even", operator: "exists", value: "" }] }, 350],
    ] as const) {
      const names: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await store.listTraces(filter, { limit: 93, ...(cursor !== undefined && { cursor }) });
        names.push(...page.traces.map(({ operation }) => operation));
        cursor = page.nextCursor;
        // What arrives meanwhile is later than all that is still to come.
        await keep(store, [span({ at: 1_000_000, attributes: { even: "yes" } })]);
      } while (cursor !== undefined);
      expect(names.length).toBe(expected);
      expect(new Set(names).size).toBe(expected);
      await store.clear();
      await keep(store, spans);
    }
    expect((await store.listTraces({}, { limit: 700 })).nextCursor).toBeUndefined();
    expect((await store.listTraces({}, { limit: 699 })).nextCursor).toBeDefined();
    expect((await store.listTraces({}, { limit: 10, cursor: "nonsense" })).traces.length).toBe(10);
  });

  test("a trace is found by the first digits of its id, the latest where several begin so", async () => {
    const store = await open({ driver });
    const earlier = span({ traceId: "abcdef0123456789abcdef0123456789", name: "earlier" });
    const later = span({ traceId: "abcdef0123456789abcdef0123456780", name: "later", at: 5 });
    await keep(store, [later, earlier]);
    const found = async (id: string): Promise<unknown> => (await getTrace(store, id))?.summary.operation;
    expect(await found("abcdef01")).toBe("later");
    expect(await found("ABCDEF0123456789ABCDEF0123456789")).toBe("earlier");
    expect(await found("abcdef0")).toBeUndefined();
    expect(await found("abcdef02")).toBeUndefined();
    expect(await found("abcdef0%")).toBeUndefined();
    expect(await store.getSpan(earlier.traceId, hexId(0xfff, 16))).toBeUndefined();
    expect(await store.getSpan(earlier.traceId, "")).toBeUndefined();
  });

  test("links are seen from both ends, across traces, whichever came first", async () => {
    const store = await open({ driver });
    const publish = span({ name: "publish", service: "shop" });
    const link = { traceId: publish.traceId, spanId: publish.spanId, attributes: {} };
    const nowhere = { traceId: hexId(0xdead, 32), spanId: hexId(0xdead, 16), attributes: {} };
    const process = span({ name: "process", service: "mail", links: [link, nowhere] });
    await keep(store, [process]);
    await keep(store, [publish]);
    expect((await getTrace(store, process.traceId))?.links).toEqual([
      { span: 0, direction: "out", traceId: link.traceId, spanId: link.spanId, operation: "publish", service: "shop" },
      { span: 0, direction: "out", traceId: nowhere.traceId, spanId: nowhere.spanId },
    ]);
    expect((await getTrace(store, publish.traceId))?.links).toEqual([
      {
        span: 0,
        direction: "in",
        traceId: process.traceId,
        spanId: process.spanId,
        operation: "process",
        service: "mail",
      },
    ]);
    expect((await store.getSpan(process.traceId, process.spanId))?.linksTo).toEqual([
      { ...link, operation: "publish", service: "shop" },
      nowhere,
    ]);
    expect((await store.getSpan(publish.traceId, publish.spanId))?.linkedFrom).toEqual([
      { traceId: process.traceId, spanId: process.spanId, operation: "process", service: "mail" },
    ]);
  });

  test("facets count traces, most frequent first", async () => {
    const store = await filled();
    const facets = await store.getFacets({});
    expect(facets.services).toEqual([
      { value: "shop", count: 3 },
      { value: "billing", count: 1 },
    ]);
    expect(facets.statuses).toEqual([
      { value: "error", count: 2 },
      { value: "201", count: 1 },
      { value: "500", count: 1 },
      { value: "ok", count: 1 },
    ]);
    expect(facets.users.map(({ value }) => value)).toEqual(["ann", "bob"]);
    expect(facets.attributeKeys).toEqual(expect.arrayContaining(["rows", "user.id", "region"]));
    expect((await store.getFacets({ text: "coffee" })).operations).toEqual([{ value: "GET /broken", count: 1 }]);
  });

  test("traces are read whole and one after the other, by filter and by id", async () => {
    const store = await filled();
    const names = async (selection: Parameters<Store["readTraces"]>[0]): Promise<string[][]> => {
      const read: string[][] = [];
      for await (const trace of store.readTraces(selection)) read.push(trace.map(({ spanId }) => spanId));
      return read;
    };
    expect(await names({ user: "ann" })).toEqual([[order.spanId, query.spanId]]);
    expect(await names({ traceIds: [broken.traceId, hexId(0xfffff, 32), order.traceId] })).toEqual([
      [broken.spanId],
      [order.spanId, query.spanId],
    ]);
    // More than one portion.
    const many = Array.from({ length: 12_000 }, (_, index) =>
      span({ name: "many", at: index, traceId: hexId(0x900000 + Math.floor(index / 4), 32) }),
    );
    await keep(store, many);
    const read = await names({ operation: "many" });
    expect(read.length).toBe(3000);
    expect(new Set(read.flat()).size).toBe(12_000);
  });

  test("what another store exports is imported, once", async () => {
    const store = await open({ driver });
    const document = JSON.parse(Buffer.from(payload("traces", {}).body).toString()) as object;
    const spans = [
      { traceId: hexId(9, 32), spanId: hexId(9, 16), name: "imported", startTimeUnixNano: "1", endTimeUnixNano: "2" },
    ];
    const body = (): Uint8Array<ArrayBuffer> =>
      new Uint8Array(Buffer.from(JSON.stringify({ ...document, resourceSpans: [{ scopeSpans: [{ spans }] }] })));
    const expected = { format: "otlp", traces: 1, spans: 1, rejectedSpans: 0 };
    expect(await store.importTraces(body())).toEqual(expected);
    expect(await store.importTraces(body())).toEqual(expected);
    expect(await store.getStatus()).toMatchObject({ spanCount: 1 });
    const refused = store.importTraces(new Uint8Array(Buffer.from("[1")));
    await expect(refused).rejects.toMatchObject({ name: "StoreError", code: "bad_import" });
  });

  test("saved filters are kept by name, and stay when everything else is cleared", async () => {
    const store = await filled();
    await store.putSavedFilter({ name: "slow", query: "min=1s" });
    await store.putSavedFilter({ name: "bad", query: "status=error" });
    expect(await store.putSavedFilter({ name: "slow", query: "min=2s" })).toEqual([
      { name: "bad", query: "status=error" },
      { name: "slow", query: "min=2s" },
    ]);
    expect(await store.deleteSavedFilter("bad")).toEqual([{ name: "slow", query: "min=2s" }]);
    await store.clear();
    expect(await store.getSavedFilters()).toEqual([{ name: "slow", query: "min=2s" }]);
    expect(await store.getStatus()).toMatchObject({ traceCount: 0, spanCount: 0, logCount: 0 });
    expect(await operations(store, {})).toEqual([]);
    // What was cleared can come again.
    await keep(store, [order, query]);
    expect(await store.getStatus()).toMatchObject({ traceCount: 1, spanCount: 2 });
  });

  test("the map has services, databases, caches, topics and the hosts that do not answer for themselves", async () => {
    const store = await open({ driver });
    const root = span({ service: "web", kind: 2, durationNanos: 10 });
    const { traceId } = root;
    const child = (parent: SpanRecord, wish: Parameters<typeof span>[0]): SpanRecord =>
      span({ traceId, parentSpanId: parent.spanId, ...wish });
    // The server's framework has a span for the same request.
    const route = child(root, { service: "web", kind: 2 });
    const call = child(route, {
      service: "web",
      kind: 3,
      attributes: { "http.request.method": "GET", "server.address": "orders.internal" },
    });
    const answer = child(call, { service: "orders", kind: 2, durationNanos: 30, status: { code: 2, message: "" } });
    const database = { "db.system.name": "postgresql", "db.namespace": "app", "db.query.text": "SELECT 1" };
    const spans = [
      root,
      route,
      call,
      answer,
      child(answer, { service: "orders", kind: 3, durationNanos: 1, attributes: database }),
      child(answer, { service: "orders", kind: 3, durationNanos: 3, attributes: database }),
      child(answer, {
        service: "orders",
        kind: 3,
        durationNanos: 2,
        attributes: database,
        status: { code: 2, message: "" },
      }),
      child(answer, {
        service: "orders",
        kind: 3,
        attributes: { "db.system.name": "redis", "cache.key": "k", "cache.hit": false },
      }),
      child(answer, {
        service: "orders",
        kind: 3,
        attributes: { "http.method": "POST", "http.url": "https://u:p@api.mixpanel.example:8443/track" },
      }),
    ];
    const produce = child(answer, {
      service: "orders",
      kind: 4,
      attributes: { "messaging.system": "kafka", "messaging.destination.name": "events" },
    });
    const consume = span({
      service: "mail",
      kind: 5,
      durationNanos: 7,
      links: [{ traceId, spanId: produce.spanId, attributes: {} }],
      attributes: { "messaging.system": "kafka", "messaging.destination.name": "events" },
    });
    const inTrace = child(produce, {
      service: "stock",
      kind: 5,
      attributes: { "messaging.system": "kafka", "messaging.destination.name": "events" },
    });
    // A job nobody asked for, and a script that only calls.
    const job = span({ service: "nightly", kind: 1, durationNanos: 9 });
    const script = span({
      service: "script",
      kind: 3,
      durationNanos: 2,
      attributes: { "db.system.name": "postgresql", "db.namespace": "app" },
    });
    await keep(store, [
      ...spans,
      produce,
      consume,
      inTrace,
      job,
      span({ traceId: job.traceId, parentSpanId: job.spanId, service: "nightly", kind: 1 }),
      script,
    ]);
    const map = await store.getServiceMap({});
    const counts = ({ count, errorCount }: RequestStats): string => `${count}/${errorCount}`;
    expect(map.nodes.map(({ id, name, type, stats }) => [id, name, type, counts(stats)])).toEqual([
      ["cache:redis", "redis", "cache", "1/0"],
      ["database:postgresql/app", "postgresql/app", "database", "4/1"],
      ["host:api.mixpanel.example", "api.mixpanel.example", "host", "1/0"],
      ["service:mail", "mail", "service", "1/0"],
      ["service:nightly", "nightly", "service", "1/0"],
      ["service:orders", "orders", "service", "1/1"],
      ["service:script", "script", "service", "0/0"],
      ["service:stock", "stock", "service", "1/0"],
      ["service:web", "web", "service", "1/0"],
      ["topic:events", "events", "topic", "1/0"],
    ]);
    expect(map.edges.map(({ from, to, stats }) => [from, to, counts(stats)])).toEqual([
      ["service:orders", "cache:redis", "1/0"],
      ["service:orders", "database:postgresql/app", "3/1"],
      ["service:orders", "host:api.mixpanel.example", "1/0"],
      ["service:orders", "topic:events", "1/0"],
      ["service:script", "database:postgresql/app", "1/0"],
      ["service:web", "service:orders", "1/1"],
      ["topic:events", "service:mail", "1/0"],
      ["topic:events", "service:stock", "1/0"],
    ]);
    const database_ = map.nodes.find(({ type }) => type === "database");
    expect(database_?.stats).toMatchObject({ p50Nanos: 2, p95Nanos: 3 });
    expect((await store.getServiceMap({ since: EPOCH / 1000 + 10_000 })).nodes).toEqual([]);
  });
});

describe.each(drivers)("watching with %s", (driver) => {
  test("changed traces that match are told, together and at most four times a second", async () => {
    const store = await open({ driver });
    const events: string[][] = [];
    const stop = store.watch({ service: ["shop"], text: "yes" }, (event) => {
      events.push(
        event.type === "traces" ? event.traces.map(({ operation, spanCount }) => `${operation} ${spanCount}`) : [],
      );
    });
    const first = span({ name: "first", attributes: { a: "yes" } });
    await keep(store, [
      first,
      span({ name: "other", service: "mail", attributes: { a: "yes" } }),
      span({ name: "no" }),
    ]);
    await expect.poll(() => events).toEqual([["first 1"]]);
    for (let index = 0; index < 20; index++) {
      await keep(store, [span({ traceId: first.traceId, parentSpanId: first.spanId })]);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await expect.poll(() => events.at(-1)).toEqual(["first 21"]);
    expect(events.length).toBeLessThan(10);
    await store.clear();
    await expect.poll(() => events.at(-1)).toEqual([]);
    stop();
    const { length } = events;
    await keep(store, [span({ attributes: { a: "yes" } })]);
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(events.length).toBe(length);
  });

  test("whoever begins to watch is told what changed just before, if that is wanted", async () => {
    const store = await open({ driver });
    const watch = (recent: boolean): string[] => {
      const told: string[] = [];
      store.watch(
        { service: ["shop"] },
        (event) => {
          if (event.type === "traces") told.push(...event.traces.map(({ operation }) => operation));
        },
        { recent },
      );
      return told;
    };
    await keep(store, [span({ name: "cleared" })]);
    await store.clear();
    await keep(store, [span({ name: "just before" }), span({ name: "other", service: "mail" })]);
    const [told, others] = [watch(true), watch(false)];
    await expect.poll(() => told).toEqual(["just before"]);
    await keep(store, [span({ name: "after" })]);
    await expect.poll(() => others).toEqual(["after"]);
    expect(told).toEqual(["just before", "after"]);
    await new Promise((resolve) => setTimeout(resolve, 2100));
    const late = watch(true);
    await keep(store, [span({ name: "much later" })]);
    await expect.poll(() => late).toEqual(["much later"]);
  });

  test("of a flood the latest are told, no more than 200 at a time", async () => {
    const store = await open({ driver });
    let told: readonly { operation: string }[] = [];
    store.watch({}, (event) => {
      if (event.type === "traces") told = event.traces;
    });
    await keep(
      store,
      Array.from({ length: 5000 }, (_, index) => span({ name: `n${index}`, at: index })),
    );
    await expect.poll(() => told.length).toBe(200);
    expect(told[0]?.operation).toBe("n4999");
  });
});
