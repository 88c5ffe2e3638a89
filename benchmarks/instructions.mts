// npm run bench:instructions [-- --node 24 --workload ioredis --variant tracekit]: how many instructions a request takes of a
// warm server, and how many lines of its processor's caches they miss, with a tracer and without one. By valgrind's callgrind,
// which simulates the processor, so that it does not matter how busy the machine is. Without the kernel; with what V8 does meanwhile.
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../test/support/built.ts";
import { type Costs, EVENTS, readCosts } from "./callgrind.ts";
import { startContestant } from "./contestant.ts";
import { preparePair } from "./pair.ts";
import { runWithServices, type Services } from "./services.ts";
import { formatTable } from "./tables.ts";

/** The caches of a core: 32 KB for instructions and for data, and 1 MB for both. */
const CACHES = ["--cache-sim=yes", "--I1=32768,8,64", "--D1=32768,8,64", "--LL=1048576,16,64"];

const { names, workloadName, workload, node, installations, slices, rows } = await preparePair(
  "bench:instructions",
  "How many instructions a request takes of a warm server, and how many lines of its caches they miss, on a simulated processor.",
  { workload: "express", slices: 3 },
);
requireValgrind();
const folder = join(repositoryRoot, "node_modules/.cache/tracekit-bench/instructions");
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
await runWithServices(async (services) => {
  // Side by side: who has to wait for a processor executes no more for it.
  const [against, of] = await Promise.all(names.map((name) => measure(services, name)));
  console.log(`a request of ${workloadName}, without the kernel; misses of caches of 32 KB, 32 KB and 1 MB\n`);
  console.log(`${toTotals(against!, of!)}\n\n${toFunctions(against!, of!)}`);
});

/** By function, what a request costs. */
async function measure(services: Services, name: string): Promise<Costs> {
  const base = join(folder, name);
  const bench = { node: writeNode(base), cores: undefined, services, installations, flushMillis: 600_000 };
  const contestant = await startContestant(bench, workloadName, workload, name);
  const pid = readFileSync(`${base}.pid`, "utf8").trim();
  const control = (...args: string[]): void => {
    // What it says is in the error when it fails.
    execFileSync("callgrind_control", [...args, pid], { stdio: ["ignore", "ignore", "pipe"] });
  };
  console.error(`${name}: warming up, ${workload.warmUp} requests on a simulated processor…`);
  await contestant.load(Math.max(workload.warmUp, workload.slice));
  control("--instr=on");
  // Fewer than elsewhere, for it takes long to simulate one.
  const requests = Math.ceil(workload.slice / 4);
  await contestant.load(Math.ceil(requests / 10));
  control("--dump");
  for (let slice = 0; slice < slices; slice++) await contestant.load(requests);
  control("--dump");
  contestant.stop();
  return readCosts(`${base}.out.2`, join(folder, `perf-${pid}.map`), slices * requests);
}

/** A file that runs Node below callgrind. It counts from when it is told to: before that, Node is ten times as slow as by itself. */
function writeNode(base: string): string {
  const callgrind = [
    "--tool=callgrind",
    "--smc-check=all-non-file",
    "--instr-atstart=no",
    "--dump-instr=yes",
    ...CACHES,
  ];
  const v8 = ["--single-threaded", "--perf-basic-prof", `--perf-basic-prof-path=${folder}`, `--logfile=${base}.log`];
  const command = ["valgrind", "-q", ...callgrind, `--callgrind-out-file=${base}.out`, node, ...v8];
  writeFileSync(`${base}.sh`, `#!/bin/sh\necho $$ > '${base}.pid'\nexec ${command.join(" ")} "$@"\n`);
  chmodSync(`${base}.sh`, 0o755);
  return `${base}.sh`;
}

function requireValgrind(): void {
  try {
    execFileSync("valgrind", ["--version"], { stdio: "ignore" });
  } catch {
    console.error("valgrind is needed for this: apt-get install valgrind");
    process.exit(2);
  }
}

function toTotals(against: Costs, of: Costs): string {
  const sum = (costs: Costs, event: number): number =>
    [...costs.values()].reduce((total, counts) => total + counts[event]!, 0);
  const table = EVENTS.map((title, event) => {
    const [before, after] = [sum(against, event), sum(of, event)];
    return [title, ...[before, after, after - before].map((count) => count.toFixed(0))];
  });
  return formatTable([["", ...names, "added"], ...table]);
}

/** Those first that add most to what is fetched anew: an instruction that is at hand is the cheaper part. */
function toFunctions(against: Costs, of: Costs): string {
  const none = EVENTS.map(() => 0);
  const added = [...new Set([...against.keys(), ...of.keys()])].map((name) => {
    const before = against.get(name) ?? none;
    return { name, counts: (of.get(name) ?? none).map((count, event) => count - before[event]!) };
  });
  const weight = ({ counts }: { counts: number[] }): number => counts[0]! / 20 + counts[1]! + counts[2]!;
  const table = added
    .toSorted((a, b) => weight(b) - weight(a))
    .slice(0, rows)
    .map(({ name, counts }) => [name.slice(0, 100), ...counts.map((count) => count.toFixed(0))]);
  return formatTable([["added by", ...EVENTS], ...table]);
}
