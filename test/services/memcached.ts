import { join } from "node:path";
import { aptLibraries, ensureAptRoot } from "./apt-root.ts";
import { findProgram, makeScratchFolder, reachable, startServer } from "./service.ts";
import type { Service, StartOptions } from "./service.ts";

/** An empty Memcached: `TRACEKIT_TEST_MEMCACHED_URL` if set (then `stop` leaves it alone), the system's `memcached`, or
 *  Debian's, downloaded once. Rejects, naming the command that installs it, when there is none. */
export async function startMemcached(options: StartOptions = {}): Promise<Service> {
  const given = process.env["TRACEKIT_TEST_MEMCACHED_URL"];
  if (given) return { url: given, stop: async () => {} };
  const system = findProgram("memcached");
  const unpacked = system === undefined ? await download(options) : undefined;

  const scratchFolder = makeScratchFolder("memcached");
  const root = unpacked && reachable(unpacked, scratchFolder);
  const { port, stop } = await startServer({
    name: "Memcached",
    scratchFolder,
    server: (freePort) => ({
      command: root ? join(root, "usr/bin/memcached") : (system ?? ""),
      args: ["-l", "127.0.0.1", "-p", String(freePort), "-U", "0", "-m", "16"],
      env: root ? aptLibraries(root) : {},
    }),
    handshake: { say: "version\r\n", hears: (answer) => answer.startsWith("VERSION") },
  });
  return { url: `memcached://127.0.0.1:${port}`, stop };
}

async function download({ onProgress }: StartOptions): Promise<string> {
  try {
    return await ensureAptRoot(["memcached"], onProgress);
  } catch (error) {
    throw new Error(
      'Memcached is missing. Install it with "apt-get install memcached" or "brew install memcached", ' +
        `or name a running one in TRACEKIT_TEST_MEMCACHED_URL. (Downloading it failed: ${(error as Error).message})`,
      { cause: error },
    );
  }
}
