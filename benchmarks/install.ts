import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { npm } from "../scripts/node-binaries.mjs";
import { ensureBuilt, repositoryRoot } from "../test/support/built.ts";

/** A tracer in a folder of its own. */
export interface Installation {
  readonly folder: string;
  readonly version: string;
  /** On disk, in units of 2^20 bytes, as `du -m` has it. */
  readonly megabytes: number;
  readonly packages: number;
}

// 0.81.2 is the last of its line that runs on Node 20.
const peers = {
  opentelemetry: { "@opentelemetry/auto-instrumentations-node": "0.81.2", "@opentelemetry/api": "1.9.1" },
  "dd-trace": { "dd-trace": "5.132.0" },
};

const cache = join(repositoryRoot, "node_modules/.cache/tracekit-bench");

/** Installs a tracer from the registry, ours from `npm pack`, unless it is there already. Throws when npm does. */
export async function install(name: string): Promise<Installation> {
  mkdirSync(cache, { recursive: true });
  if (name === "tracekit") return installOurs();
  const dependencies = peers[name as keyof typeof peers] as Record<string, string>;
  const version = Object.values(dependencies)[0] ?? "";
  return describe(installInto(`${name}-${version}`, dependencies), version);
}

/** The package as a user gets it: what it forgets to ship or to depend on is missing here too. */
async function installOurs(): Promise<Installation> {
  await ensureBuilt();
  const unpacked = mkdtempSync(join(cache, "unfinished-"));
  try {
    const [packed] = JSON.parse(npm(["pack", "--json", "--pack-destination", unpacked], repositoryRoot));
    const { filename, version } = packed as { filename: string; version: string };
    const tarball = join(unpacked, filename);
    const hash = createHash("sha256").update(readFileSync(tarball)).digest("hex").slice(0, 12);
    const name = `tracekit-${version}-${hash}`;
    for (const old of readdirSync(cache)) {
      if (old.startsWith("tracekit-") && old !== name) rmSync(join(cache, old), { recursive: true, force: true });
    }
    return describe(installInto(name, { "@tracekit/auto": `file:${tarball}` }), version);
  } finally {
    rmSync(unpacked, { recursive: true, force: true });
  }
}

function installInto(name: string, dependencies: Record<string, string>): string {
  const folder = join(cache, name);
  if (existsSync(folder)) return folder;
  console.error(`installing ${name} (once)…`);
  const unfinished = mkdtempSync(join(cache, "unfinished-"));
  writeFileSync(join(unfinished, "package.json"), JSON.stringify({ private: true, dependencies }));
  npm(["install"], unfinished);
  renameSync(unfinished, folder);
  return folder;
}

function describe(folder: string, version: string): Installation {
  const lock = JSON.parse(readFileSync(join(folder, "node_modules/.package-lock.json"), "utf8"));
  return {
    folder,
    version,
    megabytes: diskUsage(join(folder, "node_modules")) / 2 ** 20,
    packages: Object.keys(lock.packages).length,
  };
}

function diskUsage(path: string): number {
  const stats = lstatSync(path);
  // Windows does not say how many blocks a file takes.
  const own = (stats.blocks ?? 0) > 0 ? stats.blocks * 512 : stats.size;
  if (!stats.isDirectory()) return own;
  return readdirSync(path).reduce((sum, name) => sum + diskUsage(join(path, name)), own);
}
