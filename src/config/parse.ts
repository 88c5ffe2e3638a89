import { defineHostRule } from "./host-rule.ts";
import type { HostRule } from "./host-rule.ts";

/** A kind of value that may be captured. Source: TRACEKIT_CAPTURE. */
export type CaptureKind = (typeof CAPTURE_KINDS)[number];

/** All of them. */
export const CAPTURE_KINDS = [
  "sql-parameters",
  "cache-keys",
  "cache-values",
  "http-headers",
  "http-bodies",
  "messages",
  "user",
] as const;

/** What to redact beside the built-in list: lower-case names, and patterns that match inside values. */
export interface Redaction {
  readonly names: readonly string[];
  readonly patterns: readonly RegExp[];
}

/** The types of variables and what their parsers give. */
export interface Parsed {
  boolean: boolean;
  string: string;
  integer: number;
  millis: number;
  timeout: number;
  ratio: number;
  url: string;
  attributes: Readonly<Record<string, string>>;
  headers: Readonly<Record<string, string>>;
  names: readonly string[];
  methods: readonly string[];
  capture: ReadonlySet<CaptureKind>;
  redact: Redaction;
  hosts: HostRule;
  unsupported: never;
}

/** The longest a Node timer can wait; setTimeout fires at once on anything larger. Stands for "no limit". */
export const MAX_TIMER_MILLIS: number = 2 ** 31 - 1;

/** Takes what is wrong with a value, to follow its name, and what happens instead when that is not "the default is used". */
export type Reject = (problem: string, instead?: string) => void;

/** What a parser may know about its row. */
export interface Row {
  readonly values?: readonly string[];
  readonly min?: number;
}

type Parser<T> = (text: string, row: Row, reject: Reject) => T | undefined;

const entriesOf = (text: string): string[] =>
  text
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");

const quote = (entries: readonly string[]): string => entries.map((entry) => JSON.stringify(entry)).join(", ");

function integer(text: string, { min = 0 }: Row, reject: Reject): number | undefined {
  const value = Number(text);
  if (value >= min && Number.isSafeInteger(value)) return value;
  reject(`is not a whole number of at least ${min}`);
  return undefined;
}

function millis(text: string, row: Row, reject: Reject): number | undefined {
  const value = integer(text, row, reject);
  return value && Math.min(value, MAX_TIMER_MILLIS);
}

/** `a=b` pairs, percent-decoded and trimmed; undefined in place of a pair that is not one. */
function pairsOf(text: string): ([string, string] | undefined)[] {
  return entriesOf(text).map((entry) => {
    const equals = entry.indexOf("=");
    try {
      const name = decodeURIComponent(entry.slice(0, Math.max(equals, 0)).trim());
      return name === "" ? undefined : [name, decodeURIComponent(entry.slice(equals + 1).trim())];
    } catch {
      return undefined;
    }
  });
}

// RFC 9110: a name is a token; a value has no control characters, and Node refuses one beyond Latin-1.
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
// oxlint-disable-next-line no-control-regex
const HEADER_VALUE = /^[\t\u0020-\u007e\u0080-\u00ff]*$/;
/** Describe the body or the connection: the exporter's own business, and a wrong one breaks every request. */
const FRAMING_HEADERS = /^(content-(length|type|encoding)|transfer-encoding|connection|upgrade|expect|te)$/;

function headers(text: string, _row: Row, reject: Reject): Readonly<Record<string, string>> {
  const good: [string, string][] = [];
  const bad: number[] = [];
  for (const [index, pair] of pairsOf(text).entries()) {
    const name = pair?.[0].toLowerCase();
    if (pair && name && HEADER_NAME.test(name) && HEADER_VALUE.test(pair[1]) && !FRAMING_HEADERS.test(name)) {
      good.push([name, pair[1]]);
    } else bad.push(index + 1);
  }
  // By position only: an entry without "=" may be the secret itself.
  if (bad.length > 0) {
    reject(
      `has an entry that cannot be sent as a header (number ${bad.join(", ")}, expected name=value)`,
      "leaving it out",
    );
  }
  return Object.fromEntries(good);
}

function capture(text: string, _row: Row, reject: Reject): ReadonlySet<CaptureKind> {
  const entries = entriesOf(text.toLowerCase());
  const isKind = (entry: string): entry is CaptureKind => (CAPTURE_KINDS as readonly string[]).includes(entry);
  const without = (entry: string): string => (entry.startsWith("-") ? entry.slice(1) : entry);
  const unknown = entries.filter((entry) => entry !== "all" && entry !== "none" && !isKind(without(entry)));
  const kinds = new Set<CaptureKind>(entries.every((entry) => entry.startsWith("-")) ? CAPTURE_KINDS : []);
  for (const entry of entries) {
    if (entry === "all") for (const kind of CAPTURE_KINDS) kinds.add(kind);
    else if (entry === "none") kinds.clear();
    else if (isKind(entry)) kinds.add(entry);
    else kinds.delete(without(entry) as CaptureKind);
  }
  // A misspelt "-http-bodys" was meant to keep something inside: rather nothing than that.
  if (unknown.some((entry) => entry.startsWith("-"))) kinds.clear();
  if (unknown.length > 0) {
    reject(
      `names ${quote(unknown)}, not one of ${CAPTURE_KINDS.join(", ")}`,
      `capturing ${[...kinds].join(",") || "none"}`,
    );
  }
  return kinds;
}

function redact(text: string, _row: Row, reject: Reject): Redaction {
  // A pattern may contain commas, and slashes when escaped or inside a class, as in a JavaScript literal.
  const entry = /\s*(?:\/((?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\[])+)\/([a-z]*)\s*(?=,|$)|([^,]*))(?:,|$)/gy;
  const names: string[] = [];
  const patterns: RegExp[] = [];
  const bad: string[] = [];
  for (const [, source, flags = "", name = ""] of text.matchAll(entry)) {
    try {
      // Global so that every match is replaced; sticky would look only at the start.
      if (source !== undefined) patterns.push(new RegExp(source, `${flags.replace(/[gy]/g, "")}g`));
      else if (name.startsWith("/")) bad.push(name.trim());
      else if (name.trim() !== "") names.push(name.trim().toLowerCase());
    } catch {
      bad.push(`/${source}/${flags}`);
    }
  }
  if (bad.length > 0)
    reject(`has ${quote(bad)}, which is not a regular expression`, "not redacting what it was meant for");
  return { names, patterns };
}

function hosts(text: string, _row: Row, reject: Reject): HostRule {
  const { rule, invalid } = defineHostRule(entriesOf(text.toLowerCase()));
  if (invalid.length > 0) {
    reject(
      `has ${quote(invalid)}, not a host name, address or pattern (without port)`,
      "sending user.id to the others only",
    );
  }
  return rule;
}

/** One parser a type. Each gets a trimmed text that is not empty, and gives undefined, having said why, where the
 *  setting is to be ignored. None throws. Source: value rules of the OpenTelemetry "Common configuration" specification. */
export const PARSERS: { readonly [K in keyof Parsed]: Parser<Parsed[K]> } & {
  readonly enum: Parser<string>;
  readonly enums: Parser<readonly string[]>;
} = {
  boolean(text, _row, reject) {
    const value = text.toLowerCase();
    if (value !== "true" && value !== "false") reject("is neither true nor false", "using false");
    return value === "true";
  },
  string: (text) => text,
  integer,
  millis,
  timeout(text, row, reject) {
    const value = millis(text, row, reject);
    return value === 0 ? MAX_TIMER_MILLIS : value;
  },
  ratio(text, _row, reject) {
    const value = Number(text);
    if (value >= 0 && value <= 1) return value;
    reject("is not a number from 0 to 1");
    return undefined;
  },
  url: (text) => text,
  attributes(text, _row, reject) {
    const pairs = pairsOf(text);
    if (pairs.every((pair) => pair !== undefined)) return Object.fromEntries(pairs);
    reject("is not a list of percent-encoded name=value pairs", "ignoring all of it");
    return undefined;
  },
  headers,
  names: (text) => entriesOf(text.toLowerCase()).map((name) => name.replace("@opentelemetry/instrumentation-", "")),
  methods: (text) => entriesOf(text),
  capture,
  redact,
  hosts,
  unsupported(_text, _row, reject) {
    reject("is not supported", "using the other variables");
    return undefined;
  },
  enum(text, { values = [] }, reject) {
    const value = text.toLowerCase();
    if (values.includes(value)) return value;
    reject(`is not one of ${values.join(", ")}`);
    return undefined;
  },
  enums(text, { values = [] }, reject) {
    const entries = [...new Set(entriesOf(text.toLowerCase()))];
    const known = entries.filter((entry) => values.includes(entry));
    const unknown = entries.filter((entry) => !values.includes(entry));
    if (!known.includes("none")) {
      if (unknown.length > 0) {
        const rest = known.length > 0 ? `using ${known.join(",")}` : undefined;
        reject(`names ${quote(unknown)}, not one of ${values.join(", ")}`, rest);
      }
      return known.length > 0 ? known : undefined;
    }
    // Whoever writes "none" wants nothing to leave.
    if (entries.length > 1) reject(`has "none" beside others`, "using none");
    return [];
  },
};
