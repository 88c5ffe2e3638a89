import { chmodSync, existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { aptLibraries, ensureAptRoot } from "./apt-root.ts";
import { freePort, makeScratchFolder, reachable, startServer } from "./service.ts";
import type { Service, StartOptions } from "./service.ts";

/** An empty RabbitMQ: `TRACEKIT_TEST_RABBITMQ_URL` if set (then `stop` leaves it alone), Debian's as the system has it, or
 *  Debian's, downloaded once. Rejects, naming the command that installs it, when there is none. */
export async function startRabbitmq(options: StartOptions = {}): Promise<Service> {
  const given = process.env["TRACEKIT_TEST_RABBITMQ_URL"];
  if (given) return { url: given, stop: async () => {} };
  const unpacked = existsSync("/usr/lib/rabbitmq/lib") ? undefined : await download(options);

  const scratchFolder = makeScratchFolder("rabbitmq");
  const root = unpacked === undefined ? "" : reachable(unpacked, scratchFolder);
  const erlang = join(root, "/usr/lib/erlang");
  const binaries = join(erlang, only(erlang, "erts-"), "bin");
  const servers = join(root, "/usr/lib/rabbitmq/lib");
  const rabbitmq = join(servers, only(servers, "rabbitmq_server-"), "sbin/rabbitmq-server");

  // Debian's `erl` insists on /usr/lib/erlang.
  const erl = join(scratchFolder, "erl");
  const exports = `ROOTDIR='${erlang}' BINDIR='${binaries}' EMU=beam PROGNAME=erl`;
  writeFileSync(erl, `#!/bin/sh\nexport ${exports}\nexec '${join(binaries, "erlexec")}' "$@"\n`);
  // The Erlang port mapper would be started as a daemon, and stay. Here it is a child, in the server's process group.
  const start = join(scratchFolder, "start");
  writeFileSync(start, `#!/bin/sh\n'${join(binaries, "epmd")}' >/dev/null 2>&1 &\nexec '${rabbitmq}'\n`);
  for (const script of [erl, start]) chmodSync(script, 0o755);
  const enabledPlugins = join(scratchFolder, "enabled_plugins");
  writeFileSync(enabledPlugins, "[].\n");
  const config = join(scratchFolder, "rabbitmq.conf");

  const [mapperPort, distributionPort] = [await freePort(), await freePort()];
  const { port, stop } = await startServer({
    name: "RabbitMQ",
    scratchFolder,
    server: (ownPort) => {
      const settings = [`listeners.tcp.local = 127.0.0.1:${ownPort}`, "log.console = true", "log.file = false"];
      writeFileSync(config, `${settings.join("\n")}\n`);
      return {
        command: start,
        args: [],
        env: {
          ...(root === "" ? {} : aptLibraries(root)),
          HOME: scratchFolder,
          PATH: `${scratchFolder}:${process.env["PATH"] ?? ""}`,
          ERL_EPMD_ADDRESS: "127.0.0.1",
          ERL_EPMD_PORT: String(mapperPort),
          RABBITMQ_DIST_PORT: String(distributionPort),
          RABBITMQ_NODENAME: `tracekit${ownPort}@localhost`,
          RABBITMQ_MNESIA_BASE: join(scratchFolder, "mnesia"),
          RABBITMQ_LOG_BASE: join(scratchFolder, "log"),
          RABBITMQ_PID_FILE: join(scratchFolder, "pid"),
          RABBITMQ_CONFIG_FILE: config,
          RABBITMQ_ENABLED_PLUGINS_FILE: enabledPlugins,
          RABBITMQ_CONF_ENV_FILE: "/dev/null",
          // Local only, and one scheduler that does not spin: the tests' machines have few cores.
          RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none",
        },
      };
    },
    // 5 s on a quiet machine.
    timeoutMillis: 120_000,
    // The answer is a method frame on channel 0.
    handshake: { say: "AMQP\0\0\x09\x01", hears: (answer) => answer.startsWith("\x01\0\0") },
  });
  return { url: `amqp://guest:guest@127.0.0.1:${port}`, stop };
}

/** The one entry that starts so. */
function only(folder: string, prefix: string): string {
  const name = readdirSync(folder).find((entry) => entry.startsWith(prefix));
  if (name === undefined) throw new Error(`${folder} holds no ${prefix}*`);
  return name;
}

async function download({ onProgress }: StartOptions): Promise<string> {
  try {
    return await ensureAptRoot(["rabbitmq-server"], onProgress);
  } catch (error) {
    throw new Error(
      'RabbitMQ is missing. Install it with "apt-get install rabbitmq-server", ' +
        `or name a running one in TRACEKIT_TEST_RABBITMQ_URL. (Downloading it failed: ${(error as Error).message})`,
      { cause: error },
    );
  }
}
