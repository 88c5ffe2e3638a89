import type { Locator, Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { holdStream, usePages } from "./pages.ts";
import { idOf, type SentSpan, sendTrace } from "./sent-spans.ts";

const pages = usePages();
const path = (name: string): string => `/trace/${idOf(name, 32)}`;

const grid = (page: Page): Locator => page.getByRole("treegrid", { name: "Spans" });
const rows = (page: Page): Locator => grid(page).locator('.wf-rows [role="row"]');
/** What the rows in sight say, one line each. */
const texts = async (page: Page): Promise<string[]> => {
  await rows(page).first().waitFor();
  return (await rows(page).allInnerTexts()).map((text) => text.replaceAll(/\s+/g, " ").trim());
};
const expectRows = async (page: Page, expected: ReadonlyArray<string | RegExp>): Promise<void> => {
  const matching = expected.map((text) => expect.stringMatching(text) as string);
  await expect.poll(() => texts(page), { timeout: 15_000 }).toEqual(matching);
};

const press = async (page: Page, ...keys: string[]): Promise<void> => {
  for (const key of keys) await page.keyboard.press(key);
};

const SIZE = 10_000;

beforeAll(async () => {
  await sendTrace(pages.url(), {
    traceId: "checkout",
    spans: [
      {
        id: "root",
        service: "shop",
        name: "POST /checkout",
        kind: 2,
        to: 200,
        attributes: { "http.response.status_code": 500 },
      },
      {
        id: "db1",
        parent: "root",
        service: "shop",
        name: "SELECT carts",
        kind: 3,
        from: 10,
        to: 30,
        attributes: { "db.system.name": "postgresql", "db.query.text": "SELECT * FROM carts WHERE id = $1" },
      },
      {
        id: "call",
        parent: "root",
        service: "shop",
        name: "POST",
        kind: 3,
        from: 40,
        to: 150,
        attributes: { "http.request.method": "POST", "url.full": "http://billing/charge" },
      },
      {
        id: "served",
        parent: "call",
        service: "billing",
        name: "POST /charge",
        kind: 2,
        from: 50,
        to: 140,
        failed: "card declined",
      },
      {
        id: "send",
        parent: "root",
        service: "shop",
        name: "send receipts",
        kind: 4,
        from: 160,
        to: 165,
        attributes: { "messaging.system": "nats", "messaging.destination.name": "receipts" },
      },
    ],
  });
  // Ten seconds later, in a trace of its own.
  await sendTrace(pages.url(), {
    traceId: "receipt",
    start: Date.now() + 10_000,
    spans: [
      {
        id: "proc",
        service: "mailer",
        name: "process receipts",
        kind: 5,
        to: 40,
        links: [{ traceId: "checkout", spanId: "send" }],
      },
      { id: "mail", parent: "proc", service: "mailer", name: "send mail", from: 5, to: 30 },
    ],
  });
  await sendTrace(pages.url(), {
    traceId: "nplusone",
    spans: [
      { id: "nroot", name: "GET /users", kind: 2, to: 500 },
      ...Array.from({ length: 47 }, (_, index): SentSpan => ({
        id: `n${index}`,
        parent: "nroot",
        name: "SELECT users",
        kind: 3,
        from: 10 * index,
        to: 10 * index + 9,
        attributes: { "db.system.name": "postgresql", "db.query.text": "SELECT * FROM users WHERE id = $1" },
      })),
      { id: "nlast", parent: "nroot", name: "render", from: 480, to: 499 },
    ],
  });
  await sendTrace(pages.url(), {
    traceId: "large",
    spans: Array.from({ length: SIZE }, (_, index): SentSpan => ({
      id: `l${index}`,
      ...(index > 0 && { parent: `l${Math.floor((index - 1) / 8)}` }),
      name: index === SIZE - 1 ? "needle" : `step ${index}`,
      from: index / 10,
      to: index === 0 ? SIZE : index / 10 + 5,
    })),
  });
  await sendTrace(pages.url(), {
    traceId: "broken",
    spans: [
      { id: "bmiss", parent: "never", name: "orphan", to: 5 },
      { id: "bone", parent: "btwo", name: "one", from: 6, to: 8 },
      { id: "btwo", parent: "bone", name: "two", from: 6, to: 8 },
    ],
  });
});

describe("a trace", () => {
  test("is a tree with the times of its spans, its errors said in words, and its services", async () => {
    const page = await pages.open(path("checkout"));
    await expectRows(page, [
      /^shop POST \/checkout 200ms$/,
      /^SELECT carts SELECT \* FROM carts WHERE id = \$1 20ms$/,
      /^POST http:\/\/billing\/charge 110ms$/,
      /^billing POST \/charge card declined 90ms$/,
      /^send receipts 5ms$/,
      /^continued in mailer process receipts another trace$/,
    ]);
    await grid(page)
      .getByRole("gridcell", { name: /^200ms, 65ms of it itself, .*starts at 0ms$/ })
      .waitFor();
    await grid(page)
      .getByRole("gridcell", { name: /^20ms, .*starts at 10ms$/ })
      .waitFor();
    const levels = await rows(page).evaluateAll((all) => all.map((row) => row.getAttribute("aria-level")));
    expect(levels).toEqual(["1", "2", "2", "3", "2", "3"]);
    expect(await page.title()).toContain("POST /checkout");
  });

  test("a link to another trace is followed in place", async () => {
    const page = await pages.open(path("checkout"));
    await rows(page).filter({ hasText: "another trace" }).waitFor();
    await press(page, "j", "End", "ArrowRight");
    await expect.poll(async () => (await texts(page)).join("\n")).toMatch(/process receipts.*\n.*send mail/);
    expect(new URL(page.url()).pathname).toBe(path("checkout"));
  });

  test("identical siblings are one row, which opens", async () => {
    const page = await pages.open(path("nplusone"));
    await expectRows(page, [/GET \/users/, /SELECT users.*×\s?47/, /render/]);
    await press(page, "j", "j", "ArrowRight");
    await expect.poll(async () => Number(await grid(page).getAttribute("aria-rowcount"))).toBeGreaterThan(47);
  });

  test("with missing parents and in circles is still shown whole", async () => {
    const page = await pages.open(path("broken"));
    await expect.poll(async () => (await texts(page)).join("\n")).toMatch(/orphan/);
    const all = (await texts(page)).join("\n");
    expect(all).toMatch(/one/);
    expect(all).toMatch(/two/);
  });

  test("is searched: what is found is counted, and gone through", async () => {
    const page = await pages.open(path("checkout"));
    await texts(page);
    await press(page, "/");
    await page.keyboard.type("carts");
    await expect.poll(() => page.locator(".trace-found").innerText()).toMatch(/1/);
    expect(new URL(page.url()).search).toContain("carts");
  });

  test("the next error is one key away, and its details another", async () => {
    const page = await pages.open(path("checkout"));
    await texts(page);
    await press(page, "e", "Enter");
    const panel = page.getByRole("complementary", { name: "Span" });
    await expect.poll(() => panel.innerText()).toMatch(/card declined/);
    expect(new URL(page.url()).searchParams.get("span")).toBe(idOf("served"));
    await page.reload();
    await expect.poll(() => panel.innerText()).toMatch(/card declined/);
  });

  test("short spans are hidden, and the critical path is switched off; both stand in the address", async () => {
    const page = await pages.open(path("checkout"));
    await page.getByLabel("Hide under").fill("30ms");
    await page.keyboard.press("Enter");
    await expect.poll(async () => (await texts(page)).join()).not.toMatch(/carts/);
    await page.getByRole("button", { name: "Critical path" }).click();
    const { search } = new URL(page.url());
    expect(search).toMatch(/30ms/);
    expect(search).toMatch(/critical=off/);
  });

  test("is a flame graph of the same, with the numbers in a table", async () => {
    const page = await pages.open(path("nplusone"));
    await page.getByText("Flame graph").click();
    await page.getByRole("img", { name: /Flame graph/ }).waitFor();
    expect(await page.getByRole("table").innerText()).toMatch(/SELECT users/);
    expect(new URL(page.url()).searchParams.get("view")).toBe("flame");
  });

  test("grows while its spans arrive", async () => {
    const send = (...spans: SentSpan[]): Promise<string> => sendTrace(pages.url(), { traceId: "growing", spans });
    await send({ id: "g2", parent: "g1", name: "SELECT first", kind: 3, to: 5 });
    const page = await pages.open(path("growing"));
    await expect.poll(async () => (await texts(page)).join()).toMatch(/SELECT first/);
    await send({ id: "g1", name: "GET /growing", kind: 2, to: 50 });
    await expectRows(page, [/GET \/growing/, /SELECT first/]);
  });

  test("shows what came between its answer and the opening of the stream", async () => {
    const send = (...spans: SentSpan[]): Promise<string> => sendTrace(pages.url(), { traceId: "between", spans });
    await send({ id: "b2", parent: "b1", name: "SELECT first", kind: 3, to: 5 });
    const page = await pages.open("/services");
    const openStream = await holdStream(page);
    await page.goto(pages.url() + path("between"));
    await expect.poll(async () => (await texts(page)).join()).toMatch(/SELECT first/);
    await send({ id: "b1", name: "GET /between", kind: 2, to: 50 });
    openStream();
    await expectRows(page, [/GET \/between/, /SELECT first/]);
  });

  test("with a clock that is slow begins at zero all the same, and its spans say when they really started", async () => {
    await sendTrace(pages.url(), {
      traceId: "skewed",
      start: Date.UTC(2026, 0, 2, 3, 4, 5),
      spans: [
        { id: "w1", service: "web", name: "GET /skewed", kind: 2, to: 100 },
        { id: "w2", service: "web", parent: "w1", name: "GET", kind: 3, from: 10, to: 90 },
        { id: "w3", service: "slow-clock", parent: "w2", name: "GET /behind", kind: 2, from: -5000, to: -4940 },
      ],
    });
    const page = await pages.open(`${path("skewed")}?span=${idOf("w3")}`);
    await expectRows(page, [/GET \/skewed/, /GET/, /GET \/behind/]);
    await page.getByText("0ms", { exact: true }).first().waitFor();
    await page.getByText("at +20ms").waitFor();
    expect(await page.locator(".trace-facts time").getAttribute("datetime")).toBe("2026-01-02T03:04:05.000Z");
  });

  test("shows a span beside it as soon as it arrives", async () => {
    const send = (...spans: SentSpan[]): Promise<string> => sendTrace(pages.url(), { traceId: "awaited", spans });
    await send({ id: "h1", name: "GET /awaited", kind: 2, to: 50 });
    const page = await pages.open(`${path("awaited")}?span=${idOf("h2")}`);
    await page.getByText("This span has not arrived").waitFor();
    await send({ id: "h2", parent: "h1", name: "awaited child", to: 20 });
    await page.getByRole("heading", { name: "awaited child" }).waitFor();
  });

  test("that is not there is said to be so, with a way back", async () => {
    const page = await pages.open("/trace/dddddddddddddddd");
    await page
      .getByText(/is not here|not found|no such trace|has not arrived/i)
      .first()
      .waitFor();
    await page
      .getByRole("link", { name: /traces/i })
      .first()
      .waitFor();
  });
});

describe(`a trace of ${SIZE.toLocaleString("en")} spans`, () => {
  test("has only the rows in sight in the page, tells how many there are, and scrolls to the last", async () => {
    const page = await pages.open(`${path("large")}?fold=off`);
    await expect.poll(() => texts(page)).not.toHaveLength(0);
    expect(Number(await grid(page).getAttribute("aria-rowcount"))).toBeGreaterThanOrEqual(SIZE);
    expect(await rows(page).count()).toBeLessThan(150);
    await rows(page).first().focus();
    await page.keyboard.press("End");
    await expect
      .poll(async () => rows(page).last().getAttribute("aria-rowindex").then(Number), { timeout: 15_000 })
      .toBeGreaterThanOrEqual(SIZE);
    expect(await rows(page).count()).toBeLessThan(150);
  });

  test("finds one span among them", async () => {
    const page = await pages.open(path("large"));
    await rows(page).first().waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("needle");
    await page.keyboard.press("Enter");
    await expect.poll(async () => (await texts(page)).join("\n"), { timeout: 15_000 }).toMatch(/needle/);
  });
});
