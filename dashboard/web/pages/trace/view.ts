import { batch, computed, signal, type ReadonlySignal, type Signal } from "@preact/signals";
import { createTimeScale, type TimeScale } from "../../../src/analysis/gaps.ts";
import type { TraceLink } from "../../../src/model/trace.ts";
import { afterPaint } from "../../after-paint.ts";
import { api } from "../../api.ts";
import { takeAsked } from "../../ask-ahead.ts";
import { follow as followServer } from "../../live.ts";
import { navigate, route, setParams } from "../../router.ts";
import { formatZoom, readChoices, type Choices } from "./address.ts";
import { createModel, findSpan, idOf, nanosBetween, spanIdOf, type TraceModel } from "./model.ts";
import { buildRows, indexOfRow, rowId, type Followed, type Row, type RowId } from "./rows.ts";
import { findFailed, findMatches, nextPlace, type Place } from "./search.ts";
import type { Range } from "./ticks.ts";

/** Spans come in bursts; the trace is loaded again at most this often. */
const RELOAD_MILLIS = 500;
/** Of a trace with so many spans, the lines that no window shows are made when the first frame is drawn. */
const MANY_SPANS = 2000;
const FIRST_ROWS = 300;
/** Zooming further in shows nothing more. */
const SMALLEST_RANGE_NANOS = 100;

/** Where the list of rows is to be scrolled to, and whether the row takes the focus. Each request is a new object. */
export interface ScrollRequest {
  index: number;
  focus: boolean;
  place: "nearest" | "center";
}

/** Everything the parts of the page share about the trace they show, and what can be done with it. */
export interface TraceView {
  choices: ReadonlySignal<Choices>;
  model: ReadonlySignal<TraceModel | undefined>;
  /** Why there is no model, or why it is not the newest. */
  failure: ReadonlySignal<unknown>;
  followed: ReadonlySignal<ReadonlyMap<string, Followed>>;
  rows: ReadonlySignal<readonly Row[]>;
  scale: ReadonlySignal<TimeScale>;
  /** What of the axis is shown, drawn nanoseconds. */
  range: ReadonlySignal<Range>;
  isZoomed: ReadonlySignal<boolean>;
  /** Index of the row that has or would get the focus. */
  focusIndex: ReadonlySignal<number>;
  scrollRequest: Signal<ScrollRequest | undefined>;
  /** 1 for each node that the query finds; undefined without a query. */
  matchesOf(model: TraceModel): Uint8Array | undefined;
  matchCount: ReadonlySignal<number>;
  failedOf(model: TraceModel): Uint8Array;
  /** Loads the trace, keeps it fresh, and stops when the returned function is called. */
  start(): () => void;
  reload(): void;
  /** Of the address, in place. */
  change(changes: Record<string, string | null>): void;
  setRange(range: Range | undefined, options?: { settled?: boolean }): void;
  zoomBy(factor: number, centre?: number): void;
  panBy(part: number): void;
  focusRow(index: number, options?: { focus?: boolean }): void;
  moveBy(rows: number): void;
  toggle(row: Row, expand?: boolean): void;
  expandAll(): void;
  collapseAll(): void;
  /** Opens the details of a row's span; a fold and a link open in place. */
  open(row: Row): void;
  /** Of a trace that is not shown, on a page of its own. */
  openSpan(traceId: string, spanId: string): void;
  closeSpan(): void;
  /** Expands what hides it, scrolls to it and, where details are open, shows its own. */
  reveal(place: Place, options?: { focus?: boolean; pan?: boolean }): void;
  goToMatch(direction: 1 | -1, options?: { focus?: boolean }): void;
  goToFailed(direction: 1 | -1): void;
  followLink(link: TraceLink, follow: boolean): void;
}

export function createTraceView(traceId: string): TraceView {
  const choices = computed(() => readChoices(route.value.params));
  const model = signal<TraceModel | undefined>(undefined);
  const failure = signal<unknown>(undefined);
  const loaded = signal<ReadonlyMap<string, Followed>>(new Map());
  const collapsed = signal<ReadonlySet<string>>(new Set());
  const openFolds = signal<ReadonlySet<string>>(new Set());
  const focused = signal<RowId | undefined>(undefined);
  const moving = signal<Range | undefined>(undefined);
  const scrollRequest = signal<ScrollRequest | undefined>(undefined);

  // Choices are parsed anew with every change of the address; these change only when their own part does.
  const query = computed(() => choices.value.query);
  const only = computed(() => choices.value.only);
  const minNanos = computed(() => choices.value.minNanos);
  const folding = computed(() => choices.value.folding);
  const compress = computed(() => choices.value.compress);
  const follow = computed(() => choices.value.follow.join());
  const zoom = computed(() => (choices.value.zoom === undefined ? "" : formatZoom(choices.value.zoom)));

  const followed = computed(() => {
    const ids = follow.value.split(",").filter(Boolean);
    return new Map(ids.map((id): [string, Followed] => [id, loaded.value.get(id) ?? "loading"]));
  });
  const models = computed(() => {
    const others = [...followed.value.values()].filter((other) => typeof other === "object" && "tree" in other);
    return model.value === undefined ? [] : [model.value, ...others];
  });

  const matches = cached(() => query.value, findMatches);
  const failed = cached(() => "", findFailed);
  const matchesOf = (of: TraceModel): Uint8Array | undefined => (query.value.trim() === "" ? undefined : matches(of));
  const matchCount = computed(() =>
    models.value.reduce((sum, each) => sum + (matchesOf(each)?.reduce((count, found) => count + found, 0) ?? 0), 0),
  );

  const most = signal(Infinity);
  const rows = computed<readonly Row[]>(() => {
    if (model.value === undefined) return [];
    const isFiltered = only.value && query.value.trim() !== "";
    return buildRows(model.value, {
      collapsed: collapsed.value,
      openFolds: openFolds.value,
      followed: followed.value,
      folding: folding.value,
      minNanos: minNanos.value,
      only: isFiltered ? matches : undefined,
      most: most.value,
    });
  });
  const completeRows = (): void => {
    most.value = Infinity;
  };
  const scale = computed(() =>
    createTimeScale(
      models.value.map(({ tree, offset }) => ({ start: tree.start, end: tree.end, offset })),
      { compress: compress.value },
    ),
  );
  const range = computed((): Range => {
    if (moving.value !== undefined) return moving.value;
    const all = whole(scale.value);
    if (zoom.value === "") return all;
    const { from, to } = choices.peek().zoom ?? all;
    const chosen = {
      from: Math.max(scale.value.toDrawn(from), all.from),
      to: Math.min(scale.value.toDrawn(to), all.to),
    };
    return chosen.to > chosen.from ? chosen : all;
  });
  const isZoomed = computed(() => moving.value !== undefined || zoom.value !== "");
  const focusIndex = computed(() => {
    const index = focused.value === undefined ? 0 : indexOfRow(rows.value, focused.value);
    return Math.max(0, index);
  });

  const change = (changes: Record<string, string | null>): void => setParams(changes, { replace: true });

  let settling: ReturnType<typeof setTimeout> | undefined;
  const setRange = (wanted: Range | undefined, { settled = true } = {}): void => {
    // Until it is known how long it took there is nothing to choose from.
    if (model.peek() === undefined) return;
    clearTimeout(settling);
    const all = whole(scale.peek());
    const isAll = wanted === undefined || (wanted.from <= all.from && wanted.to >= all.to);
    if (isAll && settled) {
      batch(() => {
        moving.value = undefined;
        change({ zoom: null });
      });
      return;
    }
    moving.value = isAll ? all : fit(wanted, all);
    const settle = (): void => {
      const { from, to } = moving.peek() ?? all;
      const { toReal } = scale.peek();
      batch(() => {
        change({ zoom: isAll ? null : formatZoom({ from: toReal(from), to: toReal(to) }) });
        moving.value = undefined;
      });
    };
    if (settled) settle();
    else settling = setTimeout(settle, 250);
  };
  const zoomBy = (factor: number, centre = 0.5): void => {
    const { from, to } = range.peek();
    const size = (to - from) * factor;
    const middle = from + (to - from) * centre;
    setRange({ from: middle - size * centre, to: middle + size * (1 - centre) }, { settled: false });
  };
  const panBy = (part: number): void => {
    const { from, to } = range.peek();
    const step = (to - from) * part;
    setRange({ from: from + step, to: to + step }, { settled: false });
  };

  const scrollTo = (index: number, focus: boolean, place: ScrollRequest["place"]): void => {
    scrollRequest.value = { index, focus, place };
  };
  const showDetails = (row: Row, isOpen: boolean): void => {
    if (!isOpen || row.type !== "span" || row.node >= row.model.tree.spanCount) return;
    const of = row.model.traceId === model.peek()?.traceId ? null : row.model.traceId;
    change({ span: spanIdOf(row.model, row.node), of });
  };
  const focusRow = (index: number, { focus = true } = {}): void => {
    completeRows();
    const all = rows.peek();
    const row = all[Math.min(Math.max(index, 0), all.length - 1)];
    if (row === undefined) return;
    batch(() => {
      focused.value = rowId(row);
      scrollTo(all.indexOf(row), focus, "nearest");
      showDetails(row, choices.peek().span !== undefined);
    });
  };

  const toggle = (row: Row, expand = !row.isExpanded): void => {
    if (!row.isExpandable || expand === row.isExpanded) return;
    if (row.type === "link") return followLink(row.link!, expand);
    const id = idOf(row.model, row.node);
    if (row.type === "fold") openFolds.value = changed(openFolds.peek(), id, expand);
    else collapsed.value = changed(collapsed.peek(), id, !expand);
  };
  const collapseAll = (): void => {
    const ids = new Set<string>();
    for (const each of models.peek())
      for (let node = 0; node < each.tree.nodeCount; node++)
        if (each.tree.firstChild[node]! >= 0 && each.tree.parent[node]! >= 0) ids.add(idOf(each, node));
    batch(() => {
      collapsed.value = ids;
      openFolds.value = new Set();
      keepFocusInSight();
      scrollTo(focusIndex.peek(), false, "center");
    });
  };
  /** What had the focus may be hidden now; the nearest above it that is shown gets it. */
  const keepFocusInSight = (): void => {
    const wanted = focused.peek();
    const of = models.peek().find((each) => each.traceId === wanted?.traceId);
    if (wanted === undefined || of === undefined || indexOfRow(rows.peek(), wanted) >= 0) return;
    let node = findSpan(of, wanted.id);
    while (node >= 0) {
      const id: RowId = { type: "span", traceId: of.traceId, id: idOf(of, node), target: "" };
      if (indexOfRow(rows.peek(), id) >= 0) {
        focused.value = id;
        return;
      }
      node = of.tree.parent[node]!;
    }
  };

  const reveal: TraceView["reveal"] = ({ model: of, node }, { focus = true, pan = true } = {}) => {
    batch(() => {
      completeRows();
      const opened = new Set(openFolds.peek());
      const expanded = new Set(collapsed.peek());
      for (let above = node; above >= 0; above = of.tree.parent[above]!) {
        if (above !== node) expanded.delete(idOf(of, above));
        const fold = of.folds.folds[of.folds.foldOf[above]!];
        if (fold !== undefined) opened.add(idOf(of, fold.members[0]!));
      }
      if (opened.size !== openFolds.peek().size) openFolds.value = opened;
      if (expanded.size !== collapsed.peek().size) collapsed.value = expanded;
      const wanted: RowId = { type: "span", traceId: of.traceId, id: idOf(of, node), target: "" };
      focused.value = wanted;
      const index = indexOfRow(rows.peek(), wanted);
      if (index < 0) return;
      scrollTo(index, focus, "center");
      showDetails(rows.peek()[index]!, choices.peek().span !== undefined);
      const { from, to } = range.peek();
      const at = scale.peek().toDrawn(of.tree.start[node]! + of.offset);
      // Found, but off the side of what is shown.
      if (pan && isZoomed.peek() && (at < from || at > to))
        setRange({ from: at - (to - from) / 4, to: at + ((to - from) * 3) / 4 });
    });
  };
  const here = (): Place | undefined => (focused.peek() === undefined ? undefined : rows.peek()[focusIndex.peek()]);
  const goToMatch = (direction: 1 | -1, options?: { focus?: boolean }): void => {
    if (query.peek().trim() === "") return;
    const place = nextPlace(models.peek(), matches, here(), direction);
    if (place !== undefined) reveal(place, options);
  };
  const goToFailed = (direction: 1 | -1): void => {
    const place = nextPlace(models.peek(), failed, here(), direction);
    if (place !== undefined) reveal(place);
  };

  const openSpan = (of: string, spanId: string): void => {
    const shown = models.peek().find((each) => each.traceId === of);
    const node = shown === undefined ? -1 : findSpan(shown, spanId);
    if (shown === undefined || node < 0) {
      navigate(`/trace/${of}?span=${spanId}`);
      return;
    }
    batch(() => {
      change({ span: spanId, of: shown === model.peek() ? null : of });
      reveal({ model: shown, node }, { focus: false });
    });
  };
  const open = (row: Row): void => {
    if (row.type === "span") showDetails(row, true);
    else toggle(row);
  };

  const followLink = (link: TraceLink, isWanted: boolean): void => {
    const ids = new Set(choices.peek().follow);
    if (isWanted) ids.add(link.traceId);
    else ids.delete(link.traceId);
    change({ follow: ids.size === 0 ? null : [...ids].join() });
    if (isWanted) void loadLinked(link.traceId);
  };
  const loadLinked = async (id: string): Promise<void> => {
    const origin = model.peek()?.start;
    if (origin === undefined) return;
    let other: Followed;
    try {
      other = createModel(await api.trace(id), origin);
    } catch (error) {
      other = { error: error instanceof Error ? error.message : String(error) };
    }
    loaded.value = new Map(loaded.peek()).set(id, other);
  };

  /** As the address says, zoom included. */
  const revealFirst = (spanId: string): void => {
    for (const each of models.peek()) {
      const node = findSpan(each, spanId);
      if (node >= 0) reveal({ model: each, node }, { focus: false, pan: false });
    }
  };
  let isFirst = true;
  const load = async (abort: AbortSignal): Promise<void> => {
    try {
      const detail = await (takeAsked(traceId) ?? api.trace(traceId, abort));
      if (abort.aborted) return;
      const next = createModel(detail);
      const before = model.peek()?.start;
      const hasMoved = before !== undefined && nanosBetween(before, next.start) !== 0;
      batch(() => {
        failure.value = undefined;
        if (isFirst && next.tree.nodeCount > MANY_SPANS) most.value = FIRST_ROWS;
        model.value = next;
        if (isFirst && detail.summary.traceId !== traceId)
          navigate(`/trace/${detail.summary.traceId}${location.search}`, { replace: true });
        const { span } = choices.peek();
        if (isFirst && span !== undefined) revealFirst(span);
      });
      if (isFirst) afterPaint(completeRows);
      if (isFirst || hasMoved) for (const id of choices.peek().follow) void loadLinked(id);
      isFirst = false;
    } catch (error) {
      if (!abort.aborted) failure.value = error;
    }
  };

  let stop = new AbortController();
  let isLoading = false;
  let isStale = false;
  /** One request at a time; what changes meanwhile is one more. */
  const reload = async (): Promise<void> => {
    isStale = true;
    if (isLoading) return;
    isLoading = true;
    const { signal: abort } = stop;
    while (isStale && !abort.aborted) {
      isStale = false;
      await load(abort);
      await new Promise((resolve) => setTimeout(resolve, RELOAD_MILLIS));
    }
    // Whoever started anew meanwhile has a loop of their own.
    if (!abort.aborted) isLoading = false;
  };
  const start = (): (() => void) => {
    stop = new AbortController();
    isLoading = false;
    void reload();
    const unfollow = followServer(
      {},
      {
        traces: (changes) => {
          for (const { traceId: id } of changes) {
            if (id === traceId || id.startsWith(traceId)) void reload();
            else if (choices.peek().follow.includes(id)) void loadLinked(id);
          }
        },
        cleared: () => void reload(),
        missed: () => void reload(),
      },
    );
    return () => {
      stop.abort();
      unfollow();
      clearTimeout(settling);
    };
  };

  return {
    choices,
    model,
    failure,
    followed,
    rows,
    scale,
    range,
    isZoomed,
    focusIndex,
    scrollRequest,
    matchesOf,
    matchCount,
    failedOf: failed,
    start,
    reload: () => void reload(),
    change,
    setRange,
    zoomBy,
    panBy,
    focusRow,
    moveBy: (count) => focusRow(focusIndex.peek() + (focused.peek() === undefined ? 0 : count)),
    toggle,
    expandAll: () =>
      batch(() => {
        collapsed.value = new Set();
        scrollTo(focusIndex.peek(), false, "center");
      }),
    collapseAll,
    open,
    openSpan,
    closeSpan: () => change({ span: null, of: null }),
    reveal,
    goToMatch,
    goToFailed,
    followLink,
  };
}

function whole({ drawnFrom, drawnTo }: TimeScale): Range {
  // A trace of one moment still needs room.
  return { from: drawnFrom, to: Math.max(drawnTo, drawnFrom + 1000) };
}

/** Moved and widened as little as makes it lie within the whole. */
function fit({ from, to }: Range, all: Range): Range {
  const size = Math.min(Math.max(to - from, SMALLEST_RANGE_NANOS), all.to - all.from);
  const start = Math.min(Math.max(from, all.from), all.to - size);
  return { from: start, to: start + size };
}

function changed(set: ReadonlySet<string>, id: string, isIn: boolean): ReadonlySet<string> {
  const next = new Set(set);
  if (isIn) next.add(id);
  else next.delete(id);
  return next;
}

/** Worked out once for each model, and again when the key is another. */
function cached<Result>(
  keyOf: () => string,
  compute: (model: TraceModel, key: string) => Result,
): (model: TraceModel) => Result {
  let known = new WeakMap<TraceModel, Result>();
  let knownKey: string | undefined;
  return (model) => {
    const key = keyOf();
    if (key !== knownKey) known = new WeakMap();
    knownKey = key;
    let result = known.get(model);
    if (result === undefined) {
      result = compute(model, key);
      known.set(model, result);
    }
    return result;
  };
}
