import type { TraceFilter } from "../../../src/model/filter.ts";
import { formatDuration } from "../../format.ts";

/** One condition of a filter as it is shown, and the filter without it. */
export interface FilterChip {
  name: string;
  value: string;
  without: TraceFilter;
}

/** Every condition of a filter, in the order of the filter bar. */
export function filterChips(filter: TraceFilter): FilterChip[] {
  const chips: FilterChip[] = [];
  const add = (name: string, value: string, ...leaveOut: (keyof TraceFilter)[]): void => {
    const without = Object.fromEntries(
      Object.entries(filter).filter(([key]) => !leaveOut.includes(key as keyof TraceFilter)),
    ) as TraceFilter;
    chips.push({ name, value, without });
  };
  const { service = [], attributes = [], operation, status, minDurationMillis: min, maxDurationMillis: max } = filter;
  if (filter.text !== undefined) add("Text", filter.text, "text");
  for (const name of service) {
    const others = service.filter((other) => other !== name);
    const { service: _, ...rest } = filter;
    chips.push({ name: "Service", value: name, without: others.length === 0 ? rest : { ...rest, service: others } });
  }
  if (operation !== undefined) add("Operation", operation, "operation");
  if (status !== undefined) add("Status", status === "ok" ? "OK" : status, "status");
  if (min !== undefined || max !== undefined)
    add("Duration", rangeText(min, max), "minDurationMillis", "maxDurationMillis");
  if (filter.since !== undefined || filter.until !== undefined)
    add("Time", timeRangeText(filter.since, filter.until), "since", "until");
  if (filter.user !== undefined) add("User", filter.user, "user");
  attributes.forEach(({ key, operator, value }, index) => {
    const others = attributes.filter((_, other) => other !== index);
    const { attributes: _, ...rest } = filter;
    chips.push({
      name: key,
      value: operator === "exists" ? "exists" : operator === "=" ? value : `${OPERATOR_TEXT[operator]} ${value}`,
      without: others.length === 0 ? rest : { ...rest, attributes: others },
    });
  });
  return chips;
}

export const OPERATOR_TEXT = {
  "=": "is",
  "!=": "is not",
  ">": "more than",
  "<": "less than",
  "~": "contains",
  exists: "exists",
} as const;

function rangeText(min: number | undefined, max: number | undefined): string {
  const text = (millis: number): string => formatDuration(millis * 1e6);
  if (min === undefined) return `at most ${text(max ?? 0)}`;
  return max === undefined ? `at least ${text(min)}` : `${text(min)} to ${text(max)}`;
}

function timeRangeText(since: number | undefined, until: number | undefined): string {
  if (since !== undefined && since < 0 && until === undefined) return `last ${spanText(-since)}`;
  const text = (millis: number): string => (millis < 0 ? `${spanText(-millis)} ago` : momentText(millis));
  if (since === undefined) return `before ${text(until ?? 0)}`;
  return until === undefined ? `since ${text(since)}` : `${text(since)} to ${text(until)}`;
}

/** `15 min`, `1 h`, `24 h`, `7 d`. */
export function spanText(millis: number): string {
  for (const [unit, size] of [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["min", 60_000],
    ["s", 1000],
  ] as const)
    if (millis >= size && millis % size === 0 && !(unit === "d" && millis === size)) return `${millis / size} ${unit}`;
  return `${millis} ms`;
}

/** `31 Jan 14:03:27`, of this machine's clock. */
function momentText(millis: number): string {
  return new Date(millis)
    .toLocaleString("en-GB", {
      day: "numeric",
      month: "short",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    })
    .replace(",", "");
}
