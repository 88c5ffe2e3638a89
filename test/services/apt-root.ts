import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { repositoryRoot } from "../support/built.ts";
import { withLock } from "../support/lock.ts";
import { cleanEnvironment } from "../support/started.ts";
import { findProgram } from "./service.ts";

const run = promisify(execFile);

/** What a program in such a folder needs to find its libraries. Give it to nothing else: node with somebody else's
 *  libraries does not start. */
export function aptLibraries(folder: string): { LD_LIBRARY_PATH: string } {
  const triplet = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
  // Some Debian packages still unpack into /lib.
  return { LD_LIBRARY_PATH: `${folder}/usr/lib/${triplet}:${folder}/lib/${triplet}` };
}

/** Downloads packages and what they depend on with apt, and unpacks them below `node_modules/.cache`: without root and
 *  without touching the system. Once per package list; later calls find it. Gives the folder that holds `usr/bin`. Throws where there is no apt (Debian, Ubuntu)
 *  and when a download fails. */
export async function ensureAptRoot(packages: string[], onProgress?: (message: string) => void): Promise<string> {
  for (const program of ["apt-get", "dpkg-deb"]) {
    if (!findProgram(program)) throw new Error(`this machine has no ${program}`);
  }
  const cache = join(repositoryRoot, "node_modules/.cache/tracekit-services");
  const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  const key = JSON.stringify([packages, process.arch, /^VERSION_CODENAME=.*/m.exec(release)?.[0]]);
  const folder = join(cache, createHash("sha256").update(key).digest("hex").slice(0, 16));
  if (existsSync(folder)) return folder;

  return withLock(folder, async () => {
    if (existsSync(folder)) return folder;
    onProgress?.(`downloading ${packages.join(", ")} from Debian (first run only)…`);
    mkdirSync(cache, { recursive: true });
    const work = mkdtempSync(join(cache, "unfinished-"));
    try {
      await unpackInto(work, packages);
      renameSync(join(work, "root"), folder);
    } catch (error) {
      const { stderr = "" } = error as { stderr?: string };
      throw new Error(`apt could not fetch ${packages.join(", ")}: ${(error as Error).message}\n${stderr}`, {
        cause: error,
      });
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
    return folder;
  });
}

async function unpackInto(work: string, packages: string[]): Promise<void> {
  const state = join(work, "apt");
  const archives = join(state, "cache/archives");
  mkdirSync(join(state, "lists/partial"), { recursive: true });
  mkdirSync(join(archives, "partial"), { recursive: true });
  mkdirSync(join(work, "root"));
  const settings = {
    "Dir::State": state,
    "Dir::State::lists": join(state, "lists"),
    "Dir::State::status": "/var/lib/dpkg/status",
    "Dir::Cache": join(state, "cache"),
    "Debug::NoLocking": "1",
    // apt would hand its downloads to the user _apt, who cannot write here.
    "APT::Sandbox::User": "",
    "Acquire::Retries": "3",
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  const env = { ...cleanEnvironment(), LC_ALL: "C" };
  const apt = (...args: string[]): Promise<{ stdout: string }> =>
    run("apt-get", [...options, "-qq", ...args], { cwd: archives, env, maxBuffer: 64 << 20 });

  await apt("update");
  // Lines look like: 'http://host/redis-server_7.0.15_amd64.deb' redis-server_5%3a7.0.15_amd64.deb 72444 SHA256:…
  const { stdout } = await apt("--print-uris", "--yes", "--no-install-recommends", "install", ...packages);
  const names = [...stdout.matchAll(/^'[^']+' ([^_\s]+)_/gm)].map((match) => match[1] ?? "");
  if (names.length === 0) throw new Error(`apt offers nothing to download:\n${stdout}`);
  await apt("download", ...names);
  for (const file of readdirSync(archives).filter((name) => name.endsWith(".deb"))) {
    await run("dpkg-deb", ["-x", join(archives, file), join(work, "root")], { env });
  }
}
