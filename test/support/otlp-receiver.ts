import { createServer as createHttpServer, type IncomingHttpHeaders } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import protobuf from "protobufjs";

/** A span as it arrived. Ids are lower-case hex; `parentSpanId` is `""` for a root. Attribute integers are numbers,
 *  or bigints beyond 2^53; an absent AnyValue is `null`. */
export interface ReceivedSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  traceState: string;
  flags: number;
  name: string;
  kind: "UNSPECIFIED" | "INTERNAL" | "SERVER" | "CLIENT" | "PRODUCER" | "CONSUMER";
  startTimeUnixNano: bigint;
  endTimeUnixNano: bigint;
  attributes: Record<string, unknown>;
  droppedAttributesCount: number;
  events: {
    name: string;
    timeUnixNano: bigint;
    attributes: Record<string, unknown>;
    droppedAttributesCount: number;
  }[];
  droppedEventsCount: number;
  links: {
    traceId: string;
    spanId: string;
    traceState: string;
    flags: number;
    attributes: Record<string, unknown>;
    droppedAttributesCount: number;
  }[];
  droppedLinksCount: number;
  status: { code: "UNSET" | "OK" | "ERROR"; message: string };
  resource: Record<string, unknown>;
  scope: { name: string; version: string };
}

/** One HTTP request as it arrived. */
export interface ReceivedRequest {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  /** The body as sent, possibly gzipped. */
  rawBody: Buffer;
  /** The body after decompression; equal to `rawBody` when it was not compressed. */
  body: Buffer;
  /** `Date.now()` when the last byte had arrived. */
  receivedAt: number;
  /** What the body holds, even when `respond` then refused it. */
  spans: ReceivedSpan[];
  /** Why the receiver answered 4xx of its own accord. */
  problem?: string;
}

/** How to answer one request. Whatever is left out is what a healthy collector does. */
export interface Misbehaviour {
  /** Default 200. Anything outside 2xx keeps the spans out of `receiver.spans`, as a backend that refused them would. */
  status?: number;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  /** Wait this long before answering. The spans count as received at once. */
  delayMillis?: number;
  /** Never answer; the connection stays open until `close()`. The spans are not counted. */
  hang?: boolean;
  /** Reset the connection instead of answering. The spans are not counted. */
  destroy?: boolean;
  partialSuccess?: { rejectedSpans: number; errorMessage: string };
}

export interface OtlpReceiver {
  /** Base URL without a trailing slash, for OTEL_EXPORTER_OTLP_ENDPOINT. */
  url: string;
  port: number;
  /** Accepted spans in order of arrival. */
  spans: ReceivedSpan[];
  /** Every request, refused ones too. */
  requests: ReceivedRequest[];
  /** Asked once per well-formed request; `index` counts them from 0 since start or `reset()`. */
  respond: ((request: ReceivedRequest, index: number) => Misbehaviour | undefined) | undefined;
  /** Resolves with `spans` once there are `wanted` of them, or once `wanted(spans)` is true.
   *  Rejects after `timeoutMillis` (default 20 000) with a list of what did arrive. */
  waitForSpans(wanted: number | ((spans: ReceivedSpan[]) => boolean), timeoutMillis?: number): Promise<ReceivedSpan[]>;
  /** The same, for requests, refused ones included. */
  waitForRequests(
    wanted: number | ((requests: ReceivedRequest[]) => boolean),
    timeoutMillis?: number,
  ): Promise<ReceivedRequest[]>;
  /** Forgets spans and requests and sets `respond` back to healthy. */
  reset(): void;
  close(): Promise<void>;
}

export interface OtlpReceiverOptions {
  /** Serve https. `requestCert` also refuses clients without a certificate signed by `ca`. */
  tls?: { key: string; cert: string; ca?: string; requestCert?: boolean };
  /** The one path that is served; others answer 404. Default "/v1/traces". */
  path?: string;
  /** Default 0: a random free port. */
  port?: number;
}

/**
 * An OTLP/HTTP trace receiver on 127.0.0.1 that shares no code with the exporters it judges: protobufjs on the official
 * .proto files. It is stricter than the usual backend, so that every test also checks the encoder: unknown fields,
 * invalid UTF-8, malformed ids, a repeated attribute key or an end before the start are answered with 400.
 */
export async function startOtlpReceiver(options: OtlpReceiverOptions = {}): Promise<OtlpReceiver> {
  const servedPath = options.path ?? "/v1/traces";
  const waiters = new Set<() => void>();
  let answered = 0;

  const server = options.tls
    ? createHttpsServer({ ...options.tls, rejectUnauthorized: options.tls.requestCert === true }, onRequest)
    : createHttpServer(onRequest);

  function onRequest(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("error", () => {});
    response.on("error", () => {});
    request.on("end", () => answer(request, response, Buffer.concat(chunks)));
  }

  function answer(request: IncomingMessage, response: ServerResponse, rawBody: Buffer): void {
    const received: ReceivedRequest = {
      method: request.method ?? "",
      path: request.url ?? "",
      headers: request.headers,
      rawBody,
      body: rawBody,
      receivedAt: Date.now(),
      spans: [],
    };
    receiver.requests.push(received);
    const refusal = read(received, servedPath);
    if (refusal !== undefined) {
      received.problem = refusal.problem;
      send(response, refusal.status, { "content-type": "text/plain" }, refusal.problem);
      notify();
      return;
    }

    const misbehaviour = receiver.respond?.(received, answered++) ?? {};
    const status = misbehaviour.status ?? 200;
    const counts = !misbehaviour.hang && !misbehaviour.destroy && status >= 200 && status < 300;
    if (counts) receiver.spans.push(...received.spans);
    notify();
    if (misbehaviour.hang) return;
    const finish = (): void => {
      if (misbehaviour.destroy) return void request.socket.resetAndDestroy();
      const contentType = received.headers["content-type"] ?? "";
      send(
        response,
        status,
        { "content-type": contentType, ...misbehaviour.headers },
        misbehaviour.body ?? (counts ? successBody(contentType, misbehaviour.partialSuccess) : ""),
      );
    };
    if (misbehaviour.delayMillis) setTimeout(finish, misbehaviour.delayMillis).unref();
    else finish();
  }

  function notify(): void {
    for (const check of waiters) check();
  }

  function waitFor<T>(
    items: () => T[],
    wanted: number | ((items: T[]) => boolean),
    timeoutMillis: number,
    what: string,
  ): Promise<T[]> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiters.delete(check);
        const goal = typeof wanted === "number" ? `${wanted} ${what}` : `the wanted ${what}`;
        reject(new Error(`waited ${timeoutMillis} ms for ${goal}.\n${describe(receiver)}`));
      }, timeoutMillis);
      const check = (): void => {
        try {
          if (!(typeof wanted === "number" ? items().length >= wanted : wanted(items()))) return;
          resolve(items());
        } catch (error) {
          reject(error);
        }
        clearTimeout(timer);
        waiters.delete(check);
      };
      waiters.add(check);
      check();
    });
  }

  const receiver: OtlpReceiver = {
    url: "",
    port: 0,
    spans: [],
    requests: [],
    respond: undefined,
    waitForSpans: (wanted, timeoutMillis = 20_000) => waitFor(() => receiver.spans, wanted, timeoutMillis, "spans"),
    waitForRequests: (wanted, timeoutMillis = 20_000) =>
      waitFor(() => receiver.requests, wanted, timeoutMillis, "requests"),
    reset() {
      receiver.spans = [];
      receiver.requests = [];
      receiver.respond = undefined;
      answered = 0;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };

  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, "127.0.0.1", resolve);
  });
  receiver.port = (server.address() as AddressInfo).port;
  receiver.url = `${options.tls ? "https" : "http"}://127.0.0.1:${receiver.port}`;
  return receiver;
}

/** Fills in `body` and `spans`, or says how to refuse the request. */
function read(request: ReceivedRequest, servedPath: string): { status: number; problem: string } | undefined {
  if (request.path !== servedPath) return { status: 404, problem: `nothing is served at ${request.path}` };
  if (request.method !== "POST") return { status: 405, problem: `${request.method} is not POST` };
  const encoding = request.headers["content-encoding"] ?? "identity";
  const contentType = (request.headers["content-type"] ?? "").split(";")[0]?.trim();
  try {
    if (encoding === "gzip") request.body = gunzipSync(request.rawBody);
    else if (encoding !== "identity") return { status: 415, problem: `content-encoding ${encoding}` };
    if (contentType === "application/x-protobuf") request.spans = decodeTraces(request.body);
    else if (contentType === "application/json") request.spans = decodeTracesJson(request.body.toString("utf8"));
    else return { status: 415, problem: `content-type ${contentType}` };
  } catch (error) {
    return { status: 400, problem: error instanceof Error ? error.message : String(error) };
  }
  return undefined;
}

function send(
  response: ServerResponse,
  status: number,
  headers: Record<string, string>,
  body: string | Uint8Array,
): void {
  if (response.destroyed) return;
  response.writeHead(status, headers);
  response.end(body);
}

function successBody(contentType: string, partialSuccess: Misbehaviour["partialSuccess"]): string | Uint8Array {
  if (contentType.startsWith("application/json")) {
    if (partialSuccess === undefined) return "{}";
    return JSON.stringify({
      partialSuccess: { ...partialSuccess, rejectedSpans: String(partialSuccess.rejectedSpans) },
    });
  }
  const type = schema().lookupType("opentelemetry.proto.collector.trace.v1.ExportTraceServiceResponse");
  return type.encode(type.fromObject(partialSuccess ? { partialSuccess } : {})).finish();
}

let loadedSchema: protobuf.Root | undefined;

function schema(): protobuf.Root {
  if (loadedSchema === undefined) {
    const require = createRequire(import.meta.url);
    const folder = dirname(require.resolve("@elastic/mockotlpserver/package.json"));
    const root = new protobuf.Root();
    root.resolvePath = (_origin, target) => join(folder, target);
    loadedSchema = root.loadSync("opentelemetry/proto/collector/trace/v1/trace_service.proto");
  }
  return loadedSchema;
}

function requestType(): protobuf.Type {
  return schema().lookupType("opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest");
}

/** Decodes an ExportTraceServiceRequest in protobuf. Throws when it breaks the OTLP specification. */
export function decodeTraces(bytes: Uint8Array): ReceivedSpan[] {
  const reader = protobuf.Reader.create(bytes);
  reader.discardUnknown = false;
  const message = requestType().decode(reader);
  refuseUnknownFields(message, "ExportTraceServiceRequest");
  return toSpans(message);
}

/** Decodes an ExportTraceServiceRequest in OTLP/JSON (hex ids, integer enums). Throws like `decodeTraces`. */
export function decodeTracesJson(json: string): ReceivedSpan[] {
  const parsed: object = JSON.parse(json, function (this: object, key: string, value: unknown) {
    // OTLP/JSON departs from protobuf's own JSON mapping in two places: hex instead of base64, and no enum names.
    if (key === "traceId" || key === "spanId" || key === "parentSpanId") return fromHex(key, value);
    if ((key === "kind" || key === "code") && typeof value === "string")
      throw new Error(`${key} "${value}" is not a number`);
    return value;
  });
  return toSpans(requestType().fromObject(parsed));
}

function fromHex(key: string, value: unknown): Buffer {
  if (typeof value !== "string" || !/^([0-9a-f]{2})*$/i.test(value))
    throw new Error(`${key} is not hex: ${String(value)}`);
  return Buffer.from(value, "hex");
}

/** A field number of our own invention would be skipped in silence by every other decoder. */
function refuseUnknownFields(value: unknown, where: string): void {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
  if ("$unknowns" in value && Array.isArray(value.$unknowns) && value.$unknowns.length > 0) {
    throw new Error(`${where} holds a field that is not in the .proto files`);
  }
  for (const [key, child] of Object.entries(value)) refuseUnknownFields(child, `${where}.${key}`);
}

// What protobufjs' toObject gives for these messages with the options below.
interface WireValue {
  value?: "stringValue" | "boolValue" | "intValue" | "doubleValue" | "arrayValue" | "kvlistValue" | "bytesValue";
  stringValue?: string;
  boolValue?: boolean;
  intValue?: string;
  doubleValue?: number;
  arrayValue?: { values: WireValue[] };
  kvlistValue?: { values: WireKeyValue[] };
  bytesValue?: Buffer;
}
interface WireKeyValue {
  key: string;
  value: WireValue | null;
}
interface WireSpan {
  traceId: Buffer;
  spanId: Buffer;
  parentSpanId: Buffer;
  traceState: string;
  flags: number;
  name: string;
  kind: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: WireKeyValue[];
  droppedAttributesCount: number;
  events: {
    name: string;
    timeUnixNano: string;
    attributes: WireKeyValue[];
    droppedAttributesCount: number;
  }[];
  droppedEventsCount: number;
  links: {
    traceId: Buffer;
    spanId: Buffer;
    traceState: string;
    flags: number;
    attributes: WireKeyValue[];
    droppedAttributesCount: number;
  }[];
  droppedLinksCount: number;
  status: { code: string; message: string } | null;
}
interface WireRequest {
  resourceSpans: {
    resource: { attributes: WireKeyValue[] } | null;
    scopeSpans: { scope: { name: string; version: string } | null; spans: WireSpan[] }[];
  }[];
}

function toSpans(message: protobuf.Message): ReceivedSpan[] {
  const request = requestType().toObject(message, {
    longs: String,
    enums: String,
    defaults: true,
    arrays: true,
    oneofs: true,
  }) as WireRequest;
  const spans: ReceivedSpan[] = [];
  for (const { resource, scopeSpans } of request.resourceSpans) {
    const resourceAttributes = toAttributes(resource?.attributes ?? [], "resource");
    for (const { scope, spans: wireSpans } of scopeSpans) {
      for (const span of wireSpans) {
        spans.push(
          toSpan(span, resourceAttributes, {
            name: scope?.name ?? "",
            version: scope?.version ?? "",
          }),
        );
      }
    }
  }
  return spans;
}

function toSpan(span: WireSpan, resource: ReceivedSpan["resource"], scope: ReceivedSpan["scope"]): ReceivedSpan {
  const where = `span "${span.name}"`;
  const startTimeUnixNano = BigInt(span.startTimeUnixNano);
  const endTimeUnixNano = BigInt(span.endTimeUnixNano);
  if (startTimeUnixNano === 0n || endTimeUnixNano < startTimeUnixNano) {
    throw new Error(`${where} lasts from ${startTimeUnixNano} to ${endTimeUnixNano}`);
  }
  return {
    traceId: toId(span.traceId, 16, `${where} traceId`),
    spanId: toId(span.spanId, 8, `${where} spanId`),
    parentSpanId: span.parentSpanId.length === 0 ? "" : toId(span.parentSpanId, 8, `${where} parentSpanId`),
    traceState: span.traceState,
    flags: span.flags,
    name: span.name,
    kind: span.kind.replace("SPAN_KIND_", "") as ReceivedSpan["kind"],
    startTimeUnixNano,
    endTimeUnixNano,
    attributes: toAttributes(span.attributes, where),
    droppedAttributesCount: span.droppedAttributesCount,
    events: span.events.map((event) => ({
      name: event.name,
      timeUnixNano: BigInt(event.timeUnixNano),
      attributes: toAttributes(event.attributes, `${where} event "${event.name}"`),
      droppedAttributesCount: event.droppedAttributesCount,
    })),
    droppedEventsCount: span.droppedEventsCount,
    links: span.links.map((link) => ({
      traceId: toId(link.traceId, 16, `${where} link traceId`),
      spanId: toId(link.spanId, 8, `${where} link spanId`),
      traceState: link.traceState,
      flags: link.flags,
      attributes: toAttributes(link.attributes, `${where} link`),
      droppedAttributesCount: link.droppedAttributesCount,
    })),
    droppedLinksCount: span.droppedLinksCount,
    status: {
      code: (span.status?.code ?? "UNSET").replace("STATUS_CODE_", "") as ReceivedSpan["status"]["code"],
      message: span.status?.message ?? "",
    },
    resource,
    scope,
  };
}

function toId(bytes: Buffer, length: number, where: string): string {
  const hex = Buffer.from(bytes).toString("hex");
  if (bytes.length !== length || /^0*$/.test(hex)) throw new Error(`${where} is "${hex}"`);
  return hex;
}

function toAttributes(pairs: WireKeyValue[], where: string): Record<string, unknown> {
  const attributes: Record<string, unknown> = {};
  for (const { key, value } of pairs) {
    if (key === "" || Object.hasOwn(attributes, key))
      throw new Error(`${where} has the attribute "${key}" ${key === "" ? "without a name" : "twice"}`);
    attributes[key] = toValue(value);
  }
  return attributes;
}

function toValue(any: WireValue | null): unknown {
  if (any?.value === undefined) return null;
  switch (any.value) {
    case "intValue": {
      const asNumber = Number(any.intValue);
      return Number.isSafeInteger(asNumber) ? asNumber : BigInt(any.intValue ?? 0);
    }
    case "arrayValue":
      return any.arrayValue?.values.map(toValue) ?? [];
    case "kvlistValue":
      return toAttributes(any.kvlistValue?.values ?? [], "a key-value list");
    case "bytesValue":
      return Uint8Array.from(any.bytesValue ?? []);
    default:
      return any[any.value];
  }
}

function describe(receiver: OtlpReceiver): string {
  const spans = receiver.spans.map(
    (span) =>
      `  ${span.kind} "${span.name}" ${span.traceId}/${span.spanId} parent ${span.parentSpanId || "none"} ${JSON.stringify(
        span.attributes,
        (_key, value: unknown) => (typeof value === "bigint" ? `${value}n` : value),
      ).slice(0, 300)}`,
  );
  const requests = receiver.requests.map(
    (request) =>
      `  ${request.method} ${request.path} ${request.rawBody.length} bytes, ${request.spans.length} spans` +
      (request.problem ? `, refused: ${request.problem}` : ""),
  );
  return [`Accepted ${spans.length} spans:`, ...spans, `In ${requests.length} requests:`, ...requests].join("\n");
}
