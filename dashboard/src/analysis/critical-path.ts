import type { TraceTree } from "./trace-tree.ts";

/** What a trace's duration was spent on: sections that follow each other without gap or overlap from a root's start to its end,
 *  latest first. Making any of them shorter makes the root shorter. */
export interface CriticalPath {
  node: Int32Array;
  /** Nanoseconds since `TraceDetail.start`. */
  from: Float64Array;
  to: Float64Array;
  /** Of each node of the tree: nanoseconds of it on the path. */
  share: Float64Array;
  /** Of each node: its latest section, or -1. */
  firstSection: Int32Array;
  /** Of each section: the node's next, earlier one, or -1. */
  nextSection: Int32Array;
}

/** Siblings that overlap by less than this part of their parent are taken to have run one after the other.
 *  Source: CRISP (Zhang et al., USENIX ATC 2022). */
const OVERLAP_TOLERANCE = 0.01;

/** The critical path of every root. From a span's end back to its start, the child that ended last before was waited for; before
 *  that child started, the one before it. What no child covers is the span's own. Messages' handling is waited for by nobody. */
export function criticalPath(tree: TraceTree, roots: readonly number[] = tree.roots): CriticalPath {
  const nodes: number[] = [];
  const from: number[] = [];
  const to: number[] = [];
  const share = new Float64Array(tree.nodeCount);
  const emit = (node: number, start: number, end: number): void => {
    if (end <= start) return;
    nodes.push(node);
    from.push(start);
    to.push(end);
    share[node]! += end - start;
  };
  for (const root of roots) walk(tree, root, emit);

  const firstSection = new Int32Array(tree.nodeCount).fill(-1);
  const nextSection = new Int32Array(nodes.length).fill(-1);
  for (let section = nodes.length - 1; section >= 0; section--) {
    nextSection[section] = firstSection[nodes[section]!]!;
    firstSection[nodes[section]!] = section;
  }
  return {
    node: Int32Array.from(nodes),
    from: Float64Array.from(from),
    to: Float64Array.from(to),
    share,
    firstSection,
    nextSection,
  };
}

interface Visit {
  node: number;
  /** What of it can be on the path: its times, clipped to what called it. */
  start: number;
  end: number;
  tolerance: number;
  /** Latest end first. */
  children: readonly number[];
  next: number;
}

function walk(tree: TraceTree, root: number, emit: (node: number, start: number, end: number) => void): void {
  const { start, end } = tree;
  const stack: Visit[] = [visit(tree, root, start[root]!, end[root]!)];
  let cursor = end[root]!;
  for (let current = stack.at(-1); current !== undefined; current = stack.at(-1)) {
    const child = current.children[current.next++];
    if (child === undefined) {
      emit(current.node, current.start, cursor);
      cursor = current.start;
      stack.pop();
      continue;
    }
    const childStart = Math.max(start[child]!, current.start);
    const childEnd = Math.min(end[child]!, current.end);
    // Still running when what follows it had started: nobody waited for it.
    if (childEnd > cursor + current.tolerance || childStart >= Math.min(childEnd, cursor)) continue;
    emit(current.node, childEnd, cursor);
    cursor = Math.min(childEnd, cursor);
    stack.push(visit(tree, child, childStart, cursor));
  }
}

function visit(tree: TraceTree, node: number, start: number, end: number): Visit {
  const children: number[] = [];
  const clipped = (child: number): number => Math.min(tree.end[child]!, end);
  let isSorted = true;
  for (let child = tree.firstChild[node]!; child >= 0; child = tree.nextSibling[child]!) {
    if (tree.isAsynchronous[child] === 1) continue;
    const before = children[children.length - 1];
    if (before !== undefined && clipped(before) >= clipped(child)) isSorted = false;
    children.push(child);
  }
  children.reverse();
  // One after the other is how children mostly run. Of those that end together the longest was waited for most.
  if (!isSorted) children.sort((a, b) => clipped(b) - clipped(a) || tree.start[a]! - tree.start[b]!);
  return { node, start, end, tolerance: (end - start) * OVERLAP_TOLERANCE, children, next: 0 };
}
