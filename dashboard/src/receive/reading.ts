import { type AttributeValue, valueText } from "../model/attributes.ts";
import type { Instant, LogRecord, SpanRecord } from "../model/span.ts";
import { type AttributesInMaking, setAttribute } from "./attribute-values.ts";
import type { JsonBytes } from "./json-bytes.ts";
import { isKeepable, TIME_PROBLEM } from "./times.ts";

/** What was read from a body. */
export interface Reading {
  spans: SpanRecord[];
  logs: LogRecord[];
  /** Spans and log records that were left out, because nothing could be done with them: no trace id, for example. */
  rejected: number;
  /** Why the first of them was; absent while there is none. */
  reason?: string;
  /** Present where spans have some of their attributes only. */
  attributesJson?: AttributesJson;
}

/** All attributes of each span as JSON, which nobody had to make values of: those of span `i` reach from where those before it end
 *  to `ends[i]`. Good until the next payload is read. */
export interface AttributesJson {
  json: JsonBytes;
  ends: number[];
}

export function createReading(): Reading {
  return { spans: [], logs: [], rejected: 0 };
}

/** Counts what is left out. Reasons of later ones are not kept: a sender makes the same mistake in all of them. */
export function reject(reading: Reading, what: "span" | "log record", name: string, reason: string): void {
  reading.rejected++;
  reading.reason ??= `${what} ${JSON.stringify(name.length > 60 ? `${name.slice(0, 60)}…` : name)}: ${reason}`;
}

/** A log record as OTLP has it. */
export interface SentLog extends Omit<LogRecord, "body"> {
  /** When the collector of logs saw it; stands in for a time that was not sent. */
  observed: Instant;
  /** Kept as the attribute `event.name`, which it was before the protocol had a field for it. */
  eventName: string;
  body: AttributeValue;
  attributes: AttributesInMaking;
}

/** Adds the log record, or counts it as left out when something is wrong with it. */
export function addLog(reading: Reading, wrong: string | undefined, sent: SentLog): void {
  const { observed, eventName, body, ...log } = sent;
  if (log.time.unixMicros === 0 && log.time.nanos === 0) log.time = observed;
  const text = body === null ? "" : valueText(body);
  if (!isKeepable(log.time)) wrong ??= TIME_PROBLEM;
  if (wrong !== undefined) {
    reject(reading, "log record", text, wrong);
    return;
  }
  if (eventName !== "" && !("event.name" in log.attributes)) setAttribute(log.attributes, "event.name", eventName);
  if (!(log.severityNumber >= 1 && log.severityNumber <= 24)) log.severityNumber = 0;
  reading.logs.push({ ...log, body: text });
}
