import type { JSX } from "preact";
import type { SpanRecord } from "../../../src/model/span.ts";
import { readRpcFacts } from "./operation-facts.ts";
import { fact, Facts, Section } from "./parts.tsx";

/** A remote procedure call: gRPC, AWS and their like. */
export function RpcSection({ span }: { span: SpanRecord }): JSX.Element {
  const facts = readRpcFacts(span);
  const call = [facts.service, facts.method].filter((part) => part !== undefined).join("/");
  return (
    <Section id="call" title="Call" icon="rpc" note={facts.system}>
      {call !== "" && (
        <p class="http-line">
          <span class="http-url">{call}</span>
        </p>
      )}
      <Facts
        items={[
          facts.status !== undefined && [
            "Status",
            <span class={span.status.code === 2 ? "span-failed" : undefined}>{facts.status}</span>,
          ],
          fact("Server", facts.server),
          fact("Request id", facts.requestId),
        ]}
      />
    </Section>
  );
}
