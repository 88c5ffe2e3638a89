import type { ChildProcess } from "node:child_process";
import { accessSync, chownSync, constants, cpSync, existsSync, statSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  cleanEnvironment,
  isGroupAlive,
  makeTrackedFolder,
  removeTrackedFolder,
  signalGroup,
  spawnTracked,
} from "../support/started.ts";

/** A real server, ready for clients. `stop` resolves when no process and no file of it is left; it may be called twice. */
export interface Service {
  url: string;
  stop(): Promise<void>;
}

export interface StartOptions {
  /** Told about what takes long, such as a download. Default: nobody. */
  onProgress?: (message: string) => void;
}

/** PostgreSQL refuses to run as root, and no test server needs to: uid and gid of "nobody". */
const unprivileged = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

/** An empty folder that the server may write to. It goes away with `removeTrackedFolder` or with this process. */
export function makeScratchFolder(name: string): string {
  const folder = makeTrackedFolder(join(tmpdir(), `tracekit-${name}-`));
  if (unprivileged.uid !== undefined) chownSync(folder, unprivileged.uid, unprivileged.gid);
  return folder;
}

/** `folder`, or a copy of it in the scratch folder when "nobody" cannot get there, as in a checkout below a private home. */
export function reachable(folder: string, scratchFolder: string): string {
  if (unprivileged.uid === undefined) return folder;
  for (let path = folder; path !== dirname(path); path = dirname(path)) {
    if ((statSync(path).mode & 0o001) !== 0) continue;
    const copy = join(scratchFolder, "program");
    if (!existsSync(copy)) cpSync(folder, copy, { recursive: true, verbatimSymlinks: true });
    return copy;
  }
  return folder;
}

/** The absolute path of a program in PATH or in the folders where Debian keeps servers. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/local/bin", "/usr/sbin", "/usr/bin"];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export interface ServerProcess {
  command: string;
  args: string[];
  env?: Record<string, string>;
}

/** Runs a program to its end, unprivileged. Rejects with its output when it fails. */
export async function runUnprivileged({ command, args, env }: ServerProcess): Promise<void> {
  const child = spawnServer({ command, args, env: env ?? {} });
  const [code] = await child.ended;
  if (code !== 0) throw new Error(`${command} ended with ${code}\n${child.output()}`);
}

/** Starts a server on a free port of 127.0.0.1 and waits until `handshake` gets its answer. `stopSignal` is what asks for
 *  a quick and clean end, default SIGTERM; after 3 s it is SIGKILL. Rejects with the server's output, after
 *  `timeoutMillis` (default 30 000) without an answer, too. */
export async function startServer(options: {
  name: string;
  scratchFolder: string;
  server: (port: number) => ServerProcess;
  handshake: Handshake;
  stopSignal?: NodeJS.Signals;
  timeoutMillis?: number;
}): Promise<{ port: number; stop(): Promise<void> }> {
  const { name, server, handshake, stopSignal = "SIGTERM", scratchFolder, timeoutMillis = 30_000 } = options;
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const child = spawnServer(server(port));
    const stop = async (): Promise<void> => {
      await stopProcess(child, stopSignal);
      removeTrackedFolder(scratchFolder);
    };
    try {
      await waitUntilReady(child, port, handshake, timeoutMillis);
      return { port, stop };
    } catch (error) {
      // Between finding a port and using it, somebody else may have taken it.
      if (child.hasEnded() && /in use/i.test(child.output()) && attempt < 3) continue;
      await stop();
      throw new Error(`${name} did not start: ${(error as Error).message}\n${child.output()}`, {
        cause: error,
      });
    }
  }
}

interface RunningServer {
  child: ChildProcess;
  output(): string;
  hasEnded(): boolean;
  ended: Promise<[code: number | string | null]>;
}

function spawnServer({ command, args, env }: ServerProcess): RunningServer {
  const child = spawnTracked(command, args, {
    ...unprivileged,
    // Our own folder may be closed to "nobody".
    cwd: "/",
    env: { ...cleanEnvironment(), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let ended = false;
  const read = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-10_000);
  };
  child.stdout?.on("data", read);
  child.stderr?.on("data", read);
  const end = new Promise<[number | string | null]>((resolve) => {
    child.once("close", (code, signal) => resolve([code ?? signal]));
    child.once("error", (error) => resolve([error.message]));
  }).then((result) => {
    ended = true;
    return result;
  });
  return { child, output: () => output, hasEnded: () => ended, ended: end };
}

async function stopProcess({ child, ended, hasEnded }: RunningServer, signal: NodeJS.Signals): Promise<void> {
  if (hasEnded() || child.pid === undefined) return;
  child.kill(signal);
  const killer = setTimeout(() => child.kill("SIGKILL"), 3000);
  await ended;
  clearTimeout(killer);
  // A server that was killed may leave helpers in its group.
  if (isGroupAlive(child.pid)) signalGroup(child.pid, "SIGKILL");
}

async function waitUntilReady(
  server: RunningServer,
  port: number,
  handshake: Handshake,
  timeoutMillis: number,
): Promise<void> {
  const deadline = Date.now() + timeoutMillis;
  for (;;) {
    const ready = await answers(port, handshake);
    if (server.hasEnded()) throw new Error(`it ended with ${(await server.ended)[0]}`);
    if (ready) return;
    if (Date.now() > deadline) throw new Error(`no answer in ${timeoutMillis} ms`);
    await sleep(20);
  }
}

/** What a client says first, and how a server that is ready answers: an open port proves nothing. */
export interface Handshake {
  say: Uint8Array | string;
  hears: (answer: string) => boolean;
}

function answers(port: number, { say, hears }: Handshake): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const done = (result: boolean): void => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(5000, () => done(false));
    socket.once("connect", () => socket.write(say));
    socket.once("data", (data) => done(hears(data.toString("latin1"))));
    socket.once("error", () => done(false));
    socket.once("close", () => done(false));
  });
}

/** A TCP port of 127.0.0.1 that nobody listens on now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
