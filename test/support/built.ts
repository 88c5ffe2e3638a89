import { execFile } from "node:child_process";
import { readdirSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { withLock } from "./lock.ts";

/** The folder that holds package.json. */
export const repositoryRoot: string = join(import.meta.dirname, "../..");

const inputs = ["src", "instrumentations", "scripts/build.mjs", "package.json", "tsconfig.json", "tsconfig.build.json"];

/** Builds `dist/` when a source is newer. One build at a time on this machine; whoever waited finds it done.
 *  Rejects with the compiler's output. */
export async function ensureBuilt(root: string = repositoryRoot): Promise<void> {
  if (isFresh(root)) return;
  await withLock(`build ${root}`, async () => {
    if (isFresh(root)) return;
    // A source saved during the build may or may not be in it.
    let builtAt = new Date();
    try {
      await promisify(execFile)(process.execPath, [join(root, "scripts/build.mjs")], { cwd: root });
    } catch (error) {
      builtAt = new Date(0);
      const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
      throw new Error(`the build failed: node scripts/build.mjs\n${stdout}${stderr}`, { cause: error });
    } finally {
      if (changedAt(product(root)) > 0) utimesSync(product(root), builtAt, builtAt);
    }
  });
}

const product = (root: string): string => join(root, "dist/register.js");

function isFresh(root: string): boolean {
  const builtAt = changedAt(product(root));
  return inputs.every((input) => changedAt(join(root, input)) < builtAt);
}

/** 0 if there is nothing. A folder's own time counts too: it changes when a file in it is deleted. */
function changedAt(path: string): number {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats?.isDirectory()) return stats?.mtimeMs ?? 0;
  return Math.max(stats.mtimeMs, ...readdirSync(path).map((name) => changedAt(join(path, name))));
}
