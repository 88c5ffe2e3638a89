import { parseArgs } from "node:util";
import { nodeVersions } from "../scripts/node-binaries.mjs";
import type { Plan } from "./measure.ts";
import { variants } from "./variants.ts";
import { workloads } from "./workloads.ts";

/** What the command line asks for. */
export interface Options {
  /** Undefined: the Node that runs this. */
  readonly node: string | undefined;
  readonly workloads: readonly string[];
  readonly variants: readonly string[];
  readonly json: boolean;
  readonly quick: boolean;
  /** Fresh processes this often; undefined: as often as the plan says. */
  readonly rounds: number | undefined;
  /** A full run of everything: only that may replace its section of RESULTS.md. */
  readonly complete: boolean;
}

/** A whole run. */
interface RunPlan extends Plan {
  readonly flushMillis: number;
  /** Processes for each variant and kind of module. */
  readonly starts: number;
  readonly rate: { readonly times: number; readonly requests: number };
  /** When the workloads are to be done: what is left is shared among those to come. */
  readonly totalSeconds: number;
}

/** The full run, and the one of less than three minutes. */
export const plans: Readonly<Record<"full" | "quick", RunPlan>> = {
  full: {
    rounds: 2,
    slices: { min: 24, max: 12, part: 1 },
    maxSliceMillis: Infinity,
    pressure: { workloads: ["mixed"], seconds: 4 },
    flushMillis: 1000,
    starts: 7,
    totalSeconds: Infinity,
    rate: { times: 3, requests: 2000 },
  },
  quick: {
    rounds: 1,
    slices: { min: 4, max: 8, part: 1 / 4 },
    maxSliceMillis: 120,
    pressure: { workloads: ["mixed"], seconds: 0.5 },
    flushMillis: 200,
    starts: 2,
    totalSeconds: 160,
    rate: { times: 1, requests: 100 },
  },
};

export const help: string = `npm run bench [-- options]

Measures what tracers cost: CPU time of the whole server process per request, all threads, exporting included.

  --quick              fewer and shorter slices; all variants and workloads in less than three minutes. On a slow machine V8
                       still compiles then, so that everything costs more than in a full run, and a tracer most of all
  --node <version>     ${nodeVersions.join(", ")}, or only the first number; default: the Node that runs this
  --rounds <number>    fresh processes this often; default: ${plans.full.rounds}, ${plans.quick.rounds} with --quick
  --workload <name>    ${Object.keys(workloads).join(", ")}; may be repeated
  --variant <name>     ${Object.keys(variants).join(", ")};
                       may be repeated; "none" is always there
  --json               one JSON object on stdout, everything else on stderr
                       (npm run prints a line of its own before it; npm run --silent bench does not)
  --help

A run without --quick, --workload and --variant takes twenty minutes or more and replaces the section of its Node version in
benchmarks/RESULTS.md and its raw values in benchmarks/results/.
`;

/** Exits with a message when the command line cannot be understood, or asks for help. */
export function parseOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
      node: { type: "string" },
      rounds: { type: "string" },
      workload: { type: "string", multiple: true, default: [] },
      variant: { type: "string", multiple: true, default: [] },
    },
  });
  if (values.help) {
    console.log(help);
    process.exit(0);
  }
  const { quick, json, workload, variant } = values;
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0)) {
    fail(`--rounds ${values.rounds} is no number of rounds: 1, 2, 3`);
  }
  return {
    node: values.node === undefined ? undefined : pickNode(values.node),
    workloads: pick("workload", Object.keys(workloads), workload),
    variants: pick("variant", Object.keys(variants), variant.length === 0 ? [] : ["none", ...variant]),
    json,
    quick,
    rounds,
    complete: !quick && workload.length === 0 && variant.length === 0,
  };
}

/** Those that are wanted, of those that are known; all when none is. Exits with a message at a name that is not known. */
export function pick(what: string, known: string[], wanted: readonly string[]): string[] {
  for (const name of wanted) {
    if (!known.includes(name)) fail(`--${what} ${name} is none of ${known.join(", ")}`);
  }
  return wanted.length === 0 ? known : known.filter((name) => wanted.includes(name));
}

/** The newest supported Node that `wanted` names. Exits with a message when there is none. */
export function pickNode(wanted: string): string {
  const version = nodeVersions.findLast((known) => known === wanted || known.startsWith(`${wanted}.`));
  return version ?? fail(`--node ${wanted} is none of ${nodeVersions.join(", ")}`);
}

/** Exits with a message about the command line. */
export function fail(message: string): never {
  console.error(message);
  process.exit(2);
}
