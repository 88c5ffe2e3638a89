import type { JSX } from "preact";
import { Icon, type IconName } from "../../components/icon.tsx";
import { ServiceName } from "../../components/service-name.tsx";
import { valueText } from "../../../src/model/attributes.ts";
import type { SpanDetail } from "../../../src/model/trace.ts";
import { Section } from "./parts.tsx";

/** What a span is called and whose it is; undefined for one that has not arrived, or is not shown. */
export type NameSpan = (traceId: string, spanId: string) => { name: string; service: string } | undefined;

/** Spans this one continues, or that continue this one: of other traces, or of its own. */
export function LinksSection(props: {
  detail: SpanDetail;
  nameSpan: NameSpan | undefined;
  onOpenSpan: (traceId: string, spanId: string) => void;
}): JSX.Element {
  const { linksTo, linkedFrom, span } = props.detail;
  return (
    <Section id="links" title="Links" icon="link" note={linksTo.length + linkedFrom.length}>
      <ul class="links">
        {linksTo.map((link, index) => (
          <LinkItem
            key={`to:${index}`}
            icon="arrow-left"
            word={span.kind === 5 ? "Follows from" : "Links to"}
            link={link}
            shown={props.nameSpan?.(link.traceId, link.spanId)}
            attributes={Object.entries(link.attributes).map(([key, value]) => `${key}=${valueText(value)}`)}
            onOpenSpan={props.onOpenSpan}
          />
        ))}
        {linkedFrom.map((link, index) => (
          <LinkItem
            key={`from:${index}`}
            icon="arrow-right"
            word={span.kind === 4 ? "Continues in" : "Linked from"}
            link={link}
            shown={props.nameSpan?.(link.traceId, link.spanId)}
            attributes={[]}
            onOpenSpan={props.onOpenSpan}
          />
        ))}
      </ul>
    </Section>
  );
}

function LinkItem(props: {
  icon: IconName;
  word: string;
  link: { traceId: string; spanId: string; operation?: string; service?: string };
  /** Of a span that is shown in the same place. What is known of others is their trace's. */
  shown: ReturnType<NameSpan>;
  attributes: readonly string[];
  onOpenSpan: (traceId: string, spanId: string) => void;
}): JSX.Element {
  const { traceId, spanId } = props.link;
  const { name, service } = props.shown ?? { name: props.link.operation, service: props.link.service };
  const href = `/trace/${traceId}?span=${spanId}`;
  return (
    <li class="link-item">
      <Icon name={props.icon} size={14} />
      <div class="link-body">
        <span class="muted">{props.word}</span>
        <a
          href={href}
          onClick={(event) => {
            // With a modifier, or the middle button, it is a link like any other.
            if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button !== 0) return;
            event.preventDefault();
            props.onOpenSpan(traceId, spanId);
          }}
        >
          {name ?? "a span that has not arrived"}
        </a>
        {service !== undefined && <ServiceName service={service} />}
        <span class="link-ids" title={`trace ${traceId}, span ${spanId}`}>
          {traceId.slice(0, 8)}…{spanId.slice(0, 8)}
        </span>
        {props.attributes.length > 0 && <span class="link-attributes">{props.attributes.join(", ")}</span>}
      </div>
    </li>
  );
}
