import type { ServiceEdge, ServiceNode } from "../../../src/model/api.ts";

/** Where things stand, in pixels from the top left. */
export interface MapLayout {
  nodes: readonly PlacedNode[];
  edges: readonly PlacedEdge[];
  width: number;
  height: number;
}

export interface PlacedNode {
  node: ServiceNode;
  /** Column, from 0. */
  layer: number;
  x: number;
  y: number;
}

export interface PlacedEdge {
  edge: ServiceEdge;
  /** An SVG path from the right of one node to the left of the other. */
  path: string;
  /** Where its label stands. */
  labelX: number;
  labelY: number;
  /** It leads against the direction of the map: it closes a cycle. */
  isBackward: boolean;
}

export interface MapSizes {
  nodeWidth: number;
  nodeHeight: number;
  columnGap: number;
  rowGap: number;
}

export const MAP_SIZES: MapSizes = { nodeWidth: 188, nodeHeight: 64, columnGap: 116, rowGap: 28 };

const MARGIN = 24;
/** Height of the lane that an edge takes in a column it passes. */
const LANE = 12;
const SWEEPS = 8;

/** What a column holds: a node, or the lane of an edge that leads on to a later column. */
interface Item {
  id: string;
  node?: ServiceNode;
  before: Item[];
  after: Item[];
  place: number;
  y: number;
}

/** An edge with the lanes it takes on its way. */
interface Line {
  edge: ServiceEdge;
  lanes: readonly Item[];
  isBackward: boolean;
}

/**
 * Layers from left to right: a node stands one behind the farthest of its callers; edges that close a cycle do not count. Within a
 * layer nodes stand near those they talk to, which keeps crossings few, and an edge that passes a layer has a lane of its own there.
 * The same map always gives the same picture, so that what is refreshed does not jump.
 */
export function layOutMap(
  nodes: readonly ServiceNode[],
  edges: readonly ServiceEdge[],
  sizes: MapSizes = MAP_SIZES,
): MapLayout {
  if (nodes.length === 0) return { nodes: [], edges: [], width: 0, height: 0 };
  const sorted = nodes.toSorted((a, b) => compare(a.id, b.id));
  const known = new Set(sorted.map(({ id }) => id));
  const usable = edges
    .filter(({ from, to }) => known.has(from) && known.has(to))
    .toSorted((a, b) => compare(a.from, b.from) || compare(a.to, b.to));
  const forward = withoutCycles(sorted, usable);
  const layers = toLayers(sorted, forward);
  const { columns, lines } = toColumns(sorted, usable, new Set(forward), layers);
  orderColumns(columns);
  const bottom = placeColumns(columns, sizes);

  const { nodeWidth, columnGap } = sizes;
  const byId = new Map<string, PlacedNode>();
  for (const [layer, column] of columns.entries()) {
    const x = MARGIN + layer * (nodeWidth + columnGap);
    for (const { node, y } of column) if (node !== undefined) byId.set(node.id, { node, layer, x, y });
  }
  const placed = drawEdges(lines, byId, sizes);
  return {
    nodes: sorted.map(({ id }) => byId.get(id) as PlacedNode),
    edges: placed.edges,
    width: 2 * MARGIN + columns.length * (nodeWidth + columnGap) - columnGap,
    height: Math.max(bottom, placed.bottom) + MARGIN,
  };
}

/** The edges that remain when those that lead back to a node still being visited are taken out. Starts where nobody calls. */
function withoutCycles(nodes: readonly ServiceNode[], edges: readonly ServiceEdge[]): ServiceEdge[] {
  const out = groupBy(edges, ({ from }) => from);
  const called = new Set(edges.filter(({ from, to }) => from !== to).map(({ to }) => to));
  const state = new Map<string, "open" | "done">();
  const kept: ServiceEdge[] = [];
  for (const root of [...nodes.filter(({ id }) => !called.has(id)), ...nodes]) {
    if (state.has(root.id)) continue;
    const path: { id: string; next: number }[] = [{ id: root.id, next: 0 }];
    state.set(root.id, "open");
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const edge = out.get(top.id)?.[top.next++];
      if (edge === undefined) {
        state.set(top.id, "done");
        path.pop();
        continue;
      }
      if (state.get(edge.to) === "open") continue;
      kept.push(edge);
      if (state.has(edge.to)) continue;
      state.set(edge.to, "open");
      path.push({ id: edge.to, next: 0 });
    }
  }
  return kept;
}

/** Longest path from a node nobody calls. */
function toLayers(nodes: readonly ServiceNode[], edges: readonly ServiceEdge[]): Map<string, number> {
  const out = groupBy(edges, ({ from }) => from);
  const waiting = new Map(nodes.map(({ id }) => [id, 0]));
  for (const { to } of edges) waiting.set(to, (waiting.get(to) ?? 0) + 1);
  const layers = new Map(nodes.map(({ id }) => [id, 0]));
  const ready = nodes.filter(({ id }) => waiting.get(id) === 0).map(({ id }) => id);
  for (let id = ready.pop(); id !== undefined; id = ready.pop()) {
    for (const { to } of out.get(id) ?? []) {
      layers.set(to, Math.max(layers.get(to) ?? 0, (layers.get(id) ?? 0) + 1));
      const left = (waiting.get(to) ?? 0) - 1;
      waiting.set(to, left);
      if (left === 0) ready.push(to);
    }
  }
  return layers;
}

function toColumns(
  nodes: readonly ServiceNode[],
  edges: readonly ServiceEdge[],
  forward: ReadonlySet<ServiceEdge>,
  layers: ReadonlyMap<string, number>,
): { columns: Item[][]; lines: Line[] } {
  const columns: Item[][] = [];
  const items = new Map<string, Item>();
  const add = (layer: number, id: string, node?: ServiceNode): Item => {
    const item: Item = { id, before: [], after: [], place: 0, y: 0, ...(node !== undefined && { node }) };
    (columns[layer] ??= []).push(item);
    return item;
  };
  for (const node of nodes) items.set(node.id, add(layers.get(node.id) ?? 0, node.id, node));
  const lines = edges.map((edge): Line => {
    if (!forward.has(edge)) return { edge, lanes: [], isBackward: true };
    const lanes: Item[] = [];
    let last = items.get(edge.from) as Item;
    const join = (next: Item): void => {
      last.after.push(next);
      next.before.push(last);
      last = next;
    };
    for (let layer = (layers.get(edge.from) ?? 0) + 1; layer < (layers.get(edge.to) ?? 0); layer++) {
      const lane = add(layer, `${edge.from}\n${edge.to}`);
      lanes.push(lane);
      join(lane);
    }
    join(items.get(edge.to) as Item);
    return { edge, lanes, isBackward: false };
  });
  return { columns, lines };
}

/** Sweeps to and fro: each sorts a column by the mean place of its neighbours in the one before. The best order is kept. */
function orderColumns(columns: Item[][]): void {
  const note = (column: readonly Item[]): void => {
    for (const [row, item] of column.entries()) item.place = row;
  };
  columns.forEach(note);
  let fewest = countCrossings(columns);
  let best = columns.map((column) => [...column]);
  for (let sweep = 0; sweep < SWEEPS && fewest > 0; sweep++) {
    const isRightward = sweep % 2 === 0;
    for (let step = 0; step < columns.length; step++) {
      const column = columns[isRightward ? step : columns.length - 1 - step] as Item[];
      const wanted = new Map(
        column.map((item) => {
          const near = isRightward ? item.before : item.after;
          return [item, near.length === 0 ? item.place : near.reduce((sum, { place }) => sum + place, 0) / near.length];
        }),
      );
      column.sort((a, b) => (wanted.get(a) ?? 0) - (wanted.get(b) ?? 0) || compare(a.id, b.id));
      note(column);
    }
    const crossings = countCrossings(columns);
    if (crossings >= fewest) continue;
    fewest = crossings;
    best = columns.map((column) => [...column]);
  }
  for (const [index, column] of best.entries()) {
    columns[index] = column;
    note(column);
  }
}

function countCrossings(columns: readonly (readonly Item[])[]): number {
  let crossings = 0;
  for (const column of columns) {
    const pairs = column.flatMap(({ place, after }) => after.map((next) => [place, next.place] as const));
    for (const [index, [from, to]] of pairs.entries()) {
      for (const [otherFrom, otherTo] of pairs.slice(index + 1))
        if ((from - otherFrom) * (to - otherTo) < 0) crossings++;
    }
  }
  return crossings;
}

/** Gives every item its height in the picture: columns are centred first, then items move towards their neighbours as far as
 *  there is room. Gives the lowest edge of all. */
function placeColumns(columns: readonly (readonly Item[])[], { nodeHeight, rowGap }: MapSizes): number {
  const heightOf = (item: Item): number => (item.node === undefined ? LANE : nodeHeight);
  const middleOf = (item: Item): number => item.y + heightOf(item) / 2;
  const totals = columns.map((column) => column.reduce((sum, item) => sum + heightOf(item) + rowGap, -rowGap));
  const height = Math.max(...totals);
  for (const [index, column] of columns.entries()) {
    let y = MARGIN + (height - (totals[index] ?? 0)) / 2;
    for (const item of column) {
      item.y = y;
      y += heightOf(item) + rowGap;
    }
  }
  for (let sweep = 0; sweep < 4; sweep++) {
    for (let step = 0; step < columns.length; step++) {
      const column = columns[sweep % 2 === 0 ? step : columns.length - 1 - step] ?? [];
      for (const item of column) {
        const near = sweep % 2 === 0 ? item.before : item.after;
        if (near.length === 0) continue;
        item.y = near.reduce((sum, other) => sum + middleOf(other), 0) / near.length - heightOf(item) / 2;
      }
      // Down from the top, then up from the bottom: nothing overlaps, nothing leaves.
      let free = MARGIN;
      for (const item of column) {
        item.y = Math.max(item.y, free);
        free = item.y + heightOf(item) + rowGap;
      }
      let limit = MARGIN + height;
      for (const item of column.toReversed()) {
        item.y = Math.min(item.y, limit - heightOf(item));
        limit = item.y - rowGap;
      }
    }
  }
  return MARGIN + height;
}

function drawEdges(
  lines: readonly Line[],
  byId: ReadonlyMap<string, PlacedNode>,
  { nodeWidth, nodeHeight, columnGap, rowGap }: MapSizes,
): { edges: PlacedEdge[]; bottom: number } {
  // The ends at a node are spread over its side, in the order of what they lead to.
  const leaving = groupBy(lines, ({ edge }) => edge.from);
  const arriving = groupBy(lines, ({ edge }) => edge.to);
  const heightAt = (line: Line, lane: Item | undefined, id: string): number =>
    line.isBackward ? Number.MAX_SAFE_INTEGER : (lane?.y ?? byId.get(id)?.y ?? 0);
  const port = (line: Line, ends: readonly Line[], keyOf: (end: Line) => number): number => {
    const ordered = ends.toSorted((a, b) => keyOf(a) - keyOf(b));
    return (nodeHeight * (ordered.indexOf(line) + 1)) / (ordered.length + 1);
  };
  let bottom = 0;
  const edges = lines.map((line): PlacedEdge => {
    const { edge, lanes, isBackward } = line;
    const from = byId.get(edge.from) as PlacedNode;
    const to = byId.get(edge.to) as PlacedNode;
    const x1 = from.x + nodeWidth;
    const y1 = from.y + port(line, leaving.get(edge.from) ?? [], (end) => heightAt(end, end.lanes[0], end.edge.to));
    const x2 = to.x;
    const y2 = to.y + port(line, arriving.get(edge.to) ?? [], (end) => heightAt(end, end.lanes.at(-1), end.edge.from));
    if (isBackward) {
      // Round below both nodes.
      const low = Math.max(from.y, to.y) + nodeHeight + rowGap / 2;
      const reach = columnGap * 0.4;
      bottom = Math.max(bottom, low + 12);
      const path = `M${x1},${y1} C${x1 + reach},${y1} ${x1 + reach},${low} ${x1},${low} L${x2},${low} C${x2 - reach},${low} ${x2 - reach},${y2} ${x2},${y2}`;
      return { edge, path, labelX: (x1 + x2) / 2, labelY: low, isBackward };
    }
    let path = `M${x1},${y1}`;
    let x = x1;
    let y = y1;
    const curveTo = (nextX: number, nextY: number): void => {
      const middle = (x + nextX) / 2;
      path += ` C${middle},${y} ${middle},${nextY} ${nextX},${nextY}`;
      x = nextX;
      y = nextY;
    };
    for (const [index, lane] of lanes.entries()) {
      const laneX = from.x + (index + 1) * (nodeWidth + columnGap);
      const laneY = lane.y + LANE / 2;
      curveTo(laneX, laneY);
      path += ` L${laneX + nodeWidth},${laneY}`;
      x = laneX + nodeWidth;
    }
    const [labelX, labelY] = [(x + x2) / 2, (y + y2) / 2];
    curveTo(x2, y2);
    return { edge, path, labelX, labelY, isBackward };
  });
  return { edges, bottom };
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
