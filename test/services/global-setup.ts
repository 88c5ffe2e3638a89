import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureBuilt } from "../support/built.ts";
import { startPostgres } from "./postgres.ts";
import { startRedis } from "./redis.ts";
import type { Service } from "./service.ts";

/** Builds `dist/` and starts the servers, once for the whole run. The tests find them in TRACEKIT_TEST_POSTGRES_URL and
 *  TRACEKIT_TEST_REDIS_URL. A server that cannot be started fails the run: a skipped test proves nothing. */
export async function setup(): Promise<() => Promise<void>> {
  const onProgress = (message: string): void => console.error(message);
  const built = ensureBuilt().catch((error: Error) => {
    // Only tests that start an application need it: `startApp` throws this.
    process.env["TRACEKIT_TEST_BUILD_ERROR"] = error.message;
  });
  const starting = { POSTGRES: startPostgres({ onProgress }), REDIS: startRedis({ onProgress }) };
  const outcomes = await Promise.allSettled(Object.values(starting));
  await built;

  const running: Service[] = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  const stop = async (): Promise<void> => {
    await Promise.all(running.map((service) => service.stop()));
  };
  const problems = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [String(outcome.reason)] : []));
  if (problems.length > 0) {
    await stop();
    throw new Error(problems.join("\n"));
  }
  for (const [name, service] of Object.entries(starting)) {
    process.env[`TRACEKIT_TEST_${name}_URL`] = (await service).url;
  }
  const reportVersions = startLedger();
  return async () => {
    reportVersions();
    await stop();
  };
}

/** Tests note the library versions they run in a file; the run ends with the list. */
function startLedger(): () => void {
  const folder = mkdtempSync(join(tmpdir(), "tracekit-ledger-"));
  const ledger = join(folder, "versions");
  process.env["TRACEKIT_TEST_LEDGER"] = ledger;
  return () => {
    const lines = existsSync(ledger) ? readFileSync(ledger, "utf8").trim().split("\n") : [];
    rmSync(folder, { recursive: true, force: true });
    if (lines.length > 0) console.log(`Library versions tested: ${[...new Set(lines)].sort().join(", ")}`);
  };
}
