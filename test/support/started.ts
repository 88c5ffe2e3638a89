import { spawn } from "node:child_process";
import type { ChildProcess, SpawnOptions } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Writable } from "node:stream";

/** PATH, HOME and what the system itself needs: nothing the user or the test runner has set reaches a child. */
export function cleanEnvironment(): Record<string, string> {
  // SystemRoot: without it Windows gives a process no random numbers and no sockets.
  const names = ["PATH", "HOME", ...(process.platform === "win32" ? ["SystemRoot", "TEMP"] : [])];
  const pairs = names.map((name) => [name, process.env[name]] as const);
  return Object.fromEntries(pairs.filter((pair): pair is [string, string] => pair[1] !== undefined));
}

let reaper: Writable | undefined;

function tellReaper(line: string): void {
  if (reaper === undefined) {
    // An "exit" handler would not do: nothing runs when a test worker is killed or crashes.
    const child = spawn(process.execPath, [join(import.meta.dirname, "reap.mjs")], {
      detached: true,
      stdio: ["pipe", "ignore", "ignore"],
      env: cleanEnvironment(),
    });
    child.unref();
    reaper = child.stdin;
    reaper.on("error", () => {});
    // A socket in fact; the type says only what every platform has.
    (reaper as Writable & { unref?: () => void }).unref?.();
  }
  reaper.write(`${line}\n`);
}

/** `spawn`, in a process group of its own, which is ended when this process ends in whatever way. */
export function spawnTracked(command: string, args: string[], options: SpawnOptions): ChildProcess {
  const child = spawn(command, args, { ...options, detached: true });
  if (child.pid === undefined) return child;
  const { pid } = child;
  tellReaper(`+pid ${pid}`);
  // While a grandchild lives the group keeps its number; without one, the number may be given to a stranger.
  child.once("exit", () => isGroupAlive(pid) || tellReaper(`-pid ${pid}`));
  return child;
}

/** Whether any process of the group that `spawnTracked` made is left. */
export function isGroupAlive(pid: number): boolean {
  try {
    process.kill(process.platform === "win32" ? pid : -pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Signals the whole group that `spawnTracked` made; nothing happens if it has ended. */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(process.platform === "win32" ? pid : -pid, signal);
  } catch {
    // It ended first.
  }
}

/** `mkdtemp`; the folder goes away with `removeTrackedFolder`, or when this process ends in whatever way. */
export function makeTrackedFolder(prefix: string): string {
  const folder = mkdtempSync(prefix);
  tellReaper(`+folder ${folder}`);
  return folder;
}

/** Never throws: a folder that is still in use is left to the end of the process. */
export function removeTrackedFolder(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    tellReaper(`-folder ${folder}`);
  } catch {
    // The reaper tries again.
  }
}
