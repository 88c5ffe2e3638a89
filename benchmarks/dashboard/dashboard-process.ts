import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { repositoryRoot } from "../../test/support/built.ts";

/** What `probe.mjs` tells: since the last time for delays, since the start for the CPU time. */
export interface Probe {
  loopDelayP99Millis: number;
  loopDelayMaxMillis: number;
  cpuMicros: number;
  /** Of the main thread, and of the store's. The rest is the garbage collector's and the compiler's. NaN where it is not told. */
  mainCpuMicros: number;
  storeCpuMicros: number;
  rssMegabytes: number;
}

/** A dashboard in a process of its own. */
export interface DashboardProcess {
  readonly url: string;
  probe(): Promise<Probe>;
  stop(): Promise<void>;
}

/** Starts the built dashboard on a free port. Rejects with what it printed when it ends before it is ready. */
export async function startDashboard(node: string, args: readonly string[]): Promise<DashboardProcess> {
  const probeFile = join(import.meta.dirname, "probe.mjs");
  const cli = join(repositoryRoot, "dashboard/dist/cli.js");
  const child = spawn(node, ["--import", probeFile, cli, "dashboard", "--port", "0", "--quiet", ...args], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  const said: string[] = [];
  const probes: Array<(probe: Probe) => void> = [];
  createInterface({ input: child.stderr as NonNullable<typeof child.stderr> }).on("line", (line) => {
    if (line.startsWith('{"probe":')) probes.shift()?.(JSON.parse(line) as Probe);
    else said.push(line);
  });
  const url = await ready(child, said);
  return {
    url,
    probe: () =>
      new Promise((resolve) => {
        probes.push(resolve);
        child.kill("SIGUSR2");
      }),
    stop: () =>
      new Promise((resolve) => {
        child.once("exit", () => resolve());
        child.kill("SIGTERM");
      }),
  };
}

function ready(child: ChildProcess, said: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once("message", (message) => resolve((message as { ready: string }).ready));
    child.once("exit", (code) =>
      reject(new Error(`the dashboard ended with ${code} before it was ready\n${said.join("\n")}`)),
    );
  });
}
