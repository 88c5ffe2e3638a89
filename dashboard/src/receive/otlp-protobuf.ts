import type { AttributeValue } from "../model/attributes.ts";
import type { Instant, Resource, Scope, SpanEvent, SpanKind, SpanLink, SpanRecord, StatusCode } from "../model/span.ts";
import {
  type AttributesInMaking,
  createAttributes,
  createResource,
  doubleValue,
  MAX_VALUE_DEPTH,
  nameResource,
  setAttribute,
} from "./attribute-values.ts";
import { KnownAttributes } from "./known-attributes.ts";
import { KnownResources } from "./known-resources.ts";
import { MalformedPayload } from "./malformed-payload.ts";
import { JsonBytes } from "./json-bytes.ts";
import { addLog, type AttributesJson, createReading, type Reading, reject } from "./reading.ts";
import { durationBetween, isKeepable, TIME_PROBLEM } from "./times.ts";
import { type MessageShape, Wire } from "./wire.ts";

/**
 * OTLP protobuf, read by hand: records are made in one step, without a tree of messages between. `case` labels are tags as
 * they are on the wire: `field << 3 | wire type`. A message's fields come in any order, so what is shared (resource, scope) is
 * made before it is read. Field numbers are those of `opentelemetry-proto` 1.9: `trace/v1`, `logs/v1`, `common/v1`, `resource/v1`.
 */

const REQUEST: MessageShape = { name: "Export…ServiceRequest", fields: ["", "resource_…"] };
const RESOURCE_GROUP: MessageShape = { name: "Resource…", fields: ["", "resource", "scope_…"] };
const SCOPE_GROUP: MessageShape = { name: "Scope…", fields: ["", "scope", "spans or log_records"] };
const RESOURCE: MessageShape = { name: "Resource", fields: ["", "attributes"] };
const SCOPE: MessageShape = { name: "InstrumentationScope", fields: ["", "name", "version"] };
const SPAN: MessageShape = {
  name: "Span",
  fields: [
    "",
    "trace_id",
    "span_id",
    "trace_state",
    "parent_span_id",
    "name",
    "kind",
    "start_time_unix_nano",
    "end_time_unix_nano",
    "attributes",
    "dropped_attributes_count",
    "events",
    "dropped_events_count",
    "links",
    "dropped_links_count",
    "status",
    "flags",
  ],
};
const EVENT: MessageShape = {
  name: "Span.Event",
  fields: ["", "time_unix_nano", "name", "attributes", "dropped_attributes_count"],
};
const LINK: MessageShape = {
  name: "Span.Link",
  fields: ["", "trace_id", "span_id", "trace_state", "attributes", "dropped_attributes_count"],
};
const STATUS: MessageShape = { name: "Status", fields: ["", undefined, "message", "code"] };
const LOG: MessageShape = {
  name: "LogRecord",
  fields: [
    "",
    "time_unix_nano",
    "severity_number",
    "severity_text",
    undefined,
    "body",
    "attributes",
    undefined,
    undefined,
    "trace_id",
    "span_id",
    "observed_time_unix_nano",
    "event_name",
  ],
};
const KEY_VALUE: MessageShape = { name: "KeyValue", fields: ["", "key", "value"] };
const ANY_VALUE: MessageShape = {
  name: "AnyValue",
  fields: ["", "string_value", "bool_value", "int_value", "double_value", "array_value", "kvlist_value", "bytes_value"],
};
const LIST: MessageShape = { name: "ArrayValue or KeyValueList", fields: ["", "values"] };

const NO_TIME: Instant = { unixMicros: 0, nanos: 0 };
const UNSET: SpanRecord["status"] = { code: 0, message: "" };

const COMMA = 0x2c;
const COLON = 0x3a;
const BRACE = 0x7b;
const END_BRACE = 0x7d;
const BRACKET = 0x5b;
const END_BRACKET = 0x5d;

type Signal = "traces" | "logs";

/** Kept across requests, as is what follows: there is one at a time. */
const ATTRIBUTES_JSON_BYTES = 4 * 1024 * 1024;
const attributesJson = new JsonBytes(64 * 1024);
const knownAttributes = new KnownAttributes();
const knownResources = new KnownResources();
let lastScope: Scope = { name: "", version: "" };
let wantedKeys: ReadonlySet<string> = new Set();

/** Reads an ExportTraceServiceRequest or ExportLogsServiceRequest. Spans and log records that cannot be kept are counted in
 *  `rejected`; throws a `MalformedPayload` where the message itself is broken. */
export function readOtlpProtobuf(signal: Signal, body: Uint8Array, wanted?: ReadonlySet<string>): Reading {
  const reading = createReading();
  if (wanted !== undefined && signal === "traces") {
    attributesJson.clear(ATTRIBUTES_JSON_BYTES);
    reading.attributesJson = { json: attributesJson, ends: [] };
    if (wanted !== wantedKeys) knownAttributes.clear();
    wantedKeys = wanted;
  }
  const wire = new Wire(body);
  try {
    readRequest(wire, signal, reading);
  } catch (error) {
    if (error instanceof MalformedPayload) {
      throw new MalformedPayload(`not a valid OTLP protobuf request of ${signal}: ${error.message}`, { cause: error });
    }
    // pbf's own, or a read beyond the last byte.
    const reason = `at byte ${wire.pos} of ${wire.length}: ${error instanceof RangeError ? "cut off" : String(error)}`;
    throw new MalformedPayload(`not a valid OTLP protobuf request of ${signal}: ${reason}`, { cause: error });
  }
  return reading;
}

function readRequest(wire: Wire, signal: Signal, reading: Reading): void {
  const end = wire.length;
  while (wire.pos < end) {
    const tag = wire.readVarint();
    if (tag === 0x0a) readResourceGroup(wire, wire.readEnd(end), signal, reading);
    else wire.skipField(tag, end, REQUEST);
  }
  wire.finish(end, REQUEST);
}

function readResourceGroup(wire: Wire, end: number, signal: Signal, reading: Reading): void {
  const start = wire.pos;
  let attributes: AttributesInMaking = {};
  let resource = createResource(attributes);
  let isKnown = false;
  while (wire.pos < end) {
    const isFirst = wire.pos === start;
    const tag = wire.readVarint();
    switch (tag) {
      case 0x0a: {
        const stop = wire.readEnd(end);
        const known = isFirst ? knownResources.get(wire.bytes, wire.pos, stop) : undefined;
        if (known !== undefined) {
          resource = known;
          isKnown = true;
          wire.pos = stop;
          break;
        }
        // A second one adds to the first.
        if (isKnown) resource = createResource((attributes = { ...resource.attributes }));
        const from = wire.pos;
        readResource(wire, stop, attributes);
        nameResource(resource);
        isKnown = isFirst;
        if (isFirst) knownResources.set(wire.bytes, from, stop, resource);
        break;
      }
      case 0x12:
        readScopeGroup(wire, wire.readEnd(end), signal, reading, resource);
        break;
      default:
        wire.skipField(tag, end, RESOURCE_GROUP);
    }
  }
  wire.finish(end, RESOURCE_GROUP);
}

function readResource(wire: Wire, end: number, attributes: AttributesInMaking): void {
  while (wire.pos < end) {
    const tag = wire.readVarint();
    if (tag === 0x0a) readAttribute(wire, wire.readEnd(end), attributes, 0);
    else wire.skipField(tag, end, RESOURCE);
  }
  wire.finish(end, RESOURCE);
}

function readScopeGroup(wire: Wire, end: number, signal: Signal, reading: Reading, resource: Resource): void {
  const start = wire.pos;
  let scope: Scope = { name: "", version: "" };
  while (wire.pos < end) {
    const isFirst = wire.pos === start;
    const tag = wire.readVarint();
    switch (tag) {
      case 0x0a:
        if (!isFirst && scope === lastScope) scope = { ...scope };
        readScope(wire, wire.readEnd(end), scope);
        // Senders have few; that it is the same object is what tells it to be the same further on.
        if (isFirst) {
          if (scope.name === lastScope.name && scope.version === lastScope.version) scope = lastScope;
          else lastScope = scope;
        }
        break;
      case 0x12:
        if (signal === "traces") readSpan(wire, wire.readEnd(end), reading, resource, scope);
        else readLog(wire, wire.readEnd(end), reading, resource, scope);
        break;
      default:
        wire.skipField(tag, end, SCOPE_GROUP);
    }
  }
  wire.finish(end, SCOPE_GROUP);
}

function readScope(wire: Wire, end: number, scope: Scope): void {
  while (wire.pos < end) {
    const tag = wire.readVarint();
    if (tag === 0x0a) scope.name = wire.readSharedText(end);
    else if (tag === 0x12) scope.version = wire.readSharedText(end);
    else wire.skipField(tag, end, SCOPE);
  }
  wire.finish(end, SCOPE);
}

function readSpan(wire: Wire, end: number, reading: Reading, resource: Resource, scope: Scope): void {
  let traceId = "";
  let spanId = "";
  let parentSpanId = "";
  let traceState = "";
  let flags = 0;
  let name = "";
  let kind = 0;
  let start = NO_TIME;
  let stop = NO_TIME;
  let status = UNSET;
  let droppedAttributesCount = 0;
  let droppedEventsCount = 0;
  let droppedLinksCount = 0;
  let wrong: string | undefined;
  const attributes = createAttributes();
  const json = reading.attributesJson?.json;
  const jsonStart = json?.length ?? 0;
  const events: SpanEvent[] = [];
  const links: SpanLink[] = [];

  while (wire.pos < end) {
    const tag = wire.readVarint();
    switch (tag) {
      case 0x0a:
        traceId = wire.readId(end, 16) ?? "";
        if (traceId === "") wrong ??= wire.idProblem("trace id", 16);
        break;
      case 0x12:
        spanId = wire.readId(end, 8) ?? "";
        if (spanId === "") wrong ??= wire.idProblem("span id", 8);
        break;
      case 0x1a:
        traceState = wire.readSharedText(end);
        break;
      case 0x22: {
        const id = wire.readId(end, 8);
        if (id === undefined) wrong ??= wire.idProblem("parent's span id", 8);
        else parentSpanId = id;
        break;
      }
      case 0x2a:
        name = wire.readSharedText(end);
        break;
      case 0x30:
        kind = wire.readVarint();
        break;
      case 0x39:
        start = wire.readInstant();
        break;
      case 0x41:
        stop = wire.readInstant();
        break;
      case 0x4a:
        if (json === undefined) readAttribute(wire, wire.readEnd(end), attributes, 0);
        else {
          json.byte(json.length === jsonStart ? BRACE : COMMA);
          writeAttribute(wire, wire.readEnd(end), json, attributes);
        }
        break;
      case 0x50:
        droppedAttributesCount = wire.readUint32();
        break;
      case 0x5a:
        readEvent(wire, wire.readEnd(end), events);
        break;
      case 0x60:
        droppedEventsCount = wire.readUint32();
        break;
      case 0x6a:
        // A link without ids leads nowhere; that there was one is still told.
        if (!readLink(wire, wire.readEnd(end), links)) droppedLinksCount++;
        break;
      case 0x70:
        droppedLinksCount += wire.readUint32();
        break;
      case 0x7a:
        status = readStatus(wire, wire.readEnd(end));
        break;
      case 0x85:
        flags = wire.readFixed32();
        break;
      default:
        wire.skipField(tag, end, SPAN);
    }
  }
  wire.finish(end, SPAN);

  if (traceId === "") wrong ??= "it has no trace id";
  else if (spanId === "") wrong ??= "it has no span id";
  else if (!isKeepable(start) || !isKeepable(stop)) wrong ??= TIME_PROBLEM;
  if (wrong !== undefined) {
    if (json !== undefined) json.length = jsonStart;
    reject(reading, "span", name, wrong);
    return;
  }
  wire.count();
  if (reading.attributesJson !== undefined) endAttributes(reading.attributesJson, jsonStart);
  reading.spans.push({
    traceId,
    spanId,
    parentSpanId,
    traceState,
    flags,
    name,
    kind: (kind <= 5 ? kind : 0) as SpanKind,
    start,
    durationNanos: durationBetween(start, stop),
    status,
    attributes,
    events,
    links,
    droppedAttributesCount,
    droppedEventsCount,
    droppedLinksCount,
    resource,
    scope,
  });
}

function readEvent(wire: Wire, end: number, events: SpanEvent[]): void {
  wire.count();
  const attributes: AttributesInMaking = {};
  const event: SpanEvent = { name: "", time: NO_TIME, attributes };
  while (wire.pos < end) {
    const tag = wire.readVarint();
    switch (tag) {
      case 0x09:
        event.time = wire.readInstant();
        break;
      case 0x12:
        event.name = wire.readSharedText(end);
        break;
      case 0x1a:
        readAttribute(wire, wire.readEnd(end), attributes, 0);
        break;
      case 0x20: {
        const dropped = wire.readUint32();
        if (dropped > 0) event.droppedAttributesCount = dropped;
        break;
      }
      default:
        wire.skipField(tag, end, EVENT);
    }
  }
  wire.finish(end, EVENT);
  events.push(event);
}

/** False where it has no usable ids. */
function readLink(wire: Wire, end: number, links: SpanLink[]): boolean {
  wire.count();
  const attributes: AttributesInMaking = {};
  const link: SpanLink = { traceId: "", spanId: "", attributes };
  while (wire.pos < end) {
    const tag = wire.readVarint();
    switch (tag) {
      case 0x0a:
        link.traceId = wire.readId(end, 16) ?? "";
        break;
      case 0x12:
        link.spanId = wire.readId(end, 8) ?? "";
        break;
      case 0x1a: {
        const traceState = wire.readSharedText(end);
        if (traceState !== "") link.traceState = traceState;
        break;
      }
      case 0x22:
        readAttribute(wire, wire.readEnd(end), attributes, 0);
        break;
      case 0x28: {
        const dropped = wire.readUint32();
        if (dropped > 0) link.droppedAttributesCount = dropped;
        break;
      }
      default:
        wire.skipField(tag, end, LINK);
    }
  }
  wire.finish(end, LINK);
  if (link.traceId === "" || link.spanId === "") return false;
  links.push(link);
  return true;
}

function readStatus(wire: Wire, end: number): SpanRecord["status"] {
  let code = 0;
  let message = "";
  while (wire.pos < end) {
    const tag = wire.readVarint();
    if (tag === 0x12) message = wire.readText(end);
    else if (tag === 0x18) code = wire.readVarint();
    else wire.skipField(tag, end, STATUS);
  }
  wire.finish(end, STATUS);
  return code === 0 && message === "" ? UNSET : { code: (code <= 2 ? code : 0) as StatusCode, message };
}

function readLog(wire: Wire, end: number, reading: Reading, resource: Resource, scope: Scope): void {
  wire.count();
  let traceId: string | undefined = "";
  let spanId: string | undefined = "";
  let time = NO_TIME;
  let observed = NO_TIME;
  let severityNumber = 0;
  let severityText = "";
  let body: AttributeValue = null;
  let eventName = "";
  let wrong: string | undefined;
  const attributes: AttributesInMaking = {};
  while (wire.pos < end) {
    const tag = wire.readVarint();
    switch (tag) {
      case 0x09:
        time = wire.readInstant();
        break;
      case 0x10:
        severityNumber = wire.readVarint();
        break;
      case 0x1a:
        severityText = wire.readSharedText(end);
        break;
      case 0x2a:
        body = readValue(wire, wire.readEnd(end), 0);
        break;
      case 0x32:
        readAttribute(wire, wire.readEnd(end), attributes, 0);
        break;
      case 0x4a:
        traceId = wire.readId(end, 16);
        if (traceId === undefined) wrong ??= wire.idProblem("trace id", 16);
        break;
      case 0x52:
        spanId = wire.readId(end, 8);
        if (spanId === undefined) wrong ??= wire.idProblem("span id", 8);
        break;
      case 0x59:
        observed = wire.readInstant();
        break;
      case 0x62:
        eventName = wire.readSharedText(end);
        break;
      default:
        wire.skipField(tag, end, LOG);
    }
  }
  wire.finish(end, LOG);
  addLog(reading, wrong, {
    traceId: traceId ?? "",
    spanId: spanId ?? "",
    time,
    observed,
    severityNumber,
    severityText,
    eventName,
    body,
    attributes,
    resource,
    scope,
  });
}

function readAttribute(wire: Wire, end: number, attributes: AttributesInMaking, depth: number): void {
  let key = "";
  let value: AttributeValue = null;
  while (wire.pos < end) {
    const tag = wire.readVarint();
    if (tag === 0x0a) key = wire.readKey(end);
    else if (tag === 0x12) value = readValue(wire, wire.readEnd(end), depth);
    else wire.skipField(tag, end, KEY_VALUE);
  }
  wire.finish(end, KEY_VALUE);
  setAttribute(attributes, key, value);
}

function readValue(wire: Wire, end: number, depth: number): AttributeValue {
  let value: AttributeValue = null;
  while (wire.pos < end) {
    const tag = wire.readVarint();
    switch (tag) {
      case 0x0a:
        value = wire.readSharedText(end);
        break;
      case 0x10:
        value = wire.readBoolean();
        break;
      case 0x18: {
        const integer = wire.readInteger();
        value = typeof integer === "number" ? integer : { $int: integer };
        break;
      }
      case 0x21:
        value = doubleValue(wire.readDouble());
        break;
      case 0x2a:
        value = readArray(wire, wire.readEnd(end), depth + 1);
        break;
      case 0x32:
        value = readMap(wire, wire.readEnd(end), depth + 1);
        break;
      case 0x3a:
        value = { $bytes: wire.readBase64(end) };
        break;
      default:
        wire.skipField(tag, end, ANY_VALUE);
    }
  }
  wire.finish(end, ANY_VALUE);
  return value;
}

function readArray(wire: Wire, end: number, depth: number): AttributeValue {
  enter(wire, depth);
  const values: AttributeValue[] = [];
  while (wire.pos < end) {
    const tag = wire.readVarint();
    if (tag === 0x0a) values.push(readValue(wire, wire.readEnd(end), depth));
    else wire.skipField(tag, end, LIST);
  }
  wire.finish(end, LIST);
  return values;
}

function readMap(wire: Wire, end: number, depth: number): AttributeValue {
  enter(wire, depth);
  const map: AttributesInMaking = {};
  while (wire.pos < end) {
    const tag = wire.readVarint();
    if (tag === 0x0a) readAttribute(wire, wire.readEnd(end), map, depth);
    else wire.skipField(tag, end, LIST);
  }
  wire.finish(end, LIST);
  return { $map: map };
}

function enter(wire: Wire, depth: number): void {
  if (depth > MAX_VALUE_DEPTH) {
    throw new MalformedPayload(`at byte ${wire.pos}: attribute values nest deeper than ${MAX_VALUE_DEPTH} levels`);
  }
  wire.count();
}

function endAttributes({ json, ends }: AttributesJson, start: number): void {
  if (json.length === start) json.byte(BRACE);
  json.byte(END_BRACE);
  ends.push(json.length);
}

/** What `readAttribute` makes of it, as JSON; one that is wanted is set as well. Of several with the same key the last one stays: that is
 *  how JSON is read. */
function writeAttribute(wire: Wire, end: number, json: JsonBytes, attributes: AttributesInMaking): void {
  const start = wire.pos;
  const known = knownAttributes.find(wire.dataView, start, end);
  if (known >= 0) {
    wire.pos = end;
    knownAttributes.writeTo(json, known);
    const key = knownAttributes.key(known);
    if (key !== "") setAttribute(attributes, key, knownAttributes.value(known));
    return;
  }
  const jsonStart = json.length;
  // As everybody writes it. Anything else is left to `readAttribute`.
  if (start < end && wire.readVarint() === 0x0a) {
    const keyEnd = wire.readEnd(end);
    const keyStart = wire.pos;
    wire.pos = keyEnd;
    if (keyEnd < end && wire.readVarint() === 0x12 && wire.readEnd(end) === end) {
      const valueStart = wire.pos;
      json.text(wire.bytes, keyStart, keyEnd);
      json.byte(COLON);
      writeValue(wire, end, json, 0);
      const key = wire.keyAt(keyStart, keyEnd);
      if (!wantedKeys.has(key)) {
        knownAttributes.keep(wire.dataView, start, end, json, jsonStart, "", null);
        return;
      }
      wire.pos = valueStart;
      const value = readValue(wire, end, 0);
      setAttribute(attributes, key, value);
      knownAttributes.keep(wire.dataView, start, end, json, jsonStart, key, value);
      return;
    }
  }
  wire.pos = start;
  json.length = jsonStart;
  const one: AttributesInMaking = {};
  readAttribute(wire, end, one, 0);
  const [[key, value]] = Object.entries(one) as [[string, AttributeValue]];
  json.json(`${JSON.stringify(key)}:${JSON.stringify(value)}`);
  if (wantedKeys.has(key)) setAttribute(attributes, key, value);
}

function writeValue(wire: Wire, end: number, json: JsonBytes, depth: number): void {
  const start = wire.pos;
  const jsonStart = json.length;
  if (start < end && writeUsualValue(wire, end, json, depth) && wire.pos === end) return;
  wire.pos = start;
  json.length = jsonStart;
  json.json(JSON.stringify(readValue(wire, end, depth)));
}

/** False where it is not written: what is rare, or malformed, is left to `readValue`. */
function writeUsualValue(wire: Wire, end: number, json: JsonBytes, depth: number): boolean {
  switch (wire.readVarint()) {
    case 0x0a: {
      const stop = wire.readEnd(end);
      json.text(wire.bytes, wire.pos, stop);
      wire.pos = stop;
      return true;
    }
    case 0x10:
      json.json(wire.readBoolean() ? "true" : "false");
      return true;
    case 0x18: {
      const integer = wire.readInteger();
      if (typeof integer !== "number") return false;
      json.number(integer);
      return true;
    }
    case 0x2a: {
      const stop = wire.readEnd(end);
      if (stop !== end) return false;
      writeArray(wire, stop, json, depth + 1);
      return true;
    }
    default:
      return false;
  }
}

function writeArray(wire: Wire, end: number, json: JsonBytes, depth: number): void {
  enter(wire, depth);
  json.byte(BRACKET);
  const start = json.length;
  while (wire.pos < end) {
    const tag = wire.readVarint();
    if (tag === 0x0a) {
      if (json.length > start) json.byte(COMMA);
      writeValue(wire, wire.readEnd(end), json, depth);
    } else wire.skipField(tag, end, LIST);
  }
  wire.finish(end, LIST);
  json.byte(END_BRACKET);
}
