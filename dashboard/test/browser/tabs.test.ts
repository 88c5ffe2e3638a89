import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { usePages } from "./pages.ts";
import { sendTrace } from "./sent-spans.ts";

const pages = usePages();

const send = (name: string): Promise<string> =>
  sendTrace(pages.url(), { traceId: name, spans: [{ id: "a", name: `GET /${name}`, kind: 2, to: 5 }] });

/** A browser without windows shows all its pages at once; with this one is behind the others, as a tab is, or before them. */
function setVisibility(page: Page, state: "visible" | "hidden"): Promise<void> {
  return page.evaluate(`
    Object.defineProperty(document, "visibilityState", { value: "${state}", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  `);
}

async function newTab(other: Page): Promise<Page> {
  const page = await other.context().newPage();
  page.setDefaultTimeout(20_000);
  return page;
}

test("the eighth tab of a browser is as live as the first, which catches up when it is looked at again", async () => {
  await send("before");
  const tabs = [await pages.open("/")];
  while (tabs.length < 8) {
    await tabs.at(-1)!.getByText("GET /before").waitFor();
    await setVisibility(tabs.at(-1)!, "hidden");
    tabs.push(await newTab(tabs[0]!));
    await tabs.at(-1)!.goto(pages.url());
  }
  const last = tabs.at(-1)!;
  await last.getByText("Live").waitFor();
  await send("meanwhile");
  await last.getByText("GET /meanwhile").waitFor();
  expect(await tabs[0]!.getByText("GET /meanwhile").count()).toBe(0);
  await setVisibility(tabs[0]!, "visible");
  await tabs[0]!.getByText("GET /meanwhile").waitFor();
});

test("a trace that is opened directly is all that is asked for; the list comes when it is gone to", async () => {
  const traceId = await send("direct");
  const page = await newTab(await pages.open("/services"));
  const asked: string[] = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  const missing: string[] = [];
  page.on("response", (response) => {
    if (!response.ok()) missing.push(response.url());
  });
  await page.goto(`${pages.url()}/trace/${traceId}`);
  await page.locator('.wf-rows [role="row"]').waitFor();
  await page.getByText("Live").waitFor();
  const questions = asked.filter((path) => path.startsWith("/api/"));
  expect([...new Set(questions)].toSorted()).toEqual(["/api/live", `/api/traces/${traceId}`]);
  // Also those that the document names, so that they are on their way before the first one has run.
  const scripts = new Set(asked.filter((path) => path.endsWith(".js")));
  expect([...scripts].toSorted()).toEqual(["/app.js", "/span-panel.js", "/trace-page.js"]);
  expect(missing).toEqual([]);
  await page.getByRole("link", { name: "Back to the list of traces" }).click();
  await page.locator('.traces-rows [role="row"]').filter({ hasText: "GET /direct" }).waitFor();
  await send("after");
  await page.locator('.traces-rows [role="row"]').filter({ hasText: "GET /after" }).waitFor();
});

test("a trace's script that cannot be had is said to be missing, and can be asked for again", async () => {
  const traceId = await send("scriptless");
  const page = await newTab(await pages.open("/services"));
  await page.route("**/trace-page.js", (asked) => asked.abort());
  await page.goto(`${pages.url()}/trace/${traceId}`);
  const again = page.getByRole("button", { name: "Try again" });
  await again.waitFor();
  await page.unroute("**/trace-page.js");
  await again.click();
  await page.locator('.wf-rows [role="row"]').waitFor();
});
