import type { TimeScale } from "../../../src/analysis/gaps.ts";
import { isFailed, spanIdOf, type TraceModel } from "./model.ts";
import type { Row } from "./rows.ts";
import type { Range } from "./ticks.ts";

/** Where things are on the axis: pixels from its left edge. */
export interface Axis {
  scale: TimeScale;
  range: Range;
  width: number;
}

export interface Stretch {
  from: number;
  to: number;
}

/** Thinner ones cannot be seen. */
const LEAST_PIXELS = 2;

export function toPixels({ scale, range, width }: Axis, nanos: number): number {
  return ((scale.toDrawn(nanos) - range.from) / (range.to - range.from)) * width;
}

/** From a row's start to its end, as far as it is shown; undefined where none of it is. */
export function barOf(axis: Axis, row: Row): Stretch | undefined {
  const { start, end } = timesOf(row);
  const from = toPixels(axis, start);
  const to = Math.max(toPixels(axis, end), from + LEAST_PIXELS);
  if (to < 0 || from > axis.width) return undefined;
  const clipped = { from: Math.max(from, 0), to: Math.min(to, axis.width) };
  // At the very right there is no room to the right.
  return { from: Math.min(clipped.from, axis.width - LEAST_PIXELS), to: Math.max(clipped.to, LEAST_PIXELS) };
}

/** Nanoseconds on the common axis. */
export function timesOf({ model, node, fold }: Row): { start: number; end: number } {
  const { tree, offset } = model;
  const start = fold?.startNanos ?? tree.start[node]!;
  return { start: start + offset, end: (fold?.endNanos ?? tree.end[node]!) + offset };
}

/** When the span itself was at work; of a fold, when each of its spans was. */
export function busyStretches(axis: Axis, { model, node, fold }: Row): Stretch[] {
  const { tree } = model;
  const stretches: Stretch[] = [];
  const add = stretchAdder(axis, model, stretches);
  if (fold !== undefined) {
    for (const member of fold.members) add(tree.start[member]!, tree.end[member]!);
    return stretches;
  }
  let reached = tree.start[node]!;
  for (let child = tree.firstChild[node]!; child >= 0; child = tree.nextSibling[child]!) {
    if (tree.isAsynchronous[child] === 1) continue;
    const from = Math.min(tree.start[child]!, tree.end[node]!);
    if (from > reached) add(reached, from);
    reached = Math.max(reached, tree.end[child]!);
  }
  if (reached < tree.end[node]!) add(reached, tree.end[node]!);
  return stretches;
}

/** When the row was on the critical path. */
export function criticalStretches(axis: Axis, { model, node, fold }: Row): Stretch[] {
  const { path } = model;
  const stretches: Stretch[] = [];
  const add = stretchAdder(axis, model, stretches);
  for (const member of fold?.members ?? [node]) {
    const sections: number[] = [];
    for (let section = path.firstSection[member]!; section >= 0; section = path.nextSection[section]!)
      sections.push(section);
    // They are chained latest first.
    for (const section of sections.reverse()) add(path.from[section]!, path.to[section]!);
  }
  return stretches;
}

/** Stretches must come from left to right; those that would touch on the screen become one. */
function stretchAdder(axis: Axis, { offset }: TraceModel, stretches: Stretch[]): (from: number, to: number) => void {
  return (start, end) => {
    const from = Math.max(0, toPixels(axis, start + offset));
    const to = Math.min(axis.width, toPixels(axis, end + offset));
    if (to < 0 || from > axis.width || to < from) return;
    const latest = stretches.at(-1);
    if (latest !== undefined && from - latest.to < 1) latest.to = Math.max(latest.to, to);
    else stretches.push({ from, to: Math.max(to, from + 1) });
  };
}

/** A background that paints the stretches in a colour. One element with many stops is much cheaper than many elements. */
export function paintStretches(stretches: readonly Stretch[], left: number, colour: string): string {
  const stops = stretches.flatMap(({ from, to }) => {
    const [a, b] = [(from - left).toFixed(1), (to - left).toFixed(1)];
    return [`transparent ${a}px`, `${colour} ${a}px`, `${colour} ${b}px`, `transparent ${b}px`];
  });
  return stops.length === 0 ? "none" : `linear-gradient(to right, ${stops.join(", ")})`;
}

export interface Dot {
  at: number;
  count: number;
  isSevere: boolean;
  /** What the first of them says. */
  text: string;
}

/** OpenTelemetry logs data model, SeverityNumber: ERROR begins at 17. */
const SEVERE = 17;
const DOT_PIXELS = 8;

/** The row's logs; those that would overlap are one dot. */
export function logDots(axis: Axis, { model, node, fold }: Row): Dot[] {
  const dots: Dot[] = [];
  const { detail, tree, offset } = model;
  for (const member of fold?.members ?? [node]) {
    for (const log of model.logsOf.get(spanIdOf(model, member) || " ") ?? []) {
      const { unixMicros, nanos } = log.time;
      const since = (unixMicros - detail.start.unixMicros) * 1000 + nanos - detail.start.nanos;
      const at = toPixels(axis, since + tree.shift[member]! + offset);
      if (at < 0 || at > axis.width) continue;
      const isSevere = log.severityNumber >= SEVERE;
      const latest = dots.at(-1);
      if (latest !== undefined && Math.abs(at - latest.at) < DOT_PIXELS) {
        latest.count++;
        latest.isSevere ||= isSevere;
      } else {
        dots.push({ at, count: 1, isSevere, text: log.body });
      }
    }
  }
  return dots;
}

export function hasFailed({ model, node, fold }: Row): boolean {
  return fold === undefined ? isFailed(model, node) : fold.members.some((member) => isFailed(model, member));
}
