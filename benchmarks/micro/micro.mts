// npm run bench:micro [-- --update]: the parts alone, as multiples of a loop that calibrates the machine.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { installNode } from "../../scripts/node-binaries.mjs";
import { format } from "../format.ts";
import { pickNode } from "../options.ts";
import { formatTable } from "../tables.ts";
import { cases as bodyCases } from "./body.ts";
import { calibration, measure } from "./case.ts";
import type { Case } from "./case.ts";
import { cases as contextCases } from "./context.ts";
import { cases as encodeCases } from "./encode.ts";
import { cases as redactionCases } from "./redaction.ts";
import { cases as spanCases } from "./span.ts";

/** Beyond this multiple of its baseline a part has become slower; the same code varies by less. */
const TOLERANCE = 1.5;

/** Processes for each part, of which the fastest counts: the compiler has good days and bad ones. */
const PROCESSES = 4;

const cases: Case[] = [...spanCases, ...encodeCases, ...contextCases, ...redactionCases, ...bodyCases];
const { values } = parseArgs({
  options: {
    only: { type: "string" },
    node: { type: "string" },
    update: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(`npm run bench:micro [-- options]

Times the parts of the hot path, each in a process of its own, and compares with benchmarks/micro/baseline.json.

  --node <version>   default: the Node that runs this
  --update           what is measured becomes the baseline of that Node

Ends with 1 when a part takes more than ${TOLERANCE} times its baseline.`);
} else if (values.only === undefined) {
  compare(values.node === undefined ? process.execPath : installNode(pickNode(values.node)));
} else {
  const wanted = cases.find(({ name }) => name === values.only)!;
  console.log(JSON.stringify({ nanos: measure(wanted), calibrationNanos: measure(calibration) }));
}

function compare(node: string): void {
  const file = join(import.meta.dirname, "baseline.json");
  const baselines = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
  const major = execFileSync(node, ["--version"], { encoding: "utf8" }).slice(1).split(".")[0]!;
  const baseline: Record<string, number> = baselines[major] ?? {};
  const nanosOf: Record<string, number> = {};
  let calibrationNanos = Infinity;
  for (let time = 0; time < PROCESSES; time++) {
    for (const { name } of cases) {
      const alone = runAlone(node, name);
      nanosOf[name] = Math.min(nanosOf[name] ?? Infinity, alone.nanos);
      calibrationNanos = Math.min(calibrationNanos, alone.calibrationNanos);
    }
    console.error(`${time + 1} of ${PROCESSES} rounds`);
  }
  const measured: Record<string, number> = {};
  const rows = Object.entries(nanosOf).map(([name, nanos]) => {
    const ratio = nanos / calibrationNanos;
    measured[name] = Math.round(ratio * 100) / 100;
    const known = baseline[name];
    const change = known === undefined ? "new" : `${(ratio / known).toFixed(2)} ×`;
    const isSlower = known !== undefined && ratio > known * TOLERANCE;
    if (isSlower && !values.update) process.exitCode = 1;
    return [name, nanos.toFixed(0), ratio.toFixed(2), known?.toFixed(2) ?? "", isSlower ? `${change} SLOWER` : change];
  });
  console.log(formatTable([["part", "ns", "× calibration", "baseline", "change"], ...rows]));
  if (values.update) {
    writeFileSync(file, `${JSON.stringify({ ...baselines, [major]: measured }, undefined, 2)}\n`);
    format(file);
  }
}

/** In a fresh process, where no other part has taught the compiler its types. */
function runAlone(node: string, name: string): { nanos: number; calibrationNanos: number } {
  const args = ["--import", import.meta.resolve("tsx"), import.meta.filename, "--only", name];
  return JSON.parse(execFileSync(node, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }));
}
