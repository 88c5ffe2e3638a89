import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { flameGraph, type FlameGraph, type Frame } from "../../../src/analysis/flame.ts";
import { shortDetail } from "../../../src/analysis/short-detail.ts";
import { withVisibleControls } from "../../direction-controls.ts";
import { ServiceName } from "../../components/service-name.tsx";
import { formatCount, formatDuration } from "../../format.ts";
import { serviceColourName } from "../../service-colour.ts";
import { theme, tokenValue } from "../../theme.ts";
import { spanIdOf, type TraceModel } from "./model.ts";
import { useSize } from "./use-size.ts";
import type { TraceView } from "./view.ts";

const FRAME_HEIGHT = 22;
const TABLE_ROWS = 100;

/** All calls merged by what called them: the wider, the more time was spent. The same numbers stand in a table below. */
export function FlameView({ view, model }: { view: TraceView; model: TraceModel }): JSX.Element {
  const graph = useMemo(() => flameGraph(model.tree, model.detail.spans, model.self), [model]);
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const { width } = useSize(box);
  const [base, setBase] = useState(-1);
  const [current, setCurrent] = useState(0);
  const matches = view.matchesOf(model);
  const found = useMemo(() => foundFrames(graph, matches), [graph, matches]);
  const shownTheme = theme.value;
  const root = graph.frames[base];
  const window = root === undefined ? { left: 0, size: graph.totalNanos } : { left: root.left, size: root.totalNanos };
  const labels = useMemo(() => graph.frames.map((frame) => labelOf(model, frame)), [graph]);

  useEffect(() => {
    if (canvas.current !== null && width > 0)
      draw(canvas.current, { graph, labels, model, window, width, current, found });
  }, [graph, labels, width, base, current, found, shownTheme]);
  useEffect(() => setBase(-1), [graph.frames.length]);

  const frameAt = (event: MouseEvent & { currentTarget: HTMLElement }): number => {
    const { left, top } = event.currentTarget.getBoundingClientRect();
    const depth = Math.floor((event.clientY - top) / FRAME_HEIGHT);
    const at = window.left + ((event.clientX - left) / width) * window.size;
    return graph.frames.findIndex(
      (frame) => frame.depth === depth && frame.left <= at && at < frame.left + frame.totalNanos,
    );
  };
  const open = (index: number): void => {
    const frame = graph.frames[index];
    const spanId = frame === undefined ? "" : spanIdOf(model, frame.longest);
    if (spanId !== "") view.openSpan(model.traceId, spanId);
  };
  const shown = graph.frames[current];
  const bySelf = useMemo(() => tableOf(graph, labels), [graph, labels]);

  return (
    <div class="flame">
      <div class="flame-scroll" ref={box}>
        <canvas
          ref={canvas}
          role="img"
          tabIndex={0}
          aria-label="Flame graph. Arrow keys move between calls, Enter zooms in, Escape out, o opens the longest span. The table below has the same numbers."
          aria-describedby="flame-current"
          onPointerMove={(event) => {
            const index = frameAt(event);
            if (index >= 0) setCurrent(index);
          }}
          onClick={(event) => {
            const index = frameAt(event);
            if (index >= 0) setBase(index === base ? (graph.frames[index]?.parent ?? -1) : index);
          }}
          onDblClick={(event) => open(frameAt(event))}
          onKeyDown={(event) => {
            const next = moved(graph, current, event.key);
            if (next !== undefined) setCurrent(next);
            else if (event.key === "Enter") setBase(current);
            else if (event.key === "o") open(current);
            else if (event.key === "Escape" && base >= 0) setBase(graph.frames[base]?.parent ?? -1);
            else return;
            event.preventDefault();
          }}
        />
      </div>
      <div class="flame-current" id="flame-current" aria-live="polite">
        {shown !== undefined && (
          <>
            <strong class="truncate">{labels[current]}</strong>
            <span>{formatCount(shown.count)}×</span>
            <span>{formatDuration(shown.selfNanos)} self</span>
            <span>{formatDuration(shown.totalNanos)} with what it called</span>
            <span>{percent(shown.totalNanos / graph.totalNanos)} of all</span>
            {shown.errorCount > 0 && <span class="badge badge-error">{formatCount(shown.errorCount)} failed</span>}
          </>
        )}
        {base >= 0 && (
          <button type="button" class="button button-quiet" onClick={() => setBase(-1)}>
            Show all
          </button>
        )}
      </div>
      <div class="flame-table">
        <table>
          <caption class="visually-hidden">Calls by self time</caption>
          <thead>
            <tr>
              <th scope="col">Operation</th>
              <th scope="col">Service</th>
              <th scope="col" class="numeric">
                Spans
              </th>
              <th scope="col" class="numeric">
                Self time
              </th>
              <th scope="col" class="numeric">
                Share
              </th>
            </tr>
          </thead>
          <tbody>
            {bySelf.map((line) => (
              <tr key={line.key}>
                <th scope="row">
                  <button
                    type="button"
                    class="link-button truncate"
                    title="Open the longest"
                    onClick={() => open(line.frame)}
                  >
                    {line.name}
                  </button>
                </th>
                <td>{line.service !== "" && <ServiceName service={line.service} />}</td>
                <td class="numeric">{formatCount(line.count)}</td>
                <td class="numeric">{formatDuration(line.selfNanos)}</td>
                <td class="numeric">{percent(line.selfNanos / graph.totalNanos)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );

  function tableOf(of: FlameGraph, names: readonly string[]): TableLine[] {
    const lines = new Map<string, TableLine>();
    for (const [index, frame] of of.frames.entries()) {
      const key = `${frame.service} ${names[index]}`;
      const service = model.detail.strings[frame.service] ?? "";
      const line = lines.get(key) ?? { key, name: names[index]!, service, count: 0, selfNanos: 0, frame: index };
      line.count += frame.count;
      line.selfNanos += frame.selfNanos;
      lines.set(key, line);
    }
    return [...lines.values()].sort((a, b) => b.selfNanos - a.selfNanos).slice(0, TABLE_ROWS);
  }
}

interface TableLine {
  key: string;
  name: string;
  service: string;
  count: number;
  selfNanos: number;
  frame: number;
}

function percent(part: number): string {
  return Number.isFinite(part) ? `${(part * 100).toFixed(1)}%` : "–";
}

function labelOf({ detail }: TraceModel, frame: Frame): string {
  if (frame.name < 0) return "Span that has not arrived";
  const name = detail.strings[frame.name] || "(no name)";
  // A lone verb says too little; `SELECT users` says enough.
  const more = name.includes(" ") ? "" : shortDetail(name, detail.strings[frame.detail] ?? "");
  return more === "" ? name : `${name} ${more}`;
}

function foundFrames({ frames, frameOf }: FlameGraph, matches: Uint8Array | undefined): Uint8Array | undefined {
  if (matches === undefined) return undefined;
  const found = new Uint8Array(frames.length);
  for (let node = 0; node < frameOf.length; node++) if (matches[node] === 1) found[frameOf[node]!] = 1;
  return found;
}

/** The frame that an arrow key leads to; undefined for other keys. */
function moved({ frames }: FlameGraph, current: number, key: string): number | undefined {
  const frame = frames[current];
  if (frame === undefined || !key.startsWith("Arrow")) return undefined;
  if (key === "ArrowUp") return Math.max(0, frame.parent);
  const widest = (indexes: number[]): number | undefined =>
    indexes.sort((a, b) => frames[b]!.totalNanos - frames[a]!.totalNanos)[0];
  if (key === "ArrowDown") {
    return widest([...frames.keys()].filter((index) => frames[index]!.parent === current)) ?? current;
  }
  const level = [...frames.keys()].filter((index) => frames[index]!.depth === frame.depth);
  level.sort((a, b) => frames[a]!.left - frames[b]!.left);
  return level[level.indexOf(current) + (key === "ArrowRight" ? 1 : -1)] ?? current;
}

interface Drawing {
  graph: FlameGraph;
  labels: readonly string[];
  model: TraceModel;
  window: { left: number; size: number };
  width: number;
  current: number;
  found: Uint8Array | undefined;
}

const TEXT_MARGIN = 5;

function draw(canvas: HTMLCanvasElement, { graph, labels, model, window, width, current, found }: Drawing): void {
  const ratio = devicePixelRatio;
  const height = graph.depth * FRAME_HEIGHT;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  if (context === null) return;
  context.scale(ratio, ratio);
  context.font = `11px ${getComputedStyle(canvas).fontFamily}`;
  context.textBaseline = "middle";
  const colours = new Map<number, string>();
  const onService = tokenValue("--on-service");
  const text = tokenValue("--text");
  const muted = tokenValue("--text-muted");
  const characterWidth = context.measureText("abcdefghij").width / 10;
  for (const [index, frame] of graph.frames.entries()) {
    const from = Math.max(((frame.left - window.left) / window.size) * width, 0);
    const to = Math.min(((frame.left + frame.totalNanos - window.left) / window.size) * width, width);
    if (to - from < 0.5) continue;
    const y = frame.depth * FRAME_HEIGHT;
    let colour = colours.get(frame.service);
    if (colour === undefined) {
      const service = model.detail.strings[frame.service];
      colour = tokenValue(service === undefined ? "--border-strong" : serviceColourName(service));
      colours.set(frame.service, colour);
    }
    const isDim = found !== undefined && found[index] === 0;
    context.globalAlpha = isDim ? 0.25 : 1;
    context.fillStyle = colour;
    context.fillRect(from, y, Math.max(to - from - 1, 0.5), FRAME_HEIGHT - 1);
    const room = Math.floor((to - from - TEXT_MARGIN * 2) / characterWidth);
    if (room >= 3) {
      const written = `${frame.errorCount > 0 ? "✕ " : ""}${labels[index]}${frame.count > 1 ? ` ×${frame.count}` : ""}`;
      const label = withVisibleControls(written);
      context.globalAlpha = 1;
      context.fillStyle = isDim ? muted : onService;
      context.fillText(
        label.length > room ? `${label.slice(0, room - 1)}…` : label,
        from + TEXT_MARGIN,
        y + FRAME_HEIGHT / 2,
      );
    }
    context.globalAlpha = 1;
    if (index === current) {
      context.strokeStyle = text;
      context.lineWidth = 2;
      context.strokeRect(from + 1, y + 1, Math.max(to - from - 3, 1), FRAME_HEIGHT - 3);
    }
  }
}
