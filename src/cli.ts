#!/usr/bin/env node
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { version } from "../package.json";
import { fromProcess } from "./config/config.ts";
import { endAs, runCommand } from "./run-command.ts";

const HELP = `tracekit ${version}: complete distributed traces for any Node application

Usage
  tracekit dev -- <command> [arguments]   run any command with tracing, and the dashboard that shows it
  tracekit dashboard                      receive traces, keep them, and show them in the browser
  tracekit tail                           print traces as they complete

  tracekit run -- <command> [arguments]   run any command with tracing: node, tsx, npm run …
  tracekit config                         show what the environment asks for, and what is wrong with it

  tracekit <command> --help               every option of a command
  tracekit --help, --version

Examples
  tracekit dev -- node app.js
  OTEL_SERVICE_NAME=shop tracekit run -- npm start

dev, dashboard and tail need the dashboard: npm install --save-dev @tracekit/dashboard
The same as run without this command: node --import @tracekit/auto app.js
Every setting is an environment variable: https://www.npmjs.com/package/@tracekit/auto
`;

const RUN_HELP = `tracekit run: run any command with tracing

Usage
  tracekit run -- <command> [arguments]

Runs the command with @tracekit/auto loaded into every Node process of it. Input, output, signals and the exit code are the
command's own. To see the traces as well: tracekit dev

Options
  -h, --help        this text

Environment
  OTEL_…            where traces go, and what is recorded: tracekit config shows it
  NODE_OPTIONS      is added to

Examples
  tracekit run -- node app.js                             traces go to http://localhost:4318
  OTEL_SERVICE_NAME=shop tracekit run -- npm start        an npm script, under a name
  tracekit run -- npx tsx src/server.ts                   TypeScript

Exit codes
  the command's     or its signal
  2                 there is no command to run
  127               it cannot be started
`;

const CONFIG_HELP = `tracekit config: show what the environment asks for, and what is wrong with it

Usage
  tracekit config

Options
  -h, --help        this text

Environment
  OTEL_…, TRACEKIT_…    every setting: https://www.npmjs.com/package/@tracekit/auto

Examples
  OTEL_TRACES_SAMPLER=allways_on tracekit config          names the mistake, and what is used instead

Exit codes
  0                 everything is understood
  1                 there are problems; they are listed
`;

const [command, ...rest] = process.argv.slice(2);
const asksForHelp = rest[0] === "--help" || rest[0] === "-h";

switch (command) {
  case "run":
    if (asksForHelp) process.stdout.write(RUN_HELP);
    else void run(rest[0] === "--" ? rest.slice(1) : rest);
    break;
  case "config":
    if (asksForHelp) process.stdout.write(CONFIG_HELP);
    else showConfig();
    break;
  case "dashboard":
  case "dev":
  case "tail":
    handOver(command);
    break;
  case "--version":
  case "-v":
    process.stdout.write(`${version}\n`);
    break;
  case undefined:
  case "help":
  case "--help":
  case "-h":
    process.stdout.write(HELP);
    break;
  default:
    process.stderr.write(`tracekit: there is no command "${command}".\n\n${HELP}`);
    process.exitCode = 2;
}

/** The command inherits the terminal; its exit code or signal becomes ours. */
async function run(words: readonly string[]): Promise<void> {
  if (words.length === 0) {
    process.stderr.write("tracekit run: which command? For example: tracekit run -- node app.js\n");
    process.exitCode = 2;
    return;
  }
  // The file rather than the package's name: the command may start where the package cannot be resolved.
  const preload = `--import ${pathToFileURL(join(__dirname, "register.js")).href}`;
  const env = { ...process.env, NODE_OPTIONS: [process.env["NODE_OPTIONS"], preload].filter(Boolean).join(" ") };
  try {
    endAs(await runCommand(words, env));
  } catch (error) {
    process.stderr.write(`tracekit run: ${words[0]} cannot be started: ${(error as Error).message}\n`);
    process.exit(127);
  }
}

/** The dashboard is a package of its own, for development; loaded, its command line reads the same words. */
function handOver(name: string): void {
  const file = findDashboard();
  if (file === undefined) {
    process.stderr.write(
      `tracekit: ${name} comes with the dashboard, which is not installed here:\n  npm install --save-dev @tracekit/dashboard\n`,
    );
    process.exitCode = 1;
    return;
  }
  void import(pathToFileURL(file).href);
}

/** The application's own, else one beside this package. */
function findDashboard(): string | undefined {
  for (const from of [join(process.cwd(), "package.json"), __filename]) {
    try {
      const file = createRequire(from).resolve("@tracekit/dashboard/cli");
      if (existsSync(file)) return file;
    } catch {
      // The next one.
    }
  }
  return undefined;
}

function showConfig(): void {
  const config = fromProcess();
  const headers = Object.keys(config.otlp.headers);
  const lines: ReadonlyArray<readonly [string, string]> = [
    ["service", config.serviceName || "(disabled)"],
    ["exporters", config.exporters.join(", ") || "none"],
    ["endpoint", `${config.otlp.url} (${config.otlp.protocol}, compression ${config.otlp.compression})`],
    ["headers", headers.length === 0 ? "none" : `${headers.join(", ")} (values not shown)`],
    ["sampler", `${config.sampler.name} ${config.sampler.ratio}`],
    ["propagators", config.propagators.join(", ") || "none"],
    ["capture", [...config.capture.kinds].join(", ") || "none"],
  ];
  for (const [name, value] of lines) process.stdout.write(`${name.padEnd(12)} ${value}\n`);
  for (const problem of config.problems) process.stdout.write(`problem      ${problem}\n`);
  if (config.problems.length > 0) process.exitCode = 1;
}
