import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Worker } from "node:worker_threads";
import { describe, expect, onTestFinished, test } from "vitest";
import type { DriverName } from "../../src/store/driver.ts";
import { openDriver } from "../../src/store/open-driver.ts";
import { migrate, readVersion, STEPS } from "../../src/store/schema.ts";
import { openStore } from "../../src/store/worker-store.ts";
import { payloadOf, span } from "./spans.ts";
import { drivers, getTrace, keep, open, temporaryFolder } from "./support.ts";

const fixture = join(import.meta.dirname, "fixtures/ingest-until.mts");
const loader = createRequire(import.meta.url).resolve("tsx");

describe.each(drivers)("with %s", (driver) => {
  test("kill -9 loses no acknowledged span, and the store opens again", { timeout: 180_000 }, async () => {
    const path = join(temporaryFolder(), "deep/er/traces.db");
    let acknowledged = 0;
    for (let round = 0; round < 5; round++) {
      // Large ones: most of the time is spent with writing, so that is where most are killed.
      const child = start([path, driver, "8000"]);
      await lineOf(child, /^open/);
      child.stdout!.on("data", (text: Buffer) => {
        for (const [, number] of text.toString().matchAll(/kept (\d+)\n/g)) acknowledged = Number(number);
      });
      await new Promise((resolve) => setTimeout(resolve, 300 + round * 173));
      await kill(child);

      const store = await openStore({ path, driver, maxBytes: 1e12 });
      const { spanCount } = await store.getStatus();
      expect(spanCount).toBeGreaterThanOrEqual(acknowledged);
      // What was not acknowledged is there whole, or not at all.
      let listed = 0;
      for await (const trace of store.readTraces({})) {
        const stored = await getTrace(store, trace[0]!.traceId);
        expect(stored?.summary.spanCount).toBe(trace.length);
        listed += trace.length;
      }
      expect(listed).toBe(spanCount);
      await store.close();
      expect(damageOf(path, driver)).toEqual([{ integrity_check: "ok" }]);
      acknowledged = spanCount;
    }
    expect(acknowledged).toBeGreaterThan(0);
  });

  test("a second process is told who has the store, and gets it when that one is gone", async () => {
    const path = join(temporaryFolder(), "traces.db");
    const child = start([path, driver]);
    await lineOf(child, /^open/);
    const refused = openStore({ path, driver, maxBytes: 1e9 });
    await expect(refused).rejects.toMatchObject({ name: "StoreError", code: "locked" });
    await expect(refused).rejects.toThrow(new RegExp(`pid ${child.pid}\\b.*--store.*--memory`));
    await kill(child);
    const store = await open({ path, driver });
    // Nor twice in one process.
    await expect(openStore({ path, driver, maxBytes: 1e9 })).rejects.toMatchObject({ code: "locked" });
    await store.close();
    expect(readdirSync(join(path, ".."))).toEqual(["traces.db"]);
  });

  test("the lock of a process that has died is taken over though another process has its pid now", async () => {
    const path = join(temporaryFolder(), "traces.db");
    writeFileSync(`${path}.pid`, `${process.ppid} 1\n`);
    if (process.platform === "linux") await open({ path, driver });
    writeFileSync(`${path}2.pid`, "");
    await open({ path: `${path}2`, driver });
  });

  test("what was kept is there after it was closed and opened again", async () => {
    const path = join(temporaryFolder(), "traces.db");
    const first = await open({ path, driver });
    const kept = span({ attributes: { a: 1 } });
    await keep(first, [kept]);
    await first.putSavedFilter({ name: "mine", query: "status=error" });
    // With a rollback journal half of a transaction stays after kill -9 where the driver is WebAssembly: see `openDriver`.
    expect(existsSync(`${path}-wal`)).toBe(true);
    await first.close();
    const second = await open({ path, driver });
    expect(await second.getStatus()).toMatchObject({ traceCount: 1, spanCount: 1, storePath: path, driver });
    expect((await second.getSpan(kept.traceId, kept.spanId))?.span).toEqual(kept);
    expect(await second.getSavedFilters()).toEqual([{ name: "mine", query: "status=error" }]);
    await keep(second, [kept, span({ traceId: kept.traceId })]);
    expect(await second.getStatus()).toMatchObject({ traceCount: 1, spanCount: 2 });
  });

  test("a damaged store is refused with the way out, and left as it is", async () => {
    const path = join(temporaryFolder(), "traces.db");
    const garbage = Buffer.alloc(8192, "not a database. ");
    writeFileSync(path, garbage);
    const refused = openStore({ path, driver, maxBytes: 1e9 });
    await expect(refused).rejects.toMatchObject({ name: "StoreError", code: "corrupt" });
    await expect(refused).rejects.toThrow(/Move it aside \(mv .*traces\.db/);
    expect(readFileSync(path)).toEqual(garbage);
    // And does not stay locked.
    rmSync(path);
    await open({ path, driver });
  });

  test("damage that shows later is told, too", async () => {
    const path = join(temporaryFolder(), "traces.db");
    const first = await open({ path, driver });
    await keep(
      first,
      Array.from({ length: 2000 }, () => span({ attributes: { text: "x".repeat(500) } })),
    );
    await first.close();
    const bytes = readFileSync(path);
    // All but the schema.
    bytes.fill(0xff, 4096 * 30);
    writeFileSync(path, bytes);
    const damaged = (async () => {
      const store = await open({ path, driver });
      await store.listTraces({ text: "nowhere" }, { limit: 10 });
    })();
    await expect(damaged).rejects.toMatchObject({ code: "corrupt" });
  });

  test("another program's database is refused, and left as it is", async () => {
    const path = join(temporaryFolder(), "other.db");
    const other = openDriver(path, driver);
    other.exec("CREATE TABLE theirs (a)");
    other.close();
    const before = readFileSync(path);
    await expect(openStore({ path, driver, maxBytes: 1e9 })).rejects.toThrow(/not a Tracekit store/);
    expect(readFileSync(path)).toEqual(before);
  });

  test("a store of a newer version is refused with the way out, and left as it is", async () => {
    const path = join(temporaryFolder(), "traces.db");
    await (await open({ path, driver })).close();
    const raw = openDriver(path, driver);
    raw.exec("PRAGMA journal_mode = DELETE");
    raw.exec("UPDATE meta SET value = '99' WHERE key = 'schema_version'");
    raw.close();
    const before = readFileSync(path);
    const refused = openStore({ path, driver, maxBytes: 1e9 });
    await expect(refused).rejects.toMatchObject({ code: "newer_version" });
    await expect(refused).rejects.toThrow(/store version 99.*Update Tracekit.*--store.*--memory/);
    expect(readFileSync(path)).toEqual(before);
  });

  test("a store of an older version gets the steps it lacks, all of them or none", async () => {
    const path = join(temporaryFolder(), "traces.db");
    const store = await open({ path, driver });
    await keep(store, [span({ name: "from before" })]);
    await store.close();

    const steps = [
      ...STEPS,
      "ALTER TABLE traces ADD COLUMN mood TEXT NOT NULL DEFAULT 'fine'",
      "CREATE TABLE moods (a)",
    ];
    const raw = openDriver(path, driver);
    const broken = steps.with(-1, "CREATE TABLE broken (");
    expect(() => migrate(raw, readVersion(raw, path, broken), broken)).toThrow(/incomplete/);
    expect(readVersion(raw, path, steps)).toBe(STEPS.length);
    migrate(raw, readVersion(raw, path, steps), steps);
    expect(readVersion(raw, path, steps)).toBe(steps.length);
    expect(raw.prepare("SELECT operation, mood FROM traces").all([])).toMatchObject([
      { operation: "from before", mood: "fine" },
    ]);
    raw.close();
    await expect(openStore({ path, driver, maxBytes: 1e9 })).rejects.toMatchObject({ code: "newer_version" });
  });

  test("a place that cannot be written to is refused with the way out", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "file"), "");
    const path = join(folder, "file/traces.db");
    await expect(openStore({ path, driver, maxBytes: 1e9 })).rejects.toMatchObject({ code: "unwritable" });
    if (process.platform === "linux")
      await expect(openStore({ path: "/proc/tracekit/traces.db", driver, maxBytes: 1e9 })).rejects.toThrow(/--store/);
    mkdirSync(join(folder, "folder.db"));
    const refused = openStore({ path: join(folder, "folder.db"), driver, maxBytes: 1e9 });
    await expect(refused).rejects.toMatchObject({ name: "StoreError", code: "unwritable" });
    expect(existsSync(join(folder, "folder.db.pid"))).toBe(false);
  });

  // The limit on the size of files (RLIMIT_FSIZE) stands in for a full disk: writing fails in the same place.
  test.runIf(process.platform === "linux")(
    "on a full disk senders are told, questions are answered, and it goes on when there is room",
    { timeout: 120_000 },
    async () => {
      const path = join(temporaryFolder(), "traces.db");
      const child = start([path, driver, "2000"], "ulimit -S -f 4000");
      const full = await lineOf(child, /^full/);
      expect(full).toMatch(/^full [1-9].*"outcome":"full","reason":"[^"]*Make room on the disk/);
      execFileSync("prlimit", ["--fsize=unlimited", "--pid", String(child.pid)]);
      await lineOf(child, /^again/);
      await kill(child);
      const store = await open({ path, driver, maxBytes: 1e12 });
      const { spanCount, traceCount } = await store.getStatus();
      const { traces } = await store.listTraces({}, { limit: 1000 });
      expect(traces.length).toBe(traceCount);
      expect(traces.reduce((sum, trace) => sum + trace.spanCount, 0)).toBe(spanCount);
      await store.close();
      expect(damageOf(path, driver)).toEqual([{ integrity_check: "ok" }]);
    },
  );

  test("a thread that dies is replaced once: nothing acknowledged is lost, and the sender is asked to repeat the rest", async () => {
    const path = join(temporaryFolder(), "traces.db");
    const store = await open({ path, driver });
    await keep(store, [span()]);
    // From outside there is no way to make it die.
    const thread = (): Worker => (store as unknown as { worker: never }).worker;
    const waiting = store.ingest(payloadOf([span({ attributes: { text: "x".repeat(20_000_000) } })]));
    await thread().terminate();
    expect((await waiting).outcome).toBe("busy");
    await keep(store, [span()]);
    expect((await store.getStatus()).spanCount).toBe(2);
    await thread().terminate();
    await expect(store.getStatus()).rejects.toThrow(/thread has died/);
    await expect(store.ingest(payloadOf([span()]))).rejects.toThrow(/thread has died/);
  });
});

function start(args: string[], limit = ":"): ChildProcess {
  const command = `${limit}; exec "$@"`;
  const all = ["-c", command, "sh", process.execPath, "--import", loader, fixture, ...args];
  const child = spawn("bash", all, { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

async function lineOf(child: ChildProcess, pattern: RegExp): Promise<string> {
  for await (const line of createInterface({ input: child.stdout! })) if (pattern.test(line)) return line;
  throw new Error(`the child ended before it said ${pattern}`);
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once("close", resolve));
  child.kill("SIGKILL");
  await ended;
}

function damageOf(path: string, driver: DriverName): unknown {
  const database = openDriver(path, driver);
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE");
    return database
      .prepare("PRAGMA integrity_check")
      .all([])
      .map((row) => ({ ...row }));
  } finally {
    database.close();
  }
}
