import type { JSX } from "preact";
import { CopyButton } from "../../components/copy.tsx";
import { Icon } from "../../components/icon.tsx";
import { formatBytes, formatCount, formatDuration, plural } from "../../format.ts";
import type { SpanRecord } from "../../../src/model/span.ts";
import { BodyView } from "./body-view.tsx";
import { type CacheFacts, readCacheFacts } from "./operation-facts.ts";
import { Captured, CodeBox, fact, Facts, Section, Titled } from "./parts.tsx";

/** What was asked of a cache, and whether it was there. */
export function CacheSection({ span }: { span: SpanRecord }): JSX.Element {
  const facts = readCacheFacts(span);
  const { keys, value } = facts;
  return (
    <Section id="cache" title="Cache" icon="cache" note={facts.system}>
      <div class="cache-headline">
        <span class="cache-operation">{facts.operation}</span>
        <Outcome facts={facts} />
      </div>
      {keys.length > 0 && (
        <ul class="cache-keys" aria-label={keys.length === 1 ? "Key" : "Keys"}>
          {keys.map((key, index) => (
            <li key={`${index}:${key}`}>
              <code>
                <Captured text={key} />
              </code>
              <CopyButton text={key} label="Copy the key" />
            </li>
          ))}
        </ul>
      )}
      {value !== undefined && (
        <BodyView label="Value" text={value} {...(facts.sizeBytes !== undefined && { size: facts.sizeBytes })} />
      )}
      {facts.command !== undefined && (
        <Titled title="Command">
          <CodeBox label="Command" copy={facts.command}>
            <Captured text={facts.command} />
          </CodeBox>
        </Titled>
      )}
      <Facts
        items={[
          fact("Time to live", facts.ttlSeconds, formatTtl),
          value === undefined && fact("Size", facts.sizeBytes, formatBytes),
          fact("Commands in the batch", facts.batchSize, formatCount),
          fact("Failed commands", facts.failedCommands, formatCount),
          fact("Server", facts.server),
        ]}
      />
    </Section>
  );
}

function Outcome({ facts: { isHit, hits, misses } }: { facts: CacheFacts }): JSX.Element | null {
  if (hits !== undefined && misses !== undefined && hits + misses > 1) {
    const tone = misses === 0 ? "ok" : hits === 0 ? "warn" : "accent";
    return (
      <span class={`badge badge-${tone} cache-outcome`}>
        <Icon name={misses === 0 ? "check" : hits === 0 ? "close" : "minus"} size={12} />
        {plural(hits, "hit")}, {plural(misses, "miss", "misses")}
      </span>
    );
  }
  if (isHit === undefined) return null;
  return (
    <span class={`badge badge-${isHit ? "ok" : "warn"} cache-outcome`}>
      <Icon name={isHit ? "check" : "close"} size={12} />
      {isHit ? "Hit" : "Miss"}
    </span>
  );
}

function formatTtl(seconds: number): string {
  const text = formatDuration(seconds * 1e9);
  return seconds >= 60 ? `${text} (${formatCount(seconds)} s)` : text;
}
