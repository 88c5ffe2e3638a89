import type { Profiler } from "node:inspector";
import { join } from "node:path";
import { startChild } from "./child.ts";
import type { Child } from "./child.ts";
import type { Installation } from "./install.ts";
import { moveToCores } from "./machine.ts";
import type { Cores } from "./machine.ts";
import type { Services } from "./services.ts";
import { variants } from "./variants.ts";
import { toBytes } from "./workloads.ts";
import type { Workload } from "./workloads.ts";

/** What all runs share. */
export interface Bench {
  readonly node: string;
  readonly cores: Cores | undefined;
  readonly services: Services;
  readonly installations: ReadonlyMap<string, Installation>;
  readonly flushMillis: number;
}

/** One variant's server, with a sink of its own. */
export interface Contestant {
  readonly name: string;
  readonly records: boolean;
  usage(): Promise<{ cpuMicros: number; rssMegabytes: number }>;
  watchDelay(): Promise<void>;
  delay(): Promise<{ p50Millis: number; p99Millis: number }>;
  startProfile(): Promise<void>;
  /** What V8's profiler has seen since `startProfile`. */
  profile(): Promise<Profiler.Profile>;
  load(requests: number, options?: { connections?: number; perSecond?: number }): Promise<Load>;
  /** The answer to one request, made outside the load generator. */
  answer(): Promise<{ status: number; text: string }>;
  received(): Promise<Received>;
  stop(): void;
}

export interface Load {
  readonly elapsedMillis: number;
  readonly p50Millis: number;
  readonly p99Millis: number;
}

/** What a sink has counted since it was opened. `wireBytes` are bodies as they came, compressed or not. */
export interface Received {
  readonly spans: number;
  readonly requests: number;
  readonly wireBytes: number;
  readonly bytes: number;
}

/** Starts the application of a workload under a tracer, in a fresh process. */
export async function startContestant(
  bench: Bench,
  app: string,
  workload: Workload,
  name: string,
): Promise<Contestant> {
  const { services, cores, node } = bench;
  const variant = variants[name];
  if (variant === undefined) throw new Error(`there is no variant ${name}`);
  const { sink, port: sinkPort } = await services.sink.ask<{ sink: number; port: number }>("open", variant);
  const folder = bench.installations.get(variant.installation ?? "")?.folder ?? "";
  const control = join(import.meta.dirname, "processes/control.cjs");
  const file = join(import.meta.dirname, `apps/${app}.cjs`);
  const server: Child = startChild(node, [...variant.preload("cjs", folder), "--require", control, file], {
    cores: cores?.all,
    env: { ...services.env, ...variant.env(`http://127.0.0.1:${sinkPort}`, String(bench.flushMillis)) },
  });
  const port = Number((await server.line(/listening (\d+)/))[1]);
  // Starting is measured elsewhere, so it may take what there is.
  if (cores !== undefined) moveToCores(cores.server, server.pid);
  const request = toBytes(workload);
  return {
    name,
    records: variant.records,
    usage: () => server.ask("usage"),
    watchDelay: () => server.ask("watchDelay"),
    delay: () => server.ask("delay"),
    startProfile: () => server.ask("startProfile"),
    profile: () => server.ask("profile"),
    load: (requests, { connections = 8, perSecond } = {}) =>
      services.load.ask("load", { port, request, status: workload.status, connections, requests, perSecond }),
    async answer() {
      const { method, path, body } = workload;
      const headers = { "content-type": "application/json" };
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers, body: body ?? null });
      return { status: response.status, text: await response.text() };
    },
    async received() {
      const all = await services.sink.ask<Received[]>("counts");
      const received = all[sink];
      if (received === undefined) throw new Error(`there is no sink ${sink}`);
      return received;
    },
    stop: () => server.stop(),
  };
}
