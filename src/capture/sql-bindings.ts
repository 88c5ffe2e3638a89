import type { SensitiveNames } from "./names.ts";
import { PARAMETER, PUNCTUATION, QUOTED, STRING, WORD, type SqlTokens } from "./sql-tokens.ts";

const words = (list: string): ReadonlySet<string> => new Set(list.split(" "));

const KEYWORDS = words(
  "ALL ALTER ANALYZE AND ANY ARRAY AS ASC BEGIN BETWEEN BY CALL CASE CAST COLLATE COMMIT CONFLICT CONSTRAINT CREATE CROSS " +
    "CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP DATABASE DEFAULT DELETE DESC DISTINCT DO DROP DUPLICATE ELSE END ESCAPE " +
    "EXCEPT EXEC EXECUTE EXISTS EXPLAIN FALSE FETCH FILTER FIRST FOR FROM FULL GLOB GROUP HAVING IF IGNORE ILIKE IN INNER " +
    "INSERT INTERSECT INTERVAL INTO IS ISNULL JOIN LAST LATERAL LEFT LIKE LIMIT LOCK MATCH MATCHED MATERIALIZED MERGE " +
    "NATURAL NEXT NOT NOTHING NOTNULL NOWAIT NULL NULLS OFFSET ON ONLY OR ORDER OUTER OVER OVERRIDING PARTITION RECURSIVE " +
    "REGEXP REPLACE RETURNING RIGHT RLIKE ROLLBACK ROW ROWS SELECT SET SHARE SIMILAR SKIP SOME TABLE THEN TO TOP TRUE " +
    "UNION UNIQUE UNKNOWN UPDATE USING VALUES VIEW WHEN WHERE WINDOW WITH XOR",
);
/** Begin a clause whose parts, separated by commas, have nothing to do with each other. */
const SLOT_CLAUSES = words(
  "SELECT SET VALUES FROM JOIN INTO UPDATE DELETE INSERT BY RETURNING CALL EXEC EXECUTE WITH UNION INTERSECT EXCEPT WINDOW",
);
/** Begin a clause made of conditions joined by AND and OR. */
const CONDITION_CLAUSES = words("WHERE ON HAVING");
/** What is bound here is a number of rows. */
const ROW_COUNT_CLAUSES = words("LIMIT OFFSET FETCH TOP");

const BEFORE_TABLE = words("FROM JOIN INTO TABLE");
const VALUE_FOLLOWS = words("= < > LIKE ILIKE REGEXP RLIKE THEN ELSE BETWEEN");

/** Functions that are given a secret, whatever their result is compared with. */
const SECRET_FUNCTION =
  /^(?:crypt|hmac|digest|md5|sha\d*|sha[12]?_?\d+|gen_?salt|password|old_password|hashbytes|standard_hash|(?:pgp|aes|des)_\w+|(?:en|de)crypt\w*|(?:check|verify|validate|set|change|reset|create|add|register|update)_?(?:user|account|login|pass|pwd)\w*|\w*(?:log_?in|sign_?in|sign_?up|authenticate)\w*)$/i;

/** Of the ciphers that SQLite can be built with. */
const PRAGMA_KEY = /^(?:HEX|TEXT)?(?:RE)?KEY$/;

/** A stretch of a statement in which columns and parameters belong together, such as one comparison. */
interface Term {
  isSensitive: boolean;
  /** Some column is named, so that a parameter is known to be about it. */
  isNamed: boolean;
  /** A term inside which this one stands, when its meaning is passed on (`password = CASE ... END`). */
  readonly outer: Term | undefined;
}

type Mode = "slots" | "conditions" | "expression";

interface Frame {
  mode: Mode;
  term: Term;
  /** The term of what stands around, for a select list in parentheses. */
  readonly outer: Term | undefined;
  /** Columns that the slots of this frame are assigned to, in order. */
  columns: readonly boolean[] | undefined;
  slot: number;
  /** Opened by CASE, closed by END. */
  readonly isCase: boolean;
  readonly isRow: boolean;
  readonly isCast: boolean;
  isBetween: boolean;
  /** The names here are those of rows that go elsewhere (a FROM clause, the select list of a subquery), so a
   *  harmless one does not make a parameter harmless. */
  provesNothing: boolean;
}

interface Occurrence {
  readonly token: number;
  readonly term: Term;
}

export interface SqlBindings {
  /** By position: whether the parameter may not be shown. */
  readonly positions: readonly boolean[];
  /** By name, without its sigil. */
  readonly names: ReadonlyMap<string, boolean>;
  /** Distinct parameters seen. */
  readonly count: number;
  /** Whether a parameter that was not seen may not be shown. */
  readonly hidesUnknown: boolean;
  /** Double-quoted tokens that are strings (MySQL) rather than names. */
  readonly quotedStrings: ReadonlySet<number>;
}

/**
 * Which column each parameter is bound to, without a grammar: a statement is split into terms at commas, AND, OR
 * and clause words, and a parameter belongs to the columns named in its term. The values of an INSERT belong to its
 * columns by position. A parameter without a column is hidden if the statement names anything sensitive at all.
 */
export function bindSql(tokens: SqlTokens, names: SensitiveNames): SqlBindings {
  return new Binder(tokens, names).bind();
}

const newTerm = (outer?: Term): Term => ({ isSensitive: false, isNamed: false, outer });
const isSensitive = (term: Term | undefined): boolean =>
  term !== undefined && (term.isSensitive || isSensitive(term.outer));
const isNamed = (term: Term | undefined): boolean => term !== undefined && (term.isNamed || isNamed(term.outer));

class Binder {
  readonly #tokens: SqlTokens;
  readonly #names: SensitiveNames;
  readonly #parameters: Occurrence[] = [];
  /** Double-quoted tokens where a value is expected. */
  readonly #quoted: Occurrence[] = [];
  readonly #surelyStrings = new Set<number>();
  #hasQuotedNames = false;
  #frames: Frame[];
  #mentionsSensitive = false;
  /** Columns of the INSERT that is being read; null when it lists none. */
  #insertColumns: readonly boolean[] | null | undefined;
  /** Between INSERT and its first clause: later parentheses hold arguments. */
  #expectsColumns = false;
  #insertDepth = 0;

  constructor(tokens: SqlTokens, names: SensitiveNames) {
    this.#tokens = tokens;
    this.#names = names;
    this.#frames = [this.#newFrame("slots", newTerm(), undefined)];
  }

  bind(): SqlBindings {
    const { kinds } = this.#tokens;
    for (let i = 0; i < kinds.length; i++) {
      switch (kinds[i]) {
        case WORD:
          i = this.#word(i);
          break;
        case QUOTED:
          this.#quotedName(i);
          break;
        case STRING:
          // The path of a JSON value: data->>'password' = $1, jsonb_set(data, '{password}', $1).
          if (this.#isSensitiveText(i)) this.#name(true);
          break;
        case PARAMETER:
          this.#parameter(i);
          break;
        case PUNCTUATION:
          this.#punctuation(i, this.#tokens.words[i]!);
          break;
      }
    }
    return this.#result();
  }

  get #frame(): Frame {
    return this.#frames[this.#frames.length - 1]!;
  }

  #newFrame(mode: Mode, term: Term, outer: Term | undefined, kind?: "case" | "row" | "cast"): Frame {
    return {
      mode,
      term,
      outer,
      columns: undefined,
      slot: 0,
      isCase: kind === "case",
      isRow: kind === "row",
      isCast: kind === "cast",
      isBetween: false,
      provesNothing: this.#frames?.at(-1)?.provesNothing ?? false,
    };
  }

  #name(isSensitiveName: boolean): void {
    const { term, provesNothing } = this.#frame;
    if (!provesNothing) term.isNamed = true;
    if (isSensitiveName) {
      term.isSensitive = true;
      this.#mentionsSensitive = true;
    }
  }

  #word(at: number): number {
    const { words: all } = this.#tokens;
    const word = all[at]!;
    const next = all[at + 1];
    if (next === "(" && !KEYWORDS.has(word)) {
      // MySQL's other word for VALUES.
      if (word === "VALUE" && this.#isInInsert() && all[at - 1] !== "INTO" && all[at - 1] !== ".") {
        this.#clause(at, "VALUES");
      } else this.#call(at);
      return at;
    }
    if (word === "PRAGMA" && PRAGMA_KEY.test(next ?? "")) return this.#secretPragma(at);
    if (!KEYWORDS.has(word) || next === "." || all[at - 1] === ".") {
      this.#column(at, this.#textOf(at));
      return at;
    }
    const frame = this.#frame;
    if (word === "CASE") {
      this.#frames.push(this.#newFrame("expression", frame.term, frame.outer, "case"));
    } else if (word === "END") {
      if (frame.isCase) this.#frames.pop();
    } else if (word === "BETWEEN") frame.isBetween = true;
    else if (word === "AND" && frame.isBetween) frame.isBetween = false;
    else if (word === "AND" || word === "OR" || word === "XOR") {
      if (frame.mode === "conditions") frame.term = newTerm();
    } else if (word === "AS" && frame.isCast) return this.#skipType(at);
    else if (!this.#isInsidePhrase(at, word)) this.#clause(at, word);
    return at;
  }

  /** `a IS DISTINCT FROM b`, `IDENTIFIED BY 'secret'`: no clause begins here. */
  #isInsidePhrase(at: number, word: string): boolean {
    const { words: all } = this.#tokens;
    if (word === "BY") return all[at - 1] === "IDENTIFIED";
    return word === "FROM" && all[at - 1] === "DISTINCT" && ["IS", "NOT"].includes(all[at - 2] ?? "");
  }

  #clause(at: number, word: string): void {
    if (word === "INSERT" || (word === "REPLACE" && this.#isReplaceStatement(at))) {
      this.#insertColumns = null;
      this.#insertDepth = this.#frames.length;
      this.#expectsColumns = true;
    } else if (word === "SELECT" || word === "WITH" || word === "VALUES") this.#beginRows();
    else if (word === "SET") this.#expectsColumns = false;
    if (ROW_COUNT_CLAUSES.has(word)) {
      this.#enter("expression", newTerm());
      this.#frame.term.isNamed = true;
    } else if (CONDITION_CLAUSES.has(word)) this.#enter("conditions", newTerm());
    else if (word === "SELECT") {
      this.#enter("slots", newTerm(this.#frame.outer));
      this.#frame.provesNothing = this.#frames.length > 1;
      if (this.#isInInsert()) this.#assign();
    } else if (word === "VALUES") {
      this.#enter("slots", newTerm());
      // VALUES ? in the mysql driver: whole rows.
      if (this.#isInInsert()) {
        this.#frame.term.isNamed = true;
        this.#frame.term.isSensitive = this.#insertColumns?.includes(true) ?? true;
      }
    } else if (SLOT_CLAUSES.has(word) && !(word === "FROM" && this.#frame.mode === "expression")) {
      this.#enter("slots", newTerm());
      this.#frame.provesNothing = word === "FROM" || word === "JOIN" || word === "WITH";
    }
  }

  /** The rows of an INSERT begin. Without a list of its columns nobody knows what is in them, however it gets there. */
  #beginRows(): void {
    if (this.#expectsColumns) this.#mentionsSensitive = true;
    this.#expectsColumns = false;
  }

  /** In the outermost part of an INSERT, where its columns and rows are. */
  #isInInsert(): boolean {
    return this.#insertColumns !== undefined && this.#insertDepth === this.#frames.length;
  }

  /** Not the function, nor `CREATE OR REPLACE`. */
  #isReplaceStatement(at: number): boolean {
    const { words: all } = this.#tokens;
    return all[at + 1] === "INTO" || (all[at + 1] !== "(" && (at === 0 || all[at - 1] === ";"));
  }

  /** `PRAGMA key = x`: SQLite ciphers take a bare word, too. */
  #secretPragma(pragma: number): number {
    const { kinds, words: all } = this.#tokens;
    this.#name(true);
    let i = pragma + 1;
    while (i + 1 < kinds.length && all[i + 1] !== ";") {
      i++;
      if (kinds[i] === WORD || kinds[i] === QUOTED) this.#surelyStrings.add(i);
      else if (kinds[i] === PARAMETER) this.#parameter(i);
    }
    return i;
  }

  #enter(mode: Mode, term: Term): void {
    // A clause word ends an unfinished CASE.
    while (this.#frame.isCase) this.#frames.pop();
    const frame = this.#frame;
    frame.mode = mode;
    frame.term = term;
    frame.columns = undefined;
    frame.isBetween = false;
    frame.provesNothing = false;
  }

  /** The slots of this frame now belong to the columns of the INSERT, in order. */
  #assign(): void {
    const frame = this.#frame;
    frame.columns = this.#insertColumns ?? [];
    frame.slot = 0;
    frame.term = this.#slotTerm(frame);
  }

  #slotTerm(frame: Frame): Term {
    if (frame.columns === undefined) return newTerm(frame.mode === "slots" ? frame.outer : undefined);
    // More values than columns, or no columns: nobody knows what they are.
    return { isSensitive: frame.columns[frame.slot] ?? true, isNamed: true, outer: undefined };
  }

  #punctuation(at: number, char: string): void {
    const frame = this.#frame;
    if (char === "(") this.#open(at);
    else if (char === ")") this.#close();
    else if (char === "," && (frame.mode === "slots" || frame.isRow)) {
      frame.slot++;
      frame.term = this.#slotTerm(frame);
    } else if (char === "*" && frame.columns !== undefined && !frame.isRow && this.#isStar(at)) {
      // INSERT ... SELECT *: positions are lost from here on.
      const hidden = frame.columns.includes(true) || this.#insertColumns === null;
      frame.columns = Array<boolean>(1000).fill(hidden);
      frame.term = this.#slotTerm(frame);
    } else if (char === ";") {
      this.#frames = [this.#newFrame("slots", newTerm(), undefined)];
      this.#insertColumns = undefined;
    }
  }

  #isStar(at: number): boolean {
    return ["SELECT", ",", ".", "DISTINCT", "ALL"].includes(this.#tokens.words[at - 1] ?? "");
  }

  #open(at: number): void {
    const { words: all } = this.#tokens;
    const frame = this.#frame;
    const before = all[at - 1] ?? "";
    const next = all[at + 1] ?? "";
    if (next === "SELECT" || next === "WITH" || next === "VALUES") {
      this.#beginRows();
      this.#frames.push(this.#newFrame("slots", newTerm(frame.term), frame.term));
    } else if (this.#isInInsert() && this.#isRow(at)) {
      const row = this.#newFrame("slots", frame.term, undefined, "row");
      this.#frames.push(row);
      this.#assign();
    } else if (this.#expectsColumns && this.#isInInsert() && this.#isColumnList(at)) {
      this.#insertColumns = this.#readColumns(at);
      this.#expectsColumns = false;
      // Slots, not an expression: what is in double quotes here is a name.
      this.#frames.push(this.#newFrame("slots", newTerm(), undefined));
    } else {
      const isCondition =
        frame.mode === "conditions" && (CONDITION_CLAUSES.has(before) || ["AND", "OR", "NOT", "("].includes(before));
      const kind = before === "CAST" || before === "TRY_CAST" || before === "CONVERT" ? "cast" : undefined;
      const mode = isCondition ? "conditions" : "expression";
      this.#frames.push(this.#newFrame(mode, frame.term, undefined, kind));
    }
  }

  #close(): void {
    while (this.#frames.length > 1 && this.#frame.isCase) this.#frames.pop();
    if (this.#frames.length === 1) return;
    if (this.#frames.length === this.#insertDepth) this.#insertColumns = undefined;
    const closed = this.#frames.pop()!;
    // One placeholder for several columns is expanded by the driver: INSERT INTO t (a, b) VALUES (?).
    if (closed.isRow && closed.slot === 0 && (closed.columns?.length ?? 0) > 1) {
      closed.term.isSensitive ||= closed.columns!.includes(true);
    }
  }

  /** After VALUES, or after another row. */
  #isRow(at: number): boolean {
    const before = this.#tokens.words[at - 1];
    if (before === "VALUES" || before === "VALUE" || before === "ROW") return true;
    return before === "," && this.#tokens.words[at - 2] === ")" && this.#frame.mode === "slots" && !this.#frame.columns;
  }

  #isColumnList(at: number): boolean {
    const kind = this.#tokens.kinds[at - 1];
    const before = this.#tokens.words[at - 1];
    if (before === ")") return this.#endsPartition(at - 1);
    return kind === QUOTED || before === "INSERT" || (kind === WORD && !KEYWORDS.has(before!));
  }

  /** `INSERT INTO t PARTITION (p0, p1) (a, b)` */
  #endsPartition(close: number): boolean {
    let open = close;
    while (open > 0 && this.#tokens.words[open] !== "(") open--;
    return this.#tokens.words[open - 1] === "PARTITION";
  }

  #readColumns(open: number): boolean[] {
    const { kinds, words: all } = this.#tokens;
    const columns: boolean[] = [];
    let isStart = true;
    for (let i = open + 1; i < kinds.length && all[i] !== ")"; i++) {
      if (all[i] === ",") isStart = true;
      else if (isStart && (kinds[i] === WORD || kinds[i] === QUOTED)) {
        columns.push(this.#names.has(this.#textOf(i)));
        isStart = false;
      }
    }
    return columns;
  }

  #call(at: number): void {
    const name = this.#textOf(at);
    const before = this.#tokens.words[at - 1];
    // INSERT INTO t (a, b): a list of columns. A table called tokens is a mention, and no more.
    const isTable = before === "INTO" || (before === "." && this.#insertColumns === null);
    if (isTable) this.#mention(name);
    else if (this.#names.has(name) || SECRET_FUNCTION.test(name)) this.#name(true);
  }

  #quotedName(at: number): void {
    const next = this.#tokens.words[at + 1];
    const before = this.#tokens.words[at - 1] ?? "";
    const name = this.#textOf(at).slice(1, -1);
    if (this.#tokens.text.charCodeAt(this.#tokens.starts[at]!) === 34) {
      if (next === "." || before === "." || !this.#isValuePosition(at, before)) this.#hasQuotedNames = true;
      else if (this.#frame.isRow || this.#tokens.hasBackticks || !/^[A-Za-z_][\w$]*$/.test(name))
        this.#surelyStrings.add(at);
      else this.#quoted.push({ token: at, term: this.#frame.term });
    }
    if (next === "(") this.#call(at);
    else this.#column(at, name);
  }

  #isValuePosition(at: number, before: string): boolean {
    if (before === "(" || before === ",") return this.#frame.isRow || this.#frame.mode === "expression";
    if (before === "AND") return this.#tokens.words[at - 3] === "BETWEEN";
    return VALUE_FOLLOWS.has(before);
  }

  #column(at: number, name: string): void {
    const { words: all, kinds } = this.#tokens;
    const before = all[at - 1];
    if (all[at + 1] === ".") return this.#mention(name); // a table, or an alias of one
    const isTable = before === "UPDATE" ? all[at - 2] !== "KEY" : before !== undefined && BEFORE_TABLE.has(before);
    if (isTable) return this.#mention(name);
    if (all[at] === "IDENTIFIED") return this.#name(true);
    if (kinds[at] === WORD && kinds[at + 1] === STRING) return; // DATE '2024-01-01', _utf8'text'
    this.#name(this.#names.has(name));
  }

  #mention(name: string): void {
    if (this.#names.has(name)) this.#mentionsSensitive = true;
  }

  #parameter(at: number): void {
    const text = this.#textOf(at);
    const name = text.replace(/^[$?:@]+/, "");
    if (name !== "" && !/^\d/.test(name) && this.#names.has(name)) this.#name(true);
    // EXEC p @password = @p1
    if (text.startsWith("@") && this.#tokens.words[at + 1] === "=") this.#frame.term.isNamed = true;
    this.#parameters.push({ token: at, term: this.#frame.term });
  }

  #skipType(as: number): number {
    const { words: all, kinds } = this.#tokens;
    let i = as;
    while (i + 1 < kinds.length && all[i + 1] !== ")" && all[i + 1] !== "(") i++;
    return i;
  }

  #isSensitiveText(at: number): boolean {
    const { starts, ends } = this.#tokens;
    if (ends[at]! - starts[at]! > 64) return false;
    return this.#names.has(this.#textOf(at));
  }

  #textOf(at: number): string {
    return this.#tokens.text.slice(this.#tokens.starts[at], this.#tokens.ends[at]);
  }

  #result(): SqlBindings {
    const hidesUnnamed = this.#mentionsSensitive || !this.#tokens.isComplete;
    const hasNumbered = this.#parameters.some(({ token }) => /^\$\d/.test(this.#textOf(token)));
    const seen = new Map<string, { isSensitive: boolean; isNamed: boolean }>();
    let ordinal = 0;
    for (const { token, term } of this.#parameters) {
      const text = this.#textOf(token);
      let key: string;
      if (text.startsWith("?")) {
        if (hasNumbered) continue; // PostgreSQL's JSON operator
        key = text.length > 1 && text !== "??" ? String(Number(text.slice(1)) - 1) : String(ordinal++);
      } else if (/^[$:]\d+$/.test(text)) key = String(Number(text.slice(1)) - 1);
      else key = text.slice(1);
      const state = seen.get(key) ?? { isSensitive: false, isNamed: false };
      state.isSensitive ||= isSensitive(term);
      state.isNamed ||= isNamed(term);
      seen.set(key, state);
    }

    const positions: boolean[] = [];
    const byName = new Map<string, boolean>();
    for (const [key, state] of seen) {
      const hidden = state.isSensitive || (!state.isNamed && hidesUnnamed);
      if (!/^\d+$/.test(key)) byName.set(key, hidden);
      else if (Number(key) < MAX_POSITIONS) positions[Number(key)] = hidden;
    }
    for (let i = 0; i < positions.length; i++) positions[i] ??= hidesUnnamed;
    return {
      positions,
      names: byName,
      count: seen.size,
      hidesUnknown: hidesUnnamed,
      quotedStrings: new Set([
        ...this.#surelyStrings,
        // Only MySQL writes strings so, and it does not write names so.
        ...this.#quoted.filter(({ term }) => !this.#hasQuotedNames || isSensitive(term)).map(({ token }) => token),
      ]),
    };
  }
}

/** More than anyone looks at; `$999999999` must not allocate an array. */
const MAX_POSITIONS = 4096;
