import { Agent } from "node:http";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import type { DashboardProcess } from "./dashboard-process.ts";
import { post } from "./ingest.ts";
import { mainThreadMillis, RECORDED } from "./main-thread.ts";
import { makeLargeTrace } from "./requests.ts";

export interface PageTimes {
  spans: number;
  /** From the last byte of the trace to the frame that shows its first rows, milliseconds, the median. */
  firstPaintMillis: number;
  /** CPU of the page's main thread meanwhile, likewise. */
  firstPaintCpuMillis: number;
  /** Between two frames while the rows are scrolled, milliseconds. */
  scrollFrameMedianMillis: number;
  scrollFrameP95Millis: number;
}

const OPENED = 5;

/** Opens a trace of `spans` spans in the browser and scrolls through it. */
export async function measurePage(browser: Browser, dashboard: DashboardProcess, spans: number): Promise<PageTimes> {
  const { traceId, bodies } = makeLargeTrace(spans, Date.now());
  const agent = new Agent({ keepAlive: true });
  for (const body of bodies) await post(agent, dashboard.url, body);
  agent.destroy();

  const path = `/api/traces/${traceId}`;
  const open = async (use: (page: Page) => Promise<void>): Promise<void> => {
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
    const page = await context.newPage();
    await page.addInitScript({ path: join(import.meta.dirname, "in-page.js") });
    await use(page);
    await context.close();
  };
  const address = `${dashboard.url}/trace/${traceId}`;
  const paints: number[] = [];
  const cpu: number[] = [];
  let frames: number[] = [];
  for (let opened = 0; opened < OPENED; opened++) {
    await open(async (page) => {
      await page.goto(address);
      paints.push(await page.evaluate(`paintMillis("${path}")`));
      if (opened === OPENED - 1) frames = await page.evaluate("scrollThrough()");
    });
    // Recording costs time: another opening.
    await open(async (page) => {
      await browser.startTracing(page, { categories: RECORDED });
      await page.goto(address);
      await page.evaluate(`paintMillis("${path}")`);
      cpu.push(mainThreadMillis(await browser.stopTracing(), path, "rows drawn"));
    });
  }
  return {
    spans,
    firstPaintMillis: quantile(paints, 0.5),
    firstPaintCpuMillis: quantile(cpu, 0.5),
    scrollFrameMedianMillis: quantile(frames, 0.5),
    scrollFrameP95Millis: quantile(frames, 0.95),
  };
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
