import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { StoreError } from "./store.ts";

// Within one process the owner's pid says nothing.
const mine = new Set<string>();

/**
 * Makes this process the only one that opens the store, until the function it gives is called. The lock is the file
 * `<path>.pid`; that of a process which has died is taken over. Throws a `StoreError` when somebody else has it.
 */
export function lockStore(path: string): () => void {
  const file = `${path}.pid`;
  try {
    makeFolder(dirname(path));
    if (mine.has(path)) throw lockedBy(path, process.pid);
    for (let attempt = 0; !create(file); attempt++) {
      const owner = readOwner(file);
      if (owner === undefined ? attempt > 3 : !isRunning(owner)) takeOver(file, owner);
      // Without content it is either being written at this moment or was when the machine went off.
      else if (owner === undefined) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
      else throw lockedBy(path, owner.pid);
    }
  } catch (error) {
    if (error instanceof StoreError) throw error;
    const { code = "", message } = error as NodeJS.ErrnoException;
    throw new StoreError(
      code === "ENOSPC" || code === "EDQUOT" ? "full" : "unwritable",
      `Cannot write to ${dirname(path)}: ${message}. Choose another --store, or --memory.`,
      { cause: error },
    );
  }
  mine.add(path);
  const release = (): void => {
    if (!mine.delete(path)) return;
    process.removeListener("exit", release);
    rmSync(file, { force: true });
  };
  process.once("exit", release);
  return release;
}

/** Node's own `recursive` never returns where the file system says that a folder's parent is missing though it is there: below /proc,
 *  with Node 20 to 26. */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent);
  try {
    mkdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

interface Owner {
  pid: number;
  /** When the process started, in the system's own words, so that another one with its pid is told apart; `""` where unknown. */
  started: string;
}

function create(file: string): boolean {
  try {
    writeFileSync(file, `${process.pid} ${startOf(process.pid)}\n`, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function readOwner(file: string): Owner | undefined {
  try {
    const [, pid, started = ""] = /^(\d+) (\S*)\n/.exec(readFileSync(file, "utf8")) ?? [];
    return pid === undefined ? undefined : { pid: Number(pid), started };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function takeOver(file: string, expected: Owner | undefined): void {
  const aside = `${file}-${process.pid}`;
  try {
    renameSync(file, aside);
  } catch {
    // Another process was faster.
    return;
  }
  const owner = readOwner(aside);
  // What was moved is not what was judged: somebody had taken over in between, so it is theirs.
  if (owner !== undefined && owner.pid !== expected?.pid) renameSync(aside, file);
  else rmSync(aside, { force: true });
}

function isRunning({ pid, started }: Owner): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, and is somebody else's.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  const current = startOf(pid);
  return started === "" || current === "" || started === current;
}

/** Field 22 of Linux's /proc/<pid>/stat; the name before it may contain anything, spaces and parentheses included. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}

function lockedBy(path: string, pid: number): StoreError {
  return new StoreError(
    "locked",
    `${path} is used by another process (pid ${pid}), most likely a dashboard that is running. ` +
      "Use that one, stop it, or start with another --store or with --memory.",
  );
}
