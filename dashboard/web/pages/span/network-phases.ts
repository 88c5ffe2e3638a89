import type { SpanEvent, SpanRecord } from "../../../src/model/span.ts";
import { AttributeReader } from "./attribute-reader.ts";

export interface NetworkPhase {
  name: string;
  /** What happens in it. */
  title: string;
  millis: number;
  /** From the start of the span. */
  startMillis: number;
}

/** In the order they happen. */
const PHASES = [
  ["queue", "Waiting for a connection"],
  ["dns", "Looking up the host"],
  ["connect", "Opening the connection"],
  ["tls", "Negotiating encryption"],
  ["send", "Sending the request"],
  ["ttfb", "Waiting for the first byte"],
  ["body", "Receiving the body"],
] as const;

/** Events of the Resource Timing API, which OpenTelemetry's instrumentations for browsers send: phase, from, until. */
const BROWSER_EVENTS = [
  ["dns", "domainLookupStart", "domainLookupEnd"],
  ["connect", "connectStart", "secureConnectionStart"],
  ["connect", "connectStart", "connectEnd"],
  ["tls", "secureConnectionStart", "connectEnd"],
  ["ttfb", "requestStart", "responseStart"],
  ["body", "responseStart", "responseEnd"],
] as const;

/** Where the time of a client's request went; empty where the sender did not say. */
export function readNetworkPhases(span: SpanRecord): NetworkPhase[] {
  const read = new AttributeReader(span.attributes);
  let at = 0;
  const sent = PHASES.flatMap(([name, title]) => {
    const millis = read.number(`tracekit.http.phase.${name}`);
    if (millis === undefined || millis < 0) return [];
    const phase = { name, title, millis, startMillis: at };
    at += millis;
    return [phase];
  });
  return sent.length > 0 ? sent : fromBrowser(span);
}

function fromBrowser({ start, events }: SpanRecord): NetworkPhase[] {
  const found = new Map<string, NetworkPhase>();
  for (const [name, from, until] of BROWSER_EVENTS) {
    const begin = events.find((event) => event.name === from);
    const end = events.find((event) => event.name === until);
    if (begin === undefined || end === undefined || found.has(name)) continue;
    const startMillis = millisBetween(start, begin.time);
    const millis = millisBetween(begin.time, end.time);
    // Zero on a connection that was there already; a whole epoch away where the browser keeps it secret.
    if (millis <= 0 || startMillis < 0) continue;
    found.set(name, { name, title: PHASES.find(([phase]) => phase === name)?.[1] ?? name, millis, startMillis });
  }
  return [...found.values()];
}

function millisBetween(from: SpanEvent["time"], until: SpanEvent["time"]): number {
  return (until.unixMicros - from.unixMicros) / 1000 + (until.nanos - from.nanos) / 1e6;
}
