// The Node binaries that tests and benchmarks run applications on: from npm, once, into node_modules/.cache.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The supported Nodes. 20.19.0 is the oldest that package.json's "engines" promises. */
export const nodeVersions = ["20.19.0", "20.20.2", "22.23.3", "24.21.0", "26.10.0"];

const cache = join(import.meta.dirname, "../node_modules/.cache/tracekit-nodes");

/** The path of that Node's binary, installed if need be. Throws when npm does. */
export function installNode(version) {
  const platform = process.platform === "win32" ? "win" : process.platform;
  const name = `node-${platform}-${process.arch}`;
  const folder = join(cache, version);
  const binary = join(folder, "node_modules", name, "bin", process.platform === "win32" ? "node.exe" : "node");
  if (!existsSync(binary)) {
    console.error(`installing Node ${version} (first run only)…`);
    mkdirSync(cache, { recursive: true });
    const unfinished = mkdtempSync(join(cache, "unfinished-"));
    writeFileSync(join(unfinished, "package.json"), '{"private":true}');
    npm(["install", `${name}@${version}`], unfinished);
    rmSync(folder, { recursive: true, force: true });
    renameSync(unfinished, folder);
  }
  const says = execFileSync(binary, ["--version"], { encoding: "utf8" }).trim();
  if (says !== `v${version}`) throw new Error(`${binary} says it is ${says}`);
  return binary;
}

/** Runs npm and gives its output. No scripts: the package promises to work without them, and so must what it needs. */
export function npm(args, cwd) {
  const options = { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], shell: process.platform === "win32" };
  return execFileSync("npm", [...args, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], options);
}
