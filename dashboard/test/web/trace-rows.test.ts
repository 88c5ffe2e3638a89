import { describe, expect, test } from "vitest";
import { createTimeScale } from "../../src/analysis/gaps.ts";
import { formatZoom, readChoices } from "../../web/pages/trace/address.ts";
import { barOf, busyStretches, criticalStretches, logDots, type Axis } from "../../web/pages/trace/bar.ts";
import { createModel, findSpan, nameOf, type TraceModel } from "../../web/pages/trace/model.ts";
import { buildRows, indexOfRow, rowId, type Row, type RowOptions } from "../../web/pages/trace/rows.ts";
import { findFailed, findMatches, nextPlace } from "../../web/pages/trace/search.ts";
import { findTicks } from "../../web/pages/trace/ticks.ts";
import type { TraceDetail } from "../../src/model/trace.ts";
import { KIND, largeTrace, makeTrace, MILLI, repetitiveTrace, shortenTrace } from "../support/trace-fixture.ts";

const everything: RowOptions = {
  collapsed: new Set(),
  openFolds: new Set(),
  followed: new Map(),
  folding: true,
  minNanos: 0,
};

function modelOf(trace: TraceDetail): TraceModel {
  return createModel(trace);
}

function textOf(rows: readonly Row[]): string[] {
  return rows.map(({ type, model, node, fold, link, level }) => {
    const name = type === "link" ? `-> ${link!.operation}` : nameOf(model, node);
    return `${"  ".repeat(level - 1)}${name}${fold === undefined ? "" : ` ×${fold.members.length}`}`;
  });
}

describe("rows", () => {
  test("are the spans, nested", () => {
    expect(textOf(buildRows(modelOf(shortenTrace()), everything))).toEqual([
      "POST /shorten",
      "  auth.verify",
      "  SELECT urls",
      "  INSERT urls",
      "  SET",
      "  POST",
      "    POST /track",
      "      INSERT events",
      "      POST",
      "  publish url-events",
      "    process url-events",
    ]);
  });

  test("say where they are among their siblings, and what can be expanded", () => {
    const rows = buildRows(modelOf(shortenTrace()), everything);
    expect(rows.slice(0, 3).map(({ level, position, setSize }) => [level, position, setSize])).toEqual([
      [1, 1, 1],
      [2, 1, 6],
      [2, 2, 6],
    ]);
    expect(rows.filter(({ isExpandable }) => isExpandable)).toHaveLength(4);
  });

  test("below a collapsed span are not there", () => {
    const rows = buildRows(modelOf(shortenTrace()), { ...everything, collapsed: new Set(["a6", "b1"]) });
    expect(textOf(rows)).toHaveLength(7);
    expect(rows.find(({ node, model }) => node === findSpan(model, "a6"))).toMatchObject({
      isExpandable: true,
      isExpanded: false,
    });
  });

  test("of identical siblings are one, which opens", () => {
    const model = modelOf(repetitiveTrace(47));
    expect(textOf(buildRows(model, everything))).toEqual(["GET /teams/:id", "  SELECT teams", "  SELECT users ×47"]);
    const open = buildRows(model, { ...everything, openFolds: new Set(["q0"]) });
    expect(open).toHaveLength(50);
    expect(open[3]).toMatchObject({ level: 3, position: 1, setSize: 47 });
    expect(buildRows(model, { ...everything, folding: false })).toHaveLength(49);
  });

  test("of short spans are left out, unless they failed, hold longer ones, or take long together", () => {
    const model = modelOf(
      makeTrace([
        { id: "root", from: 0, to: 100 },
        { id: "short", parent: "root", from: 1, to: 2 },
        { id: "failed", parent: "root", from: 3, to: 4, status: 2 },
        { id: "sent", parent: "root", kind: KIND.producer, from: 5, to: 6 },
        { id: "handled", parent: "sent", kind: KIND.consumer, service: "other", from: 200, to: 250 },
        ...[10, 16, 22].map((from) => ({ id: `q${from}`, parent: "root", name: "query", from, to: from + 4 })),
      ]),
    );
    expect(textOf(buildRows(model, { ...everything, minNanos: 10 * MILLI }))).toEqual([
      "root",
      "  failed",
      "  sent",
      "    handled",
      "  query ×3",
    ]);
  });

  test("can be only those found, with what is above them", () => {
    const model = modelOf(shortenTrace());
    const only = (of: TraceModel): Uint8Array => findMatches(of, "events insert");
    expect(textOf(buildRows(model, { ...everything, only }))).toEqual([
      "POST /shorten",
      "  POST",
      "    POST /track",
      "      INSERT events",
    ]);
  });

  test("of a linked trace stand below the link, without a link back", () => {
    const trace = shortenTrace();
    const other = makeTrace(
      [
        { id: "c1", name: "process", from: 5000, to: 5010 },
        { id: "c2", parent: "c1", name: "store", from: 5001, to: 5002 },
      ],
      { traceId: "c".repeat(32), links: [{ span: 0, direction: "out", traceId: trace.summary.traceId, spanId: "b1" }] },
    );
    const link = { direction: "in", traceId: other.summary.traceId, spanId: "c1", operation: "process" } as const;
    const main = modelOf({ ...trace, links: [{ ...link, span: trace.spans.ids.indexOf("b1") }] });
    const closed = textOf(buildRows(main, everything));
    expect(closed.slice(-3)).toEqual(["  publish url-events", "    -> process", "    process url-events"]);
    const followed = new Map([[other.summary.traceId, createModel(other, trace.start)]]);
    const open = buildRows(main, { ...everything, followed });
    expect(textOf(open).slice(-4)).toEqual([
      "    -> process",
      "      process",
      "        store",
      "    process url-events",
    ]);
    expect(open.find(({ node, model }) => model !== main && node === 0)!.model.offset).toBe(5000 * MILLI);
  });

  test("links within the trace itself get none", () => {
    const trace = shortenTrace();
    const link = { span: 10, direction: "out", traceId: trace.summary.traceId, spanId: "b1" } as const;
    expect(buildRows(modelOf({ ...trace, links: [link] }), everything)).toHaveLength(11);
  });

  test("are found again when the trace was loaded anew, duplicates apart", () => {
    const spans = [
      { id: "root", from: 0, to: 100 },
      { id: "twice", parent: "root", from: 1, to: 2 },
      { id: "twice", parent: "root", name: "other", from: 3, to: 4 },
    ];
    const before = buildRows(modelOf(makeTrace(spans)), everything);
    const after = buildRows(modelOf(makeTrace(spans)), everything);
    expect(before.map((row) => indexOfRow(after, rowId(row)))).toEqual([0, 1, 2]);
  });

  test("are as many as nodes, of 20,000 broken ones too", () => {
    const model = modelOf(largeTrace({ spans: 20_000, brokenPerThousand: 10 }));
    const rows = buildRows(model, { ...everything, folding: false });
    expect(rows).toHaveLength(model.tree.nodeCount);
  });

  test("begin with the same ones where only the first are wanted", () => {
    const model = modelOf(largeTrace({ spans: 20_000, brokenPerThousand: 10 }));
    const first = buildRows(model, { ...everything, most: 300 });
    expect(first).toEqual(buildRows(model, everything).slice(0, 300));
  });
});

describe("search", () => {
  test("finds all the words in name, service, detail or id", () => {
    const model = modelOf(shortenTrace());
    const found = (query: string): string[] =>
      model.detail.spans.ids.filter((_, node) => findMatches(model, query)[node] === 1);
    expect(found("MIXPANEL")).toEqual(["a9"]);
    expect(found("analytics insert")).toEqual(["a8"]);
    expect(found("b2")).toEqual(["b2"]);
    expect(found("  ")).toEqual([]);
  });

  test("goes on at the other end", () => {
    const model = modelOf(
      makeTrace([
        { id: "root", from: 0, to: 9 },
        { id: "a", parent: "root", from: 1, to: 2, status: 2 },
        { id: "b", parent: "root", from: 3, to: 4, status: 2 },
      ]),
    );
    const step = (node: number | undefined, direction: 1 | -1): number | undefined =>
      nextPlace([model], findFailed, node === undefined ? undefined : { model, node }, direction)?.node;
    expect([step(undefined, 1), step(1, 1), step(2, 1), step(0, -1), step(2, -1)]).toEqual([1, 2, 1, 2, 1]);
    expect(nextPlace([modelOf(shortenTrace())], findFailed, undefined, 1)).toBeUndefined();
  });
});

describe("the axis", () => {
  const axisOf = (model: TraceModel, width = 1000, range?: { from: number; to: number }): Axis => {
    const scale = createTimeScale([{ ...model.tree, offset: 0 }], { compress: true });
    return { scale, width, range: range ?? { from: scale.drawnFrom, to: scale.drawnTo } };
  };

  test("places bars, at least two pixels wide, clipped to what is shown", () => {
    const model = modelOf(
      makeTrace([
        { id: "root", from: 0, to: 100 },
        { id: "dot", parent: "root", from: 99.99, to: 100 },
      ]),
    );
    const rows = buildRows(model, everything);
    expect(barOf(axisOf(model), rows[0]!)).toEqual({ from: 0, to: 1000 });
    expect(barOf(axisOf(model), rows[1]!)).toEqual({ from: 998, to: 1000 });
    const zoomed = axisOf(model, 1000, { from: 20 * MILLI, to: 40 * MILLI });
    expect(barOf(zoomed, rows[0]!)).toEqual({ from: 0, to: 1000 });
    expect(barOf(zoomed, rows[1]!)).toBeUndefined();
  });

  test("shows when a span was at work itself, and when on the critical path", () => {
    const model = modelOf(
      makeTrace([
        { id: "root", from: 0, to: 100 },
        { id: "a", parent: "root", from: 10, to: 40 },
        { id: "b", parent: "root", from: 30, to: 80 },
      ]),
    );
    const [root, a, b] = buildRows(model, everything);
    const axis = axisOf(model);
    expect(busyStretches(axis, root!)).toEqual([
      { from: 0, to: 100 },
      { from: 800, to: 1000 },
    ]);
    expect(criticalStretches(axis, root!)).toEqual([
      { from: 0, to: 300 },
      { from: 800, to: 1000 },
    ]);
    expect(criticalStretches(axis, b!)).toEqual([{ from: 300, to: 800 }]);
    expect(criticalStretches(axis, a!)).toEqual([]);
  });

  test("draws thousands of stretches as no more than there are pixels", () => {
    const model = modelOf(repetitiveTrace(5000));
    const fold = buildRows(model, everything)[2]!;
    expect(busyStretches(axisOf(model, 300), fold).length).toBeLessThan(300);
  });

  test("joins logs that would overlap, and says when one of them is an error", () => {
    const trace = makeTrace([{ id: "root", from: 0, to: 100 }]);
    const log = (millis: number, severityNumber: number): TraceDetail["logs"][number] => ({
      traceId: trace.summary.traceId,
      spanId: "root",
      time: { unixMicros: trace.start.unixMicros + millis * 1000, nanos: 0 },
      severityNumber,
      severityText: "",
      body: `at ${millis}`,
      attributes: {},
      resource: { serviceName: "app", attributes: {} },
      scope: { name: "", version: "" },
    });
    const model = modelOf({ ...trace, logs: [log(10, 9), log(10.5, 17), log(50, 9)] });
    expect(logDots(axisOf(model), buildRows(model, everything)[0]!)).toEqual([
      { at: 100, count: 2, isSevere: true, text: "at 10" },
      { at: 500, count: 1, isSevere: false, text: "at 50" },
    ]);
  });

  test("has ticks at round times, and one where it goes on after a break", () => {
    const model = modelOf(shortenTrace());
    const { scale, range } = axisOf(model);
    const ticks = findTicks(scale, range, 900);
    expect(ticks.map(({ nanos }) => nanos / MILLI)).toEqual([0, 50, 100, 150, 1390]);
    expect(ticks.map(({ label }) => label)).toEqual(["0ms", "50ms", "100ms", "150ms", "1.39s"]);
    expect(findTicks(scale, { from: 0, to: 0 }, 900)).toEqual([]);
    for (const { at } of ticks) expect(at).toBeGreaterThanOrEqual(0);
  });
});

describe("the address", () => {
  test("holds what was chosen; everything is off or whole without", () => {
    const read = (query: string): ReturnType<typeof readChoices> => readChoices(new URLSearchParams(query));
    expect(read("")).toMatchObject({
      view: "waterfall",
      criticalPath: true,
      folding: true,
      compress: true,
      minNanos: 0,
    });
    expect(read("zoom=1500-20000.5").zoom).toEqual({ from: 1_500_000, to: 20_000_500 });
    expect(read("zoom=5-1").zoom).toBeUndefined();
    expect(read("zoom=x").zoom).toBeUndefined();
    expect(read("min=5ms").minNanos).toBe(5 * MILLI);
    expect(read("min=soon").minNanos).toBe(0);
    expect(read(`follow=${"a".repeat(32)},<script>`).follow).toEqual(["a".repeat(32)]);
    expect(formatZoom({ from: 1_500_000, to: 20_000_500 })).toBe("1500-20000.5");
  });
});
