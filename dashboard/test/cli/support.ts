import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { onTestFinished } from "vitest";
import { ensureBuilt, ensureDashboardBuilt, repositoryRoot } from "../../../test/support/built.ts";
import { startApp } from "../../../test/support/run-app.ts";
import type { App, AppExit } from "../../../test/support/run-app.ts";
import { makeTrackedFolder, removeTrackedFolder, signalGroup } from "../../../test/support/started.ts";
import type { TraceList } from "../../src/model/api.ts";

/** `tracekit` of `@tracekit/auto`. */
export const tracekitFile: string = join(repositoryRoot, "dist/cli.js");
/** `tracekit-dashboard` of `@tracekit/dashboard`. */
export const dashboardFile: string = join(repositoryRoot, "dashboard/dist/cli.js");

/** Builds both packages where sources are newer. */
export async function buildBoth(): Promise<void> {
  await ensureBuilt();
  await ensureDashboardBuilt();
}

/** An empty project, removed after the test. */
export function makeProject(files: Record<string, string> = {}): string {
  const folder = makeTrackedFolder(join(tmpdir(), "tracekit-cli-"));
  onTestFinished(() => removeTrackedFolder(folder));
  const all = { "package.json": '{ "name": "project", "private": true }', ...files };
  for (const [name, text] of Object.entries(all)) writeFileSync(join(folder, name), text);
  return folder;
}

export interface CliOptions {
  /** Default: a project of its own. */
  cwd?: string;
  env?: Record<string, string>;
  /** Default `tracekitFile`. */
  file?: string;
}

/** Starts the command line as a user would; it is killed after the test. */
export function tracekit(args: string[], { cwd = makeProject(), env = {}, file = tracekitFile }: CliOptions = {}): App {
  // A machine that runs all the tests may take longer than a second to receive the last spans of an application.
  const patient = { TRACEKIT_EXIT_TIMEOUT: "15000", ...env };
  const app = startApp({ file, args, cwd, env: patient, preload: "none" });
  onTestFinished(async () => {
    // With the command it runs; a dashboard in the background is a group of its own.
    signalGroup(app.pid, "SIGKILL");
    await app.exited;
  });
  return app;
}

/** Runs it to its end. */
export async function ended(
  args: string[],
  options?: CliOptions,
): Promise<AppExit & { stdout: string; stderr: string }> {
  const app = tracekit(args, options);
  return { ...(await app.exited), stdout: app.stdout, stderr: app.stderr };
}

/** A dashboard that keeps nothing, on a free port, with what is given besides. */
export async function startDashboard(
  args: string[] = ["--memory"],
  options?: CliOptions,
): Promise<{ app: App; url: string; port: number }> {
  const app = tracekit(["dashboard", "--port", "0", ...args], options);
  const [, url = ""] = await app.waitForLine(/^ {2}page +(http:\/\/[^/]+)/);
  return { app, url, port: Number(new URL(url).port) };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

let traces = 0;

/** Sends a trace of one span, 20 ms long, and gives its id. */
export async function sendTrace(
  url: string,
  {
    service = "shop",
    name = "GET /",
    failed = false,
    millis = 20,
    attributes = {},
    traceId = (++traces).toString(16).padStart(32, "a"),
    spanId = "b".repeat(16),
    parentSpanId = "",
  }: {
    service?: string;
    name?: string;
    failed?: boolean;
    millis?: number;
    attributes?: Record<string, string>;
    traceId?: string;
    spanId?: string;
    parentSpanId?: string;
  } = {},
): Promise<string> {
  const start = Date.now();
  const pairs = (values: Record<string, string>): object[] =>
    Object.entries(values).map(([key, stringValue]) => ({ key, value: { stringValue } }));
  const span = {
    traceId,
    spanId,
    parentSpanId,
    name,
    kind: 2,
    startTimeUnixNano: `${start}000000`,
    endTimeUnixNano: `${start + millis}000000`,
    attributes: pairs(attributes),
    status: failed ? { code: 2, message: "it broke" } : {},
  };
  const resource = { attributes: pairs({ "service.name": service }) };
  const response = await fetch(`${url}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans: [span] }] }] }),
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return traceId;
}

/** The traces the dashboard has, once `isEnough` says so. Throws, showing them, after 15 seconds. */
export async function tracesOf(
  url: string,
  isEnough: (traces: TraceList["traces"]) => boolean,
): Promise<TraceList["traces"]> {
  for (const until = Date.now() + 15_000; ; await sleep(100)) {
    const list = (await (await fetch(`${url}/api/traces?limit=100`)).json()) as TraceList;
    if (isEnough(list.traces)) return list.traces;
    if (Date.now() > until) throw new Error(`only these traces: ${JSON.stringify(list.traces, null, 1)}`);
  }
}

/** Whether somebody answers there. */
export async function isUp(url: string): Promise<boolean> {
  return fetch(`${url}/api/status`).then(
    (response) => response.body?.cancel().then(() => true) ?? true,
    () => false,
  );
}

/** Resolves once nobody answers there. Throws after 20 seconds. */
export async function untilDown(url: string): Promise<void> {
  for (const until = Date.now() + 20_000; await isUp(url); await sleep(200)) {
    if (Date.now() > until) throw new Error(`${url} still answers`);
  }
}
