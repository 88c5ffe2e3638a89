import type { SpanColumns } from "../model/trace.ts";
import type { TraceTree } from "./trace-tree.ts";

/** Identical siblings that follow each other: `SELECT users ×47`. */
export interface Fold {
  /** In order of their start. */
  members: readonly number[];
  /** Sum of the durations, in nanoseconds, and their spread. */
  totalNanos: number;
  minNanos: number;
  medianNanos: number;
  maxNanos: number;
  /** From the first start to the last end. */
  startNanos: number;
  endNanos: number;
}

export interface Folds {
  folds: readonly Fold[];
  /** Of each node: its fold, or -1. */
  foldOf: Int32Array;
}

/** Two look at most as long unfolded. */
const SMALLEST_FOLD = 3;

/** Siblings are identical when they do the same (`SpanColumns.group`) in the same service with the same status, and so does
 *  everything below them. A failed one therefore never hides among those that succeeded. */
export function foldSiblings(tree: TraceTree, spans: SpanColumns): Folds {
  const shape = findShapes(tree, spans);
  const foldOf = new Int32Array(tree.nodeCount).fill(-1);
  const folds: Fold[] = [];
  for (let at = 0; at < tree.nodeCount; at++) {
    const parent = tree.order[at]!;
    if (tree.childCount[parent]! < SMALLEST_FOLD) continue;
    let node = tree.firstChild[parent]!;
    while (node >= 0) {
      const first = node;
      let count = 0;
      for (; node >= 0 && shape[node] === shape[first]; node = tree.nextSibling[node]!) count++;
      if (count < SMALLEST_FOLD) continue;
      const members: number[] = [];
      for (let member = first; member !== node; member = tree.nextSibling[member]!) {
        members.push(member);
        foldOf[member] = folds.length;
      }
      folds.push(createFold(tree, members));
    }
  }
  return { folds, foldOf };
}

/** Of each node a number that only those share which are identical with all below them. */
function findShapes(tree: TraceTree, spans: SpanColumns): Int32Array {
  const { order, nodeCount, spanCount, firstChild, nextSibling } = tree;
  const shapes = new Int32Array(nodeCount);
  let count = 0;
  // Two numbers become one: a shape is its span's, then step by step the one that follows from it and the next child's. Both
  // stay far below 2^26, and numbers are found several times faster than texts.
  const join = (pairs: Map<number, number>, a: number, b: number): number => {
    const pair = a * 0x4000000 + b;
    let number = pairs.get(pair);
    if (number === undefined) {
      number = ++count;
      pairs.set(pair, number);
    }
    return number;
  };
  const own = new Map<number, number>();
  const withChild = new Map<number, number>();
  const outcomes = 18;
  for (let at = nodeCount - 1; at >= 0; at--) {
    const node = order[at]!;
    let shape = 0;
    if (node < spanCount) {
      const outcome = spans.service[node]! * outcomes + spans.kind[node]! * 3 + spans.statusCode[node]!;
      shape = join(own, spans.group[node]!, outcome);
    } else {
      shape = ++count;
    }
    for (let child = firstChild[node]!; child >= 0; child = nextSibling[child]!)
      shape = join(withChild, shape, shapes[child]!);
    shapes[node] = shape;
  }
  return shapes;
}

function createFold({ start, end }: TraceTree, members: readonly number[]): Fold {
  const durations = new Float64Array(members.length);
  let totalNanos = 0;
  let endNanos = -Infinity;
  for (const [at, node] of members.entries()) {
    durations[at] = end[node]! - start[node]!;
    totalNanos += durations[at]!;
    endNanos = Math.max(endNanos, end[node]!);
  }
  durations.sort();
  const middle = durations.length >> 1;
  const isOdd = durations.length % 2 === 1;
  return {
    members,
    totalNanos,
    minNanos: durations[0]!,
    medianNanos: isOdd ? durations[middle]! : (durations[middle - 1]! + durations[middle]!) / 2,
    maxNanos: durations[durations.length - 1]!,
    startNanos: start[members[0]!]!,
    endNanos,
  };
}
