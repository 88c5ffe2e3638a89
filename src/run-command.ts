import { spawn } from "node:child_process";

/** How a command ended: by its code or by a signal, the other one is null. */
export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** Runs a command in this terminal and waits for its end; signals sent to us reach it. Rejects when it cannot be started. */
export function runCommand(words: readonly string[], env: NodeJS.ProcessEnv): Promise<Ended> {
  const [program = "", ...args] = words;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: "inherit", env, shell: process.platform === "win32" });
    // A terminal's Ctrl-C reaches the child by itself, and twice would be "at once" to many programs; then ours is only to wait.
    const inTerminal = [process.stdin, process.stdout, process.stderr].some(({ isTTY }) => isTTY);
    process.on("SIGINT", () => inTerminal || child.kill("SIGINT"));
    for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
}

/** Ends this process as the command ended. */
export function endAs({ code, signal }: Ended): void {
  if (signal === null) process.exit(code ?? 1);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}
