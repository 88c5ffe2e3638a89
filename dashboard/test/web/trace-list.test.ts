import { describe, expect, test } from "vitest";
import type { TraceSummary } from "../../src/model/trace.ts";
import { groupTraces } from "../../web/pages/traces/group-traces.ts";
import { changedAmong, durationScale, mergeTraces, sortArrivals } from "../../web/pages/traces/merge-traces.ts";
import { IN_FLIGHT_MILLIS, splitOperation, statusText, traceStatus } from "../../web/pages/traces/trace-status.ts";
import { visibleRows } from "../../web/pages/traces/visible-rows.ts";

function trace(id: string, startMillis: number, changes: Partial<TraceSummary> = {}): TraceSummary {
  return {
    traceId: id,
    service: "url",
    operation: "POST /shorten",
    kind: 2,
    start: { unixMicros: startMillis * 1000, nanos: 0 },
    durationNanos: 1e6,
    hasRoot: true,
    hasError: false,
    statusCode: 0,
    httpStatusCode: 201,
    services: ["url"],
    spanCount: 1,
    errorCount: 0,
    queryCount: 0,
    cacheHits: 0,
    cacheMisses: 0,
    arrivedAt: startMillis + 1,
    ...changes,
  };
}

const ids = (rows: readonly TraceSummary[]): string => rows.map(({ traceId }) => traceId).join("");

test("what is told again and has not changed is not counted as new", () => {
  const told = [trace("b", 20), trace("a", 10, { spanCount: 2 }), trace("c", 30)];
  expect(ids(changedAmong([trace("b", 20), trace("a", 10)], told))).toBe("ac");
  expect(ids(changedAmong([trace("b", 20)], [trace("b", 20, { arrivedAt: 99 })]))).toBe("b");
});

describe("mergeTraces", () => {
  const rows = [trace("d", 40), trace("c", 30), trace("a", 10)];

  test("puts what arrived where it belongs by its start", () => {
    expect(ids(mergeTraces(rows, [trace("b", 20), trace("e", 50), trace("0", 1)]))).toBe("edcba0");
  });

  test("shows a trace once, in its newest state", () => {
    const merged = mergeTraces(rows, [trace("c", 30, { spanCount: 7, arrivedAt: 99 })]);
    expect(ids(merged)).toBe("dca");
    expect(merged[1]?.spanCount).toBe(7);
  });

  test("moves a trace of which an earlier span arrived", () => {
    expect(ids(mergeTraces(rows, [trace("d", 5, { arrivedAt: 99 })]))).toBe("cad");
  });

  test("does not go back to an older state, whichever way it comes", () => {
    const newer = trace("c", 30, { spanCount: 7, arrivedAt: 99 });
    expect(mergeTraces([newer], [trace("c", 30)])[0]?.spanCount).toBe(7);
    expect(mergeTraces([], [newer, trace("c", 30)])[0]?.spanCount).toBe(7);
  });

  test("gives the same array when nothing arrived", () => {
    expect(mergeTraces(rows, [])).toBe(rows);
  });

  test("tells apart what starts within the same microsecond", () => {
    const early = trace("x", 1, { start: { unixMicros: 1000, nanos: 1 } });
    const late = trace("y", 1, { start: { unixMicros: 1000, nanos: 2 } });
    expect(ids(mergeTraces([], [early, late]))).toBe("yx");
  });
});

test("what arrives is known, new, or of a page that is not loaded yet", () => {
  const arrived = [trace("a", 10), trace("n", 50), trace("o", 1)];
  const { known, fresh } = sortArrivals(arrived, (id) => id === "a", trace("a", 10));
  expect(ids(known)).toBe("a");
  expect(ids(fresh)).toBe("n");
  expect(ids(sortArrivals(arrived, () => false, undefined).fresh)).toBe("ano");
});

describe("durationScale", () => {
  const ofMillis = (...millis: number[]): number =>
    durationScale(millis.map((each, index) => trace(`t${index}`, index, { durationNanos: each * 1e6 })));

  test("is a round number that nine tenths fit into", () => {
    expect(ofMillis(3, 12, 41)).toBe(50e6);
    expect(ofMillis(1, 1, 1, 1, 1, 1, 1, 1, 1.5, 9000)).toBe(2e6);
    expect(ofMillis(100)).toBe(100e6);
    expect(ofMillis(101)).toBe(200e6);
  });

  test("is never zero", () => {
    expect(ofMillis()).toBeGreaterThan(0);
    expect(ofMillis(0, 0)).toBeGreaterThan(0);
  });
});

describe("groupTraces", () => {
  test("puts the same request with the same outcome together, most frequent first", () => {
    const groups = groupTraces([
      trace("a", 9, { httpStatusCode: 500 }),
      trace("b", 8, { durationNanos: 30 }),
      trace("c", 7, { service: "other" }),
      trace("d", 6, { durationNanos: 10 }),
      trace("e", 5, { durationNanos: 20 }),
      trace("f", 4, { durationNanos: 40 }),
    ]);
    expect(groups.map(({ traces }) => ids(traces))).toEqual(["bdef", "a", "c"]);
    expect(groups[0]).toMatchObject({ minNanos: 10, medianNanos: 20, maxNanos: 40 });
  });

  test("keeps those without a root apart", () => {
    expect(groupTraces([trace("a", 2), trace("b", 1, { hasRoot: false })])).toHaveLength(2);
  });
});

describe("traceStatus", () => {
  test.each([
    [{}, "ok", "201 Created"],
    [{ httpStatusCode: 404 }, "warn", "404 Not Found"],
    [{ httpStatusCode: 404, statusCode: 2 as const }, "error", "404 Not Found"],
    [{ httpStatusCode: 503 }, "error", "503 Unavailable"],
    [{ httpStatusCode: 299 }, "ok", "299"],
    [{ hasError: true, errorCount: 2 }, "warn", "201 Created"],
    [{ httpStatusCode: undefined }, "ok", "OK"],
    [{ httpStatusCode: undefined, statusCode: 2 as const }, "error", "Error"],
  ])("%o is %s, %s", (changes, tone, text) => {
    expect(traceStatus(trace("a", 0, changes as Partial<TraceSummary>), 0)).toMatchObject({ tone, text });
  });

  test("a request without its root is in flight for a minute after its last span", () => {
    const flying = trace("a", 0, { hasRoot: false, arrivedAt: 1000 });
    expect(traceStatus(flying, 1000 + IN_FLIGHT_MILLIS - 1).text).toBe("In flight");
    expect(traceStatus(flying, 1000 + IN_FLIGHT_MILLIS).text).toBe("No root");
    expect(statusText(flying)).toBe("No root");
  });
});

test("only a method in front of a path is set apart", () => {
  expect(splitOperation("POST /shorten")).toEqual({ method: "POST", rest: "/shorten" });
  expect(splitOperation("process url-events")).toEqual({ rest: "process url-events" });
  expect(splitOperation("GET")).toEqual({ rest: "GET" });
});

describe("visibleRows", () => {
  test("draws what is in view and a few more", () => {
    expect(visibleRows(0, 640, 32, 100_000)).toEqual({ first: 0, end: 28 });
    expect(visibleRows(32_000, 640, 32, 100_000)).toEqual({ first: 992, end: 1028 });
  });

  test("stays within the rows there are, also when fewer are left than were scrolled by", () => {
    expect(visibleRows(3_200_000, 640, 32, 100_000)).toEqual({ first: 99_992, end: 100_000 });
    expect(visibleRows(3_200_000, 640, 32, 5)).toEqual({ first: 4, end: 5 });
    expect(visibleRows(0, 640, 32, 0)).toEqual({ first: 0, end: 0 });
  });
});
