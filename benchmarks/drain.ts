import { setTimeout as sleep } from "node:timers/promises";
import type { Contestant, Received } from "./contestant.ts";

/** Waits until everything expected has arrived at the sinks, or nothing more has for longer than a batch may wait. */
export async function drain(
  contestants: Contestant[],
  flushMillis: number,
  expected?: readonly number[],
): Promise<Received[]> {
  let received = await receivedByAll(contestants);
  let changedAt = performance.now();
  while (performance.now() - changedAt < flushMillis * 1.5 + 300) {
    if (expected?.every((spans, index) => received[index]!.spans >= spans)) break;
    await sleep(50);
    const now = await receivedByAll(contestants);
    if (now.some(({ spans }, index) => spans !== received[index]!.spans)) changedAt = performance.now();
    received = now;
  }
  // The exporter still has its answer to read.
  await sleep(50);
  return received;
}

/** What each contestant's sink has counted so far. */
export function receivedByAll(contestants: Contestant[]): Promise<Received[]> {
  return Promise.all(contestants.map((contestant) => contestant.received()));
}
