import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { emptyMeasurement } from "../../benchmarks/measurement.ts";
import type { Measurement } from "../../benchmarks/measurement.ts";
import { toReport } from "../../benchmarks/report.ts";
import type { Run } from "../../benchmarks/report.ts";
import { writeResults } from "../../benchmarks/results-file.ts";
import { median, spread } from "../../benchmarks/statistics.ts";
import { targetTable } from "../../benchmarks/targets.ts";
import { variants } from "../../benchmarks/variants.ts";
import { workloads } from "../../benchmarks/workloads.ts";

function measured(cpuMicros: number[], spans: Partial<Measurement> = {}): Measurement {
  return { ...emptyMeasurement(), cpuMicros, requestsPerSecond: [1], rssMegabytes: [50, 70, 60], ...spans };
}

function createRun(node: string): Run {
  const byVariant = {
    none: measured([30, 31, 29]),
    tracekit: measured([35, 37, 90], { spansPerRequest: 2, spansExpected: 200, spansReceived: 190, wireBytes: 19_000 }),
    opentelemetry: measured([80, 80, 80], { spansPerRequest: 8, spansExpected: 800, spansReceived: 800 }),
    "dd-trace": measured([70, 70, 70]),
  };
  const startup = { cjsMillis: [100, 120, 110], esmMillis: [130], rssMegabytes: [60] };
  return {
    node,
    date: "2026-11-21T00:00:00.000Z",
    machine: "a machine",
    commit: "abc",
    command: "npm run bench",
    workloads: { express: byVariant },
    startup: { none: startup, tracekit: startup },
    rate: {},
    install: { tracekit: { version: "1.0.0", megabytes: 30, packages: 20 } },
  };
}

test("a report has medians, what is added to no tracer, lost spans, and shares of the peers", () => {
  const report = toReport(createRun("24.1.0"));
  expect(report.workloads["express"]?.["tracekit"]).toEqual({
    cpuMicrosPerRequest: 37,
    addedCpuMicrosPerRequest: 6,
    spreadMicros: 14,
    spansPerRequest: 2,
    spansLost: 10,
    bytesPerSpan: 100,
    rssMegabytes: 60,
  });
  expect(report.ratios).toEqual({ express: { opentelemetry: 0.12, "dd-trace": 0.15 } });
  expect(report.startup["tracekit"]).toEqual({ cjsMillis: 110, esmMillis: 130, rssMegabytes: 60 });
  expect(report.install).toEqual({
    none: { megabytes: 0, packages: 0 },
    tracekit: { megabytes: 30, packages: 20 },
  });
});

test("a target on bytes is about spans, of which a request has several, and not about the bodies of `body`", () => {
  const sending = (spansPerRequest: number, bytes: number): Record<string, Measurement> => ({
    none: measured([30]),
    tracekit: measured([35], { spansPerRequest, spansReceived: 10, wireBytes: bytes * 10 }),
  });
  const measuredBytes = (byWorkload: Run["workloads"]): unknown[] =>
    targetTable(toReport({ ...createRun("24.1.0"), workloads: byWorkload }))
      .filter(([what]) => what?.startsWith("bytes a span"))
      .map((row) => row.slice(2));
  expect(measuredBytes({ http: sending(1, 600), pg: sending(3, 300), body: sending(1, 3000) })).toEqual([
    ["375", "met"],
    ["600", "missed"],
  ]);
  expect(measuredBytes({ body: sending(1, 3000) })).toEqual([]);
});

test("the workloads and variants are those that were promised", () => {
  expect(Object.keys(workloads).join(" ")).toBe("http express ioredis pg fetch mixed body");
  expect(Object.keys(variants).join(" ")).toBe(
    "none tracekit tracekit-nocapture tracekit-unsampled tracekit-disabled opentelemetry dd-trace",
  );
  expect(Buffer.byteLength(workloads["body"]?.body ?? "")).toBe(2048);
});

test("a run replaces the section of its own Node version and leaves the others", () => {
  const folder = mkdtempSync(join(tmpdir(), "tracekit-results-"));
  const write = (node: string): string => {
    const run = createRun(node);
    writeResults(run, toReport(run), folder);
    return readFileSync(join(folder, "RESULTS.md"), "utf8");
  };
  try {
    write("20.1.0");
    write("24.1.0");
    const before = write("24.2.0");
    expect(before.match(/^## Node .*/gm)).toEqual(["## Node 24", "## Node 20"]);
    expect(before).toContain("- Node 24.2.0");
    expect(before).not.toContain("24.1.0");
    expect(write("24.2.0")).toBe(before);
    expect(write("20.1.0")).toBe(before);
    expect(readFileSync(join(folder, "results/node-24.svg"), "utf8")).toMatch(/^<svg .*<\/svg>\n$/s);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("median and spread are of the sorted values", () => {
  expect(median([10, 1, 2])).toBe(2);
  expect(median([1, 2])).toBe(1.5);
  expect(median([])).toBeNaN();
  expect(spread([4, 1, 2, 3, 5])).toBe(1);
});
