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
  roots: readonly number[];
  /** Nodes in preorder. Worked out when it is first asked for: a page's first frame mostly does without. */
  readonly order: Int32Array;
  /** Where a node is in `order`; it and what is below it are the `size` entries from there. Likewise. */
  readonly position: Int32Array;
  readonly size: Int32Array;
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

/** Traces are looked at as soon as they are loaded, by code that has never run and is slow therefore: every pass over all spans
 *  counts. There is none for what can be told from all of them at once, or from what is asked about them later. */
export function buildTree(spans: SpanColumns): TraceTree {
  const { parent, repairs } = findParents(spans);
  const { start, end } = findTimes(spans, parent, repairs);
  const tree = new Forest(spans.spanId.length, { parent, start, end, repairs });
  if (chainSiblings(tree).hasLateParents && cutCycles(tree)) chainSiblings(tree);
  if (markCrossings(tree, spans) && undoSkew(tree, spans)) chainSiblings(tree);
  return tree;
}

class Forest implements TraceTree {
  spanCount: number;
  nodeCount: number;
  parent: Int32Array;
  firstChild: Int32Array;
  nextSibling: Int32Array;
  roots: readonly number[] = [];
  start: Float64Array;
  end: Float64Array;
  isAsynchronous: Uint8Array;
  repairs: Uint8Array;
  shift: Float64Array;
  startNanos = 0;
  endNanos = 0;
  #preorder: Preorder | undefined;

  constructor(spanCount: number, known: Pick<TraceTree, "parent" | "start" | "end" | "repairs">) {
    const nodeCount = known.parent.length;
    this.spanCount = spanCount;
    this.nodeCount = nodeCount;
    this.parent = known.parent;
    this.firstChild = new Int32Array(nodeCount);
    this.nextSibling = new Int32Array(nodeCount);
    this.start = known.start;
    this.end = known.end;
    this.isAsynchronous = new Uint8Array(nodeCount);
    this.repairs = known.repairs;
    this.shift = new Float64Array(nodeCount);
  }

  get order(): Int32Array {
    return this.#arranged().order;
  }
  get position(): Int32Array {
    return this.#arranged().position;
  }
  get size(): Int32Array {
    return this.#arranged().size;
  }

  /** For when siblings have changed places. */
  forgetOrder(): void {
    this.#preorder = undefined;
  }

  #arranged(): Preorder {
    return (this.#preorder ??= arrange(this));
  }
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
  return spans.ids[spans.parentSpanId[child] ?? -1] ?? "";
}

/** Of each node its parent or -1, and what had to be repaired. Behind the spans come those that stand for a missing parent. */
function findParents(spans: SpanColumns): { parent: Int32Array; repairs: Uint8Array } {
  const { ids, spanId, parentSpanId, kind } = spans;
  const count = spanId.length;
  const repairs = new Uint8Array(count);
  // Ids are numbered as spans come that have them, and those of other parents last. Where the last span has the last number, no
  // two have the same, a span's number is its place, and nobody's parent is missing.
  if (ids.length === count && (count === 0 || spanId[count - 1] === count - 1))
    return { parent: new Int32Array(parentSpanId), repairs };
  const parents = new Int32Array(count).fill(-1);
  const byId = new Int32Array(ids.length).fill(-1);
  for (let span = 0; span < count; span++) {
    const id = spanId[span]!;
    const other = byId[id]!;
    if (other < 0) {
      byId[id] = span;
    } else if (kind[other] === CLIENT && kind[span] === SERVER) {
      // Both sides of a call share an id in Zipkin. What is below is the server's.
      parents[span] = other;
      byId[id] = span;
      repairs[span]! |= REPAIR.sharedId;
    } else if (kind[other] === SERVER && kind[span] === CLIENT) {
      parents[other] = span;
      repairs[other]! |= REPAIR.sharedId;
    } else {
      repairs[span]! |= REPAIR.duplicateId;
    }
  }

  const orphans = new Map<number, number[]>();
  for (let span = 0; span < count; span++) {
    const id = parentSpanId[span]!;
    if (id < 0 || parents[span] !== -1) continue;
    const above = byId[id]!;
    if (above >= 0) {
      parents[span] = above;
      continue;
    }
    repairs[span]! |= REPAIR.missingParent;
    const siblings = orphans.get(id);
    if (siblings === undefined) orphans.set(id, [span]);
    else siblings.push(span);
  }
  const groups = [...orphans.values()].filter((siblings) => siblings.length >= SMALLEST_GROUP);
  for (const [group, siblings] of groups.entries()) for (const span of siblings) parents[span] = count + group;
  return { parent: longer(parents, groups.length, -1), repairs: longer(repairs, groups.length, 0) };
}

function longer<Numbers extends Int32Array | Uint8Array>(numbers: Numbers, by: number, filler: number): Numbers {
  if (by === 0) return numbers;
  const all = new (numbers.constructor as new (length: number) => Numbers)(numbers.length + by).fill(filler) as Numbers;
  all.set(numbers);
  return all;
}

/** Follows every node upwards once. A walk that meets itself has found a cycle. True when there was one. */
function cutCycles({ parent, repairs, spanCount }: TraceTree): boolean {
  let isCut = false;
  const walkOf = new Int32Array(parent.length);
  for (let first = 0; first < spanCount; first++) {
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
    isCut = true;
  }
  return isCut;
}

/** Start and end of each node. Marks times that cannot be. */
function findTimes(
  { startNanos, durationNanos }: SpanColumns,
  parent: Int32Array,
  repairs: Uint8Array,
): { start: Float64Array; end: Float64Array } {
  const spanCount = startNanos.length;
  const start = new Float64Array(parent.length).fill(Infinity, spanCount);
  const end = new Float64Array(parent.length).fill(-Infinity, spanCount);
  start.set(startNanos);
  end.set(durationNanos);
  for (let span = 0; span < spanCount; span++) {
    const length = end[span]!;
    const until = start[span]! + length;
    end[span] = until;
    if (length >= 0 && until > -Infinity && until < Infinity) continue;
    repairs[span]! |= REPAIR.badTimes;
    if (!Number.isFinite(start[span])) start[span] = 0;
    end[span] = start[span]!;
  }
  if (parent.length === spanCount) return { start, end };
  for (let span = 0; span < spanCount; span++) {
    const above = parent[span]!;
    if (above < spanCount) continue;
    start[above] = Math.min(start[above]!, start[span]!);
    end[above] = Math.max(end[above]!, end[span]!);
  }
  return { start, end };
}

/** Marks which spans handle a message. True when any span is the work of another process than its parent: only between those
 *  clocks can differ. */
function markCrossings({ spanCount, parent, isAsynchronous }: TraceTree, { service, kind }: SpanColumns): boolean {
  if (new Set(service).size === 1 && !kind.includes(CONSUMER) && isServedFromOutside(kind, parent)) return false;
  let hasCrossings = false;
  for (let span = 0; span < spanCount; span++) {
    const above = parent[span]!;
    if (above < 0 || above >= spanCount) continue;
    const isElsewhere = service[above] !== service[span];
    const ownKind = kind[span];
    if (isElsewhere || (ownKind === SERVER && kind[above] === CLIENT)) hasCrossings = true;
    if (ownKind === CONSUMER && (isElsewhere || kind[above] === PRODUCER)) isAsynchronous[span] = 1;
  }
  return hasCrossings;
}

/** True where every server span is a root: nothing that it serves is part of the trace. */
function isServedFromOutside(kind: readonly number[], parent: Int32Array): boolean {
  let server = kind.indexOf(SERVER);
  while (server >= 0 && parent[server]! < 0) server = kind.indexOf(SERVER, server + 1);
  return server < 0;
}

/** Children and roots, and from when to when they all are, from `parent`, `start` and `end`. `hasLateParents`: not every span
 *  comes after its parent, without which there is no way around. */
function chainSiblings(tree: Forest): { hasLateParents: boolean } {
  const { nodeCount, parent, firstChild, nextSibling, start, end } = tree;
  firstChild.fill(-1);
  let firstRoot = -1;
  let hasLateParents = false;
  let startNanos = Infinity;
  let endNanos = -Infinity;
  // Spans come in order of start: only few chains are out of order, and sorting everything would take most of the time.
  const unsorted = new Set<number>();
  for (let node = nodeCount - 1; node >= 0; node--) {
    const above = parent[node]!;
    const from = start[node]!;
    const to = end[node]!;
    if (from < startNanos) startNanos = from;
    if (to > endNanos) endNanos = to;
    const next = above < 0 ? firstRoot : firstChild[above]!;
    if (next >= 0 && from > start[next]!) unsorted.add(above);
    nextSibling[node] = next;
    if (above < 0) {
      firstRoot = node;
    } else {
      firstChild[above] = node;
      if (above >= node) hasLateParents = true;
    }
  }
  for (const above of unsorted) {
    if (above < 0) firstRoot = sortChain(tree, firstRoot);
    else firstChild[above] = sortChain(tree, firstChild[above]!);
  }
  const roots: number[] = [];
  for (let root = firstRoot; root >= 0; root = nextSibling[root]!) roots.push(root);
  tree.roots = roots;
  if (nodeCount > 0) {
    tree.startNanos = startNanos;
    tree.endNanos = endNanos;
  }
  tree.forgetOrder();
  return { hasLateParents };
}

type Preorder = Pick<TraceTree, "order" | "position" | "size">;

function arrange({ nodeCount, parent, firstChild, nextSibling, roots }: TraceTree): Preorder {
  const order = new Int32Array(nodeCount);
  const position = new Int32Array(nodeCount);
  const size = new Int32Array(nodeCount).fill(1);
  let node = roots[0] ?? -1;
  for (let at = 0; node >= 0; at++) {
    order[at] = node;
    position[node] = at;
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
  return { order, position, size };
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
    let move = shift[above]!;
    if (isCall || spans.service[above] !== service) {
      const room = end[above]! - start[above]! - (end[node]! - start[node]!);
      const isWithin = isCall && room >= 0;
      const early = start[above]! - start[node]!;
      const late = isWithin ? end[node]! - end[above]! : -Infinity;
      const isImpossible = (by: number): boolean =>
        early - by > SKEW_TOLERANCE_NANOS || late + by > SKEW_TOLERANCE_NANOS;
      move = 0;
      if (isImpossible(0)) {
        move = known.get(service) ?? 0;
        if (isImpossible(move)) {
          move = early + (isWithin ? room / 2 : 0);
          known.set(service, move);
        }
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
