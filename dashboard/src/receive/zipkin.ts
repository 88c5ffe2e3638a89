import type { AttributeValue } from "../model/attributes.ts";
import type { Resource, Scope, SpanEvent, SpanKind, SpanLink, SpanRecord } from "../model/span.ts";
import { type AttributesInMaking, createResource, setAttribute, share } from "./attribute-values.ts";
import { type Json, jsonValue, listOf, objectOf, parseJson, show, textOf } from "./json.ts";
import { createReading, type Reading, reject } from "./reading.ts";
import { instantOfMicros, isKeepable } from "./times.ts";

/**
 * Zipkin v2 JSON: a list of spans. Sources: zipkin-api `zipkin2-api.yaml`; OpenTelemetry specification, "OpenTelemetry to Zipkin
 * Transformation", read backwards; the collector's `translator/zipkin/zipkinv2`.
 *
 * A client and a server may share a span's id (`shared`, B3's joined spans). OpenTelemetry knows no such thing, and the second half
 * to arrive would replace the first: the server's half gets an id of its own and is a child of the client's.
 */

const KINDS: Readonly<Record<string, SpanKind>> = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 };
/** Exporters of OpenTelemetry write a resource's attributes among the tags of each span. */
const RESOURCE_TAG = /^(?:service|telemetry\.sdk|deployment|host|os|process|container|k8s|cloud)\./;

export function readZipkinJson(body: Uint8Array): Reading {
  const reading = createReading();
  addZipkinSpans(reading, listOf(parseJson(body, "the body"), "the body (a list of Zipkin v2 spans)"));
  return reading;
}

/** Adds the spans of a Zipkin v2 list. */
export function addZipkinSpans(reading: Reading, list: readonly unknown[]): void {
  const spans = list.map((span) => objectOf(span, "a Zipkin span"));
  // Whose children belong to the server's half: those of the same service.
  const servers = new Map<string, string>();
  for (const span of spans) {
    if (span.shared === true) servers.set(`${idOf(span.traceId, 32)} ${idOf(span.id, 16)}`, serviceOf(span));
  }
  const resources = new Map<string, Resource>();
  const scopes = new Map<string, Scope>();
  for (const span of spans) addSpan(reading, span, servers, resources, scopes);
}

function addSpan(
  reading: Reading,
  span: Json,
  servers: ReadonlyMap<string, string>,
  resources: Map<string, Resource>,
  scopes: Map<string, Scope>,
): void {
  const name = textOf(span.name, "name of a Zipkin span");
  const traceId = idOf(span.traceId, 32);
  const id = idOf(span.id, 16);
  const parentId = idOf(span.parentId, 16);
  if (!traceId) return reject(reading, "span", name, `its traceId is not 16 or 32 hex digits: ${show(span.traceId)}`);
  if (!id) return reject(reading, "span", name, `its id is not 16 hex digits: ${show(span.id)}`);
  if (parentId === undefined)
    return reject(reading, "span", name, `its parentId is not 16 hex digits: ${show(span.parentId)}`);
  const annotations = listOf(span.annotations, "annotations of a Zipkin span").map((annotation) =>
    objectOf(annotation, "an annotation of a Zipkin span"),
  );
  // A half of a shared span need not have one.
  const micros = span.timestamp ?? annotations[0]?.timestamp;
  const start = instantOfMicros(Number(micros ?? NaN));
  if (!isKeepable(start)) return reject(reading, "span", name, `its timestamp is not microseconds: ${show(micros)}`);

  const tags = new Map<string, AttributeValue>();
  for (const [key, value] of Object.entries(objectOf(span.tags, "tags of a Zipkin span"))) {
    if (value !== null) tags.set(key, jsonValue(value));
  }
  const kind = kindOf(span.kind, tags);
  const status = takeStatus(tags);
  const traceState = takeText(tags, "w3c.tracestate");
  const links = takeLinks(tags);
  const scope = takeScope(tags, scopes);
  const resource = takeResource(tags, serviceOf(span), resources);
  const attributes: AttributesInMaking = {};
  for (const [key, value] of tags) setAttribute(attributes, key, value);
  addEndpoint(attributes, span.localEndpoint, "network.local", undefined);
  const isServer = kind === 2 || kind === 5;
  addEndpoint(attributes, span.remoteEndpoint, isServer ? "client" : "server", "peer.service");

  const isSharedHalf = span.shared === true;
  const parentService = servers.get(`${traceId} ${parentId}`);
  const duration = Number(span.duration ?? 0) * 1000;
  reading.spans.push({
    traceId,
    spanId: isSharedHalf ? otherHalf(id) : id,
    parentSpanId: isSharedHalf
      ? id
      : parentId === id
        ? ""
        : parentService === resource.serviceName && parentId !== ""
          ? otherHalf(parentId)
          : parentId,
    traceState,
    flags: 0,
    name,
    kind,
    start,
    durationNanos: duration >= 0 && duration <= Number.MAX_SAFE_INTEGER ? Math.round(duration) : 0,
    status,
    attributes,
    events: annotations.map(toEvent),
    links,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
    resource,
    scope,
  });
}

/** Left-padded, as Zipkin does; `""` where there is none, undefined where it is not an id. */
function idOf(sent: unknown, digits: 32 | 16): string | undefined {
  if (sent === undefined || sent === null || sent === "") return "";
  if (typeof sent !== "string" || sent.length > digits || !/^[0-9a-f]+$/i.test(sent)) return undefined;
  return /^0+$/.test(sent) ? "" : sent.toLowerCase().padStart(digits, "0");
}

/** Every bit turned: the same each time, and as unlikely to be another span's id as any. */
function otherHalf(id: string): string {
  return Buffer.from(Buffer.from(id, "hex").map((byte) => ~byte)).toString("hex");
}

function serviceOf(span: Json): string {
  return textOf(
    objectOf(span.localEndpoint, "localEndpoint of a Zipkin span").serviceName,
    "localEndpoint.serviceName",
  );
}

/** Spans within a process have no kind in Zipkin. */
function kindOf(sent: unknown, tags: Map<string, AttributeValue>): SpanKind {
  const kind = textOf(sent, "kind of a Zipkin span") || takeText(tags, "span.kind");
  return KINDS[kind.toLowerCase()] ?? 1;
}

/** A tag `error` is a failure whatever it says, and may say why. */
function takeStatus(tags: Map<string, AttributeValue>): SpanRecord["status"] {
  const code = takeText(tags, "otel.status_code").replace("STATUS_CODE_", "").toUpperCase();
  const message = takeText(tags, "otel.status_description");
  if (code === "OK") return { code: 1, message };
  const error = tags.get("error");
  const hasFailed = error !== undefined && error !== "false" && error !== false;
  if (!hasFailed) return { code: code === "ERROR" ? 2 : 0, message };
  tags.delete("error");
  const reason = typeof error === "string" && error !== "true" ? error : "";
  return { code: 2, message: message || reason };
}

function takeScope(tags: Map<string, AttributeValue>, scopes: Map<string, Scope>): Scope {
  const oldName = takeText(tags, "otel.library.name");
  const oldVersion = takeText(tags, "otel.library.version");
  const name = takeText(tags, "otel.scope.name") || oldName;
  const version = takeText(tags, "otel.scope.version") || oldVersion;
  return share(scopes, JSON.stringify([name, version]), () => ({ name, version }));
}

function takeResource(tags: Map<string, AttributeValue>, service: string, resources: Map<string, Resource>): Resource {
  const attributes: AttributesInMaking = {};
  for (const [key, value] of tags) {
    if (!RESOURCE_TAG.test(key)) continue;
    attributes[key] = value;
    tags.delete(key);
  }
  if (service !== "") attributes["service.name"] = service;
  return share(resources, JSON.stringify(attributes), () => createResource(attributes));
}

/** The collector's exporter writes links as tags: `trace id|span id|trace state|attributes as JSON|dropped attributes`. */
function takeLinks(tags: Map<string, AttributeValue>): SpanLink[] {
  const links: SpanLink[] = [];
  for (let index = 0; tags.has(`otlp.link.${index}`); index++) {
    const [traceId = "", spanId = "", traceState = "", ...rest] = takeText(tags, `otlp.link.${index}`).split("|");
    rest.pop();
    const trace = idOf(traceId, 32);
    const span = idOf(spanId, 16);
    if (!trace || !span) continue;
    const link: SpanLink = { traceId: trace, spanId: span, attributes: parseAttributes(rest.join("|")) ?? {} };
    if (traceState !== "") link.traceState = traceState;
    links.push(link);
  }
  return links;
}

function toEvent(annotation: Json): SpanEvent {
  const time = instantOfMicros(Number(annotation.timestamp ?? 0));
  const value = textOf(annotation.value, "value of an annotation");
  return { time: isKeepable(time) ? time : { unixMicros: 0, nanos: 0 }, ...parseAnnotation(value) };
}

/** `"name": {attributes}` as the specification has it, `name|{attributes}|dropped` as the collector has it, or just a name. */
function parseAnnotation(value: string): {
  name: string;
  attributes: AttributesInMaking;
  droppedAttributesCount?: number;
} {
  const nameEnd = value.indexOf("|");
  const attributesEnd = value.lastIndexOf("|");
  if (attributesEnd > nameEnd) {
    const attributes = parseAttributes(value.slice(nameEnd + 1, attributesEnd));
    const dropped = Number(value.slice(attributesEnd + 1));
    if (attributes !== undefined && Number.isInteger(dropped)) {
      const name = value.slice(0, nameEnd);
      return dropped > 0 ? { name, attributes, droppedAttributesCount: dropped } : { name, attributes };
    }
  }
  if (value.startsWith('"') && value.endsWith("}")) {
    try {
      const [first, second] = Object.entries(JSON.parse(`{${value}}`) as Json);
      if (first !== undefined && second === undefined) {
        return { name: first[0], attributes: toAttributes(objectOf(first[1], "")) };
      }
    } catch {
      // Then it is a name that looks like it.
    }
  }
  return { name: value, attributes: {} };
}

function parseAttributes(text: string): AttributesInMaking | undefined {
  if (!text.startsWith("{")) return undefined;
  try {
    return toAttributes(JSON.parse(text) as Json);
  } catch {
    return undefined;
  }
}

function toAttributes(sent: Json): AttributesInMaking {
  const attributes: AttributesInMaking = {};
  for (const [key, value] of Object.entries(sent)) setAttribute(attributes, key, jsonValue(value));
  return attributes;
}

/** What the tags say already stays. */
function addEndpoint(
  attributes: AttributesInMaking,
  sent: unknown,
  prefix: "server" | "client" | "network.local",
  serviceKey: string | undefined,
): void {
  const endpoint = objectOf(sent, "an endpoint of a Zipkin span");
  if (serviceKey !== undefined && endpoint.serviceName) {
    attributes[serviceKey] ??= textOf(endpoint.serviceName, "serviceName of a Zipkin endpoint");
  }
  const address =
    textOf(endpoint.ipv4, "ipv4 of a Zipkin endpoint") || textOf(endpoint.ipv6, "ipv6 of a Zipkin endpoint");
  if (address !== "") attributes[`${prefix}.address`] ??= address;
  if (typeof endpoint.port === "number" && endpoint.port > 0) attributes[`${prefix}.port`] ??= endpoint.port;
}

function takeText(tags: Map<string, AttributeValue>, key: string): string {
  const value = tags.get(key);
  if (value === undefined) return "";
  tags.delete(key);
  return String(value);
}
