import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { repositoryRoot } from "./built.ts";
import { nodeFor } from "./library.ts";
import { cleanEnvironment, makeTrackedFolder, removeTrackedFolder, signalGroup, spawnTracked } from "./started.ts";

/** What to run. Either `file` or `code`. */
export interface AppOptions {
  file?: string;
  /** Source text, written to a folder of its own from which the repository's packages resolve. */
  code?: string;
  /** How `code` is to be read. Default "esm". */
  type?: "cjs" | "esm";
  /** More files beside `code`: relative path to text. */
  files?: Record<string, string>;
  /** How the preload is given. Default "import". */
  preload?: "import" | "require" | "node-options" | "none";
  /** A folder of `installLibraries`, from whose `node_modules` the code's imports resolve before the repository's. */
  libraries?: string;
  /** Added to PATH and HOME, which are all a child inherits. */
  env?: Record<string, string>;
  args?: string[];
  /** Node's own arguments, after the preload. */
  nodeArgs?: string[];
  /** Default: the folder of `code`; for `file`, its folder. */
  cwd?: string;
}

export interface AppExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface App {
  pid: number;
  child: ChildProcess;
  /** Output so far. */
  readonly stdout: string;
  readonly stderr: string;
  /** The first line of either output, past or to come, that matches. Rejects, showing both outputs, when the app ends
   *  without it or after `timeoutMillis` (default 20 000). */
  waitForLine(pattern: RegExp, timeoutMillis?: number): Promise<RegExpMatchArray>;
  /** The number in a line "listening <port>". Rejects like `waitForLine`. */
  port(): Promise<number>;
  /** When the app has ended and all its output was read. Never rejects. */
  exited: Promise<AppExit>;
  /** Signals the app (default SIGTERM), not its children, and resolves as `exited` does. */
  kill(signal?: NodeJS.Signals): Promise<AppExit>;
}

/** Starts a Node application as a user would, with the built package as the preload (see `TRACEKIT_TEST_PACKAGE_DIR`).
 *  It is killed, with its children, when the test process ends. Throws when the package is not built. */
export function startApp(options: AppOptions): App {
  const { folder, file } = place(options);
  const packageFolder = process.env["TRACEKIT_TEST_PACKAGE_DIR"];
  const cwd = options.cwd ?? folder ?? (packageFolder || dirname(resolve(options.file ?? "")));
  const preload = options.preload ?? "import";
  const env: Record<string, string> = { ...cleanEnvironment(), ...options.env };
  const nodeArgs: string[] = [];
  if (preload === "node-options") {
    env["NODE_OPTIONS"] = `${env["NODE_OPTIONS"] ?? ""} --import ${preloadSpecifier("import", cwd)}`.trim();
  } else if (preload !== "none") {
    nodeArgs.push(`--${preload}`, preloadSpecifier(preload, cwd));
  }
  nodeArgs.push(...(options.nodeArgs ?? []));

  // The Node under test, not the one that runs the tests.
  const ownNode = options.libraries === undefined ? process.execPath : nodeFor(options.libraries);
  const node = process.env["TRACEKIT_TEST_NODE"] || ownNode;
  const child = spawnTracked(node, [...nodeArgs, file, ...(options.args ?? [])], {
    cwd,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });

  let stdout = "";
  let stderr = "";
  let ended: string | undefined;
  const waiters = new Set<() => void>();
  const notify = (): void => {
    for (const check of waiters) check();
  };
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    notify();
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    notify();
  });
  const exited = new Promise<AppExit>((resolveExit) => {
    const settle = (code: number | null, signal: NodeJS.Signals | null, how: string): void => {
      ended ??= how;
      if (folder !== undefined) removeTrackedFolder(folder);
      notify();
      resolveExit({ code, signal });
    };
    child.once("close", (code, signal) => settle(code, signal, `it ended with ${signal ?? `code ${code}`}`));
    child.once("error", (error) => settle(null, null, `it did not start: ${error.message}`));
  });

  const app: App = {
    pid: child.pid ?? -1,
    child,
    get stdout() {
      return stdout;
    },
    get stderr() {
      return stderr;
    },
    waitForLine: (pattern, timeoutMillis = 20_000) =>
      new Promise((resolveLine, reject) => {
        const finish = (settle: () => void): void => {
          clearTimeout(timer);
          waiters.delete(check);
          settle();
        };
        const fail = (why: string): void =>
          finish(() => reject(new Error(`no line matched ${pattern}: ${why}\n${outputs(app)}`)));
        const timer = setTimeout(() => fail(`waited ${timeoutMillis} ms`), timeoutMillis);
        const check = (): void => {
          const match = findLine(stdout, pattern, ended) ?? findLine(stderr, pattern, ended);
          if (match) finish(() => resolveLine(match));
          else if (ended !== undefined) fail(ended);
        };
        waiters.add(check);
        check();
      }),
    port: async () => Number((await app.waitForLine(/listening (\d+)/))[1]),
    exited,
    kill(signal = "SIGTERM") {
      child.kill(signal);
      return exited;
    },
  };
  return app;
}

/** Runs an application to its end. Kills it and throws, showing both outputs, after `timeoutMillis` (default 30 000). */
export async function runApp(
  options: AppOptions & { timeoutMillis?: number },
): Promise<AppExit & { stdout: string; stderr: string }> {
  const app = startApp(options);
  const timeoutMillis = options.timeoutMillis ?? 30_000;
  let overdue = false;
  const timer = setTimeout(() => {
    overdue = true;
    signalGroup(app.pid, "SIGKILL");
  }, timeoutMillis);
  const exit = await app.exited;
  clearTimeout(timer);
  if (overdue) throw new Error(`the application ran longer than ${timeoutMillis} ms\n${outputs(app)}`);
  return { ...exit, stdout: app.stdout, stderr: app.stderr };
}

function place(options: AppOptions): { folder?: string; file: string } {
  if (options.code === undefined) {
    if (options.file === undefined) throw new Error("startApp needs a file or code");
    return { file: resolve(options.file) };
  }
  const parent = join(process.env["TRACEKIT_TEST_PACKAGE_DIR"] || join(repositoryRoot, "test"), ".tmp");
  mkdirSync(parent, { recursive: true });
  const folder = makeTrackedFolder(join(parent, "app-"));
  const main = options.type === "cjs" ? "app.cjs" : "app.mjs";
  for (const [name, text] of Object.entries({ ...options.files, [main]: options.code })) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  if (options.libraries !== undefined) {
    for (const name of ["package.json", "node_modules"]) symlinkSync(join(options.libraries, name), join(folder, name));
  }
  return { folder, file: join(folder, main) };
}

/** The bare package name where it is installed, as in the documentation; else the built file. */
function preloadSpecifier(how: "import" | "require", cwd: string): string {
  const buildError = process.env["TRACEKIT_TEST_BUILD_ERROR"];
  let file = join(repositoryRoot, "dist/register.js");
  const packageFolder = process.env["TRACEKIT_TEST_PACKAGE_DIR"];
  if (packageFolder) {
    if (resolve(cwd).startsWith(resolve(packageFolder))) return "@tracekit/auto";
    file = createRequire(join(resolve(packageFolder), "x.js")).resolve("@tracekit/auto");
  } else if (buildError) {
    throw new Error(buildError);
  }
  if (!existsSync(file)) throw new Error(`${file} is missing: npm run build`);
  return how === "import" ? pathToFileURL(file).href : file;
}

/** The last line may still be growing, so it counts only once the application has ended. */
function findLine(output: string, pattern: RegExp, ended: string | undefined): RegExpMatchArray | undefined {
  const lines = output.split("\n");
  if (ended === undefined) lines.pop();
  for (const line of lines) {
    const match = line.match(pattern);
    if (match) return match;
  }
  return undefined;
}

function outputs(app: App): string {
  return `--- stdout ---\n${app.stdout}\n--- stderr ---\n${app.stderr}`;
}
