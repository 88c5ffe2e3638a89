import { parseArgs } from "node:util";
import { installNode } from "../scripts/node-binaries.mjs";
import { type Installation, install } from "./install.ts";
import { fail, pick, pickNode } from "./options.ts";
import { thousandSpans } from "./rate.ts";
import { variants } from "./variants.ts";
import { type Workload, workloads } from "./workloads.ts";

/** A variant beside the one it is compared with, under one workload. */
export interface Pair {
  /** Against which, and which. */
  readonly names: readonly [string, string];
  readonly workloadName: string;
  readonly workload: Workload;
  /** The program. */
  readonly node: string;
  readonly installations: ReadonlyMap<string, Installation>;
  /** Slices of load that count. */
  readonly slices: number;
  /** Functions to show. */
  readonly rows: number;
}

/** What a command line asks for, installed. Exits with a message when it cannot be understood, or asks for help. */
export async function preparePair(
  command: string,
  about: string,
  defaults: { readonly workload: string; readonly slices: number },
): Promise<Pair> {
  const { values } = parseArgs({
    options: {
      node: { type: "string" },
      workload: { type: "string", default: defaults.workload },
      variant: { type: "string", default: "tracekit" },
      against: { type: "string", default: "none" },
      slices: { type: "string", default: String(defaults.slices) },
      rows: { type: "string", default: "40" },
      help: { type: "boolean", default: false },
    },
  });
  const known = { ...workloads, spans: thousandSpans };
  if (values.help) {
    console.log(`npm run ${command} [-- options]

${about}

  --node <version>     such as 24; default: the Node that runs this
  --workload <name>    ${Object.keys(known).join(", ")} (made by hand); default: ${defaults.workload}
  --variant <name>     ${Object.keys(variants).join(", ")}; default: tracekit
  --against <name>     the same; default: none
  --slices <number>    of load that count; default: ${defaults.slices}
  --rows <number>      functions to show; default: 40
  --help
`);
    process.exit(0);
  }
  const names = [values.against, values.variant] as const;
  pick("variant", Object.keys(variants), names);
  pick("workload", Object.keys(known), [values.workload]);
  const [slices, rows] = [values.slices, values.rows].map(Number) as [number, number];
  if (!(Number.isInteger(slices) && slices > 0)) fail(`--slices ${values.slices} is no number of slices: 1, 2, 3`);
  if (!(Number.isInteger(rows) && rows >= 0)) fail(`--rows ${values.rows} is no number of rows: 0, 1, 2`);
  const installations = new Map<string, Installation>();
  for (const { installation } of names.map((name) => variants[name]!)) {
    if (installation !== undefined) installations.set(installation, await install(installation));
  }
  return {
    names,
    workloadName: values.workload,
    workload: known[values.workload as keyof typeof known] as Workload,
    node: values.node === undefined ? process.execPath : installNode(pickNode(values.node)),
    installations,
    slices,
    rows,
  };
}
