import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { usePages } from "./pages.ts";
import { idOf, sendLog, sendTrace } from "./sent-spans.ts";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const pages = usePages();
const trace = `/trace/${idOf("all", 32)}`;

beforeAll(async () => {
  await sendTrace(pages.url(), {
    traceId: "all",
    spans: [
      {
        id: "a1",
        service: "shop",
        name: "POST /pay",
        kind: 2,
        to: 200,
        failed: "declined",
        attributes: {
          "http.request.method": "POST",
          "http.response.status_code": 500,
          "url.path": "/pay",
          "user.id": "u_1",
          "http.request.body.content": '{"card":"REDACTED","items":[1,2]}',
          "http.response.header.content-type": ["application/json"],
        },
        exception: {
          type: "TypeError",
          message: "no card",
          stacktrace: `TypeError: no card\n    at pay (${import.meta.filename}:1:1)`,
        },
      },
      {
        id: "a2",
        parent: "a1",
        service: "shop",
        name: "SELECT carts",
        kind: 3,
        from: 10,
        to: 30,
        attributes: {
          "db.system.name": "postgresql",
          "db.query.text": "SELECT * FROM carts WHERE id = $1",
          "db.query.parameter.0": "7",
        },
      },
      {
        id: "a3",
        parent: "a1",
        service: "shop",
        name: "GET",
        kind: 3,
        from: 40,
        to: 41,
        attributes: {
          "db.system.name": "redis",
          "cache.operation": "get",
          "cache.key": ["cart:7"],
          "cache.hit": false,
        },
      },
      {
        id: "a4",
        parent: "a1",
        service: "shop",
        name: "send receipts",
        kind: 4,
        from: 50,
        to: 55,
        attributes: {
          "messaging.system": "nats",
          "messaging.destination.name": "receipts",
          "tracekit.messaging.body.content": '{"id":1}',
        },
      },
      {
        id: "a5",
        parent: "a4",
        service: "mailer",
        name: "process receipts",
        kind: 5,
        from: 60,
        to: 90,
        attributes: { "messaging.system": "nats", "messaging.destination.name": "receipts" },
      },
    ],
  });
  await sendLog(pages.url(), "all", "a1", "the card was declined");
});

/** What axe finds against WCAG 2.2 A and AA, and its best practices. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  const found = await page.evaluate<{ violations: { id: string; nodes: { html: string }[] }[] }>("axe.run()");
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(" | ")}`);
}

const places: ReadonlyArray<readonly [string, string, (page: Page) => Promise<void>]> = [
  ["the list", "/", (page) => page.getByText("/pay").first().waitFor()],
  [
    "the list with a filter open",
    "/?service=shop",
    async (page) => {
      await page.getByText("/pay").first().waitFor();
      await page.getByRole("button", { name: "Status", exact: true }).click();
    },
  ],
  ["the list that finds nothing", "/?q=nothing-at-all", (page) => page.getByText("No trace matches").waitFor()],
  [
    "the keys",
    "/",
    async (page) => {
      await page.getByText("/pay").first().waitFor();
      await page.keyboard.press("?");
      await page.getByRole("dialog").waitFor();
    },
  ],
  ["a trace", trace, (page) => page.getByText("SELECT carts").first().waitFor()],
  ["a flame graph", `${trace}?view=flame`, (page) => page.getByRole("img", { name: /Flame/ }).waitFor()],
  ...["a1", "a2", "a3", "a4"].map(
    (id) =>
      [
        `the span ${id}`,
        `${trace}?span=${idOf(id)}`,
        (page: Page) => page.getByRole("complementary", { name: "Span" }).getByText("Attributes").first().waitFor(),
      ] as const,
  ),
  ["the services", "/services", (page) => page.getByRole("table").getByText("mailer").waitFor()],
];

describe.each(["light", "dark"] as const)("in the %s theme", (colorScheme) => {
  test.each(places)("%s can be used by everybody", async (_, path, isThere) => {
    const page = await pages.open(path, { colorScheme, reducedMotion: "reduce" });
    await isThere(page);
    expect(await page.evaluate("document.documentElement.scrollWidth > innerWidth")).toBe(false);
    expect(await violations(page)).toEqual([]);
  });
});

test("the theme is chosen, and remembered", async () => {
  const page = await pages.open("/", { colorScheme: "light" });
  await page.getByRole("button", { name: "Theme" }).click();
  await page.getByRole("menuitemradio", { name: "Dark" }).click();
  const background = (): Promise<string> => page.evaluate("getComputedStyle(document.body).backgroundColor");
  const dark = await background();
  await page.reload();
  await page.getByText("/pay").first().waitFor();
  expect(await background()).toBe(dark);
  const [red = 255] = dark.match(/\d+/g)?.map(Number) ?? [];
  expect(red).toBeLessThan(60);
});

test("at the width of a phone no page has to be moved sideways to reach its header", async () => {
  const page = await pages.open("/", { viewport: { width: 360, height: 800 } });
  await page.getByRole("link", { name: "Tracekit" }).waitFor();
  expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(360);
});
