import type { Command, Option, Program } from "./command.ts";

const WIDTH = 110;

/** The list of commands. */
export function helpOfAll(commands: readonly Command[], { name, version }: Program): string {
  const lines = commands.map(({ name: command, summary }) => [`${name} ${command}`, summary] as const);
  const [byItself] = name === "tracekit" ? [] : commands;
  return [
    `${name} ${version}: see what your code just did`,
    section("Commands", [
      ...lines,
      ...(byItself === undefined ? [] : [[name, `the same as ${name} ${byItself.name}`] as const]),
      [`${name} <command> --help`, "every option of a command"],
      [`${name} --version`, "which version this is"],
    ]),
    section(
      "Examples",
      commands.flatMap(({ examples }) => examples.slice(0, 1)).map(([words, why]) => [`${name} ${words}`, why]),
    ),
    "",
  ].join("\n\n");
}

/** Everything there is to know about a command. */
export function helpOf(command: Command, { name }: Program): string {
  const { usage, description, options, environment, examples, exitCodes } = command;
  return (
    [
      `${name} ${command.name}: ${command.summary}`,
      `Usage\n  ${name} ${command.name} ${usage}`,
      ...description.map((paragraph) => wrap(paragraph, 0)),
      section("Options", [
        ...options.map((option) => [left(option), right(option)] as const),
        ["-h, --help", "This text."],
      ]),
      ...(environment.length > 0 ? [section("Environment", environment)] : []),
      section(
        "Examples",
        examples.map(([words, why]) => [`${name} ${words}`, why]),
      ),
      section("Exit codes", exitCodes),
    ].join("\n\n") + "\n"
  );
}

function left({ name, short, value }: Option): string {
  return `${short === undefined ? "" : `-${short}, `}--${name}${value === undefined ? "" : ` ${value}`}`;
}

function right({ description, default: fallback }: Option): string {
  return fallback === undefined ? description : `${description} Default: ${fallback}`;
}

/** Two columns below a title. A left side that is too wide has its right side below. */
function section(title: string, rows: ReadonlyArray<readonly [string, string]>): string {
  const column = 4 + Math.min(60, Math.max(...rows.map(([term]) => term.length)));
  const lines = rows.map(([term, text]) => {
    const wrapped = wrap(text, column);
    return term.length + 4 > column ? `  ${term}\n${wrapped}` : `  ${term.padEnd(column - 2)}${wrapped.trimStart()}`;
  });
  return [title, ...lines].join("\n");
}

function wrap(text: string, indent: number): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && indent + line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].map((each) => " ".repeat(indent) + each).join("\n");
}
