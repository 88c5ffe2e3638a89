import { cutToBytes } from "./cut.ts";
import type { SensitiveNames } from "./names.ts";
import type { Redactor } from "./redactor.ts";
import { bindSql, type SqlBindings } from "./sql-bindings.ts";
import { summarizeSql } from "./sql-summary.ts";
import { NUMBER, STRING, tokenizeSql, type SqlDialect, type SqlTokens } from "./sql-tokens.ts";

/** What may be told about a statement, and which of its parameters may not. Never changes once made, but for `note`. */
export interface SqlStatement {
  /** `db.query.summary`: `SELECT urls`, `INSERT a SELECT b`, `BEGIN`; at most 255 characters, never cut inside a
   *  name; "" when nothing was recognised. */
  readonly summary: string;
  /** `SELECT`, as written; "" when nothing was recognised. */
  readonly operation: string;
  /** `db.query.text`: unchanged when it holds no literal, otherwise every literal is `?`; within the byte budget. */
  readonly text: string;
  /** Distinct placeholders seen, with or without a name. */
  readonly parameterCount: number;
  /** Names of the placeholders that have one, without sigil, in the order of the text. */
  readonly parameterNames: readonly string[];
  /** Whether the value of a parameter may not be shown: by position, from 0, for `$1` and `?`; by name, with or
   *  without its sigil, for `:name` and `@name`. */
  isSensitiveParameter(index: number | string): boolean;
  /** What whoever asks wants to find again with the same statement; forgotten with it. */
  note: unknown;
}

/** Reads at most `maxChars` of the statement; what stands behind is told nothing about. Throws nothing. */
export function describeSql(
  text: string,
  names: SensitiveNames,
  redactor: Redactor,
  maxBytes: number,
  maxChars: number,
  dialect?: SqlDialect,
): SqlStatement {
  const tokens = tokenizeSql(text, maxChars, dialect);
  const { summary, operation } = summarizeSql(tokens);
  const bindings = bindSql(tokens, names);
  const shown = withoutLiterals(tokens, bindings, redactor);
  return new DescribedSql(
    redactor.redact(summary),
    operation,
    cutToBytes(shown, maxBytes, text.length > maxChars),
    bindings,
  );
}

class DescribedSql implements SqlStatement {
  readonly summary: string;
  readonly operation: string;
  readonly text: string;
  readonly parameterCount: number;
  readonly parameterNames: readonly string[];
  note: unknown = undefined;
  readonly #positions: readonly boolean[];
  readonly #names: ReadonlyMap<string, boolean>;
  readonly #hidesUnknown: boolean;

  constructor(summary: string, operation: string, text: string, bindings: SqlBindings) {
    this.summary = summary;
    this.operation = operation;
    this.text = text;
    this.parameterCount = bindings.count;
    this.parameterNames = [...bindings.names.keys()];
    this.#positions = bindings.positions;
    this.#names = bindings.names;
    this.#hidesUnknown = bindings.hidesUnknown;
  }

  isSensitiveParameter(index: number | string): boolean {
    const known = typeof index === "number" ? this.#positions[index] : this.#names.get(index.replace(/^[$:@]/, ""));
    return known ?? this.#hidesUnknown;
  }
}

/** The statement with `?` for each literal, and without secrets in its comments. */
function withoutLiterals(tokens: SqlTokens, bindings: SqlBindings, redactor: Redactor): string {
  const { text, kinds, starts, ends, comments } = tokens;
  let out = "";
  let done = 0;
  const replace = (from: number, to: number, replacement: string): void => {
    out += text.slice(done, from) + replacement;
    done = to;
  };
  let comment = 0;
  const commentsBefore = (at: number): void => {
    for (; comment < comments.length && comments[comment]! < at; comment += 2) {
      const from = comments[comment]!;
      const to = comments[comment + 1]!;
      const original = text.slice(from, to);
      const clean = redactor.redact(original);
      if (clean !== original) replace(from, to, clean);
    }
  };
  for (let i = 0; i < kinds.length; i++) {
    commentsBefore(starts[i]!);
    const isLiteral = kinds[i] === STRING || kinds[i] === NUMBER || bindings.quotedStrings.has(i);
    if (isLiteral) replace(starts[i]!, ends[i]!, "?");
  }
  const end = tokens.isComplete ? text.length : (ends.at(-1) ?? 0);
  commentsBefore(end);
  return done === 0 && end === text.length ? text : out + text.slice(done, Math.max(done, end));
}
