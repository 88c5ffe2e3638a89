import type { TimeScale } from "../../../src/analysis/gaps.ts";
import { formatDuration } from "../../format.ts";

/** Part of the axis that is shown, in drawn nanoseconds. */
export interface Range {
  from: number;
  to: number;
}

export interface Tick {
  /** From 0, the left edge, to 1. */
  at: number;
  /** Real nanoseconds. */
  nanos: number;
  /** As exact as it takes to tell it from its neighbours: `60.15s` where they are 50 ms apart. */
  label: string;
}

/** Round moments, so many pixels apart or more; none within breaks. */
export function findTicks(scale: TimeScale, range: Range, width: number, pixelsApart = 96): Tick[] {
  const span = range.to - range.from;
  if (!(span > 0) || width <= 0) return [];
  const step = roundUp((span * pixelsApart) / width);
  const ticks: Tick[] = [];
  let from = range.from;
  const add = (drawnTo: number): void => {
    const last = scale.toReal(Math.min(drawnTo, range.to));
    for (let nanos = Math.ceil(scale.toReal(from) / step) * step; nanos <= last; nanos += step)
      ticks.push({ at: (scale.toDrawn(nanos) - range.from) / span, nanos, label: label(nanos, step) });
  };
  for (const gap of scale.breaks) {
    if (gap.drawnTo <= range.from || gap.drawnFrom >= range.to) continue;
    if (gap.drawnFrom > from) add(gap.drawnFrom);
    from = Math.max(from, gap.drawnTo);
    // Where it goes on is worth a label, round or not.
    if (from < range.to) ticks.push({ at: (from - range.from) / span, nanos: gap.to, label: label(gap.to, step) });
  }
  if (from < range.to) add(range.to);
  const apart = (pixelsApart * 0.6) / width;
  return ticks.filter(
    (tick, index) => index === 0 || tick.at - ticks[index - 1]!.at >= apart || isResumption(scale, tick),
  );
}

function label(nanos: number, step: number): string {
  if (nanos < 1e9 || step >= 1e9) return formatDuration(nanos);
  return `${(nanos / 1e9).toFixed(Math.ceil(9 - Math.log10(step)))}s`;
}

function isResumption(scale: TimeScale, { nanos }: Tick): boolean {
  return scale.breaks.some(({ to }) => to === nanos);
}

/** The next of 1, 2, 5, 10, 20, 50 … */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const leading = value / power;
  return (leading <= 1 ? 1 : leading <= 2 ? 2 : leading <= 5 ? 5 : 10) * power;
}
