import type { TraceTree } from "./trace-tree.ts";

/** How long each node was at work itself: `selfTime` of each, in nanoseconds. */
export function selfTimes(tree: TraceTree): Float64Array {
  const self = new Float64Array(tree.nodeCount);
  for (let node = 0; node < tree.spanCount; node++) self[node] = selfTime(tree, node);
  return self;
}

/** A node's duration without what its children cover of it, in nanoseconds. What only stands for a missing span has none. */
export function selfTime(tree: TraceTree, node: number): number {
  const { spanCount, firstChild, nextSibling, start, end, isAsynchronous } = tree;
  if (node >= spanCount) return 0;
  const until = end[node]!;
  let covered = 0;
  // Children come in order of start, so what they cover grows to the right only.
  let reached = start[node]!;
  for (let child = firstChild[node]!; child >= 0; child = nextSibling[child]!) {
    if (isAsynchronous[child] === 1) continue;
    const from = Math.max(start[child]!, reached);
    const to = Math.min(end[child]!, until);
    if (to <= from) continue;
    covered += to - from;
    reached = to;
  }
  return Math.max(0, until - start[node]! - covered);
}
