import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { repositoryRoot } from "../../../test/support/built.ts";
import { buildBoth, ended, freePort, startDashboard, tracekit, tracesOf, untilDown } from "./support.ts";

const TIMEOUT = 90_000;

/** A project outside the repository with both packages installed from what npm would publish. */
let project: string;

beforeAll(async () => {
  await buildBoth();
  project = mkdtempSync(join(tmpdir(), "tracekit-packed-"));
  writeFileSync(join(project, "package.json"), '{ "name": "my-app", "version": "1.0.0", "private": true }');
  writeFileSync(
    join(project, "app.cjs"),
    `const http = require("node:http");
    const server = http.createServer((request, response) => response.end("hello"));
    server.listen(0, () => http.get({ port: server.address().port }, (response) => {
      response.resume().on("end", () => { server.close(); server.closeAllConnections(); process.exitCode = 3; });
    }));`,
  );
  const packages = [repositoryRoot, join(repositoryRoot, "dashboard")].map((folder) => {
    const [packed] = JSON.parse(npm(["pack", "--json", "--ignore-scripts", "--pack-destination", project], folder)) as [
      { filename: string },
    ];
    return join(project, packed.filename);
  });
  npm(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--save-dev", ...packages], project);
}, 300_000);

afterAll(() => rmSync(project, { recursive: true, force: true }));

function npm(args: readonly string[], cwd: string): string {
  return execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

const command = (name: string): string => join(project, "node_modules/.bin", name);

describe("both packages, installed", () => {
  test("tracekit dev runs the application and shows its trace", { timeout: TIMEOUT }, async () => {
    const port = await freePort();
    const url = `http://localhost:${port}`;
    const file = command("tracekit");
    const result = await ended(["dev", "--memory", "--port", String(port), "--", "node", "app.cjs"], {
      cwd: project,
      file,
    });
    expect(result).toEqual({ code: 3, signal: null, stdout: "", stderr: `tracekit: traces of this command: ${url}\n` });
    const [trace] = await tracesOf(url, (traces) => traces.some(({ spanCount }) => spanCount === 2));
    expect(trace).toMatchObject({ service: "my-app", operation: "GET" });
    await untilDown(url);
  });

  test("the page and all it needs are served", { timeout: TIMEOUT }, async () => {
    const { url } = await startDashboard(["--memory"], { cwd: project, file: command("tracekit") });
    const page = await (await fetch(url)).text();
    const files = Array.from(page.matchAll(/(?:src|href)="(\/[^"]+)"/g), ([, path]) => path as string);
    expect(files.length).toBeGreaterThanOrEqual(2);
    for (const path of files) expect((await fetch(url + path)).status, path).toBe(200);
  });

  test(
    "tracekit-dashboard is the dashboard by itself, and finds @tracekit/auto for dev",
    { timeout: TIMEOUT },
    async () => {
      const file = command("tracekit-dashboard");
      const app = tracekit(["--memory", "--port", "0"], { cwd: project, file });
      const [, port = ""] = await app.waitForLine(/^ {2}page +http:\/\/localhost:(\d+)/);
      expect(await ended(["dev", "--port", port, "--", "node", "app.cjs"], { cwd: project, file })).toMatchObject({
        code: 3,
      });
      await tracesOf(`http://localhost:${port}`, (traces) => traces.length === 1);
    },
  );

  test("the dashboard ships what it needs and nothing else, and installs no scripts", () => {
    const folder = join(project, "node_modules/@tracekit/dashboard");
    expect(readdirSync(folder).toSorted()).toEqual(["LICENSE", "README.md", "dist", "package.json"]);
    const packages = JSON.parse(npm(["query", ":root *"], project)) as Array<{ scripts?: Record<string, string> }>;
    const scripted = packages.filter(({ scripts = {} }) =>
      ["preinstall", "install", "postinstall"].some((name) => name in scripts),
    );
    expect(scripted).toEqual([]);
  });
});
