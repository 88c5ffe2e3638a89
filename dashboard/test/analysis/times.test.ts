import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { criticalPath } from "../../src/analysis/critical-path.ts";
import { flameGraph } from "../../src/analysis/flame.ts";
import { foldSiblings } from "../../src/analysis/fold.ts";
import { createTimeScale } from "../../src/analysis/gaps.ts";
import { selfTimes } from "../../src/analysis/self-time.ts";
import { buildTree } from "../../src/analysis/trace-tree.ts";
import {
  KIND,
  largeTrace,
  makeTrace,
  MILLI,
  repetitiveTrace,
  shortenTrace,
  type MadeSpan,
} from "../support/trace-fixture.ts";

const anyTrace = fc
  .array(
    fc.record({
      parent: fc.nat({ max: 30 }),
      kind: fc.constantFrom(1, 2, 3, 4, 5),
      service: fc.constantFrom("one", "two"),
      from: fc.integer({ min: -20, max: 120 }),
      length: fc.integer({ min: 0, max: 80 }),
    }),
    { maxLength: 30 },
  )
  .map((made) => {
    const spans = made.map(({ parent, kind, service, from, length }, index): MadeSpan => ({
      id: `${index + 1}`,
      parent: `${parent % (index + 1)}`,
      kind: kind as 1,
      service,
      from,
      to: from + length,
    }));
    return makeTrace([{ id: "0", from: 0, to: 100, service: "one" }, ...spans]);
  });

describe("self time", () => {
  test("is the duration without what children cover, counted once where they overlap and clipped where they stick out", () => {
    const { spans } = makeTrace([
      { id: "root", from: 0, to: 100 },
      { id: "a", parent: "root", from: 10, to: 40 },
      { id: "b", parent: "root", from: 30, to: 50 },
      { id: "c", parent: "root", from: 90, to: 130 },
    ]);
    expect([...selfTimes(buildTree(spans))]).toEqual([50, 30, 20, 40].map((millis) => millis * MILLI));
  });

  test("is not lessened by a message's handling elsewhere", () => {
    const { spans } = makeTrace([
      { id: "sent", kind: KIND.producer, service: "a", from: 0, to: 10 },
      { id: "handled", parent: "sent", kind: KIND.consumer, service: "b", from: 2, to: 50 },
    ]);
    expect(selfTimes(buildTree(spans))[0]).toBe(10 * MILLI);
  });

  test("lies between nothing and the duration", () => {
    fc.assert(
      fc.property(anyTrace, ({ spans }) => {
        const tree = buildTree(spans);
        selfTimes(tree).forEach((self, node) => {
          expect(self).toBeGreaterThanOrEqual(0);
          expect(self).toBeLessThanOrEqual(tree.end[node]! - tree.start[node]!);
        });
      }),
    );
  });
});

describe("the critical path", () => {
  const sectionsOf = (made: readonly MadeSpan[]): string[] => {
    const { spans } = makeTrace(made);
    const path = criticalPath(buildTree(spans));
    const texts: string[] = [];
    path.node.forEach((node, at) =>
      texts.push(`${spans.ids[spans.spanId[node]!]} ${path.from[at]! / MILLI}-${path.to[at]! / MILLI}`),
    );
    return texts.reverse();
  };

  test("goes through what ran one after the other", () => {
    expect(
      sectionsOf([
        { id: "root", from: 0, to: 100 },
        { id: "a", parent: "root", from: 10, to: 40 },
        { id: "b", parent: "root", from: 50, to: 90 },
      ]),
    ).toEqual(["root 0-10", "a 10-40", "root 40-50", "b 50-90", "root 90-100"]);
  });

  test("of what ran side by side takes what ended last", () => {
    expect(
      sectionsOf([
        { id: "root", from: 0, to: 100 },
        { id: "short", parent: "root", from: 10, to: 40 },
        { id: "long", parent: "root", from: 10, to: 90 },
      ]),
    ).toEqual(["root 0-10", "long 10-90", "root 90-100"]);
  });

  test("takes an overlap of less than a hundredth for one after the other", () => {
    expect(
      sectionsOf([
        { id: "root", from: 0, to: 100 },
        { id: "a", parent: "root", from: 10, to: 50.9 },
        { id: "b", parent: "root", from: 50, to: 90 },
      ]),
    ).toEqual(["root 0-10", "a 10-50", "b 50-90", "root 90-100"]);
    expect(
      sectionsOf([
        { id: "root", from: 0, to: 100 },
        { id: "a", parent: "root", from: 10, to: 51.1 },
        { id: "b", parent: "root", from: 50, to: 90 },
      ]),
    ).toEqual(["root 0-50", "b 50-90", "root 90-100"]);
  });

  test("clips what sticks out, at every depth", () => {
    expect(
      sectionsOf([
        { id: "root", from: 0, to: 100 },
        { id: "a", parent: "root", from: 20, to: 140 },
        { id: "b", parent: "a", from: 30, to: 130 },
      ]),
    ).toEqual(["root 0-20", "a 20-30", "b 30-100"]);
  });

  test("does not wait for the handling of messages", () => {
    expect(
      sectionsOf([
        { id: "root", from: 0, to: 100, service: "a" },
        { id: "sent", parent: "root", from: 10, to: 20, service: "a", kind: KIND.producer },
        { id: "handled", parent: "sent", from: 12, to: 100, service: "b", kind: KIND.consumer },
      ]),
    ).toEqual(["root 0-10", "sent 10-20", "root 20-100"]);
  });

  test("of any trace is as long as its roots together, in sections that follow each other", () => {
    fc.assert(
      fc.property(anyTrace, ({ spans }) => {
        const tree = buildTree(spans);
        for (const root of tree.roots) {
          const path = criticalPath(tree, [root]);
          let at = tree.end[root]!;
          path.node.forEach((node, section) => {
            expect(path.to[section]).toBe(at);
            expect(path.from[section]).toBeGreaterThanOrEqual(tree.start[node]!);
            expect(path.to[section]).toBeLessThanOrEqual(tree.end[node]!);
            at = path.from[section]!;
          });
          expect(at).toBe(tree.start[root]);
          const sum = path.share.reduce((total, share) => total + share, 0);
          expect(sum).toBe(tree.end[root]! - tree.start[root]!);
        }
      }),
    );
  });

  test("gives each node its own sections, latest first", () => {
    const tree = buildTree(repetitiveTrace(4).spans);
    const path = criticalPath(tree);
    const ofRoot: number[] = [];
    for (let section = path.firstSection[0]!; section >= 0; section = path.nextSection[section]!) ofRoot.push(section);
    expect(ofRoot).toHaveLength(6);
    expect(ofRoot.every((section) => path.node[section] === 0)).toBe(true);
    expect(ofRoot.map((section) => path.from[section]!)).toEqual(
      ofRoot.map((section) => path.from[section]!).sort((a, b) => b - a),
    );
  });
});

describe("folds", () => {
  const foldsOf = (made: readonly MadeSpan[]): number[] => {
    const { spans } = makeTrace(made);
    return foldSiblings(buildTree(spans), spans).folds.map(({ members }) => members.length);
  };
  const query = (at: number, more: Partial<MadeSpan> = {}): MadeSpan => ({
    id: `q${at}`,
    parent: "root",
    name: "SELECT users",
    kind: KIND.client,
    from: at,
    to: at + 0.5,
    ...more,
  });
  const root: MadeSpan = { id: "root", from: 0, to: 100 };

  test("join identical siblings that follow each other, from three on", () => {
    expect(foldsOf([root, query(1), query(2)])).toEqual([]);
    expect(foldsOf([root, query(1), query(2), query(3)])).toEqual([3]);
    expect(foldsOf([root, query(1), query(2), query(3), query(4, { name: "COMMIT" }), query(5), query(6)])).toEqual([
      3,
    ]);
  });

  test.each([
    ["failed", { status: 2 }],
    ["is another statement", { group: "other" }],
    ["is another service's", { service: "other" }],
  ] as const)("do not hide one that %s", (_, more) => {
    expect(foldsOf([root, query(1), query(2), query(3, more), query(4), query(5)])).toEqual([]);
  });

  test("join whole subtrees that are identical, and only those", () => {
    const withChild = (at: number, name: string): MadeSpan[] => [
      query(at, { to: at + 0.9 }),
      { id: `c${at}`, parent: `q${at}`, name, from: at + 0.1, to: at + 0.2 },
    ];
    expect(foldsOf([root, ...withChild(1, "x"), ...withChild(2, "x"), ...withChild(3, "x")])).toEqual([3]);
    expect(foldsOf([root, ...withChild(1, "x"), ...withChild(2, "y"), ...withChild(3, "x")])).toEqual([]);
    expect(foldsOf([root, ...withChild(1, "x"), query(2), ...withChild(3, "x")])).toEqual([]);
  });

  test("say how long their spans took", () => {
    const { spans } = makeTrace([root, query(1), query(2, { to: 2.75 }), query(3, { to: 3.1 }), query(4, { to: 4.6 })]);
    const { folds, foldOf } = foldSiblings(buildTree(spans), spans);
    expect(folds[0]).toMatchObject({
      startNanos: 1 * MILLI,
      endNanos: 4.6 * MILLI,
      minNanos: 0.1 * MILLI,
      maxNanos: 0.75 * MILLI,
    });
    expect(folds[0]!.totalNanos).toBeCloseTo(1.95 * MILLI);
    expect(folds[0]!.medianNanos).toBeCloseTo(0.55 * MILLI);
    expect([...foldOf]).toEqual([-1, 0, 0, 0, 0]);
  });
});

describe("the time scale", () => {
  const scaleOf = (intervals: readonly [number, number][], compress = true): ReturnType<typeof createTimeScale> =>
    createTimeScale(
      [
        {
          start: Float64Array.from(intervals, ([from]) => from),
          end: Float64Array.from(intervals, ([, to]) => to),
          offset: 0,
        },
      ],
      { compress },
    );

  test("shortens what nothing ran in", () => {
    const scale = scaleOf([
      [0, 80],
      [1000, 1020],
    ]);
    expect(scale.breaks).toEqual([{ from: 80, to: 1000, drawnFrom: 80, drawnTo: 84 }]);
    expect([scale.drawnTo, scale.toDrawn(50), scale.toDrawn(540), scale.toDrawn(1010)]).toEqual([104, 50, 82, 94]);
  });

  test("leaves short pauses, and everything where it is not to compress, as they were", () => {
    expect(
      scaleOf([
        [0, 50],
        [55, 100],
      ]).breaks,
    ).toEqual([]);
    const scale = scaleOf(
      [
        [0, 80],
        [1000, 1020],
      ],
      false,
    );
    expect([scale.breaks, scale.drawnTo]).toEqual([[], 1020]);
  });

  test("the demo's trace has one break, before the message is handled", () => {
    const tree = buildTree(shortenTrace().spans);
    const { breaks } = createTimeScale([{ ...tree, offset: 0 }], { compress: true });
    expect(breaks.map(({ from, to }) => [from / MILLI, to / MILLI])).toEqual([[187, 1390]]);
  });

  test("grows with time, and leads back", () => {
    const interval = fc.tuple(fc.integer({ min: 0, max: 10_000 }), fc.integer({ min: 0, max: 50 }));
    fc.assert(
      fc.property(fc.array(interval, { minLength: 1, maxLength: 20 }), (made) => {
        const scale = scaleOf(made.map(([from, length]) => [from, from + length]));
        let before = -Infinity;
        for (let time = scale.from; time <= scale.to; time += 1 + (scale.to - scale.from) / 60) {
          const drawn = scale.toDrawn(time);
          expect(drawn).toBeGreaterThanOrEqual(before);
          before = drawn;
          const isIdle = scale.breaks.some(
            ({ from, to, drawnFrom, drawnTo }) => time >= from && time <= to && drawnFrom === drawnTo,
          );
          if (!isIdle) expect(scale.toReal(drawn)).toBeCloseTo(time, 6);
        }
        expect(scale.toDrawn(scale.to)).toBeCloseTo(scale.drawnTo, 6);
      }),
    );
  });
});

describe("the flame graph", () => {
  test("merges what was called the same way, widest first", () => {
    const trace = repetitiveTrace(47);
    const tree = buildTree(trace.spans);
    const { frames } = flameGraph(tree, trace.spans, selfTimes(tree));
    expect(frames.map(({ name, count }) => [trace.strings[name], count])).toEqual([
      ["GET /teams/:id", 1],
      ["SELECT teams", 1],
      ["SELECT users", 47],
    ]);
    expect(frames[2]!.left).toBe(0);
    expect(frames[1]!.left).toBe(frames[2]!.totalNanos);
  });

  test("keeps calls of different groups apart, and has their detail where it is the same", () => {
    const call = (id: string, detail: string, group: string, from: number): MadeSpan => ({
      id,
      parent: "root",
      name: "POST",
      detail,
      group,
      from,
      to: from + 5,
    });
    const trace = makeTrace([
      { id: "root", from: 0, to: 100 },
      call("a", "http://a/1", "a", 1),
      call("b", "http://a/2", "a", 10),
      call("c", "http://b/", "b", 20),
      call("d", "http://b/", "b", 30),
    ]);
    const tree = buildTree(trace.spans);
    const { frames } = flameGraph(tree, trace.spans, selfTimes(tree));
    expect(frames.slice(1).map(({ count, detail }) => [count, trace.strings[detail]])).toEqual([
      [2, undefined],
      [2, "http://b/"],
    ]);
  });

  test("is as wide as all self time, and what is above lies within what is below", () => {
    const trace = largeTrace({ spans: 3000, skewMillis: 20, brokenPerThousand: 20 });
    const tree = buildTree(trace.spans);
    const self = selfTimes(tree);
    const { frames, totalNanos } = flameGraph(tree, trace.spans, self);
    expect(totalNanos).toBeCloseTo(
      self.reduce((sum, each) => sum + each, 0),
      0,
    );
    for (const { parent, left, totalNanos: width } of frames) {
      const below = frames[parent];
      if (below === undefined) continue;
      expect(left).toBeGreaterThanOrEqual(below.left - 1e-3);
      expect(left + width).toBeLessThanOrEqual(below.left + below.totalNanos + 1e-3);
    }
  });
});
