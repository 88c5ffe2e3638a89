import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { formatCount, formatDateTime, formatDuration } from "../../format.ts";
import type { Attributes } from "../../../src/model/attributes.ts";
import { plainValue } from "../../../src/model/attributes.ts";
import type { Instant, LogRecord, SpanEvent, SpanRecord } from "../../../src/model/span.ts";
import { nanosBetween, severityName, severityTone } from "./instants.ts";
import { parseJson, toJsonNode } from "./json.ts";
import { JsonView } from "./json-view.tsx";
import { Captured, Section } from "./parts.tsx";

/** Logs and events that are shown at first, and more each time more are asked for. */
const AT_ONCE = 100;

/** What the application logged while the span was current, each with its distance from the span's start. */
export function LogsSection({ span, logs }: { span: SpanRecord; logs: readonly LogRecord[] }): JSX.Element {
  const [shown, setShown] = useState(AT_ONCE);
  return (
    <Section id="logs" title="Logs" icon="logs" note={logs.length}>
      <ol class="moments">
        {logs.slice(0, shown).map((log, index) => {
          const tone = severityTone(log.severityText, log.severityNumber);
          return (
            <li key={index} class={`moment moment-${tone}`}>
              <Offset from={span.start} time={log.time} />
              <span class={`log-severity log-severity-${tone}`}>
                {severityName(log.severityText, log.severityNumber)}
              </span>
              <div class="moment-body">
                <LogBody body={log.body} />
                <MomentAttributes label="Attributes of the log" attributes={log.attributes} />
              </div>
            </li>
          );
        })}
      </ol>
      <More count={logs.length - shown} onMore={() => setShown(shown + AT_ONCE)} />
    </Section>
  );
}

function LogBody({ body }: { body: string }): JSX.Element {
  const tree = useMemo(() => parseJson(body), [body]);
  if (tree !== undefined) return <JsonView label="Log" root={tree.root} />;
  return (
    <p class="log-text">
      <Captured text={body} />
    </p>
  );
}

/** Events other than exceptions, which have a section of their own. */
export function EventsSection({ span, events }: { span: SpanRecord; events: readonly SpanEvent[] }): JSX.Element {
  const [shown, setShown] = useState(AT_ONCE);
  return (
    <Section id="events" title="Events" icon="clock" note={events.length}>
      <ol class="moments">
        {events.slice(0, shown).map((event, index) => (
          <li key={index} class="moment">
            <Offset from={span.start} time={event.time} />
            <div class="moment-body moment-wide">
              <p class="event-name">{event.name}</p>
              <MomentAttributes label={`Attributes of ${event.name}`} attributes={event.attributes} />
            </div>
          </li>
        ))}
      </ol>
      <More count={events.length - shown} onMore={() => setShown(shown + AT_ONCE)} />
    </Section>
  );
}

function More({ count, onMore }: { count: number; onMore: () => void }): JSX.Element | null {
  if (count <= 0) return null;
  return (
    <button type="button" class="link-button" onClick={onMore}>
      Show more: {formatCount(count)} further
    </button>
  );
}

function Offset({ from, time }: { from: Instant; time: Instant }): JSX.Element {
  const nanos = nanosBetween(from, time);
  return (
    <time class="moment-offset numeric" title={formatDateTime(time)}>
      {nanos >= 0 && "+"}
      {formatDuration(nanos)}
    </time>
  );
}

function MomentAttributes({ label, attributes }: { label: string; attributes: Attributes }): JSX.Element | null {
  const tree = useMemo(
    () => toJsonNode(Object.fromEntries(Object.entries(attributes).map(([key, value]) => [key, plainValue(value)]))),
    [attributes],
  );
  if (Object.keys(attributes).length === 0) return null;
  return <JsonView label={label} root={tree} />;
}
