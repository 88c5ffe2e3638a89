// npm run bench:profile [-- --node 24 --workload mixed --variant tracekit]: where a warm server spends its time. The workload "spans" makes them by hand.
import { writeFileSync } from "node:fs";
import type { Profiler, Runtime } from "node:inspector";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { installNode } from "../scripts/node-binaries.mjs";
import { repositoryRoot } from "../test/support/built.ts";
import { startContestant } from "./contestant.ts";
import { install } from "./install.ts";
import { reserveCore } from "./machine.ts";
import { pickNode } from "./options.ts";
import { thousandSpans } from "./rate.ts";
import { startServices } from "./services.ts";
import { formatTable } from "./tables.ts";
import { variants } from "./variants.ts";
import { workloads } from "./workloads.ts";

const { values } = parseArgs({
  options: {
    node: { type: "string" },
    workload: { type: "string", default: "mixed" },
    variant: { type: "string", default: "tracekit" },
    rows: { type: "string", default: "40" },
  },
});
const node = values.node === undefined ? process.execPath : installNode(pickNode(values.node));
const cores = reserveCore();
const { installation } = variants[values.variant]!;
const installations = new Map(installation === undefined ? [] : [[installation, await install(installation)]]);
const workload = values.workload === "spans" ? thousandSpans : workloads[values.workload]!;
const services = await startServices();
try {
  const bench = { node, cores, services, installations, flushMillis: 1000 };
  const contestant = await startContestant(bench, values.workload, workload, values.variant);
  await contestant.load(workload.slice * 10);
  await contestant.startProfile();
  const requests = workload.slice * 10;
  const before = await contestant.usage();
  await contestant.load(requests);
  const after = await contestant.usage();
  const profile = await contestant.profile();
  contestant.stop();
  const file = join(repositoryRoot, "node_modules/.cache/tracekit-bench", `${values.workload}.cpuprofile`);
  writeFileSync(file, JSON.stringify(profile));
  const cpuMicros = (after.cpuMicros - before.cpuMicros) / requests;
  const rows = Number(values.rows);
  console.log(`${cpuMicros.toFixed(1)} µs of CPU a request, profiler included\n`);
  console.log(formatTable([["where", "µs a request", "%"], ...shares(profile, cpuMicros, 12, toPackage)]));
  console.log();
  console.log(formatTable([["self time", "µs a request", "%"], ...shares(profile, cpuMicros, rows, toFunction)]));
  console.log(`\nfor a browser's developer tools: ${file}`);
} finally {
  await services.stop();
}
process.exit();

/** Self times by `group`, the largest first. The profiler knows only how long each took by the clock, other processes'
 *  turns included, so its shares are applied to the CPU time. */
function shares(
  profile: Profiler.Profile,
  cpuMicros: number,
  rows: number,
  group: (frame: Runtime.CallFrame) => string,
): string[][] {
  const frames = new Map(profile.nodes.map((entry) => [entry.id, entry.callFrame]));
  const micros = new Map<string, number>();
  let total = 0;
  profile.samples?.forEach((id, index) => {
    const frame = frames.get(id)!;
    if (frame.functionName === "(idle)") return;
    const delta = profile.timeDeltas?.[index] ?? 0;
    total += delta;
    const name = group(frame);
    micros.set(name, (micros.get(name) ?? 0) + delta);
  });
  return [...micros]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, rows)
    .map(([name, value]) => [name, ((value / total) * cpuMicros).toFixed(2), ((value / total) * 100).toFixed(1)]);
}

function toFunction({ functionName, url, lineNumber }: Runtime.CallFrame): string {
  const place = url.replace(/^.*\/node_modules\//, "").replace(/^file:\/\//, "");
  return `${functionName || "(anonymous)"} ${place}${url === "" ? "" : `:${lineNumber + 1}`}`;
}

function toPackage({ functionName, url }: Runtime.CallFrame): string {
  if (url === "") return functionName.startsWith("(") ? functionName : "C++";
  const [, name] = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url) ?? [];
  return name ?? (url.startsWith("node:") ? "node" : "application");
}
