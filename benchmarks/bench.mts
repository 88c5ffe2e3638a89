// npm run bench: see --help.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { installNode } from "../scripts/node-binaries.mjs";
import { repositoryRoot } from "../test/support/built.ts";
import type { Bench } from "./contestant.ts";
import { format } from "./format.ts";
import { install } from "./install.ts";
import type { Installation } from "./install.ts";
import { describeCommit, describeMachine, reserveCore } from "./machine.ts";
import { measureWorkload } from "./measure.ts";
import { parseOptions, plans } from "./options.ts";
import { measureRate } from "./rate.ts";
import { toReport } from "./report.ts";
import type { Run } from "./report.ts";
import { writeResults } from "./results-file.ts";
import { runWithServices } from "./services.ts";
import { measureStartup } from "./startup.ts";
import { allTables } from "./tables.ts";
import { variants } from "./variants.ts";
import { workloads } from "./workloads.ts";

const args = process.argv.slice(2);
const options = parseOptions(args);
const planned = plans[options.quick ? "quick" : "full"];
const plan = { ...planned, rounds: options.rounds ?? planned.rounds };
const startedAt = performance.now();
const progress = (message: string): void =>
  console.error(`${((performance.now() - startedAt) / 1000).toFixed(0).padStart(4)} s  ${message}`);

const node = options.node === undefined ? process.execPath : installNode(options.node);
const cores = reserveCore();
if (cores === undefined) progress("the server has no core of its own here: expect noise");
const installations = new Map<string, Installation>();
for (const name of options.variants) {
  const { installation } = variants[name]!;
  if (installation !== undefined && !installations.has(installation)) {
    installations.set(installation, await install(installation));
  }
}

/** What workloads weigh when they share the time: their slices, warm-up and all, and what it takes to start their servers, in slices. */
function weigh(names: readonly string[]): number {
  const { max, part } = plan.slices;
  const ofOne = (name: string): number => 16 + max + workloads[name]!.warmUp / (workloads[name]!.slice * part);
  return names.reduce((weight, name) => weight + ofOne(name), 0);
}

await runWithServices(async (services) => {
  const bench: Bench = { node, cores, services, installations, flushMillis: plan.flushMillis };
  const run: Run = {
    node: execFileSync(node, ["--version"], { encoding: "utf8" }).trim().slice(1),
    date: new Date().toISOString(),
    machine: describeMachine(),
    commit: describeCommit(),
    command: ["npm run bench", ...(args.length > 0 ? ["--", ...args] : [])].join(" "),
    workloads: {},
    startup: {},
    rate: {},
    // Without their folders, which are this machine's business.
    install: Object.fromEntries(
      [...installations].map(([name, { version, megabytes, packages }]) => [name, { version, megabytes, packages }]),
    ),
  };
  progress(`starting up, ${options.variants.length} variants × ${plan.starts}`);
  Object.assign(run.startup, await measureStartup(bench, options.variants, plan.starts));
  for (const [index, workload] of options.workloads.entries()) {
    progress(workload);
    const left = plan.totalSeconds - (performance.now() - startedAt) / 1000;
    const share = left * (weigh([workload]) / weigh(options.workloads.slice(index)));
    // Exporting what is left takes about a second, the pressure of four variants with what each leaves six times its load.
    const after = 1 + (plan.pressure.workloads.includes(workload) ? plan.pressure.seconds * 12 : 0);
    run.workloads[workload] = await measureWorkload(bench, workload, options.variants, plan, share - after);
  }
  progress("spans by the second");
  Object.assign(run.rate, await measureRate(bench, options.variants, plan.rate));
  const report = toReport(run);
  progress("done\n");
  if (options.json) {
    console.error(allTables(report));
    console.log(JSON.stringify(report));
  } else {
    console.log(allTables(report));
  }
  // The raw values of every run, wherever it came from.
  const cache = join(repositoryRoot, "node_modules/.cache/tracekit-bench");
  mkdirSync(cache, { recursive: true });
  writeFileSync(join(cache, "last-run.json"), JSON.stringify(run));
  if (options.complete) {
    writeResults(run, report);
    format(join(import.meta.dirname, "RESULTS.md"), join(import.meta.dirname, "results"));
  }
});
