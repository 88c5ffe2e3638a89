import { execFile } from "node:child_process";
import { readdirSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { withLock } from "./lock.ts";

/** The folder that holds package.json. */
export const repositoryRoot: string = join(import.meta.dirname, "../..");

/** What is built from what. */
interface Build {
  /** Where `scripts/build.mjs` and everything else is. */
  root: string;
  /** Files and folders. */
  inputs: readonly string[];
  /** The file whose time tells when it was built. */
  product: string;
}

/** Builds `dist/` when a source is newer. One build at a time on this machine; whoever waited finds it done.
 *  Rejects with the compiler's output. */
export function ensureBuilt(root: string = repositoryRoot): Promise<void> {
  const inputs = [
    "src",
    "instrumentations",
    "scripts/build.mjs",
    "package.json",
    "tsconfig.json",
    "tsconfig.build.json",
  ];
  return ensure({ root, inputs, product: "dist/register.js" });
}

/** The same for `dashboard/dist/`. */
export function ensureDashboardBuilt(): Promise<void> {
  const inputs = ["src", "web", "scripts/build.mjs", "package.json", "../src/run-command.ts"];
  return ensure({ root: join(repositoryRoot, "dashboard"), inputs, product: "dist/cli.js" });
}

async function ensure(build: Build): Promise<void> {
  const { root } = build;
  const product = join(root, build.product);
  if (isFresh(build)) return;
  await withLock(`build ${root}`, async () => {
    if (isFresh(build)) return;
    // A source saved during the build may or may not be in it.
    let builtAt = new Date();
    try {
      await promisify(execFile)(process.execPath, [join(root, "scripts/build.mjs")], { cwd: root });
    } catch (error) {
      builtAt = new Date(0);
      const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
      throw new Error(`the build failed: node scripts/build.mjs in ${root}\n${stdout}${stderr}`, { cause: error });
    } finally {
      if (changedAt(product) > 0) utimesSync(product, builtAt, builtAt);
    }
  });
}

function isFresh({ root, inputs, product }: Build): boolean {
  const builtAt = changedAt(join(root, product));
  return inputs.every((input) => changedAt(join(root, input)) < builtAt);
}

/** 0 if there is nothing. A folder's own time counts too: it changes when a file in it is deleted. */
function changedAt(path: string): number {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats?.isDirectory()) return stats?.mtimeMs ?? 0;
  return Math.max(stats.mtimeMs, ...readdirSync(path).map((name) => changedAt(join(path, name))));
}
