import type { SqlDialect } from "./sql-dialect.ts";
import { tokenizeSql, type SqlToken } from "./sql-tokens.ts";

/** The formatter takes 30 ms for 1000 characters, and the square of the depth of parentheses. */
const MAX_CHARS = 4000;
const MAX_DEPTH = 30;
const MAX_LINE_CHARS = 100;

/** Operators every dialect has; what is rarer would be torn apart. */
const COMMON_OPERATORS = new Set("= < > <= >= <> != + - * / || :: :".split(" "));

/**
 * The statement with line breaks and indentation, and not a token of it changed: the formatter lays out a stand-in, in which
 * parameters are names and rare operators common ones, and the statement's own tokens take the places of its tokens.
 * Undefined where it is too large or cannot be parsed.
 */
export async function formatSql(
  text: string,
  tokens: readonly SqlToken[],
  dialect: SqlDialect,
): Promise<{ text: string; tokens: readonly SqlToken[] } | undefined> {
  if (text.length > MAX_CHARS || depthOf(text, tokens) > MAX_DEPTH) return undefined;
  // 20 dialects, needed when the first query is looked at.
  const { format } = await import("sql-formatter");
  const standIns = tokens.map((token, index) => standIn(text, token, index));
  let laidOut: string;
  try {
    laidOut = format(withTokens(text, tokens, standIns), {
      language: dialect.language,
      tabWidth: 2,
      expressionWidth: 80,
    });
  } catch {
    return undefined;
  }
  const found = tokenizeSql(laidOut, dialect);
  const isSame =
    found.isComplete &&
    found.tokens.length === tokens.length &&
    found.tokens.every(({ start, end }, index) => sameToken(laidOut.slice(start, end), standIns[index] as string));
  if (!isSame) return undefined;
  const formatted = withTokens(
    laidOut,
    found.tokens,
    tokens.map(({ start, end, kind }, index) => {
      const { start: from, end: to } = found.tokens[index] as SqlToken;
      // The formatter indents a comment's further lines.
      return kind === "comment" ? laidOut.slice(from, to) : text.slice(start, end);
    }),
  );
  const compact = joinShortClauses(formatted, tokenizeSql(formatted, dialect).tokens);
  return { text: compact, tokens: tokenizeSql(compact, dialect).tokens };
}

/** `FROM` and its one table need no two lines. */
function joinShortClauses(text: string, tokens: readonly SqlToken[]): string {
  // A line break inside of these is theirs, and one after a comment ends it.
  if (tokens.some(({ kind, start, end }) => kind === "comment" || text.slice(start, end).includes("\n"))) return text;
  const lines = text.split("\n");
  const indentOf = (line: string | undefined): number => (line === undefined ? -1 : line.search(/\S|$/));
  const joined: string[] = [];
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index] as string;
    const next = lines[index + 1];
    const isAlone = indentOf(next) > indentOf(line) && indentOf(lines[index + 2]) <= indentOf(line);
    const isClause = /^\s*[A-Za-z][A-Za-z ]*$/.test(line);
    const whole = `${line} ${next?.trimStart()}`;
    if (isAlone && isClause && whole.length <= MAX_LINE_CHARS) {
      joined.push(whole);
      index++;
    } else joined.push(line);
  }
  return joined.join("\n");
}

/** `text` with each token replaced. */
export function withTokens(text: string, tokens: readonly SqlToken[], replacements: readonly string[]): string {
  let out = "";
  let done = 0;
  for (const [index, { start, end }] of tokens.entries()) {
    out += text.slice(done, start) + (replacements[index] as string);
    done = end;
  }
  return out + text.slice(done);
}

function standIn(text: string, { kind, start, end }: SqlToken, index: number): string {
  const token = text.slice(start, end);
  if (kind === "place") return `zz${index}zz`;
  if (kind === "operator" && !COMMON_OPERATORS.has(token)) return "||";
  return token;
}

function sameToken(found: string, wanted: string): boolean {
  return found === wanted || found.replaceAll(/\s+/g, " ") === wanted.replaceAll(/\s+/g, " ");
}

function depthOf(text: string, tokens: readonly SqlToken[]): number {
  let depth = 0;
  let deepest = 0;
  for (const { start } of tokens) {
    const c = text[start];
    if (c === "(" || c === "[") deepest = Math.max(deepest, ++depth);
    else if (c === ")" || c === "]") depth--;
  }
  return deepest;
}
