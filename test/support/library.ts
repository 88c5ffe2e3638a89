import { appendFileSync, existsSync, mkdirSync, mkdtempSync, renameSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { npm } from "../../scripts/node-binaries.mjs";
import { repositoryRoot } from "./built.ts";
import { withLock } from "./lock.ts";

/** What the libraries under test depend on is as of this day, so that a run can be repeated. */
const AS_OF = "2026-11-18";

const cache = join(repositoryRoot, "node_modules/.cache/tracekit-libraries");

/**
 * A folder whose `node_modules` holds exactly these npm packages, under their own names: `{ ioredis: "4.28.5" }`. Installed once,
 * without install scripts, and found again by later runs. Give it to `startApp` as `libraries`. Throws with npm's output.
 */
export async function installLibraries(versions: Record<string, string>): Promise<string> {
  record(versions);
  const id = JSON.stringify([Object.entries(versions).sort(), AS_OF]);
  const folder = join(cache, createHash("sha256").update(id).digest("hex").slice(0, 16));
  if (existsSync(folder)) return folder;
  mkdirSync(cache, { recursive: true });
  return withLock(folder, async () => {
    if (existsSync(folder)) return folder;
    const unfinished = mkdtempSync(join(cache, "unfinished-"));
    writeFileSync(join(unfinished, "package.json"), JSON.stringify({ private: true, dependencies: versions }));
    npm(["install", `--before=${AS_OF}`, "--ignore-scripts", "--no-audit", "--no-fund"], unfinished);
    renameSync(unfinished, folder);
    return folder;
  });
}

/** The run's end says which versions were tested; see `global-setup.ts`. */
function record(versions: Record<string, string>): void {
  const ledger = process.env["TRACEKIT_TEST_LEDGER"];
  if (ledger === undefined) return;
  for (const [name, version] of Object.entries(versions)) appendFileSync(ledger, `${name}@${version}\n`);
}
