/** What a piece of SQL is, for its colour. `space` is white space and everything that needs none. */
export type SqlTokenType =
  | "keyword"
  | "function"
  | "identifier"
  | "string"
  | "number"
  | "placeholder"
  | "comment"
  | "operator"
  | "space";

export interface SqlToken {
  type: SqlTokenType;
  text: string;
}

/** Words that are keywords wherever they stand; those that are as often column names (`name`, `type`, `date`) are left out. */
const KEYWORDS = new Set(
  `add all alter always analyze and any array as asc autoincrement auto_increment before begin between by call cascade case
  cast check collate column commit concurrently conflict constraint create cross current current_date current_time
  current_timestamp current_user database deallocate declare default deferrable delete desc describe distinct do drop else
  elsif end escape except exec execute exists explain false fetch filter first following for force foreign from full
  function generated global grant group having if ignore ilike immediate in index inner insert intersect interval into is
  isolation join key last lateral left level like limit listen local lock locked materialized merge natural no not nothing
  notify nowait null nulls of offset on only or order out outer over partition pragma preceding prepare primary procedure
  public range read recursive references refresh reindex release rename repeatable replace restrict return returning
  returns revoke right rollback row rows savepoint schema select sequence serializable session set share show similar skip
  some start straight_join table temp temporary then ties to top transaction trigger true truncate unbounded uncommitted
  union unique unlisten unlogged update using vacuum values view virtual when where window with within without work
  write`.split(/\s+/),
);

/** Tried in this order where the text before is read; each is sticky and reads at least one character. */
const SHAPES: readonly (readonly [SqlTokenType, RegExp])[] = [
  ["space", /\s+/y],
  ["comment", /--[^\n]*/y],
  ["string", /[eEnNbBxX]?'(?:[^'\\]|''|\\[^])*(?:'|$)/y],
  ["identifier", /"(?:[^"]|"")*(?:"|$)|`(?:[^`]|``)*(?:`|$)|\[[A-Za-z_][\w $]*\]/y],
  ["operator", /::|@>|<@|\?[|&]|#>>?|->>?|<=>|[<>!]=|<>|\|\|/y],
  ["placeholder", /\$\d+|[:@$][A-Za-z_]\w*|%\([A-Za-z_]\w*\)s|%s|\?\d*/y],
  ["number", /0[xX][\da-fA-F]+|(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?/y],
  ["identifier", /[\p{L}_][\p{L}\p{N}_$]*/uy],
];

/**
 * Splits SQL of any dialect into coloured pieces. Their texts together are the given text, whatever it is; what is not closed
 * reaches to the end. `system` is `db.system.name`: `#` begins a comment in MySQL, and is an operator elsewhere.
 */
export function tokenizeSql(sql: string, system: string = ""): SqlToken[] {
  const hasHashComments = /^(?:mysql|mariadb)/.test(system);
  const tokens: SqlToken[] = [];
  const push = (type: SqlTokenType, text: string): void => {
    const last = tokens.at(-1);
    if (last !== undefined && last.type === type && (type === "operator" || type === "space")) last.text += text;
    else tokens.push({ type, text });
  };
  for (let at = 0; at < sql.length;) {
    const special = readSpecial(sql, at, hasHashComments);
    const token = special ?? readShape(sql, at) ?? { type: "operator" as const, text: sql.charAt(at) };
    at += token.text.length;
    push(token.type, token.text);
  }
  return tokens;
}

/** What no regular expression reads in one pass: nested comments and dollar quotes. */
function readSpecial(sql: string, at: number, hasHashComments: boolean): SqlToken | undefined {
  const character = sql.charAt(at);
  if (character === "/" && sql[at + 1] === "*") return { type: "comment", text: sql.slice(at, endOfComment(sql, at)) };
  if (character === "#" && hasHashComments) {
    const end = sql.indexOf("\n", at);
    return { type: "comment", text: sql.slice(at, end === -1 ? undefined : end) };
  }
  if (character !== "$") return undefined;
  const quote = /\$(?:[A-Za-z_]\w*)?\$/y;
  quote.lastIndex = at;
  const tag = quote.exec(sql)?.[0];
  if (tag === undefined) return undefined;
  const end = sql.indexOf(tag, at + tag.length);
  return { type: "string", text: sql.slice(at, end === -1 ? undefined : end + tag.length) };
}

function readShape(sql: string, at: number): SqlToken | undefined {
  for (const [type, shape] of SHAPES) {
    shape.lastIndex = at;
    const text = shape.exec(sql)?.[0];
    if (!text) continue;
    if (type !== "identifier" || !/^[\p{L}_]/u.test(text)) return { type, text };
    if (KEYWORDS.has(text.toLowerCase()) && !isQualified(sql, at)) return { type: "keyword", text };
    // With a space between, it is a table and its columns.
    return { type: sql[at + text.length] === "(" ? "function" : type, text };
  }
  return undefined;
}

/** `orders.key` is a column, whatever it is called. */
function isQualified(sql: string, at: number): boolean {
  return sql[at - 1] === ".";
}

/** Behind the comment that starts at `at`. PostgreSQL's nest; a statement of another system that looks nested is rare. */
function endOfComment(sql: string, at: number): number {
  const edge = /\/\*|\*\//g;
  edge.lastIndex = at + 2;
  let depth = 1;
  for (let match = edge.exec(sql); match !== null; match = edge.exec(sql)) {
    depth += match[0] === "/*" ? 1 : -1;
    if (depth === 0) return edge.lastIndex;
  }
  return sql.length;
}
