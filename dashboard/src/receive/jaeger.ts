import type { AttributeValue } from "../model/attributes.ts";
import type { Resource, Scope, SpanEvent, SpanKind, SpanLink, SpanRecord, StatusCode } from "../model/span.ts";
import {
  type AttributesInMaking,
  createResource,
  doubleValue,
  integerValue,
  setAttribute,
  share,
} from "./attribute-values.ts";
import { type Json, jsonValue, listOf, objectOf, show, textOf } from "./json.ts";
import { type Reading, reject } from "./reading.ts";
import { instantOfMicros, isKeepable } from "./times.ts";

/**
 * Jaeger's JSON, as its page downloads a trace and its query service answers: `{"data":[{traceID, spans, processes}]}`.
 * Sources: jaeger `model/json/model.go`; the collector's `translator/jaeger`; OpenTelemetry specification, "OpenTracing
 * Compatibility", for logs of errors.
 */

const KINDS: Readonly<Record<string, SpanKind>> = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 };

interface Shared {
  resources: Map<string, Resource>;
  scopes: Map<string, Scope>;
}

/** Adds the spans of a list of Jaeger traces. */
export function addJaegerTraces(reading: Reading, traces: readonly unknown[]): void {
  const shared: Shared = { resources: new Map(), scopes: new Map() };
  for (const item of traces) {
    const trace = objectOf(item, "a Jaeger trace");
    const processes = new Map<string, Resource>();
    for (const [id, process] of Object.entries(objectOf(trace.processes, "processes of a Jaeger trace"))) {
      processes.set(id, toResource(objectOf(process, "a Jaeger process"), shared));
    }
    for (const span of listOf(trace.spans, "spans of a Jaeger trace")) {
      addSpan(reading, objectOf(span, "a Jaeger span"), processes, shared);
    }
  }
}

function addSpan(reading: Reading, span: Json, processes: ReadonlyMap<string, Resource>, shared: Shared): void {
  const name = textOf(span.operationName, "operationName of a Jaeger span");
  const traceId = idOf(span.traceID, 32);
  const spanId = idOf(span.spanID, 16);
  if (traceId === "")
    return reject(reading, "span", name, `its traceID is not up to 32 hex digits: ${show(span.traceID)}`);
  if (spanId === "")
    return reject(reading, "span", name, `its spanID is not up to 16 hex digits: ${show(span.spanID)}`);
  const start = instantOfMicros(Number(span.startTime ?? NaN));
  if (!isKeepable(start))
    return reject(reading, "span", name, `its startTime is not microseconds: ${show(span.startTime)}`);
  const duration = Math.round(Number(span.duration ?? 0) * 1000);

  const tags = readTags(span.tags, "tags of a Jaeger span");
  const kind = KINDS[takeText(tags, "span.kind").toLowerCase()] ?? 0;
  const status = takeStatus(tags, kind);
  const traceState = takeText(tags, "w3c.tracestate");
  const scope = takeScope(tags, shared.scopes);
  const { parentSpanId, links } = readReferences(span, traceId);
  const own = span.process === undefined ? undefined : toResource(objectOf(span.process, "a Jaeger process"), shared);
  reading.spans.push({
    traceId,
    spanId,
    parentSpanId: parentSpanId === spanId ? "" : parentSpanId,
    traceState,
    flags: typeof span.flags === "number" ? span.flags >>> 0 : 0,
    name,
    kind,
    start,
    durationNanos: duration >= 0 && Number.isSafeInteger(duration) ? duration : 0,
    status,
    attributes: toAttributes(tags),
    events: listOf(span.logs, "logs of a Jaeger span").map(toEvent),
    links,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
    resource: own ?? processes.get(String(span.processID)) ?? toResource({}, shared),
    scope,
  });
}

/** Without leading zeros as Jaeger once wrote them, or with; `""` for what is not an id. */
function idOf(sent: unknown, digits: 32 | 16): string {
  if (typeof sent !== "string" || sent.length > digits || !/^[0-9a-f]+$/i.test(sent) || /^0+$/.test(sent)) return "";
  return sent.toLowerCase().padStart(digits, "0");
}

/** The parent is the first CHILD_OF in the same trace; where there is none, what the span follows, as Jaeger's page draws it. */
function readReferences(span: Json, traceId: string): { parentSpanId: string; links: SpanLink[] } {
  let child = idOf(span.parentSpanID, 16);
  let follows = "";
  const links: SpanLink[] = [];
  for (const item of listOf(span.references, "references of a Jaeger span")) {
    const reference = objectOf(item, "a reference of a Jaeger span");
    const toTrace = idOf(reference.traceID, 32);
    const toSpan = idOf(reference.spanID, 16);
    if (toTrace === "" || toSpan === "") continue;
    const isChild = reference.refType === "CHILD_OF";
    if (isChild && toTrace === traceId && (child === "" || child === toSpan)) {
      child = toSpan;
      continue;
    }
    if (!isChild && toTrace === traceId) follows ||= toSpan;
    const attributes = { "opentracing.ref_type": isChild ? "child_of" : "follows_from" };
    links.push({ traceId: toTrace, spanId: toSpan, attributes });
  }
  return { parentSpanId: child || follows, links };
}

function toResource(process: Json, { resources }: Shared): Resource {
  const tags = readTags(process.tags, "tags of a Jaeger process");
  const service = textOf(process.serviceName, "serviceName of a Jaeger process");
  if (service !== "") tags.set("service.name", service);
  const host = tags.get("hostname");
  if (host !== undefined && !tags.has("host.name")) {
    tags.set("host.name", host);
    tags.delete("hostname");
  }
  const attributes = toAttributes(tags);
  return share(resources, JSON.stringify(attributes), () => createResource(attributes));
}

function takeScope(tags: Map<string, AttributeValue>, scopes: Map<string, Scope>): Scope {
  const oldName = takeText(tags, "otel.library.name");
  const oldVersion = takeText(tags, "otel.library.version");
  const name = takeText(tags, "otel.scope.name") || oldName;
  const version = takeText(tags, "otel.scope.version") || oldVersion;
  return share(scopes, JSON.stringify([name, version]), () => ({ name, version }));
}

/** The tag `error` is the last word, then `otel.status_code`, then HTTP's status. */
function takeStatus(tags: Map<string, AttributeValue>, kind: SpanKind): SpanRecord["status"] {
  const sent = takeText(tags, "otel.status_code").toUpperCase();
  const message = takeText(tags, "otel.status_description");
  const error = tags.get("error");
  if (error === true || error === "true") {
    tags.delete("error");
    return { code: 2, message: message || textTag(tags, "http.status_message") };
  }
  const http = Number(tags.get("http.status_code") ?? tags.get("http.response.status_code") ?? 0);
  let code: StatusCode = sent === "ERROR" ? 2 : sent === "OK" ? 1 : 0;
  if (sent === "" && (http >= 500 || (http >= 400 && kind === 3))) code = 2;
  return { code, message };
}

function toEvent(item: unknown): SpanEvent {
  const log = objectOf(item, "a log of a Jaeger span");
  const sentTime = instantOfMicros(Number(log.timestamp ?? 0));
  const time = isKeepable(sentTime) ? sentTime : { unixMicros: 0, nanos: 0 };
  const fields = readTags(log.fields, "fields of a Jaeger log");
  let name = takeText(fields, "event");
  if (name === "error") {
    name = "exception";
    rename(fields, "error.kind", "exception.type");
    rename(fields, "message", "exception.message");
    rename(fields, "stack", "exception.stacktrace");
  }
  return { name: name || textTag(fields, "message"), time, attributes: toAttributes(fields) };
}

function rename(tags: Map<string, AttributeValue>, from: string, to: string): void {
  const value = tags.get(from);
  if (value === undefined || tags.has(to)) return;
  tags.delete(from);
  tags.set(to, value);
}

/** Of several with the same key the last one stays. What Jaeger notes for itself is left out. */
function readTags(sent: unknown, name: string): Map<string, AttributeValue> {
  const tags = new Map<string, AttributeValue>();
  for (const item of listOf(sent, name)) {
    const tag = objectOf(item, name);
    const key = textOf(tag.key, `key in ${name}`);
    if (!key.startsWith("internal.")) tags.set(key, toValue(tag));
  }
  return tags;
}

/** What does not fit the type that is given stays as it is. */
function toValue({ type, value }: Json): AttributeValue {
  const kind = typeof type === "string" ? type.toLowerCase() : "";
  if (kind === "bool" && (value === "true" || value === "false")) return value === "true";
  if (kind === "int64") {
    const digits = typeof value === "number" && Number.isInteger(value) ? String(BigInt(value)) : value;
    const integer = typeof digits === "string" ? integerValue(digits) : undefined;
    if (integer !== undefined) return integer;
  }
  if (kind === "float64") {
    const double = typeof value === "string" ? Number(value) : value;
    if (typeof double === "number" && (!Number.isNaN(double) || value === "NaN")) return doubleValue(double);
  }
  if (kind === "binary" && typeof value === "string") {
    return { $bytes: Buffer.from(value, "base64").toString("base64") };
  }
  return jsonValue(value ?? null);
}

function toAttributes(tags: ReadonlyMap<string, AttributeValue>): AttributesInMaking {
  const attributes: AttributesInMaking = {};
  for (const [key, value] of tags) setAttribute(attributes, key, value);
  return attributes;
}

function textTag(tags: ReadonlyMap<string, AttributeValue>, key: string): string {
  const value = tags.get(key);
  return typeof value === "string" ? value : "";
}

function takeText(tags: Map<string, AttributeValue>, key: string): string {
  const value = tags.get(key);
  if (value === undefined) return "";
  tags.delete(key);
  return typeof value === "string" ? value : JSON.stringify(value);
}
