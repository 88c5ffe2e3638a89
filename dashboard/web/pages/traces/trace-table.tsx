import { computed, signal } from "@preact/signals";
import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { TraceSummary } from "../../../src/model/trace.ts";
import { Icon } from "../../components/icon.tsx";
import { formatCount, plural } from "../../format.ts";
import { useShortcut } from "../../keyboard.tsx";
import { navigate } from "../../router.ts";
import { groupTraces, type TraceGroup } from "./group-traces.ts";
import {
  activeId,
  barNanos,
  failure,
  hasMore,
  isGrouped,
  isLoadingMore,
  isPaused,
  leftAt,
  loadMore,
  reload,
  rows,
  setReading,
  showWaiting,
  waiting,
} from "./trace-list.ts";
import { GroupRow, ROW_HEIGHT, rowId, traceHref, TraceRow } from "./trace-row.tsx";
import { visibleRows } from "./visible-rows.ts";

/** A row of the grid: a trace, or a group of them. */
type Line =
  | { key: string; trace: TraceSummary; grouped?: { place: number; of: number } }
  | { key: string; group: TraceGroup };

const expanded = signal<ReadonlySet<string>>(new Set());
const view = signal({ scrollTop: 0, height: 800 });

const groups = computed(() => (isGrouped.value ? groupTraces(rows.value) : []));

/** Lines are made as they are asked for: a list of 100,000 costs nothing to look at. */
const lines = computed(
  (): { count: number; at: (index: number) => Line | undefined; indexOf: (key: string) => number } => {
    const listed = rows.value;
    if (!isGrouped.value)
      return {
        count: listed.length,
        at: (index) => {
          const trace = listed[index];
          return trace && { key: trace.traceId, trace };
        },
        indexOf: (key) => listed.findIndex(({ traceId }) => traceId === key),
      };
    const all = groups.value.flatMap((group): Line[] => {
      const head: Line = { key: group.key, group };
      if (!expanded.value.has(group.key)) return [head];
      const of = group.traces.length;
      return [
        head,
        ...group.traces.map((trace, index) => ({ key: trace.traceId, trace, grouped: { place: index + 1, of } })),
      ];
    });
    return {
      count: all.length,
      at: (index) => all[index],
      indexOf: (key) => all.findIndex((line) => line.key === key),
    };
  },
);

const COLUMNS = [
  ["time", "Time"],
  ["service", "Service"],
  ["operation", "Operation"],
  ["status", "Status"],
  ["duration", "Duration"],
  ["user", "User"],
  ["queries", "Queries"],
  ["cache", "Cache"],
  ["errors", "Errors"],
  ["spans", "Spans"],
] as const;

const GROUPED_COLUMNS = [
  ["time", "Latest"],
  ["service", "Service"],
  ["operation", "Operation"],
  ["status", "Status"],
  ["count", "Count"],
  ["min", "Min"],
  ["duration", "Median"],
  ["max", "Max"],
  ["errors", "Errors"],
] as const;

function toggleGroup(key: string): void {
  const next = new Set(expanded.peek());
  if (!next.delete(key)) next.add(key);
  expanded.value = next;
}

/** A moment later, as the row may only then be drawn. */
function focusRow(key: string | undefined): void {
  requestAnimationFrame(() => {
    if (key !== undefined) document.getElementById(rowId(key))?.focus({ preventScroll: true });
  });
}

/** The traces that are listed: only rows in view are in the document, and the one with the focus. */
export function TraceTable(): JSX.Element {
  const scroller = useRef<HTMLDivElement>(null);
  const { count, at, indexOf } = lines.value;
  const { first, end } = visibleRows(view.value.scrollTop, view.value.height, ROW_HEIGHT, count);
  const activeIndex = activeId.value === undefined ? -1 : indexOf(activeId.value);

  useLayoutEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    element.scrollTop = leftAt.scrollTop;
    const look = (): void => {
      view.value = { scrollTop: element.scrollTop, height: element.clientHeight };
    };
    const resized = new ResizeObserver(look);
    resized.observe(element);
    look();
    // Back from a trace: on with the row that led there. The list stays as it is meanwhile, so it is where it was.
    if (activeId.peek() !== undefined) focusRow(activeId.peek());
    return () => resized.disconnect();
  }, []);

  useLayoutEffect(() => {
    updateReading();
    if (hasMore.value && failure.value === undefined && end >= count - 20) void loadMore();
  });

  const updateReading = (): void => {
    const element = scroller.current;
    if (element === null) return;
    // Who moves by keys reads too, even in the first row.
    const inRow = element.contains(document.activeElement) && document.activeElement?.getAttribute("role") === "row";
    // Not asked of the element: that would lay the page out once more for every row that comes into view.
    setReading(leftAt.scrollTop > 0 || inRow);
  };

  const moveTo = (index: number): void => {
    const listed = lines.peek();
    const target = Math.max(0, Math.min(listed.count - 1, index));
    const line = listed.at(target);
    const element = scroller.current;
    if (line === undefined || element === null) return;
    activeId.value = line.key;
    const headerHeight = element.querySelector<HTMLElement>(".traces-head")?.offsetHeight ?? 0;
    const top = target * ROW_HEIGHT;
    const room = element.clientHeight - headerHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + ROW_HEIGHT > element.scrollTop + room) element.scrollTop = top + ROW_HEIGHT - room;
    view.value = { scrollTop: element.scrollTop, height: element.clientHeight };
    // The row may only now be drawn.
    focusRow(line.key);
  };
  const toTop = (): void => {
    if (!isPaused.peek()) showWaiting();
    moveTo(0);
  };
  const moveBy = (by: number): void => moveTo(activeIndex === -1 ? (by > 0 ? 0 : count - 1) : activeIndex + by);
  const pageRows = (): number => Math.max(1, Math.floor(view.peek().height / ROW_HEIGHT) - 2);
  const activeLine = (): Line | undefined => (activeIndex === -1 ? undefined : at(activeIndex));

  useShortcut("j|ArrowDown", "Next trace", () => moveBy(1), "traces");
  useShortcut("k|ArrowUp", "Previous trace", () => moveBy(-1), "traces");
  useShortcut("PageDown", "A page down", () => moveBy(pageRows()), "traces");
  useShortcut("PageUp", "A page up", () => moveBy(-pageRows()), "traces");
  useShortcut("Home", "First trace, the newest included", toTop, "traces");
  useShortcut("End", "Last trace that is loaded", () => moveTo(count - 1), "traces");
  useShortcut(
    "Enter|o",
    "Open the trace, or the group",
    () => {
      const line = activeLine();
      if (line === undefined) return;
      if ("group" in line) toggleGroup(line.key);
      else navigate(traceHref(line.trace.traceId));
    },
    "traces",
  );
  useShortcut(
    "ArrowRight|l",
    isGrouped.value ? "Open the group" : "",
    () => {
      const line = activeLine();
      if (line === undefined || !("group" in line)) return;
      if (expanded.peek().has(line.key)) moveBy(1);
      else toggleGroup(line.key);
    },
    "traces",
  );
  useShortcut(
    "ArrowLeft|h",
    isGrouped.value ? "Close the group" : "",
    () => {
      const line = activeLine();
      if (line === undefined || !isGrouped.peek()) return;
      if ("group" in line) {
        if (expanded.peek().has(line.key)) toggleGroup(line.key);
        return;
      }
      const parent = groups.peek().find(({ traces }) => traces.includes(line.trace));
      if (parent !== undefined) moveTo(indexOf(parent.key));
    },
    "traces",
  );

  const drawn: { line: Line; index: number }[] = [];
  const draw = (index: number): void => {
    const line = at(index);
    if (line !== undefined) drawn.push({ line, index });
  };
  if (activeIndex !== -1 && activeIndex < first) draw(activeIndex);
  for (let index = first; index < end; index++) draw(index);
  if (activeIndex >= end) draw(activeIndex);

  const entry = activeIndex === -1 ? first : activeIndex;
  const scale = barNanos.value;
  const columns = isGrouped.value ? GROUPED_COLUMNS : COLUMNS;
  return (
    <div class="traces-view">
      <NewTraces
        onShow={() => {
          if (scroller.current !== null) scroller.current.scrollTop = 0;
          leftAt.scrollTop = 0;
          showWaiting();
        }}
      />
      <div
        ref={scroller}
        class={isGrouped.value ? "traces-scroll is-grouped" : "traces-scroll"}
        onScroll={(event) => {
          const { scrollTop } = event.currentTarget;
          leftAt.scrollTop = scrollTop;
          const { height, scrollTop: before } = view.peek();
          // Within a row nothing is to be drawn anew.
          if (Math.floor(before / ROW_HEIGHT) !== Math.floor(scrollTop / ROW_HEIGHT))
            view.value = { scrollTop, height };
          updateReading();
        }}
        onFocusIn={updateReading}
        onFocusOut={() => setTimeout(updateReading)}
      >
        <div
          class="traces-grid"
          role={isGrouped.value ? "treegrid" : "grid"}
          aria-label={isGrouped.value ? "Traces, grouped" : "Traces"}
          aria-rowcount={hasMore.value ? -1 : count + 1}
          aria-colcount={columns.length}
        >
          <div class="traces-head" role="row" aria-rowindex={1}>
            {columns.map(([name, label], index) => (
              <div key={name} role="columnheader" aria-colindex={index + 1} class={`cell cell-${name}`}>
                <span>{label}</span>
              </div>
            ))}
          </div>
          <div class="traces-rows" role="rowgroup" style={{ height: `${count * ROW_HEIGHT}px` }}>
            {drawn.map(({ line, index }) =>
              "group" in line ? (
                <GroupRow
                  key={line.key}
                  group={line.group}
                  index={index}
                  isEntry={index === entry}
                  isActive={index === activeIndex}
                  barNanos={scale}
                  isExpanded={expanded.value.has(line.key)}
                  onToggle={toggleGroup}
                />
              ) : (
                <TraceRow
                  key={line.key}
                  trace={line.trace}
                  index={index}
                  isEntry={index === entry}
                  isActive={index === activeIndex}
                  barNanos={scale}
                  grouped={line.grouped}
                />
              ),
            )}
          </div>
        </div>
        <ListEnd />
      </div>
    </div>
  );
}

/** What waits above the list, where it cannot be shown without shifting what is read. */
function NewTraces({ onShow }: { onShow: () => void }): JSX.Element | null {
  const count = waiting.value.size;
  if (count === 0 || isPaused.value) return null;
  return (
    <button type="button" class="button button-primary new-traces" onClick={onShow}>
      <Icon name="arrow-up" size={14} />
      {formatCount(count)} new
    </button>
  );
}

function ListEnd(): JSX.Element | null {
  if (isLoadingMore.value)
    return (
      <p class="list-end" role="status">
        <Icon name="in-flight" size={14} /> Loading more
      </p>
    );
  if (failure.value !== undefined)
    return (
      <p class="list-end" role="alert">
        <Icon name="error" size={14} />
        {failure.value instanceof Error ? failure.value.message : "More could not be loaded."}
        <button type="button" class="link-button" onClick={() => void (hasMore.value ? loadMore() : reload())}>
          Try again
        </button>
      </p>
    );
  if (hasMore.value) return null;
  return (
    <p class="list-end">
      End of the list: {isGrouped.value ? `${plural(groups.value.length, "group")} of ` : ""}
      {plural(rows.value.length, "trace")}
    </p>
  );
}
