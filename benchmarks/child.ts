import { cleanEnvironment, signalGroup, spawnTracked } from "../test/support/started.ts";
import { onCores } from "./machine.ts";

/** A process of the benchmark that answers questions over IPC. */
export interface Child {
  readonly pid: number;
  /** Rejects with what the process said when it ends first. */
  ask<Answer>(what: string, order?: object): Promise<Answer>;
  /** The first line on stdout that matches. Rejects like `ask`. */
  line(pattern: RegExp): Promise<RegExpMatchArray>;
  /** When the process has ended, in whatever way. Never rejects. */
  readonly ended: Promise<void>;
  stop(): void;
}

interface Message {
  id: number;
  answer?: unknown;
  error?: string;
}

/** Starts Node with an IPC channel and nothing of our environment. It ends with this process, in whatever way that
 *  ends. */
export function startChild(
  node: string,
  args: string[],
  options: { cores?: string | undefined; env?: Record<string, string> } = {},
): Child {
  const [command, allArgs] = onCores(options.cores, node, args);
  const child = spawnTracked(command, allArgs, {
    env: { ...cleanEnvironment(), ...options.env },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  let stdout = "";
  let stderr = "";
  let stopped = false;
  const waiting = new Map<number, { resolve: (answer: never) => void; reject: (error: Error) => void }>();
  const watchers = new Set<() => void>();
  let failure: Error | undefined;

  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    for (const watch of watchers) watch();
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-10_000);
  });
  child.on("message", (message) => {
    const { id, answer, error } = message as Message;
    const waiter = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) waiter?.resolve(answer as never);
    else waiter?.reject(new Error(`${describe()}: ${error}\n${stderr}`));
  });
  const describe = (): string => `node ${args.join(" ")}`;
  const fail = (how: string): void => {
    if (stopped) return;
    failure = new Error(`${describe()} ${how}\n${stdout}${stderr}`);
    for (const { reject } of waiting.values()) reject(failure);
    for (const watch of watchers) watch();
  };
  child.once("error", (error) => fail(`did not start: ${error.message}`));
  child.once("close", (code, signal) => fail(`ended with ${signal ?? code}`));

  let lastId = 0;
  return {
    pid: child.pid ?? -1,
    ask: (what, order = {}) =>
      new Promise((resolve, reject) => {
        if (failure !== undefined) return reject(failure);
        const id = ++lastId;
        waiting.set(id, { resolve, reject });
        child.send({ ...order, id, ask: what });
      }),
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const watch = (): void => {
          const match = pattern.exec(stdout.slice(0, stdout.lastIndexOf("\n") + 1));
          if (match === null && failure === undefined) return;
          watchers.delete(watch);
          if (match !== null) resolve(match);
          else reject(failure ?? new Error("unreachable"));
        };
        watchers.add(watch);
        watch();
      }),
    ended: new Promise((resolve) => child.once("close", () => resolve())),
    stop() {
      stopped = true;
      if (child.pid !== undefined) signalGroup(child.pid, "SIGKILL");
    },
  };
}
