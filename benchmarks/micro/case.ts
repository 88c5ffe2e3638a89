/** One part, alone. `run` does it `times` times and gives something that depends on every result, so that none of it can be
 *  left out by the compiler. */
export interface Case {
  readonly name: string;
  readonly run: (times: number) => number;
}

const RUN_MILLIS = 15;
const RUNS = 40;

/** Nanoseconds of one execution: the smallest mean of many short runs, for what disturbs a run only makes it longer. */
export function measure({ run }: Case): number {
  let times = 64;
  let sink = 0;
  const time = (): number => {
    const startedAt = process.hrtime.bigint();
    sink += run(times);
    return Number(process.hrtime.bigint() - startedAt);
  };
  let best = Infinity;
  for (let runs = 0; runs < RUNS; runs++) {
    const nanos = time();
    best = Math.min(best, nanos / times);
    if (nanos >= RUN_MILLIS * 1e6) continue;
    // It has become faster, and what a run needs before its first execution would weigh more.
    times *= 2;
    best = Infinity;
    runs = -1;
  }
  if (Number.isNaN(sink)) throw new Error("a case has to give a number");
  return best;
}

/** What this machine needs for a fixed mixture of arithmetic, characters, allocation and look-ups. */
export const calibration: Case = {
  name: "calibration",
  run(times) {
    const words = Array.from({ length: 64 }, (_, index) => `word-${index}-${"x".repeat(index % 7)}`);
    const lengths = new Map(words.map((word) => [word, word.length]));
    let hash = 7;
    for (let i = 0; i < times; i++) {
      const word = words[i & 63]!;
      for (let at = 0; at < 6; at++) hash = (Math.imul(hash, 31) + word.charCodeAt(at)) | 0;
      const entry = { word, hash, length: lengths.get(word)! };
      hash ^= entry.length;
    }
    return hash;
  },
};
