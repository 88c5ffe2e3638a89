import { isAscii } from "node:buffer";
import { copyText } from "../node-buffer.ts";
import { bodyFormat, decodeBytes, decodeUnknown } from "./body.ts";
import { BoundedMap } from "./bounded-map.ts";
import { redactKey } from "./cache-key.ts";
import { cutToBytes, dropPartial, LOOK_AHEAD_CHARS } from "./cut.ts";
import { redactDatabaseMessage } from "./error-message.ts";
import { redactHeader } from "./header.ts";
import { SensitiveNames } from "./names.ts";
import { Redactor } from "./redactor.ts";
import { dateText, serialize } from "./serialize.ts";
import { REDACTED } from "./span.ts";
import type { SqlDialect } from "./sql-tokens.ts";
import { describeSql, type SqlStatement } from "./sql.ts";
import { redactQuery, redactUrl } from "./url.ts";

/** What the user may switch off. Redaction is not among it. */
export type CaptureKind =
  | "sql-parameters"
  | "cache-keys"
  | "cache-values"
  | "http-headers"
  | "http-bodies"
  | "messages"
  | "user";

export interface CaptureConfig {
  /** The kinds of values that are captured; what is missing here is never asked for. */
  kinds: ReadonlySet<CaptureKind>;
  /** Budget for one captured value, in bytes of UTF-8, including the mark of a cut. Default 4096. */
  maxBytes: number;
  /** More sensitive names, any case and style, matched like the built-in ones. */
  redactNames: readonly string[];
  /** More values to replace, wherever they occur in a text. Their speed is the user's affair. */
  redactPatterns: readonly RegExp[];
}

const MAX_STATEMENTS = 1000;
const MAX_REMEMBERED_KEYS = 2000;
const MAX_REMEMBERED_KEY_CHARS = 128;
const MAX_STATEMENT_CHARS = 65_536;
const MAX_CACHED_STATEMENT_CHARS = 4_194_304;

const KEY_SLOTS = 512;
const NO_KEY: CacheKey = { key: undefined, text: "", note: undefined };

/** Of a key's length, its last characters and some others: ids stand at the end, or in the middle. */
function slotOf(key: string): number {
  const { length } = key;
  let hash = length;
  for (let index = Math.max(0, length - 4); index < length; index++) hash = hash * 31 + key.charCodeAt(index);
  if (length > 8) hash += key.charCodeAt(length >> 1) * 131 + key.charCodeAt(length >> 2) * 37;
  return hash & (KEY_SLOTS - 1);
}

const MAX_ATTRIBUTES = 512;
/** A longer string may be a slice, which keeps what it was cut from in memory (V8, from 13 characters). */
const MAX_LAST_VALUE_CHARS = 12;

/** A key that caches are asked for. */
export interface CacheKey {
  /** As it was asked for; undefined when it is too long to be remembered. */
  readonly key: string | undefined;
  /** The key, redacted. */
  readonly text: string;
  /** What whoever asks wants to find again with the same key; forgotten with it. */
  note: unknown;
}

/**
 * Decides what of a value may leave the process, and how much of it. Every method returns text within the budget
 * in which each secret is replaced by the word REDACTED; none throws, and none changes what it is given.
 */
export class Capture {
  readonly sqlParameters: boolean;
  readonly cacheKeys: boolean;
  readonly cacheValues: boolean;
  readonly headers: boolean;
  readonly bodies: boolean;
  readonly messages: boolean;
  readonly user: boolean;
  /** Budget for one captured value, in bytes of UTF-8. */
  readonly maxBytes: number;

  readonly #names: SensitiveNames;
  readonly #redactor: Redactor;
  readonly #keys = new BoundedMap<CacheKey>(MAX_REMEMBERED_KEYS);
  /** Of those the last one of each slot: a map would have to hash the key, which is a new string each time. */
  readonly #keySlots: CacheKey[] = new Array<CacheKey>(KEY_SLOTS).fill(NO_KEY);
  /** By attribute name, its last short value: many attributes never have another. */
  readonly #attributes = new Map<string, { readonly isSensitive: boolean; value: string; clean: string }>();
  readonly #statements = new Map<SqlDialect, BoundedMap<SqlStatement>>();
  readonly #anyStatements = this.#statementsOf(undefined);

  constructor(config: CaptureConfig) {
    this.sqlParameters = config.kinds.has("sql-parameters");
    this.cacheKeys = config.kinds.has("cache-keys");
    this.cacheValues = config.kinds.has("cache-values");
    this.headers = config.kinds.has("http-headers");
    this.bodies = config.kinds.has("http-bodies");
    this.messages = config.kinds.has("messages");
    this.user = config.kinds.has("user");
    this.maxBytes = config.maxBytes;
    this.#names = new SensitiveNames(config.redactNames);
    this.#redactor = new Redactor(this.#names, config.redactPatterns);
  }

  /** Whether a header, field, column, query key or cookie of this name holds a secret. */
  isSensitiveName(name: string): boolean {
    return this.#names.has(name);
  }

  /** Text of unknown content: credentials and the values of sensitive names inside it are replaced. */
  text(value: string): string {
    return this.#bounded(value, false);
  }

  /** The string form of a value as a database driver would send it, or REDACTED when its name is sensitive. */
  value(name: string, value: unknown): string {
    return this.#names.has(name) ? REDACTED : this.namelessValue(value);
  }

  /** The same for a value without a name, or whose name was asked about already. */
  namelessValue(value: unknown): string {
    switch (typeof value) {
      case "string":
        return this.#bounded(value, false);
      case "number":
      case "bigint":
        return this.#bounded(String(value), false);
      case "boolean":
        return value ? "true" : "false";
      case "undefined":
        return "null";
      case "symbol":
        return "[Symbol]";
      case "function":
        return "[Function]";
      default:
        return value === null ? "null" : this.#object(value as object);
    }
  }

  /** A string the application has put on a span itself: redacted, and not cut, since span limits are for that. */
  attribute(name: string, value: string): string {
    let known = this.#attributes.get(name);
    if (known === undefined) {
      known = { isSensitive: this.#names.has(name), value: "", clean: "" };
      if (this.#attributes.size < MAX_ATTRIBUTES) this.#attributes.set(name, known);
    }
    if (known.isSensitive) return REDACTED;
    if (known.value === value) return known.clean;
    const clean = this.#redactor.redact(value);
    if (value.length <= MAX_LAST_VALUE_CHARS) {
      known.value = value;
      known.clean = clean;
    }
    return clean;
  }

  /** An absolute URL, or a path with its query: `https://REDACTED:REDACTED@host/a?token=REDACTED`. */
  url(url: string): string {
    const [head, isCut] = this.#head(url);
    return cutToBytes(redactUrl(head, this.#names, this.#redactor), this.maxBytes, isCut);
  }

  /** A query string without its `?`. */
  query(query: string): string {
    const [head, isCut] = this.#head(query);
    return cutToBytes(redactQuery(head, this.#names, this.#redactor), this.maxBytes, isCut);
  }

  /** The value of an HTTP header: `Bearer REDACTED`, `sid=REDACTED; Path=/`. */
  header(name: string, value: string): string {
    const [head, isCut] = this.#head(value);
    return cutToBytes(redactHeader(name, head, this.#names, this.#redactor), this.maxBytes, isCut);
  }

  /** The text of an HTTP body, undefined when its content type is not text.
   *  `truncated` says that `body` is only the beginning of it. */
  body(contentType: string | undefined, body: Uint8Array | string, truncated: boolean = false): string | undefined {
    const format = bodyFormat(contentType);
    if (format === undefined) return undefined;
    const maxBytes = this.maxBytes + LOOK_AHEAD_CHARS;
    const isCut = truncated || body.length > maxBytes;
    const text =
      typeof body === "string" ? body.slice(0, maxBytes) : decodeBytes(body, maxBytes, format.encoding, isCut);
    if (!format.isForm) return isCut ? this.#bounded(text, true) : this.#redacted(text, body, this.maxBytes);
    const form = redactQuery(isCut ? dropPartial(text) : text, this.#names, this.#redactor);
    return cutToBytes(form, this.maxBytes, isCut);
  }

  /** A message payload or cache value of unknown type: text like a body, anything else as `<Buffer 12 bytes>`.
   *  `maxBytes` is a smaller budget for values that come by the dozen. `decoded`: the bytes, if somebody had them as UTF-8. */
  payload(bytes: Uint8Array | string, maxBytes: number = this.maxBytes, decoded?: string): string {
    const budget = Math.min(maxBytes, this.maxBytes);
    if (typeof bytes === "string") return this.#bounded(bytes, false, budget);
    const length = budget + LOOK_AHEAD_CHARS;
    const text = decodeUnknown(bytes, length, decoded);
    if (text === undefined) return `<Buffer ${bytes.length} bytes>`;
    return bytes.length > length ? this.#bounded(text, true, budget) : this.#redacted(text, bytes, budget);
  }

  /** A cache key: `session:REDACTED`. */
  key(key: string): string {
    return this.cacheKey(key).text;
  }

  /** The same. Remembered, unless it is long: caches are asked for the same keys again and again. */
  cacheKey(key: string): CacheKey {
    const slot = slotOf(key);
    const last = this.#keySlots[slot] as CacheKey;
    if (last.key === key) return last;
    const found = this.#keys.get(key) ?? this.#redactKey(key);
    if (found.key !== undefined) this.#keySlots[slot] = found;
    return found;
  }

  /** The message or stack of an error: `Key (password)=(REDACTED) already exists`. */
  error(message: string): string {
    const [head, isCut] = this.#head(message);
    const clean = this.#redactor.redact(redactDatabaseMessage(head, this.#names));
    return cutToBytes(clean, this.maxBytes, isCut);
  }

  /** What may be told about an SQL statement, and which of its parameters may not. Remembered by text. Without `dialect`, a
   *  statement is shown as far as all dialects agree on it. */
  sql(text: string, dialect?: SqlDialect): SqlStatement {
    const statements = dialect === undefined ? this.#anyStatements : this.#statementsOf(dialect);
    const known = statements.get(text);
    if (known !== undefined) return known;
    const statement = describeSql(text, this.#names, this.#redactor, this.maxBytes, MAX_STATEMENT_CHARS, dialect);
    if (text.length <= MAX_STATEMENT_CHARS) statements.set(text, statement);
    return statement;
  }

  #statementsOf(dialect: SqlDialect): BoundedMap<SqlStatement> {
    let statements = this.#statements.get(dialect);
    if (statements === undefined) {
      statements = new BoundedMap<SqlStatement>(MAX_STATEMENTS, MAX_CACHED_STATEMENT_CHARS);
      this.#statements.set(dialect, statements);
    }
    return statements;
  }

  #redactKey(key: string): CacheKey {
    const [head, isCut] = this.#head(key);
    const text = cutToBytes(redactKey(head, this.#names, this.#redactor), this.maxBytes, isCut);
    if (key.length > MAX_REMEMBERED_KEY_CHARS) return { key: undefined, text, note: undefined };
    // A key may be a slice of a request's body: a copy keeps the memory from holding on to that.
    const copy = copyText(key);
    const remembered: CacheKey = { key: copy, text: text === key ? copy : text, note: undefined };
    this.#keys.set(copy, remembered);
    return remembered;
  }

  #object(value: object): string {
    try {
      if (value instanceof Date) return dateText(value);
      if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `<Buffer ${value.byteLength} bytes>`;
      const { text, isCut } = serialize(value, this.maxBytes + LOOK_AHEAD_CHARS, this.#names);
      return this.#bounded(text, isCut);
    } catch {
      return "[Unreadable]";
    }
  }

  /** All of a text, of which `source` is what it was decoded from. */
  #redacted(text: string, source: Uint8Array | string, maxBytes: number): string {
    // As many characters as bytes: one each, which the redactor need not take apart again.
    const bytes = typeof source !== "string" && source.length === text.length ? source : undefined;
    const clean = this.#redactor.redact(text, bytes);
    // ASCII stays ASCII, and is as many bytes as characters. To see that takes Node 24 an eighth of counting them.
    const isCounted = bytes !== undefined && clean.length > maxBytes / 3 && clean.length <= maxBytes && isAscii(bytes);
    return isCounted ? clean : cutToBytes(clean, maxBytes, false);
  }

  /** Redacts before cutting, so that a credential across the cut is recognised. */
  #bounded(text: string, isCut: boolean, maxBytes: number = this.maxBytes): string {
    const limit = maxBytes + LOOK_AHEAD_CHARS;
    const isLonger = text.length > limit;
    const head = isLonger || isCut ? dropPartial(isLonger ? text.slice(0, limit) : text) : text;
    return cutToBytes(this.#redactor.redact(head), maxBytes, isLonger || isCut);
  }

  /** The beginning of a text that is worth looking at. */
  #head(text: string): [head: string, isCut: boolean] {
    const limit = this.maxBytes + LOOK_AHEAD_CHARS;
    return text.length > limit ? [dropPartial(text.slice(0, limit)), true] : [text, false];
  }
}
