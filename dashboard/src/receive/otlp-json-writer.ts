import type { AttributeValue, Attributes } from "../model/attributes.ts";
import type { Resource, Scope, SpanEvent, SpanLink, SpanRecord } from "../model/span.ts";
import { nanosText } from "./times.ts";

/** A `ResourceSpans` of OTLP/JSON, for `JSON.stringify`. */
export interface ResourceSpans {
  resource: { attributes: KeyValue[] };
  scopeSpans: { scope: { name?: string; version?: string }; spans: object[] }[];
}

interface KeyValue {
  key: string;
  value: object;
}

/** A trace may have 100,000 spans, and a text of all of them is several times as large as they are. */
const MAX_SPANS_AT_ONCE = 1000;

/**
 * Spans as OTLP/JSON, by resource and scope: what belongs between the brackets of `{"resourceSpans":[…]}`. Made as it is asked
 * for, at most 1000 spans at once, so that neither objects nor text of all of them need to be in memory.
 * Source: OTLP specification, "JSON Protobuf Encoding": ids are hex, 64-bit integers are strings, enumerations are numbers.
 */
export function* toResourceSpans(spans: readonly SpanRecord[]): Generator<ResourceSpans> {
  for (let from = 0; from < spans.length; from += MAX_SPANS_AT_ONCE) {
    yield* groupSpans(spans.slice(from, from + MAX_SPANS_AT_ONCE));
  }
}

function groupSpans(spans: readonly SpanRecord[]): Iterable<ResourceSpans> {
  const groups = new Map<string, { group: ResourceSpans; scopes: Map<string, object[]> }>();
  // What came in one request shares its objects; what came in several is equal all the same.
  const textOf = memoized(JSON.stringify as (value: Resource | Scope) => string);
  for (const span of spans) {
    const resourceText = textOf(span.resource);
    let found = groups.get(resourceText);
    if (found === undefined) {
      const group = { resource: { attributes: toResourceAttributes(span.resource) }, scopeSpans: [] };
      groups.set(resourceText, (found = { group, scopes: new Map() }));
    }
    const scopeText = textOf(span.scope);
    let scopeSpans = found.scopes.get(scopeText);
    if (scopeSpans === undefined) {
      found.scopes.set(scopeText, (scopeSpans = []));
      const { name, version } = span.scope;
      const scope = { ...(name !== "" && { name }), ...(version !== "" && { version }) };
      found.group.scopeSpans.push({ scope, spans: scopeSpans });
    }
    scopeSpans.push(toSpan(span));
  }
  return Array.from(groups.values(), ({ group }) => group);
}

function memoized<Key extends object, Value>(work: (key: Key) => Value): (key: Key) => Value {
  const done = new Map<Key, Value>();
  return (key) => {
    let value = done.get(key);
    if (value === undefined) done.set(key, (value = work(key)));
    return value;
  };
}

/** Spans that came as Zipkin or Jaeger may have the name only. */
function toResourceAttributes({ serviceName, attributes }: Resource): KeyValue[] {
  const known = toKeyValues(attributes);
  if (serviceName === "unknown_service" || Object.hasOwn(attributes, "service.name")) return known;
  return [{ key: "service.name", value: { stringValue: serviceName } }, ...known];
}

/** Whatever is empty or 0 is left out, as it is in protobuf. */
function toSpan(span: SpanRecord): object {
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    parentSpanId: span.parentSpanId || undefined,
    traceState: span.traceState || undefined,
    flags: span.flags || undefined,
    name: span.name,
    kind: span.kind,
    startTimeUnixNano: nanosText(span.start),
    endTimeUnixNano: nanosText(span.start, span.durationNanos),
    attributes: toKeyValues(span.attributes),
    droppedAttributesCount: span.droppedAttributesCount || undefined,
    events: span.events.length === 0 ? undefined : span.events.map(toEvent),
    droppedEventsCount: span.droppedEventsCount || undefined,
    links: span.links.length === 0 ? undefined : span.links.map(toLink),
    droppedLinksCount: span.droppedLinksCount || undefined,
    status: { code: span.status.code || undefined, message: span.status.message || undefined },
  };
}

function toEvent({ name, time, attributes, droppedAttributesCount }: SpanEvent): object {
  return { timeUnixNano: nanosText(time), name, attributes: toKeyValues(attributes), droppedAttributesCount };
}

function toLink({ traceId, spanId, traceState, attributes, droppedAttributesCount }: SpanLink): object {
  return { traceId, spanId, traceState, attributes: toKeyValues(attributes), droppedAttributesCount };
}

function toKeyValues(attributes: Attributes): KeyValue[] {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: toAnyValue(value) }));
}

function toAnyValue(value: AttributeValue): object {
  switch (typeof value) {
    case "string":
      return { stringValue: value };
    case "boolean":
      return { boolValue: value };
    case "number":
      return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
    default:
      if (value === null) return {};
      if (isArray(value)) return { arrayValue: { values: value.map(toAnyValue) } };
      if ("$int" in value) return { intValue: value.$int };
      if ("$double" in value) return { doubleValue: value.$double };
      if ("$bytes" in value) return { bytesValue: value.$bytes };
      return { kvlistValue: { values: toKeyValues(value.$map) } };
  }
}

/** `Array.isArray` does not know readonly arrays. */
function isArray(value: object): value is readonly AttributeValue[] {
  return Array.isArray(value);
}
