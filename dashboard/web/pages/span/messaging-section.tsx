import type { JSX } from "preact";
import { Icon } from "../../components/icon.tsx";
import { formatBytes, formatCount, formatDuration } from "../../format.ts";
import type { SpanRecord } from "../../../src/model/span.ts";
import { BodyView } from "./body-view.tsx";
import { type MessageFacts, readMessageFacts } from "./operation-facts.ts";
import { Captured, fact, Facts, NameValueTable, Note, Section } from "./parts.tsx";

const OUTCOMES: Readonly<Record<string, { label: string; tone: string; icon: "check" | "close" | "refresh" }>> = {
  ack: { label: "Acknowledged", tone: "ok", icon: "check" },
  reject: { label: "Rejected for good", tone: "error", icon: "close" },
  requeue: { label: "Back in the queue", tone: "warn", icon: "refresh" },
};

/** A message on its way out or in. */
export function MessagingSection({ span }: { span: SpanRecord }): JSX.Element {
  const facts = readMessageFacts(span);
  const { destination, template, batchSize } = facts;
  const isOut = span.kind === 4;
  return (
    <Section id="message" title="Message" icon="messaging" note={facts.system}>
      <p class="http-line">
        <Icon name={isOut ? "arrow-right" : "arrow-left"} size={14} label={isOut ? "to" : "from"} />
        <span class="http-url">{destination ?? template ?? facts.system}</span>
        <Outcome outcome={facts.outcome} />
      </p>
      {facts.contextOmitted === true && (
        <Note icon="warning">
          There was no room for the trace in this message: its consumer begins a trace of its own.
        </Note>
      )}
      <Facts items={items(facts)} />
      {facts.headers.length > 0 && (
        <NameValueTable
          label="Headers"
          nameTitle="Header"
          rows={facts.headers.map(([name, value]) => [name, <Captured text={value} />])}
        />
      )}
      {facts.body !== undefined && (
        <BodyView label="Payload" text={facts.body} {...(facts.bodySize !== undefined && { size: facts.bodySize })} />
      )}
      {facts.body === undefined && facts.bodySize !== undefined && (
        <Note>
          The payload of {formatBytes(facts.bodySize)} was not captured
          {batchSize !== undefined && batchSize > 1 && ": it is a batch"}.
        </Note>
      )}
    </Section>
  );
}

function items(facts: MessageFacts): Parameters<typeof Facts>[0]["items"] {
  const { destination, template, receivers } = facts;
  return [
    fact("Operation", facts.operation),
    fact("Message id", facts.messageId),
    template !== destination && fact("Pattern", template),
    fact("Key", facts.key),
    fact("Conversation", facts.conversationId),
    fact("Queue time", facts.queueMillis, (millis) => formatDuration(millis * 1e6)),
    facts.attempt !== undefined && [
      "Attempt",
      <span class={facts.attempt > 1 ? "span-warned" : undefined}>
        {formatCount(facts.attempt)}
        {facts.attempt > 1 && " (delivered again)"}
      </span>,
    ],
    fact("Messages in the batch", facts.batchSize, formatCount),
    fact("Failed messages", facts.failedMessages, (count) => <span class="span-failed">{formatCount(count)}</span>),
    receivers !== undefined && [
      "Receivers",
      receivers === 0 ? <span class="span-warned">0: nobody is subscribed</span> : formatCount(receivers),
    ],
    fact("Consumer group", facts.consumerGroup),
    fact("Client", facts.clientId),
    ...facts.more.map(
      ([label, value]) => [label.charAt(0).toUpperCase() + label.slice(1), <Captured text={value} />] as const,
    ),
    fact("Server", facts.server),
  ];
}

function Outcome({ outcome }: { outcome: string | undefined }): JSX.Element | null {
  if (outcome === undefined) return null;
  const known = OUTCOMES[outcome];
  if (known === undefined) return <span class="badge">{outcome}</span>;
  return (
    <span class={`badge badge-${known.tone}`}>
      <Icon name={known.icon} size={12} />
      {known.label}
    </span>
  );
}
