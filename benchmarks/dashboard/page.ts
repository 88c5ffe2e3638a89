import { Agent } from "node:http";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import type { DashboardProcess } from "./dashboard-process.ts";
import { post } from "./ingest.ts";
import { makeLargeTrace } from "./requests.ts";

export interface PageTimes {
  spans: number;
  /** From the last byte of the trace to the frame that shows its first rows, milliseconds. */
  firstPaintMillis: number;
  /** Between two frames while the rows are scrolled, milliseconds. */
  scrollFrameMedianMillis: number;
  scrollFrameP95Millis: number;
}

/** Opens a trace of `spans` spans in the browser and scrolls through it. */
export async function measurePage(browser: Browser, dashboard: DashboardProcess, spans: number): Promise<PageTimes> {
  const { traceId, bodies } = makeLargeTrace(spans, Date.now());
  const agent = new Agent({ keepAlive: true });
  for (const body of bodies) await post(agent, dashboard.url, body);
  agent.destroy();

  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  await page.addInitScript({ path: join(import.meta.dirname, "in-page.js") });
  await page.goto(`${dashboard.url}/trace/${traceId}`);
  const firstPaintMillis: number = await page.evaluate(`paintMillis("/api/traces/${traceId}")`);
  const frames: number[] = await page.evaluate("scrollThrough()");
  await context.close();
  return {
    spans,
    firstPaintMillis,
    scrollFrameMedianMillis: quantile(frames, 0.5),
    scrollFrameP95Millis: quantile(frames, 0.95),
  };
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
