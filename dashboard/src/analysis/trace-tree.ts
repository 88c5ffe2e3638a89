import type { SpanColumns } from "../model/trace.ts";

/** What had to be repaired about a node, as bits. */
export const REPAIR = {
  /** Another span has the same id. */
  duplicateId: 1,
  /** It was among its own ancestors; the cycle is cut at its earliest span. */
  cycle: 2,
  /** Its parent is not among the spans. */
  missingParent: 4,
  /** Moved in time, by `TraceTree.shift`. */
  clockSkew: 8,
  /** Its times were not finite, or its end was before its start. */
  badTimes: 16,
  /** Not a fault: it and its parent are the two sides of a call that share an id, as Zipkin has them. */
  sharedId: 32,
} as const;

/** The spans of a trace as a forest, repaired. Nodes below `spanCount` are the spans, by their index; those from it on are no
 *  spans but stand for a missing parent of several. Times are nanoseconds since `TraceDetail.start`, after repair. */
export interface TraceTree {
  spanCount: number;
  nodeCount: number;
  /** -1 for a root. */
  parent: Int32Array;
  /** -1 for a leaf. Children are in order of their start. */
  firstChild: Int32Array;
  /** -1 for the last one. Roots are siblings, too. */
  nextSibling: Int32Array;
  childCount: Int32Array;
  roots: readonly number[];
  /** Nodes in preorder. */
  order: Int32Array;
  /** Where a node is in `order`; it and what is below it are the `size` entries from there. */
  position: Int32Array;
  size: Int32Array;
  /** 0 for a root. */
  depth: Int32Array;
  start: Float64Array;
  end: Float64Array;
  /** 1 where the node does not hold up its parent: a message's handling, as seen from its sending. */
  isAsynchronous: Uint8Array;
  /** Bits of `REPAIR`. */
  repairs: Uint8Array;
  /** What was added to the sender's times, in nanoseconds. */
  shift: Float64Array;
  /** The earliest start and the latest end; 0 and 0 without spans. */
  startNanos: number;
  endNanos: number;
}

const SERVER = 2;
const CLIENT = 3;
const PRODUCER = 4;
const CONSUMER = 5;

/** Processes of one machine read the same clock at slightly different moments; less than this is no skew. */
const SKEW_TOLERANCE_NANOS = 100_000;

/** Orphans of one parent are put below a node that stands for it; a lone orphan is a root, which says as much in a line less. */
const SMALLEST_GROUP = 2;

export function buildTree(spans: SpanColumns): TraceTree {
  const spanCount = spans.spanId.length;
  const { parents, repairs: flags, groups } = findParents(spans);
  const nodeCount = spanCount + groups;
  const parent = Int32Array.from(parents);
  const repairs = new Uint8Array(nodeCount);
  repairs.set(flags);
  cutCycles(parent, repairs);

  const start = new Float64Array(nodeCount).fill(Infinity);
  const end = new Float64Array(nodeCount).fill(-Infinity);
  for (let span = 0; span < spanCount; span++) {
    const from = spans.startNanos[span] ?? 0;
    const length = spans.durationNanos[span] ?? 0;
    const isSound = Number.isFinite(from) && length >= 0 && length < Infinity;
    if (!isSound) repairs[span]! |= REPAIR.badTimes;
    start[span] = Number.isFinite(from) ? from : 0;
    end[span] = start[span]! + (isSound ? length : 0);
    const above = parent[span]!;
    if (above >= spanCount) spread(start, end, above, span);
  }

  const tree: TraceTree = {
    spanCount,
    nodeCount,
    parent,
    firstChild: new Int32Array(nodeCount),
    nextSibling: new Int32Array(nodeCount),
    childCount: new Int32Array(nodeCount),
    roots: [],
    order: new Int32Array(nodeCount),
    position: new Int32Array(nodeCount),
    size: new Int32Array(nodeCount),
    depth: new Int32Array(nodeCount),
    start,
    end,
    isAsynchronous: findAsynchronous(spans, parent, nodeCount),
    repairs,
    shift: new Float64Array(nodeCount),
    startNanos: 0,
    endNanos: 0,
  };
  arrange(tree);
  if (undoSkew(tree, spans)) arrange(tree);
  if (nodeCount > 0) {
    tree.startNanos = Infinity;
    tree.endNanos = -Infinity;
  }
  for (let node = 0; node < nodeCount; node++) {
    tree.startNanos = Math.min(tree.startNanos, start[node]!);
    tree.endNanos = Math.max(tree.endNanos, end[node]!);
  }
  return tree;
}

/** The node's children, in order of their start. */
export function childrenOf(tree: TraceTree, node: number): number[] {
  const children: number[] = [];
  for (let child = tree.firstChild[node]!; child >= 0; child = tree.nextSibling[child]!) children.push(child);
  return children;
}

/** The id that a node stands for which is no span. */
export function missingSpanId(tree: TraceTree, spans: SpanColumns, node: number): string {
  const child = tree.firstChild[node]!;
  return child < 0 ? "" : (spans.parentSpanId[child] ?? "");
}

function findParents(spans: SpanColumns): { parents: number[]; repairs: Uint8Array; groups: number } {
  const count = spans.spanId.length;
  const repairs = new Uint8Array(count);
  const parents: number[] = [];
  for (let span = 0; span < count; span++) parents.push(-1);
  const byId = new Map<string, number>();
  for (let span = 0; span < count; span++) {
    const id = spans.spanId[span]!;
    const other = byId.get(id);
    if (other === undefined) {
      byId.set(id, span);
    } else if (spans.kind[other] === CLIENT && spans.kind[span] === SERVER) {
      // Both sides of a call share an id in Zipkin. What is below is the server's.
      parents[span] = other;
      byId.set(id, span);
      repairs[span]! |= REPAIR.sharedId;
    } else if (spans.kind[other] === SERVER && spans.kind[span] === CLIENT) {
      parents[other] = span;
      repairs[other]! |= REPAIR.sharedId;
    } else {
      repairs[span]! |= REPAIR.duplicateId;
    }
  }

  const orphans = new Map<string, number[]>();
  for (let span = 0; span < count; span++) {
    const id = spans.parentSpanId[span]!;
    if (id === "" || parents[span] !== -1) continue;
    const above = byId.get(id);
    if (above !== undefined) {
      parents[span] = above;
      continue;
    }
    repairs[span]! |= REPAIR.missingParent;
    const siblings = orphans.get(id);
    if (siblings === undefined) orphans.set(id, [span]);
    else siblings.push(span);
  }
  let groups = 0;
  for (const siblings of orphans.values()) {
    if (siblings.length < SMALLEST_GROUP) continue;
    for (const span of siblings) parents[span] = count + groups;
    groups++;
    parents.push(-1);
  }
  return { parents, repairs, groups };
}

/** Follows every node upwards once. A walk that meets itself has found a cycle. */
function cutCycles(parent: Int32Array, repairs: Uint8Array): void {
  const walkOf = new Int32Array(parent.length);
  for (let first = 0; first < parent.length; first++) {
    const walk = first + 1;
    let node = first;
    while (node >= 0 && walkOf[node] === 0) {
      walkOf[node] = walk;
      node = parent[node]!;
    }
    if (node < 0 || walkOf[node] !== walk) continue;
    let earliest = node;
    for (let member = parent[node]!; member !== node; member = parent[member]!) earliest = Math.min(earliest, member);
    parent[earliest] = -1;
    repairs[earliest]! |= REPAIR.cycle;
  }
}

function spread(start: Float64Array, end: Float64Array, node: number, child: number): void {
  start[node] = Math.min(start[node]!, start[child]!);
  end[node] = Math.max(end[node]!, end[child]!);
}

function findAsynchronous(spans: SpanColumns, parent: Int32Array, nodeCount: number): Uint8Array {
  const isAsynchronous = new Uint8Array(nodeCount);
  for (let span = 0; span < spans.spanId.length; span++) {
    const above = parent[span]!;
    if (spans.kind[span] !== CONSUMER || above < 0 || above >= spans.spanId.length) continue;
    const isElsewhere = spans.service[above] !== spans.service[span];
    if (isElsewhere || spans.kind[above] === PRODUCER) isAsynchronous[span] = 1;
  }
  return isAsynchronous;
}

/** Children, preorder, depth and size, from `parent` and `start`. */
function arrange(tree: TraceTree): void {
  const { nodeCount, parent, firstChild, nextSibling, childCount, order, position, size, depth, start } = tree;
  firstChild.fill(-1);
  nextSibling.fill(-1);
  childCount.fill(0);
  size.fill(1);
  let firstRoot = -1;
  // Spans come in order of start: only few chains are out of order, and sorting everything would take most of the time.
  const unsorted = new Set<number>();
  for (let node = nodeCount - 1; node >= 0; node--) {
    const above = parent[node]!;
    const next = above < 0 ? firstRoot : firstChild[above]!;
    if (next >= 0 && start[node]! > start[next]!) unsorted.add(above);
    nextSibling[node] = next;
    if (above < 0) {
      firstRoot = node;
    } else {
      firstChild[above] = node;
      childCount[above]!++;
    }
  }
  for (const above of unsorted) {
    if (above < 0) firstRoot = sortChain(tree, firstRoot);
    else firstChild[above] = sortChain(tree, firstChild[above]!);
  }

  const roots: number[] = [];
  for (let root = firstRoot; root >= 0; root = nextSibling[root]!) roots.push(root);
  tree.roots = roots;
  let node = firstRoot;
  for (let at = 0; node >= 0; at++) {
    order[at] = node;
    position[node] = at;
    const above = parent[node]!;
    depth[node] = above < 0 ? 0 : depth[above]! + 1;
    let next = firstChild[node]!;
    while (next < 0 && node >= 0) {
      next = nextSibling[node]!;
      node = parent[node]!;
    }
    node = next;
  }
  for (let at = nodeCount - 1; at >= 0; at--) {
    const below = order[at]!;
    const above = parent[below]!;
    if (above >= 0) size[above]! += size[below]!;
  }
}

/** Puts a chain of siblings in order of start. Gives its first. */
function sortChain({ nextSibling, start, end }: TraceTree, first: number): number {
  const chain: number[] = [];
  for (let node = first; node >= 0; node = nextSibling[node]!) chain.push(node);
  chain.sort((a, b) => start[a]! - start[b]! || end[b]! - end[a]! || a - b);
  for (let at = 0; at < chain.length; at++) nextSibling[chain[at]!] = chain[at + 1] ?? -1;
  return chain[0] ?? -1;
}

/** Moves what another clock says to where it can have happened: not before what caused it and, for a server, within the
 *  client's span, in its middle, as the way there and back is taken to be equally long. Source: Jaeger, clock skew adjuster.
 *  True when something was moved. */
function undoSkew(tree: TraceTree, spans: SpanColumns): boolean {
  const { parent, start, end, shift, repairs, order, spanCount, nodeCount } = tree;
  /** A service that was off by so much once is likely to be off by the same again. */
  const known = new Map<number, number>();
  let isMoved = false;
  for (let at = 0; at < nodeCount; at++) {
    const node = order[at]!;
    const above = parent[node]!;
    if (node >= spanCount || above < 0 || above >= spanCount) continue;
    const service = spans.service[node]!;
    const isCall = spans.kind[above] === CLIENT && spans.kind[node] === SERVER;
    const isElsewhere = isCall || spans.service[above] !== service;
    let move = shift[above]!;
    if (isElsewhere) {
      const length = end[node]! - start[node]!;
      const room = end[above]! - start[above]! - length;
      const isImpossible = (by: number): boolean => {
        const early = start[above]! - (start[node]! + by);
        const late = end[node]! + by - end[above]!;
        return early > SKEW_TOLERANCE_NANOS || (isCall && room >= 0 && late > SKEW_TOLERANCE_NANOS);
      };
      move = [0, known.get(service) ?? 0].find((by) => !isImpossible(by)) ?? NaN;
      if (Number.isNaN(move)) {
        const goal = start[above]! + (isCall && room >= 0 ? room / 2 : 0);
        move = goal - start[node]!;
        known.set(service, move);
      }
    }
    if (move === 0) continue;
    isMoved = true;
    shift[node] = move;
    start[node]! += move;
    end[node]! += move;
    repairs[node]! |= REPAIR.clockSkew;
  }
  return isMoved;
}
