import { batch, computed, effect, signal, untracked, type ReadonlySignal } from "@preact/signals";
import { formatFilter, parseFilter, type ParsedFilter, type TraceFilter } from "../../../src/model/filter.ts";
import type { TraceSummary } from "../../../src/model/trace.ts";
import { api } from "../../api.ts";
import { follow } from "../../live.ts";
import { toSearch } from "../../route.ts";
import { listHref, navigate, route, setParams } from "../../router.ts";
import { changedAmong, durationScale, mergeTraces, sortArrivals } from "./merge-traces.ts";

/** Traces asked for at once: first few screens, then more, as whoever scrolls on wants many. */
const FIRST_PAGE = 200;
const NEXT_PAGE = 1000;
/** A list that was left alone keeps at most this many; beyond, it starts again with the first page. */
const MAX_UNREAD_ROWS = 20_000;
/** What waits beyond is asked for anew when it is to be shown. */
const MAX_WAITING = 10_000;
/** How many a grouped list loads by itself. */
const GROUPED_ROWS = 5000;

/** The list lives as long as the page: who comes back from a trace finds it as it was left. */
const params = computed(() => new URLSearchParams(listHref.value.split(/\?(.*)/s)[1] ?? ""));

/** What of the list's address is a filter, and what of it was not understood. */
export const parsed: ReadonlySignal<ParsedFilter> = computed(() => parseFilter(params.value));

/** As in the address; the same text means the same filter. */
export const filterQuery: ReadonlySignal<string> = computed(() => formatFilter(parsed.value.filter).toString());

export const isGrouped: ReadonlySignal<boolean> = computed(() => params.value.get("group") === "1");

const rowsSignal = signal<readonly TraceSummary[]>([]);
const waitingSignal = signal<ReadonlyMap<string, TraceSummary>>(new Map());
const phaseSignal = signal<"loading" | "ready" | "failed">("loading");
const failureSignal = signal<unknown>(undefined);
const cursorSignal = signal<string | undefined>(undefined);
const loadingMoreSignal = signal(false);
const pausedSignal = signal(false);

/** What is listed, latest first. */
export const rows: ReadonlySignal<readonly TraceSummary[]> = rowsSignal;
/** What arrived and is held back: the list is paused, or somebody reads further down. */
export const waiting: ReadonlySignal<ReadonlyMap<string, TraceSummary>> = waitingSignal;
export const phase: ReadonlySignal<"loading" | "ready" | "failed"> = phaseSignal;
export const failure: ReadonlySignal<unknown> = failureSignal;
/** More can be loaded. */
export const hasMore: ReadonlySignal<boolean> = computed(() => cursorSignal.value !== undefined);
export const isLoadingMore: ReadonlySignal<boolean> = loadingMoreSignal;
export const isPaused: ReadonlySignal<boolean> = pausedSignal;
/** Nanoseconds that fill a duration's bar. */
export const barNanos: ReadonlySignal<number> = computed(() => durationScale(rows.value));

/** The row that has, or had, the focus. */
export const activeId = signal<string | undefined>(undefined);
/** How far the list was scrolled when it was left. */
export const leftAt = { scrollTop: 0 };

let listed = new Set<string>();
let isReading = false;
let missedSome = false;
let loading: AbortController | undefined;

/** Says whether somebody reads below the top, where new rows would shift what they read. */
export function setReading(reading: boolean): void {
  if (isReading === reading) return;
  isReading = reading;
  if (!reading && !pausedSignal.peek()) showWaiting();
}

export function togglePause(): void {
  pausedSignal.value = !pausedSignal.peek();
  if (!pausedSignal.peek()) showWaiting();
}

/** Puts what was held back into the list. */
export function showWaiting(): void {
  const held = waitingSignal.peek();
  waitingSignal.value = new Map();
  if (missedSome) void reload();
  else if (held.size > 0) setRows(mergeTraces(rowsSignal.peek(), held.values()));
}

/** Changes what is filtered for and keeps how it is shown. */
export function setFilter(filter: TraceFilter, options: { replace?: boolean } = {}): void {
  showQuery(formatFilter(filter), options);
}

/** Likewise, from the words of an address. */
export function showQuery(words: URLSearchParams, options: { replace?: boolean } = {}): void {
  const next = new URLSearchParams(words);
  if (isGrouped.peek()) next.set("group", "1");
  navigate(`/${toSearch(next)}`, options);
}

export function setGrouped(grouped: boolean): void {
  setParams({ group: grouped ? "1" : null });
}

/** Starts to load and follow what the list's address asks for; called once. Where a trace is shown it waits: the trace has a
 *  stream of its own, and is to be there first. */
export function startTraceList(): void {
  let stop: (() => void) | undefined;
  let shown: string | undefined;
  const isWaiting = computed(() => route.value.page === "trace");
  effect(() => {
    const query = filterQuery.value;
    if (isWaiting.value) {
      stop?.();
      stop = undefined;
      return;
    }
    if (query === shown && stop !== undefined) return;
    const isResumed = query === shown;
    shown = query;
    untracked(() => {
      stop?.();
      if (!isResumed) forget();
      stop = follow(parsed.peek().filter, { traces: arrive, cleared: () => void reload(), missed: catchUp });
      if (isResumed) catchUp();
      else void reload();
    });
  });
  effect(() => {
    if (isGrouped.value && hasMore.value && rows.value.length < GROUPED_ROWS) untracked(() => void loadMore());
  });
}

/** What is listed was asked for otherwise. */
function forget(): void {
  batch(() => {
    setRows([]);
    waitingSignal.value = new Map();
    phaseSignal.value = "loading";
    activeId.value = undefined;
  });
  leftAt.scrollTop = 0;
  isReading = false;
}

/** Asks for the first page again. */
export async function reload(): Promise<void> {
  loading?.abort();
  loading = new AbortController();
  const { signal: aborted } = loading;
  missedSome = false;
  loadingMoreSignal.value = false;
  try {
    const page = await api.traces(parsed.peek().filter, { limit: FIRST_PAGE }, aborted);
    if (aborted.aborted) return;
    const held = waitingSignal.peek();
    batch(() => {
      waitingSignal.value = new Map();
      cursorSignal.value = page.nextCursor;
      // What arrived while the answer was on its way is newer than the answer.
      const { known, fresh } = sortArrivals([...held.values()], () => false, oldestOf(page.traces));
      setRows(mergeTraces(page.traces, [...known, ...fresh]));
      phaseSignal.value = "ready";
      failureSignal.value = undefined;
    });
  } catch (error) {
    if (aborted.aborted) return;
    batch(() => {
      failureSignal.value = error;
      // Rows that are there stay; the header tells that the connection is lost.
      if (rowsSignal.peek().length === 0) phaseSignal.value = "failed";
    });
  }
}

/** Asks for the traces that follow the last row, where there are more and they are not asked for yet. */
export async function loadMore(): Promise<void> {
  const cursor = cursorSignal.peek();
  if (cursor === undefined || loadingMoreSignal.peek() || phaseSignal.peek() !== "ready") return;
  const aborted = (loading ??= new AbortController()).signal;
  loadingMoreSignal.value = true;
  try {
    const page = await api.traces(parsed.peek().filter, { limit: NEXT_PAGE, cursor }, aborted);
    if (aborted.aborted) return;
    batch(() => {
      cursorSignal.value = page.nextCursor;
      setRows(mergeTraces(rowsSignal.peek(), page.traces));
      loadingMoreSignal.value = false;
      failureSignal.value = undefined;
    });
  } catch (error) {
    if (aborted.aborted) return;
    batch(() => {
      loadingMoreSignal.value = false;
      failureSignal.value = error;
    });
  }
}

/** After a time without a stream: what came meanwhile was not told. */
function catchUp(): void {
  if (rowsSignal.peek().length === 0 || (!isReading && !pausedSignal.peek())) void reload();
  else missedSome = true;
}

function arrive(traces: readonly TraceSummary[]): void {
  const oldest = cursorSignal.peek() === undefined ? undefined : oldestOf(rowsSignal.peek());
  const { known, fresh } = sortArrivals(traces, (id) => listed.has(id), oldest);
  if (phaseSignal.peek() !== "ready" || pausedSignal.peek()) {
    hold([...changedAmong(rowsSignal.peek(), known), ...fresh]);
    return;
  }
  if (isReading) {
    hold(fresh);
    // The same traces as before, so `listed` still holds.
    if (known.length > 0) rowsSignal.value = mergeTraces(rowsSignal.peek(), known);
    return;
  }
  const merged = mergeTraces(rowsSignal.peek(), [...known, ...fresh]);
  if (merged.length > MAX_UNREAD_ROWS) void reload();
  else setRows(merged);
}

function hold(traces: readonly TraceSummary[]): void {
  if (traces.length === 0) return;
  const held = new Map(waitingSignal.peek());
  for (const trace of traces) {
    if (held.size < MAX_WAITING || held.has(trace.traceId)) held.set(trace.traceId, trace);
    else missedSome = true;
  }
  waitingSignal.value = held;
}

function setRows(next: readonly TraceSummary[]): void {
  if (next === rowsSignal.peek()) return;
  listed = new Set(next.map(({ traceId }) => traceId));
  rowsSignal.value = next;
}

function oldestOf(traces: readonly TraceSummary[]): TraceSummary | undefined {
  return traces.at(-1);
}
