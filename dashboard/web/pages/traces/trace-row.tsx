import { useComputed, type ReadonlySignal } from "@preact/signals";
import type { JSX } from "preact";
import type { Instant } from "../../../src/model/span.ts";
import type { TraceSummary } from "../../../src/model/trace.ts";
import { now } from "../../clock.ts";
import { Icon, type IconName } from "../../components/icon.tsx";
import { ServiceName } from "../../components/service-name.tsx";
import { formatAge, formatCount, formatDateTime, formatDuration, plural } from "../../format.ts";
import { navigate } from "../../router.ts";
import type { TraceGroup } from "./group-traces.ts";
import { splitOperation, traceStatus, type TraceStatus } from "./trace-status.ts";
import { activeId } from "./trace-list.ts";

export const ROW_HEIGHT = 32;

interface Place {
  /** Counted from 0, below the header. */
  index: number;
  /** Whether Tab leads to it. */
  isEntry: boolean;
  /** Whether it is where keys move from. */
  isActive: boolean;
}

export function traceHref(traceId: string): string {
  return `/trace/${traceId}`;
}

/** A trace in the list. */
export function TraceRow({
  trace,
  index,
  isEntry,
  isActive,
  barNanos,
  grouped,
}: Place & {
  trace: TraceSummary;
  barNanos: number;
  /** Place among its group's traces, where the list is grouped. */
  grouped?: { place: number; of: number } | undefined;
}): JSX.Element {
  const href = traceHref(trace.traceId);
  return (
    <div
      class={grouped === undefined ? "trace-row" : "trace-row trace-row-inner"}
      role="row"
      id={rowId(trace.traceId)}
      aria-rowindex={index + 2}
      aria-level={grouped === undefined ? undefined : 2}
      aria-posinset={grouped?.place}
      aria-setsize={grouped?.of}
      aria-selected={isActive}
      tabIndex={isEntry ? 0 : -1}
      style={{ transform: `translateY(${index * ROW_HEIGHT}px)` }}
      onFocus={() => (activeId.value = trace.traceId)}
      onClick={(event) => {
        if (isControl(event.target) || getSelection()?.isCollapsed === false) return;
        if (event.metaKey || event.ctrlKey) window.open(href, "_blank", "noopener");
        else navigate(href);
      }}
      onAuxClick={(event) => {
        if (event.button === 1 && !isControl(event.target)) window.open(href, "_blank", "noopener");
      }}
    >
      <TimeCell start={trace.start} />
      <ServiceCell trace={trace} />
      <div role="gridcell" class="cell cell-operation">
        <a href={href} tabIndex={-1} title={trace.operation}>
          <Operation text={trace.operation} />
        </a>
      </div>
      <StatusCell trace={trace} />
      {grouped === undefined ? (
        <>
          <DurationCell trace={trace} barNanos={barNanos} />
          <div role="gridcell" class="cell cell-user truncate" title={trace.userId}>
            {trace.userId}
          </div>
          <CountCell class="cell-queries" count={trace.queryCount} />
          <CacheCell hits={trace.cacheHits} misses={trace.cacheMisses} />
          <ErrorsCell count={trace.errorCount} />
          <CountCell class="cell-spans" count={trace.spanCount} />
        </>
      ) : (
        <>
          <div role="gridcell" class="cell cell-count" />
          <div role="gridcell" class="cell cell-min" />
          <DurationCell trace={trace} barNanos={barNanos} />
          <div role="gridcell" class="cell cell-max" />
          <ErrorsCell count={trace.errorCount} />
        </>
      )}
    </div>
  );
}

/** Requests that are the same, in one row. */
export function GroupRow({
  group,
  index,
  isEntry,
  isActive,
  barNanos,
  isExpanded,
  onToggle,
}: Place & {
  group: TraceGroup;
  barNanos: number;
  isExpanded: boolean;
  onToggle: (key: string) => void;
}): JSX.Element | null {
  const [latest] = group.traces;
  if (latest === undefined) return null;
  let errorCount = 0;
  for (const trace of group.traces) errorCount += trace.errorCount;
  return (
    <div
      class="trace-row trace-row-group"
      role="row"
      id={rowId(group.key)}
      aria-rowindex={index + 2}
      aria-level={1}
      aria-expanded={isExpanded}
      aria-selected={isActive}
      tabIndex={isEntry ? 0 : -1}
      style={{ transform: `translateY(${index * ROW_HEIGHT}px)` }}
      onFocus={() => (activeId.value = group.key)}
      onClick={() => onToggle(group.key)}
    >
      <TimeCell start={latest.start} />
      <ServiceCell trace={latest} />
      <div role="gridcell" class="cell cell-operation">
        <Icon name={isExpanded ? "chevron-down" : "chevron-right"} size={14} />
        <span class="truncate" title={latest.operation}>
          <Operation text={latest.operation} />
        </span>
      </div>
      <StatusCell trace={latest} />
      <div role="gridcell" class="cell cell-count numeric">
        {formatCount(group.traces.length)}
      </div>
      <div role="gridcell" class="cell cell-min numeric">
        {formatDuration(group.minNanos)}
      </div>
      <div role="gridcell" class="cell cell-duration numeric">
        <span class="duration-text">{formatDuration(group.medianNanos)}</span>
        <RangeBar group={group} barNanos={barNanos} />
      </div>
      <div role="gridcell" class="cell cell-max numeric">
        {formatDuration(group.maxNanos)}
      </div>
      <ErrorsCell count={errorCount} />
    </div>
  );
}

/** Of the row of a trace id or a group's key. */
export function rowId(key: string): string {
  return `row-${key.replace(/\W/g, (char) => `-${char.codePointAt(0)}`)}`;
}

function isControl(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("a, button") !== null;
}

function TimeCell({ start }: { start: Instant }): JSX.Element {
  return (
    <div role="gridcell" class="cell cell-time numeric" title={formatDateTime(start)}>
      <Age start={start} />
    </div>
  );
}

function Age({ start }: { start: Instant }): JSX.Element {
  // Only the text changes as time goes by, not the row.
  const text = useAge(start);
  return <time dateTime={new Date(start.unixMicros / 1000).toISOString()}>{text}</time>;
}

function useAge(start: Instant): ReadonlySignal<string> {
  const millis = start.unixMicros / 1000;
  return useComputed(() => formatAge(millis, now.value));
}

function ServiceCell({ trace }: { trace: TraceSummary }): JSX.Element {
  const others = trace.services.filter((service) => service !== trace.service);
  return (
    <div role="gridcell" class="cell cell-service">
      <ServiceName service={trace.service} />
      {others.length > 0 && (
        <span class="badge" title={`Also ${others.join(", ")}`}>
          <span aria-hidden="true">+{others.length}</span>
          <span class="visually-hidden">and {plural(others.length, "other service")}</span>
        </span>
      )}
    </div>
  );
}

function Operation({ text }: { text: string }): JSX.Element {
  const { method, rest } = splitOperation(text);
  if (method === undefined) return <>{rest}</>;
  return (
    <>
      <span class="method">{method}</span> {rest}
    </>
  );
}

const STATUS_ICONS: Readonly<Record<TraceStatus["tone"], IconName>> = {
  ok: "check",
  warn: "warning",
  error: "error",
  "in-flight": "in-flight",
  unknown: "info",
};

function StatusCell({ trace }: { trace: TraceSummary }): JSX.Element {
  // A request that has its root stays as it is; only one in flight has to look at the clock.
  const { tone, text, title } = traceStatus(trace, trace.hasRoot ? 0 : now.value);
  return (
    <div role="gridcell" class={`cell cell-status status-${tone}`} title={title}>
      <Icon name={STATUS_ICONS[tone]} size={14} />
      <span class="truncate">{text}</span>
    </div>
  );
}

function DurationCell({ trace, barNanos }: { trace: TraceSummary; barNanos: number }): JSX.Element {
  const { durationNanos, hasRoot } = trace;
  const isOver = durationNanos > barNanos;
  return (
    <div
      role="gridcell"
      class="cell cell-duration numeric"
      title={hasRoot ? undefined : "Up to the latest span that has arrived"}
    >
      <span class="duration-text">
        {!hasRoot && <span aria-label="at least">≥ </span>}
        {formatDuration(durationNanos)}
      </span>
      <span class={isOver ? "bar bar-over" : "bar"} aria-hidden="true">
        <span class="bar-fill" style={{ width: percent(durationNanos / barNanos) }} />
      </span>
    </div>
  );
}

function RangeBar({ group, barNanos }: { group: TraceGroup; barNanos: number }): JSX.Element {
  const from = Math.min(1, group.minNanos / barNanos);
  const to = Math.min(1, group.maxNanos / barNanos);
  return (
    <span class={group.maxNanos > barNanos ? "bar bar-over" : "bar"} aria-hidden="true">
      <span class="bar-range" style={{ left: percent(from), width: percent(to - from) }} />
      <span class="bar-median" style={{ left: percent(group.medianNanos / barNanos) }} />
    </span>
  );
}

function percent(share: number): string {
  return `${Math.min(100, Math.max(0, share * 100)).toFixed(1)}%`;
}

function CountCell(props: { class: string; count: number }): JSX.Element {
  return (
    <div role="gridcell" class={`cell ${props.class} numeric`}>
      {props.count === 0 ? "" : formatCount(props.count)}
    </div>
  );
}

function CacheCell({ hits, misses }: { hits: number; misses: number }): JSX.Element {
  const total = hits + misses;
  if (total === 0) return <div role="gridcell" class="cell cell-cache numeric" />;
  return (
    <div
      role="gridcell"
      class="cell cell-cache numeric"
      title={`${plural(hits, "cache hit")}, ${plural(misses, "miss", "misses")}`}
    >
      <span aria-hidden="true">
        {formatCount(hits)}
        <span class="of">/{formatCount(total)}</span>
      </span>
      <span class="visually-hidden">
        {plural(hits, "hit")} of {formatCount(total)}
      </span>
    </div>
  );
}

function ErrorsCell({ count }: { count: number }): JSX.Element {
  if (count === 0) return <div role="gridcell" class="cell cell-errors numeric" />;
  return (
    <div
      role="gridcell"
      class="cell cell-errors numeric has-errors"
      title={plural(count, "span failed", "spans failed")}
    >
      <Icon name="error" size={12} />
      {formatCount(count)}
    </div>
  );
}
