import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Redis } from "ioredis";
import { Client } from "pg";
import { afterEach, expect, test, vi } from "vitest";
import { startApp } from "../support/run-app.ts";
import { startPostgres } from "./postgres.ts";
import { startRedis } from "./redis.ts";
import { makeScratchFolder, startServer } from "./service.ts";

afterEach(() => vi.unstubAllEnvs());

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client(url);
  await client.connect();
  const { rows } = await client.query<Record<string, unknown>>(sql);
  await client.end();
  return rows;
}

async function setAndGet(url: string): Promise<string | null> {
  const client = new Redis(url);
  await client.set("tracekit:test", "é");
  const value = await client.get("tracekit:test");
  await client.del("tracekit:test");
  client.disconnect();
  return value;
}

/** Command lines of running processes that name `text`. */
async function processes(text: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)("ps", ["-eo", "stat=,args="]);
  return stdout.split("\n").filter((line) => line.includes(text) && !line.startsWith("Z"));
}

test("the run has a PostgreSQL and a Redis", async () => {
  expect(await query(process.env["TRACEKIT_TEST_POSTGRES_URL"] ?? "", "SELECT 6 * 7 AS answer")).toEqual([
    { answer: 42 },
  ]);
  expect(await setAndGet(process.env["TRACEKIT_TEST_REDIS_URL"] ?? "")).toBe("é");
});

test("stop() leaves no process and no file, while clients are connected", async () => {
  vi.stubEnv("TRACEKIT_TEST_POSTGRES_URL", "");
  vi.stubEnv("TRACEKIT_TEST_REDIS_URL", "");
  const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);

  const sqlClient = new Client(postgres.url);
  sqlClient.on("error", () => {});
  await sqlClient.connect();
  const { rows } = await sqlClient.query<{ data_directory: string }>("SHOW data_directory");
  const cacheClient = new Redis(redis.url, { retryStrategy: () => null });
  cacheClient.on("error", () => {});
  const [, cacheFolder] = (await cacheClient.config("GET", "dir")) as [string, string];
  const folders = [rows[0]?.data_directory ?? "", cacheFolder];
  expect(folders.map(existsSync)).toEqual([true, true]);
  const ports = [postgres.url, redis.url].map((url) => new URL(url).port);
  for (const port of ports) expect(await processes(port)).not.toEqual([]);

  await Promise.all([postgres.stop(), redis.stop()]);
  await postgres.stop();
  expect(folders.map(existsSync)).toEqual([false, false]);
  for (const text of [...ports, ...folders]) expect(await processes(text)).toEqual([]);
});

test("servers end with a parent that was killed", async () => {
  const parent = startApp({
    preload: "none",
    nodeArgs: ["--import", "tsx"],
    code: `
      import { startPostgres } from ${JSON.stringify(join(import.meta.dirname, "postgres.ts"))};
      import { startRedis } from ${JSON.stringify(join(import.meta.dirname, "redis.ts"))};
      const services = await Promise.all([startPostgres(), startRedis()]);
      console.log("started", ...services.map(({ url }) => new URL(url).port));`,
  });
  const [, ...ports] = await parent.waitForLine(/started (\d+) (\d+)/, 60_000);
  for (const port of ports) expect(await processes(port)).not.toEqual([]);
  await parent.kill("SIGKILL");
  for (const port of ports) await expect.poll(() => processes(port), { timeout: 20_000 }).toEqual([]);
});

test("a URL in the environment is used as it is, and left running", async () => {
  for (const [name, start] of [
    ["POSTGRES", startPostgres],
    ["REDIS", startRedis],
  ] as const) {
    vi.stubEnv(`TRACEKIT_TEST_${name}_URL`, "scheme://elsewhere:1");
    const service = await start();
    expect(service.url).toBe("scheme://elsewhere:1");
    await service.stop();
  }
});

test("a server that ends at once, or never answers as it should, is an error that shows its output", async () => {
  const start = (script: string): Promise<unknown> =>
    startServer({
      name: "Thing",
      scratchFolder: makeScratchFolder("thing"),
      server: (port) => ({ command: process.execPath, args: ["-e", script, String(port)] }),
      handshake: { say: "PING", hears: (answer) => answer === "PONG" },
    });
  await expect(start("console.error('no such option'); process.exit(3)")).rejects.toThrow(
    "Thing did not start: it ended with 3\nno such option",
  );
  await expect(start("console.error('port in use'); process.exit(1)")).rejects.toThrow("it ended with 1\nport in use");
});

test("a missing Redis names the command that installs it", async () => {
  vi.stubEnv("TRACEKIT_TEST_REDIS_URL", "");
  vi.resetModules();
  vi.doMock("./service.ts", async (original) => ({
    ...(await original<object>()),
    findProgram: () => undefined,
  }));
  const { startRedis: startWithoutPrograms } = await import("./redis.ts");
  await expect(startWithoutPrograms()).rejects.toThrow(/"apt-get install redis-server".*no apt-get/);
  vi.doUnmock("./service.ts");
});
