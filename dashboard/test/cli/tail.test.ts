import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import type { App } from "../../../test/support/run-app.ts";
import { buildBoth, ended, freePort, sendTrace, startDashboard, tracekit } from "./support.ts";

const TIMEOUT = 60_000;

beforeAll(buildBoth, 300_000);

describe("tracekit tail", () => {
  let url: string;
  beforeEach(async () => {
    ({ url } = await startDashboard(["--memory"]));
  });

  /** Sends once tail is there: what came before is not printed. */
  async function tail(args: string[], env: Record<string, string> = {}): Promise<App> {
    const app = tracekit(["tail", "--url", url, ...args], { env });
    await app.waitForLine(/waiting for traces/);
    return app;
  }

  test(
    "prints a trace as a tree when it is complete, and ends at Ctrl-C with exit code 0",
    { timeout: TIMEOUT },
    async () => {
      const app = await tail([]);
      const traceId = await sendTrace(url, { name: "query", spanId: "c".repeat(16), parentSpanId: "b".repeat(16) });
      await sleep(500);
      await sendTrace(url, { name: "GET /cart", traceId });
      await app.waitForLine(/query/);
      expect(app.stdout).toMatch(/^GET \/cart \(20ms\).*\n└─ query \(20ms\).*\n\n$/);
      expect(await app.kill("SIGINT")).toEqual({ code: 0, signal: null });
      expect(app.stderr).toBe(`tracekit: waiting for traces at ${url}\n`);
    },
  );

  test.each([
    [["--service", "shop"]],
    [["--errors"]],
    [["--status", "error"]],
    [["--operation", "/CHECK"]],
    [["--min", "100ms"]],
    [["--user", "u_1"]],
    [["--attr", "tier=gold"]],
    [["--q", "gold"]],
    [["gold"]],
  ])("%j prints only what it lets through", { timeout: TIMEOUT }, async (args) => {
    const app = await tail([...args, "--count", "1"]);
    await sendTrace(url, { service: "other", name: "GET /other", millis: 5 });
    const attributes = { "user.id": "u_1", tier: "gold" };
    await sendTrace(url, { service: "shop", name: "GET /checkout", failed: true, millis: 200, attributes });
    expect(await app.exited).toEqual({ code: 0, signal: null });
    expect(app.stdout).toMatch(/^GET \/checkout \(200ms\).*✗ it broke$/m);
    expect(app.stdout).not.toContain("/other");
  });

  test("prints a trace again when spans come later", { timeout: TIMEOUT }, async () => {
    const app = await tail(["--count", "2"]);
    const traceId = await sendTrace(url, { name: "GET /cart" });
    await app.waitForLine(/GET \/cart/);
    await sendTrace(url, { traceId, name: "late", spanId: "c".repeat(16), parentSpanId: "b".repeat(16) });
    expect((await app.exited).code).toBe(0);
    expect(app.stdout).toMatch(/^GET \/cart[^\n]*\n\nGET \/cart[^\n]*\n└─ late/);
  });

  test("--json prints OTLP with every attribute, one trace a line", { timeout: TIMEOUT }, async () => {
    const app = await tail(["--json", "--count", "2"]);
    await sendTrace(url, { name: "one", attributes: { tier: "gold" } });
    await sendTrace(url, { name: "two" });
    expect((await app.exited).code).toBe(0);
    const lines = app.stdout
      .trimEnd()
      .split("\n")
      .toSorted((a, b) => b.length - a.length);
    const span = { name: "one", attributes: [{ key: "tier", value: { stringValue: "gold" } }] };
    expect(lines).toHaveLength(2);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] });
  });

  test.each([
    [{ FORCE_COLOR: "1" }, true],
    [{ FORCE_COLOR: "1", NO_COLOR: "1" }, false],
    [{}, false],
  ])("with %j has colours: %s", { timeout: TIMEOUT }, async (env, expected) => {
    const app = await tail(["--count", "1"], env);
    await sendTrace(url);
    await app.exited;
    expect(app.stdout.includes("\x1b[")).toBe(expected);
  });

  test("ends quietly when nobody reads it any more", { timeout: TIMEOUT }, async () => {
    const app = await tail([]);
    app.child.stdout?.destroy();
    await sendTrace(url);
    expect(await app.exited).toEqual({ code: 0, signal: null });
    expect(app.stderr).toBe(`tracekit: waiting for traces at ${url}\n`);
  });
});

test("goes on when the dashboard is started again", { timeout: TIMEOUT }, async () => {
  const port = String(await freePort());
  const url = `http://localhost:${port}`;
  const start = async (): Promise<App> => {
    const app = tracekit(["dashboard", "--memory", "--port", port]);
    await app.waitForLine(/Ctrl-C ends it/);
    return app;
  };
  const dashboard = await start();
  const app = tracekit(["tail", "--url", url, "--count", "1"]);
  await app.waitForLine(/waiting for traces/);
  await dashboard.kill("SIGINT");
  await app.waitForLine(/the dashboard is gone; waiting for it/);
  await start();
  await app.waitForLine(/the dashboard is back/);
  await sendTrace(url, { name: "GET /after" });
  expect(await app.exited).toEqual({ code: 0, signal: null });
  expect(app.stdout).toContain("GET /after");
});

test(
  "prints what arrived after the dashboard's restart and before it was back itself",
  { timeout: TIMEOUT },
  async () => {
    const seen = { traceId: "a".repeat(32), hasRoot: true, spanCount: 1, arrivedAt: Date.now() + 60_000 };
    const missed = { ...seen, traceId: "b".repeat(32), arrivedAt: seen.arrivedAt + 1 };
    const old = { ...seen, traceId: "c".repeat(32), arrivedAt: 0 };
    let connections = 0;
    const server = createServer(({ url = "" }, response) => {
      if (url.startsWith("/api/live")) {
        response.write(": hello\n\n");
        if (++connections > 1) return;
        response.write(`event: traces\ndata: ${JSON.stringify([seen])}\n\n`);
        setTimeout(() => response.destroy(), 100);
      } else if (url.startsWith("/api/traces")) response.end(JSON.stringify({ traces: [missed, seen, old] }));
      else response.end(JSON.stringify({ asked: url }));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close().closeAllConnections());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { code, stdout } = await ended(["tail", "--url", url, "--json", "--count", "2"]);
    expect({ code, asked: stdout.match(/(?<=trace=)./g)?.toSorted() }).toEqual({ code: 0, asked: ["a", "b"] });
  },
);

test("asks for what the stream left out, when it is told that it did", { timeout: TIMEOUT }, async () => {
  const trace = { traceId: "a".repeat(32), hasRoot: true, spanCount: 1, arrivedAt: Date.now() + 60_000 };
  const old = { ...trace, traceId: "b".repeat(32), arrivedAt: 0 };
  const asked: string[] = [];
  const server = createServer(({ url = "" }, response) => {
    asked.push(url);
    if (url.startsWith("/api/live")) response.write("event: resync\ndata: {}\n\n");
    else response.end(JSON.stringify(url.startsWith("/api/traces") ? { traces: [trace, old] } : { resourceSpans: [] }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close().closeAllConnections());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { code, stdout } = await ended(["tail", "--url", url, "--json", "--count", "1", "--service", "shop"]);
  expect({ code, stdout }).toEqual({ code: 0, stdout: '{"resourceSpans":[]}\n' });
  expect(asked).toEqual([
    "/api/live?service=shop",
    "/api/traces?limit=1000&service=shop",
    `/api/export?trace=${trace.traceId}`,
  ]);
});

test("says how to start the dashboard when none runs", { timeout: TIMEOUT }, async () => {
  const url = `http://localhost:${await freePort()}`;
  expect(await ended(["tail", "--url", url])).toEqual({
    code: 1,
    signal: null,
    stdout: "",
    stderr: `tracekit: no dashboard runs at ${url}. Start one:\n  tracekit dashboard\n`,
  });
});

test("asks for the token where one is needed, and takes it", { timeout: TIMEOUT }, async () => {
  const { url } = await startDashboard(["--memory", "--token", "s3cret"]);
  const { code, stderr } = await ended(["tail", "--url", url]);
  expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining("--token") as string });
  const app = tracekit(["tail", "--url", url], { env: { TRACEKIT_DASHBOARD_TOKEN: "s3cret" } });
  await app.waitForLine(/waiting for traces/);
});
