import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { repositoryRoot } from "../../../test/support/built.ts";
import { cleanEnvironment, signalGroup } from "../../../test/support/started.ts";
import {
  buildBoth,
  ended,
  freePort,
  isUp,
  makeProject,
  startDashboard,
  tracekit,
  tracesOf,
  untilDown,
} from "./support.ts";

const TIMEOUT = 90_000;
const node = process.env["TRACEKIT_TEST_NODE"] || process.execPath;

/** One request to itself, then the end. */
const REQUEST = `
const server = http.createServer((request, response) => response.end("hello"));
server.listen(0, () => http.get({ port: server.address().port, path: "/" }, (response) => {
  response.resume().on("end", () => { console.log("done"); server.close(); server.closeAllConnections(); });
}));`;

const apps: Record<string, string> = {
  "app.cjs": `const http = require("node:http");${REQUEST}`,
  "app.mjs": `import http from "node:http";${REQUEST}`,
  "app.ts": `import http from "node:http";import type { Server } from "node:http";let typed: Server;${REQUEST}`,
  "package.json": JSON.stringify({ name: "project", private: true, scripts: { start: `${node} app.cjs` } }),
};

beforeAll(buildBoth, 300_000);

describe("tracekit dev", () => {
  let cwd: string;
  let url: string;
  let port: string;
  beforeEach(async () => {
    const dashboard = await startDashboard(["--memory"]);
    ({ url } = dashboard);
    port = String(dashboard.port);
    cwd = makeProject(apps);
  });
  const dev = (words: string[], env?: Record<string, string>): ReturnType<typeof ended> =>
    ended(["dev", "--port", port, "--", ...words], { cwd, ...(env && { env }) });

  test.each([
    ["CommonJS", [node, "app.cjs"]],
    ["an ES module", [node, "app.mjs"]],
    ["TypeScript through tsx", [join(repositoryRoot, "node_modules/.bin/tsx"), "app.ts"]],
    [
      "TypeScript through Node and tsx's loader",
      [node, "--import", pathToFileURL(join(repositoryRoot, "node_modules/tsx/dist/loader.mjs")).href, "app.ts"],
    ],
    ["an npm script", ["npm", "--silent", "start"]],
  ])("shows the request of %s, whose output is its own", { timeout: TIMEOUT }, async (_, words) => {
    expect(await dev(words)).toEqual({
      code: 0,
      signal: null,
      stdout: "done\n",
      stderr: `tracekit: traces of this command: ${url}\n`,
    });
    const [trace] = await tracesOf(url, (traces) => traces.some(({ spanCount }) => spanCount === 2));
    expect(trace).toMatchObject({ service: "project", operation: "GET", services: ["project"] });
  });

  test("passes the exit code on", { timeout: TIMEOUT }, async () => {
    expect(await dev([node, "-e", "process.exit(42)"])).toMatchObject({ code: 42, signal: null });
  });

  test("ends of the signal its command ended of", { timeout: TIMEOUT }, async () => {
    expect(await dev([node, "-e", "process.kill(process.pid, 'SIGKILL')"])).toMatchObject({ signal: "SIGKILL" });
  });

  test.each(["SIGTERM", "SIGINT", "SIGHUP"] as const)(
    "hands %s on, and waits",
    { timeout: TIMEOUT },
    async (signal) => {
      const code = `process.on("${signal}", () => setTimeout(() => { console.log("bye"); process.exit(5); }, 300));
      console.log("up"); setInterval(() => {}, 1000);`;
      const app = tracekit(["dev", "--port", port, node, "-e", code], { cwd });
      await app.waitForLine(/^up$/);
      expect(await app.kill(signal)).toEqual({ code: 5, signal: null });
      expect(app.stdout).toBe("up\nbye\n");
    },
  );

  test("a command that does not exist is 127", { timeout: TIMEOUT }, async () => {
    const { code, stderr } = await dev(["no-such-program"]);
    expect({ code, stderr }).toMatchObject({
      code: 127,
      stderr: expect.stringMatching(/no-such-program cannot be started/) as string,
    });
  });

  test("leaves alone where the user sends traces to, and says so", { timeout: TIMEOUT }, async () => {
    const print = "console.log(process.env.OTEL_EXPORTER_OTLP_ENDPOINT, process.env.OTEL_EXPORTER_OTLP_PROTOCOL)";
    const { stdout, stderr } = await dev([node, "-e", print], { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1" });
    expect(stdout).toBe("http://127.0.0.1:1 undefined\n");
    expect(stderr).toContain("traces go to http://127.0.0.1:1 and not to the dashboard");
  });

  test("sets what SDKs of any language read, and adds to NODE_OPTIONS", { timeout: TIMEOUT }, async () => {
    const print = "console.log(JSON.stringify(process.env))";
    const { stdout } = await dev([node, "-e", print], {
      NODE_OPTIONS: "--no-deprecation",
      OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
    });
    expect(JSON.parse(stdout)).toMatchObject({
      NODE_OPTIONS: `--no-deprecation --import ${pathToFileURL(join(repositoryRoot, "dist/register.js")).href}`,
      OTEL_EXPORTER_OTLP_ENDPOINT: url,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
    });
  });

  test("in a shell that is told to trace, the command still is and dev is not", { timeout: TIMEOUT }, async () => {
    const register = pathToFileURL(join(repositoryRoot, "dist/register.js")).href;
    const { stdout } = await dev([node, "-p", "JSON.stringify(process.env)"], { NODE_OPTIONS: `--import ${register}` });
    const env = JSON.parse(stdout) as Record<string, string>;
    expect(env["NODE_OPTIONS"]).toBe(`--import ${register}`);
    expect([env["OTEL_SDK_DISABLED"], env["TRACEKIT_WAS_DISABLED"]]).toEqual([undefined, undefined]);
    await dev([node, "app.cjs"], { NODE_OPTIONS: `--import ${register}` });
    const traces = await tracesOf(url, (found) => found.some(({ spanCount }) => spanCount === 2));
    expect(traces.map(({ services }) => services)).toEqual([["project"]]);
  });
});

describe("tracekit dev with no dashboard running", () => {
  test("starts one, which several share, and which ends after the last of them", { timeout: TIMEOUT }, async () => {
    const cwd = makeProject(apps);
    const port = await freePort();
    const url = `http://localhost:${port}`;
    const wait = [node, "-e", "console.log('up'); setInterval(() => {}, 1000)"];
    // Both at once: one of them starts it.
    const first = tracekit(["dev", "--port", String(port), "--", ...wait], { cwd });
    const second = tracekit(["dev", "--port", String(port), "--", ...wait], { cwd: makeProject() });
    await Promise.all([first.waitForLine(/^up$/), second.waitForLine(/^up$/)]);
    expect([first.stderr, second.stderr]).toEqual(Array(2).fill(`tracekit: traces of this command: ${url}\n`));
    await ended(["dev", "--port", String(port), "--", node, "app.cjs"], { cwd });
    await tracesOf(url, (traces) => traces.length === 1);

    signalGroup(first.pid, "SIGKILL");
    await first.exited;
    // Longer than it waits for anybody.
    await new Promise((resolve) => setTimeout(resolve, 7000));
    expect(await isUp(url)).toBe(true);
    await second.kill("SIGTERM");
    await untilDown(url);
  });

  test("starts another when the one that answered was just about to end", { timeout: TIMEOUT }, async () => {
    const port = await freePort();
    const server = createServer((request, response) => {
      if (request.url !== "/api/status") return;
      response.end(JSON.stringify({ version: "0.1.0", received: {} }));
      response.on("close", () => void server.close().closeAllConnections());
    });
    await new Promise<void>((resolve) => server.listen(port, resolve));
    onTestFinished(() => void server.close().closeAllConnections());
    const args = ["dev", "--memory", "--port", String(port), "--", node, "app.cjs"];
    expect(await ended(args, { cwd: makeProject(apps) })).toMatchObject({ code: 0, stdout: "done\n" });
    await tracesOf(`http://localhost:${port}`, (traces) => traces.length === 1);
    await untilDown(`http://localhost:${port}`);
  });

  test("keeps in the project's folder, where its log is too", { timeout: TIMEOUT }, async () => {
    const cwd = makeProject(apps);
    const port = String(await freePort());
    await ended(["dev", "--port", port, "--", node, "app.cjs"], { cwd });
    await tracesOf(`http://localhost:${port}`, (traces) => traces.length === 1);
    expect(readFileSync(join(cwd, ".tracekit/dashboard.log"), "utf8")).toBe("");
    await untilDown(`http://localhost:${port}`);
    const { url } = await startDashboard([], { cwd });
    await tracesOf(url, (traces) => traces.length === 1);
  });

  test("with a port that is taken says so, and does not run the command", { timeout: TIMEOUT }, async () => {
    const server = createServer((_, response) => response.end("hello"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close().closeAllConnections());
    const { port } = server.address() as AddressInfo;
    const { code, stdout, stderr } = await ended([
      "dev",
      "--port",
      String(port),
      "--",
      node,
      "-e",
      "console.log('ran')",
    ]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain(`port ${port} is taken by another program`);
  });

  test("with a store that is none says what the dashboard said", { timeout: TIMEOUT }, async () => {
    const cwd = makeProject();
    writeFileSync(join(cwd, "notes.db"), "not a database".repeat(1000));
    const port = String(await freePort());
    const { code, stderr } = await ended(["dev", "--port", port, "--store", "notes.db", "--", "true"], { cwd });
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining("notes.db") as string });
  });
});

test("tracekit run passes exit codes and signals on as well", { timeout: TIMEOUT }, async () => {
  expect(await ended(["run", "--", node, "-e", "process.exit(9)"])).toMatchObject({ code: 9 });
  const app = tracekit(["run", "--", node, "-e", "console.log('up'); setInterval(() => {}, 1000)"]);
  await app.waitForLine(/^up$/);
  expect(await app.kill("SIGINT")).toMatchObject({ signal: "SIGINT" });
  expect(await ended(["run", "--", "no-such-program"], { env: cleanEnvironment() })).toMatchObject({ code: 127 });
});
