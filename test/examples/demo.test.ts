import { chmodSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { TraceList } from "../../dashboard/src/model/api.ts";
import { repositoryRoot } from "../support/built.ts";
import { startApp } from "../support/run-app.ts";
import type { App } from "../support/run-app.ts";
import { makeTrackedFolder, removeTrackedFolder } from "../support/started.ts";

const TIMEOUT = 180_000;

describe("npm run demo", () => {
  test("with --once prints one whole trace of ten operations and exits 0", { timeout: TIMEOUT }, async () => {
    const app = demo(["--once"], sharedServers());
    const { code } = await app.exited;
    expect({ code, stderr: app.stderr }).toMatchObject({ code: 0 });

    const id = /^├─ SET url:(\w+)/m.exec(app.stdout)?.[1];
    const ms = String.raw`\([\d.]+ms\)`;
    const tree = [
      `POST /shorten ${ms} +user.id=u_42   201`,
      `├─ auth.verify ${ms} +ok`,
      `├─ SELECT urls ${ms} +SELECT url FROM urls WHERE id = \\$1   \\['${id}'\\]   0 rows`,
      `├─ INSERT urls ${ms} +INSERT INTO urls .*\\['${id}', 'https://.*   1 row affected`,
      `├─ SET url:${id} ${ms} +ttl 3600s`,
      `├─ POST analytics/track ${ms} +──► analytics: POST /track ${ms}   user.id=u_42   202`,
      `│     ├─ INSERT events ${ms} +INSERT INTO events .*   1 row affected`,
      `│     └─ POST api.mixpanel.example/track ${ms} +200   .*dns \\d+ · connect \\d+ .*`,
      `└─ publish url-events ${ms} +──► notifier: process url-events ${ms}   user.id=u_42 .*${id}.*`,
    ];
    expect(app.stdout).toMatch(new RegExp(`^\n${tree.join("\n")}\n`));
    expect(app.stdout).toMatch(/^GET \/:id \S+ +302 {3}GET url:\w+ {3}hit$/m);
    expect(app.stdout).toMatch(/^GET \/:id \S+ +302 {3}GET url:\w+ {3}miss/m);
    expect(app.stdout).toMatch(/^POST \/shorten \S+ +user\.id=u_42 {3}500 .*INSERT urls {3}✗ 22001/m);
  });

  test.each(["rabbitmq", "kafka", "nats"])(
    "with --topic %s is the same one trace",
    { timeout: TIMEOUT },
    async (topic) => {
      const app = demo(["--once", "--topic", topic], sharedServers());
      const { code } = await app.exited;
      expect({ code, stderr: app.stderr }).toMatchObject({ code: 0 });
      expect(app.stdout).toMatch(/^└─ (?:send|publish) url-events \S+ +──► notifier: process url-events/m);
    },
  );

  test("with --topic that is none says which there are", { timeout: TIMEOUT }, async () => {
    const app = demo(["--topic", "pigeon"], {});
    expect((await app.exited).code).toBe(2);
    expect(app.stderr).toContain("--topic pigeon is none of redis, rabbitmq, kafka, nats.");
  });

  test("with --once exits 1 and names what is missing when a service is not traced", { timeout: TIMEOUT }, async () => {
    const app = demo(["--once"], { ...sharedServers(), TRACEKIT_DEMO_UNTRACED: "notifier" });
    expect((await app.exited).code).toBe(1);
    expect(app.stderr).toMatch(/not whole:\n {2}- notifier: process url-events is missing\n$/);
  });

  test("says how to choose another port when the wanted one is taken", { timeout: TIMEOUT }, async () => {
    const taken = new URL(sharedServers()["TRACEKIT_TEST_REDIS_URL"] ?? "").port;
    const app = demo(["--once", "--port", taken], sharedServers());
    expect((await app.exited).code).toBe(1);
    expect(app.stderr).toContain(`Port ${taken} is in use`);
  });

  test.runIf(process.platform === "linux")(
    "shows the traces of further requests, and at Ctrl-C leaves no process and no folder",
    { timeout: TIMEOUT },
    async () => {
      const folder = makeTrackedFolder(join(tmpdir(), "tracekit-demo-"));
      chmodSync(folder, 0o755);
      // Without the servers of the test run it starts, and has to stop, its own.
      const app = demo([], { TMPDIR: folder });
      const [, link] = await app.waitForLine(/curl -i (http\S+\/\w{1,8})$/, TIMEOUT);
      const [, dashboard] = await app.waitForLine(/^(http:\S+) shows them in the browser/);
      const started = descendants(app.pid);
      await fetch(link ?? "", { redirect: "manual" });
      await app.waitForLine(/^└─ GET url:\w+ .*hit/);
      const list = (await (await fetch(`${dashboard}/api/traces?service=url&limit=50`)).json()) as TraceList;
      // What was sent at the start, and this one.
      expect(
        list.traces.map(({ operation }) => operation).filter((name) => /^(?:GET|POST) \//.test(name)),
      ).toHaveLength(9);
      expect(list.traces[0]).toMatchObject({ operation: "GET /:id", httpStatusCode: 302, cacheHits: 1 });
      expect((await fetch(dashboard ?? "")).status).toBe(200);
      expect(started.length).toBeGreaterThan(5);
      expect(ours(folder)).toHaveLength(2);

      expect(await app.kill("SIGINT")).toEqual({ code: 0, signal: null });
      for (let waited = 0; started.some(isAlive) && waited < 10_000; waited += 100) await sleep(100);
      expect(started.filter(isAlive)).toEqual([]);
      expect(ours(folder)).toEqual([]);
      removeTrackedFolder(folder);
    },
  );
});

function demo(args: string[], env: Record<string, string>): App {
  return startApp({
    file: join(repositoryRoot, "examples/url-shortener/demo.ts"),
    cwd: repositoryRoot,
    preload: "none",
    nodeArgs: ["--import", "tsx"],
    args,
    env,
  });
}

/** tsx keeps a cache beside them. */
function ours(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.startsWith("tracekit-"));
}

function sharedServers(): Record<string, string> {
  const names = ["TRACEKIT_TEST_POSTGRES_URL", "TRACEKIT_TEST_REDIS_URL"];
  return Object.fromEntries(names.map((name) => [name, process.env[name] ?? ""]));
}

/** From /proc: Debian's base has no `ps`. */
function descendants(ancestor: number): number[] {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const children = all.map(Number).filter((pid) => statOf(pid)?.parent === ancestor);
  return [...children, ...children.flatMap(descendants)];
}

/** A zombie has ended; it only waits for a parent that may never ask. */
function isAlive(pid: number): boolean {
  const stat = statOf(pid);
  return stat !== undefined && stat.state !== "Z";
}

function statOf(pid: number): { state: string; parent: number } | undefined {
  try {
    // "12 (name) S 1 …", and the name may hold spaces.
    const [state = "", parent = ""] = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return { state, parent: Number(parent) };
  } catch {
    return undefined;
  }
}
