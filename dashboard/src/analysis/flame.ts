import type { SpanColumns } from "../model/trace.ts";
import type { TraceTree } from "./trace-tree.ts";

/** All spans that do the same (`SpanColumns.group`) under one name in one service, called the same way. */
export interface Frame {
  /** Indexes into `TraceDetail.strings`; -1 for what stands for a missing span. */
  name: number;
  service: number;
  /** Likewise; -1 where its spans differ in it. */
  detail: number;
  /** Index among the frames, before its own; -1 at the bottom. */
  parent: number;
  depth: number;
  count: number;
  errorCount: number;
  /** Nanoseconds. */
  selfNanos: number;
  /** Self time of it and all above it: its width. */
  totalNanos: number;
  /** Where it begins: self time to the left of it. */
  left: number;
  /** The longest of its spans. */
  longest: number;
}

export interface FlameGraph {
  /** Callers before what they call. */
  frames: readonly Frame[];
  totalNanos: number;
  /** Number of levels. */
  depth: number;
  /** Of each node: its frame. */
  frameOf: Int32Array;
}

/** Merges what was called the same way. Widths are self time, so that parallel work adds up and nothing overlaps; the widest is
 *  leftmost. */
export function flameGraph(tree: TraceTree, spans: SpanColumns, self: Float64Array): FlameGraph {
  const frames: Frame[] = [];
  const frameOf = new Int32Array(tree.nodeCount);
  const known = new Map<string, number>();
  for (let at = 0; at < tree.nodeCount; at++) {
    const node = tree.order[at]!;
    const above = tree.parent[node]!;
    const parent = above < 0 ? -1 : frameOf[above]!;
    const name = node < tree.spanCount ? spans.name[node]! : -1;
    const service = node < tree.spanCount ? spans.service[node]! : -1;
    const detail = node < tree.spanCount ? spans.detail[node]! : -1;
    const key = `${parent} ${name} ${service} ${spans.group[node] ?? -1}`;
    let index = known.get(key);
    if (index === undefined) {
      index = frames.length;
      known.set(key, index);
      const depth = parent < 0 ? 0 : frames[parent]!.depth + 1;
      const nothing = { count: 0, errorCount: 0, selfNanos: 0, totalNanos: 0, left: 0 };
      frames.push({ name, service, detail, parent, depth, ...nothing, longest: node });
    }
    frameOf[node] = index;
    const frame = frames[index]!;
    frame.count++;
    if (frame.detail !== detail) frame.detail = -1;
    if (spans.statusCode[node] === 2) frame.errorCount++;
    frame.selfNanos += self[node]!;
    if (lengthOf(tree, node) > lengthOf(tree, frame.longest)) frame.longest = node;
  }

  for (let index = frames.length - 1; index >= 0; index--) {
    const frame = frames[index]!;
    frame.totalNanos += frame.selfNanos;
    if (frame.parent >= 0) frames[frame.parent]!.totalNanos += frame.totalNanos;
  }
  // Siblings side by side: each takes its place from what its parent has left, widest first.
  const widestFirst = frames.map((_, index) => index);
  widestFirst.sort((a, b) => frames[a]!.depth - frames[b]!.depth || frames[b]!.totalNanos - frames[a]!.totalNanos);
  const taken = new Float64Array(frames.length);
  let bottom = 0;
  for (const index of widestFirst) {
    const frame = frames[index]!;
    if (frame.parent < 0) {
      frame.left = bottom;
      bottom += frame.totalNanos;
    } else {
      frame.left = frames[frame.parent]!.left + taken[frame.parent]!;
      taken[frame.parent]! += frame.totalNanos;
    }
  }
  const depth = frames.reduce((most, frame) => Math.max(most, frame.depth + 1), 0);
  return { frames, totalNanos: bottom, depth, frameOf };
}

function lengthOf({ start, end }: TraceTree, node: number): number {
  return end[node]! - start[node]!;
}
