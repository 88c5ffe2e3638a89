import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api, ApiFailure } from "../../api.ts";
import { CopyButton, copyText } from "../../components/copy.tsx";
import { Icon, type IconName } from "../../components/icon.tsx";
import { ServiceName } from "../../components/service-name.tsx";
import { EmptyState, ErrorState, Loading } from "../../components/states.tsx";
import { toast } from "../../components/toast.tsx";
import { formatDateTime, formatDuration } from "../../format.ts";
import { useShortcut } from "../../keyboard.tsx";
import { toSearch } from "../../route.ts";
import { type Instant, SPAN_KINDS } from "../../../src/model/span.ts";
import type { SpanDetail } from "../../../src/model/trace.ts";
import { AttributeReader } from "./attribute-reader.ts";
import { CacheSection } from "./cache-section.tsx";
import { ExceptionsSection } from "./exceptions-section.tsx";
import { readHttpExchange } from "./http-exchange.ts";
import { HttpSection } from "./http-section.tsx";
import { nanosBetween } from "./instants.ts";
import { LinksSection, type NameSpan } from "./links-section.tsx";
import { EventsSection, LogsSection } from "./logs-section.tsx";
import { mainTextOf } from "./main-text.ts";
import { readNetworkPhases } from "./network-phases.ts";
import { MessagingSection } from "./messaging-section.tsx";
import { Captured } from "./parts.tsx";
import { RawSections } from "./raw-section.tsx";
import { RpcSection } from "./rpc-section.tsx";
import { SqlSection } from "./sql-section.tsx";

interface SpanPanelProps {
  traceId: string;
  spanId: string;
  /** When the trace began: the panel then says how long after that the span did. */
  traceStart?: Instant;
  /** Another number asks for the span again, which may have got logs and links, or may have arrived. */
  version?: number;
  /** Of spans of the trace that is shown. */
  nameSpan?: NameSpan;
  onClose: () => void;
  onOpenSpan: (traceId: string, spanId: string) => void;
}

/** Everything about one span, in the words of its kind. It fills its container, which decides about place and width. */
export function SpanPanel(props: SpanPanelProps): JSX.Element {
  const { traceId, spanId, onClose } = props;
  const [attempt, setAttempt] = useState(0);
  const { detail, error, isLate } = useSpanDetail(traceId, spanId, `${attempt}/${props.version ?? 0}`);
  const panel = useRef<HTMLElement>(null);

  // Without a label: the trace's own list of keys has it.
  useShortcut("Escape", "", onClose, "trace");
  useShortcut(
    "y",
    "Copy what matters of the span: statement, request, key, payload",
    () => {
      if (detail !== undefined) void copyMainText(detail);
    },
    "trace",
  );
  useEffect(() => {
    panel.current?.scrollTo({ top: 0 });
  }, [detail?.span.spanId]);

  return (
    <section
      ref={panel}
      class="span-panel"
      aria-label={detail === undefined ? "Span" : `Span ${detail.span.name}`}
      aria-busy={isLate}
    >
      {detail === undefined ? (
        <>
          <div class="span-close-alone">
            <CloseButton onClose={onClose} />
          </div>
          {error === undefined ? (
            <Loading label="Loading the span" />
          ) : (
            <Failure error={error} onRetry={() => setAttempt(attempt + 1)} />
          )}
        </>
      ) : (
        <Detail {...props} key={`${traceId}/${detail.span.spanId}`} detail={detail} isOld={isLate} />
      )}
    </section>
  );
}

/** The span asked for; while it is on its way the one before stays, so that stepping through a trace does not flicker. */
function useSpanDetail(
  traceId: string,
  spanId: string,
  attempt: string,
): { detail: SpanDetail | undefined; error: unknown; isLate: boolean } {
  const [answer, setAnswer] = useState<{ key: string; detail?: SpanDetail; error?: unknown }>();
  const key = `${traceId}/${spanId}`;
  useEffect(() => {
    const controller = new AbortController();
    api.span(traceId, spanId, controller.signal).then(
      (detail) => setAnswer({ key, detail }),
      (error: unknown) => {
        if (!controller.signal.aborted) setAnswer({ key, error });
      },
    );
    return () => controller.abort();
  }, [key, attempt]);
  return { detail: answer?.detail, error: answer?.error, isLate: answer?.key !== key };
}

function Failure({ error, onRetry }: { error: unknown; onRetry: () => void }): JSX.Element {
  if (!(error instanceof ApiFailure && error.status === 404))
    return <ErrorState title="The span could not be loaded" error={error} onRetry={onRetry} />;
  return (
    <EmptyState title="This span has not arrived" icon="search">
      <p>It may still be running, its sender may have dropped it, or its trace has made room for newer ones.</p>
      <button type="button" class="button" onClick={onRetry}>
        <Icon name="refresh" /> Look again
      </button>
    </EmptyState>
  );
}

function CloseButton({ onClose }: { onClose: () => void }): JSX.Element {
  return (
    <button type="button" class="icon-button" aria-label="Close the span" title="Close (Esc)" onClick={onClose}>
      <Icon name="close" />
    </button>
  );
}

interface Part {
  id: string;
  label: string;
  count?: number;
  content: JSX.Element | null;
}

function Detail(props: SpanPanelProps & { detail: SpanDetail; isOld: boolean }): JSX.Element {
  const { detail, nameSpan, onOpenSpan } = props;
  const parts = useMemo(() => partsOf(detail, nameSpan, onOpenSpan), [detail, nameSpan, onOpenSpan]);
  return (
    <>
      <Header {...props} parts={parts} />
      <div class={props.isOld ? "span-content span-content-old" : "span-content"}>
        {parts.map(({ id, content }) => content !== null && <div key={id}>{content}</div>)}
      </div>
    </>
  );
}

/** What there is to show, most telling first. A part without content belongs to the one before. */
function partsOf(detail: SpanDetail, nameSpan: NameSpan | undefined, onOpenSpan: SpanPanelProps["onOpenSpan"]): Part[] {
  const { span, category, stacks, logs, linkedFrom, linksTo } = detail;
  const read = new AttributeReader(span.attributes);
  const exchange = readHttpExchange(span);
  const events = span.events.filter(
    ({ name, attributes }) => name !== "exception" && !("exception.type" in attributes),
  );
  const isMessage = category === "messaging" || read.value("messaging.system") !== undefined;
  const isQuery = category === "database" || detail.sql !== undefined;
  const isCall = category === "rpc" || read.value("rpc.system", "rpc.system.name") !== undefined;
  const parts: (Part | false)[] = [
    stacks.length > 0 && {
      id: "exceptions",
      label: stacks.length === 1 ? "Exception" : "Exceptions",
      ...(stacks.length > 1 && { count: stacks.length }),
      content: <ExceptionsSection stacks={stacks} />,
    },
    category === "cache" && { id: "cache", label: "Cache", content: <CacheSection span={span} /> },
    isQuery && category !== "cache" && { id: "query", label: "Query", content: <SqlSection detail={detail} /> },
    isMessage && { id: "message", label: "Message", content: <MessagingSection span={span} /> },
    isCall && { id: "call", label: "Call", content: <RpcSection span={span} /> },
    exchange !== undefined && {
      id: "request",
      label: "Request",
      content: <HttpSection span={span} exchange={exchange} />,
    },
    exchange !== undefined && readNetworkPhases(span).length > 0 && { id: "network", label: "Network", content: null },
    exchange !== undefined && { id: "response", label: "Response", content: null },
    linksTo.length + linkedFrom.length > 0 && {
      id: "links",
      label: "Links",
      count: linksTo.length + linkedFrom.length,
      content: <LinksSection detail={detail} nameSpan={nameSpan} onOpenSpan={onOpenSpan} />,
    },
    logs.length > 0 && {
      id: "logs",
      label: "Logs",
      count: logs.length,
      content: <LogsSection span={span} logs={logs} />,
    },
    events.length > 0 && {
      id: "events",
      label: "Events",
      count: events.length,
      content: <EventsSection span={span} events={events} />,
    },
  ];
  const telling = parts.filter((part) => part !== false);
  return [
    ...telling,
    {
      id: "attributes",
      label: "Attributes",
      count: Object.keys(span.attributes).length,
      content: <RawSections span={span} isAll={telling.length === 0} onOpenSpan={onOpenSpan} />,
    },
    { id: "resource", label: "Resource", content: null },
    { id: "record", label: "Ids and times", content: null },
  ];
}

const ICONS: Readonly<Record<SpanDetail["category"], IconName>> = {
  http: "http",
  database: "database",
  cache: "cache",
  messaging: "messaging",
  rpc: "rpc",
  internal: "internal",
};

function Header(props: SpanPanelProps & { detail: SpanDetail; parts: readonly Part[] }): JSX.Element {
  const { detail, parts, traceId, traceStart, onClose } = props;
  const { span, category } = detail;
  const link = `${location.origin}/trace/${traceId}?span=${span.spanId}`;
  const offset = traceStart === undefined ? undefined : nanosBetween(traceStart, span.start);
  const user = new AttributeReader(span.attributes).text("user.id", "enduser.id");
  return (
    <header class="span-header">
      <div class="span-title-row">
        <Icon name={ICONS[category]} label={category} />
        <h2 class="span-title">{span.name}</h2>
        <div class="span-header-tools">
          <CopyButton text={link} label="Copy link" icon="link" />
          <CloseButton onClose={onClose} />
        </div>
      </div>
      <p class="span-meta">
        <ServiceName service={span.resource.serviceName} />
        <span class="span-meta-item">{(SPAN_KINDS[span.kind] ?? "").toLowerCase()}</span>
        <span class="span-meta-item span-duration">{formatDuration(span.durationNanos)}</span>
        <span class="span-meta-item" title={`Started ${formatDateTime(span.start)}`}>
          {offset === undefined ? formatDateTime(span.start) : `at ${offset < 0 ? "" : "+"}${formatDuration(offset)}`}
        </span>
        {user !== undefined && (
          <a
            class="span-meta-item span-user"
            href={`/${toSearch(new URLSearchParams({ user }))}`}
            title="Traces of this user"
          >
            <Icon name="user" size={12} />
            {user}
          </a>
        )}
      </p>
      {span.status.code === 2 && (
        <p class="span-status-error">
          <Icon name="error" size={14} label="Error" />
          <span>{span.status.message === "" ? "Failed" : <Captured text={span.status.message} />}</span>
        </p>
      )}
      <nav class="span-nav" aria-label="Sections of the span">
        {parts.map(({ id, label, count }) => (
          <button key={id} type="button" onClick={(event) => goTo(event.currentTarget, id)}>
            {label}
            {count !== undefined && <span class="span-count">{count}</span>}
          </button>
        ))}
      </nav>
    </header>
  );
}

/** Scrolls to a section and gives it the focus; a closed one opens. */
function goTo(from: HTMLElement, id: string): void {
  const panel = from.closest<HTMLElement>(".span-panel");
  const section = panel?.querySelector<HTMLElement>(`#span-${id}`) ?? undefined;
  if (panel === null || section === undefined) return;
  // How high the sticky header is depends on the name and the error in it.
  panel.style.scrollPaddingTop = `${from.closest("header")?.offsetHeight ?? 0}px`;
  if (section instanceof HTMLDetailsElement) section.open = true;
  section.scrollIntoView({ block: "start" });
  section.querySelector<HTMLElement>("summary, h3")?.focus({ preventScroll: true });
}

async function copyMainText(detail: SpanDetail): Promise<void> {
  const { what, text } = mainTextOf(detail);
  if (await copyText(text)) toast(`Copied ${what}`);
  else toast("The browser did not let the page copy.", "error");
}
