import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { SpanRecord } from "../../src/model/span.ts";
import type { TraceDetail } from "../../src/model/trace.ts";
import type { DriverName } from "../../src/store/driver.ts";
import { hasNodeSqlite } from "../../src/store/node-sqlite-driver.ts";
import type { IngestResult, Store } from "../../src/store/store.ts";
import { openStore, type StoreOptions } from "../../src/store/worker-store.ts";
import { payloadOf } from "./spans.ts";

/** Those that this Node can run. `node-sqlite.test.ts` runs the others of this folder on Nodes that have both. */
export const drivers: readonly DriverName[] = process.env["TRACEKIT_TEST_DRIVER"]
  ? [process.env["TRACEKIT_TEST_DRIVER"] as DriverName]
  : ["node-sqlite3-wasm", ...(hasNodeSqlite() ? (["node:sqlite"] as const) : [])];

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "tracekit-store-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** Closed at the end of the test. */
export async function open(options: Partial<StoreOptions> & { driver: DriverName }): Promise<Store> {
  const store = await openStore({ memory: options.path === undefined, maxBytes: 512_000_000, ...options });
  onTestFinished(() => store.close(), 60_000);
  return store;
}

/** Throws when not all of it was kept. */
export async function keep(store: Store, spans: readonly SpanRecord[]): Promise<void> {
  mustBeKept(await store.ingest(payloadOf(spans)));
}

export async function getTrace(store: Store, traceId: string): Promise<TraceDetail | undefined> {
  const json = await store.getTraceJson(traceId);
  return json && (JSON.parse(new TextDecoder().decode(json)) as TraceDetail);
}

export function mustBeKept(result: IngestResult): void {
  if (result.outcome !== "kept" || result.rejected > 0) throw new Error(JSON.stringify(result));
}

export async function operations(store: Store, filter: Parameters<Store["listTraces"]>[0]): Promise<string[]> {
  const { traces } = await store.listTraces(filter, { limit: 100 });
  return traces.map(({ operation }) => operation);
}
