import type { Report } from "./report.ts";
import { targetTable } from "./targets.ts";

/** A table: rows of cells, the first row its head, the first column to the left and the others to the right. */
export type Table = readonly (readonly string[])[];

/** Columns of equal width, which is a Markdown table as well. */
export function formatTable(table: Table): string {
  const [head = []] = table;
  const widths = head.map((_, column) => Math.max(3, ...table.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join(" | ")} |`;
  const rule = `|${widths.map((width, column) => (column === 0 ? `${"-".repeat(width + 2)}` : `${"-".repeat(width + 1)}:`)).join("|")}|`;
  return [line(head), rule, ...table.slice(1).map(line)].join("\n");
}

/** Added CPU time of each variant, a row a workload. */
export function addedTable(report: Report): Table {
  const names = variantsOf(report).filter((name) => name !== "none");
  return [
    ["µs a request", "none", ...names.map((name) => `+ ${name}`)],
    ...Object.entries(report.workloads).map(([workload, costs]) => [
      workload,
      withSpread(costs["none"]?.cpuMicrosPerRequest, costs["none"]?.spreadMicros),
      ...names.map((name) => withSpread(costs[name]?.addedCpuMicrosPerRequest, costs[name]?.spreadMicros)),
    ]),
  ];
}

/** Our added CPU time as a share of each peer's. */
export function ratioTable(report: Report): Table {
  const peers = ["opentelemetry", "dd-trace"];
  return [
    ["added, as a share of", ...peers],
    ...Object.entries(report.ratios).map(([workload, ratios]) => [
      workload,
      ...peers.map((peer) => toText(ratios[peer], 3)),
    ]),
  ];
}

/** What arrived: spans a request, bytes a span, lost. */
export function spanTable(report: Report): Table {
  const names = variantsOf(report).filter((name) =>
    Object.values(report.workloads).some((costs) => (costs[name]?.spansPerRequest ?? 0) > 0),
  );
  return [
    ["spans a request · bytes a span · lost", ...names],
    ...Object.entries(report.workloads).map(([workload, costs]) => [
      workload,
      ...names.map((name) => {
        const cost = costs[name];
        return cost === undefined ? "" : `${cost.spansPerRequest} · ${cost.bytesPerSpan} · ${cost.spansLost}`;
      }),
    ]),
  ];
}

/** Memory after the load. */
export function memoryTable(report: Report): Table {
  const names = variantsOf(report);
  return [
    ["RSS after load, MB", ...names],
    ...Object.entries(report.workloads).map(([workload, costs]) => [
      workload,
      ...names.map((name) => toText(costs[name]?.rssMegabytes, 0)),
    ]),
  ];
}

export function pressureTable(report: Report): Table {
  return [
    [
      "under pressure",
      "requests/s at saturation",
      "p99 ms",
      "spans lost",
      "of",
      "at the same rate: requests/s",
      "p99 ms",
      "event loop p99 ms",
    ],
    ...Object.entries(report.pressure).flatMap(([workload, measured]) =>
      Object.entries(measured).map(([variant, value]) => [
        `${workload}, ${variant}`,
        toText(value.requestsPerSecond, 0),
        toText(value.p99Millis, 1),
        toText(value.spansLost, 0),
        toText(value.spansExpected, 0),
        toText(value.pacedRequestsPerSecond, 0),
        toText(value.pacedP99Millis, 1),
        toText(value.pacedEventLoopDelayP99Millis, 1),
      ]),
    ),
  ];
}

export function rateTable(report: Report): Table {
  return [
    ["spans by hand, one core", "delivered a second", "CPU µs a span", "made", "lost"],
    ...Object.entries(report.rate).map(([variant, value]) => [
      variant,
      toText(value.spansPerSecond, 0),
      toText(value.cpuMicrosPerSpan, 2),
      toText(value.spansMade, 0),
      toText(value.spansLost, 0),
    ]),
  ];
}

export function startupTable(report: Report): Table {
  const { cjsMillis = 0, esmMillis = 0, rssMegabytes = 0 } = report.startup["none"] ?? {};
  return [
    ["start and installation", "CommonJS ms", "+", "ESM ms", "+", "RSS MB", "+", "installed MB", "packages"],
    ...Object.entries(report.startup).map(([variant, value]) => [
      variant,
      toText(value.cjsMillis, 0),
      toText(value.cjsMillis - cjsMillis, 1),
      toText(value.esmMillis, 0),
      toText(value.esmMillis - esmMillis, 1),
      toText(value.rssMegabytes, 0),
      toText(value.rssMegabytes - rssMegabytes, 1),
      toText(report.install[variant]?.megabytes, 0),
      toText(report.install[variant]?.packages, 0),
    ]),
  ];
}

/** All of it, for a terminal. */
export function allTables(report: Report): string {
  const tables = [
    addedTable(report),
    ratioTable(report),
    spanTable(report),
    memoryTable(report),
    pressureTable(report),
    rateTable(report),
    startupTable(report),
    targetTable(report),
  ];
  return tables
    .filter((table) => table.length > 1)
    .map(formatTable)
    .join("\n\n");
}

function variantsOf(report: Report): string[] {
  return Object.keys(Object.values(report.workloads)[0] ?? {});
}

function withSpread(value: number | undefined, spreadOf: number | undefined): string {
  return value === undefined ? "" : `${toText(value, 1)} ±${toText(spreadOf, 1)}`;
}

function toText(value: number | undefined, digits: number): string {
  return value === undefined || Number.isNaN(value) ? "" : value.toFixed(digits);
}
