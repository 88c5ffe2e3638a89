import { startContestant } from "./contestant.ts";
import type { Bench, Contestant } from "./contestant.ts";
import { drain, receivedByAll } from "./drain.ts";
import { emptyMeasurement } from "./measurement.ts";
import type { Measurement } from "./measurement.ts";
import { measurePressure } from "./pressure.ts";
import { workloads } from "./workloads.ts";
import type { Workload } from "./workloads.ts";

/** How long and how often to measure. */
export interface Plan {
  /** Fresh processes this often. */
  readonly rounds: number;
  /** Slices of load for each variant in a round: the last `max` count. Before them come the requests its workload names, to
   *  warm up. Once the round's time is over there are no more than `min`, and of those that there were the second half counts.
   *  A slice has `part` of the requests that its workload says. */
  readonly slices: { readonly min: number; readonly max: number; readonly part: number };
  /** Fewer requests a slice where no tracer would take longer than this for them. */
  readonly maxSliceMillis: number;
  readonly pressure: { readonly workloads: readonly string[]; readonly seconds: number };
}

/** Runs one workload: all variants alive at the same time, taking turns, so that whatever else the machine does hits
 *  them alike. A round takes at most `seconds`, and as long as it takes to export what is left. Rejects when an answer is wrong
 *  or a tracer's spans do not arrive. */
export async function measureWorkload(
  bench: Bench,
  name: string,
  variantNames: readonly string[],
  plan: Plan,
  seconds: number,
): Promise<Record<string, Measurement>> {
  const workload = workloads[name];
  if (workload === undefined) throw new Error(`there is no workload ${name}`);
  const results = Object.fromEntries(variantNames.map((variant) => [variant, emptyMeasurement()]));
  for (let round = 0; round < plan.rounds; round++) {
    const order = round % 2 === 0 ? variantNames : variantNames.toReversed();
    const startedAt = performance.now();
    const starting = order.map((variant) => startContestant(bench, name, workload, variant));
    try {
      const contestants = await Promise.all(starting);
      await measureRound(bench, workload, contestants, plan, results, startedAt + seconds * 1000);
      if (plan.pressure.workloads.includes(name)) {
        await measurePressure(contestants, plan.pressure.seconds, bench.flushMillis, results);
      }
    } finally {
      for (const outcome of await Promise.allSettled(starting)) {
        if (outcome.status === "fulfilled") outcome.value.stop();
      }
    }
  }
  return results;
}

async function measureRound(
  bench: Bench,
  workload: Workload,
  contestants: Contestant[],
  plan: Plan,
  results: Record<string, Measurement>,
  dueAt: number,
): Promise<void> {
  for (const contestant of contestants) await checkAnswer(contestant, workload);
  const requests = await chooseSlice(contestants, workload.slice * plan.slices.part, plan.maxSliceMillis);
  const spansPerRequest = await countSpansPerRequest(contestants, bench.flushMillis);

  const before = await receivedByAll(contestants);
  const usages = contestants.map((): number[] => []);
  const { min, max } = plan.slices;
  const planned = Math.ceil(workload.warmUp / requests) + max;
  let slices = 0;
  while (slices < (performance.now() > dueAt ? min : planned)) {
    for (const index of turn(contestants.length, slices)) {
      const contestant = contestants[index]!;
      usages[index]!.push((await contestant.usage()).cpuMicros);
      const { elapsedMillis } = await contestant.load(requests);
      results[contestant.name]!.requestsPerSecond.push((requests * 1000) / elapsedMillis);
    }
    slices++;
  }
  const expected = spansPerRequest.map((spans) => spans * requests * slices);
  const after = await drain(
    contestants,
    bench.flushMillis,
    expected.map((spans, index) => before[index]!.spans + spans),
  );

  for (const [index, contestant] of contestants.entries()) {
    const result = results[contestant.name]!;
    const { cpuMicros, rssMegabytes } = await contestant.usage();
    // What a slice leaves behind to be exported is done before the next one begins, so it counts for its own.
    const readings = [...usages[index]!, cpuMicros];
    const ofSlices = usages[index]!.map((reading, slice) => (readings[slice + 1]! - reading) / requests);
    const counting = slices === planned ? max : Math.min(Math.ceil(slices / 2), max);
    result.warmUpCpuMicros.push(...ofSlices.slice(0, -counting));
    result.cpuMicros.push(...ofSlices.slice(-counting));
    result.rssMegabytes.push(rssMegabytes);
    result.spansPerRequest = spansPerRequest[index]!;
    result.spansExpected += expected[index]!;
    result.spansReceived += after[index]!.spans - before[index]!.spans;
    result.wireBytes += after[index]!.wireBytes - before[index]!.wireBytes;
  }
}

/** The same number of requests for all. */
async function chooseSlice(contestants: Contestant[], most: number, maxMillis: number): Promise<number> {
  const trial = Math.ceil(most / 4);
  let fastest = Infinity;
  for (const contestant of contestants) fastest = Math.min(fastest, (await contestant.load(trial)).elapsedMillis);
  return Math.ceil(Math.min(most, (maxMillis / fastest) * trial));
}

/** Every other turn backwards. */
function turn(count: number, number: number): number[] {
  const order = Array.from({ length: count }, (_, index) => index);
  return number % 2 === 0 ? order : order.toReversed();
}

async function checkAnswer(contestant: Contestant, workload: Workload): Promise<void> {
  const { status, text } = await contestant.answer();
  if (status !== workload.status || text !== workload.answer) {
    throw new Error(`${contestant.name} answered ${status} ${text} instead of ${workload.status} ${workload.answer}`);
  }
}

/** What arrives for a few calm requests is what a tracer claims to make of one. */
async function countSpansPerRequest(contestants: Contestant[], flushMillis: number): Promise<number[]> {
  const requests = 16;
  const before = await drain(contestants, flushMillis);
  for (const contestant of contestants) await contestant.load(requests);
  const after = await drain(contestants, flushMillis);
  return contestants.map(({ name, records }, index) => {
    const spans = (after[index]!.spans - before[index]!.spans) / requests;
    if (records && spans === 0) throw new Error(`no span of ${name} arrived`);
    if (!records && spans > 0) throw new Error(`${name} was to make no spans, and ${spans} arrived for each request`);
    // A connection that happened to be opened may have had a span of its own.
    return Math.round(spans);
  });
}
