import type { Locator, Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { usePages } from "./pages.ts";
import { idOf, sendLog, type SentSpan, sendTrace } from "./sent-spans.ts";

const pages = usePages();

const hostile = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;

const spans: readonly SentSpan[] = [
  {
    id: "http",
    name: "POST /orders/:id",
    kind: 2,
    to: 300,
    failed: "out of stock",
    attributes: {
      "http.request.method": "POST",
      "http.response.status_code": 409,
      "http.route": "/orders/:id",
      "url.scheme": "http",
      "url.path": "/orders/7",
      "url.query": "gift=yes",
      "server.address": "shop.example",
      "server.port": 8080,
      "http.request.header.authorization": ["REDACTED"],
      "http.request.header.content-type": ["application/json"],
      "http.request.body.content": '{"items":[{"sku":"tea","count":2}],"note":"it\'s urgent"}',
      "http.response.body.content": '{"error":"out of stock"}',
      "user.id": "u_7",
    },
    exception: {
      type: "StockError",
      message: "out of stock",
      stacktrace: `StockError: out of stock\n    at reserve (${import.meta.filename}:4:7)\n    at run (node:internal/process:1:2)`,
    },
  },
  {
    id: "sql",
    parent: "http",
    name: "INSERT orders",
    kind: 3,
    from: 10,
    to: 30,
    failed: "duplicate key",
    attributes: {
      "db.system.name": "postgresql",
      "db.namespace": "shop",
      "db.query.text": "INSERT INTO orders (id, note, paid) VALUES ($1, $2, $3)",
      "db.query.parameter.0": "7",
      "db.query.parameter.1": "it's urgent",
      "db.query.parameter.2": "true",
      "db.response.status_code": "23505",
      "tracekit.db.affected_rows": 0,
    },
  },
  {
    id: "redacted",
    parent: "http",
    name: "UPDATE users",
    kind: 3,
    from: 31,
    to: 32,
    attributes: {
      "db.system.name": "postgresql",
      "db.query.text": "UPDATE users SET password = $1 WHERE id = $2",
      "db.query.parameter.0": "REDACTED",
      "db.query.parameter.1": "7",
    },
  },
  {
    id: "cache",
    parent: "http",
    name: "GET",
    kind: 3,
    from: 40,
    to: 41,
    attributes: {
      "db.system.name": "redis",
      "cache.operation": "get",
      "cache.key": ["stock:tea"],
      "cache.hit": false,
      "cache.ttl": 3600,
    },
  },
  {
    id: "call",
    parent: "http",
    name: "GET",
    kind: 3,
    from: 50,
    to: 150,
    attributes: {
      "http.request.method": "GET",
      "url.full": "https://stock.example/tea?fresh=1",
      "server.address": "stock.example",
      "http.response.status_code": 200,
      "tracekit.http.phase.dns": 5,
      "tracekit.http.phase.connect": 10,
      "tracekit.http.phase.ttfb": 60,
      "tracekit.http.phase.body": 20,
    },
  },
  {
    id: "message",
    parent: "http",
    name: "send orders",
    kind: 4,
    from: 160,
    to: 165,
    attributes: {
      "messaging.system": "rabbitmq",
      "messaging.destination.name": "orders",
      "messaging.message.id": "m-17",
      "messaging.message.body.size": 9,
      "tracekit.messaging.body.content": '{"id":7}',
      "tracekit.messaging.delivery_attempt": 2,
      "tracekit.messaging.queue_time_ms": 12,
    },
  },
  {
    id: "counted",
    parent: "message",
    service: "warehouse",
    name: "count tea",
    kind: 5,
    from: 166,
    to: 167,
    links: [{ traceId: "details", spanId: "message" }],
    attributes: { "messaging.system": "rabbitmq" },
  },
  {
    id: "hostile",
    parent: "http",
    name: hostile,
    from: 170,
    to: 171,
    attributes: { [hostile]: hostile, "db.query.text": hostile },
  },
];

beforeAll(async () => {
  await sendTrace(pages.url(), { traceId: "details", spans });
  await sendLog(pages.url(), "details", "http", "only one tea left");
  await sendTrace(pages.url(), {
    traceId: "worker",
    spans: [
      {
        id: "handled",
        service: "worker",
        name: "process orders",
        kind: 5,
        to: 5,
        links: [{ traceId: "details", spanId: "message" }],
        attributes: { "messaging.system": "rabbitmq" },
      },
    ],
  });
});

const panelOf = (page: Page): Locator => page.getByRole("complementary", { name: "Span" });

/** Opens the span, and gives its panel once it is filled. */
async function openSpan(id: string): Promise<{ page: Page; panel: Locator; text: () => Promise<string> }> {
  const page = await pages.open(`/trace/${idOf("details", 32)}?span=${idOf(id)}`, {
    permissions: ["clipboard-read", "clipboard-write"],
  });
  const panel = panelOf(page);
  await panel.getByText("Ids and times").first().waitFor();
  return { page, panel, text: async () => (await panel.innerText()).replaceAll(/\s+/g, " ") };
}
const clipboard = (page: Page): Promise<string> => page.evaluate("navigator.clipboard.readText()");

describe("a span says what happened in the words of its kind:", () => {
  test("a statement, as it can be run and as it was sent, with parameters, rows and what the error code means", async () => {
    const { page, panel, text } = await openSpan("sql");
    expect(await text()).toMatch(/VALUES \('?7'?, 'it''s urgent', '?true'?\)/);
    expect(await text()).toMatch(/23505.*unique/i);
    expect(await text()).toMatch(/Rows affected 0/);
    await panel.getByRole("button", { name: "Copy runnable" }).click();
    await expect.poll(() => clipboard(page)).toMatch(/INSERT INTO[^]*'it''s urgent'/);
    await panel.getByText("As sent").click();
    expect(await text()).toContain("INSERT INTO orders (id, note, paid) VALUES ($1, $2, $3)");
  });

  test("a statement whose parameter is redacted cannot be run, and says why", async () => {
    const { panel, text } = await openSpan("redacted");
    expect(await text()).toMatch(/redacted/i);
    expect(await panel.getByRole("button", { name: "Copy runnable" }).count()).toBe(0);
  });

  test("a request and its response, bodies as trees, and as curl without what is redacted", async () => {
    const { page, panel, text } = await openSpan("http");
    expect(await text()).toMatch(/409 Conflict/);
    for (const part of ["/orders/7", "gift", "u_7", "sku", "tea", "out of stock"]) expect(await text()).toContain(part);
    await panel.getByRole("tree").first().waitFor();
    await panel.getByRole("button", { name: /curl/i }).first().click();
    await expect.poll(() => clipboard(page)).toMatch(/^curl /);
    const curl = await clipboard(page);
    expect(curl).toContain("shop.example:8080/orders/7?gift=yes");
    expect(curl).toContain(String.raw`it'\''s urgent`);
  });

  test("an exception with the lines of its source, a link to the editor, and its logs in place", async () => {
    const { panel, text } = await openSpan("http");
    expect(await text()).toContain("StockError");
    expect(await text()).toContain('import { usePages } from "./pages.ts";');
    const href = await panel
      .getByRole("link", { name: /span\.test\.ts|editor/i })
      .first()
      .getAttribute("href");
    expect(href).toMatch(/^vscode:\/\/file\/.*span\.test\.ts:4:7$/);
    expect(await text()).toContain("only one tea left");
  });

  test("a cache command with key, miss and time to live", async () => {
    const { text } = await openSpan("cache");
    expect(await text()).toMatch(/miss/i);
    expect(await text()).toContain("stock:tea");
    expect(await text()).toMatch(/3600\s?s|1\s?h|1 hour/);
  });

  test("a call's phases on the network", async () => {
    const { text } = await openSpan("call");
    expect(await text()).toMatch(/DNS.*5ms/i);
    expect(await text()).toMatch(/connect.*10ms/i);
    expect(await text()).toMatch(/60ms/);
    expect(await text()).toContain("stock.example");
  });

  test("a message with id, payload, attempt and queue time, and a way to who processed it", async () => {
    const { page, panel, text } = await openSpan("message");
    for (const part of ["m-17", "orders", "rabbitmq"]) expect(await text()).toContain(part);
    expect(await text()).toMatch(/attempt.*2/i);
    expect(await text()).toMatch(/12ms|12 ms/);
    const here = panel.getByRole("listitem").filter({ hasText: "count tea" });
    expect(await here.innerText()).toMatch(/Continues in\s+count tea\s+warehouse/);
    await panel.getByText("process orders").first().click();
    await page.waitForURL((url) => url.href.includes(idOf("worker", 32)) || url.href.includes(idOf("handled")));
  });

  test("whatever it holds is text: nothing of it is run", async () => {
    const { page, panel, text } = await openSpan("hostile");
    await panel.getByText("Attributes").last().click();
    expect(await text()).toContain("<img src=x");
    expect(await page.title()).not.toBe("owned");
    expect(await page.locator("img[src=x]").count()).toBe(0);
    for (const path of ["/", "/services", `/trace/${idOf("details", 32)}?view=flame`, "/?operation=img"]) {
      await page.goto(pages.url() + path);
      await page.waitForTimeout(300);
      expect(await page.locator("img[src=x]").count()).toBe(0);
      expect(await page.title()).not.toBe("owned");
    }
  });

  test("every attribute as it came, filtered by typing", async () => {
    const { panel, text } = await openSpan("sql");
    await panel.getByText("Attributes").last().click();
    await panel
      .getByRole("textbox", { name: /Filter: attributes/ })
      .or(panel.getByRole("searchbox", { name: /Filter: attributes/ }))
      .fill("affected");
    expect(await text()).toContain("tracekit.db.affected_rows");
    expect(await panel.getByRole("table", { name: "Attributes" }).innerText()).not.toContain("db.namespace");
  });
});

test("the services are a map and a table of the same; a service leads to its traces", async () => {
  const page = await pages.open("/services");
  const table = page.getByRole("table");
  await table.getByText("worker").waitFor();
  const text = (await table.innerText()).replaceAll(/\s+/g, " ");
  for (const part of ["shop", "postgresql/shop", "redis", "orders", "stock.example"]) expect(text).toContain(part);
  const map = page.getByRole("region", { name: "Map of services" });
  expect(await map.innerText()).toContain("stock.example");
  await table.getByRole("link", { name: "worker" }).click();
  await page.waitForURL(/service=worker/);
  await page.getByText("process orders").waitFor();
});
