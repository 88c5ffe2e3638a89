import type { ServiceNode } from "../../../src/model/api.ts";

export const COLUMNS = ["name", "type", "rate", "errors", "p50", "p95", "count"] as const;
export type Column = (typeof COLUMNS)[number];

export interface Sorting {
  column: Column;
  isDescending: boolean;
}

/** Of the table before anybody sorts it: the busiest first. */
export const FIRST_SORTING: Sorting = { column: "count", isDescending: true };

const VALUES: Readonly<Record<Column, (node: ServiceNode) => string | number>> = {
  name: ({ name }) => name.toLowerCase(),
  type: ({ type }) => type,
  rate: ({ stats }) => stats.perSecond,
  errors: ({ stats }) => errorShare(stats),
  p50: ({ stats }) => stats.p50Nanos,
  p95: ({ stats }) => stats.p95Nanos,
  count: ({ stats }) => stats.count,
};

/** 0 to 1. */
export function errorShare({ count, errorCount }: { count: number; errorCount: number }): number {
  return count === 0 ? 0 : errorCount / count;
}

/** Equals stand in the order of their names, whichever way the column is sorted. */
export function sortServices(nodes: readonly ServiceNode[], { column, isDescending }: Sorting): ServiceNode[] {
  const valueOf = VALUES[column];
  const sign = isDescending ? -1 : 1;
  return nodes.toSorted(
    (a, b) => sign * compare(valueOf(a), valueOf(b)) || compare(a.name, b.name) || compare(a.id, b.id),
  );
}

/** Names start from the first, numbers from the largest; a second click turns the order round. */
export function nextSorting(sorting: Sorting, column: Column): Sorting {
  if (sorting.column === column) return { column, isDescending: !sorting.isDescending };
  return { column, isDescending: column !== "name" && column !== "type" };
}

/** `errors`, `-errors` when descending: as in the address. Anything else is `FIRST_SORTING`. */
export function parseSorting(text: string | null): Sorting {
  const isDescending = text?.startsWith("-") === true;
  const column = COLUMNS.find((name) => name === (isDescending ? text?.slice(1) : text));
  return column === undefined ? FIRST_SORTING : { column, isDescending };
}

export function formatSorting({ column, isDescending }: Sorting): string {
  return isDescending ? `-${column}` : column;
}

/** `0.4%`, `12%`; a share that is there is never `0%`. */
export function formatShare(share: number): string {
  const percent = share * 100;
  if (percent === 0) return "0%";
  if (percent < 0.1) return "<0.1%";
  if (percent > 99.9 && percent < 100) return ">99.9%";
  return `${Number(percent.toFixed(percent < 10 ? 1 : 0))}%`;
}

/** `12/s`, `1.4/s`, `3/min`, `2/h`. */
export function formatRate(perSecond: number): string {
  const round = (value: number): number => Number(value.toFixed(value < 10 ? 1 : 0));
  if (perSecond <= 0) return "0/s";
  if (perSecond >= 1) return `${round(perSecond).toLocaleString("en-US")}/s`;
  if (perSecond * 60 >= 1) return `${round(perSecond * 60)}/min`;
  return `${round(perSecond * 3600) || "<0.1"}/h`;
}

function compare(a: string | number, b: string | number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
