import { parseArgs } from "node:util";
import { UsageError } from "./command.ts";
import type { Command, Given, Option } from "./command.ts";

/** Reads the words after the command's name. Throws a `UsageError` that names the word and what was probably meant. */
export function readArguments(command: Command, words: readonly string[]): Given {
  const ofCommand = command.words === "command" ? firstOfCommand(command, words) : undefined;
  const ours = ofCommand === undefined ? words : words.slice(0, ofCommand);
  const texts = new Map<string, string[]>();
  const rest: string[] = [];

  for (const token of tokensOf(command, ours)) {
    if (token.kind === "positional") {
      if (command.words === "none") throw new UsageError(`"${token.value}" is not expected here.`);
      rest.push(token.value);
    }
    if (token.kind !== "option") continue;
    const option = command.options.find(({ name }) => name === token.name);
    if (option === undefined) throw unknown(token.rawName, command);
    const { value, inlineValue } = token;
    if (option.value === undefined) {
      if (value !== undefined) throw new UsageError(`--${option.name} is a switch and takes no value.`);
      texts.set(option.name, []);
      continue;
    }
    // "--since -15m" is a value, "--port --memory" has lost one.
    if (value === undefined || value === "" || (!inlineValue && /^-\D/.test(value)))
      throw new UsageError(`--${option.name} needs a value: --${option.name} ${option.value}`);
    const known = texts.get(option.name);
    if (known !== undefined && option.multiple) known.push(value);
    else texts.set(option.name, [value]);
  }
  if (ofCommand !== undefined) rest.push(...words.slice(words[ofCommand] === "--" ? ofCommand + 1 : ofCommand));
  return {
    text: (option) => texts.get(option)?.[0],
    texts: (option) => texts.get(option) ?? [],
    has: (option) => texts.has(option),
    words: rest,
  };
}

type Tokens = NonNullable<ReturnType<typeof parseArgs>["tokens"]>;

function tokensOf({ options }: Command, words: readonly string[]): Tokens {
  const config = Object.fromEntries(
    options.map(({ name, short, value, multiple }) => [
      name,
      {
        type: value === undefined ? "boolean" : "string",
        ...(short && { short }),
        ...(multiple && { multiple }),
      } as const,
    ]),
  );
  return parseArgs({ args: [...words], options: config, strict: false, allowPositionals: true, tokens: true }).tokens;
}

/** Where the command to run begins: its own options are not ours. */
function firstOfCommand(command: Command, words: readonly string[]): number | undefined {
  const tokens = tokensOf(command, words);
  return tokens.find(({ kind }) => kind === "option-terminator" || kind === "positional")?.index;
}

function unknown(written: string, { options }: Command): UsageError {
  const names = options.map(({ name }: Option) => `--${name}`);
  const meant = closest(written, names);
  return new UsageError(`there is no option ${written}.${meant === undefined ? "" : ` Did you mean ${meant}?`}`);
}

/** The one of `known` that `word` is most likely a slip of; undefined when none is near. */
export function closest(word: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(word.toLowerCase(), candidate) }))
    .toSorted((a, b) => a.distance - b.distance);
  const [best] = ranked;
  return best !== undefined && best.distance <= Math.max(1, Math.floor(word.length / 3)) ? best.candidate : undefined;
}

/** Insertions, deletions, replacements and swaps of neighbours. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(replaced, (last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, (beforeLast[j - 2] ?? 0) + 1);
      row.push(least);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
