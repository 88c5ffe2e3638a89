import { valueText, type Attributes, type AttributeValue } from "../model/attributes.ts";
import type { SpanRecord } from "../model/span.ts";
import type { Category } from "../model/trace.ts";

/** What the store makes of a span when it arrives. */
export interface SpanDescription {
  category: Category;
  /** See `SpanColumns.detail`: at most `MAX_TEXT` characters, in one line. */
  detail: string;
  /** Of a query, without its values; `""` for everything else. */
  statement: string;
  /** The node of the map it calls, sends to or receives from: `database:postgresql/app`; `""` for none. */
  peer: string;
  cacheHits: number;
  cacheMisses: number;
}

const MAX_TEXT = 400;
/** Of a query, the first that are told by their place. */
const PARAMETERS: readonly string[] = Array.from({ length: 5 }, (_, place) => `db.query.parameter.${place}`);
const MAX_PARAMETER = 24;

const CLIENT = 3;
const PRODUCER = 4;

/** A name for two parts, made once for as long as they stay the same. */
class PeerName {
  private readonly kind: string;
  private system = "";
  private place = "";
  private name = "";

  constructor(kind: string) {
    this.kind = kind;
  }

  of(system: string, place: string): string {
    if (system !== this.system || place !== this.place) {
      this.name = `${this.kind}:${system}${place && `/${place}`}`;
      this.system = system;
      this.place = place;
    }
    return this.name;
  }
}

const cachePeer = new PeerName("cache");
const databasePeer = new PeerName("database");

const CACHES: ReadonlySet<string> = new Set(["redis", "memcached", "valkey", "keydb", "dragonfly"]);

/** The attributes that this file reads: of others a span needs no values when it arrives. */
export const DESCRIBING: ReadonlySet<string> = new Set([
  "cache.hit",
  "cache.key",
  "cache.operation",
  "cache.ttl",
  "db.collection.name",
  "db.name",
  "db.namespace",
  "db.operation",
  "db.operation.name",
  "db.query.summary",
  "db.query.text",
  "db.response.returned_rows",
  "db.sql.table",
  "db.statement",
  "db.system",
  "db.system.name",
  "enduser.id",
  "http.method",
  "http.request.method",
  "http.response.status_code",
  "http.route",
  "http.status_code",
  "http.target",
  "http.url",
  "messaging.destination",
  "messaging.destination.anonymous",
  "messaging.destination.name",
  "messaging.destination.template",
  "messaging.system",
  "net.peer.name",
  "peer.service",
  "rpc.method",
  "rpc.service",
  "rpc.system",
  "rpc.system.name",
  "server.address",
  "tracekit.cache.hits",
  "tracekit.cache.keyv.hits",
  "tracekit.cache.keyv.misses",
  "tracekit.cache.lru_cache.hits",
  "tracekit.cache.lru_cache.misses",
  "tracekit.cache.misses",
  "tracekit.db.affected_rows",
  "tracekit.messaging.body.content",
  "url.full",
  "url.path",
  "url.query",
  "user.id",
  ...PARAMETERS,
]);

/** Reads current names of the semantic conventions first, those they replaced after that. */
export function describeSpan(span: SpanRecord): SpanDescription {
  const { attributes: read } = span;
  const system = text(read["db.system.name"]) || text(read["db.system"]);
  const cacheHit = read["cache.hit"];
  const looksLikeCache =
    cacheHit !== undefined || read["cache.key"] !== undefined || read["cache.operation"] !== undefined;
  if (looksLikeCache || CACHES.has(system)) return describeCache(span, system);
  const query = read["db.query.text"] ?? read["db.statement"];
  if (system !== "" || query !== undefined) return describeDatabase(span, system, text(query));
  if (span.kind >= PRODUCER || read["messaging.system"] !== undefined) return describeMessaging(span);
  if (read["rpc.system"] !== undefined || read["rpc.system.name"] !== undefined) {
    const call = [text(read["rpc.service"]), text(read["rpc.method"])].filter(Boolean).join("/");
    return describe(span, "rpc", oneLine(call), peerHost(span));
  }
  if (read["http.request.method"] !== undefined || read["http.method"] !== undefined) return describeHttp(span);
  return describe(span, "internal", oneLine(span.status.message), peerHost(span));
}

/** `http.response.status_code`, under either of its names. */
export function httpStatusOf(attributes: Attributes): number | null {
  const value = attributes["http.response.status_code"] ?? attributes["http.status_code"];
  const status = typeof value === "string" ? Number(value) : value;
  return typeof status === "number" && Number.isInteger(status) && status > 0 && status < 1000 ? status : null;
}

export function userOf(attributes: Attributes): string | null {
  return text(attributes["user.id"]) || text(attributes["enduser.id"]) || null;
}

function describeCache(span: SpanRecord, system: string): SpanDescription {
  const { attributes: read } = span;
  const keys = read["cache.key"];
  const key = Array.isArray(keys) ? keys.map(text).join(", ") : text(keys);
  const hit = read["cache.hit"];
  const isHit = hit === true || hit === "true";
  const outcome = hit === undefined ? "" : isHit ? "hit" : "miss";
  const command = text(read["cache.operation"]) || text(read["db.operation.name"]) || text(read["db.operation"]);
  const said = key === "" ? text(read["db.query.text"] ?? read["db.statement"]) : "";
  const ttl = text(read["cache.ttl"]);
  const detail = said || joined(joined(command, key), joined(outcome, ttl && `ttl ${ttl}s`));
  const peer = span.kind === CLIENT ? cachePeer.of(system || "cache", "") : "";
  const description = describe(span, "cache", oneLine(detail), peer);
  if (hit === undefined) return description;
  // A command for several items has its counts beside the verdict.
  const hits = count(read["tracekit.cache.hits"]);
  const misses = count(read["tracekit.cache.misses"]);
  description.cacheHits += hits + misses > 0 ? hits : Number(isHit);
  description.cacheMisses += hits + misses > 0 ? misses : Number(!isHit);
  return description;
}

function describeDatabase(span: SpanRecord, system: string, statement: string): SpanDescription {
  const { attributes: read } = span;
  const summary =
    text(read["db.query.summary"]) ||
    [
      text(read["db.operation.name"]) || text(read["db.operation"]),
      text(read["db.collection.name"]) || text(read["db.sql.table"]),
    ]
      .filter(Boolean)
      .join(" ");
  const place = text(read["db.namespace"]) || text(read["db.name"]) || serverOf(read);
  const peer = span.kind === CLIENT ? databasePeer.of(system || "database", place) : "";
  if (statement === "") return describe(span, "database", oneLine(summary), peer);
  const { line, normalised } = readStatement(statement);
  const detail = joined(joined(line, oneLine(parametersOf(read))), rowsOf(read));
  return describe(span, "database", cut(detail), peer, normalised);
}

/** `['h4s9b1', 'https://nodejs.org…']`. */
function parametersOf(read: Attributes): string {
  let shown = "";
  for (const key of PARAMETERS) {
    const value = read[key];
    if (value === undefined) break;
    const whole = text(value);
    const parameter = whole.length > MAX_PARAMETER ? `${whole.slice(0, MAX_PARAMETER)}…` : whole;
    shown += shown === "" ? `['${parameter}'` : `, '${parameter}'`;
  }
  return shown && `${shown}]`;
}

function rowsOf(read: Attributes): string {
  const returned = read["db.response.returned_rows"];
  const affected = read["tracekit.db.affected_rows"];
  if (typeof returned === "number") return rows(returned);
  return typeof affected === "number" ? `${rows(affected)} affected` : "";
}

function rows(returned: number): string {
  return `→ ${returned} ${returned === 1 ? "row" : "rows"}`;
}

function describeMessaging(span: SpanRecord): SpanDescription {
  const { attributes: read } = span;
  // A name made up for one receiver says less than the pattern it was made from.
  const isAnonymous = read["messaging.destination.anonymous"] === true;
  const template = text(read["messaging.destination.template"]);
  const name = text(read["messaging.destination.name"]) || text(read["messaging.destination"]);
  const destination = (isAnonymous && template) || name || template;
  const topic = destination || text(read["messaging.system"]);
  const peer = span.kind >= PRODUCER && topic !== "" ? `topic:${topic}` : "";
  const payload = text(read["tracekit.messaging.body.content"]).slice(0, MAX_TEXT);
  return describe(span, "messaging", oneLine(joined(destination, payload)), peer);
}

function describeHttp(span: SpanRecord): SpanDescription {
  const { attributes: read } = span;
  const full = text(read["url.full"]) || text(read["http.url"]);
  const query = text(read["url.query"]);
  const path = text(read["url.path"]) && text(read["url.path"]) + (query && `?${query}`);
  const target = path || text(read["http.target"]) || text(read["http.route"]);
  const isClient = span.kind === CLIENT;
  const status = httpStatusOf(read);
  const detail = (isClient ? full || target : target || full) + (status === null ? "" : ` → ${status}`);
  return describe(span, "http", oneLine(detail), peerHost(span));
}

/** `detail` is in one line. */
function describe(span: SpanRecord, category: Category, detail: string, peer: string, statement = ""): SpanDescription {
  const read = span.attributes;
  return {
    category,
    detail,
    statement,
    peer,
    // Caches inside of the process count into the span that asked them.
    cacheHits: count(read["tracekit.cache.lru_cache.hits"]) + count(read["tracekit.cache.keyv.hits"]),
    cacheMisses: count(read["tracekit.cache.lru_cache.misses"]) + count(read["tracekit.cache.keyv.misses"]),
  };
}

function peerHost(span: SpanRecord): string {
  if (span.kind !== CLIENT) return "";
  const { attributes: read } = span;
  const host = serverOf(read) || hostOf(text(read["url.full"]) || text(read["http.url"]));
  return host && `host:${host}`;
}

function serverOf(read: Attributes): string {
  return text(read["server.address"]) || text(read["net.peer.name"]) || text(read["peer.service"]);
}

function hostOf(url: string): string {
  return /^[a-z][a-z\d+.-]*:\/\/(?:[^/?#@]*@)?(\[[^\]]*\]|[^/?#:]+)/i.exec(url)?.[1] ?? "";
}

function text(value: AttributeValue | undefined): string {
  if (typeof value === "string") return value;
  return value === undefined || value === null ? "" : valueText(value);
}

function count(value: AttributeValue | undefined): number {
  return typeof value === "number" && value > 0 ? Math.floor(value) : 0;
}

/** What there is of both, a space between. */
function joined(first: string, second: string): string {
  return first === "" ? second : second === "" ? first : `${first} ${second}`;
}

function cut(value: string): string {
  return value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT - 1)}…` : value;
}

function oneLine(value: string): string {
  const start = cut(value);
  return /[\s\0]{2}|[\n\r\t\0]/.test(start) ? start.replace(/[\s\0]+/g, " ").trim() : start;
}

// Applications send the same few statements over and over.
const readStatements = new Map<string, { line: string; normalised: string }>();
const MAX_STATEMENTS = 1000;

function readStatement(statement: string): { line: string; normalised: string } {
  const known = readStatements.get(statement);
  if (known !== undefined) return known;
  const read = { line: oneLine(statement).trim(), normalised: normalise(statement) };
  if (readStatements.size >= MAX_STATEMENTS) readStatements.clear();
  readStatements.set(statement, read);
  return read;
}

/** The statement without its values, so that the same query with other values is the same text: literals and parameters are `?`,
 *  lists of them one `?`. Not a parser: only equality matters, and what is not SQL is left as it is but for its numbers and quotes. */
export function normalise(statement: string): string {
  const start = statement.length > 4000 ? statement.slice(0, 4000) : statement;
  const result = start
    .replace(/\/\*[\s\S]*?\*\/|--[^\n]*/g, " ")
    .replace(
      /'(?:[^']|'')*(?:'|$)|(?<![\w"`$.:])(?:\$\d+|[:@][a-z_]\w*|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?![\w"`])/gi,
      "?",
    )
    .replace(/\s+/g, " ")
    .replace(/\?(?: ?, ?\?)+/g, "?")
    .replace(/\(\?\)(?: ?, ?\(\?\))+/g, "(?)")
    .trim();
  // Two long statements that begin alike are most likely told apart by how long they are.
  return result.length > MAX_TEXT ? `${result.slice(0, MAX_TEXT)}…${result.length}` : result;
}
