import { dirname, join } from "node:path";
import { removeTrackedFolder } from "../support/started.ts";
import { aptLibraries, ensureAptRoot } from "./apt-root.ts";
import {
  findProgram,
  makeScratchFolder,
  reachable,
  runUnprivileged,
  startServer,
  type Service,
  type StartOptions,
} from "./service.ts";

/** A MariaDB whose root has no password; tests make databases of their own: `TRACEKIT_TEST_MARIADB_URL` if set (then `stop` leaves
 *  it alone), the system's `mariadbd`, or Debian's, downloaded once. Rejects, naming the command that installs it, when
 *  there is none. */
export async function startMariadb(options: StartOptions = {}): Promise<Service> {
  const given = process.env["TRACEKIT_TEST_MARIADB_URL"];
  if (given) return { url: given, stop: async () => {} };
  const system = findProgram("mariadbd");
  const unpacked = system === undefined ? await download(options) : undefined;

  const scratchFolder = makeScratchFolder("mariadb");
  const data = join(scratchFolder, "data");
  try {
    const root = unpacked && reachable(unpacked, scratchFolder);
    const base = root ? join(root, "usr") : dirname(dirname(system ?? ""));
    const env = {
      PATH: `${join(base, "bin")}:${join(base, "sbin")}:${process.env["PATH"] ?? ""}`,
      ...(root && aptLibraries(root)),
    };
    const messages = `--lc-messages-dir=${join(base, "share/mysql")}`;
    await runUnprivileged({
      command: findProgram("bash") ?? "bash",
      args: [
        join(base, "bin/mariadb-install-db"),
        "--no-defaults",
        `--basedir=${base}`,
        `--datadir=${data}`,
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
        messages,
      ],
      env,
    });
    const { port, stop } = await startServer({
      name: "MariaDB",
      scratchFolder,
      server: (freePort) => ({
        command: system ?? join(base, "sbin/mariadbd"),
        args: [
          "--no-defaults",
          `--basedir=${base}`,
          `--datadir=${data}`,
          "--bind-address=127.0.0.1",
          `--port=${freePort}`,
          `--socket=${join(scratchFolder, "mariadb.sock")}`,
          `--pid-file=${join(scratchFolder, "mariadb.pid")}`,
          "--skip-name-resolve",
          "--innodb-flush-log-at-trx-commit=0",
          "--innodb-buffer-pool-size=16M",
          messages,
          `--character-sets-dir=${join(base, "share/mysql/charsets")}`,
          `--plugin-dir=${join(base, "lib/mysql/plugin")}`,
        ],
        env,
      }),
      // The server speaks first.
      handshake: { say: "", hears: (answer) => answer.includes("MariaDB") },
    });
    return { url: `mysql://root@127.0.0.1:${port}/mysql`, stop };
  } catch (error) {
    removeTrackedFolder(scratchFolder);
    throw error;
  }
}

async function download({ onProgress }: StartOptions): Promise<string> {
  try {
    return await ensureAptRoot(["mariadb-server"], onProgress);
  } catch (error) {
    throw new Error(
      'MariaDB is missing. Install it with "apt-get install mariadb-server" or "brew install mariadb", ' +
        `or name a running one in TRACEKIT_TEST_MARIADB_URL. (Downloading it failed: ${(error as Error).message})`,
      { cause: error },
    );
  }
}
