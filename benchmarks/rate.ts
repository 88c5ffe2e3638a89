import { startContestant } from "./contestant.ts";
import type { Bench } from "./contestant.ts";
import { drain } from "./drain.ts";
import type { Workload } from "./workloads.ts";

/** How fast one core makes, encodes and delivers spans, and what becomes of them: a value a run. */
export interface Rate {
  readonly spansPerSecond: number[];
  readonly cpuMicrosPerSpan: number[];
  spansMade: number;
  spansReceived: number;
}

/** A workload of its own kind: not a request as an application has them, but a full core. */
export const thousandSpans: Workload = {
  title: "a thousand spans made by hand",
  method: "GET",
  path: "/",
  status: 200,
  answer: "a thousand",
  slice: 100,
  warmUp: 500,
};

/** dd-trace makes none of the OpenTelemetry API's spans unless the application asks it to. */
const contenders = ["tracekit", "opentelemetry"];

/** Fills a core with spans made through `@opentelemetry/api`, in turns. The rate is that of the spans that have arrived when
 *  the last is made: what came after, once nothing fills a batch, waits for a timer. */
export async function measureRate(
  bench: Bench,
  variantNames: readonly string[],
  options: { times: number; requests: number },
): Promise<Record<string, Rate>> {
  const results: Record<string, Rate> = {};
  for (let time = 0; time < options.times; time++) {
    const names = contenders.filter((name) => variantNames.includes(name));
    for (const name of time % 2 === 0 ? names : names.toReversed()) {
      results[name] ??= { spansPerSecond: [], cpuMicrosPerSpan: [], spansMade: 0, spansReceived: 0 };
      await measureOnce(bench, name, options.requests, results[name]);
    }
  }
  return results;
}

async function measureOnce(bench: Bench, name: string, requests: number, result: Rate): Promise<void> {
  const contestant = await startContestant(bench, "spans", thousandSpans, name);
  try {
    await contestant.load(Math.min(thousandSpans.warmUp, requests), { connections: 1 });
    await drain([contestant], bench.flushMillis);
    const [before, usage] = [await contestant.received(), await contestant.usage()];
    const { elapsedMillis } = await contestant.load(requests, { connections: 1 });
    const { spans } = await contestant.received();
    result.spansPerSecond.push(((spans - before.spans) * 1000) / elapsedMillis);
    // One more for the request itself.
    const made = requests * 1001;
    const [after] = await drain([contestant], bench.flushMillis, [before.spans + made]);
    const received = after!.spans - before.spans;
    result.cpuMicrosPerSpan.push(((await contestant.usage()).cpuMicros - usage.cpuMicros) / made);
    result.spansMade += made;
    result.spansReceived += received;
  } finally {
    contestant.stop();
  }
}
