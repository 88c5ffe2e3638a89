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
  const { nodeCount, firstChild, nextSibling } = tree;
  const { group } = spans;
  const foldOf = new Int32Array(nodeCount).fill(-1);
  const folds: Fold[] = [];
  for (let parent = 0; parent < nodeCount; parent++) {
    let node = firstChild[parent]!;
    while (node >= 0) {
      const first = node;
      let count = 1;
      node = nextSibling[node]!;
      // Looked at here first: mostly that is enough, and saves a call.
      while (node >= 0 && group[node] === group[first] && areAlike(tree, spans, first, node)) {
        count++;
        node = nextSibling[node]!;
      }
      if (count < SMALLEST_FOLD) continue;
      const members: number[] = [];
      for (let member = first; member !== node; member = nextSibling[member]!) {
        members.push(member);
        foldOf[member] = folds.length;
      }
      folds.push(createFold(tree, members));
    }
  }
  return { folds, foldOf };
}

/** Goes down both sides at once, until they differ: mostly the first look tells them apart. */
function areAlike({ parent, firstChild, nextSibling }: TraceTree, spans: SpanColumns, a: number, b: number): boolean {
  let inA = a;
  let inB = b;
  while (doTheSame(spans, inA, inB)) {
    let nextA = firstChild[inA]!;
    let nextB = firstChild[inB]!;
    while (nextA < 0 && nextB < 0) {
      if (inA === a) return true;
      nextA = nextSibling[inA]!;
      nextB = nextSibling[inB]!;
      inA = parent[inA]!;
      inB = parent[inB]!;
    }
    if (nextA < 0 || nextB < 0) return false;
    inA = nextA;
    inB = nextB;
  }
  return false;
}

/** What stands for a missing span has no group, and is like no other. */
function doTheSame({ group, service, kind, statusCode }: SpanColumns, a: number, b: number): boolean {
  return (
    group[a] === group[b] &&
    group[a] !== undefined &&
    service[a] === service[b] &&
    statusCode[a] === statusCode[b] &&
    kind[a] === kind[b]
  );
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
