import type { SpanRecord } from "../../../src/model/span.ts";
import { type AttributeValue, valueText } from "../../../src/model/attributes.ts";
import { AttributeReader } from "./attribute-reader.ts";

/** A header with all its values. Names are in lower case. */
export interface Header {
  name: string;
  values: readonly string[];
}

/** What was captured of one direction. */
export interface HttpMessage {
  headers: readonly Header[];
  body?: string;
  /** Bytes of the whole body. */
  bodySize?: number;
  contentType?: string;
  /** One line for each part of a multipart body. */
  parts: readonly string[];
}

/** A request and its response as a span of either side tells them, under old or new names. */
export interface HttpExchange {
  isServer: boolean;
  method: string;
  /** As whole as it is known: absolute, or a path. */
  url: string;
  /** Path with query. */
  target: string;
  route?: string;
  query: readonly (readonly [name: string, value: string])[];
  status?: number;
  protocol?: string;
  clientAddress?: string;
  peer?: string;
  userAgent?: string;
  resendCount?: number;
  isAborted: boolean;
  isStreaming: boolean;
  request: HttpMessage;
  response: HttpMessage;
}

/** Undefined when the span is about no HTTP request. */
export function readHttpExchange(span: SpanRecord): HttpExchange | undefined {
  const read = new AttributeReader(span.attributes);
  const method = read.text("http.request.method", "http.method");
  const status = read.number("http.response.status_code", "http.status_code");
  if (method === undefined && status === undefined) return undefined;
  const original = read.text("http.request.method_original");
  const url = readUrl(read);
  const target = toTarget(url);
  const route = read.text("http.route", "url.template");
  const protocol = read.text("network.protocol.version", "http.flavor");
  const peer = read.text("network.peer.address", "net.sock.peer.addr", "net.peer.ip");
  const peerPort = read.text("network.peer.port", "net.sock.peer.port");
  const split = target.indexOf("?");
  const exchange: HttpExchange = {
    isServer: span.kind === 2,
    method: method === "_OTHER" ? (original ?? "_OTHER") : (method ?? "HTTP"),
    url,
    target,
    query: split === -1 ? [] : readQuery(target.slice(split + 1)),
    isAborted: read.flag("tracekit.http.aborted") === true,
    isStreaming: read.flag("tracekit.http.streaming") === true,
    request: readMessage(read, "request"),
    response: readMessage(read, "response"),
  };
  const optional = {
    route,
    status,
    protocol,
    clientAddress: read.text("client.address", "http.client_ip"),
    peer: peer === undefined ? undefined : peerPort === undefined ? peer : joinPort(peer, peerPort),
    userAgent: read.text("user_agent.original", "http.user_agent"),
    resendCount: read.number("http.request.resend_count", "http.resend_count"),
  };
  for (const [name, value] of Object.entries(optional))
    if (value !== undefined) Object.assign(exchange, { [name]: value });
  return exchange;
}

function readUrl(read: AttributeReader): string {
  const full = read.text("url.full", "http.url");
  if (full !== undefined) return full;
  const query = read.text("url.query");
  const path = read.text("url.path");
  const target =
    path === undefined
      ? (read.text("http.target") ?? "/")
      : query === undefined
        ? path
        : `${path}?${query.replace(/^\?/, "")}`;
  const scheme = read.text("url.scheme", "http.scheme");
  const host = read.text("server.address", "net.host.name", "http.server_name", "net.peer.name");
  const port = read.text("server.port", "net.host.port", "net.peer.port");
  // Old conventions have the port in the header already.
  const authority = host === undefined ? read.text("http.host") : joinPort(host, port);
  if (scheme === undefined || authority === undefined) return target;
  const isDefault = scheme === "http" ? authority.endsWith(":80") : authority.endsWith(":443");
  return `${scheme}://${isDefault ? authority.replace(/:\d+$/, "") : authority}${target}`;
}

function joinPort(host: string, port: string | undefined): string {
  const name = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  return port === undefined || /\]?:\d+$/.test(name.replace(/^\[.*\]/, "]")) ? name : `${name}:${port}`;
}

function toTarget(url: string): string {
  const match = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*(.*)$/is.exec(url);
  const target = (match === null ? url : (match[1] ?? "")).replace(/#.*$/s, "");
  return target === "" ? "/" : target.startsWith("?") ? `/${target}` : target;
}

function readQuery(query: string): (readonly [name: string, value: string])[] {
  return [...new URLSearchParams(query)];
}

function readMessage(read: AttributeReader, direction: "request" | "response"): HttpMessage {
  const headers = read
    .under(`http.${direction}.header.`)
    .map(([name, value]) => ({ name: name.toLowerCase().replaceAll("_", "-"), values: toList(value) }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const contentType = headers.find(({ name }) => name === "content-type")?.values[0];
  const body = read.text(`http.${direction}.body.content`, `http.${direction}.body`);
  const bodySize = read.number(`http.${direction}.body.size`, `http.${direction}_content_length`);
  return {
    headers,
    parts: read.list(`tracekit.http.${direction}.body.parts`),
    ...(contentType !== undefined && { contentType }),
    ...(body !== undefined && { body }),
    ...(bodySize !== undefined && { bodySize }),
  };
}

function toList(value: AttributeValue): string[] {
  return Array.isArray(value) ? value.map((item) => valueText(item as AttributeValue)) : [valueText(value)];
}

/** Reason phrases. Source: the IANA registry of HTTP status codes. */
const REASONS: Readonly<Record<number, string>> = {
  100: "Continue",
  101: "Switching Protocols",
  103: "Early Hints",
  200: "OK",
  201: "Created",
  202: "Accepted",
  203: "Non-Authoritative Information",
  204: "No Content",
  205: "Reset Content",
  206: "Partial Content",
  207: "Multi-Status",
  208: "Already Reported",
  226: "IM Used",
  300: "Multiple Choices",
  301: "Moved Permanently",
  302: "Found",
  303: "See Other",
  304: "Not Modified",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  402: "Payment Required",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  407: "Proxy Authentication Required",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  411: "Length Required",
  412: "Precondition Failed",
  413: "Content Too Large",
  414: "URI Too Long",
  415: "Unsupported Media Type",
  416: "Range Not Satisfiable",
  417: "Expectation Failed",
  418: "I'm a teapot",
  421: "Misdirected Request",
  422: "Unprocessable Content",
  423: "Locked",
  424: "Failed Dependency",
  425: "Too Early",
  426: "Upgrade Required",
  428: "Precondition Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  451: "Unavailable For Legal Reasons",
  499: "Client Closed Request",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
  507: "Insufficient Storage",
  508: "Loop Detected",
  511: "Network Authentication Required",
};

/** `Not Found` of 404; `""` for codes nobody registered. */
export function reasonPhrase(status: number): string {
  return REASONS[status] ?? "";
}
