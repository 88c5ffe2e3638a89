/** Kinds of tokens. Comments are kept apart; white space and casts (`::text`) are left out. */
export const WORD = 1;
/** `"name"`, `` `name` ``, `[name]`; a double-quoted one may be a string in MySQL. */
export const QUOTED = 2;
export const STRING = 3;
export const NUMBER = 4;
/** `$1`, `?`, `?1`, `:name`, `@name`, `$name`. */
export const PARAMETER = 5;
/** A single character of punctuation, or `->`, `->>`, `#>`, `#>>`. */
export const PUNCTUATION = 6;

/**
 * Whose rules to read a statement by, where the dialects disagree: `mysql` (and MariaDB) has backslash escapes and `#` comments,
 * `standard` (SQLite, PostgreSQL) has neither. Undefined: whatever follows from the statement itself, or nothing.
 */
export type SqlDialect = "mysql" | "standard" | undefined;

/** A statement cut into tokens; parallel arrays, since a bulk insert has tens of thousands of them. */
export interface SqlTokens {
  readonly text: string;
  readonly kinds: number[];
  readonly starts: number[];
  readonly ends: number[];
  /** Words in upper case, the character(s) of punctuation, "" for the rest. */
  readonly words: string[];
  /** Start and end of each comment, alternating. */
  readonly comments: number[];
  readonly hasBackticks: boolean;
  /** False when the text is longer than what was read, or what follows cannot be told: then the tokens end early. */
  readonly isComplete: boolean;
}

const isDigit = (c: number): boolean => c >= 48 && c <= 57;
const isIdentifierStart = (c: number): boolean => (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || c === 95 || c > 127;
const isIdentifier = (c: number): boolean => isIdentifierStart(c) || isDigit(c) || c === 36;

const TYPE_TAIL = new Set(["PRECISION", "VARYING", "WITH", "WITHOUT", "TIME", "ZONE"]);

/**
 * Reads PostgreSQL, MySQL, SQLite and SQL Server alike, in one pass, at most `maxChars` of them. Where the
 * dialects disagree on where a string ends, the tokens end there (`isComplete` is false): a wrong guess would turn
 * literals into identifiers, which are shown.
 */
export function tokenizeSql(text: string, maxChars: number, dialect: SqlDialect): SqlTokens {
  const length = Math.min(text.length, maxChars);
  const tokenizer = new Tokenizer(text, length, dialect);
  while (tokenizer.next());
  return {
    text,
    kinds: tokenizer.kinds,
    starts: tokenizer.starts,
    ends: tokenizer.ends,
    words: tokenizer.words,
    comments: tokenizer.comments,
    hasBackticks: tokenizer.hasBackticks,
    isComplete: !tokenizer.isLost && length === text.length,
  };
}

class Tokenizer {
  readonly kinds: number[] = [];
  readonly starts: number[] = [];
  readonly ends: number[] = [];
  readonly words: string[] = [];
  readonly comments: number[] = [];
  hasBackticks = false;
  isLost = false;
  readonly #text: string;
  readonly #length: number;
  readonly #dialect: SqlDialect;
  #at = 0;
  #sawDollar = false;
  #inExecutableComment = false;

  constructor(text: string, length: number, dialect: SqlDialect) {
    this.#text = text;
    this.#length = length;
    this.#dialect = dialect;
  }

  #code(at: number): number {
    return at < this.#length ? this.#text.charCodeAt(at) : 0;
  }

  #push(kind: number, end: number, word: string): true {
    this.kinds.push(kind);
    this.starts.push(this.#at);
    this.ends.push(end);
    this.words.push(word);
    this.#at = end;
    return true;
  }

  /** Reads one token, comment or stretch of white space; false at the end. */
  next(): boolean {
    const at = this.#at;
    if (at >= this.#length || this.isLost) return false;
    const c = this.#code(at);
    const after = this.#code(at + 1);
    if (c <= 32) return this.#skipTo(at + 1);
    if (isIdentifierStart(c)) return this.#word();
    if (isDigit(c)) return this.#number();
    switch (c) {
      case 39: // '
        return this.#string(at, at + 1, 39, false);
      case 34: // "
        return this.#string(at, at + 1, 34, false);
      case 96: // `
        this.hasBackticks = true;
        return this.#quoted(96);
      case 91: // [
        return this.#bracket();
      case 36: // $
        return this.#dollar();
      case 63: // ? and the JSON operators ?| ?&
        if (after === 124 || after === 38) return this.#push(PUNCTUATION, at + 2, "?|");
        return this.#push(PARAMETER, after === 63 ? at + 2 : this.#endOfDigits(at + 1), ""); // ?? is one, in mysql
      case 58: // :
        if (after === 58) return this.#cast();
        if (isIdentifier(after) && !isDigit(this.#code(at - 1)))
          return this.#push(PARAMETER, this.#endOfName(at + 1), "");
        break;
      case 64: // @
        if (after === 64) return this.#push(PUNCTUATION, at + 2, "@@");
        if (isIdentifierStart(after)) return this.#push(PARAMETER, this.#endOfName(at + 1), "");
        break;
      case 45: // -
        // MySQL wants white space behind it: there, 5--1 is 6.
        if (after === 45 && (this.#dialect !== "mysql" || this.#code(at + 2) <= 32)) return this.#lineComment();
        if (after === 62) return this.#push(PUNCTUATION, at + (this.#code(at + 2) === 62 ? 3 : 2), "->");
        break;
      case 47: // /
        if (after === 42) return this.#blockComment();
        break;
      case 42: // *
        if (after === 47 && this.#inExecutableComment) {
          this.#inExecutableComment = false;
          return this.#skipTo(at + 2);
        }
        break;
      case 35: // # begins a comment in MySQL, and is an operator in PostgreSQL
        if (this.#dialect === "mysql") return this.#lineComment();
        if (after === 62) return this.#push(PUNCTUATION, at + (this.#code(at + 2) === 62 ? 3 : 2), "->");
        if (this.#dialect === undefined && after !== 45 && after !== 61) {
          if (this.#isLineStart(at)) return this.#lineComment();
          // A comment hides placeholders, and an operator shows literals.
          if (!this.#text.includes("$1")) return this.#lose();
        }
        break;
    }
    return this.#push(PUNCTUATION, at + 1, String.fromCharCode(c));
  }

  #skipTo(at: number): true {
    this.#at = at;
    return true;
  }

  #endOfName(at: number): number {
    let end = at;
    while (isIdentifier(this.#code(end))) end++;
    return end;
  }

  #endOfDigits(at: number): number {
    let end = at;
    while (isDigit(this.#code(end))) end++;
    return end;
  }

  #isLineStart(at: number): boolean {
    let i = at - 1;
    while (i >= 0 && (this.#code(i) === 32 || this.#code(i) === 9)) i--;
    return i < 0 || this.#code(i) === 10 || this.#code(i) === 13;
  }

  #word(): true {
    const at = this.#at;
    const end = this.#endOfName(at + 1);
    const quote = this.#code(end);
    if (quote === 39 && end - at <= 2) {
      // E'...', N'...', X'...', B'...'; U&'...' arrives as a word, an operator and a string.
      const prefix = this.#text.slice(at, end).toUpperCase();
      if (prefix === "E") return this.#string(at, end + 1, 39, true);
      if (prefix === "N" || prefix === "X" || prefix === "B") return this.#string(at, end + 1, 39, false);
    }
    return this.#push(WORD, end, this.#text.slice(at, end).toUpperCase());
  }

  #number(): true {
    let end = this.#at + 1;
    for (let c = this.#code(end); isIdentifier(c) || c === 46; c = this.#code(end)) end++;
    return this.#push(NUMBER, end, "");
  }

  /** From the opening quote at `from - 1`. A doubled quote stays inside; a backslash is read as the dialect wants. */
  #string(start: number, from: number, quote: number, hasEscapes: boolean): true {
    this.#at = start;
    const text = this.#text;
    const mark = String.fromCharCode(quote);
    // In MySQL a name only in ANSI_QUOTES mode, which no statement tells.
    const kind = quote === 34 && this.#dialect !== "mysql" ? QUOTED : STRING;
    for (let i = text.indexOf(mark, from); i !== -1 && i < this.#length; i = text.indexOf(mark, i + 1)) {
      let backslashes = 0;
      while (i - backslashes > from && text.charCodeAt(i - backslashes - 1) === 92) backslashes++;
      if (backslashes % 2 === 1) {
        // An escaped quote in MySQL and in E'...', the end of the string in standard SQL.
        if (hasEscapes || this.#dialect === "mysql") continue;
        if (this.#dialect === undefined) {
          if (this.hasBackticks && !this.#sawDollar) continue;
          if (!this.#sawDollar || this.hasBackticks) break;
        }
      }
      if (text.charCodeAt(i + 1) === quote) {
        i++;
        continue;
      }
      return this.#push(kind, i + 1, "");
    }
    return this.#lose();
  }

  /** Nobody knows what follows. */
  #lose(): true {
    this.isLost = true;
    return this.#push(STRING, this.#length, "");
  }

  #quoted(quote: number): true {
    const text = this.#text;
    const mark = String.fromCharCode(quote);
    for (let i = text.indexOf(mark, this.#at + 1); i !== -1 && i < this.#length; i = text.indexOf(mark, i + 1)) {
      if (text.charCodeAt(i + 1) !== quote) return this.#push(QUOTED, i + 1, "");
      i++;
    }
    return this.#lose();
  }

  /** SQL Server quotes names in brackets; elsewhere they hold an array index. */
  #bracket(): true {
    const at = this.#at;
    const before = this.#code(at - 1);
    const isIndex = isIdentifier(before) || before === 93 || before === 41;
    if (!isIndex && isIdentifierStart(this.#code(at + 1))) {
      let end = at + 1;
      while (end - at < 130 && (isIdentifier(this.#code(end)) || " #@.-".includes(this.#text.charAt(end)))) end++;
      if (this.#code(end) === 93) return this.#push(QUOTED, end + 1, "");
    }
    return this.#push(PUNCTUATION, at + 1, "[");
  }

  #dollar(): true {
    const at = this.#at;
    const after = this.#code(at + 1);
    if (isDigit(after)) {
      this.#sawDollar = true;
      return this.#push(PARAMETER, this.#endOfDigits(at + 1), "");
    }
    let end = at + 1;
    while (isIdentifier(this.#code(end)) && this.#code(end) !== 36) end++;
    if (this.#code(end) === 36) {
      const tag = this.#text.slice(at, end + 1);
      const close = this.#text.indexOf(tag, end + 1);
      if (close !== -1 && close + tag.length <= this.#length) return this.#push(STRING, close + tag.length, "");
      return this.#lose();
    }
    return end > at + 1 ? this.#push(PARAMETER, end, "") : this.#push(PUNCTUATION, at + 1, "$");
  }

  /** `::timestamp with time zone`, `::numeric(10,2)[]`: the type says nothing about the column. */
  #cast(): true {
    let at = this.#at + 2;
    for (;;) {
      while (this.#code(at) === 32) at++;
      if (this.#code(at) === 34) {
        const close = this.#text.indexOf('"', at + 1);
        at = close === -1 || close >= this.#length ? at + 1 : close + 1;
      } else at = this.#endOfName(at);
      if (this.#code(at) === 46) at++;
      else {
        const end = this.#endOfName(at + 1);
        if (this.#code(at) !== 32 || !TYPE_TAIL.has(this.#text.slice(at + 1, end).toUpperCase())) break;
      }
    }
    return this.#skipTo(at);
  }

  #lineComment(): true {
    const lineEnd = this.#text.indexOf("\n", this.#at);
    return this.#comment(lineEnd === -1 ? this.#length : lineEnd);
  }

  #blockComment(): true {
    const at = this.#at;
    if (this.#code(at + 2) === 33) {
      // MySQL runs what stands in /*! ... */.
      this.#inExecutableComment = true;
      return this.#skipTo(this.#endOfDigits(at + 3));
    }
    // Not nested, as PostgreSQL has it: the remainder is then read as SQL, in which literals are hidden.
    const close = this.#text.indexOf("*/", at + 2);
    return this.#comment(close === -1 ? this.#length : close + 2);
  }

  #comment(end: number): true {
    const limit = Math.min(end, this.#length);
    this.comments.push(this.#at, limit);
    return this.#skipTo(limit);
  }
}
