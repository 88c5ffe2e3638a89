import { chmodSync } from "node:fs";
import { join } from "node:path";
import { installLibraries } from "../support/library.ts";
import { makeScratchFolder, reachable, startServer } from "./service.ts";
import type { Service } from "./service.ts";

/** fauxqs, an emulator of AWS's SQS, SNS and S3 from npm: `TRACEKIT_TEST_AWS_URL` if set, else a process of its own. Empty;
 *  any credentials will do, and the region is eu-central-1. Rejects with npm's or the server's output. */
export async function startFauxqs(): Promise<Service> {
  const given = process.env["TRACEKIT_TEST_AWS_URL"];
  if (given) return { url: given, stop: async () => {} };
  const scratchFolder = makeScratchFolder("fauxqs");
  // The last version that runs on Node 20: later ones want node:sqlite.
  const libraries = await installLibraries({ fauxqs: "1.9.2" });
  // Servers run as "nobody", and the folder is closed to others.
  chmodSync(libraries, 0o755);
  const folder = reachable(libraries, scratchFolder);
  const { port, stop } = await startServer({
    name: "fauxqs",
    scratchFolder,
    server: (freePort) => ({
      command: process.execPath,
      args: [join(folder, "node_modules/fauxqs/dist/server.js")],
      env: { FAUXQS_PORT: String(freePort), FAUXQS_LOGGER: "false", FAUXQS_DEFAULT_REGION: "eu-central-1" },
    }),
    handshake: {
      say: "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
      hears: (answer) => answer.startsWith("HTTP/1.1"),
    },
  });
  return { url: `http://127.0.0.1:${port}`, stop };
}
