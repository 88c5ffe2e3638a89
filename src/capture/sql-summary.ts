import { PUNCTUATION, QUOTED, WORD, type SqlTokens } from "./sql-tokens.ts";

const MAX_SUMMARY_CHARS = 255;

const words = (list: string): ReadonlySet<string> => new Set(list.split(" "));

/** Operations that count wherever they stand; any other only as the first word of a statement. */
const QUERIES = words("SELECT INSERT UPDATE DELETE MERGE REPLACE");
/** First words followed by the kind of object they act on, which belongs to the operation: `CREATE TABLE users`. */
const ON_OBJECTS = words("CREATE DROP ALTER TRUNCATE COMMENT REFRESH");
const OBJECTS = words(
  "TABLE VIEW INDEX SCHEMA DATABASE FUNCTION PROCEDURE TRIGGER SEQUENCE TYPE EXTENSION USER ROLE POLICY DOMAIN",
);
/** First words followed directly by a name. */
const ON_NAMES = words("CALL EXEC EXECUTE COPY LOCK VACUUM ANALYZE LISTEN UNLISTEN NOTIFY DESCRIBE USE");
/** May stand between an operation and the name. */
const FILLERS = words(
  "INTO TABLE ONLY LATERAL IGNORE LOW_PRIORITY QUICK OR REPLACE TEMP TEMPORARY UNIQUE UNLOGGED GLOBAL LOCAL MATERIALIZED " +
    "RECURSIVE CONCURRENTLY FOREIGN IF NOT EXISTS",
);
/** Words that end a list of sources, and cannot be a name. */
const CLAUSES = words(
  "WHERE GROUP ORDER HAVING LIMIT OFFSET FETCH FOR UNION INTERSECT EXCEPT ON SET VALUES RETURNING WINDOW DEFAULT AS " +
    "SELECT FROM JOIN USING INNER LEFT RIGHT FULL CROSS NATURAL OUTER WITH",
);
/** Functions whose arguments are separated by FROM. */
const FROM_FUNCTIONS = words("EXTRACT SUBSTRING TRIM OVERLAY POSITION");
/** Table functions that say nothing about the data. */
const PLAIN_FUNCTION = /^(?:UNNEST|GENERATE_SERIES|STRING_TO_TABLE|REGEXP_\w+|JSONB?_\w+|OPENJSON)$/;

export interface SqlSummary {
  /** `db.query.summary`: at most 255 characters, whole operations and targets; "" when nothing was recognised. */
  readonly summary: string;
  /** The operation of the outermost query, as written; "" when nothing was recognised. */
  readonly operation: string;
}

/** What a pair of parentheses, or the statement, is in the middle of. */
interface Frame {
  readonly hasFromArguments: boolean;
  /** The next name is a target. */
  expectsTarget: boolean;
  /** After a comma, another target follows. */
  inSources: boolean;
}

const newFrame = (hasFromArguments: boolean): Frame => ({ hasFromArguments, expectsTarget: false, inSources: false });

/**
 * Operations and their targets in the order of the text, names as written: `INSERT a SELECT b c`. Source:
 * semantic conventions, "Generating a summary of the query".
 */
export function summarizeSql(tokens: SqlTokens): SqlSummary {
  const parts: string[] = [];
  let operation = "";
  let operationDepth = Number.POSITIVE_INFINITY;
  let frames = [newFrame(false)];
  let isStart = true; // of a statement
  let room = MAX_SUMMARY_CHARS + 1;

  for (let i = 0; i < tokens.kinds.length; i++) {
    const kind = tokens.kinds[i]!;
    const word = tokens.words[i]!;
    const frame = frames.at(-1)!;
    let part = "";

    if (kind === PUNCTUATION) {
      if (word === "(") {
        frame.expectsTarget = false;
        frames.push(newFrame(FROM_FUNCTIONS.has(tokens.words[i - 1] ?? "")));
      } else if (word === ")" && frames.length > 1) frames.pop();
      else if (word === "," && frame.inSources) frame.expectsTarget = true;
      else if (word === ";") {
        frames = [newFrame(false)];
        isStart = true;
      }
      continue;
    }

    const isQuery = kind === WORD && QUERIES.has(word) && isOperation(tokens, i, isStart);
    if (isQuery || (isStart && kind === WORD && word !== "WITH")) {
      isStart = false;
      part = nameAt(tokens, i, i);
      if (!/^[A-Za-z]{2,20}$/.test(part)) continue;
      frame.inSources = word === "UPDATE";
      frame.expectsTarget = isQuery
        ? word !== "SELECT" && word !== "DELETE"
        : ON_NAMES.has(word) || ON_OBJECTS.has(word);
      if (frames.length < operationDepth) {
        operation = part;
        operationDepth = frames.length;
      }
      if (ON_OBJECTS.has(word)) {
        let object = i + 1;
        while (FILLERS.has(tokens.words[object] ?? "") && tokens.words[object] !== "TABLE") object++;
        if (OBJECTS.has(tokens.words[object] ?? "")) {
          part += ` ${nameAt(tokens, object, object)}`;
          i = object;
        }
      } else if (word === "START" && tokens.words[i + 1] === "TRANSACTION") {
        i++;
        part += ` ${nameAt(tokens, i, i)}`;
      }
    } else if (kind === WORD && CLAUSES.has(word)) {
      isStart = false;
      const isSource = startsSources(tokens, i, frame);
      frame.inSources = isSource;
      frame.expectsTarget = isSource;
    } else if (frame.expectsTarget && (kind === QUOTED || (kind === WORD && !FILLERS.has(word)))) {
      frame.expectsTarget = false;
      const last = endOfName(tokens, i);
      const isFunction = tokens.words[last + 1] === "(" && frame.inSources;
      if (!(isFunction && PLAIN_FUNCTION.test(word))) part = nameAt(tokens, i, last);
      i = last;
    } else {
      isStart = isStart && kind === WORD;
      if (kind === WORD && word === "INTO") frame.expectsTarget = true;
      else if (kind !== WORD) frame.expectsTarget = false;
    }

    if (part === "") continue;
    room -= part.length + 1;
    if (room < 0) break;
    parts.push(part);
  }
  return { summary: parts.join(" "), operation };
}

/** Not the clause of another statement (`FOR UPDATE`, `ON DELETE CASCADE`), nor a function (`REPLACE(a, b, c)`). */
function isOperation(tokens: SqlTokens, at: number, isStart: boolean): boolean {
  const word = tokens.words[at];
  const before = tokens.words[at - 1];
  const after = tokens.words[at + 1];
  if (isStart || word === "SELECT") return true;
  if (after === "(" || before === "." || after === ".") return false;
  if (word === "REPLACE" || word === "MERGE") return after === "INTO";
  return !["FOR", "ON", "DO", "KEY", "THEN", "OR", "BEFORE", "AFTER", "OF", ","].includes(before ?? "");
}

function startsSources(tokens: SqlTokens, at: number, frame: Frame): boolean {
  const word = tokens.words[at];
  if (word === "JOIN") return true;
  if (word === "USING") return tokens.words[at + 1] !== "(";
  if (word !== "FROM" || frame.hasFromArguments) return false;
  // COPY a FROM STDIN
  if (tokens.words[0] === "COPY" && ["STDIN", "PROGRAM"].includes(tokens.words[at + 1] ?? "")) return false;
  // a IS DISTINCT FROM b
  const before = tokens.words[at - 1];
  return !(before === "DISTINCT" && ["IS", "NOT"].includes(tokens.words[at - 2] ?? ""));
}

/** Index of the last token of a dotted name. */
function endOfName(tokens: SqlTokens, first: number): number {
  let last = first;
  while (tokens.words[last + 1] === "." && (tokens.kinds[last + 2] === WORD || tokens.kinds[last + 2] === QUOTED))
    last += 2;
  return last;
}

function nameAt(tokens: SqlTokens, first: number, last: number): string {
  return tokens.text.slice(tokens.starts[first], tokens.ends[last]);
}
