import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { drawChart } from "./chart.ts";
import type { Report, Run } from "./report.ts";
import {
  addedTable,
  formatTable,
  memoryTable,
  pressureTable,
  rateTable,
  ratioTable,
  spanTable,
  startupTable,
} from "./tables.ts";
import type { Table } from "./tables.ts";
import { targetTable } from "./targets.ts";
import { variants } from "./variants.ts";
import { workloads } from "./workloads.ts";

const preface = `# Results

Written by \`npm run bench -- --node <version>\`, which replaces the section of that Node version. What is measured:

- A server under load in a process of its own, on a core of its own. All variants run at the same time and take turns, every
  other turn backwards; each round has fresh processes.
- **CPU time** is that of the whole server process, user and system, all threads, from one slice of load to the next, so
  that the export of a slice's spans counts for it. What is added is the median of the differences to no tracer in the same
  turn, ± half the distance between their quartiles. Before them come as many requests as it takes until V8 has compiled what
  it will, which do not count (\`warmUp\` in \`workloads.ts\`).
- Every span goes to a sink over HTTP, which counts it. "Lost" is what a tracer was seen to make of a calm request, times
  the requests, less what arrived.
- Peers run as their documentation says, with metrics, logs, telemetry and remote configuration off.
- Start-up is from the start of the process until express, pg and ioredis are loaded.

Workloads:

${Object.entries(workloads)
  .map(([name, { title }]) => `- \`${name}\`: ${title}`)
  .join("\n")}

Variants:

${Object.entries(variants)
  .map(([name, { title }]) => `- \`${name}\`: ${title}`)
  .join("\n")}
`;

/** Replaces the section of this Node's major version in the folder's RESULTS.md, and its chart and raw values. */
export function writeResults(run: Run, report: Report, folder: string = import.meta.dirname): void {
  const major = Number.parseInt(run.node);
  const file = join(folder, "RESULTS.md");
  mkdirSync(join(folder, "results"), { recursive: true });
  writeFileSync(join(folder, `results/node-${major}.svg`), drawChart(report));
  writeFileSync(join(folder, `results/node-${major}.json`), `${JSON.stringify(run, rounded)}\n`);

  const sections = new Map<number, string>();
  const existing = existsSync(file) ? readFileSync(file, "utf8") : "";
  for (const [section = "", number] of existing.matchAll(/^## Node (\d+)\n[^]*?(?=^## Node |(?![^]))/gm)) {
    sections.set(Number(number), section.trim());
  }
  sections.set(major, toSection(run, report, major));
  const newestFirst = [...sections].toSorted(([a], [b]) => b - a).map(([, section]) => section);
  writeFileSync(file, `${[preface.trim(), ...newestFirst].join("\n\n")}\n`);
}

function toSection(run: Run, report: Report, major: number): string {
  const tables: [string, Table][] = [
    ["CPU time added to a request", addedTable(report)],
    ["Tracekit's added CPU time as a share of the peers'", ratioTable(report)],
    ["Spans", spanTable(report)],
    ["Memory", memoryTable(report)],
    ["Pressure", pressureTable(report)],
    ["Spans by the second", rateTable(report)],
    ["Start-up and installation", startupTable(report)],
    ["Targets", targetTable(report)],
  ];
  const versions = Object.entries(run.install).map(([name, { version }]) => `${name} ${version}`);
  return [
    `## Node ${major}`,
    [
      `- Node ${run.node}, ${versions.join(", ")}`,
      `- ${run.machine}`,
      `- \`${run.command}\`, ${run.date.slice(0, 10)}, commit ${run.commit}`,
      `- raw values: [results/node-${major}.json](results/node-${major}.json)`,
    ].join("\n"),
    `![CPU time added to a request on Node ${major}](results/node-${major}.svg)`,
    ...tables.map(([title, table]) => `### ${title}\n\n${formatTable(table)}`),
  ].join("\n\n");
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === "number" ? Math.round(value * 100) / 100 : value;
}
