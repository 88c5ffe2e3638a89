import type { TraceTree } from "./trace-tree.ts";

/** How long each node was at work itself: its duration without what its children cover of it, in nanoseconds. What only stands
 *  for a missing span has none. */
export function selfTimes(tree: TraceTree): Float64Array {
  const { spanCount, nodeCount, firstChild, nextSibling, start, end, isAsynchronous } = tree;
  const self = new Float64Array(nodeCount);
  for (let node = 0; node < spanCount; node++) {
    const until = end[node]!;
    let child = firstChild[node]!;
    if (child < 0) {
      self[node] = until - start[node]!;
      continue;
    }
    let covered = 0;
    // Children come in order of start, so what they cover grows to the right only.
    let reached = start[node]!;
    for (; child >= 0; child = nextSibling[child]!) {
      if (isAsynchronous[child] === 1) continue;
      const from = Math.max(start[child]!, reached);
      const to = Math.min(end[child]!, until);
      if (to <= from) continue;
      covered += to - from;
      reached = to;
    }
    self[node] = Math.max(0, until - start[node]! - covered);
  }
  return self;
}
