import { criticalPath, type CriticalPath } from "../../../src/analysis/critical-path.ts";
import { foldSiblings, type Folds } from "../../../src/analysis/fold.ts";
import { selfTimes } from "../../../src/analysis/self-time.ts";
import { shortDetail } from "../../../src/analysis/short-detail.ts";
import { buildTree, missingSpanId, REPAIR, type TraceTree } from "../../../src/analysis/trace-tree.ts";
import type { Instant, LogRecord } from "../../../src/model/span.ts";
import type { Category, TraceDetail, TraceLink } from "../../../src/model/trace.ts";

/** A trace and what was worked out about it. Made anew when it is loaded again, never changed. */
export interface TraceModel {
  traceId: string;
  detail: TraceDetail;
  tree: TraceTree;
  /** When it began. Not `detail.start` where a clock that was wrong said so. */
  start: Instant;
  /** Self time of each node, worked out when it is first asked for. */
  readonly self: Float64Array;
  path: CriticalPath;
  folds: Folds;
  /** What to add to its times, in nanoseconds, to place it on the axis of the page's trace. */
  offset: number;
  /** Links to and from other traces, by span. */
  linksOf: ReadonlyMap<number, readonly TraceLink[]>;
  /** By span id, earliest first. */
  logsOf: ReadonlyMap<string, readonly LogRecord[]>;
}

/** `origin` is where the axis begins: where the trace itself does, unless another one's page shows it. */
export function createModel(detail: TraceDetail, origin?: Instant): TraceModel {
  const tree = buildTree(detail.spans);
  const start = later(detail.start, tree.startNanos);
  const { traceId } = detail.summary;
  let self: Float64Array | undefined;
  return {
    traceId,
    detail,
    tree,
    start,
    get self() {
      return (self ??= selfTimes(tree));
    },
    path: criticalPath(tree),
    folds: foldSiblings(tree, detail.spans),
    offset: nanosBetween(origin ?? start, detail.start),
    linksOf: groupBy(
      detail.links.filter((link) => link.traceId !== traceId),
      ({ span }) => span,
    ),
    logsOf: groupBy(detail.logs, ({ spanId }) => spanId),
  };
}

function groupBy<Key, Item>(items: readonly Item[], keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

/** Nanoseconds from one to the other; exact to the nanosecond for some 100 days. */
export function nanosBetween(from: Instant, to: Instant): number {
  return (to.unixMicros - from.unixMicros) * 1000 + to.nanos - from.nanos;
}

/** The moment so many nanoseconds after another one. */
export function later({ unixMicros, nanos }: Instant, by: number): Instant {
  const micros = Math.floor((nanos + by) / 1000);
  return { unixMicros: unixMicros + micros, nanos: nanos + by - micros * 1000 };
}

export function isMissing({ tree }: TraceModel, node: number): boolean {
  return node >= tree.spanCount;
}

export function nameOf({ detail, tree }: TraceModel, node: number): string {
  if (node >= tree.spanCount) return "Span that has not arrived";
  return detail.strings[detail.spans.name[node]!] || "(no name)";
}

/** `""` for what stands for a missing span. */
export function serviceOf({ detail }: TraceModel, node: number): string {
  return detail.strings[detail.spans.service[node] ?? -1] ?? "";
}

/** What tells most, without what the name says already; `""` where there is nothing more. */
export function detailOf(model: TraceModel, node: number): string {
  return shortDetail(nameOf(model, node), model.detail.strings[model.detail.spans.detail[node] ?? -1] ?? "");
}

export function categoryOf({ detail }: TraceModel, node: number): Category {
  return (detail.strings[detail.spans.category[node] ?? -1] ?? "internal") as Category;
}

/** `""` for what stands for a missing span. */
export function spanIdOf({ detail }: TraceModel, node: number): string {
  return detail.spans.ids[detail.spans.spanId[node] ?? -1] ?? "";
}

/** What was added to the span's times because its clock was wrong. */
export function shiftOf(model: TraceModel, spanId: string): number {
  return model.tree.shift[findSpan(model, spanId)] ?? 0;
}

export function isFailed({ detail }: TraceModel, node: number): boolean {
  return detail.spans.statusCode[node] === 2;
}

export function durationOf({ tree }: TraceModel, node: number): number {
  return tree.end[node]! - tree.start[node]!;
}

/** A name for the node that no other of its trace has, and that stays when the trace is loaded again. */
export function idOf(model: TraceModel, node: number): string {
  const { detail, tree } = model;
  if (node >= tree.spanCount) return `missing ${missingSpanId(tree, detail.spans, node)}`;
  const isShared = (tree.repairs[node]! & (REPAIR.duplicateId | REPAIR.sharedId)) !== 0;
  return isShared ? `${spanIdOf(model, node)} ${node}` : spanIdOf(model, node);
}

/** The span with this id, or -1. */
export function findSpan({ detail }: TraceModel, spanId: string): number {
  const id = detail.spans.ids.indexOf(spanId);
  return id < 0 ? -1 : detail.spans.spanId.indexOf(id);
}

/** Self time by service, most first, as parts of the whole. */
export function shareByService(model: TraceModel): { service: string; nanos: number; share: number }[] {
  const { detail, tree, self } = model;
  const { service: services } = detail.spans;
  const sums = new Float64Array(detail.strings.length);
  let total = 0;
  for (let node = 0; node < tree.spanCount; node++) {
    sums[services[node]!]! += self[node]!;
    total += self[node]!;
  }
  return [...new Set(services)]
    .map((service) => ({
      service: detail.strings[service]!,
      nanos: sums[service]!,
      share: total === 0 ? 0 : sums[service]! / total,
    }))
    .sort((a, b) => b.nanos - a.nanos || a.service.localeCompare(b.service));
}
