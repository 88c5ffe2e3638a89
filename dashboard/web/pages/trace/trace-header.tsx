import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { api } from "../../api.ts";
import { CopyButton } from "../../components/copy.tsx";
import { Icon } from "../../components/icon.tsx";
import { ServiceName } from "../../components/service-name.tsx";
import { formatCount, formatDateTime, formatDuration, plural } from "../../format.ts";
import { listHref } from "../../router.ts";
import { serviceColour } from "../../service-colour.ts";
import { durationOf, isMissing, shareByService, type TraceModel } from "./model.ts";
import type { TraceView } from "./view.ts";

/** A trace that got spans this recently may still be running. */
const IN_FLIGHT_MILLIS = 60_000;

/** What the trace is: operation, outcome, who and when, and where its time went. */
export function TraceHeader({ view, model }: { view: TraceView; model: TraceModel }): JSX.Element {
  const { summary } = model.detail;
  const shares = useMemo(() => (summary.services.length < 2 ? [] : shareByService(model)), [model]);
  return (
    <header class="trace-header">
      <div class="trace-title">
        <a class="icon-button" href={listHref.value} aria-label="Back to the list of traces" title="Back to the list">
          <Icon name="arrow-left" />
        </a>
        <h1 class="truncate" title={summary.operation}>
          {summary.operation}
        </h1>
        <Outcome model={model} />
        <Duration model={model} />
        <span class="trace-actions">
          <CopyButton class="button button-quiet" icon="link" label="Copy link" text={() => location.href}>
            Copy link
          </CopyButton>
          <a
            class="button button-quiet"
            href={api.exportUrl([summary.traceId])}
            download={`trace-${summary.traceId}.json`}
            title="Download as OTLP JSON"
          >
            <Icon name="download" /> Export
          </a>
        </span>
      </div>
      <ul class="trace-facts" aria-label="About the trace">
        <li>
          <ServiceName service={summary.service} />
        </li>
        <li title="When it started">
          <Icon name="clock" size={14} />
          <time dateTime={new Date(model.start.unixMicros / 1000).toISOString()}>{formatDateTime(model.start)}</time>
        </li>
        {summary.userId !== undefined && (
          <li title="user.id">
            <Icon name="user" size={14} /> {summary.userId}
          </li>
        )}
        <li title="Spans">
          <Icon name="spans" size={14} /> {plural(summary.spanCount, "span")}
        </li>
        {summary.queryCount > 0 && (
          <li>
            <Icon name="database" size={14} /> {plural(summary.queryCount, "query", "queries")}
          </li>
        )}
        {summary.cacheHits + summary.cacheMisses > 0 && (
          <li>
            <Icon name="cache" size={14} /> {plural(summary.cacheHits, "hit")},{" "}
            {plural(summary.cacheMisses, "miss", "misses")}
          </li>
        )}
        {summary.errorCount > 0 && (
          <li>
            <button
              type="button"
              class="trace-errors"
              title="Go to the next one (e)"
              onClick={() => view.goToFailed(1)}
            >
              <Icon name="error" size={14} /> {plural(summary.errorCount, "error")}
            </button>
          </li>
        )}
        <li class="trace-id">
          <code title={`Trace id ${summary.traceId}`}>{summary.traceId}</code>
          <CopyButton text={summary.traceId} label="Copy trace id" />
        </li>
      </ul>
      <Shares view={view} shares={shares} />
    </header>
  );
}

/** The request's own, and that of everything where messages were handled later. */
function Duration({ model }: { model: TraceModel }): JSX.Element {
  const { tree } = model;
  const durationNanos = tree.endNanos - tree.startNanos;
  const root = tree.roots.find((node) => !isMissing(model, node) && tree.repairs[node] === 0);
  const own = root === undefined || !model.detail.summary.hasRoot ? durationNanos : durationOf(model, root);
  return (
    <>
      <span class="trace-duration">{formatDuration(own)}</span>
      {durationNanos > own * 1.01 && (
        <span class="faint" title="From the earliest start to the latest end">
          {formatDuration(durationNanos)} in all
        </span>
      )}
    </>
  );
}

function Outcome({ model }: { model: TraceModel }): JSX.Element {
  const { hasRoot, arrivedAt, httpStatusCode, statusCode } = model.detail.summary;
  if (!hasRoot) {
    const isRecent = Date.now() - arrivedAt < IN_FLIGHT_MILLIS;
    return (
      <span class="badge badge-warn" title="The span that has no parent has not arrived.">
        <Icon name={isRecent ? "in-flight" : "warning"} size={12} />
        {isRecent ? "in flight" : "root missing"}
      </span>
    );
  }
  const failed = statusCode === 2 || (httpStatusCode ?? 0) >= 500;
  if (httpStatusCode === undefined && !failed) return <span class="badge badge-ok">ok</span>;
  const tone = failed ? "badge-error" : (httpStatusCode ?? 0) >= 400 ? "badge-warn" : "badge-ok";
  return (
    <span class={`badge ${tone}`}>
      {failed && <Icon name="error" size={12} />}
      {httpStatusCode ?? "failed"}
    </span>
  );
}

/** How much of all self time each service had. Choosing one searches for it. */
function Shares(props: { view: TraceView; shares: ReturnType<typeof shareByService> }): JSX.Element | null {
  const { view, shares } = props;
  const query = view.choices.value.query;
  if (shares.length < 2) return null;
  const shown = shares.slice(0, 11);
  const others = shares.length - shown.length;
  return (
    <div class="trace-shares">
      <div class="share-bar" aria-hidden="true">
        {shares.map(({ service, share }) => (
          <span key={service} style={{ flexGrow: share, "--service": serviceColour(service) }} />
        ))}
      </div>
      <ul aria-label="Self time by service">
        {shown.map(({ service, share, nanos }) => (
          <li key={service}>
            <button
              type="button"
              aria-pressed={query === service}
              title={`${formatDuration(nanos)} of its own. Find its spans.`}
              onClick={() => view.change({ q: query === service ? null : service })}
            >
              <ServiceName service={service} />
              <span class="share-part">{formatShare(share)}</span>
            </button>
          </li>
        ))}
        {others > 0 && <li class="faint">{formatCount(others)} more</li>}
      </ul>
    </div>
  );
}

function formatShare(share: number): string {
  if (share > 0 && share < 0.01) return "<1%";
  return `${Math.round(share * 100)}%`;
}
