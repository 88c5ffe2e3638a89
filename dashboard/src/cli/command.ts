/** An option of a command; the help and the parser are both made of this. */
export interface Option {
  /** Without the dashes. */
  name: string;
  /** One letter, without the dash. */
  short?: string;
  /** What stands for the value in the help: `<port>`. Absent for a switch. */
  value?: string;
  /** May be given more than once. */
  multiple?: true;
  /** As the user would write it; shown, not applied. */
  default?: string;
  description: string;
}

/** What the user wrote, by option name. Switches that were not given are absent. */
export interface Given {
  text(option: string): string | undefined;
  texts(option: string): readonly string[];
  has(option: string): boolean;
  /** Words that belong to no option; for `dev` the command to run. */
  words: readonly string[];
}

export interface Command {
  name: string;
  /** Half a sentence for the list of commands. */
  summary: string;
  /** What follows the name: `[options] -- <command> [arguments]`. */
  usage: string;
  /** Paragraphs. */
  description: readonly string[];
  options: readonly Option[];
  /** What words beside the options are. `command`: from the first of them on, or from `--`, everything is one. */
  words: "none" | "any" | "command";
  environment: ReadonlyArray<readonly [name: string, description: string]>;
  /** Command line without the program's name, and what it does. */
  examples: ReadonlyArray<readonly [words: string, description: string]>;
  exitCodes: ReadonlyArray<readonly [code: string, meaning: string]>;
  /** Resolves with the exit code. Throws a `UsageError` for values that make no sense, a `Failure` for what the user can mend. */
  run(given: Given, program: Program): Promise<number>;
}

/** How this command line was started. */
export interface Program {
  /** `tracekit`, or `tracekit-dashboard` where it was started without `@tracekit/auto`. */
  name: string;
  version: string;
  /** Our own file; what was built beside it is beside it. */
  file: string;
  /** The file that was started, links resolved: this one, or that of `@tracekit/auto`. */
  startedAs: string;
}

/** The words make no sense: exit code 2. */
export class UsageError extends Error {}

/** Something the user can mend stands in the way; the message says how. Exit code 1, no stack. */
export class Failure extends Error {
  /** For `dev`, which looks whether another one has started the dashboard meanwhile. */
  readonly code: "port_taken" | undefined;

  constructor(message: string, code?: Failure["code"]) {
    super(message);
    this.code = code;
  }
}
