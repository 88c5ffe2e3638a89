// The store without its thread, and without a network: CPU time a span, of portions of 6,000. One JSON line.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readImport } from "../../dashboard/src/receive/read-import.ts";
import { readPayload } from "../../dashboard/src/receive/read-payload.ts";
import type { DriverName } from "../../dashboard/src/store/driver.ts";
import { TraceStore } from "../../dashboard/src/store/trace-store.ts";
import { makeRequests, stampRound } from "./requests.ts";

const [driver, total] = [process.argv[2] as DriverName, Number(process.argv[3])];
const WARM_UP = 40_000;
const PORTION = 6000;
const AT_ONCE = 4;

const requests = makeRequests(25, Date.now() - 1_200_000);
const folder = mkdtempSync(join(tmpdir(), "tracekit-bench-store-"));
const store = new TraceStore(
  { path: join(folder, "traces.db"), maxBytes: 8e9, driver },
  { readPayload, readImport },
  { traces() {}, cleared() {} },
);
let next = 0;
let kept = 0;
await keep(WARM_UP);
const micros: number[] = [];
while (kept < total) {
  const before = { kept, ...process.cpuUsage() };
  await keep(kept + PORTION);
  const { user, system } = process.cpuUsage();
  micros.push((user + system - before.user - before.system) / (kept - before.kept));
}
await store.close();
rmSync(folder, { recursive: true });
console.log(JSON.stringify(micros));

async function keep(until: number): Promise<void> {
  const send = async (): Promise<void> => {
    while (kept < until) {
      const at = next++;
      const one = requests[at % requests.length]!;
      kept += one.spans;
      const body = new Uint8Array(stampRound(one, Math.floor(at / requests.length)));
      const result = await store.ingest({ signal: "traces", format: "otlp-protobuf", body });
      if (result.outcome !== "kept" || result.spans !== one.spans) throw new Error(JSON.stringify(result));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, send));
}
