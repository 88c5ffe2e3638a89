import type { JSX, RefObject } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { afterPaint } from "../../after-paint.ts";
import { formatDuration } from "../../format.ts";
import { toPixels, type Axis } from "./bar.ts";
import { spanIdOf } from "./model.ts";
import { dragRange } from "./drag-range.ts";
import { Splitter, useRemembered } from "./splitter.tsx";
import { findTicks, type Tick } from "./ticks.ts";
import { useSize } from "./use-size.ts";
import type { TraceView } from "./view.ts";
import { ROW_HEIGHT, WaterfallRow, type RowContext } from "./waterfall-row.tsx";
import type { Row } from "./rows.ts";

const HEAD_HEIGHT = 28;
/** Rows above and below what is seen, so that scrolling does not show white. */
const OVERSCAN = 12;
/** So many rows can be scrolled by before others are rendered. */
const SCROLL_STEP = 4;
/** Left and right of the axis. On the right there is room for the duration of what ends last. */
const INSET = 12;
const INSET_RIGHT = 60;

/** The spans as rows of a tree grid. Only those in sight are in the document. */
export function Waterfall({ view }: { view: TraceView }): JSX.Element {
  const viewport = useRef<HTMLDivElement>(null);
  const size = useSize(viewport);
  const [nameWidth, setNameWidth] = useRemembered("name-width", 460);
  const rows = view.rows.value;
  const { criticalPath, span, spanTrace } = view.choices.value;

  const names = Math.min(nameWidth, Math.max(size.width - 200, 160));
  const width = Math.max(0, size.width - names - INSET - INSET_RIGHT);
  const scale = view.scale.value;
  const range = view.range.value;
  const axis = useMemo((): Axis => ({ scale, range, width }), [scale, range, width]);
  const isLoaded = view.model.value !== undefined;
  const ticks = useMemo(() => (isLoaded ? findTicks(scale, range, width) : []), [isLoaded, scale, range, width]);

  const query = view.choices.value.query;
  const followed = view.followed.value;
  const context = useMemo(
    (): RowContext => ({
      axis,
      criticalPath,
      followed,
      matchesOf: view.matchesOf,
      words: query.split(/\s+/).filter(Boolean),
    }),
    [axis, criticalPath, followed, query],
  );
  const room = Math.max(0, size.height - HEAD_HEIGHT);
  const window = useWindow(viewport, room, rows.length);
  const focusIndex = view.focusIndex.value;
  useScrollRequests(viewport, view);
  useKeptFocus(viewport, focusIndex, rows);

  // Unchanged rows give the same node again, which Preact then leaves alone.
  const cache = useRef<{ context: RowContext; nodes: Map<Row, { key: string; node: JSX.Element }> }>(null);
  if (cache.current?.context !== context) cache.current = { context, nodes: new Map() };
  const { nodes } = cache.current;
  const mainId = view.model.value?.traceId;
  const renderRow = (index: number): JSX.Element | null => {
    const row = rows[index];
    if (row === undefined) return null;
    const isSelected =
      row.type === "span" && spanIdOf(row.model, row.node) === span && row.model.traceId === (spanTrace ?? mainId);
    const state = { index, isFocusable: index === focusIndex, isSelected };
    const key = `${index} ${state.isFocusable} ${isSelected}`;
    const known = nodes.get(row);
    if (known?.key === key) return known.node;
    const node = <WaterfallRow key={index} row={row} state={state} context={context} />;
    nodes.set(row, { key, node });
    return node;
  };
  const shown: (JSX.Element | null)[] = [];
  // The one with the focus stays in the document, or the focus would be lost by scrolling.
  if (focusIndex < window.first) shown.push(renderRow(focusIndex));
  for (let index = window.first; index < window.last; index++) shown.push(renderRow(index));
  if (focusIndex >= window.last) shown.push(renderRow(focusIndex));

  const onClick = (event: MouseEvent): void => {
    const target = event.target as Element;
    const element = target.closest<HTMLElement>(".wf-row");
    const row = rows[Number(element?.dataset["index"])];
    if (element === null || row === undefined) return;
    const index = Number(element.dataset["index"]);
    if (target.closest("[data-toggle]") !== null) {
      view.toggle(row);
      view.focusRow(index);
      return;
    }
    // Text that was selected with the mouse is to be copied, not to open something.
    if (getSelection()?.isCollapsed === false) return;
    view.focusRow(index);
    view.open(row);
  };

  return (
    <div class="waterfall" style={{ "--names": `${names}px` }}>
      <div
        class="wf-viewport"
        ref={viewport}
        role="treegrid"
        aria-label="Spans"
        aria-busy={!isLoaded}
        aria-rowcount={rows.length + 1}
        aria-colcount={2}
        onClick={onClick}
        onKeyDown={(event) => onGridKey(event, view, Math.max(1, Math.floor((size.height - HEAD_HEIGHT) / ROW_HEIGHT)))}
        onWheel={(event) => onWheel(event, view, names + INSET, width)}
      >
        <div class="wf-head" role="rowgroup">
          <div class="wf-head-row" role="row" aria-rowindex={1}>
            <div class="wf-head-name" role="columnheader">
              Span
            </div>
            <div
              class="wf-head-time"
              role="columnheader"
              aria-label="Time"
              title="Drag to zoom in"
              onPointerDown={(event) => dragRange(event, INSET, width, range, view.setRange)}
            >
              <div class="wf-axis">
                <Ticks axis={axis} ticks={ticks} labels />
              </div>
            </div>
          </div>
        </div>
        <div class="wf-grid" aria-hidden="true" style={{ height: `${room}px`, marginBottom: `${-room}px` }}>
          <div class="wf-axis">
            <Ticks axis={axis} ticks={ticks} />
          </div>
        </div>
        <div class="wf-rows" role="rowgroup" style={{ height: `${rows.length * ROW_HEIGHT}px` }}>
          {shown}
        </div>
      </div>
      <Splitter
        label="Width of the names"
        class="wf-splitter"
        value={names}
        least={160}
        most={Math.max(160, size.width - 200)}
        side="left"
        onChange={setNameWidth}
      />
    </div>
  );
}

function Ticks({ axis, ticks, labels }: { axis: Axis; ticks: readonly Tick[]; labels?: boolean }): JSX.Element {
  return (
    <>
      {axis.scale.breaks.map((gap) => {
        const left = toPixels(axis, gap.from);
        const right = toPixels(axis, gap.to);
        if (right < 0 || left > axis.width) return null;
        const waited = formatDuration(gap.to - gap.from);
        return (
          <span
            key={gap.from}
            class="wf-break"
            style={{ left: `${left}px`, width: `${right - left}px` }}
            title={labels === true ? `${waited} in which nothing ran, drawn shorter` : undefined}
          >
            {labels === true && <span class="wf-break-label">{waited}</span>}
          </span>
        );
      })}
      {ticks.map(({ at, nanos, label }) => (
        <span key={nanos} class="wf-tick" style={{ left: `${at * axis.width}px` }}>
          {labels === true && at * axis.width < axis.width + INSET_RIGHT - 40 && label}
        </span>
      ))}
    </>
  );
}

/** Which rows are in sight, with some around them once those in sight are drawn. */
function useWindow(
  viewport: RefObject<HTMLElement | null>,
  height: number,
  count: number,
): { first: number; last: number } {
  const [top, setTop] = useState(0);
  const [around, setAround] = useState(0);
  const isEmpty = count === 0;
  useEffect(() => (isEmpty ? undefined : afterPaint(() => setAround(OVERSCAN))), [isEmpty]);
  useLayoutEffect(() => {
    const element = viewport.current;
    if (element === null) return;
    // In steps of a few rows: between them nothing has to be rendered.
    const scrolled = (): void => setTop(Math.floor(element.scrollTop / ROW_HEIGHT / SCROLL_STEP) * SCROLL_STEP);
    scrolled();
    element.addEventListener("scroll", scrolled, { passive: true });
    return () => element.removeEventListener("scroll", scrolled);
  }, []);
  const first = Math.max(0, Math.min(top, count) - around);
  // Not measured yet: what would be rendered now would be rendered again at once.
  if (height === 0) return { first: 0, last: 0 };
  const step = top === 0 && around === 0 ? 0 : SCROLL_STEP;
  const last = Math.min(count, top + Math.ceil(height / ROW_HEIGHT) + step + around);
  return { first, last };
}

function useScrollRequests(viewport: RefObject<HTMLElement | null>, view: TraceView): void {
  const request = view.scrollRequest.value;
  useLayoutEffect(() => {
    const element = viewport.current;
    if (request === undefined || element === null) return;
    const room = element.clientHeight - HEAD_HEIGHT;
    const top = request.index * ROW_HEIGHT;
    const isAbove = top < element.scrollTop;
    const isBelow = top + ROW_HEIGHT > element.scrollTop + room;
    if (isAbove || isBelow) {
      if (request.place === "center") element.scrollTop = top - (room - ROW_HEIGHT) / 2;
      else element.scrollTop = isAbove ? top : top + ROW_HEIGHT - room;
    }
    if (request.focus) element.querySelector<HTMLElement>(`#wf-row-${request.index}`)?.focus({ preventScroll: true });
  }, [request]);
}

/** While a row has the focus, it moves along with its span: rows come and go as spans arrive and others fold. */
function useKeptFocus(viewport: RefObject<HTMLElement | null>, focusIndex: number, rows: readonly Row[]): void {
  const hasFocus = useRef(false);
  useLayoutEffect(() => {
    const element = viewport.current;
    if (element === null) return;
    const came = (): void => {
      hasFocus.current = true;
    };
    // A row that is taken out of the document loses the focus without anybody having left it. That is over, and the focus on
    // another row, when this is looked at.
    const left = (): void =>
      queueMicrotask(() => {
        if (document.hasFocus()) hasFocus.current = element.contains(document.activeElement);
      });
    element.addEventListener("focusin", came);
    element.addEventListener("focusout", left);
    return () => {
      element.removeEventListener("focusin", came);
      element.removeEventListener("focusout", left);
    };
  }, []);
  useLayoutEffect(() => {
    if (!hasFocus.current) return;
    const row = viewport.current?.querySelector<HTMLElement>(`#wf-row-${focusIndex}`);
    if (row !== document.activeElement) row?.focus({ preventScroll: true });
  }, [focusIndex, rows]);
}

/** Keys of a tree grid. Source: ARIA Authoring Practices, treegrid. */
function onGridKey(event: KeyboardEvent, view: TraceView, page: number): void {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (!(event.target instanceof Element) || event.target.closest(".wf-row") === null) return;
  const rows = view.rows.peek();
  const index = view.focusIndex.peek();
  const row = rows[index];
  if (row === undefined) return;
  if (event.shiftKey && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
    view.panBy(event.key === "ArrowLeft" ? -0.2 : 0.2);
  } else if (event.key === "ArrowDown") view.moveBy(1);
  else if (event.key === "ArrowUp") view.moveBy(-1);
  else if (event.key === "PageDown") view.focusRow(index + page);
  else if (event.key === "PageUp") view.focusRow(index - page);
  else if (event.key === "Home") view.focusRow(0);
  else if (event.key === "End") view.focusRow(rows.length - 1);
  else if (event.key === "ArrowRight") goIn(view);
  else if (event.key === "ArrowLeft") goOut(view);
  else if (event.key === "Enter" || event.key === " ") view.open(row);
  else return;
  event.preventDefault();
}

/** Expands the row, or goes to its first child. */
export function goIn(view: TraceView): void {
  const index = view.focusIndex.peek();
  const row = view.rows.peek()[index];
  if (row === undefined) return;
  if (row.isExpandable && !row.isExpanded) {
    view.toggle(row, true);
    view.focusRow(index);
  } else if (row.isExpanded && (view.rows.peek()[index + 1]?.level ?? 0) > row.level) view.focusRow(index + 1);
}

/** Collapses the row, or goes to its parent. */
export function goOut(view: TraceView): void {
  const rows = view.rows.peek();
  const index = view.focusIndex.peek();
  const row = rows[index];
  if (row === undefined) return;
  if (row.isExpanded) {
    view.toggle(row, false);
    view.focusRow(index);
    return;
  }
  for (let above = index - 1; above >= 0; above--) {
    if (rows[above]!.level >= row.level) continue;
    view.focusRow(above);
    return;
  }
}

/** With Ctrl zooms around the pointer, as pinching does; sideways or with Shift moves along. */
function onWheel(
  event: WheelEvent & { currentTarget: HTMLElement },
  view: TraceView,
  left: number,
  width: number,
): void {
  const at = (event.clientX - event.currentTarget.getBoundingClientRect().left - left) / width;
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    view.zoomBy(Math.exp(event.deltaY * 0.004), Math.min(Math.max(at, 0), 1));
    return;
  }
  const sideways = event.shiftKey ? event.deltaY : event.deltaX;
  if (Math.abs(sideways) <= Math.abs(event.shiftKey ? event.deltaX : event.deltaY)) return;
  event.preventDefault();
  if (view.isZoomed.peek()) view.panBy(sideways / width);
}
