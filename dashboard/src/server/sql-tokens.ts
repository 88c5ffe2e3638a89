import type { SqlDialect } from "./sql-dialect.ts";

/** A piece of a statement. A place is where a parameter goes: `$1`, `?`, `?2`, `:name`, `@name`, `%s`, `%(name)s`. */
export interface SqlToken {
  kind: "word" | "name" | "string" | "number" | "place" | "operator" | "punctuation" | "comment";
  start: number;
  end: number;
}

export interface SqlTokens {
  tokens: readonly SqlToken[];
  /** False when a string, name or comment has no end: what follows is not known. */
  isComplete: boolean;
}

const WORD = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
const NUMBER = /(?:0[xX][\da-fA-F]+|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)\w*/y;
const DOLLAR_QUOTE = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
const STRING_PREFIX = /(?:[EeNnXxBb]|[Uu]&|_[a-z0-9]+\s*)'/y;
const DOLLAR_PLACE = /\$(?:\d+|[A-Za-z_]\w*)/y;
const QUESTION_PLACE = /\?(?:\?|\d+)?/y;
const COLON_PLACE = /:(?:\d+|[A-Za-z_]\w*)/y;
const AT_PLACE = /@[A-Za-z_]\w*/y;
/** MySQL's and SQL Server's own variables. */
const SYSTEM_VARIABLE = /@@[A-Za-z_][\w.]*/y;
const PERCENT_PLACE = /%(?:s\b|\([^()'"\s]+\)s\b)/y;
/** Longest first. */
const OPERATOR =
  /<=>|->>|#>>|!~\*|-\|-|<->|<#>|@@@|!~~\*?|~~\*?|->|#>|#-|>=|<=|<>|!=|\|\||::|:=|=>|@>|<@|@@|@\?|&&|&<|&>|\?\||\?&|~\*|!~|\^@|<<|>>|\|\/|[-+*/<>=~!@#%^&|?:]/y;

/** Words that a value follows, and not an operator. */
const BEFORE_VALUE = new Set(
  (
    "ALL AND ANY AS BETWEEN BY CASE CALL DATE DISTINCT DEFAULT ELSE ESCAPE EXEC EXECUTE FETCH FIRST FROM HAVING ILIKE IN INTERVAL IS " +
    "LIKE LIMIT NEXT NOT OFFSET ON OR RETURNING SELECT SET SIMILAR SOME THEN TIME TIMESTAMP TIMESTAMPTZ TO TOP USING VALUES " +
    "WHEN WHERE WITH"
  ).split(" "),
);

/** Cuts a statement into pieces, in one pass. White space is left out. */
export function tokenizeSql(text: string, dialect: SqlDialect): SqlTokens {
  const tokens: SqlToken[] = [];
  const { family } = dialect;
  let isComplete = true;
  let at = 0;

  const matched = (pattern: RegExp): number => {
    pattern.lastIndex = at;
    return pattern.test(text) ? pattern.lastIndex : 0;
  };
  const push = (kind: SqlToken["kind"], end: number): void => {
    tokens.push({ kind, start: at, end });
    at = end;
  };
  /** Up to and with `mark`; a doubled one stays inside. */
  const quoted = (kind: SqlToken["kind"], from: number, mark: string, hasBackslashes: boolean): void => {
    let i = from;
    for (; i < text.length; i++) {
      const c = text[i];
      if (c === "\\" && hasBackslashes) i++;
      else if (c === mark) {
        if (text[i + 1] !== mark) return push(kind, i + 1);
        i++;
      }
    }
    isComplete = false;
    push(kind, text.length);
  };
  const blockComment = (): void => {
    const isNested = family === "postgresql" || family === "mssql";
    let depth = 1;
    let i = at + 2;
    for (; i < text.length && depth > 0; i++) {
      if (text.startsWith("*/", i)) {
        depth--;
        i++;
      } else if (isNested && text.startsWith("/*", i)) {
        depth++;
        i++;
      }
    }
    if (depth > 0) isComplete = false;
    push("comment", i);
  };
  const lineComment = (): void => {
    const end = text.indexOf("\n", at);
    push("comment", end === -1 ? text.length : end);
  };
  const followsValue = (): boolean => {
    const last = tokens.findLast(({ kind }) => kind !== "comment");
    if (last === undefined) return false;
    const word = text.slice(last.start, last.end);
    if (last.kind === "word") return !BEFORE_VALUE.has(word.toUpperCase());
    return last.kind === "operator" || last.kind === "punctuation" ? word === ")" || word === "]" : true;
  };
  /** A name or number right before: `[1:n]`, `a:b`. */
  const isGlued = (): boolean => at > 0 && /[\w\])$\u0080-\uffff:]/.test(text[at - 1] as string);

  while (at < text.length) {
    const c = text[at] as string;
    const next = text[at + 1];
    let end: number;
    if (/\s/.test(c)) at++;
    else if (c === "-" && next === "-") lineComment();
    else if (c === "/" && next === "*") blockComment();
    else if (c === "#" && family === "mysql") lineComment();
    else if ((end = matched(STRING_PREFIX)) > 0)
      quoted("string", end, "'", dialect.hasBackslashes || (/[Ee]/.test(c) && next === "'"));
    else if (c === "'") quoted("string", at + 1, "'", dialect.hasBackslashes);
    else if (c === '"')
      quoted(family === "mysql" ? "string" : "name", at + 1, '"', dialect.hasBackslashes && family === "mysql");
    else if (c === "`") quoted("name", at + 1, "`", false);
    else if (c === "[" && (family === "mssql" || (family === "sqlite" && /[A-Za-z_]/.test(next ?? ""))))
      quoted("name", at + 1, "]", false);
    else if (c === "$" && family === "postgresql" && (end = matched(DOLLAR_QUOTE)) > 0) {
      const close = text.indexOf(text.slice(at, end), end);
      if (close === -1) isComplete = false;
      push("string", close === -1 ? text.length : close + end - at);
    } else if (c === "$" && (end = matched(DOLLAR_PLACE)) > 0) push("place", end);
    else if (c === "@" && (family === "mysql" || family === "mssql") && (end = matched(SYSTEM_VARIABLE)) > 0)
      push("word", end);
    else if ((end = matched(WORD)) > 0) push("word", end);
    else if ((end = matched(NUMBER)) > 0) push("number", end);
    else if (c === "?" && !isOperator(family, text, at, followsValue)) push("place", matched(QUESTION_PLACE));
    else if (c === ":" && next !== ":" && next !== "=" && !isGlued() && (end = matched(COLON_PLACE)) > 0) {
      // `items[:2]`
      const isSlice = family === "postgresql" && /\d/.test(next ?? "");
      push(isSlice ? "operator" : "place", isSlice ? at + 1 : end);
    } else if (c === "@" && text[at - 1] !== "@" && (end = matched(AT_PLACE)) > 0) push("place", end);
    else if (c === "%" && !followsNumber(tokens) && (end = matched(PERCENT_PLACE)) > 0) push("place", end);
    else if ((end = matched(OPERATOR)) > 0) push("operator", end);
    else push("punctuation", at + 1);
  }
  return { tokens, isComplete };
}

/** PostgreSQL asks with `?` whether JSON has a key; drivers for other languages have it for parameters there, too. */
function isOperator(family: SqlDialect["family"], text: string, at: number, followsValue: () => boolean): boolean {
  if (family !== "postgresql") return false;
  return text[at + 1] === "|" || text[at + 1] === "&" || followsValue();
}

/** `7 %s` is a remainder. */
function followsNumber(tokens: readonly SqlToken[]): boolean {
  return tokens.at(-1)?.kind === "number";
}
