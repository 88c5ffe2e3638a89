import { join } from "node:path";
import { aptLibraries, ensureAptRoot } from "./apt-root.ts";
import { findProgram, makeScratchFolder, reachable, startServer } from "./service.ts";
import type { Service, StartOptions } from "./service.ts";

/** A NATS server with JetStream and no streams: `TRACEKIT_TEST_NATS_URL` if set (then `stop` leaves it alone), the system's
 *  `nats-server`, or Debian's, downloaded once. Rejects, naming the command that installs it, when there is none. */
export async function startNats(options: StartOptions = {}): Promise<Service> {
  const given = process.env["TRACEKIT_TEST_NATS_URL"];
  if (given) return { url: given, stop: async () => {} };
  const system = findProgram("nats-server");
  const unpacked = system === undefined ? await download(options) : undefined;

  const scratchFolder = makeScratchFolder("nats");
  const root = unpacked && reachable(unpacked, scratchFolder);
  const { port, stop } = await startServer({
    name: "NATS",
    scratchFolder,
    server: (freePort) => ({
      command: root ? join(root, "usr/sbin/nats-server") : (system ?? ""),
      args: ["-a", "127.0.0.1", "-p", String(freePort), "-js", "-sd", join(scratchFolder, "jetstream")],
      env: root ? aptLibraries(root) : {},
    }),
    // The server speaks first.
    handshake: { say: "PING\r\n", hears: (answer) => answer.startsWith("INFO ") },
  });
  return { url: `nats://127.0.0.1:${port}`, stop };
}

async function download({ onProgress }: StartOptions): Promise<string> {
  try {
    return await ensureAptRoot(["nats-server"], onProgress);
  } catch (error) {
    throw new Error(
      'NATS is missing. Install it with "apt-get install nats-server" or "brew install nats-server", ' +
        `or name a running one in TRACEKIT_TEST_NATS_URL. (Downloading it failed: ${(error as Error).message})`,
      { cause: error },
    );
  }
}
