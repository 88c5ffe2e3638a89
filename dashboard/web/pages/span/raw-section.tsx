import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { CopyButton } from "../../components/copy.tsx";
import { Icon } from "../../components/icon.tsx";
import { formatDateTime, formatDuration } from "../../format.ts";
import { type AttributeValue, type Attributes, plainValue, valueText } from "../../../src/model/attributes.ts";
import { type Instant, SPAN_KINDS, type SpanRecord } from "../../../src/model/span.ts";
import { toSearch } from "../../route.ts";
import { ClosedSection, fact, Facts, HiddenHead, LongText, Note } from "./parts.tsx";

/** Longer values find nothing but themselves. */
const MAX_FILTER_VALUE = 200;

/** Everything as it arrived: attributes, resource, scope and ids. */
export function RawSections(props: {
  span: SpanRecord;
  /** Nothing else is shown: the attributes are open from the start; the ids, where there are none. */
  isAll: boolean;
  onOpenSpan: (traceId: string, spanId: string) => void;
}): JSX.Element {
  const { span, isAll } = props;
  const count = Object.keys(span.attributes).length;
  return (
    <>
      <ClosedSection id="attributes" title="Attributes" count={count} isOpen={isAll && count > 0}>
        <AttributeList label="Attributes" attributes={span.attributes} />
        {span.droppedAttributesCount > 0 && (
          <Note icon="warning">The sender dropped {span.droppedAttributesCount} more: its limit was reached.</Note>
        )}
      </ClosedSection>
      <ClosedSection id="resource" title="Resource" count={Object.keys(span.resource.attributes).length}>
        <AttributeList label="Attributes of the resource" attributes={span.resource.attributes} />
      </ClosedSection>
      <ClosedSection id="record" title="Ids and times" isOpen={isAll && count === 0}>
        <Record span={span} onOpenSpan={props.onOpenSpan} />
      </ClosedSection>
    </>
  );
}

function AttributeList({ label, attributes }: { label: string; attributes: Attributes }): JSX.Element {
  const [filter, setFilter] = useState("");
  const wanted = filter.trim().toLowerCase();
  const all = Object.entries(attributes).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const shown = all.filter(
    ([key, value]) => key.toLowerCase().includes(wanted) || valueText(value).toLowerCase().includes(wanted),
  );
  const json = (): string =>
    JSON.stringify(Object.fromEntries(all.map(([key, value]) => [key, plainValue(value)])), null, 2);
  if (all.length === 0) return <p class="span-none">None.</p>;
  return (
    <>
      <div class="span-toolbar">
        <input
          class="input span-filter"
          type="search"
          placeholder="Filter names and values"
          aria-label={`Filter: ${label.toLowerCase()}`}
          value={filter}
          onInput={(event) => setFilter(event.currentTarget.value)}
        />
        <span class="span-filter-count" role="status">
          {wanted !== "" && `${shown.length} of ${all.length}`}
        </span>
        <CopyButton text={json} label="Copy all as JSON">
          Copy all
        </CopyButton>
      </div>
      <table class="span-table span-attributes" aria-label={label}>
        <HiddenHead titles={["Name", "Value", "Actions"]} />
        <tbody>
          {shown.map(([key, value]) => (
            <Attribute key={key} name={key} value={value} />
          ))}
        </tbody>
      </table>
    </>
  );
}

function Attribute({ name, value }: { name: string; value: AttributeValue }): JSX.Element {
  const text = valueText(value);
  const canFilter = (typeof value !== "object" || value === null) && text.length <= MAX_FILTER_VALUE && text !== "";
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>
        <span class={typeof value === "string" ? undefined : "json-number"}>
          <LongText text={text} />
        </span>
      </td>
      <td class="span-row-tools">
        {canFilter && (
          <a
            class="icon-button"
            href={`/${toSearch(new URLSearchParams({ attr: `${name}=${text}` }))}`}
            title={`Traces with this ${name}`}
            aria-label={`Traces with this ${name}`}
          >
            <Icon name="filter" size={14} />
          </a>
        )}
        <CopyButton text={text} label={`Copy ${name}`} />
      </td>
    </tr>
  );
}

function Record({ span, onOpenSpan }: Omit<Parameters<typeof RawSections>[0], "isAll">): JSX.Element {
  const { traceId, spanId, parentSpanId, start, durationNanos } = span;
  const id = (value: string): JSX.Element => (
    <span class="span-id">
      <code>{value}</code>
      <CopyButton text={value} label={`Copy ${value}`} />
    </span>
  );
  const dropped = (count: number): string | undefined => (count > 0 ? String(count) : undefined);
  return (
    <Facts
      items={[
        ["Trace id", id(traceId)],
        ["Span id", id(spanId)],
        [
          "Parent",
          parentSpanId === "" ? (
            "none: a root"
          ) : (
            <button type="button" class="link-button mono" onClick={() => onOpenSpan(traceId, parentSpanId)}>
              {parentSpanId}
            </button>
          ),
        ],
        ["Kind", (SPAN_KINDS[span.kind] ?? String(span.kind)).toLowerCase()],
        ["Started", `${formatDateTime(start)}${belowMillis(start)}`],
        ["Duration", `${formatDuration(durationNanos)} (${durationNanos.toLocaleString("en-US")} ns)`],
        ["Status", ["unset", "ok", "error"][span.status.code] ?? String(span.status.code)],
        fact("Instrumentation", span.scope.name === "" ? undefined : `${span.scope.name} ${span.scope.version}`.trim()),
        fact("Trace state", span.traceState === "" ? undefined : span.traceState),
        ["Flags", `0x${span.flags.toString(16).padStart(2, "0")}${span.flags & 1 ? " (sampled)" : ""}`],
        fact("Dropped attributes", dropped(span.droppedAttributesCount)),
        fact("Dropped events", dropped(span.droppedEventsCount)),
        fact("Dropped links", dropped(span.droppedLinksCount)),
      ]}
    />
  );
}

/** The digits behind the milliseconds, which `formatDateTime` leaves out. */
function belowMillis({ unixMicros, nanos }: Instant): string {
  return String(unixMicros % 1000).padStart(3, "0") + String(nanos).padStart(3, "0");
}
