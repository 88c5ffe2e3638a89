import { execFile } from "node:child_process";
import { readdirSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { withLock } from "./lock.ts";

/** The folder that holds package.json. */
export const repositoryRoot: string = join(import.meta.dirname, "../..");

/** Builds `dist/` when a source is newer. One build at a time on this machine; whoever waited finds it done.
 *  Throws with the compiler's output. */
export async function ensureBuilt(): Promise<void> {
  if (isFresh()) return;
  await withLock(`build ${repositoryRoot}`, async () => {
    if (isFresh()) return;
    const startedAt = new Date();
    try {
      await promisify(execFile)(process.execPath, [join(repositoryRoot, "scripts/build.mjs")], {
        cwd: repositoryRoot,
      });
    } catch (error) {
      const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
      throw new Error(`the build failed: node scripts/build.mjs\n${stdout}${stderr}`, {
        cause: error,
      });
    }
    // A source saved during the build may or may not be in it.
    utimesSync(product, startedAt, startedAt);
  });
}

const product: string = join(repositoryRoot, "dist/register.js");

function isFresh(): boolean {
  const builtAt = statSync(product, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return ["src", "instrumentations", "scripts/build.mjs", "package.json"].every(
    (name) => newestChange(join(repositoryRoot, name)) < builtAt,
  );
}

/** A folder's own time counts too: it changes when a file in it is deleted. */
function newestChange(path: string): number {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return 0;
  if (!stats.isDirectory()) return stats.mtimeMs;
  return Math.max(
    stats.mtimeMs,
    ...readdirSync(path).map((name) => newestChange(join(path, name))),
  );
}
