import { join } from "node:path";
import { aptLibraries, ensureAptRoot } from "./apt-root.ts";
import { findProgram, makeScratchFolder, reachable, startServer } from "./service.ts";
import type { Service, StartOptions } from "./service.ts";

/** An empty Redis: `TRACEKIT_TEST_REDIS_URL` if set (then `stop` leaves it alone), the system's `redis-server`, or
 *  Debian's, downloaded once. Rejects, naming the command that installs it, when there is none. */
export async function startRedis(options: StartOptions = {}): Promise<Service> {
  const given = process.env["TRACEKIT_TEST_REDIS_URL"];
  if (given) return { url: given, stop: async () => {} };
  const system = findProgram("redis-server");
  const unpacked = system === undefined ? await download(options) : undefined;

  const scratchFolder = makeScratchFolder("redis");
  const root = unpacked && reachable(unpacked, scratchFolder);
  const { port, stop } = await startServer({
    name: "Redis",
    scratchFolder,
    server: (freePort) => ({
      command: root ? join(root, "usr/bin/redis-server") : (system ?? ""),
      args: ["--port", String(freePort), "--bind", "127.0.0.1", "--save", "", "--dir", scratchFolder],
      env: root ? aptLibraries(root) : {},
    }),
    handshake: { say: "PING\r\n", hears: (answer) => answer.startsWith("+PONG") },
  });
  return { url: `redis://127.0.0.1:${port}`, stop };
}

async function download({ onProgress }: StartOptions): Promise<string> {
  try {
    return await ensureAptRoot(["redis-server"], onProgress);
  } catch (error) {
    throw new Error(
      'Redis is missing. Install it with "apt-get install redis-server" or "brew install redis", ' +
        `or name a running one in TRACEKIT_TEST_REDIS_URL. (Downloading it failed: ${(error as Error).message})`,
      { cause: error },
    );
  }
}
