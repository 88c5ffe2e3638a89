import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { buildTree, childrenOf, missingSpanId, REPAIR, type TraceTree } from "../../src/analysis/trace-tree.ts";
import { KIND, largeTrace, makeTrace, MILLI, type MadeSpan } from "../support/trace-fixture.ts";

function treeOf(spans: readonly MadeSpan[]): { tree: TraceTree; at: (id: string) => number; ids: string[] } {
  const { spans: columns } = makeTrace(spans);
  const ids = columns.spanId.map((id) => columns.ids[id]!);
  return { tree: buildTree(columns), at: (id) => ids.indexOf(id), ids };
}

/** 0 for a root. */
function depthOf(tree: TraceTree, node: number): number {
  let depth = 0;
  for (let above = tree.parent[node]!; above >= 0; above = tree.parent[above]!) depth++;
  return depth;
}

test("children are in order of start, the order is preorder, depth and size follow", () => {
  const { tree, at, ids } = treeOf([
    { id: "root", from: 0, to: 100 },
    { id: "late", parent: "root", from: 50, to: 60 },
    { id: "early", parent: "root", from: 10, to: 40 },
    { id: "inner", parent: "early", from: 12, to: 14 },
  ]);
  expect(Array.from(tree.order, (node) => ids[node])).toEqual(["root", "early", "inner", "late"]);
  expect(Array.from(tree.order, (node) => depthOf(tree, node))).toEqual([0, 1, 2, 1]);
  expect(Array.from(tree.order, (node) => tree.size[node])).toEqual([4, 2, 1, 1]);
  expect(childrenOf(tree, at("root"))).toEqual([at("early"), at("late")]);
  expect([tree.startNanos, tree.endNanos]).toEqual([0, 100 * MILLI]);
});

test("an empty trace is an empty forest", () => {
  const { tree } = treeOf([]);
  expect([tree.nodeCount, tree.roots, tree.startNanos, tree.endNanos]).toEqual([0, [], 0, 0]);
});

describe("repair", () => {
  test("a lone orphan is a root that says so", () => {
    const { tree, at } = treeOf([
      { id: "a", parent: "gone", from: 0, to: 5 },
      { id: "b", parent: "a", from: 1, to: 2 },
    ]);
    expect(tree.roots).toEqual([at("a")]);
    expect(tree.repairs[at("a")]).toBe(REPAIR.missingParent);
    expect(tree.repairs[at("b")]).toBe(0);
  });

  test("several orphans of one parent stand below a node in its place", () => {
    const spans: MadeSpan[] = [
      { id: "a", parent: "gone", from: 2, to: 5 },
      { id: "b", parent: "gone", from: 4, to: 9 },
      { id: "root", from: 0, to: 10 },
    ];
    const { tree, at } = treeOf(spans);
    expect(tree.nodeCount).toBe(4);
    expect(childrenOf(tree, 3)).toEqual([at("a"), at("b")]);
    expect([tree.start[3], tree.end[3]]).toEqual([2 * MILLI, 9 * MILLI]);
    expect(missingSpanId(tree, makeTrace(spans).spans, 3)).toBe("gone");
    expect(tree.roots).toEqual([at("root"), 3]);
  });

  test("a cycle is cut at its earliest span", () => {
    const { tree, at } = treeOf([
      { id: "a", parent: "c", from: 0, to: 9 },
      { id: "b", parent: "a", from: 1, to: 8 },
      { id: "c", parent: "b", from: 2, to: 7 },
      { id: "below", parent: "b", from: 3, to: 4 },
    ]);
    expect(tree.roots).toEqual([at("a")]);
    expect(tree.repairs[at("a")]).toBe(REPAIR.cycle);
    expect(tree.parent[at("c")]).toBe(at("b"));
    expect(tree.size[at("a")]).toBe(4);
  });

  test("a span that is its own parent is a root", () => {
    const { tree, at } = treeOf([{ id: "a", parent: "a", from: 0, to: 9 }]);
    expect(tree.roots).toEqual([at("a")]);
    expect(tree.repairs[0]).toBe(REPAIR.cycle);
  });

  test("of two spans with an id the first has the children; both are shown", () => {
    const { tree } = treeOf([
      { id: "root", from: 0, to: 100 },
      { id: "a", parent: "root", name: "first", from: 1, to: 40 },
      { id: "a", parent: "root", name: "second", from: 50, to: 90 },
      { id: "below", parent: "a", from: 60, to: 70 },
    ]);
    expect(childrenOf(tree, 0)).toEqual([1, 2]);
    expect(childrenOf(tree, 1)).toEqual([3]);
    expect(tree.repairs[2]).toBe(REPAIR.duplicateId);
  });

  test.each([
    ["client first", 0],
    ["server's clock ahead", -1],
  ])("two sides of a call that share an id, as in Zipkin, are parent and child: %s", (_, from) => {
    const { tree, ids } = treeOf([
      { id: "shared", kind: KIND.client, service: "a", name: "client", from: 0, to: 10 },
      { id: "shared", kind: KIND.server, service: "b", name: "server", from: from + 0.5, to: 8 },
      { id: "below", parent: "shared", service: "b", from: 2, to: 3 },
    ]);
    expect(tree.roots).toHaveLength(1);
    expect(Array.from(tree.order, (node) => depthOf(tree, node))).toEqual([0, 1, 2]);
    expect(tree.repairs.some((bits) => bits & REPAIR.duplicateId)).toBe(false);
    expect(ids[tree.order[2]!]).toBe("below");
  });

  test("times that are no times give a span without duration", () => {
    const { spans } = makeTrace([{ id: "a", from: 0, to: 1 }]);
    const tree = buildTree({ ...spans, startNanos: [Number.NaN], durationNanos: [-5] });
    expect([tree.start[0], tree.end[0], tree.repairs[0]]).toEqual([0, 0, REPAIR.badTimes]);
  });
});

describe("clock skew", () => {
  const call = (serverFrom: number, serverTo: number): ReturnType<typeof treeOf> =>
    treeOf([
      { id: "client", kind: KIND.client, service: "a", from: 1000, to: 1100 },
      { id: "server", parent: "client", kind: KIND.server, service: "b", from: serverFrom, to: serverTo },
      { id: "query", parent: "server", kind: KIND.client, service: "b", from: serverFrom + 10, to: serverFrom + 20 },
      { id: "first", service: "a", from: 0, to: 2000 },
    ]);

  test.each([
    ["ahead", 6010, 6090],
    ["behind", 10, 90],
    ["past the end", 1050, 1130],
  ])("a server that is %s is moved into the middle of its client's span, with all below it", (_, from, to) => {
    const { tree, at } = call(from, to);
    expect(tree.start[at("server")]).toBe((1000 + 10) * MILLI);
    expect(tree.start[at("query")]).toBe((1000 + 20) * MILLI);
    expect(tree.shift[at("server")]).toBe((1010 - from) * MILLI);
    expect(tree.repairs[at("query")]! & REPAIR.clockSkew).toBeTruthy();
    expect(tree.endNanos).toBe(2000 * MILLI);
  });

  test.each([
    ["fits", 1001, 1099],
    ["is late by less than clocks of one machine differ", 1001, 1100.05],
    ["goes on after its client gave up", 1001, 1900],
  ])("a server that %s stays", (_, from, to) => {
    const { tree, at } = call(from, to);
    expect(tree.start[at("server")]).toBe(from * MILLI);
    expect(tree.repairs[at("server")]).toBe(0);
  });

  test("siblings are in order of where they were moved to", () => {
    const { tree, at } = treeOf([
      { id: "client", kind: KIND.client, service: "a", from: 1000, to: 1100 },
      { id: "local", parent: "client", service: "a", from: 1050, to: 1060 },
      { id: "server", parent: "client", kind: KIND.server, service: "b", from: 6010, to: 6090 },
    ]);
    expect(childrenOf(tree, at("client"))).toEqual([at("server"), at("local")]);
  });

  test("a server longer than its client begins with it at the earliest", () => {
    const { tree, at } = call(500, 900);
    expect(tree.start[at("server")]).toBe(1000 * MILLI);
  });

  test("a message is not handled before it is sent; later is no fault", () => {
    const message = (from: number): ReturnType<typeof treeOf> =>
      treeOf([
        { id: "root", service: "a", from: 0, to: 200 },
        { id: "sent", parent: "root", kind: KIND.producer, service: "a", from: 100, to: 101 },
        { id: "handled", parent: "sent", kind: KIND.consumer, service: "b", from, to: from + 50 },
      ]);
    const early = message(20);
    expect(early.tree.start[early.at("handled")]).toBe(100 * MILLI);
    const late = message(5000);
    expect(late.tree.repairs[late.at("handled")]).toBe(0);
    expect(late.tree.isAsynchronous[late.at("handled")]).toBe(1);
  });

  test("what comes back to the first service is not moved with the one between", () => {
    const { tree, at } = treeOf([
      { id: "client", kind: KIND.client, service: "a", from: 1000, to: 1100 },
      { id: "server", parent: "client", kind: KIND.server, service: "b", from: 6010, to: 6090 },
      { id: "back", parent: "server", kind: KIND.client, service: "b", from: 6020, to: 6080 },
      { id: "again", parent: "back", kind: KIND.server, service: "a", from: 1025, to: 1075 },
    ]);
    expect(tree.shift[at("again")]).toBe(0);
    expect(tree.start[at("back")]).toBe(20 * MILLI);
  });
});

test("20,000 spans, some broken, and chains of any depth become a forest that has every span once", () => {
  const large = largeTrace({ spans: 20_000, skewMillis: 50, brokenPerThousand: 10 });
  const tree = buildTree(large.spans);
  expect(new Set(tree.order).size).toBe(tree.nodeCount);
  const chain = Array.from({ length: 20_000 }, (_, n): MadeSpan => ({
    id: `${n}`,
    parent: `${n - 1}`,
    from: n,
    to: n + 1,
  }));
  expect(depthOf(buildTree(makeTrace(chain).spans), 19_999)).toBe(19_999);
});

test("whatever arrives, the order is a preorder of a forest with every span in it", () => {
  const span = fc.record({
    id: fc.constantFrom("a", "b", "c", "d", "e", "f", "g"),
    parent: fc.constantFrom("a", "b", "c", "d", "e", "x", "y", undefined),
    service: fc.constantFrom("one", "two"),
    kind: fc.constantFrom(1, 2, 3, 4, 5),
    from: fc.integer({ min: 0, max: 100 }),
    length: fc.integer({ min: 0, max: 100 }),
  });
  fc.assert(
    fc.property(fc.array(span, { maxLength: 20 }), (made) => {
      const { spans } = makeTrace(
        made.map(({ length, parent, kind, ...rest }) => ({
          ...rest,
          kind: kind as 1,
          to: rest.from + length,
          ...(parent !== undefined && { parent }),
        })),
      );
      const tree = buildTree(spans);
      expect([...tree.order].sort((a, b) => a - b)).toEqual(Array.from({ length: tree.nodeCount }, (_, n) => n));
      for (let node = 0; node < tree.nodeCount; node++) {
        const above = tree.parent[node]!;
        if (above < 0) continue;
        expect(tree.position[node]).toBeGreaterThan(tree.position[above]!);
        expect(tree.position[node]).toBeLessThan(tree.position[above]! + tree.size[above]!);
        expect(depthOf(tree, node)).toBe(depthOf(tree, above) + 1);
        const next = tree.nextSibling[node]!;
        if (next >= 0) expect(tree.start[next]).toBeGreaterThanOrEqual(tree.start[node]!);
      }
    }),
  );
});
