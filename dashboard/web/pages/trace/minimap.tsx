import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { afterPaint } from "../../after-paint.ts";
import { formatDuration, plural } from "../../format.ts";
import { serviceColourName } from "../../service-colour.ts";
import { theme, tokenValue } from "../../theme.ts";
import { toPixels, type Axis } from "./bar.ts";
import { dragRange } from "./drag-range.ts";
import { isFailed, type TraceModel } from "./model.ts";
import { useSize } from "./use-size.ts";
import type { TraceView } from "./view.ts";

const STEP = 0.02;

/** The whole trace in little, and which part of it the waterfall shows. Dragging selects a part; the edges can be moved. */
export function Minimap({ view, model }: { view: TraceView; model: TraceModel | undefined }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const { width, height } = useSize(box);
  const scale = view.scale.value;
  const all = { from: scale.drawnFrom, to: Math.max(scale.drawnTo, scale.drawnFrom + 1000) };
  const range = view.range.value;
  const isZoomed = view.isZoomed.value;
  const shownTheme = theme.value;
  const followed = view.followed.value;

  useEffect(() => {
    if (model === undefined || width === 0) return;
    return afterPaint(() => {
      const others = [...followed.values()].filter((other) => typeof other === "object" && "tree" in other);
      if (canvas.current !== null) draw(canvas.current, [model, ...others], { scale, range: all, width }, height);
    });
  }, [model, followed, scale, width, height, shownTheme]);

  const at = (drawn: number): number => ((drawn - all.from) / (all.to - all.from)) * width;
  const left = at(range.from);
  const right = at(range.to);
  const real = (drawn: number): string => formatDuration(scale.toReal(drawn));
  const move = (edge: "from" | "to", part: number): void => {
    const step = (all.to - all.from) * part;
    if (edge === "from") view.setRange({ from: Math.min(range.from + step, range.to), to: range.to });
    else view.setRange({ from: range.from, to: Math.max(range.to + step, range.from) });
  };
  const handle = (edge: "from" | "to", x: number): JSX.Element => (
    <div
      class={`minimap-handle minimap-handle-${edge}`}
      role="slider"
      tabIndex={0}
      aria-label={edge === "from" ? "Start of what is shown" : "End of what is shown"}
      aria-valuemin={Math.round(all.from)}
      aria-valuemax={Math.round(all.to)}
      aria-valuenow={Math.round(range[edge])}
      aria-valuetext={real(range[edge])}
      style={{ left: `${x}px` }}
      onPointerDown={(event) => dragHandle(event, edge, width, all, view)}
      onKeyDown={(event) => {
        const step = { ArrowLeft: -STEP, ArrowRight: STEP, PageDown: -STEP * 5, PageUp: STEP * 5 }[event.key];
        if (step === undefined) return;
        event.preventDefault();
        event.stopPropagation();
        move(edge, step);
      }}
    />
  );
  return (
    <div
      class="minimap"
      ref={box}
      title="Drag to zoom in, double-click to show all"
      onPointerDown={(event) => {
        if (event.target instanceof Element && event.target.closest(".minimap-handle") !== null) return;
        dragRange(event, 0, width, all, view.setRange);
      }}
      onDblClick={() => view.setRange(undefined)}
    >
      <canvas ref={canvas} aria-hidden="true" />
      {model !== undefined && (
        <p class="visually-hidden">
          {plural(model.detail.summary.spanCount, "span")} from {real(all.from)} to {real(all.to)}; shown are{" "}
          {real(range.from)} to {real(range.to)}.
        </p>
      )}
      {isZoomed && (
        <>
          <div class="minimap-veil" style={{ left: "0px", width: `${left}px` }} />
          <div class="minimap-veil" style={{ left: `${right}px`, width: `${width - right}px` }} />
          <div class="minimap-window" style={{ left: `${left}px`, width: `${Math.max(2, right - left)}px` }} />
        </>
      )}
      {model !== undefined && (
        <>
          {handle("from", left)}
          {handle("to", right)}
        </>
      )}
    </div>
  );
}

function dragHandle(
  down: PointerEvent & { currentTarget: HTMLElement },
  edge: "from" | "to",
  width: number,
  all: { from: number; to: number },
  view: TraceView,
): void {
  const handle = down.currentTarget;
  const before = view.range.peek();
  down.preventDefault();
  handle.setPointerCapture(down.pointerId);
  handle.focus({ preventScroll: true });
  const move = (event: PointerEvent): void => {
    const by = ((event.clientX - down.clientX) / width) * (all.to - all.from);
    if (edge === "from")
      view.setRange({ from: Math.min(before.from + by, before.to), to: before.to }, { settled: false });
    else view.setRange({ from: before.from, to: Math.max(before.to + by, before.from) }, { settled: false });
  };
  const end = (): void => {
    handle.removeEventListener("pointermove", move);
    handle.removeEventListener("lostpointercapture", end);
  };
  handle.addEventListener("pointermove", move);
  handle.addEventListener("lostpointercapture", end);
}

const MARGIN = 4;
const CROSS_PIXELS = 6;

/** Draws each span as a line, top to bottom in the order of the waterfall, and crosses for failures on top. Where there are more
 *  spans than pixels, what is painted already is not painted again: 100,000 spans cost what the picture holds. */
function draw(canvas: HTMLCanvasElement, models: readonly TraceModel[], axis: Axis, height: number): void {
  const { width } = axis;
  const ratio = devicePixelRatio;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  if (context === null) return;
  context.scale(ratio, ratio);
  const count = models.reduce((sum, { tree }) => sum + tree.nodeCount, 0);
  const room = height - MARGIN * 2;
  const isCrowded = count > room;
  const thickness = Math.min(4, Math.max(1, (room / count) * 0.7));
  const painted = new Uint8Array(Math.ceil(width + 2) * Math.ceil(height + 1));
  const crosses = new Map<string, { x: number; y: number }>();
  let line = 0;
  for (const model of models) {
    const { tree, offset } = model;
    const colours = colourTable(model);
    for (let at = 0; at < tree.nodeCount; at++, line++) {
      const node = tree.order[at]!;
      const x = toPixels(axis, tree.start[node]! + offset);
      const end = Math.max(toPixels(axis, tree.end[node]! + offset), x + 1);
      const exact = MARGIN + (line / count) * room;
      const y = isCrowded ? Math.floor(exact) : exact;
      if (isFailed(model, node)) {
        const place = `${Math.round(x / CROSS_PIXELS)} ${Math.round(y / CROSS_PIXELS)}`;
        if (!crosses.has(place)) crosses.set(place, { x, y: y + thickness / 2 });
      }
      if (isCrowded) {
        const row = Math.floor(y) * Math.ceil(width + 2);
        const first = row + Math.floor(x);
        const last = row + Math.ceil(end) - 1;
        if (painted[first] === 1 && painted[last] === 1) continue;
        painted.fill(1, first, last + 1);
      }
      context.fillStyle = colours.get(model.detail.spans.service[node] ?? -1)!;
      context.fillRect(x, y, end - x, thickness);
    }
  }
  context.strokeStyle = tokenValue("--error");
  context.lineWidth = 1.5;
  for (const { x, y } of crosses.values()) {
    const middle = Math.min(Math.max(x, 3), width - 3);
    context.beginPath();
    context.moveTo(middle - 2.5, y - 2.5);
    context.lineTo(middle + 2.5, y + 2.5);
    context.moveTo(middle + 2.5, y - 2.5);
    context.lineTo(middle - 2.5, y + 2.5);
    context.stroke();
  }
}

/** By index of the service's name; -1 for what has not arrived. */
function colourTable({ detail }: TraceModel): Map<number, string> {
  const colours = new Map([[-1, tokenValue("--border-strong")]]);
  for (const service of new Set(detail.spans.service))
    colours.set(service, tokenValue(serviceColourName(detail.strings[service]!)));
  return colours;
}
