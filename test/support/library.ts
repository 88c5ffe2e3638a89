import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { installNode, npm } from "../../scripts/node-binaries.mjs";
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

/** The Node for a folder of `installLibraries`: this one, or Node 22 where one of its libraries asks for that. */
export function nodeFor(folder: string): string {
  const manifestOf = (path: string): { dependencies?: object; engines?: { node?: string } } =>
    JSON.parse(readFileSync(join(path, "package.json"), "utf8"));
  const asked = Object.keys(manifestOf(folder).dependencies ?? {}).map(
    (name) => manifestOf(join(folder, "node_modules", name)).engines?.node ?? "",
  );
  const [major = 0] = process.versions.node.split(".").map(Number);
  const needs22 = asked.some((range) => /^>= ?22\b/.test(range));
  return major < 22 && needs22 ? installNode("22.23.3") : process.execPath;
}

/** The run's end says which versions were tested; see `global-setup.ts`. */
function record(versions: Record<string, string>): void {
  const ledger = process.env["TRACEKIT_TEST_LEDGER"];
  if (ledger === undefined) return;
  for (const [name, version] of Object.entries(versions)) appendFileSync(ledger, `${name}@${version}\n`);
}
