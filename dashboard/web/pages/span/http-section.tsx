import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { CopyButton } from "../../components/copy.tsx";
import { Icon } from "../../components/icon.tsx";
import { formatBytes, formatDuration, plural } from "../../format.ts";
import type { SpanRecord } from "../../../src/model/span.ts";
import { BodyView } from "./body-view.tsx";
import { toCurl } from "./curl.ts";
import { type HttpExchange, type HttpMessage, reasonPhrase } from "./http-exchange.ts";
import { type NetworkPhase, readNetworkPhases } from "./network-phases.ts";
import { Captured, fact, Facts, NameValueTable, Note, Section, Titled } from "./parts.tsx";

/** Request and response, and where the time between them went. */
export function HttpSection({ span, exchange }: { span: SpanRecord; exchange: HttpExchange }): JSX.Element {
  const curl = useMemo(() => toCurl(exchange), [exchange]);
  const phases = useMemo(() => readNetworkPhases(span), [span]);
  return (
    <>
      <Section
        id="request"
        title="Request"
        icon="http"
        tools={
          <CopyButton text={curl.command} label="Copy as a curl command">
            Copy as curl
          </CopyButton>
        }
      >
        <p class="http-line">
          <span class="http-method">{exchange.method}</span>
          <span class="http-url">
            <Captured text={exchange.isServer ? exchange.target : exchange.url} />
          </span>
        </p>
        {curl.notes.length > 0 && <Note>As curl: {curl.notes.join(" ")}</Note>}
        <Facts
          items={[
            fact("Route", exchange.route, (route) => <code>{route}</code>),
            exchange.isServer && fact("Client", exchange.clientAddress),
            exchange.isServer && !isSameHost(exchange) && fact("Peer", exchange.peer),
            !exchange.isServer && fact("Server", exchange.peer),
            fact("User agent", exchange.userAgent),
            fact("Protocol", exchange.protocol, (version) => `HTTP/${version}`),
            fact("Resends", exchange.resendCount),
          ]}
        />
        {exchange.query.length > 0 && (
          <Titled title="Query parameters">
            <NameValueTable
              label="Query parameters"
              nameTitle="Parameter"
              rows={exchange.query.map(([name, value]) => [name, <Captured text={value} />])}
            />
          </Titled>
        )}
        <Message label="Request" message={exchange.request} />
      </Section>
      {phases.length > 0 && <NetworkSection phases={phases} durationNanos={span.durationNanos} />}
      <Section id="response" title="Response" icon="arrow-left">
        <Status exchange={exchange} />
        <Message label="Response" message={exchange.response} />
      </Section>
    </>
  );
}

/** The connection came from the client itself: only a proxy in between is worth a line. */
function isSameHost({ clientAddress, peer }: HttpExchange): boolean {
  return clientAddress !== undefined && peer?.replace(/:\d+$/, "").replace(/^\[|\]$/g, "") === clientAddress;
}

function Status({ exchange: { status, isAborted, isStreaming } }: { exchange: HttpExchange }): JSX.Element {
  const tone =
    status === undefined || status >= 500 ? "error" : status >= 400 ? "warn" : status >= 200 ? "ok" : "accent";
  return (
    <p class="http-line">
      {status === undefined ? (
        <span class="badge badge-error http-status">
          <Icon name="error" size={12} />
          No response
        </span>
      ) : (
        <span class={`badge badge-${tone} http-status`}>
          {status >= 400 && <Icon name={status >= 500 ? "error" : "warning"} size={12} />}
          {status} {reasonPhrase(status)}
        </span>
      )}
      {isStreaming && <span class="badge">Streaming</span>}
      {isAborted && (
        <span class="badge badge-warn">
          <Icon name="warning" size={12} />
          Aborted before its end
        </span>
      )}
    </p>
  );
}

/** Headers and body of one direction. */
function Message({ label, message }: { label: "Request" | "Response"; message: HttpMessage }): JSX.Element {
  const { headers, body, bodySize, contentType, parts } = message;
  return (
    <>
      {headers.length > 0 && (
        <Titled title="Headers" {...(label === "Request" && { note: "as far as the sender captures them" })}>
          <NameValueTable
            label={`${label} headers`}
            nameTitle="Header"
            rows={headers.map(({ name, values }) => [
              name,
              values.map((value, index) => (
                <span key={index} class="header-value">
                  <Captured text={value} />
                </span>
              )),
            ])}
          />
        </Titled>
      )}
      {body !== undefined && body !== "" && (
        <BodyView
          label={`${label} body`}
          text={body}
          {...(contentType !== undefined && { contentType })}
          {...(bodySize !== undefined && { size: bodySize })}
        />
      )}
      {parts.length > 0 && (
        <Titled title="Parts" note={bodySize === undefined ? "multipart" : `multipart, ${formatBytes(bodySize)}`}>
          <ul class="http-parts">
            {parts.map((part, index) => (
              <li key={index}>
                <Captured text={part} />
              </li>
            ))}
          </ul>
        </Titled>
      )}
      {body === undefined && parts.length === 0 && bodySize !== undefined && bodySize > 0 && (
        <Note>
          The body of {formatBytes(bodySize)}
          {contentType !== undefined && ` (${contentType})`} was not captured.
        </Note>
      )}
    </>
  );
}

/** One bar from the start of the request to its end, and below it every phase with its share. */
function NetworkSection({
  phases,
  durationNanos,
}: {
  phases: readonly NetworkPhase[];
  durationNanos: number;
}): JSX.Element {
  const end = Math.max(durationNanos / 1e6, ...phases.map(({ startMillis, millis }) => startMillis + millis));
  const share = (millis: number): number => (end === 0 ? 0 : (100 * millis) / end);
  return (
    <Section id="network" title="Network" icon="rpc" note={plural(phases.length, "phase")}>
      <div class="phases">
        {phases.map(({ name, title, millis, startMillis }) => (
          <div key={name} class="phase" title={title}>
            <span class="phase-name">{name === "ttfb" ? "first byte" : name}</span>
            <span class="phase-track">
              <span
                class={`phase-bar phase-${name}`}
                style={{ "--from": `${share(startMillis)}%`, "--width": `${share(millis)}%` }}
              />
            </span>
            <span class="phase-time numeric">{formatDuration(millis * 1e6)}</span>
            <span class="phase-share numeric">{Math.round(share(millis))}%</span>
          </div>
        ))}
      </div>
    </Section>
  );
}
