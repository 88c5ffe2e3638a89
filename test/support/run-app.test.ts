import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, expect, test, vi } from "vitest";
import { withLock } from "./lock.ts";
import { runApp, startApp } from "./run-app.ts";

const folders: string[] = [];
afterEach(() => {
  vi.unstubAllEnvs();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** A folder in which `@tracekit/auto` is installed; its preload says how it was loaded. */
function installFakePackage(): string {
  const folder = mkdtempSync(join(tmpdir(), "tracekit-fake-"));
  folders.push(folder);
  const packageFolder = join(folder, "node_modules/@tracekit/auto");
  mkdirSync(packageFolder, { recursive: true });
  writeFileSync(join(packageFolder, "package.json"), '{"name":"@tracekit/auto","main":"register.js"}');
  writeFileSync(join(packageFolder, "register.js"), 'console.log("preload", JSON.stringify(process.execArgv))');
  return folder;
}

test.each([
  ["import", "esm", '["--import","@tracekit/auto"]'],
  ["require", "cjs", '["--require","@tracekit/auto"]'],
  ["node-options", "esm", "[]"],
] as const)("preloads the package with %s", async (preload, type, execArgv) => {
  vi.stubEnv("TRACEKIT_TEST_PACKAGE_DIR", installFakePackage());
  const { code, stdout } = await runApp({
    preload,
    type,
    code: 'console.log("app", process.env.NODE_OPTIONS)',
  });
  expect(code).toBe(0);
  expect(stdout).toMatch(
    `preload ${execArgv}\napp ${preload === "node-options" ? "--import @tracekit/auto" : "undefined"}`,
  );
});

test("finds the package from a working directory outside its folder", async () => {
  vi.stubEnv("TRACEKIT_TEST_PACKAGE_DIR", installFakePackage());
  for (const preload of ["import", "require"] as const) {
    const { stdout } = await runApp({ preload, cwd: tmpdir(), code: "" });
    expect(stdout).toMatch(/^preload /);
  }
});

test("gives the app a clean environment, its arguments, and the repository's packages", async () => {
  vi.stubEnv("OTEL_SERVICE_NAME", "leaked");
  const { stdout } = await runApp({
    preload: "none",
    env: { MINE: "1" },
    args: ["a b"],
    nodeArgs: ["--no-warnings"],
    files: { "lib/pg.mjs": 'export { default } from "pg"' },
    code: `
      import pg from "./lib/pg.mjs";
      console.log(JSON.stringify([Object.keys(process.env).sort(), process.argv.slice(2), process.execArgv, typeof pg.Client]));`,
  });
  expect(JSON.parse(stdout)).toEqual([["HOME", "MINE", "PATH"], ["a b"], ["--no-warnings"], "function"]);
});

test("runs the Node that TRACEKIT_TEST_NODE names", async () => {
  vi.stubEnv("TRACEKIT_TEST_NODE", "/nonexistent/node");
  const app = startApp({ preload: "none", code: "" });
  await expect(app.port()).rejects.toThrow("it did not start: spawn /nonexistent/node ENOENT");
});

test("waits for lines and the port, and tells how the app ended", async () => {
  const app = startApp({
    preload: "none",
    type: "cjs",
    code: `
      process.on("SIGTERM", () => { console.error("bye"); process.exit(7); });
      setTimeout(() => process.stdout.write("listening 12"), 50);
      setTimeout(() => process.stdout.write("34\\n"), 150);
      setInterval(() => {}, 1000);`,
  });
  expect(await app.port()).toBe(1234);
  const never = app.waitForLine(/never/);
  expect(await app.kill()).toEqual({ code: 7, signal: null });
  await expect(never).rejects.toThrow(/it ended with code 7\n--- stdout ---\nlistening 1234\n\n--- stderr ---\nbye/);
  expect((await app.waitForLine(/bye/))[0]).toBe("bye");
  expect(existsSync(app.child.spawnargs.at(-1) ?? "")).toBe(false);
});

test("kills an app that runs too long, and shows what it said", async () => {
  const run = runApp({
    preload: "none",
    timeoutMillis: 1500,
    code: 'console.log("busy"); setInterval(() => {}, 1000)',
  });
  await expect(run).rejects.toThrow(/longer than 1500 ms\n--- stdout ---\nbusy/);
});

test("nothing that was started outlives a killed parent", async () => {
  const parent = startApp({
    preload: "none",
    nodeArgs: ["--import", "tsx"],
    code: `
      import { startApp } from ${JSON.stringify(join(import.meta.dirname, "run-app.ts"))};
      const app = startApp({ preload: "none", type: "cjs", code: \`
        const child = require("node:child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
        console.log("grandchild " + child.pid);\` });
      const [, grandchild] = await app.waitForLine(/grandchild (\\d+)/);
      console.log("started", app.pid, grandchild, app.child.spawnargs.at(-1));`,
  });
  const [, ...started] = await parent.waitForLine(/started (\d+) (\d+) (.+)/, 60_000);
  await parent.kill("SIGKILL");
  const [appPid, grandchildPid, file] = started as [string, string, string];
  await expect.poll(() => isRunning(appPid), { timeout: 10_000 }).toBe(false);
  await expect.poll(() => isRunning(grandchildPid), { timeout: 10_000 }).toBe(false);
  await expect.poll(() => existsSync(file), { timeout: 10_000 }).toBe(false);
});

async function isRunning(pid: string): Promise<boolean> {
  // "Z": dead, but nobody in a container without an init has asked for its exit code.
  const { stdout } = await promisify(execFile)("ps", ["-o", "stat=", "-p", pid]).catch(() => ({
    stdout: "",
  }));
  return stdout.trim() !== "" && !stdout.startsWith("Z");
}

test("a lock is held by one, and released by an error", async () => {
  const events: string[] = [];
  const hold = (id: string) => async (): Promise<void> => {
    events.push(`+${id}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    events.push(`-${id}`);
    throw new Error(id);
  };
  const name = `test ${process.pid}`;
  await Promise.allSettled([withLock(name, hold("a")), withLock(name, hold("b")), withLock(name, hold("c"))]);
  expect(events.map((event) => event[0]).join("")).toBe("+-+-+-");
});
