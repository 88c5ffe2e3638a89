#!/usr/bin/env node
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { version } from "../../package.json";
import { StoreError } from "../store/store.ts";
import { closest, readArguments } from "./arguments.ts";
import { Failure, UsageError } from "./command.ts";
import type { Program } from "./command.ts";
import { dashboard } from "./dashboard-command.ts";
import { dev } from "./dev-command.ts";
import { helpOf, helpOfAll } from "./help.ts";
import { tail } from "./tail-command.ts";
import { isTraced, runUntraced } from "./untraced.ts";

/** `tracekit-dashboard` of this package, and what `tracekit` of @tracekit/auto imports to have these commands. */
const commands = [dashboard, dev, tail];

const file = fileURLToPath(import.meta.url);
const startedAs = realpathSync(process.argv[1] ?? file);
const program: Program = { name: startedAs === file ? "tracekit-dashboard" : "tracekit", version, file, startedAs };

if (isTraced()) await runUntraced();
process.exitCode = await main(process.argv.slice(2));

/** Gives the exit code. */
async function main(words: readonly string[]): Promise<number> {
  const [first, ...rest] = words;
  if (first === "help" && rest.length > 0) return main([...rest, "--help"]);
  if (first === "help" || ((first === "--help" || first === "-h") && rest.length === 0)) {
    process.stdout.write(helpOfAll(commands, program));
    return 0;
  }
  if (first === "--version" || first === "-v") {
    process.stdout.write(`${version}\n`);
    return 0;
  }
  // By itself it is the dashboard: `npx @tracekit/dashboard --port 9500`.
  const isNamed = first !== undefined && !first.startsWith("-");
  const command = isNamed ? commands.find(({ name }) => name === first) : dashboard;
  if (command === undefined) return unknownCommand(first ?? "");
  const own = isNamed ? rest : words;
  const end = own.indexOf("--");
  if (own.slice(0, end === -1 ? undefined : end).some((word) => word === "--help" || word === "-h")) {
    process.stdout.write(helpOf(command, program));
    return 0;
  }
  try {
    return await command.run(readArguments(command, own), program);
  } catch (error) {
    return explain(error, command.name);
  }
}

function unknownCommand(word: string): number {
  const names = commands.map(({ name }) => name);
  const meant = closest(word, names);
  complain(
    `there is no command "${word}".${meant === undefined ? "" : ` Did you mean ${meant}?`}\n` +
      `${program.name} --help lists them: ${names.join(", ")}.`,
  );
  return 2;
}

/** Says what went wrong, to whoever waits for the dashboard in the background too. Gives the exit code. */
function explain(error: unknown, command: string): number {
  if (error instanceof UsageError) {
    complain(`${command}: ${error.message}\n${program.name} ${command} --help lists every option.`);
    process.send?.({ failed: error.message });
    return 2;
  }
  const isExpected = error instanceof Failure || error instanceof StoreError;
  const { message, stack, code } = error as Error & { code?: string };
  complain(isExpected ? message : `this is a bug, please report it: ${stack ?? message}`);
  process.send?.({ failed: message, code });
  if (process.connected) process.disconnect();
  return 1;
}

function complain(text: string): void {
  process.stderr.write(`${program.name}: ${text}\n`);
}
