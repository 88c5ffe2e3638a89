import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { aptLibraries, ensureAptRoot } from "./apt-root.ts";
import { proxyController } from "./kafka-controller.ts";
import { findProgram, makeScratchFolder, reachable } from "./service.ts";
import type { Service, StartOptions } from "./service.ts";
import { cleanEnvironment, removeTrackedFolder, spawnTracked } from "../support/started.ts";

/**
 * An emulator of a Kafka broker, not Apache Kafka: librdkafka's mock cluster, a TCP server inside `kcat`. It keeps topics
 * (created on first use, four partitions each), consumer groups, offsets and transactions in memory, the latter without
 * hiding what was aborted.
 * `TRACEKIT_TEST_KAFKA_URL` ("kafka://host:port") if set, and then `stop` leaves it alone; the system's `kcat`; or Debian's,
 * downloaded once. Rejects, naming the command that installs it, when there is none.
 */
export async function startKafka(options: StartOptions = {}): Promise<Service> {
  const given = process.env["TRACEKIT_TEST_KAFKA_URL"];
  if (given) return { url: given, stop: async () => {} };
  const system = findProgram("kcat");
  const unpacked = system === undefined ? await download(options) : undefined;

  const scratchFolder = makeScratchFolder("kafka");
  const root = unpacked && reachable(unpacked, scratchFolder);
  // It is a producer that waits for messages on its input.
  const child = spawnTracked(
    root ? join(root, "usr/bin/kcat") : (system ?? ""),
    ["-P", "-b", "mock", "-t", "tracekit-keepalive", "-X", "test.mock.num.brokers=1", "-d", "mock"],
    {
      cwd: "/",
      env: { ...cleanEnvironment(), ...(root ? aptLibraries(root) : {}) },
      stdio: ["pipe", "ignore", "pipe"],
    },
  );
  let proxy: Awaited<ReturnType<typeof proxyController>> | undefined;
  const stop = async (): Promise<void> => {
    proxy?.close();
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      const ended = once(child, "close");
      child.stdin?.destroy();
      // SIGTERM alone would leave it waiting for its own brokers.
      child.kill("SIGKILL");
      await ended;
    }
    removeTrackedFolder(scratchFolder);
  };
  try {
    proxy = await proxyController(await addressOf(child));
    return { url: `kafka://${proxy.address}`, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The address it says it listens on: it chooses the port itself. */
function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = "";
    const fail = (why: string): void => reject(new Error(`The Kafka emulator did not start: ${why}\n${output}`));
    const timer = setTimeout(() => fail("no address in 30 s"), 30_000);
    child.stderr?.on("data", (chunk: Buffer) => {
      // Its log goes on for as long as it lives, and has to be read for as long.
      if (output.length < 10_000) output += chunk.toString();
      const address = /bootstrap\.servers=(127\.0\.0\.1:\d+)/.exec(output)?.[1];
      if (address === undefined) return;
      clearTimeout(timer);
      resolve(address);
    });
    child.once("error", (error) => fail(error.message));
    child.once("close", (code, signal) => fail(`it ended with ${code ?? signal}`));
  });
}

async function download({ onProgress }: StartOptions): Promise<string> {
  try {
    return await ensureAptRoot(["kcat"], onProgress);
  } catch (error) {
    throw new Error(
      'kcat, which holds the Kafka emulator, is missing. Install it with "apt-get install kcat" or "brew install kcat", ' +
        `or name a broker in TRACEKIT_TEST_KAFKA_URL. (Downloading it failed: ${(error as Error).message})`,
      { cause: error },
    );
  }
}
