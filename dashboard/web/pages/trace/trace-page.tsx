import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { ApiFailure } from "../../api.ts";
import { Icon } from "../../components/icon.tsx";
import { lazy } from "../../components/lazy.tsx";
import { EmptyState, ErrorState, Loading } from "../../components/states.tsx";
import { useShortcut } from "../../keyboard.tsx";
import { listHref } from "../../router.ts";
import { FlameView } from "./flame-view.tsx";
import { Minimap } from "./minimap.tsx";
import { findSpan, later, nameOf, serviceOf, shiftOf, type TraceModel } from "./model.ts";
import { Splitter, useRemembered } from "./splitter.tsx";
import { Toolbar } from "./toolbar.tsx";
import { TraceHeader } from "./trace-header.tsx";
import { useSize } from "./use-size.ts";
import { createTraceView, type TraceView } from "./view.ts";
import { goIn, goOut, Waterfall } from "./waterfall.tsx";

const SpanPanel = lazy("Loading the span …", async () => (await import("../span/span-panel.tsx")).SpanPanel);

export function TracePage({ traceId }: { traceId: string }): JSX.Element {
  const view = useMemo(() => createTraceView(traceId), [traceId]);
  // Asked before the page's frame is drawn, so that one does not wait for the other.
  useLayoutEffect(() => view.start(), [view]);
  const model = view.model.value;
  const failure = view.failure.value;
  useEffect(() => {
    document.title = `${model?.detail.summary.operation ?? `Trace ${traceId.slice(0, 8)}`} · Tracekit`;
  }, [model]);

  if (model === undefined && failure !== undefined) {
    if (failure instanceof ApiFailure && failure.code === "not_found") return <NotFound traceId={traceId} />;
    return <ErrorState title="The trace could not be loaded" error={failure} onRetry={view.reload} />;
  }
  // All that does not depend on the trace is there, and measured, while it is on its way.
  return (
    <div class="trace-page">
      {model === undefined ? <HeaderToCome /> : <TraceHeader view={view} model={model} />}
      {failure !== undefined && <Stale failure={failure} />}
      <TraceBody view={view} />
    </div>
  );
}

function TraceBody({ view }: { view: TraceView }): JSX.Element {
  const body = useRef<HTMLDivElement>(null);
  const { width } = useSize(body);
  const [wanted, setWanted] = useRemembered("panel-width", 520);
  const { span, spanTrace, view: shown } = view.choices.value;
  const model = view.model.value;
  useTraceShortcuts(view);
  const nameSpan = useMemo(
    () => model && ((traceId: string, id: string) => nameShownSpan(model, traceId, id)),
    [model],
  );
  const panel = Math.min(wanted, Math.max(280, width - 360));
  const close = (): void => {
    view.closeSpan();
    // Back to where it was opened from.
    if (shown === "waterfall") view.focusRow(view.focusIndex.peek());
  };
  return (
    <div class="trace-body" ref={body}>
      <section class="trace-main" aria-label="Spans of the trace">
        <Toolbar view={view} />
        {shown === "flame" ? (
          model !== undefined && <FlameView view={view} model={model} />
        ) : (
          <>
            <Minimap view={view} model={model} />
            <Waterfall view={view} />
          </>
        )}
      </section>
      {span !== undefined && (
        <aside class="trace-panel" aria-label="Span" style={{ width: `${panel}px` }}>
          <Splitter
            label="Width of the details"
            class="panel-splitter"
            value={panel}
            least={280}
            most={Math.max(280, width - 360)}
            side="right"
            onChange={setWanted}
          />
          {model !== undefined && (
            <SpanPanel
              traceId={spanTrace ?? model.traceId}
              spanId={span}
              traceStart={spanTrace === undefined ? later(model.start, -shiftOf(model, span)) : model.start}
              version={model.detail.summary.arrivedAt}
              {...(nameSpan && { nameSpan })}
              onClose={close}
              onOpenSpan={view.openSpan}
            />
          )}
        </aside>
      )}
    </div>
  );
}

function nameShownSpan(
  model: TraceModel,
  traceId: string,
  spanId: string,
): { name: string; service: string } | undefined {
  const node = traceId === model.traceId ? findSpan(model, spanId) : -1;
  return node === -1 ? undefined : { name: nameOf(model, node), service: serviceOf(model, node) };
}

function useTraceShortcuts(view: TraceView): void {
  const { span, criticalPath, folding, compress, query, view: shown } = view.choices.value;
  const move = (rows: number) => (): void => view.moveBy(rows);
  useShortcut("j", "Next span (also ↓)", move(1), "trace");
  useShortcut("k", "Previous span (also ↑)", move(-1), "trace");
  useShortcut("l", "Expand, or into it (also →)", () => goIn(view), "trace");
  useShortcut("h", "Collapse, or out of it (also ←)", () => goOut(view), "trace");
  const open = (): void => {
    const row = view.rows.peek()[view.focusIndex.peek()];
    if (row !== undefined) view.open(row);
  };
  useShortcut("Enter|o", "Details of the span", open, "trace");
  useShortcut("]", "Expand all", view.expandAll, "trace");
  useShortcut("[", "Collapse all", view.collapseAll, "trace");
  useShortcut("e", "Next error", () => view.goToFailed(1), "trace");
  useShortcut("E", "Previous error", () => view.goToFailed(-1), "trace");
  useShortcut("n", "Next one found", () => view.goToMatch(1), "trace");
  useShortcut("N", "Previous one found", () => view.goToMatch(-1), "trace");
  useShortcut("c", "Critical path on or off", () => view.change({ critical: criticalPath ? "off" : null }), "trace");
  useShortcut("f", "Fold repeats or not", () => view.change({ fold: folding ? "off" : null }), "trace");
  useShortcut("x", "Shorten gaps or not", () => view.change({ gaps: compress ? "off" : null }), "trace");
  useShortcut(
    "v",
    "Waterfall or flame graph",
    () => view.change({ view: shown === "flame" ? null : "flame" }),
    "trace",
  );
  useShortcut("+|=", "Zoom in", () => view.zoomBy(0.5), "trace");
  useShortcut("-", "Zoom out", () => view.zoomBy(2), "trace");
  useShortcut("0", "Show all of the time", () => view.setRange(undefined), "trace");
  useShortcut("<|,", "Earlier (also Shift+←)", () => view.panBy(-0.2), "trace");
  useShortcut(">|.", "Later (also Shift+→)", () => view.panBy(0.2), "trace");
  const escape = (): void => {
    if (span !== undefined) {
      view.closeSpan();
      view.focusRow(view.focusIndex.peek());
    } else if (query !== "") view.change({ q: null, only: null });
    else view.setRange(undefined);
  };
  useShortcut("Escape", "Close the details, end the search, show all", escape, "trace");
}

/** As high as a trace's header mostly is, so that what is below stays where it is. */
function HeaderToCome(): JSX.Element {
  return (
    <header class="trace-header trace-header-to-come">
      <Loading label="Loading the trace …" />
    </header>
  );
}

function Stale({ failure }: { failure: unknown }): JSX.Element {
  const isGone = failure instanceof ApiFailure && failure.code === "not_found";
  return (
    <p class="trace-stale" role="status">
      <Icon name="warning" size={14} />
      {isGone
        ? "This trace is no longer kept. What is shown here is gone when the page is closed."
        : "New spans cannot be loaded at the moment; this is the trace as it was."}
    </p>
  );
}

function NotFound({ traceId }: { traceId: string }): JSX.Element {
  return (
    <EmptyState title="This trace is not here" icon="search">
      <p>
        Nothing has arrived for <code>{traceId}</code>, or it has left to make room for newer ones. If its request is
        still running, this page shows it as soon as one of its spans arrives.
      </p>
      <p>
        <a href={listHref.value}>All traces</a>
      </p>
    </EmptyState>
  );
}
