// npm run bench:dashboard: see --help.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { launchBrowser } from "../../dashboard/test/browser/chromium.ts";
import { ensureDashboardBuilt } from "../../test/support/built.ts";
import { installNode } from "../../scripts/node-binaries.mjs";
import type { TraceList } from "../../dashboard/src/model/api.ts";
import { describeMachine } from "../machine.ts";
import { startDashboard } from "./dashboard-process.ts";
import { ingest, type Ingest } from "./ingest.ts";
import { measurePage, type PageTimes, quantile } from "./page.ts";
import { makeRequests } from "./requests.ts";

const usage = `npm run bench:dashboard [-- options]

How fast the dashboard takes spans, answers questions about them, and draws them: in processes of its own, on both drivers.

  --spans <n>   spans to send and to keep (default: 1000000)
  --store       the store alone, in one process without a network: CPU time a span, which other work on the machine hardly changes
  --quick       100000 spans, and the page with 10000 at most
  --json        one object instead of tables
  --help        this text`;

const DRIVERS = { "node-sqlite3-wasm": "20.20.2", "node:sqlite": "24.21.0" };
/** Of each question; the median is told. */
const ASKED = 15;

const { values } = parseArgs({
  options: {
    spans: { type: "string" },
    store: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}
const spans = Number(values.spans ?? (values.quick ? 100_000 : 1_000_000));
const say = (message: string): void => console.error(message);

if (values.store) {
  for (const [driver, version] of Object.entries(DRIVERS)) {
    const child = join(import.meta.dirname, "store-child.mts");
    const args = ["--import", import.meta.resolve("tsx"), "--max-semi-space-size=32", child, driver, String(spans)];
    const answer = execFileSync(installNode(version), args, { encoding: "utf8" });
    const micros = JSON.parse(answer) as number[];
    const [least, median] = [quantile(micros, 0), quantile(micros, 0.5)].map((value) => value.toFixed(1));
    console.log(
      `${driver}: ${least} µs of CPU time a span at least, ${median} in the median of ${micros.length} portions`,
    );
  }
  process.exit(0);
}

await ensureDashboardBuilt();
const folder = mkdtempSync(join(tmpdir(), "tracekit-bench-dashboard-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));

say("making spans…");
const requests = makeRequests(25, Date.now() - 1_200_000);
const drivers: Record<string, Ingest & { storeMegabytes: number; queryMillis: Record<string, number> }> = {};
for (const [driver, version] of Object.entries(DRIVERS)) {
  say(`${driver}: ${spans.toLocaleString("en")} spans…`);
  const store = join(folder, `${version}.db`);
  const dashboard = await startDashboard(installNode(version), ["--store", store, "--max-size", "8GB"]);
  try {
    const taken = await ingest(dashboard, requests, spans);
    say(`${driver}: questions…`);
    const queryMillis = await askQuestions(dashboard.url);
    const status = (await (await fetch(`${dashboard.url}/api/status`)).json()) as {
      driver: string;
      storeBytes: number;
    };
    if (status.driver !== driver) throw new Error(`Node ${version} uses ${status.driver}`);
    drivers[driver] = { ...taken, storeMegabytes: Math.round(status.storeBytes / 2 ** 20), queryMillis };
  } finally {
    await dashboard.stop();
  }
}

say("the page…");
const pages: PageTimes[] = [];
const dashboard = await startDashboard(process.execPath, ["--memory"]);
const browser = await launchBrowser();
for (const size of values.quick ? [1000, 10_000] : [1000, 10_000, 100_000])
  pages.push(await measurePage(browser, dashboard, size));
await browser.close();
await dashboard.stop();

if (values.json)
  console.log(JSON.stringify({ date: new Date().toISOString(), machine: describeMachine(), drivers, pages }));
else print();

/** Question → milliseconds, the median. */
async function askQuestions(url: string): Promise<Record<string, number>> {
  const list = (await (await fetch(`${url}/api/traces?limit=50`)).json()) as TraceList;
  const trace = list.traces[20];
  const user = list.traces.find(({ userId }) => userId !== undefined)?.userId ?? "";
  const questions = {
    "open a trace": `/api/traces/${trace?.traceId}`,
    "latest traces": "/api/traces?limit=50",
    "filter by user": `/api/traces?limit=50&user=${user}`,
    "list errors": "/api/traces?limit=50&status=error",
    "full text, a miss": "/api/traces?limit=50&q=nowhere-to-be-found",
    "services, an hour": "/api/services?since=-1h",
  };
  const medians: Record<string, number> = {};
  for (const [question, path] of Object.entries(questions)) {
    const times: number[] = [];
    const asked = question.startsWith("full") || question.startsWith("services") ? 3 : ASKED;
    for (let index = 0; index < asked; index++) {
      await sleep(20);
      const startedAt = performance.now();
      const response = await fetch(url + path);
      await response.arrayBuffer();
      if (!response.ok) throw new Error(`${path} was answered ${response.status}`);
      times.push(performance.now() - startedAt);
    }
    medians[question] = quantile(times, 0.5);
  }
  return medians;
}

function print(): void {
  const round = (value: number): number => Number(value.toPrecision(3));
  console.log(describeMachine());
  console.log("\nIngest, a page connected");
  console.table(
    Object.fromEntries(
      Object.entries(drivers).map(([driver, run]) => [
        driver,
        {
          "spans/s": Math.round(run.spansPerSecond),
          "CPU µs/span": round(run.cpuMicrosPerSpan),
          "main thread": round(run.mainMicrosPerSpan),
          "store's thread": round(run.storeMicrosPerSpan),
          "loop delay p99 ms": run.loopDelayP99Millis,
          "RSS MB": run.rssMegabytes,
          "store MB": run.storeMegabytes,
          "sent again": run.refused,
          "live updates": run.liveUpdates,
        },
      ]),
    ),
  );
  console.log(`\nQuestions at ${spans.toLocaleString("en")} spans, median ms`);
  console.table(
    Object.fromEntries(
      Object.entries(drivers).map(([driver, { queryMillis }]) => [
        driver,
        Object.fromEntries(Object.entries(queryMillis).map(([question, millis]) => [question, round(millis)])),
      ]),
    ),
  );
  console.log("\nA trace in Chromium");
  console.table(
    Object.fromEntries(
      pages.map((page) => [
        `${page.spans.toLocaleString("en")} spans`,
        {
          "from the list ms": round(page.fromListMillis),
          "after its last byte": round(page.firstPaintMillis),
          "of that CPU": round(page.firstPaintCpuMillis),
          "opened directly": round(page.directMillis),
          "scroll frame ms": round(page.scrollFrameMedianMillis),
          p95: round(page.scrollFrameP95Millis),
        },
      ]),
    ),
  );
}
