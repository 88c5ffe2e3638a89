/** Spans of a trace, and where its zero is on the common axis, in nanoseconds. */
export interface Timed {
  start: Float64Array;
  end: Float64Array;
  offset: number;
}

/** A stretch of the axis in which nothing ran, drawn shorter than it was. */
export interface Break {
  /** Real time, nanoseconds. */
  from: number;
  to: number;
  /** Drawn time. */
  drawnFrom: number;
  drawnTo: number;
}

/** Maps real time to drawn time, in which the waiting of a message that nobody handles yet takes little room. Both are
 *  nanoseconds, and both grow together; they are the same where there are no breaks. */
export interface TimeScale {
  from: number;
  to: number;
  drawnFrom: number;
  drawnTo: number;
  breaks: readonly Break[];
  toDrawn(real: number): number;
  toReal(drawn: number): number;
}

/** A break is drawn as wide as this part of everything else … */
const BREAK_SHARE = 0.04;
/** … where that is at most this part of what it really took. */
const WORTHWHILE = 0.4;

/** `compress: false` gives the axis without breaks. */
export function createTimeScale(parts: readonly Timed[], { compress }: { compress: boolean }): TimeScale {
  const { idle, from, to } = findIdle(parts);
  const busy = to - from - idle.reduce((sum, gap) => sum + gap.to - gap.from, 0);
  const breaks: Break[] = [];
  let saved = 0;
  if (compress) {
    // What is too short to be compressed is part of the rest that the breaks' width is taken from.
    const width = busy * BREAK_SHARE;
    for (const gap of idle) {
      if (width > (gap.to - gap.from) * WORTHWHILE) continue;
      const drawnFrom = gap.from - saved;
      breaks.push({ ...gap, drawnFrom, drawnTo: drawnFrom + width });
      saved += gap.to - gap.from - width;
    }
  }
  return {
    from,
    to,
    drawnFrom: from,
    drawnTo: to - saved,
    breaks,
    toDrawn: (real) => convert(breaks, real, "from", "to", "drawnFrom", "drawnTo"),
    toReal: (drawn) => convert(breaks, drawn, "drawnFrom", "drawnTo", "from", "to"),
  };
}

type Edge = "from" | "to" | "drawnFrom" | "drawnTo";

function convert(
  breaks: readonly Break[],
  value: number,
  from: Edge,
  to: Edge,
  otherFrom: Edge,
  otherTo: Edge,
): number {
  let low = 0;
  let high = breaks.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (breaks[middle]![from] <= value) low = middle + 1;
    else high = middle;
  }
  const latest = breaks[low - 1];
  if (latest === undefined) return value;
  if (value >= latest[to]) return latest[otherTo] + value - latest[to];
  const part = (value - latest[from]) / (latest[to] - latest[from]);
  return latest[otherFrom] + part * (latest[otherTo] - latest[otherFrom]);
}

interface Idle {
  idle: { from: number; to: number }[];
  from: number;
  to: number;
}

function findIdle(parts: readonly Timed[]): Idle {
  const [only] = parts;
  return (parts.length === 1 && findIdleInOrder(only!)) || findIdleAmong(parts);
}

/** A trace alone mostly has its starts in order: nothing runs until the next one when the latest end is over. Undefined where
 *  they are not. */
function findIdleInOrder({ start, end, offset }: Timed): Idle | undefined {
  const idle: Idle["idle"] = [];
  let reached = end[0]!;
  let before = start[0]!;
  for (let next = 1; next < start.length; next++) {
    const from = start[next]!;
    const to = end[next]!;
    if (from < before) return undefined;
    before = from;
    if (from > reached) idle.push({ from: reached + offset, to: from + offset });
    if (to > reached) reached = to;
  }
  return start.length === 0 ? undefined : { idle, from: start[0]! + offset, to: reached + offset };
}

function findIdleAmong(parts: readonly Timed[]): Idle {
  const count = parts.reduce((sum, { start }) => sum + start.length, 0);
  if (count === 0) return { idle: [], from: 0, to: 0 };
  const starts = new Float64Array(count);
  const ends = new Float64Array(count);
  let at = 0;
  for (const { start, end, offset } of parts) {
    for (let span = 0; span < start.length; span++, at++) {
      starts[at] = start[span]! + offset;
      ends[at] = end[span]! + offset;
    }
  }
  // Typed arrays sort numbers without calling back. That nothing runs can be told from starts and ends apart: as many have
  // ended as have started.
  starts.sort();
  ends.sort();
  const idle: Idle["idle"] = [];
  for (let next = 1; next < count; next++) {
    const from = ends[next - 1]!;
    const to = starts[next]!;
    if (to > from) idle.push({ from, to });
  }
  return { idle, from: starts[0]!, to: ends[count - 1]! };
}
