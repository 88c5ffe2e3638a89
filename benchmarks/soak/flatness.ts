import { median } from "../statistics.ts";

/** What is left in the process between two bursts of load, after a garbage collection. */
export interface Sample {
  readonly requests: number;
  readonly heapMegabytes: number;
  readonly rssMegabytes: number;
  /** Span objects that something still refers to. */
  readonly spans: number;
  readonly sockets: number;
  readonly timers: number;
}

export interface Verdict {
  readonly what: string;
  /** Median of the first and of the last third, warm-up left out. */
  readonly early: number;
  readonly late: number;
  readonly limit: number;
  readonly isFlat: boolean;
}

/** Growth that is not a leak: caches that fill up, pages the allocator keeps, sockets that are about to close. */
const allowances: Record<string, { factor: number; plus: number }> = {
  heapMegabytes: { factor: 1.03, plus: 1.5 },
  rssMegabytes: { factor: 1.08, plus: 10 },
  spans: { factor: 1, plus: 50 },
  sockets: { factor: 1, plus: 8 },
  timers: { factor: 1, plus: 8 },
};

/** Compares the beginning with the end; the first quarter of the samples is warm-up. */
export function judge(samples: readonly Sample[]): Verdict[] {
  const warm = samples.slice(Math.floor(samples.length / 4));
  const third = Math.max(1, Math.floor(warm.length / 3));
  return Object.entries(allowances).map(([what, { factor, plus }]) => {
    const values = warm.map((sample) => sample[what as keyof Sample]);
    const early = median(values.slice(0, third));
    const late = median(values.slice(-third));
    const limit = early * factor + plus;
    return { what, early, late, limit, isFlat: late <= limit };
  });
}
