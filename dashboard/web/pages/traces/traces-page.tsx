import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { ErrorState, Loading } from "../../components/states.tsx";
import { formatBytes, formatCount, plural } from "../../format.ts";
import { serverStatus } from "../../live.ts";
import { NothingMatches, NothingYet } from "./empty-list.tsx";
import { FilterBar } from "./filter-bar.tsx";
import { filterChips } from "./filter-chips.ts";
import { failure, filterQuery, hasMore, isPaused, parsed, phase, reload, rows, waiting } from "./trace-list.ts";
import { TraceTable } from "./trace-table.tsx";

/** The list of traces. */
export function TracesPage(): JSX.Element {
  const what = filterChips(parsed.value.filter).map(({ value }) => value);
  const held = isPaused.value && waiting.value.size > 0 ? `(${formatCount(waiting.value.size)}) ` : "";
  const title = `${held}${["Traces", ...what].join(" · ")} – Tracekit`;
  useEffect(() => {
    document.title = title;
  }, [title]);
  // Before anything has arrived there is nothing to filter.
  const isFirstTime =
    phase.value === "ready" &&
    rows.value.length === 0 &&
    filterQuery.value === "" &&
    parsed.value.problems.length === 0;
  return (
    <>
      <h1 class="visually-hidden">Traces</h1>
      {!isFirstTime && <FilterBar />}
      <div class="traces-content">
        <Content isFirstTime={isFirstTime} />
      </div>
      <StatusLine />
    </>
  );
}

function Content({ isFirstTime }: { isFirstTime: boolean }): JSX.Element {
  if (phase.value === "failed") return <ErrorState error={failure.value} onRetry={() => void reload()} />;
  if (phase.value === "loading" && rows.value.length === 0) return <Loading label="Loading traces" />;
  if (isFirstTime) return <NothingYet />;
  if (rows.value.length === 0) return <NothingMatches />;
  return <TraceTable />;
}

/** How much is shown of how much there is. */
function StatusLine(): JSX.Element | null {
  const status = serverStatus.value;
  if (status === undefined || rows.value.length === 0) return null;
  const shown = rows.value.length;
  const ofAll =
    filterQuery.value === "" ? ` of ${formatCount(Math.max(status.traceCount, shown))}` : hasMore.value ? "+" : "";
  return (
    <footer class="status-line">
      <span>
        {formatCount(shown)}
        {ofAll} {shown === 1 ? "trace" : "traces"} loaded
      </span>
      <span>{plural(status.spanCount, "span")} kept</span>
      <span title={status.storePath}>
        {formatBytes(status.storeBytes)} of {formatBytes(status.maxStoreBytes)}
        {status.storePath === undefined ? " in memory" : ""}
      </span>
      {status.received.refusedRequests > 0 && (
        <span class="is-error" title={status.received.lastRefusal}>
          {plural(status.received.refusedRequests, "request")} refused
        </span>
      )}
      {status.received.evictedTraces > 0 && (
        <span>{plural(status.received.evictedTraces, "old trace")} left to make room</span>
      )}
    </footer>
  );
}
