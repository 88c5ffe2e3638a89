import type { SensitiveNames } from "./names.ts";
import { REDACTED, type SecretSpan } from "./span.ts";

/**
 * Finds the value that belongs to a sensitive name in running text, whatever the notation: JSON at any depth
 * (also JSON inside a JSON string), form and query pairs, XML, YAML, ini, headers, GraphQL, `util.inspect`,
 * command lines, PostgreSQL's `(name)=(value)`. Nothing is parsed as a whole, so text cut in the middle, or wrong,
 * is treated like any other; a value without an end reaches to the end of the text.
 */

const MAX_NAME_CHARS = 256;
const MAX_GAP_CHARS = 64;
const TAB = 9;
const LF = 10;
const CR = 13;
const SPACE = 32;
const QUOTE = 34;
const DOLLAR = 36;
const PERCENT = 37;
const APOSTROPHE = 39;
const PAREN = 40;
const CLOSE_PAREN = 41;
const HYPHEN = 45;
const DOT = 46;
const COLON = 58;
const LESS = 60;
const EQUALS = 61;
const GREATER = 62;
const BRACKET = 91;
const BACKSLASH = 92;
const CLOSE_BRACKET = 93;
const BACKTICK = 96;
const BRACE = 123;
const CLOSE_BRACE = 125;

const isLetterOrDigit = (c: number): boolean =>
  (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || (c >= 48 && c <= 57) || c === 95;
const isNameChar = (c: number): boolean => isLetterOrDigit(c) || c === HYPHEN || c === DOLLAR || c > 127;
const isBlank = (c: number): boolean => c === SPACE || c === TAB;
const isSpace = (c: number): boolean => c === SPACE || c === TAB || c === LF || c === CR;
const isQuote = (c: number): boolean => c === QUOTE || c === APOSTROPHE || c === BACKTICK;

/** `,"value":` after a name that is itself a value: `{"name":"password","value":"..."}`, `<input name=... value=...>`. */
const PAIR = /\s{0,8},?\s{0,8}\\{0,15}["']?(?:value|content|val)\\{0,15}["']?\s{0,8}[:=]\s{0,8}/iy;
/** The rest of a quoted name that goes on after a sensitive word: `"password for bob":`. */
const NAME_TAIL = /[ \w./()#@-]{1,64}\\{0,15}["'`]\s{0,8}:/y;
const DOTTED_TAIL = /(?:\.[\w-]{1,64}){1,6}(?=\s{0,8}=|\\{0,15}["'`]\s{0,8}:)/y;
const KEPT = /(?:true|false|null|undefined|none|nil)(?=[\s,;&)}\]"'\\<]|$)/iy;
const SCHEME = /(?:Bearer|Basic|Digest|Token|Negotiate|NTLM|ApiKey|Key|DPoP|Hawk|OAuth)(?:\s|\+|%20){1,8}(?=\S)/iy;

const NAME_CHAR = 1;
/** May stand directly behind a name that has a value. */
const NAME_END = 2;
const CLASSES = new Uint8Array(256);
for (let c = 0; c < 256; c++) {
  if (isNameChar(c)) CLASSES[c] = NAME_CHAR;
  else if (isSpace(c) || " \"'`:=\\%]).>".includes(String.fromCharCode(c))) CLASSES[c] = NAME_END;
}

/**
 * -1 when the name around `at` may have a value, told from the low bytes of the text alone: it is followed by
 * something that may end a name, and, if that is a space, not by another word. Most words in prose fail here;
 * then where the name ends, before which there is no need to look again.
 */
export function rejectName(bytes: Uint8Array, length: number, at: number): number {
  const highest = Math.min(length, at + MAX_NAME_CHARS);
  let end = at;
  while (end < highest && CLASSES[bytes[end]!] === NAME_CHAR) end++;
  if (end >= length || CLASSES[bytes[end]!] !== NAME_END) return end;
  let next = end;
  while (next < length && next < end + 8 && isSpace(bytes[next]!)) next++;
  if (next === end || CLASSES[bytes[next]!] === NAME_END) return -1;
  // An XML attribute list, a command line option, a quoted name of several words.
  const lowest = Math.max(0, at - MAX_NAME_CHARS);
  let start = at;
  while (start > lowest && CLASSES[bytes[start - 1]!] === NAME_CHAR) start--;
  const before = bytes[start - 1];
  if (before === LESS || before === COLON || before === DOT || bytes[start] === HYPHEN) return -1;
  for (let i = next; i < length && i < next + MAX_GAP_CHARS; i++) {
    if (isQuote(bytes[i]!)) return -1;
    if (CLASSES[bytes[i]!] !== NAME_CHAR && bytes[i] !== SPACE) return end;
  }
  return end;
}

/**
 * Looks at the name around `at`. Sets `span` and returns -1 when the value after it must go; otherwise returns
 * where that name ends, before which there is no need to look again. Nothing before `floor` belongs to the name.
 */
export function findFieldValue(
  text: string,
  at: number,
  floor: number,
  names: SensitiveNames,
  span: SecretSpan,
): number {
  let start = at;
  const lowest = Math.max(floor, at - MAX_NAME_CHARS);
  while (start > lowest && isNameChar(text.charCodeAt(start - 1))) start--;
  let end = at;
  const highest = at + MAX_NAME_CHARS;
  while (end < highest && isNameChar(text.charCodeAt(end))) end++;

  // `%3Ftoken`, `\ntoken`: what looks like the first letters belongs to an escape.
  const before = text.charCodeAt(start - 1);
  if (before === PERCENT) start = Math.min(start + 2, end);
  else if (before === BACKSLASH && "nrt".includes(text.charAt(start))) start++;

  const value = locateValue(text, start, end);
  if (value === -1) return end;
  if (!isSensitiveHere(text, start, end, floor, names)) return end;
  return spanOfValue(text, start, end, value, span) ? -1 : end;
}

function isQuotedLeft(text: string, start: number): boolean {
  for (let i = start - 1; i >= 0 && i >= start - MAX_GAP_CHARS; i--) {
    const c = text.charCodeAt(i);
    if (isQuote(c)) return true;
    if (!isNameChar(c) && c !== SPACE && c !== DOT) return false;
  }
  return false;
}

function skipSpace(text: string, from: number): number {
  let i = from;
  while (i < from + 8 && isSpace(text.charCodeAt(i))) i++;
  return i;
}

/** The name alone, or with the words before it: `api key`, `card.number`, `api[key]`. */
function isSensitiveHere(text: string, start: number, end: number, floor: number, names: SensitiveNames): boolean {
  const name = text.slice(start, end);
  if (names.has(name)) return true;
  let from = start;
  for (let words = 0; words < 2; words++) {
    const joint = text.charCodeAt(from - 1);
    if (joint !== SPACE && joint !== DOT && joint !== BRACKET) return false;
    let i = from - 1;
    while (i > floor && from - i < MAX_GAP_CHARS && isNameChar(text.charCodeAt(i - 1))) i--;
    if (i === from - 1 || (words === 0 && names.isFalseFriend(name))) return false;
    // `token_1 dup key: {...}`: in prose a sensitive word before says nothing about this one.
    if (joint === SPACE && names.has(text.slice(i, from - 1))) return false;
    from = i;
    if (names.has(text.slice(from, end))) return true;
  }
  return false;
}

/** Position where the value begins (at its quote or bracket), -1 when the text after the name gives it none. */
function locateValue(text: string, start: number, end: number): number {
  if (isElement(text, start, end)) return end;

  let i = end;
  if (text.charCodeAt(i) === DOT) {
    DOTTED_TAIL.lastIndex = i;
    if (!DOTTED_TAIL.test(text)) return -1;
    i = DOTTED_TAIL.lastIndex;
  }
  // What closes the name: a quote (escaped in nested JSON), `]` of `user[password]`, `)` of `(password)=`.
  let quoted = false;
  for (let closers = 0; closers < 3; closers++) {
    let j = i;
    while (j < i + 16 && text.charCodeAt(j) === BACKSLASH) j++;
    const c = text.charCodeAt(j);
    if (isQuote(c)) {
      quoted = true;
      i = j + 1;
    } else if (j === i && (c === CLOSE_BRACKET || c === CLOSE_PAREN)) i++;
    else if (c === PERCENT && (text.startsWith("5D", i + 1) || text.startsWith("5d", i + 1))) i += 3;
    else if (c === PERCENT && text.startsWith("22", i + 1)) {
      quoted = true;
      i += 3;
    } else break;
  }

  const separator = endOfSeparator(text, skipSpace(text, i));
  if (separator !== -1) {
    // Pretty-printed JSON may put the value on the next line, `password:` at the end of a line has none.
    let k = separator;
    while (k < separator + MAX_GAP_CHARS && (quoted ? isSpace(text.charCodeAt(k)) : isBlank(text.charCodeAt(k)))) k++;
    return k;
  }
  if (quoted) {
    PAIR.lastIndex = i;
    return PAIR.test(text) ? PAIR.lastIndex : -1;
  }
  if (i === end && isSpace(text.charCodeAt(i))) {
    const k = skipSpace(text, i);
    let q = k;
    while (q < k + 16 && text.charCodeAt(q) === BACKSLASH) q++;
    // `Password "hunter2" is too short`; but V8's "Unexpected token 'x'" is no secret.
    if (isQuote(text.charCodeAt(q))) return isQuote(text.charCodeAt(q + 2)) ? -1 : k;
    if (text.startsWith("--", startOfDotted(text, start))) return text.charCodeAt(k) === HYPHEN ? -1 : k;
    NAME_TAIL.lastIndex = i;
    if (NAME_TAIL.test(text) && isQuotedLeft(text, start)) return skipSpace(text, NAME_TAIL.lastIndex);
  }
  return -1;
}

/** After `:`, `=`, `:=`, `=>`, `==` or their percent-encoded forms; -1 when there is none (`::` is a cast). */
function endOfSeparator(text: string, at: number): number {
  const c = text.charCodeAt(at);
  if (c === PERCENT) {
    const code = text.slice(at + 1, at + 3).toUpperCase();
    return code === "3D" || code === "3A" ? at + 3 : -1;
  }
  if (c !== COLON && c !== EQUALS) return -1;
  const next = text.charCodeAt(at + 1);
  if (c === COLON) return next === COLON ? -1 : next === EQUALS ? at + 2 : at + 1;
  if (next === EQUALS) return text.charCodeAt(at + 2) === EQUALS ? at + 3 : at + 2;
  return next === GREATER ? at + 2 : at + 1;
}

function isElement(text: string, start: number, end: number): boolean {
  const next = text.charCodeAt(end);
  return (next === GREATER || isSpace(next)) && startOfTag(text, start) !== -1;
}

/** Position of the `<` of an element whose name ends with the one that begins at `start`; -1 when it is no element. */
function startOfTag(text: string, start: number): number {
  const tag = startOfDotted(text, start) - 1;
  return text.charCodeAt(tag) === LESS ? tag : -1;
}

/** Where a name of several parts begins: `connect.` of `connect.sid`, `wsse:` of `wsse:Password`. */
function startOfDotted(text: string, start: number): number {
  let i = start;
  while (i > start - MAX_GAP_CHARS && isTagChar(text.charCodeAt(i - 1))) i--;
  return i;
}

const isTagChar = (c: number): boolean => isNameChar(c) || c === COLON || c === DOT;

function spanOfValue(text: string, start: number, end: number, value: number, span: SecretSpan): boolean {
  if (value === end) return spanOfElement(text, start, end, span);
  let i = value;
  while (i < value + 16 && text.charCodeAt(i) === BACKSLASH) i++;
  const c = text.charCodeAt(i);
  const escapes = i - value;
  if (isQuote(c)) {
    const close = endOfString(text, i + 1, c, escapes);
    return replace(text, i + 1, close, REDACTED, span);
  }
  if (escapes > 0) i = value;
  if (text.startsWith("%22", i)) {
    const close = text.indexOf("%22", i + 3);
    return replace(text, i + 3, close === -1 ? text.length : close, REDACTED, span);
  }
  KEPT.lastIndex = i;
  if (KEPT.test(text)) return false;

  const keyEscapes = jsonEscapes(text, end);
  const literal = keyEscapes === -1 ? REDACTED : `${"\\".repeat(keyEscapes)}"${REDACTED}${"\\".repeat(keyEscapes)}"`;
  if (c === BRACE || c === BRACKET) {
    return replace(text, i, endOfContainer(text, i, Math.max(keyEscapes, 0)), literal, span);
  }
  if (c === PAREN) {
    const close = text.indexOf(")", i + 1);
    return replace(text, i + 1, close === -1 ? text.length : close, REDACTED, span);
  }
  return replace(text, i, endOfBare(text, start, end, i), literal, span);
}

function replace(text: string, from: number, to: number, replacement: string, span: SecretSpan): boolean {
  if (to <= from) return false;
  // Already done, perhaps cut behind it: a second pass must change nothing.
  if (to - from <= REDACTED.length + 1) {
    const present = text.slice(from, to);
    if (present === "…" || present === REDACTED || present === `${REDACTED}…`) return false;
  }
  return span.set(from, to, replacement);
}

function spanOfElement(text: string, start: number, end: number, span: SecretSpan): boolean {
  const open = text.indexOf(">", end);
  if (open === -1) return replace(text, end, text.length, ` ${REDACTED}`, span);
  if (text.charCodeAt(open - 1) === 47) return false;
  const close = text.indexOf(`</${text.slice(startOfTag(text, start) + 1, end)}`, open);
  const to = close === -1 ? text.length : close;
  // Attributes go too when there are any: they may hold the value.
  if (open === end) return replace(text, open + 1, to, REDACTED, span);
  return text.startsWith(`>${REDACTED}`, open) ? false : span.set(end, to, `>${REDACTED}`);
}

/** How many backslashes stand before the double quote that closes the name; -1 when none closes it. */
function jsonEscapes(text: string, end: number): number {
  let i = end;
  while (i < end + 16 && text.charCodeAt(i) === BACKSLASH) i++;
  return text.charCodeAt(i) === QUOTE ? i - end : -1;
}

/**
 * Position of the quote (or of the backslashes before it) that ends a string which began with `escapes`
 * backslashes and `quote`: 0 in plain JSON, 1 in JSON inside a JSON string, then 3, 7 ...
 */
function endOfString(text: string, from: number, quote: number, escapes: number): number {
  const mark = String.fromCharCode(quote);
  for (let i = text.indexOf(mark, from); i !== -1; i = text.indexOf(mark, i + 1)) {
    let before = 0;
    while (i - before > from && text.charCodeAt(i - before - 1) === BACKSLASH) before++;
    if (quote !== QUOTE && text.charCodeAt(i + 1) === quote && before === 0) {
      i++; // '' inside '...'
      continue;
    }
    if (closes(before, escapes)) return i - Math.min(before, escapes);
  }
  return text.length;
}

/** Undoes one level of escaping per level of nesting: an even count anywhere ends the string of that level. */
function closes(backslashes: number, escapes: number): boolean {
  let count = backslashes;
  for (let level = escapes; level > 0; level = (level - 1) >> 1) {
    if (count % 2 === 0) return true;
    count = (count - 1) >> 1;
  }
  return count % 2 === 0;
}

function endOfContainer(text: string, from: number, escapes: number): number {
  let depth = 0;
  for (let i = from; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === BRACE || c === BRACKET) depth++;
    else if (c === CLOSE_BRACE || c === CLOSE_BRACKET) {
      depth--;
      if (depth === 0) return i + 1;
    } else if (c === QUOTE) {
      let before = 0;
      while (i - before > from && text.charCodeAt(i - before - 1) === BACKSLASH) before++;
      if (before < escapes) return i - before; // the string that holds all this ends here
      i = endOfString(text, i + 1, QUOTE, escapes);
      while (text.charCodeAt(i) === BACKSLASH) i++;
    }
  }
  return text.length;
}

function endOfBare(text: string, start: number, end: number, from: number): number {
  const inJson = jsonEscapes(text, end) !== -1;
  const encoded = /%3[ad]/i.test(text.slice(end, from));
  // `password: correct horse` on a line of its own is YAML, ini or a header: the line is the value.
  const isAssigned = /[:=]\s/.test(text.slice(end, from));
  const lineStart = isAssigned ? kindOfLineStart(text, startOfDotted(text, start)) : NO_LINE_START;
  if (!inJson && (lineStart !== NO_LINE_START || isLineValued(text, start, end))) {
    return endOfLine(text, from, quoteAround(text, start), lineStart === ESCAPED_LINE_START);
  }
  let i = from;
  SCHEME.lastIndex = from;
  if (SCHEME.test(text)) i = SCHEME.lastIndex;
  for (; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (isSpace(c) || c === 38 || c === 59 || c === LESS || c === GREATER || isQuote(c)) break;
    if (inJson && (c === 44 || c === CLOSE_BRACE || c === CLOSE_BRACKET)) break;
    if (c === BACKSLASH && /[nrt"\\]/.test(text.charAt(i + 1))) break;
    if (encoded && c === PERCENT && /^(?:26|23|20|22|7D|2C)/i.test(text.slice(i + 1, i + 3))) break;
  }
  // Punctuation of the text around, rather than of the value.
  while (i > from + 1 && ",)}].".includes(text.charAt(i - 1))) i--;
  return i;
}

function isLineValued(text: string, start: number, end: number): boolean {
  return text.charCodeAt(end) === COLON && /authori[sz]ation$|cookie$/i.test(text.slice(start, end));
}

/** The quote of the string that `start` stands in, as far as a short look back can tell; -1 for none. */
function quoteAround(text: string, start: number): number {
  for (let i = start - 1; i >= 0 && i > start - MAX_NAME_CHARS; i--) {
    const c = text.charCodeAt(i);
    if (c === LF) return -1;
    if (c !== QUOTE && c !== APOSTROPHE) continue;
    let before = i - 1;
    while (text.charCodeAt(before) === BACKSLASH) before--;
    return before < 0 || " \t\n:,=([{".includes(text.charAt(before)) ? c : -1;
  }
  return -1;
}

const NO_LINE_START = 0;
const LINE_START = 1;
/** Behind the `\n` of a string, as JSON writes it. */
const ESCAPED_LINE_START = 2;

function kindOfLineStart(text: string, start: number): number {
  let i = start - 1;
  while (i >= 0 && i > start - MAX_GAP_CHARS && (isBlank(text.charCodeAt(i)) || text.charCodeAt(i) === HYPHEN)) i--;
  const c = text.charCodeAt(i);
  if (i < 0 || c === LF || c === CR) return LINE_START;
  return text.charCodeAt(i - 1) === BACKSLASH && (c === 110 || c === 114) ? ESCAPED_LINE_START : NO_LINE_START;
}

function endOfLine(text: string, from: number, quote: number, isEscaped: boolean): number {
  for (let i = from; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === LF || c === CR || c === quote) return i;
    if ((isEscaped || quote !== -1) && c === BACKSLASH && /[nr"]/.test(text.charAt(i + 1))) return i;
  }
  return text.length;
}
