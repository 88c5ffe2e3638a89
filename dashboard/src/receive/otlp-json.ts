import type { AttributeValue } from "../model/attributes.ts";
import type { Instant, Resource, Scope, SpanEvent, SpanKind, SpanLink, SpanRecord, StatusCode } from "../model/span.ts";
import {
  type AttributesInMaking,
  createAttributes,
  createResource,
  doubleValue,
  integerValue,
  MAX_VALUE_DEPTH,
  setAttribute,
} from "./attribute-values.ts";
import { countOf, type Json, listOf, objectOf, parseJson, show, textOf, wrongType } from "./json.ts";
import { MalformedPayload } from "./malformed-payload.ts";
import { addLog, createReading, type Reading, reject } from "./reading.ts";
import { durationBetween, instantOfNanos, isKeepable, TIME_PROBLEM } from "./times.ts";

/**
 * OTLP/JSON: ids in hex, 64-bit integers as strings, enumerations as numbers, names in lowerCamelCase. Like the collector, it
 * also takes integers as numbers, enumerations by name and the names of the `.proto` files.
 * Source: OTLP specification, "JSON Protobuf Encoding"; collector `pdata/ptrace/json.go`.
 */

const NO_TIME: Instant = { unixMicros: 0, nanos: 0 };
const UNSET: SpanRecord["status"] = { code: 0, message: "" };
const KINDS = "UNSPECIFIED INTERNAL SERVER CLIENT PRODUCER CONSUMER".split(" ").map((name) => `SPAN_KIND_${name}`);
const CODES = "UNSET OK ERROR".split(" ").map((name) => `STATUS_CODE_${name}`);
// TRACE, TRACE2, … FATAL4: four of each.
const SEVERITIES = ["UNSPECIFIED"]
  .concat("TRACE DEBUG INFO WARN ERROR FATAL".split(" ").flatMap((name) => [name, `${name}2`, `${name}3`, `${name}4`]))
  .map((name) => `SEVERITY_NUMBER_${name}`);

type Signal = "traces" | "logs";

/** Reads an ExportTraceServiceRequest or ExportLogsServiceRequest. Spans and log records that cannot be kept are counted in
 *  `rejected`; throws a `MalformedPayload` where the body is something else. */
export function readOtlpJson(signal: Signal, body: Uint8Array): Reading {
  const reading = createReading();
  const request = objectOf(parseJson(body, "the body"), "the body");
  if (signal === "traces") addResourceSpans(reading, request.resourceSpans ?? request.resource_spans);
  else addResourceLogs(reading, request.resourceLogs ?? request.resource_logs);
  return reading;
}

/** Adds the spans of a list of `ResourceSpans`. */
export function addResourceSpans(reading: Reading, list: unknown): void {
  for (const item of listOf(list, "resourceSpans")) {
    const group = objectOf(item, "ResourceSpans");
    const resource = toResource(group.resource);
    // The name they had until 2022 is still found in files.
    const scopes = group.scopeSpans ?? group.scope_spans ?? group.instrumentationLibrarySpans;
    for (const scopeItem of listOf(scopes, "ResourceSpans.scopeSpans")) {
      const scopeSpans = objectOf(scopeItem, "ScopeSpans");
      const scope = toScope(scopeSpans.scope ?? scopeSpans.instrumentationLibrary);
      for (const span of listOf(scopeSpans.spans, "ScopeSpans.spans")) {
        addSpan(reading, objectOf(span, "Span"), resource, scope);
      }
    }
  }
}

function addResourceLogs(reading: Reading, list: unknown): void {
  for (const item of listOf(list, "resourceLogs")) {
    const group = objectOf(item, "ResourceLogs");
    const resource = toResource(group.resource);
    for (const scopeItem of listOf(group.scopeLogs ?? group.scope_logs, "ResourceLogs.scopeLogs")) {
      const scopeLogs = objectOf(scopeItem, "ScopeLogs");
      const scope = toScope(scopeLogs.scope);
      for (const log of listOf(scopeLogs.logRecords ?? scopeLogs.log_records, "ScopeLogs.logRecords")) {
        addLogRecord(reading, objectOf(log, "LogRecord"), resource, scope);
      }
    }
  }
}

function toResource(value: unknown): Resource {
  return createResource(toAttributes(objectOf(value, "resource").attributes, "Resource.attributes"));
}

function toScope(value: unknown): Scope {
  const scope = objectOf(value, "scope");
  return {
    name: textOf(scope.name, "InstrumentationScope.name"),
    version: textOf(scope.version, "InstrumentationScope.version"),
  };
}

function addSpan(reading: Reading, span: Json, resource: Resource, scope: Scope): void {
  const sentTraceId = span.traceId ?? span.trace_id;
  const sentSpanId = span.spanId ?? span.span_id;
  const sentParentId = span.parentSpanId ?? span.parent_span_id;
  const sentStart = span.startTimeUnixNano ?? span.start_time_unix_nano;
  const sentEnd = span.endTimeUnixNano ?? span.end_time_unix_nano;
  const name = textOf(span.name, "Span.name");
  const traceId = toId(sentTraceId, 32);
  const spanId = toId(sentSpanId, 16);
  const parentSpanId = toId(sentParentId, 16);
  const start = toInstant(sentStart);
  const end = toInstant(sentEnd);

  let wrong: string | undefined;
  if (!traceId) wrong = idProblem("trace id", sentTraceId, 32);
  else if (!spanId) wrong = idProblem("span id", sentSpanId, 16);
  else if (parentSpanId === undefined) wrong = idProblem("parent's span id", sentParentId, 16);
  else if (start === undefined) wrong = timeProblem("start", sentStart);
  else if (end === undefined) wrong = timeProblem("end", sentEnd);
  else if (!isKeepable(start) || !isKeepable(end)) wrong = TIME_PROBLEM;

  const attributes = toAttributes(span.attributes, "Span.attributes");
  const events = listOf(span.events, "Span.events").map(toEvent);
  const links: SpanLink[] = [];
  let droppedLinksCount = countOf(span.droppedLinksCount ?? span.dropped_links_count, "Span.droppedLinksCount");
  for (const item of listOf(span.links, "Span.links")) {
    const link = toLink(item);
    // A link without ids leads nowhere; that there was one is still told.
    if (link === undefined) droppedLinksCount++;
    else links.push(link);
  }
  const status = toStatus(span.status);
  if (wrong !== undefined) {
    reject(reading, "span", name, wrong);
    return;
  }
  reading.spans.push({
    traceId: traceId as string,
    spanId: spanId as string,
    parentSpanId: parentSpanId as string,
    traceState: textOf(span.traceState ?? span.trace_state, "Span.traceState"),
    flags: countOf(span.flags, "Span.flags"),
    name,
    kind: toEnum(span.kind, KINDS, "Span.kind") as SpanKind,
    start: start as Instant,
    durationNanos: durationBetween(start as Instant, end as Instant),
    status,
    attributes,
    events,
    links,
    droppedAttributesCount: countOf(
      span.droppedAttributesCount ?? span.dropped_attributes_count,
      "Span.droppedAttributesCount",
    ),
    droppedEventsCount: countOf(span.droppedEventsCount ?? span.dropped_events_count, "Span.droppedEventsCount"),
    droppedLinksCount,
    resource,
    scope,
  });
}

function toEvent(value: unknown): SpanEvent {
  const sent = objectOf(value, "Span.events[]");
  const sentTime = sent.timeUnixNano ?? sent.time_unix_nano;
  const time = toInstant(sentTime);
  if (time === undefined) throw wrongType(sentTime, "Span.Event.timeUnixNano", "nanoseconds since 1970");
  const event: SpanEvent = {
    name: textOf(sent.name, "Span.Event.name"),
    time,
    attributes: toAttributes(sent.attributes, "Span.Event.attributes"),
  };
  const dropped = countOf(
    sent.droppedAttributesCount ?? sent.dropped_attributes_count,
    "Span.Event.droppedAttributesCount",
  );
  if (dropped > 0) event.droppedAttributesCount = dropped;
  return event;
}

function toLink(value: unknown): SpanLink | undefined {
  const sent = objectOf(value, "Span.links[]");
  const link: SpanLink = {
    traceId: toId(sent.traceId ?? sent.trace_id, 32) ?? "",
    spanId: toId(sent.spanId ?? sent.span_id, 16) ?? "",
    attributes: toAttributes(sent.attributes, "Span.Link.attributes"),
  };
  const traceState = textOf(sent.traceState ?? sent.trace_state, "Span.Link.traceState");
  if (traceState !== "") link.traceState = traceState;
  const dropped = countOf(
    sent.droppedAttributesCount ?? sent.dropped_attributes_count,
    "Span.Link.droppedAttributesCount",
  );
  if (dropped > 0) link.droppedAttributesCount = dropped;
  return link.traceId === "" || link.spanId === "" ? undefined : link;
}

function toStatus(value: unknown): SpanRecord["status"] {
  if (value === undefined || value === null) return UNSET;
  const status = objectOf(value, "Span.status");
  return {
    code: toEnum(status.code, CODES, "Status.code") as StatusCode,
    message: textOf(status.message, "Status.message"),
  };
}

function addLogRecord(reading: Reading, log: Json, resource: Resource, scope: Scope): void {
  const sentTraceId = log.traceId ?? log.trace_id;
  const sentSpanId = log.spanId ?? log.span_id;
  const sentTime = log.timeUnixNano ?? log.time_unix_nano;
  const sentObserved = log.observedTimeUnixNano ?? log.observed_time_unix_nano;
  const traceId = toId(sentTraceId, 32);
  const spanId = toId(sentSpanId, 16);
  const time = toInstant(sentTime);
  const observed = toInstant(sentObserved);
  let wrong: string | undefined;
  if (traceId === undefined) wrong = idProblem("trace id", sentTraceId, 32);
  else if (spanId === undefined) wrong = idProblem("span id", sentSpanId, 16);
  else if (time === undefined) wrong = timeProblem("", sentTime);
  else if (observed === undefined) wrong = timeProblem("observed", sentObserved);
  addLog(reading, wrong, {
    traceId: traceId ?? "",
    spanId: spanId ?? "",
    time: time ?? NO_TIME,
    observed: observed ?? NO_TIME,
    severityNumber: toEnum(log.severityNumber ?? log.severity_number, SEVERITIES, "LogRecord.severityNumber"),
    severityText: textOf(log.severityText ?? log.severity_text, "LogRecord.severityText"),
    eventName: textOf(log.eventName ?? log.event_name, "LogRecord.eventName"),
    body: toValue(log.body, 0),
    attributes: toAttributes(log.attributes, "LogRecord.attributes"),
    resource,
    scope,
  });
}

function toAttributes(value: unknown, name: string): AttributesInMaking {
  return addAttributes(createAttributes(), value, name, 0);
}

function addAttributes(
  attributes: AttributesInMaking,
  value: unknown,
  name: string,
  depth: number,
): AttributesInMaking {
  for (const item of listOf(value, name)) {
    const pair = objectOf(item, name);
    setAttribute(attributes, textOf(pair.key, "KeyValue.key"), toValue(pair.value, depth));
  }
  return attributes;
}

function toValue(sent: unknown, depth: number): AttributeValue {
  const value = objectOf(sent, "AnyValue");
  const text = value.stringValue ?? value.string_value;
  if (text !== undefined && text !== null) return textOf(text, "AnyValue.stringValue");
  const integer = value.intValue ?? value.int_value;
  if (integer !== undefined && integer !== null) return toInteger(integer);
  const boolean = value.boolValue ?? value.bool_value;
  if (typeof boolean === "boolean") return boolean;
  if (boolean !== undefined && boolean !== null) throw wrongType(boolean, "AnyValue.boolValue", "true or false");
  const double = value.doubleValue ?? value.double_value;
  if (double !== undefined && double !== null) return toDouble(double);
  const array = value.arrayValue ?? value.array_value;
  if (array !== undefined && array !== null) {
    const inside = deeper(depth);
    const values = objectOf(array, "AnyValue.arrayValue").values;
    return listOf(values, "ArrayValue.values").map((inner) => toValue(inner, inside));
  }
  const map = value.kvlistValue ?? value.kvlist_value;
  if (map !== undefined && map !== null) {
    const values = objectOf(map, "AnyValue.kvlistValue").values;
    return { $map: addAttributes({}, values, "KeyValueList.values", deeper(depth)) };
  }
  const bytes = value.bytesValue ?? value.bytes_value;
  if (bytes !== undefined && bytes !== null) {
    // Through Buffer, which also knows the alphabet for URLs, for one spelling of the same bytes.
    return { $bytes: Buffer.from(textOf(bytes, "AnyValue.bytesValue"), "base64").toString("base64") };
  }
  return null;
}

function deeper(depth: number): number {
  if (depth < MAX_VALUE_DEPTH) return depth + 1;
  throw new MalformedPayload(`attribute values nest deeper than ${MAX_VALUE_DEPTH} levels`);
}

function toInteger(sent: unknown): AttributeValue {
  if (Number.isSafeInteger(sent)) return (sent as number) + 0;
  // A number beyond has lost its last digits on the way here; it is at least not rounded again.
  const digits = Number.isInteger(sent) ? String(BigInt(sent as number)) : sent;
  const value = typeof digits === "string" ? integerValue(digits) : undefined;
  if (value === undefined) throw wrongType(sent, "AnyValue.intValue", "an integer of 64 bits");
  return value;
}

function toDouble(sent: unknown): AttributeValue {
  const double = typeof sent === "string" && sent.trim() !== "" ? Number(sent) : sent;
  if (typeof double !== "number" || (Number.isNaN(double) && sent !== "NaN")) {
    throw wrongType(sent, "AnyValue.doubleValue", "a number");
  }
  return doubleValue(double);
}

/** `""` where there is none, undefined where it is not an id. */
function toId(sent: unknown, digits: 32 | 16): string | undefined {
  if (sent === undefined || sent === null || sent === "") return "";
  if (typeof sent !== "string" || sent.length !== digits || !/^[0-9a-f]+$/i.test(sent)) return undefined;
  return /^0+$/.test(sent) ? "" : sent.toLowerCase();
}

function idProblem(what: string, sent: unknown, digits: number): string {
  if (sent === undefined || sent === null || (typeof sent === "string" && /^0*$/.test(sent)))
    return `it has no ${what}`;
  if (typeof sent === "string" && /^[0-9a-f]+$/i.test(sent))
    return `its ${what} has ${sent.length} hex digits instead of ${digits}`;
  return `its ${what} is not hex (as it must be in OTLP/JSON): ${show(sent)}`;
}

function toInstant(sent: unknown): Instant | undefined {
  if (typeof sent === "string") return sent === "" ? NO_TIME : instantOfNanos(sent);
  if (sent === undefined || sent === null) return NO_TIME;
  if (typeof sent !== "number" || !Number.isInteger(sent) || sent < 0) return undefined;
  const nanos = sent % 1000;
  return { unixMicros: Math.round((sent - nanos) / 1000), nanos };
}

function timeProblem(which: string, sent: unknown): string {
  return `its ${which === "" ? "" : `${which} `}time is not nanoseconds since 1970: ${show(sent)}`;
}

/** A number, its digits, or its name; numbers without a name are 0. */
function toEnum(sent: unknown, names: readonly string[], name: string): number {
  if (sent === undefined || sent === null) return 0;
  const number = typeof sent === "string" ? (/^\d+$/.test(sent) ? Number(sent) : names.indexOf(sent)) : sent;
  if (typeof number !== "number" || !Number.isInteger(number) || number === -1) {
    throw wrongType(sent, name, `a number below ${names.length} or a name like ${names[1]}`);
  }
  return number < names.length && number > 0 ? number : 0;
}
