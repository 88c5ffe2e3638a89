import { join } from "node:path";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { ensureDashboardBuilt, repositoryRoot } from "../../../test/support/built.ts";
import { type RunningServer, startServer } from "../../src/server/server.ts";
import type { Store } from "../../src/store/store.ts";
import { openStore } from "../../src/store/worker-store.ts";
import { launchBrowser } from "./chromium.ts";

/** A dashboard with the built page and nothing in it, and a browser to look at it, for the tests of a file. */
export interface Pages {
  url(): string;
  /** Opens a path in a window of its own, which is closed after the test. */
  open(path: string, options?: BrowserContextOptions): Promise<Page>;
}

/** Whatever the browser complains about fails the test that opened the page: errors, and what the content security policy
 *  refused. */
export function usePages(): Pages {
  let store: Store;
  let server: RunningServer;
  let browser: Browser;
  const url = (): string => server.urls[0] as string;
  beforeAll(async () => {
    await ensureDashboardBuilt();
    store = await openStore({ memory: true, maxBytes: 1_000_000_000 });
    const assets = join(repositoryRoot, "dashboard/dist/web");
    server = await startServer({ store, port: 0, host: "localhost", assets, version: "1" });
    browser = await launchBrowser();
  }, 240_000);
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await store?.close();
  });

  const complaints: string[] = [];
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
    expect(complaints.splice(0)).toEqual([]);
  });
  return {
    url,
    async open(path, options) {
      const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
      const page = await context.newPage();
      page.setDefaultTimeout(20_000);
      page.on("pageerror", (error) => complaints.push(String(error)));
      page.on("console", (message) => {
        // Of answers that say no it complains by itself; a page may have asked for what is not there.
        if (message.type() === "error" && !message.text().includes("status of 404")) complaints.push(message.text());
      });
      await page.goto(url() + path);
      return page;
    },
  };
}

/** Keeps the stream of changes from opening until the returned function is called. */
export async function holdStream(page: Page): Promise<() => void> {
  let open = (): void => {};
  const isOpen = new Promise<void>((resolve) => (open = resolve));
  await page.route("**/api/live**", async (asked) => {
    await isOpen;
    await asked.continue();
  });
  return open;
}
