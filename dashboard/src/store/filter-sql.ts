import { valueText } from "../model/attributes.ts";
import type { AttributeCondition, TraceFilter } from "../model/filter.ts";
import type { SqlValue } from "./driver.ts";
import type { TraceRow } from "./trace-state.ts";

/** A condition in SQL, and what its `?` stand for. */
export interface Condition {
  sql: string;
  values: SqlValue[];
}

/** What can be told from the row of a trace. `now` is what negative times count from. May be too wide for letters beyond ASCII:
 *  `matchesRow` has the last word. */
export function rowCondition(filter: TraceFilter, now: number): Condition {
  const parts: string[] = [];
  const values: SqlValue[] = [];
  const add = (sql: string, ...bound: SqlValue[]): void => {
    parts.push(sql);
    values.push(...bound);
  };
  const services = filter.service ?? [];
  // The names stand in the row as JSON, quotes and all: part of another name is not found.
  if (services.length > 0)
    add(
      `(${services.map(() => "instr(services, ?) > 0").join(" OR ")})`,
      ...services.map((name) => JSON.stringify(name)),
    );
  if (filter.operation) add("operation LIKE ? ESCAPE '\\'", containsPattern(filter.operation));
  if (filter.status) addStatus(filter.status, add);
  if (filter.minDurationMillis !== undefined) add("duration_ns >= ?", filter.minDurationMillis * 1e6);
  if (filter.maxDurationMillis !== undefined) add("duration_ns <= ?", filter.maxDurationMillis * 1e6);
  if (filter.since !== undefined) add("start_us >= ?", Math.floor(absoluteMillis(filter.since, now) * 1000));
  if (filter.until !== undefined) add("start_us < ?", Math.floor(absoluteMillis(filter.until, now) * 1000));
  if (filter.user) add("user_id = ?", filter.user);
  return { sql: parts.join(" AND "), values };
}

function addStatus(status: string, add: (sql: string, ...bound: SqlValue[]) => void): void {
  if (status === "error") add("error_count > 0");
  else if (status === "ok") add("error_count = 0");
  else if (status.endsWith("xx"))
    add("http_status >= ? AND http_status < ?", Number(status[0]) * 100, Number(status[0]) * 100 + 100);
  else add("http_status = ?", Number(status));
}

/** What `rowCondition` leaves open. */
export function matchesRow(filter: TraceFilter, row: TraceRow): boolean {
  return !filter.operation || contains(row.operation, foldCase(filter.operation));
}

/** Whether spans have to be looked at. */
export function needsSpans(filter: TraceFilter): boolean {
  return (filter.attributes ?? []).length > 0 || Boolean(filter.text);
}

export function absoluteMillis(time: number, now: number): number {
  return time < 0 ? now + time : time;
}

/** Pattern for LIKE that finds whatever contains `text`, and perhaps more: SQLite ignores case for ASCII only, so that other
 *  letters may be anything. */
export function containsPattern(text: string): string {
  const ascii = text
    .slice(0, 1000)
    .replace(/[\\%_]/g, "\\$&")
    .replace(/[^\0-\x7f]+/g, "%");
  return `%${ascii}%`;
}

/** How `text` stands in a JSON text, without the quotes around it. */
export function inJson(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

export function foldCase(text: string): string {
  return text.toLowerCase();
}

/** `folded` is what `foldCase` made of it. */
export function contains(text: string, folded: string): boolean {
  return text.toLowerCase().includes(folded);
}

/** Whether a value fulfils a condition on its key. Numbers are compared as numbers where both sides are; lists by any of their items. */
export function fulfils(condition: AttributeCondition, value: Parameters<typeof valueText>[0]): boolean {
  const { operator, value: wanted } = condition;
  if (operator === "exists") return true;
  const text = valueText(value);
  if (Array.isArray(value) && operator !== "!=" && value.some((item) => fulfils(condition, item))) return true;
  switch (operator) {
    case "=":
      return text === wanted || sameNumber(text, wanted);
    case "!=":
      return text !== wanted && !sameNumber(text, wanted);
    case "~":
      return contains(text, foldCase(wanted));
    case ">":
      return compare(text, wanted) > 0;
    case "<":
      return compare(text, wanted) < 0;
  }
}

function sameNumber(a: string, b: string): boolean {
  return isNumber(a) && isNumber(b) && Number(a) === Number(b) && !(Math.abs(Number(a)) > Number.MAX_SAFE_INTEGER);
}

function compare(a: string, b: string): number {
  if (isNumber(a) && isNumber(b)) return Number(a) - Number(b);
  return a < b ? -1 : Number(a > b);
}

function isNumber(text: string): boolean {
  return text.trim() !== "" && !Number.isNaN(Number(text));
}
