import type { Fold } from "../../../src/analysis/fold.ts";
import type { TraceLink } from "../../../src/model/trace.ts";
import { childrenOf } from "../../../src/analysis/trace-tree.ts";
import { idOf, isFailed, type TraceModel } from "./model.ts";

/** A line of the waterfall. */
export interface Row {
  type: "span" | "fold" | "link";
  model: TraceModel;
  /** Of a fold its first member, of a link the span it hangs on. */
  node: number;
  fold: Fold | undefined;
  link: TraceLink | undefined;
  /** 1 at the top. */
  level: number;
  /** Among the lines with the same parent, from 1. */
  position: number;
  setSize: number;
  isExpandable: boolean;
  isExpanded: boolean;
}

/** A linked trace that is to be shown in place. */
export type Followed = TraceModel | "loading" | { error: string };

export interface RowOptions {
  /** Ids of spans whose children are hidden. */
  collapsed: ReadonlySet<string>;
  /** Ids of the first spans of folds that are open. */
  openFolds: ReadonlySet<string>;
  /** By trace id. */
  followed: ReadonlyMap<string, Followed>;
  folding: boolean;
  /** Shorter ones are left out, unless they failed or something below them is to be shown. */
  minNanos: number;
  /** Which spans to show, with what is above them; undefined for all. */
  only?: ((model: TraceModel) => Uint8Array) | undefined;
  /** So many lines are enough; all by default. */
  most?: number;
}

/** Names a row across reloads of its trace. */
export interface RowId {
  type: Row["type"];
  traceId: string;
  id: string;
  /** Of a link: where it leads. */
  target: string;
}

export function rowId({ type, model, node, link }: Row): RowId {
  const target = link === undefined ? "" : `${link.traceId} ${link.spanId}`;
  return { type, traceId: model.traceId, id: idOf(model, node), target };
}

/** Where the row is, or -1. */
export function indexOfRow(rows: readonly Row[], wanted: RowId): number {
  return rows.findIndex((row) => {
    if (row.type !== wanted.type || row.model.traceId !== wanted.traceId) return false;
    return idOf(row.model, row.node) === wanted.id && (row.link === undefined || rowId(row).target === wanted.target);
  });
}

/** The lines from top to bottom. */
export function buildRows(main: TraceModel, options: RowOptions): Row[] {
  const rows: Row[] = [];
  const most = options.most ?? Infinity;
  const kept = new Map<TraceModel, Uint8Array | undefined>();
  const shown = new Set([main.traceId]);
  const waiting: Row[] = [];
  const push = (entries: Row[]): void => {
    for (let index = entries.length - 1; index >= 0; index--) {
      const entry = entries[index]!;
      entry.position = index + 1;
      entry.setSize = entries.length;
      waiting.push(entry);
    }
  };
  const nodesToRows = (model: TraceModel, nodes: readonly number[], level: number, folding: boolean): Row[] => {
    if (!kept.has(model)) kept.set(model, findKept(model, options));
    return toRows(model, nodes, level, folding, kept.get(model), options);
  };

  push(nodesToRows(main, main.tree.roots, 1, options.folding));
  for (let row = waiting.pop(); row !== undefined && rows.length < most; row = waiting.pop()) {
    rows.push(row);
    const { model, node, level } = row;
    if (row.type === "fold") {
      if (row.isExpanded) push(nodesToRows(model, row.fold!.members, level + 1, false));
      continue;
    }
    if (row.type === "link") {
      const other = options.followed.get(row.link!.traceId);
      if (other === undefined || typeof other === "string" || "error" in other || shown.has(other.traceId)) continue;
      shown.add(other.traceId);
      push(nodesToRows(other, other.tree.roots, level + 1, options.folding));
      continue;
    }
    const links = options.only === undefined && model.linksOf.size > 0 ? linkRows(row, main, options) : [];
    const isLeaf = model.tree.firstChild[node]! < 0;
    if (isLeaf && links.length === 0) continue;
    const below = isLeaf ? [] : nodesToRows(model, childrenOf(model.tree, node), level + 1, options.folding);
    row.isExpandable = below.length + links.length > 0;
    row.isExpanded = row.isExpandable && (options.collapsed.size === 0 || !options.collapsed.has(idOf(model, node)));
    if (row.isExpanded) push(links.length === 0 ? below : [...links, ...below]);
  }
  return rows;
}

function toRows(
  model: TraceModel,
  nodes: readonly number[],
  level: number,
  folding: boolean,
  kept: Uint8Array | undefined,
  { openFolds, minNanos, only }: RowOptions,
): Row[] {
  const rows: Row[] = [];
  let previous = -1;
  for (const node of nodes) {
    const number = folding ? model.folds.foldOf[node]! : -1;
    if (number >= 0) {
      if (number === previous) continue;
      previous = number;
      const fold = model.folds.folds[number]!;
      // Together they can take long, short as each of them may be.
      const isKept = only === undefined && fold.totalNanos >= minNanos;
      if (!isKept && kept !== undefined && !fold.members.some((member) => kept[member] === 1)) continue;
      const isExpanded = openFolds.has(idOf(model, node));
      rows.push(createRow("fold", model, node, level, { fold, isExpanded }));
    } else if (kept === undefined || kept[node] === 1) {
      rows.push(createRow("span", model, node, level));
    }
  }
  return rows;
}

/** Every row has the same fields in the same order, as there are very many of them. */
function createRow(
  type: Row["type"],
  model: TraceModel,
  node: number,
  level: number,
  more?: { fold?: Fold; link?: TraceLink; isExpanded: boolean },
): Row {
  return {
    type,
    model,
    node,
    fold: more?.fold,
    link: more?.link,
    level,
    position: 1,
    setSize: 1,
    isExpandable: more !== undefined,
    isExpanded: more?.isExpanded ?? false,
  };
}

/** Links back to the page's own trace lead nowhere new. */
function linkRows({ model, node, level }: Row, main: TraceModel, { followed }: RowOptions): Row[] {
  return (model.linksOf.get(node) ?? [])
    .filter(({ traceId }) => traceId !== main.traceId)
    .map((link) => createRow("link", model, node, level + 1, { link, isExpanded: followed.has(link.traceId) }));
}

/** 1 for each node to be shown; undefined for all. */
function findKept(model: TraceModel, { minNanos, only }: RowOptions): Uint8Array | undefined {
  if (minNanos <= 0 && only === undefined) return undefined;
  const { tree } = model;
  const kept = only === undefined ? new Uint8Array(tree.nodeCount).fill(1) : only(model).slice();
  for (let at = tree.nodeCount - 1; at >= 0; at--) {
    const node = tree.order[at]!;
    const isLong = tree.end[node]! - tree.start[node]! >= minNanos || isFailed(model, node);
    if (!isLong) kept[node] = 0;
    for (let child = tree.firstChild[node]!; child >= 0 && kept[node] === 0; child = tree.nextSibling[child]!)
      kept[node] = kept[child]!;
  }
  return kept;
}
