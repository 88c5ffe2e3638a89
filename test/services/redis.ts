import { once } from "node:events";
import { chmodSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { aptLibraries, ensureAptRoot } from "./apt-root.ts";
import { findProgram, makeScratchFolder, reachable, startServer } from "./service.ts";
import type { Service, StartOptions } from "./service.ts";

/** An empty Redis: `TRACEKIT_TEST_REDIS_URL` if set (then `stop` leaves it alone), the system's `redis-server`, or
 *  Debian's, downloaded once. Rejects, naming the command that installs it, when there is none. */
export async function startRedis(options: StartOptions = {}): Promise<Service> {
  const given = process.env["TRACEKIT_TEST_REDIS_URL"];
  if (given) return { url: given, stop: async () => {} };
  return startOwnRedis(options);
}

/** The same, always of its own: whoever listens to channels hears all that use the server, whatever their database. */
export async function startOwnRedis(options: StartOptions = {}): Promise<Service> {
  const { port, stop } = await startNode(options, () => []);
  return { url: `redis://127.0.0.1:${port}`, stop };
}

/** Several servers that belong together. `url` is the first of `urls`. */
export interface RedisServers extends Service {
  readonly urls: readonly string[];
}

/** A Redis Cluster of three masters, each with a third of the slots; always of its own. */
export async function startRedisCluster(options: StartOptions = {}): Promise<RedisServers> {
  const nodes = await Promise.all(
    [0, 1, 2].map(() =>
      startNode(options, (port) => [
        "--cluster-enabled",
        "yes",
        "--cluster-config-file",
        "nodes.conf",
        "--cluster-node-timeout",
        "2000",
        // Default: ten thousand above, where there may be no port.
        "--cluster-port",
        String(port > 40_000 ? port - 20_000 : port + 10_000),
      ]),
    ),
  );
  const stop = async (): Promise<void> => void (await Promise.all(nodes.map((node) => node.stop())));
  try {
    const [first, ...others] = nodes.map(({ port }) => port) as [number, number, number];
    const ranges = ["0 5460", "5461 10922", "10923 16383"];
    for (const [index, { port }] of nodes.entries()) await command(port, `CLUSTER ADDSLOTSRANGE ${ranges[index]}`);
    const busOf = (port: number): number => (port > 40_000 ? port - 20_000 : port + 10_000);
    for (const port of others) await command(first, `CLUSTER MEET 127.0.0.1 ${port} ${busOf(port)}`);
    await until("the cluster", async () => {
      const answers = await Promise.all(nodes.map(({ port }) => command(port, "CLUSTER INFO")));
      return answers.every((answer) => /cluster_state:ok/.test(answer) && /cluster_known_nodes:3/.test(answer));
    });
    const urls = nodes.map(({ port }) => `redis://127.0.0.1:${port}`);
    return { url: urls[0] as string, urls, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A Redis and a Sentinel that watches it as "mymaster"; always of its own. `urls` are the sentinel's and the master's. */
export async function startRedisSentinel(options: StartOptions = {}): Promise<RedisServers> {
  const master = await startNode(options, () => []);
  try {
    const sentinel = await startNode(
      options,
      () => ["--sentinel"],
      `sentinel monitor mymaster 127.0.0.1 ${master.port} 1\n`,
    );
    await until("the sentinel", async () =>
      (await command(sentinel.port, "SENTINEL get-master-addr-by-name mymaster")).includes(String(master.port)),
    );
    const urls = [sentinel.port, master.port].map((port) => `redis://127.0.0.1:${port}`);
    const stop = async (): Promise<void> => void (await Promise.all([sentinel.stop(), master.stop()]));
    return { url: urls[0] as string, urls, stop };
  } catch (error) {
    await master.stop();
    throw error;
  }
}

interface Node {
  readonly port: number;
  stop(): Promise<void>;
}

/** `config`: text of its configuration file, which it may rewrite. */
async function startNode(options: StartOptions, args: (port: number) => string[], config?: string): Promise<Node> {
  const system = findProgram("redis-server");
  const unpacked = system === undefined ? await download(options) : undefined;

  const scratchFolder = makeScratchFolder("redis");
  const root = unpacked && reachable(unpacked, scratchFolder);
  const file = join(scratchFolder, "redis.conf");
  if (config !== undefined) {
    writeFileSync(file, config);
    chmodSync(file, 0o666);
  }
  return startServer({
    name: "Redis",
    scratchFolder,
    server: (port) => ({
      command: root ? join(root, "usr/bin/redis-server") : (system ?? ""),
      args: [
        ...(config === undefined ? [] : [file]),
        ...["--port", String(port), "--bind", "127.0.0.1", "--dir", scratchFolder],
        ...(config === undefined ? ["--save", ""] : []),
        ...args(port),
      ],
      env: root ? aptLibraries(root) : {},
    }),
    handshake: { say: "PING\r\n", hears: (answer) => answer.startsWith("+PONG") },
  });
}

/** The raw answer to one command. Rejects with an error reply. */
async function command(port: number, text: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(`${text}\r\n`);
  const [answer] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  if (answer[0] === 45 /* - */) throw new Error(`${text}: ${answer.toString()}`);
  return answer.toString();
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`${what} is not ready after 30 s`);
    await sleep(50);
  }
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
