import { readFileSync } from "node:fs";
import type { Locator, Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { holdStream, usePages } from "./pages.ts";
import { sendTrace } from "./sent-spans.ts";

const pages = usePages();

/** The rows of the list, its head aside. */
const rowsOf = (page: Page): Locator => page.locator('.traces-rows [role="row"]');
const operations = (page: Page): Promise<string[]> =>
  rowsOf(page)
    .locator(".cell-operation")
    .allInnerTexts()
    .then((texts) => texts.map((text) => text.replaceAll(/\s+/g, " ").trim()));
/** Waits until the list shows these operations, in any order. */
async function expectOperations(page: Page, expected: string[]): Promise<void> {
  await expect.poll(async () => (await operations(page)).toSorted(), { timeout: 15_000 }).toEqual(expected.toSorted());
}

const sendFirst = (): Promise<string> =>
  sendTrace(pages.url(), { traceId: "first", spans: [{ id: "f", name: "GET /first", kind: 2, to: 5 }] });

describe("a page before anything has arrived", () => {
  test("says what to run, and notices the first trace by itself", async () => {
    const page = await pages.open("/");
    await page.getByText(`npx tracekit dev --port ${new URL(pages.url()).port} -- node app.js`).waitFor();
    expect(await page.getByText("OTEL_EXPORTER_OTLP_ENDPOINT").innerText()).toContain(pages.url());
    await sendFirst();
    await expectOperations(page, ["GET /first"]);
  });
});

describe("the list of traces", () => {
  beforeAll(async () => {
    await sendFirst();
    const http = (route: string, status: number): Record<string, unknown> => ({
      "http.request.method": "GET",
      "http.route": route,
      "http.response.status_code": status,
    });
    const send = (traceId: string, spans: Parameters<typeof sendTrace>[1]["spans"]): Promise<string> =>
      sendTrace(pages.url(), { traceId, spans });
    await send("orders", [
      {
        id: "o1",
        service: "orders",
        name: "GET /orders",
        kind: 2,
        to: 120,
        attributes: { ...http("/orders", 200), "user.id": "u_ann" },
      },
      {
        id: "o2",
        parent: "o1",
        service: "orders",
        name: "SELECT orders",
        kind: 3,
        from: 5,
        to: 50,
        attributes: {
          "db.system.name": "postgresql",
          "db.query.text": "SELECT * FROM orders WHERE note = 'marmalade'",
        },
      },
      {
        id: "o3",
        parent: "o1",
        service: "stock",
        name: "GET",
        kind: 3,
        from: 60,
        to: 62,
        attributes: { "db.system.name": "redis", "cache.hit": true, "cache.operation": "get" },
      },
    ]);
    await send("failed", [
      {
        id: "x1",
        service: "billing",
        name: "POST /pay",
        kind: 2,
        to: 900,
        failed: "no money",
        attributes: http("/pay", 500),
      },
    ]);
    await send("missing", [
      { id: "m1", service: "orders", name: "GET /nowhere", kind: 2, to: 3, attributes: http("/nowhere", 404) },
    ]);
  });
  const all = ["GET /first", "GET /orders", "POST /pay", "GET /nowhere"];

  test("shows what each request was, how it ended, who asked, and what it needed", async () => {
    const page = await pages.open("/");
    await expectOperations(page, all);
    const row = rowsOf(page).filter({ hasText: "/orders" });
    const text = (await row.innerText()).replaceAll(/\s+/g, " ");
    expect(text).toContain("orders");
    expect(text).toMatch(/200 OK/);
    expect(text).toContain("120ms");
    expect(text).toContain("u_ann");
    expect(await row.locator(".cell-cache").getAttribute("title")).toBe("1 cache hit, 0 misses");
    expect(await rowsOf(page).filter({ hasText: "/pay" }).innerText()).toMatch(/500/);
  });

  test.each([
    ["service=orders", ["GET /orders", "GET /nowhere"]],
    ["service=stock", ["GET /orders"]],
    ["operation=pay", ["POST /pay"]],
    ["status=404", ["GET /nowhere"]],
    ["status=5xx", ["POST /pay"]],
    ["status=error", ["POST /pay"]],
    ["min=500ms", ["POST /pay"]],
    ["max=100ms", ["GET /first", "GET /nowhere"]],
    ["user=u_ann", ["GET /orders"]],
    ["attr=db.system.name%3Dpostgresql", ["GET /orders"]],
    ["q=MARMALADE", ["GET /orders"]],
    ["since=-1h&service=billing", ["POST /pay"]],
  ])("an address with %s shows just those, and shows them again when it is loaded again", async (query, expected) => {
    const page = await pages.open(`/?${query}`);
    await expectOperations(page, expected);
    await page.reload();
    await expectOperations(page, expected);
    await page.getByRole("button", { name: "Clear all" }).click();
    await expectOperations(page, all);
    expect(new URL(page.url()).search).toBe("");
  });

  test("every filter is chosen in the page, stands in the address, and is taken back", async () => {
    const page = await pages.open("/");
    await expectOperations(page, all);
    await page.getByRole("button", { name: "Service", exact: true }).click();
    await page.getByRole("checkbox", { name: /billing/ }).check();
    await expectOperations(page, ["POST /pay"]);
    expect(new URL(page.url()).search).toBe("?service=billing");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: /Remove the filter .*billing/ }).click();
    await expectOperations(page, all);

    await page.getByRole("button", { name: "Errors", exact: true }).click();
    await expectOperations(page, ["POST /pay"]);
    await page.getByRole("button", { name: "Errors", exact: true }).click();

    await page.getByRole("button", { name: "Duration", exact: true }).click();
    await page.getByRole("button", { name: "≥ 500 ms" }).click();
    await expectOperations(page, ["POST /pay"]);
    expect(new URL(page.url()).search).toBe("?min=500ms");
    await page.goBack();
    await expectOperations(page, all);

    await page.getByRole("searchbox").fill("marmalade");
    await expectOperations(page, ["GET /orders"]);
    expect(new URL(page.url()).searchParams.get("q")).toBe("marmalade");
  });

  test("a filter that finds nothing says which condition is in the way; one that makes no sense says so", async () => {
    const page = await pages.open("/?service=orders&user=nobody");
    await page.getByText("No trace matches these filters").waitFor();
    await page
      .getByRole("button", { name: /nobody/ })
      .last()
      .click();
    await expectOperations(page, ["GET /orders", "GET /nowhere"]);
    const other = await pages.open("/?min=soon");
    expect(await other.getByRole("alert").innerText()).toContain("min=soon is not a duration");
    await expectOperations(other, all);
  });

  test("a filter is saved under a name, used in another window, and deleted", async () => {
    const page = await pages.open("/?status=5xx");
    await page.getByRole("button", { name: "Saved" }).click();
    await page.getByRole("button", { name: "Save this filter" }).click();
    await page.getByRole("textbox", { name: "Name" }).fill("broken ones");
    await page.keyboard.press("Enter");
    await page.getByText("Saved as broken ones.").waitFor();
    const other = await pages.open("/");
    await other.getByRole("button", { name: "Saved" }).click();
    await other.getByRole("button", { name: "broken ones", exact: true }).click();
    await expectOperations(other, ["POST /pay"]);
    await other.getByRole("button", { name: "Saved" }).click();
    await other.getByRole("button", { name: "Delete the filter broken ones" }).click();
    await expect.poll(() => fetch(`${pages.url()}/api/saved-filters`).then((answer) => answer.json())).toEqual([]);
  });

  test("a request is shown while it is in flight, and is one row when its root arrives", async () => {
    const page = await pages.open("/?operation=slow");
    await page.getByText("No trace matches these filters").waitFor();
    await sendTrace(pages.url(), {
      traceId: "slow",
      spans: [{ id: "s2", parent: "s1", name: "SELECT slow", kind: 3, to: 20 }],
    });
    await expectOperations(page, ["SELECT slow"]);
    expect(await rowsOf(page).innerText()).toMatch(/in flight/i);
    await sendTrace(pages.url(), { traceId: "slow", spans: [{ id: "s1", name: "GET /slow", kind: 2, to: 400 }] });
    await expectOperations(page, ["GET /slow"]);
    expect(await rowsOf(page).innerText()).not.toMatch(/in flight/i);
  });

  test("what arrives between the first answer and the opening of the stream is shown", async () => {
    const page = await pages.open("/services");
    const openStream = await holdStream(page);
    await page.goto(`${pages.url()}/?service=between`);
    await page.getByText("No trace matches these filters").waitFor();
    await sendTrace(pages.url(), {
      traceId: "listed between",
      spans: [{ id: "between", name: "between", service: "between", to: 1 }],
    });
    openStream();
    await expectOperations(page, ["between"]);
  });

  test("paused it stands still, tells how many wait, and shows them when it goes on", async () => {
    const page = await pages.open("/?service=pausing");
    await page.getByText("No trace matches these filters").waitFor();
    const send = (name: string): Promise<string> =>
      sendTrace(pages.url(), { traceId: name, spans: [{ id: name, name, service: "pausing", to: 1 }] });
    await send("p one");
    await expectOperations(page, ["p one"]);
    await page.getByRole("button", { name: "Pause" }).click();
    await send("p two");
    await page.getByText("1 waiting").waitFor();
    expect(await operations(page)).toEqual(["p one"]);
    await page.getByRole("button", { name: /Resume/ }).click();
    await expectOperations(page, ["p one", "p two"]);
  });

  test("identical requests are grouped, and a group opens", async () => {
    for (let index = 0; index < 3; index++)
      await sendTrace(pages.url(), {
        traceId: `same ${index}`,
        spans: [{ id: `same${index}`, name: "GET /same", kind: 2, service: "same", to: 10 * (index + 1) }],
      });
    const page = await pages.open("/?service=same&group=1");
    await expectOperations(page, ["GET /same"]);
    expect(await rowsOf(page).locator(".cell-count").innerText()).toContain("3");
    await rowsOf(page).first().click();
    await expect.poll(() => rowsOf(page).count()).toBe(4);
  });

  test("what is listed leaves as a file, is cleared, and comes back from the file", async () => {
    const page = await pages.open("/?service=billing");
    await expectOperations(page, ["POST /pay"]);
    await page.getByRole("button", { name: "Data" }).click();
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("menuitem", { name: "Export the filtered traces" }).click(),
    ]);
    const file = await download.path();
    const exported = JSON.parse(readFileSync(file, "utf8")) as { resourceSpans: unknown[] };
    expect(exported.resourceSpans).toHaveLength(1);

    await page.getByRole("button", { name: "Data" }).click();
    await page.getByRole("menuitem", { name: /Clear everything/ }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Clear" }).click();
    await expect.poll(() => rowsOf(page).count()).toBe(0);
    const status = (await (await fetch(`${pages.url()}/api/status`)).json()) as { traceCount: number };
    expect(status.traceCount).toBe(0);

    await page.goto(pages.url());
    await page.getByRole("button", { name: "Data" }).click();
    const [chooser] = await Promise.all([
      page.waitForEvent("filechooser"),
      page.getByRole("menuitem", { name: /Import a file/ }).click(),
    ]);
    await chooser.setFiles(file);
    await expectOperations(page, ["POST /pay"]);
  });
});
