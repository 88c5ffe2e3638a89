export type Range = "5m" | "15m" | "1h" | "24h" | "all";

/** In the order of the buttons. `words` stand in a sentence. */
export const RANGES: readonly { value: Range; label: string; words: string; millis: number }[] = [
  { value: "5m", label: "5m", words: "the last 5 minutes", millis: 300_000 },
  { value: "15m", label: "15m", words: "the last 15 minutes", millis: 900_000 },
  { value: "1h", label: "1h", words: "the last hour", millis: 3_600_000 },
  { value: "24h", label: "24h", words: "the last 24 hours", millis: 86_400_000 },
  { value: "all", label: "All", words: "all time", millis: Number.POSITIVE_INFINITY },
];

/** Of the address; an hour where it says none that is known. */
export function parseRange(text: string | null): Range {
  return RANGES.find(({ value }) => value === text)?.value ?? "1h";
}

/** As `TraceFilter.since`: milliseconds before now, negative; undefined for all time. */
export function rangeStart(range: Range): number | undefined {
  const millis = RANGES.find(({ value }) => value === range)?.millis ?? Number.POSITIVE_INFINITY;
  return Number.isFinite(millis) ? -millis : undefined;
}
