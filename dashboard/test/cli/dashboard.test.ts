import { chmodSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { repositoryRoot } from "../../../test/support/built.ts";
import type { Status } from "../../src/model/api.ts";
import {
  buildBoth,
  dashboardFile,
  ended,
  freePort,
  isUp,
  makeProject,
  sendTrace,
  startDashboard,
  tracekit,
  tracesOf,
} from "./support.ts";

beforeAll(buildBoth, 300_000);

const statusOf = async (url: string): Promise<Status> => (await (await fetch(`${url}/api/status`)).json()) as Status;

describe("tracekit dashboard", () => {
  test("says where the page is, where it receives and what it keeps, and serves the page", async () => {
    const cwd = makeProject();
    const { app, url } = await startDashboard([], { cwd });
    await app.waitForLine(/Ctrl-C ends it/);
    expect(app.stdout).toContain(`  receives  OTLP over HTTP and gRPC on ${url}`);
    expect(app.stdout).toContain(
      `  keeps     ${join(cwd, ".tracekit/traces.db")} (0 traces so far, at most 512 MB and 7d)`,
    );
    expect(app.stdout).toContain(`OTEL_EXPORTER_OTLP_ENDPOINT=${url} <any command>`);
    const page = await fetch(url);
    expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect(await page.text()).toContain("app.js");
    expect(app.stderr).toBe("");
  });

  test.each(["SIGINT", "SIGTERM"] as const)(
    "%s ends it with exit code 0, and what it kept is there again",
    async (signal) => {
      const cwd = makeProject({ "sub.txt": "" });
      const first = await startDashboard([], { cwd });
      const traceId = await sendTrace(first.url);
      expect(await first.app.kill(signal)).toEqual({ code: 0, signal: null });

      mkdirSync(join(cwd, "deep/er"), { recursive: true });
      const second = await startDashboard([], { cwd: join(cwd, "deep/er") });
      expect(await tracesOf(second.url, (traces) => traces.length > 0)).toMatchObject([{ traceId }]);
      expect(second.app.stdout).toContain("(1 trace so far");
    },
  );

  test("says once that metrics are not kept, and their sender is not bothered", async () => {
    const { app, url } = await startDashboard();
    await app.waitForLine(/Ctrl-C ends it/);
    for (let i = 0; i < 3; i++) expect((await fetch(`${url}/v1/metrics`, { method: "POST" })).status).toBe(200);
    await app.waitForLine(/metrics, which are not kept/);
    await app.kill("SIGINT");
    expect(app.stdout.match(/metrics/g)).toHaveLength(1);
  });

  test("keeps its folder out of git", async () => {
    const cwd = makeProject();
    await startDashboard([], { cwd });
    expect(readFileSync(join(cwd, ".tracekit/.gitignore"), "utf8")).toBe("*\n");
  });

  test("--memory leaves nothing behind", async () => {
    const cwd = makeProject();
    const { app, url } = await startDashboard(["--memory"], { cwd });
    await sendTrace(url);
    await app.kill("SIGINT");
    expect(existsSync(join(cwd, ".tracekit"))).toBe(false);
    expect(app.stdout).toContain("keeps     in memory");
  });

  test("--store keeps elsewhere, and puts no .gitignore there", async () => {
    const cwd = makeProject();
    const { url } = await startDashboard(["--store", "elsewhere/x.db", "--max-size", "64MB"], { cwd });
    expect(await statusOf(url)).toMatchObject({ storePath: join(cwd, "elsewhere/x.db"), maxStoreBytes: 64 * 2 ** 20 });
    expect([existsSync(join(cwd, "elsewhere/.gitignore")), existsSync(join(cwd, ".tracekit"))]).toEqual([false, false]);
  });

  test("--quiet prints nothing", async () => {
    const port = String(await freePort());
    const app = tracekit(["dashboard", "--quiet", "--memory", "--port", port]);
    while (!(await isUp(`http://localhost:${port}`))) await sleep(50);
    expect(await app.kill("SIGINT")).toEqual({ code: 0, signal: null });
    expect(app.stdout + app.stderr).toBe("");
  });

  test("is what tracekit-dashboard does by itself", async () => {
    const app = tracekit(["--memory", "--port", "0"], { file: dashboardFile });
    await app.waitForLine(/^ {2}page/);
    await app.waitForLine(/npx @tracekit\/dashboard dev --port \d+ -- node app\.js/);
  });

  test("with a token answers only those who show it", async () => {
    const { app, url } = await startDashboard(["--memory"], { env: { TRACEKIT_DASHBOARD_TOKEN: "s3cret word" } });
    expect(app.stdout).toContain(`${url}/?token=s3cret%20word\n`);
    expect(app.stdout).not.toContain("Bearer s3cret");
    expect((await fetch(`${url}/api/status`)).status).toBe(401);
    const headers = { authorization: "Bearer s3cret word" };
    expect((await fetch(`${url}/api/status`, { headers })).status).toBe(200);
  });
});

describe("what is in its way is said with the way out, and exit code 1:", () => {
  test("another dashboard on the port", async () => {
    const cwd = makeProject();
    const { port, url } = await startDashboard([], { cwd });
    const { code, stderr } = await ended(["dashboard", "--port", String(port)]);
    expect(code).toBe(1);
    expect(stderr).toContain(`a Tracekit dashboard runs already: ${url}, ${join(cwd, ".tracekit/traces.db")}`);
    expect(stderr).toContain(`tracekit dashboard --port ${port + 1}`);
  });

  test("another dashboard that wants a token", async () => {
    const { port } = await startDashboard(["--memory", "--token", "secret"]);
    const { code, stderr } = await ended(["dashboard", "--port", String(port)]);
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining("runs already") as string });
  });

  test.each([
    ["answers something else", (response: { end(text: string): void }) => response.end("hello")],
    ["never answers", () => {}],
  ])("another program on the port that %s", async (_, answer) => {
    const server = createServer((_request, response) => answer(response));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close().closeAllConnections());
    const { port } = server.address() as AddressInfo;
    const { code, stderr } = await ended(["dashboard", "--port", String(port)]);
    expect(code).toBe(1);
    expect(stderr).toContain(`port ${port} is taken by another program`);
    expect(stderr).toContain(`tracekit dashboard --port ${port + 1}`);
  });

  test("another process that has the store", async () => {
    const cwd = makeProject();
    const { app } = await startDashboard([], { cwd });
    const { code, stderr } = await ended(["dashboard", "--port", "0"], { cwd });
    expect(code).toBe(1);
    expect(stderr).toMatch(/--store|--memory/);
    expect(stderr).not.toMatch(/^ +at /m);
    expect(app.child.exitCode).toBeNull();
  });

  test("a store that is none", async () => {
    const cwd = makeProject({
      "notes.db": "this is not a database, but it is long enough to look like one.".repeat(100),
    });
    const { code, stderr } = await ended(["dashboard", "--port", "0", "--store", "notes.db"], { cwd });
    expect(code).toBe(1);
    expect(stderr).toContain("notes.db");
    expect(stderr).not.toContain("this is a bug");
    expect(readFileSync(join(cwd, "notes.db"), "utf8")).toContain("this is not a database");
  });

  test("a folder that cannot be made", async () => {
    const cwd = makeProject({ ".tracekit": "a file" });
    const { code, stderr } = await ended(["dashboard", "--port", "0"], { cwd });
    expect(code).toBe(1);
    expect(stderr).toMatch(/\.tracekit cannot be made: .*\n.*--store <file>, or --memory/);
  });

  test.runIf(process.getuid?.() !== 0)("a folder that cannot be written to", async () => {
    const cwd = makeProject();
    chmodSync(cwd, 0o555);
    onTestFinished(() => chmodSync(cwd, 0o755));
    const { code, stderr } = await ended(["dashboard", "--port", "0"], { cwd });
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining("--memory") as string });
  });

  test("an address that is not this machine's", async () => {
    const { code, stderr } = await ended([
      "dashboard",
      "--port",
      "0",
      "--host",
      "192.0.2.1",
      "--token",
      "x",
      "--memory",
    ]);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("192.0.2.1 is no address") as string,
    });
  });
});

test("never traces itself, when the whole shell is told to trace", { timeout: 60_000 }, async () => {
  const register = pathToFileURL(join(repositoryRoot, "dist/register.js")).href;
  const { url, port } = await startDashboard(["--memory"]);
  // Ours sends what it traces, if it does, to the first one.
  const traced = await startDashboard(["--memory"], {
    env: { NODE_OPTIONS: `--import ${register}`, OTEL_EXPORTER_OTLP_ENDPOINT: `http://localhost:${port}` },
  });
  for (let asked = 0; asked < 5; asked++) await statusOf(traced.url);
  await sendTrace(traced.url);
  expect(await traced.app.kill("SIGINT")).toEqual({ code: 0, signal: null });
  expect((await statusOf(url)).received).toMatchObject({ requests: 0, spans: 0 });
});

test("--until-unused ends five seconds after the last who watched", { timeout: 60_000 }, async () => {
  const { app, url } = await startDashboard(["--memory", "--until-unused"]);
  // Held until it is cancelled: fetch ends the connection of an answer that nobody holds any more.
  const watching = await fetch(`${url}/api/live`);
  await sleep(7000);
  expect(app.child.exitCode).toBeNull();
  await watching.body?.cancel();
  expect(await app.exited).toEqual({ code: 0, signal: null });
});
