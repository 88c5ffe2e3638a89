import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { endAs, runCommand } from "../../../src/run-command.ts";
import { Failure, UsageError } from "./command.ts";
import type { Command, Given, Program } from "./command.ts";
import { DEFAULT_PORT, editorOption, portOption, storeOptions } from "./dashboard-command.ts";
import { listenTo } from "./live.ts";
import { openBrowser } from "./open-browser.ts";
import { findProject, makeTracekitFolder } from "./project.ts";
import { whoListens } from "./running.ts";
import { asBefore, untraced } from "./untraced.ts";
import { parsePort } from "./values.ts";

/** Two that start at once both find nobody, and one that ends has its store a moment longer than its port: who comes second
 *  tries for this long. */
const SECOND_MILLIS = 5000;

export const dev: Command = {
  name: "dev",
  summary: "run a command with tracing, and the dashboard beside it",
  usage: "[options] -- <command> [arguments]",
  description: [
    "Runs the command with @tracekit/auto loaded into every Node process of it (CommonJS, ES modules, TypeScript, npm scripts) and with its traces sent to the dashboard. Input, output, signals and the exit code are the command's own.",
    "Where no dashboard runs on the port, it starts one in the background. Others started with `dev` share it, and it ends by itself when none of them runs and no page is open; what it kept is there the next time. Its messages are in .tracekit/dashboard.log.",
  ],
  options: [
    portOption,
    {
      name: "token",
      value: "<secret>",
      description: "What a dashboard that was started with --token wants to be shown.",
    },
    ...storeOptions,
    { name: "open", short: "o", description: "Open the page in the browser." },
    editorOption,
    { name: "quiet", short: "q", description: "Do not print the address." },
  ],
  words: "command",
  environment: [
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "When set, traces go there and not to the dashboard."],
    ["TRACEKIT_DASHBOARD_TOKEN", "The same as --token."],
    ["OTEL_SERVICE_NAME, …", "Every setting of @tracekit/auto: `tracekit config` shows them."],
  ],
  examples: [
    ["dev -- node app.js", "one application"],
    ["dev -- npm start", "an npm script"],
    ["dev --open -- npx tsx watch src/server.ts", "TypeScript, started again at every change"],
    ["dev --memory -- npm test", "a test run whose traces are not kept"],
  ],
  exitCodes: [
    ["the command's", "or its signal"],
    ["1", "the dashboard cannot be started"],
    ["2", "the options make no sense"],
    ["127", "there is no such command"],
  ],
  run,
};

async function run(given: Given, program: Program): Promise<number> {
  const port = parsePort("port", given.text("port") ?? DEFAULT_PORT);
  const token = given.text("token") ?? (process.env["TRACEKIT_DASHBOARD_TOKEN"] || undefined);
  const [name] = given.words;
  if (name === undefined) throw new UsageError(`which command? For example: ${program.name} dev -- node app.js`);

  const url = await useDashboard(port, token, given, program);
  const { env, warnings } = environmentFor(url, token, program);
  for (const warning of warnings) say(warning);
  if (!given.has("quiet")) say(`traces of this command: ${url}`);
  if (given.has("open")) openBrowser(url);
  try {
    const ended = await runCommand(given.words, env);
    endAs(ended);
    // A signal takes effect when it likes.
    return ended.code ?? 1;
  } catch (error) {
    say(`${name} cannot be started: ${(error as Error).message}`);
    process.exit(127);
  }
}

/** The address of the dashboard on this port, which is started if need be, and which knows that it is used. */
async function useDashboard(port: number, token: string | undefined, given: Given, program: Program): Promise<string> {
  const until = Date.now() + SECOND_MILLIS;
  for (;;) {
    try {
      const url = (await findDashboard(port, token, program)) ?? (await startInBackground(port, given, program));
      // One that was about to end, unused, may have answered the question and nothing since.
      if ((await stayConnected(url, token)) || Date.now() > until) return url;
    } catch (error) {
      if (!(error instanceof NotStarted && error.mayBeSecond) || Date.now() > until) throw error;
    }
    await sleep(200);
  }
}

/** The address of the dashboard that runs on this port; undefined where nobody answers. */
async function findDashboard(port: number, token: string | undefined, program: Program): Promise<string | undefined> {
  if (port === 0) return undefined;
  const url = `http://localhost:${port}`;
  const found = await whoListens(url, token);
  if (found.who === "stranger")
    throw new Failure(
      `port ${port} is taken by another program. Choose another one: ${program.name} dev --port ${port + 1} -- …`,
    );
  if (found.who === "dashboard" && found.status === undefined)
    throw new Failure(
      `the dashboard at ${url} wants its token: --token <token>, or TRACEKIT_DASHBOARD_TOKEN in the environment.`,
    );
  return found.who === "nobody" ? undefined : url;
}

/** What the dashboard said instead of its address. */
class NotStarted extends Failure {
  /** Another one has its port or its store, and may be a dashboard that will answer soon. */
  readonly mayBeSecond: boolean;

  constructor(message: string, code: string | undefined) {
    super(message);
    this.mayBeSecond = code === "port_taken" || code === "locked";
  }
}

/**
 * A process of its own, not a part of this one: the dashboard must outlive the command it was started for, as long as another `dev`
 * or a page uses it, and nobody's last spans may be lost because the first `dev` of several ended.
 */
function startInBackground(port: number, given: Given, { file }: Program): Promise<string> {
  const options = ["dashboard", "--until-unused", "--quiet", "--port", String(port)];
  for (const { name, value } of [...storeOptions, editorOption]) {
    if (!given.has(name)) continue;
    const text = given.text(name);
    options.push(value === undefined ? `--${name}` : `--${name}=${text}`);
  }
  const log = given.has("memory") ? "ignore" : openLog();
  const token = given.text("token");
  const child = spawn(process.execPath, [file, ...options], {
    detached: true,
    windowsHide: true,
    stdio: ["ignore", log, log, "ipc"],
    env: { ...untraced(process.env), ...(token !== undefined && { TRACEKIT_DASHBOARD_TOKEN: token }) },
  });
  return new Promise((resolve, reject) => {
    child.once("message", ({ ready, failed, code }: StartMessage) => {
      if (failed !== undefined) reject(new NotStarted(failed, code));
      else resolve(ready ?? "");
    });
    child.once("error", reject);
    // Rather than "exit", which may come before its last message.
    child.once("disconnect", () => {
      const where = log === "ignore" ? "" : " Its messages are in .tracekit/dashboard.log.";
      reject(new Failure(`the dashboard ended at its start.${where}`));
    });
  }).finally(() => {
    if (typeof log === "number") closeSync(log);
    child.removeAllListeners();
    if (child.connected) child.disconnect();
    child.unref();
  }) as Promise<string>;
}

/** What `dashboard` sends to whoever started it with a channel: its address, or why there is none. */
interface StartMessage {
  ready?: string;
  failed?: string;
  code?: string;
}

function openLog(): number | "ignore" {
  try {
    return openSync(join(makeTracekitFolder(findProject(process.cwd())), "dashboard.log"), "w");
  } catch {
    return "ignore";
  }
}

/** What the command gets to know beside our own environment, and what of that will not do what the user expects. */
function environmentFor(
  url: string,
  token: string | undefined,
  program: Program,
): { env: NodeJS.ProcessEnv; warnings: string[] } {
  const env = { ...asBefore(process.env) };
  const warnings: string[] = [];
  const elsewhere = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"].find((name) => env[name]);
  if (elsewhere === undefined) {
    env["OTEL_EXPORTER_OTLP_ENDPOINT"] = url;
    // Some SDKs send gRPC unless they are told otherwise.
    if (!/^http\//.test(env["OTEL_EXPORTER_OTLP_PROTOCOL"] ?? "")) env["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf";
    if (token !== undefined) {
      const shown = `authorization=Bearer%20${encodeURIComponent(token)}`;
      env["OTEL_EXPORTER_OTLP_HEADERS"] = [env["OTEL_EXPORTER_OTLP_HEADERS"], shown].filter(Boolean).join(",");
    }
  } else if (!sameAddress(env[elsewhere] ?? "", url)) {
    warnings.push(`traces go to ${env[elsewhere]} and not to the dashboard, because ${elsewhere} says so.`);
  }
  if (/^true$/i.test(env["OTEL_SDK_DISABLED"] ?? ""))
    warnings.push("nothing is traced, because OTEL_SDK_DISABLED is true.");

  const preload = findPreload(program);
  if (preload === undefined)
    warnings.push(
      "@tracekit/auto is not installed here: what has no OpenTelemetry of its own is not traced. npm install @tracekit/auto",
    );
  else {
    const option = `--import ${pathToFileURL(preload).href}`;
    const own = env["NODE_OPTIONS"];
    if (!own?.includes(option)) env["NODE_OPTIONS"] = own ? `${own} ${option}` : option;
  }
  return { env, warnings };
}

/** The file of `@tracekit/auto`: the application's own, else the one this command came with. */
function findPreload({ startedAs }: Program): string | undefined {
  for (const from of [join(process.cwd(), "package.json"), startedAs]) {
    try {
      return createRequire(from).resolve("@tracekit/auto");
    } catch {
      // The next one.
    }
  }
  return undefined;
}

function sameAddress(one: string, other: string): boolean {
  const local = (text: string): string =>
    URL.canParse(text) ? new URL(text).host.replace(/^(127\.0\.0\.1|\[::1\])/, "localhost") : text;
  return local(one) === local(other);
}

/** Tells the dashboard that it is used: a connection ends with this process, however that ends. Resolves once the dashboard has
 *  answered, with false where it did not. */
function stayConnected(url: string, token: string | undefined): Promise<boolean> {
  return new Promise((resolve) => void connect(url, token, resolve));
}

async function connect(url: string, token: string | undefined, first: (isConnected: boolean) => void): Promise<void> {
  // Of a service nobody has: only the connection is wanted.
  const nothing = new URLSearchParams({ service: "\0" });
  let wasConnected = false;
  for (;;) {
    try {
      for await (const _ of listenTo(url, nothing, { token })) {
        wasConnected = true;
        first(true);
      }
    } catch {
      // It was ended, or is started again: not the command's business.
    }
    first(false);
    if (!wasConnected) return;
    await sleep(1000, undefined, { ref: false });
  }
}

function say(line: string): void {
  process.stderr.write(`tracekit: ${line}\n`);
}
