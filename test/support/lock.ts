import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Runs `work` while no other process on this machine runs work under the same name. Waits without limit for its turn:
 *  the lock is a listening socket, which the system takes back from a process that dies. */
export async function withLock<T>(name: string, work: () => Promise<T>): Promise<T> {
  const address = lockAddress(name);
  const server = createServer((socket) => socket.destroy());
  while (!(await tryListen(server, address))) await sleep(100);
  try {
    return await work();
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

function lockAddress(name: string): string {
  const id = `tracekit-${createHash("sha256").update(name).digest("hex").slice(0, 32)}`;
  if (process.platform === "linux") return `\0${id}`;
  return process.platform === "win32" ? `\\\\.\\pipe\\${id}` : join(tmpdir(), id);
}

async function tryListen(server: Server, address: string): Promise<boolean> {
  const refused = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    server.once("error", resolve);
    server.once("listening", resolve);
    server.listen(address);
  });
  server.removeAllListeners("error").removeAllListeners("listening");
  if (refused === undefined) return true;
  if (refused.code !== "EADDRINUSE") throw refused;
  // macOS has neither abstract sockets nor pipes that vanish: the file of a dead owner answers nobody.
  if (address.startsWith("/") && !(await answers(address))) rmSync(address, { force: true });
  return false;
}

function answers(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(address);
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("close", () => socket.destroy());
  });
}
