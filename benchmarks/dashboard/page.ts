import { Agent } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Browser, Page } from "playwright-core";
import type { DashboardProcess } from "./dashboard-process.ts";
import { post } from "./ingest.ts";
import { mainThreadMillis, RECORDED } from "./main-thread.ts";
import { makeLargeTrace } from "./requests.ts";

/** Milliseconds, medians. */
export interface PageTimes {
  spans: number;
  /** From a click in the list to the frame that shows the first rows. */
  fromListMillis: number;
  /** Of it, what comes after the last byte of the trace. */
  firstPaintMillis: number;
  /** CPU of the page's main thread in that part. */
  firstPaintCpuMillis: number;
  /** To that frame when the trace's address is opened in a new browser. */
  directMillis: number;
  /** Between two frames while the rows are scrolled. */
  scrollFrameMedianMillis: number;
  scrollFrameP95Millis: number;
}

const OPENED = 5;
/** In which the list is done with what follows its first frame, and the trace was not sent just now. */
const SETTLE_MILLIS = 2500;

/** Opens a trace of `spans` spans in the browser and scrolls through it. */
export async function measurePage(browser: Browser, dashboard: DashboardProcess, spans: number): Promise<PageTimes> {
  const { traceId, bodies } = makeLargeTrace(spans, Date.now());
  const agent = new Agent({ keepAlive: true });
  for (const body of bodies) await post(agent, dashboard.url, body);
  agent.destroy();

  const open = async (path: string, use: (page: Page) => Promise<void>): Promise<void> => {
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
    const page = await context.newPage();
    await page.addInitScript({ path: join(import.meta.dirname, "in-page.js") });
    await page.goto(dashboard.url + path);
    await use(page);
    await context.close();
  };
  const openFromList = (use: (page: Page) => Promise<void>): Promise<void> =>
    open("/", async (page) => {
      await page.locator(`a[href^="/trace/${traceId}"]`).waitFor();
      await sleep(SETTLE_MILLIS);
      await use(page);
    });
  const click = (page: Page): Promise<{ sinceClick: number; sinceLastByte: number }> =>
    page.evaluate(`openFromList("${traceId}")`);
  const fromList: number[] = [];
  const paints: number[] = [];
  const cpu: number[] = [];
  const direct: number[] = [];
  let frames: number[] = [];
  for (let opened = 0; opened < OPENED; opened++) {
    await openFromList(async (page) => {
      const { sinceClick, sinceLastByte } = await click(page);
      fromList.push(sinceClick);
      paints.push(sinceLastByte);
      if (opened === OPENED - 1) frames = await page.evaluate("scrollThrough()");
    });
    // Recording costs time: another opening.
    await openFromList(async (page) => {
      await browser.startTracing(page, { categories: RECORDED });
      await click(page);
      cpu.push(mainThreadMillis(await browser.stopTracing(), `/api/traces/${traceId}`, "rows drawn"));
    });
    await open(`/trace/${traceId}`, async (page) => {
      direct.push(await page.evaluate("openedDirectly()"));
    });
  }
  return {
    spans,
    fromListMillis: quantile(fromList, 0.5),
    firstPaintMillis: quantile(paints, 0.5),
    firstPaintCpuMillis: quantile(cpu, 0.5),
    directMillis: quantile(direct, 0.5),
    scrollFrameMedianMillis: quantile(frames, 0.5),
    scrollFrameP95Millis: quantile(frames, 0.95),
  };
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
