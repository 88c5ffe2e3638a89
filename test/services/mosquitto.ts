import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { aptLibraries, ensureAptRoot } from "./apt-root.ts";
import { findProgram, makeScratchFolder, reachable, startServer } from "./service.ts";
import type { Handshake, Service, StartOptions } from "./service.ts";

/** An MQTT broker (versions 3.1.1 and 5): `TRACEKIT_TEST_MQTT_URL` if set (then `stop` leaves it alone), the system's
 *  `mosquitto`, or Debian's, downloaded once. Rejects, naming the command that installs it, when there is none. */
export async function startMosquitto(options: StartOptions = {}): Promise<Service> {
  const given = process.env["TRACEKIT_TEST_MQTT_URL"];
  if (given) return { url: given, stop: async () => {} };
  const system = findProgram("mosquitto");
  const unpacked = system === undefined ? await download(options) : undefined;

  const scratchFolder = makeScratchFolder("mosquitto");
  const root = unpacked && reachable(unpacked, scratchFolder);
  const configFile = join(scratchFolder, "mosquitto.conf");
  const { port, stop } = await startServer({
    name: "Mosquitto",
    scratchFolder,
    server: (freePort) => {
      writeFileSync(configFile, `listener ${freePort} 127.0.0.1\nallow_anonymous true\npersistence false\n`);
      return {
        command: root ? join(root, "usr/sbin/mosquitto") : (system ?? ""),
        args: ["-c", configFile],
        env: root ? aptLibraries(root) : {},
      };
    },
    handshake: connectPacket,
  });
  return { url: `mqtt://127.0.0.1:${port}`, stop };
}

/** MQTT 3.1.1 CONNECT with a clean session and an empty client id; CONNACK with code 0 accepts it. */
const connectPacket: Handshake = {
  say: Buffer.from("\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0", "latin1"),
  hears: (answer) => answer.startsWith("\x20\x02\0\0"),
};

async function download({ onProgress }: StartOptions): Promise<string> {
  try {
    return await ensureAptRoot(["mosquitto"], onProgress);
  } catch (error) {
    throw new Error(
      'Mosquitto is missing. Install it with "apt-get install mosquitto" or "brew install mosquitto", ' +
        `or name a running MQTT broker in TRACEKIT_TEST_MQTT_URL. (Downloading it failed: ${(error as Error).message})`,
      { cause: error },
    );
  }
}
