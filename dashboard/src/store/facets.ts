import type { Facets } from "../model/api.ts";
import type { TraceFilter } from "../model/filter.ts";
import type { Attributes } from "../model/attributes.ts";
import type { Driver } from "./driver.ts";
import type { Sources } from "./sources.ts";
import { readData } from "./span-chunk.ts";
import { findTraces } from "./trace-search.ts";

const MAX_VALUES = 200;
/** The latest that match are counted; with more the order hardly changes, and the answer takes longer. */
const MAX_TRACES = 20_000;
/** Where attribute keys are taken from. */
const RECENT_CHUNKS = 200;

/** What there is to choose from among the traces that match. */
export async function getFacets(database: Driver, sources: Sources, filter: TraceFilter): Promise<Facets> {
  const services = new Map<string, number>();
  const operations = new Map<string, number>();
  const statuses = new Map<string, number>();
  const users = new Map<string, number>();
  for await (const rows of findTraces(database, sources, filter, { limit: MAX_TRACES })) {
    for (const row of rows) {
      for (const service of JSON.parse(row.services) as string[]) count(services, service);
      count(operations, row.operation);
      count(statuses, row.error_count > 0 ? "error" : "ok");
      if (row.http_status !== null) count(statuses, String(row.http_status));
      if (row.user_id !== null) count(users, row.user_id);
    }
  }
  return {
    services: mostFrequent(services),
    operations: mostFrequent(operations),
    statuses: mostFrequent(statuses),
    users: mostFrequent(users),
    attributeKeys: recentAttributeKeys(database),
  };
}

function recentAttributeKeys(database: Driver): string[] {
  const keys = new Map<string, number>();
  const note = (attributes: Attributes): void => {
    for (const key of Object.keys(attributes)) count(keys, key);
  };
  const chunks = database.prepare(`SELECT data FROM chunks ORDER BY id DESC LIMIT ${RECENT_CHUNKS}`).all([]);
  for (const { data } of chunks) for (const [, , , attributes] of readData(String(data))) note(attributes);
  const resources = database.prepare(`SELECT content FROM resources ORDER BY id DESC LIMIT ${RECENT_CHUNKS}`).all([]);
  for (const { content } of resources) note((JSON.parse(String(content)) as [string, Attributes])[1]);
  return mostFrequent(keys).map(({ value }) => value);
}

function count(counts: Map<string, number>, value: string): void {
  counts.set(value, (counts.get(value) ?? 0) + 1);
}

function mostFrequent(counts: Map<string, number>): { value: string; count: number }[] {
  return Array.from(counts, ([value, times]) => ({ value, count: times }))
    .toSorted((a, b) => b.count - a.count || (a.value < b.value ? -1 : 1))
    .slice(0, MAX_VALUES);
}
