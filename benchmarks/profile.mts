// npm run bench:profile [-- --node 24 --workload mixed --variant tracekit]: where a warm server spends what a tracer adds.
// The variant and no tracer take turns under load. The workload "spans" makes spans by hand.
import { writeFileSync } from "node:fs";
import type { Profiler, Runtime } from "node:inspector";
import { join } from "node:path";
import { repositoryRoot } from "../test/support/built.ts";
import { startContestant } from "./contestant.ts";
import type { Contestant } from "./contestant.ts";
import { reserveCore } from "./machine.ts";
import { preparePair } from "./pair.ts";
import { runWithServices } from "./services.ts";
import { formatTable } from "./tables.ts";

const { names, workloadName, workload, node, installations, slices, rows } = await preparePair(
  "bench:profile",
  "Where a warm server spends what a tracer adds, in microseconds of CPU a request.",
  { workload: "mixed", slices: 6 },
);
const cores = reserveCore();
await runWithServices(async (services) => {
  const bench = { node, cores, services, installations, flushMillis: 1000 };
  const contestants = await Promise.all(names.map((name) => startContestant(bench, workloadName, workload, name)));
  await takeTurns(contestants, slices / 2);
  for (const contestant of contestants) await contestant.startProfile();
  const before = await Promise.all(contestants.map((contestant) => contestant.usage()));
  await takeTurns(contestants, slices);
  const after = await Promise.all(contestants.map((contestant) => contestant.usage()));
  const cpuMicros = after.map(
    (usage, index) => (usage.cpuMicros - before[index]!.cpuMicros) / (slices * workload.slice),
  );
  const profiles = await Promise.all(contestants.map((contestant) => contestant.profile()));
  const compare = (group: (frame: Runtime.CallFrame) => string, most: number): string =>
    toTable(profiles.map((profile, index) => shares(profile, cpuMicros[index]!, group)) as [Shares, Shares], most);
  console.log("µs of CPU a request, profiler included\n");
  console.log(`${compare(() => "all", 1)}\n\n${compare(toPackage, 14)}\n\n${compare(toFunction, rows)}`);
  for (const [index, name] of names.entries()) {
    const file = join(repositoryRoot, "node_modules/.cache/tracekit-bench", `${workloadName}-${name}.cpuprofile`);
    writeFileSync(file, JSON.stringify(profiles[index]));
    console.log(`for a browser's developer tools: ${file}`);
  }
});

async function takeTurns(contestants: Contestant[], count: number): Promise<void> {
  for (let slice = 0; slice < count; slice++) {
    const order = slice % 2 === 0 ? contestants : contestants.toReversed();
    for (const contestant of order) await contestant.load(workload.slice);
  }
}

type Shares = Map<string, number>;

/** Self times by `group`. The profiler knows only how long each took by the clock, other processes' turns included, so its
 *  shares are applied to the CPU time. */
function shares(profile: Profiler.Profile, cpuMicros: number, group: (frame: Runtime.CallFrame) => string): Shares {
  const frames = new Map(profile.nodes.map((entry) => [entry.id, entry.callFrame]));
  const micros: Shares = new Map();
  let total = 0;
  profile.samples?.forEach((id, index) => {
    const frame = frames.get(id)!;
    if (frame.functionName === "(idle)") return;
    const delta = profile.timeDeltas?.[index] ?? 0;
    total += delta;
    const name = group(frame);
    micros.set(name, (micros.get(name) ?? 0) + delta);
  });
  for (const [name, value] of micros) micros.set(name, (value / total) * cpuMicros);
  return micros;
}

/** The largest differences first. */
function toTable([against, of]: [Shares, Shares], most: number): string {
  const table = [...new Set([...of.keys(), ...against.keys()])]
    .map((name) => ({ name, of: of.get(name) ?? 0, against: against.get(name) ?? 0 }))
    .toSorted((a, b) => b.of - b.against - (a.of - a.against))
    .slice(0, most)
    .map((row) => [row.name, row.against.toFixed(2), row.of.toFixed(2), (row.of - row.against).toFixed(2)]);
  return formatTable([["", ...names, "added"], ...table]);
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
