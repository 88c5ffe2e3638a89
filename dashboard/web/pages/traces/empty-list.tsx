import { signal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { api } from "../../api.ts";
import { CopyButton } from "../../components/copy.tsx";
import { Icon } from "../../components/icon.tsx";
import { EmptyState } from "../../components/states.tsx";
import { formatCount, plural } from "../../format.ts";
import { chooseFile } from "../../import-file.ts";
import { serverStatus } from "../../live.ts";
import { filterChips, type FilterChip } from "./filter-chips.ts";
import { filterQuery, parsed, setFilter } from "./trace-list.ts";

/** Nothing has arrived: what to run, and what was received so far. */
export function NothingYet(): JSX.Element {
  const wellKnown = serverStatus.value?.endpoints.find((each) => each.endsWith(":4318"));
  // What `dev` looks for when it is not told.
  const port = location.port === "9400" ? "" : `--port ${location.port} `;
  return (
    <section class="first-steps">
      <header>
        <h1>
          <Icon name="in-flight" size={18} /> Waiting for the first trace
        </h1>
        <p class="muted">Start something that sends. It shows up here by itself.</p>
      </header>
      <Step
        title="A Node.js application"
        note="Any command works: npm run dev, or tsx server.ts. Nothing in the code changes."
      >
        <Command text={`npx tracekit dev ${port}-- node app.js`} />
      </Step>
      <Step
        title="Anything with an OpenTelemetry SDK, in any language"
        note={`Over HTTP or gRPC.${wellKnown !== undefined ? " That is where most SDKs send without being told." : ""}`}
      >
        <Command text={`OTEL_EXPORTER_OTLP_ENDPOINT=${wellKnown ?? location.origin}`} />
      </Step>
      <Step title="A file from elsewhere" note="">
        <p class="muted">
          <button type="button" class="link-button" onClick={chooseFile}>
            Choose a file
          </button>{" "}
          of OTLP, Jaeger or Zipkin JSON, or drop one anywhere on this page.
        </p>
      </Step>
      <ReceivedSoFar />
    </section>
  );
}

function Step(props: { title: string; note: string; children: ComponentChildren }): JSX.Element {
  return (
    <section class="step">
      <h2>{props.title}</h2>
      {props.children}
      {props.note !== "" && <p class="faint">{props.note}</p>}
    </section>
  );
}

function Command({ text }: { text: string }): JSX.Element {
  return (
    <div class="command">
      <pre tabIndex={0}>{text}</pre>
      <CopyButton text={text} label="Copy" />
    </div>
  );
}

function ReceivedSoFar(): JSX.Element | null {
  const status = serverStatus.value;
  if (status === undefined) return null;
  const { received, endpoints } = status;
  return (
    <footer class="received">
      <h2>Received since the start</h2>
      <dl>
        <dt>Listening on</dt>
        <dd class="mono">{endpoints.join(", ")}</dd>
        <dt>Requests</dt>
        <dd>
          {received.requests === 0
            ? "None yet"
            : `${formatCount(received.requests)}, with ${plural(received.spans, "span")} and ${plural(received.logs, "log record")}`}
        </dd>
        {received.refusedRequests > 0 && (
          <>
            <dt class="is-error">
              <Icon name="error" size={14} /> Refused
            </dt>
            <dd>
              {plural(received.refusedRequests, "request")}
              {received.lastRefusal !== undefined && <>, the latest because: {received.lastRefusal}</>}
            </dd>
          </>
        )}
        {received.rejectedSpans > 0 && (
          <>
            <dt class="is-warn">
              <Icon name="warning" size={14} /> Rejected
            </dt>
            <dd>{plural(received.rejectedSpans, "span")} of accepted requests, without valid ids for example</dd>
          </>
        )}
        {received.metricsRequests > 0 && (
          <>
            <dt>Metrics</dt>
            <dd>{plural(received.metricsRequests, "request")}, accepted and not kept</dd>
          </>
        )}
        {received.busyRequests > 0 && (
          <>
            <dt class="is-warn">
              <Icon name="warning" size={14} /> Put off
            </dt>
            <dd>{plural(received.busyRequests, "request")}, as more arrived than could be written</dd>
          </>
        )}
        {received.logs > 0 && received.spans === 0 && (
          <>
            <dt>
              <Icon name="info" size={14} /> Only logs
            </dt>
            <dd>A trace begins with a span: is the sender's trace exporter switched on?</dd>
          </>
        )}
      </dl>
    </footer>
  );
}

/** Which conditions stand in the way: without them something would be found. */
const blocking = signal<{ query: string; names: readonly string[] }>({ query: "", names: [] });

/** The filter finds nothing: what to loosen. */
export function NothingMatches(): JSX.Element {
  const chips = filterChips(parsed.value.filter);
  const query = filterQuery.value;
  useEffect(() => {
    if (chips.length < 2) return;
    const asked = new AbortController();
    const found = chips.map(async (chip) => {
      const { traces } = await api.traces(chip.without, { limit: 1 }, asked.signal);
      return traces.length > 0 ? [chipId(chip)] : [];
    });
    Promise.all(found).then(
      (names) => (blocking.value = { query, names: names.flat() }),
      () => {
        // it was only advice
      },
    );
    return () => asked.abort();
  }, [query]);
  const helps = blocking.value.query === query ? blocking.value.names : [];
  return (
    <EmptyState title="No trace matches these filters" icon="filter">
      <p>
        {chips.length < 2
          ? "What arrives and matches will show up here."
          : helps.length > 0
            ? "Without one of these there would be something to see:"
            : "Take out what is too narrow:"}
      </p>
      {chips.length > 1 && (
        <ul class="loosen">
          {(helps.length > 0 ? chips.filter((chip) => helps.includes(chipId(chip))) : chips).map((chip) => (
            <li key={chipId(chip)}>
              <button type="button" class="button" onClick={() => setFilter(chip.without)}>
                <Icon name="close" size={12} />
                <span class="muted">{chip.name}</span> <span class="truncate">{chip.value}</span>
              </button>
            </li>
          ))}
        </ul>
      )}
      <button type="button" class="button button-primary" onClick={() => setFilter({})}>
        Clear all filters
      </button>
    </EmptyState>
  );
}

function chipId({ name, value }: FilterChip): string {
  return `${name} ${value}`;
}
