// node --import tsx dashboard/scripts/screenshots.mts [address]
// Takes the README's pictures from a dashboard that shows the demo (`npm run demo`).
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { TraceDetail } from "../src/model/trace.ts";
import type { TraceList } from "../src/model/api.ts";
import { launchBrowser } from "../test/browser/chromium.ts";

const url = process.argv[2] ?? "http://localhost:9400";
const folder = join(import.meta.dirname, "../screenshots");
mkdirSync(folder, { recursive: true });

const ask = async <Answer,>(path: string): Promise<Answer> => (await fetch(url + path)).json() as Promise<Answer>;
const { traces } = await ask<TraceList>("/api/traces?limit=50&service=notifier");
const traceId = traces[0]?.traceId;
if (traceId === undefined) throw new Error(`${url} has no trace of the demo: npm run demo`);
const { spans, strings } = await ask<TraceDetail>(`/api/traces/${traceId}`);
const insert = spans.name.findIndex((name) => strings[name] === "INSERT urls");

const pictures = [
  ["traces", "light", "/"],
  ["trace", "dark", `/trace/${traceId}`],
  ["span", "light", `/trace/${traceId}?span=${spans.ids[spans.spanId[insert] ?? -1]}`],
  ["services", "dark", "/services"],
] as const;
const browser = await launchBrowser();
for (const [name, colorScheme, path] of pictures) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 720 }, colorScheme, reducedMotion: "reduce" });
  await page.goto(url + path);
  await page.getByText("Live", { exact: true }).waitFor();
  await page.waitForTimeout(1000);
  await page.screenshot({ path: join(folder, `${name}.png`) });
  await page.close();
}
await browser.close();
