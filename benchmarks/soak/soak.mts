// npm run soak [-- --requests 500000 --node 24]: whether anything grows in a traced application.
import { parseArgs } from "node:util";
import { installNode } from "../../scripts/node-binaries.mjs";
import { pickNode } from "../options.ts";
import { formatTable } from "../tables.ts";
import { judge } from "./flatness.ts";
import { runSoak } from "./run.ts";

const { values } = parseArgs({
  options: {
    requests: { type: "string", default: "500000" },
    samples: { type: "string", default: "24" },
    node: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(`npm run soak [-- options]

Sends a mix of requests to a traced application, some failing, slow or abandoned, and looks at what is left in between.

  --requests <count>   default 500000
  --samples <count>    default 24
  --node <version>     default: the Node that runs this

Ends with 1 when anything grows, when an answer is wrong, or when the process does not end by itself.`);
  process.exit();
}

const startedAt = performance.now();
const node = values.node === undefined ? process.execPath : installNode(pickNode(values.node));
console.log("requests  seconds  heap MB  RSS MB  spans  sockets  timers");
const { samples, wrong, spansReceived, leftAlone } = await runSoak({
  requests: Number(values.requests),
  times: Number(values.samples),
  node,
  onSample({ requests, heapMegabytes, rssMegabytes, spans, sockets, timers }) {
    const cells: [string | number, number][] = [
      [requests, 8],
      [((performance.now() - startedAt) / 1000).toFixed(0), 7],
      [heapMegabytes.toFixed(1), 7],
      [rssMegabytes.toFixed(1), 6],
      [spans, 5],
      [sockets, 7],
      [timers, 6],
    ];
    console.log(cells.map(([value, width]) => String(value).padStart(width)).join("  "));
  },
});

const verdicts = judge(samples);
const table = verdicts.map(({ what, early, late, limit, isFlat }) => [
  what,
  early.toFixed(1),
  late.toFixed(1),
  limit.toFixed(1),
  isFlat ? "flat" : "GROWS",
]);
console.log(`\n${formatTable([["after warm-up", "first third", "last third", "limit", ""], ...table])}\n`);
for (const [what, count] of Object.entries(wrong)) console.log(`wrong: ${count} × ${what}`);
console.log(`spans received: ${spansReceived}`);
console.log(`the process ended by itself when the application let go: ${leftAlone ? "yes" : "NO"}`);
const isGood = verdicts.every(({ isFlat }) => isFlat) && Object.keys(wrong).length === 0 && leftAlone;
console.log(isGood ? "PASS" : "FAIL");
process.exit(isGood ? 0 : 1);
