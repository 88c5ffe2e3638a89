#!/usr/bin/env node
import { spawn } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { version } from "../package.json";
import { fromProcess } from "./config/config.ts";

const HELP = `tracekit ${version}: complete distributed traces for any Node application

Usage
  tracekit run -- <command> [arguments]   run any command with tracing: node, tsx, npm run …
  tracekit config                         show what the environment asks for, and what is wrong with it
  tracekit --help, --version

Examples
  tracekit run -- node app.js
  OTEL_SERVICE_NAME=shop tracekit run -- npm start

The same without this command: node --import @tracekit/auto app.js
Every setting is an environment variable: https://www.npmjs.com/package/@tracekit/auto
`;

const [command, ...rest] = process.argv.slice(2);

switch (command) {
  case "run":
    run(rest[0] === "--" ? rest.slice(1) : rest);
    break;
  case "config":
    showConfig();
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
function run(words: readonly string[]): void {
  const [program, ...args] = words;
  if (program === undefined) {
    process.stderr.write("tracekit run: which command? For example: tracekit run -- node app.js\n");
    process.exitCode = 2;
    return;
  }
  // The file rather than the package's name: the command may start where the package cannot be resolved.
  const preload = `--import ${pathToFileURL(join(__dirname, "register.js")).href}`;
  const env = { ...process.env, NODE_OPTIONS: [process.env["NODE_OPTIONS"], preload].filter(Boolean).join(" ") };
  const child = spawn(program, args, { stdio: "inherit", env, shell: process.platform === "win32" });
  // A terminal's Ctrl-C reaches the child by itself; ours is only to wait for it.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  child.on("error", (error) => {
    process.stderr.write(`tracekit run: ${program} cannot be started: ${error.message}\n`);
    process.exitCode = 127;
  });
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
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
