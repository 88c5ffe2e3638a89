import { execFileSync } from "node:child_process";
import { availableParallelism, cpus, totalmem } from "node:os";
import { repositoryRoot } from "../test/support/built.ts";

/** `--cpu-list` arguments of taskset: the server has a core to itself, everybody else shares the others. */
export interface Cores {
  readonly server: string;
  readonly others: string;
  readonly all: string;
}

/** Moves this process, and so what it starts, off the last core. Undefined where there is no taskset or one core. */
export function reserveCore(): Cores | undefined {
  const count = availableParallelism();
  if (process.platform !== "linux" || count < 2) return undefined;
  const cores = { server: `${count - 1}`, others: `0-${count - 2}`, all: `0-${count - 1}` };
  try {
    moveToCores(cores.others, process.pid);
  } catch {
    return undefined;
  }
  return cores;
}

/** Moves all threads of a process there. Throws when it has ended. */
export function moveToCores(list: string, pid: number): void {
  execFileSync("taskset", ["-a", "-p", "-c", list, String(pid)], { stdio: "ignore" });
}

/** The command that runs `command` on those cores. */
export function onCores(list: string | undefined, command: string, args: string[]): [string, string[]] {
  return list === undefined ? [command, args] : ["taskset", ["-c", list, command, ...args]];
}

/** One line about the hardware. */
export function describeMachine(): string {
  const all = cpus();
  const gibibytes = Math.round(totalmem() / 2 ** 30);
  return `${all.length} × ${all[0]?.model.trim() ?? process.arch}, ${gibibytes} GiB, ${process.platform}`;
}

/** The commit, with "+" when there are changes; "unknown" outside a repository. */
export function describeCommit(): string {
  const git = (...args: string[]): string =>
    execFileSync("git", args, { cwd: repositoryRoot, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    const changed = git("status", "--porcelain", "--", "src", "instrumentations", "benchmarks", "package.json");
    return git("rev-parse", "--short=12", "HEAD") + (changed === "" ? "" : "+");
  } catch {
    return "unknown";
  }
}
