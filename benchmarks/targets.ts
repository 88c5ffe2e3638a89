import type { Cost, Report } from "./report.ts";
import type { Table } from "./tables.ts";

/** What Tracekit promises itself: a figure of a report, and the most (for spans a second: the least) it may be. */
interface Target {
  readonly what: string;
  readonly limit: number;
  readonly measured: (report: Report) => number | undefined;
  readonly atLeast?: true;
}

const added = (workload: string, limit: number, variant: string = "tracekit"): Target => ({
  what: `${workload}, ${variant}: added µs`,
  limit,
  measured: (report) => report.workloads[workload]?.[variant]?.addedCpuMicrosPerRequest,
});
const share = (workload: string, peer: string, limit: number): Target => ({
  what: `${workload}: share of ${peer}'s`,
  limit,
  measured: (report) => report.ratios[workload]?.[peer],
});
const beyondNone = (of: Record<string, number> | undefined): number | undefined => {
  const { tracekit, none } = of ?? {};
  return tracekit === undefined || none === undefined ? undefined : tracekit - none;
};
const pick = <Value>(record: Record<string, Value>, get: (value: Value) => number): Record<string, number> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, get(value)]));
const worst = (values: (number | undefined)[]): number | undefined => {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
};

/** What Tracekit costs under each workload but the one whose spans are as large as the bodies it is sent. */
const withoutBody = (workloads: Report["workloads"]): Cost[] =>
  Object.entries(workloads).flatMap(([name, of]) => (name === "body" || !of["tracekit"] ? [] : [of["tracekit"]]));

/** On Node 24 and later; ten commands, ten queries a request. */
const targets: readonly Target[] = [
  added("http", 5),
  share("http", "opentelemetry", 1 / 6),
  share("http", "dd-trace", 1 / 6),
  added("express", 8),
  share("express", "opentelemetry", 1 / 10),
  share("express", "dd-trace", 1 / 6),
  added("ioredis", 20),
  share("ioredis", "opentelemetry", 1 / 4),
  share("ioredis", "dd-trace", 1 / 4),
  added("pg", 40),
  share("pg", "opentelemetry", 1 / 5),
  share("pg", "dd-trace", 1 / 5),
  added("mixed", 40),
  share("mixed", "opentelemetry", 1 / 6),
  share("mixed", "dd-trace", 1 / 5),
  added("body", 20),
  added("express", 1.5, "tracekit-unsampled"),
  added("mixed", 12, "tracekit-unsampled"),
  {
    what: "start, CommonJS: added ms",
    limit: 25,
    measured: ({ startup }) => beyondNone(pick(startup, ({ cjsMillis }) => cjsMillis)),
  },
  {
    what: "start, ESM: added ms",
    limit: 40,
    measured: ({ startup }) => beyondNone(pick(startup, ({ esmMillis }) => esmMillis)),
  },
  {
    what: "memory at start: added MB",
    limit: 10,
    measured: ({ startup }) => beyondNone(pick(startup, ({ rssMegabytes }) => rssMegabytes)),
  },
  {
    what: "memory after load: added MB, largest",
    limit: 30,
    measured: ({ workloads }) =>
      worst(Object.values(workloads).map((costs) => beyondNone(pick(costs, ({ rssMegabytes }) => rssMegabytes)))),
  },
  { what: "installed MB", limit: 35, measured: ({ install }) => install["tracekit"]?.megabytes },
  { what: "installed packages", limit: 25, measured: ({ install }) => install["tracekit"]?.packages },
  {
    what: "bytes a span, mean of all but `body`",
    limit: 450,
    measured: ({ workloads }) => {
      const costs = withoutBody(workloads);
      const spans = costs.reduce((sum, { spansPerRequest }) => sum + spansPerRequest, 0);
      return costs.reduce((sum, { spansPerRequest, bytesPerSpan }) => sum + spansPerRequest * bytesPerSpan, 0) / spans;
    },
  },
  {
    what: "bytes a span, largest mean of one but `body`",
    limit: 450,
    measured: ({ workloads }) => worst(withoutBody(workloads).map(({ bytesPerSpan }) => bytesPerSpan)),
  },
  {
    what: "spans a second, one core",
    limit: 500_000,
    atLeast: true,
    measured: ({ rate }) => rate["tracekit"]?.spansPerSecond,
  },
  {
    what: "spans lost, in all",
    limit: 0,
    measured: ({ workloads, pressure, rate }) =>
      worst([
        rate["tracekit"]?.spansLost,
        ...[...Object.values(workloads), ...Object.values(pressure)].map((of) => of["tracekit"]?.spansLost),
      ]),
  },
  {
    what: "event loop p99 under load: added ms, largest",
    limit: 1,
    measured: ({ pressure }) =>
      worst(Object.values(pressure).map((of) => beyondNone(pick(of, (value) => value.pacedEventLoopDelayP99Millis)))),
  },
];

/** The targets that this report can say something about. */
export function targetTable(report: Report): Table {
  const rows = targets.flatMap(({ what, limit, measured, atLeast }) => {
    const value = measured(report);
    if (value === undefined || Number.isNaN(value)) return [];
    const isMet = atLeast ? value >= limit : value <= limit;
    return [[what, `${atLeast ? "≥" : "≤"} ${toText(limit)}`, toText(value), isMet ? "met" : "missed"]];
  });
  return [["target", "", "measured", ""], ...rows];
}

function toText(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(Math.abs(value) < 1 ? 3 : 1);
}
