import { join } from "node:path";
import { cleanEnvironment, signalGroup, spawnTracked } from "../test/support/started.ts";
import type { Bench } from "./contestant.ts";
import { onCores } from "./machine.ts";
import { variants } from "./variants.ts";

/** Raw values of one variant, a value a process. From the start of the process until express, pg and ioredis are
 *  loaded; memory is that of the CommonJS application. */
export interface Startup {
  readonly cjsMillis: number[];
  readonly esmMillis: number[];
  readonly rssMegabytes: number[];
}

/** Starts an application `times` under each variant, taking turns and every other turn backwards. */
export async function measureStartup(
  bench: Bench,
  variantNames: readonly string[],
  times: number,
): Promise<Record<string, Startup>> {
  const results = Object.fromEntries(
    variantNames.map((name): [string, Startup] => [name, { cjsMillis: [], esmMillis: [], rssMegabytes: [] }]),
  );
  for (let time = 0; time < times; time++) {
    for (const name of time % 2 === 0 ? variantNames : variantNames.toReversed()) {
      const cjs = await start(bench, name, "cjs");
      const esm = await start(bench, name, "esm");
      results[name]!.cjsMillis.push(cjs.millis);
      results[name]!.esmMillis.push(esm.millis);
      results[name]!.rssMegabytes.push(cjs.rss / 1e6);
    }
  }
  return results;
}

async function start(bench: Bench, name: string, kind: "cjs" | "esm"): Promise<{ millis: number; rss: number }> {
  const variant = variants[name]!;
  const folder = bench.installations.get(variant.installation ?? "")?.folder ?? "";
  const file = join(import.meta.dirname, `apps/startup.${kind === "cjs" ? "cjs" : "mjs"}`);
  const [command, args] = onCores(bench.cores?.all, bench.node, [...variant.preload(kind, folder), file]);
  // Nobody listens there: this is about starting.
  const env = { ...cleanEnvironment(), ...variant.env("http://127.0.0.1:1", "1000") };
  const child = spawnTracked(command, args, { env, stdio: ["ignore", "pipe", "inherit"] });
  const text = await new Promise<string>((resolve, reject) => {
    let stdout = "";
    child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      stdout += chunk;
      if (stdout.endsWith("\n")) resolve(stdout);
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`${name} did not start: it ended with ${code}`)));
  });
  // Some would keep it alive until their agent answers.
  signalGroup(child.pid!, "SIGKILL");
  return JSON.parse(text.slice(text.indexOf("{"))) as { millis: number; rss: number };
}
