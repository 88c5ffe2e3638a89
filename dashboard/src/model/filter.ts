/**
 * Which traces to list. The same words are the query of the page's address, of `GET /api/traces`, and the options of
 * `tracekit tail`. A trace matches when every given condition holds; those about spans hold when one of its spans fulfils them.
 */
export interface TraceFilter {
  /** Any of these took part. */
  service?: readonly string[];
  /** The trace's operation contains this, in any case of letters. */
  operation?: string;
  /** `error`: a span of it failed; `ok`: none did. Or an HTTP status code (`404`) or class (`5xx`) of the root. */
  status?: string;
  minDurationMillis?: number;
  maxDurationMillis?: number;
  /** Started at or after; Unix milliseconds, or milliseconds before now when negative. */
  since?: number;
  /** Started before; likewise. */
  until?: number;
  user?: string;
  /** Conditions on any attribute of any span or its resource. */
  attributes?: readonly AttributeCondition[];
  /** Found in anything that was captured, in any case of letters. */
  text?: string;
}

export interface AttributeCondition {
  key: string;
  operator: "=" | "!=" | ">" | "<" | "~" | "exists";
  /** Empty for `exists`. `~` is: contains. */
  value: string;
}

/** A filter and what was wrong with the words it came from. What is wrong is left out of the filter. */
export interface ParsedFilter {
  filter: TraceFilter;
  problems: readonly string[];
}

const UNIT_MILLIS: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Reads `service`, `operation`, `status`, `min`, `max`, `since`, `until`, `user`, `attr` and `q`; other names are not looked at.
 *  Durations are `150ms`, `2s`, `5m`; bare numbers are milliseconds. Times are `-15m`, Unix milliseconds or ISO 8601. */
export function parseFilter(words: URLSearchParams): ParsedFilter {
  const problems: string[] = [];
  const filter: { -readonly [Name in keyof TraceFilter]: TraceFilter[Name] } = {};
  const problem = (name: string, value: string, expected: string): undefined => {
    problems.push(`${name}=${value} is not ${expected}`);
    return undefined;
  };
  const text = (name: string): string | undefined => words.get(name)?.trim() || undefined;
  const duration = (name: string): number | undefined => {
    const value = text(name);
    if (value === undefined) return undefined;
    return parseDuration(value) ?? problem(name, value, "a duration like 150ms or 2s");
  };
  const time = (name: string): number | undefined => {
    const value = text(name);
    if (value === undefined) return undefined;
    return parseTime(value) ?? problem(name, value, "a time like -15m or 2026-01-31T12:00:00Z");
  };

  const services = words.getAll("service").filter(Boolean);
  if (services.length > 0) filter.service = services;
  const status = text("status");
  if (status !== undefined) {
    if (/^(?:ok|error|[1-5]xx|[1-5]\d\d)$/i.test(status)) filter.status = status.toLowerCase();
    else problem("status", status, "ok, error, a status code or a class like 5xx");
  }
  const conditions = words.getAll("attr").flatMap((word) => {
    const condition = parseCondition(word);
    if (condition === undefined) problem("attr", word, "like key=value, key!=value, key>1, key~part or key");
    return condition ?? [];
  });
  if (conditions.length > 0) filter.attributes = conditions;
  const rest = {
    operation: text("operation"),
    user: text("user"),
    text: text("q"),
    minDurationMillis: duration("min"),
    maxDurationMillis: duration("max"),
    since: time("since"),
    until: time("until"),
  };
  for (const [name, value] of Object.entries(rest)) if (value !== undefined) Object.assign(filter, { [name]: value });
  return { filter, problems };
}

/** The words `parseFilter` reads, in a fixed order. */
export function formatFilter(filter: TraceFilter): URLSearchParams {
  const words = new URLSearchParams();
  for (const service of filter.service ?? []) words.append("service", service);
  if (filter.operation) words.set("operation", filter.operation);
  if (filter.status) words.set("status", filter.status);
  if (filter.minDurationMillis !== undefined) words.set("min", formatMillis(filter.minDurationMillis));
  if (filter.maxDurationMillis !== undefined) words.set("max", formatMillis(filter.maxDurationMillis));
  if (filter.since !== undefined) words.set("since", formatTime(filter.since));
  if (filter.until !== undefined) words.set("until", formatTime(filter.until));
  if (filter.user) words.set("user", filter.user);
  for (const { key, operator, value } of filter.attributes ?? [])
    words.append("attr", operator === "exists" ? key : key + operator + value);
  if (filter.text) words.set("q", filter.text);
  return words;
}

/** `key=value` and its like; a key alone asks that it is there. Undefined for anything else. */
export function parseCondition(word: string): AttributeCondition | undefined {
  const match = /^([^=!<>~\s]+)\s*(?:(!=|[=<>~])\s*(.*))?$/s.exec(word.trim());
  if (match === null) return undefined;
  const [, key = "", operator, value = ""] = match;
  return { key, operator: (operator as AttributeCondition["operator"]) ?? "exists", value };
}

/** Milliseconds of `150ms`, `2s`, `1.5m`, `250us` or a bare number; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(us|µs|ms|s|m|h|d)?$/i.exec(text.trim());
  if (match === null) return undefined;
  const unit = (match[2] ?? "ms").toLowerCase().replace("µ", "u");
  return Number(match[1]) * (UNIT_MILLIS[unit] ?? 1);
}

function parseTime(text: string): number | undefined {
  if (text.startsWith("-")) {
    const millis = parseDuration(text.slice(1));
    return millis === undefined ? undefined : -millis;
  }
  if (/^\d+$/.test(text)) return Number(text);
  const millis = Date.parse(text);
  return Number.isNaN(millis) ? undefined : millis;
}

function formatTime(millis: number): string {
  return millis < 0 ? `-${formatMillis(-millis)}` : String(millis);
}

function formatMillis(millis: number): string {
  for (const unit of ["d", "h", "m", "s"]) {
    const factor = UNIT_MILLIS[unit] ?? 1;
    if (millis >= factor && millis % factor === 0) return `${millis / factor}${unit}`;
  }
  return `${millis}ms`;
}
