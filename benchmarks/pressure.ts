import type { Contestant } from "./contestant.ts";
import { drain } from "./drain.ts";
import type { Measurement } from "./measurement.ts";
import { median } from "./statistics.ts";

// What is off, or not sampled, is covered by its CPU time.
const contenders = ["none", "tracekit", "opentelemetry", "dd-trace"];

/** Adds a `Pressure` to the measurement of each variant that takes part. The processes are warm already. */
export async function measurePressure(
  all: Contestant[],
  seconds: number,
  flushMillis: number,
  results: Record<string, Measurement>,
): Promise<void> {
  const contestants = all.filter(({ name }) => contenders.includes(name));
  const speeds = contestants.map(({ name }) => median(results[name]!.requestsPerSecond));
  const perSecond = Math.round(Math.min(...speeds) / 2);
  for (const [index, contestant] of contestants.entries()) {
    const result = results[contestant.name]!;
    await contestant.watchDelay();
    const calm = await contestant.load(Math.round(perSecond * seconds), { connections: 32, perSecond });
    const { p99Millis: delayP99Millis } = await contestant.delay();
    const paced = { requestsPerSecond: perSecond, p99Millis: calm.p99Millis, delayP99Millis };
    await drain([contestant], flushMillis);

    const before = await contestant.received();
    const requests = Math.round(speeds[index]! * seconds);
    const full = await contestant.load(requests, { connections: 64 });
    const spansExpected = requests * result.spansPerRequest;
    const [after] = await drain([contestant], flushMillis, [before.spans + spansExpected]);
    result.pressure.push({
      paced,
      saturated: {
        requestsPerSecond: (requests * 1000) / full.elapsedMillis,
        p99Millis: full.p99Millis,
        spansExpected,
        spansReceived: after!.spans - before.spans,
      },
    });
  }
}
