import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { AttributeValue } from "@opentelemetry/api";
import type { Capture } from "../../src/capture/capture.ts";
import type { OperationSpan } from "../../src/instrumentation/operation.ts";
import {
  CLIENT_ADDRESS,
  NETWORK_PEER_ADDRESS,
  NETWORK_PEER_PORT,
  NETWORK_PROTOCOL_VERSION,
  SERVER_ADDRESS,
  SERVER_PORT,
  URL_SCHEME,
  USER_AGENT_ORIGINAL,
} from "../../src/semconv/attributes.ts";
import { AttributeBlock } from "../../src/trace/attributes.ts";

/** How often a connection's attributes are encoded anew before its requests are taken to come from many clients. */
const MAX_BLOCKS = 4;

/** Headers that say who sent a request, and how its body comes. The first value of each; undefined when it was not sent. */
export class RequestHeaders {
  host: string | undefined = undefined;
  userAgent: string | undefined = undefined;
  forwarded: string | undefined = undefined;
  forwardedFor: string | undefined = undefined;
  forwardedHost: string | undefined = undefined;
  forwardedProto: string | undefined = undefined;
  contentType: string | undefined = undefined;
  contentEncoding: string | undefined = undefined;
  contentLength: string | undefined = undefined;
  isChunked = false;

  /** From `rawHeaders`, by the length of each name: `headers` would be built for us where the application does not ask for it. */
  read(rawHeaders: readonly string[]): this {
    this.host = this.userAgent = this.forwarded = this.forwardedFor = this.forwardedHost = undefined;
    this.forwardedProto = this.contentType = this.contentEncoding = this.contentLength = undefined;
    this.isChunked = false;
    for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
      const name = rawHeaders[index] as string;
      const value = rawHeaders[index + 1] as string;
      switch (name.length) {
        case 4:
          if (isHeader(name, "Host", "host")) this.host ??= value;
          break;
        case 9:
          if (isHeader(name, "Forwarded", "forwarded")) this.forwarded ??= value;
          break;
        case 10:
          if (isHeader(name, "User-Agent", "user-agent")) this.userAgent ??= value;
          break;
        case 12:
          if (isHeader(name, "Content-Type", "content-type")) this.contentType ??= value;
          break;
        case 14:
          if (isHeader(name, "Content-Length", "content-length")) this.contentLength ??= value;
          break;
        case 15:
          if (isHeader(name, "X-Forwarded-For", "x-forwarded-for")) this.forwardedFor ??= value;
          break;
        case 16:
          if (isHeader(name, "Content-Encoding", "content-encoding")) this.contentEncoding ??= value;
          else if (isHeader(name, "X-Forwarded-Host", "x-forwarded-host")) this.forwardedHost ??= value;
          break;
        case 17:
          if (isHeader(name, "Transfer-Encoding", "transfer-encoding")) this.isChunked = true;
          else if (isHeader(name, "X-Forwarded-Proto", "x-forwarded-proto")) this.forwardedProto ??= value;
          break;
      }
    }
    return this;
  }
}

/** The two usual spellings are compared before one is made, and that only where the first letter fits: `connection` is as long as `user-agent`. */
function isHeader(name: string, canonical: string, lower: string): boolean {
  if ((name.charCodeAt(0) | 32) !== lower.charCodeAt(0)) return false;
  return name === canonical || name === lower || name.toLowerCase() === lower;
}

/**
 * What the requests of one connection have in common. Their attributes are encoded once, and hold while the headers they
 * came from are sent unchanged; behind a proxy every request may be somebody else's.
 */
export class ConnectionAttributes {
  private block: AttributeBlock | undefined = undefined;
  private blocksMade = 0;
  private host: string | undefined = undefined;
  private userAgent: string | undefined = undefined;
  private forwarded: string | undefined = undefined;
  private forwardedFor: string | undefined = undefined;
  private forwardedHost: string | undefined = undefined;
  private forwardedProto: string | undefined = undefined;
  private version: string | undefined = undefined;

  addTo(
    span: OperationSpan,
    socket: Socket,
    incoming: IncomingMessage,
    headers: RequestHeaders,
    capture: Capture,
  ): void {
    if (this.block !== undefined && this.isSame(incoming, headers)) {
      span.attributeBlock(this.block);
      return;
    }
    const attributes = describe(socket, incoming, headers, capture);
    if (this.blocksMade >= MAX_BLOCKS) {
      for (const key of Object.keys(attributes)) {
        const value = attributes[key];
        if (value !== undefined) span.attribute(key, value);
      }
      return;
    }
    this.blocksMade++;
    this.block = new AttributeBlock(attributes);
    this.host = headers.host;
    this.userAgent = headers.userAgent;
    this.forwarded = headers.forwarded;
    this.forwardedFor = headers.forwardedFor;
    this.forwardedHost = headers.forwardedHost;
    this.forwardedProto = headers.forwardedProto;
    this.version = incoming.httpVersion;
    span.attributeBlock(this.block);
  }

  private isSame(incoming: IncomingMessage, headers: RequestHeaders): boolean {
    return (
      this.host === headers.host &&
      this.userAgent === headers.userAgent &&
      this.forwardedFor === headers.forwardedFor &&
      this.forwarded === headers.forwarded &&
      this.forwardedHost === headers.forwardedHost &&
      this.forwardedProto === headers.forwardedProto &&
      this.version === incoming.httpVersion
    );
  }
}

function describe(
  socket: Socket,
  incoming: IncomingMessage,
  headers: RequestHeaders,
  capture: Capture,
): Record<string, AttributeValue | undefined> {
  const forwarded = parseForwarded(headers.forwarded);
  const scheme =
    parseScheme(forwarded.proto) ??
    parseScheme(firstOf(headers.forwardedProto)) ??
    ((socket as { encrypted?: boolean }).encrypted === true ? "https" : "http");
  const server =
    parseAuthority(forwarded.host) ?? parseAuthority(firstOf(headers.forwardedHost)) ?? parseAuthority(headers.host);
  const peer = withoutMappedPrefix(socket.remoteAddress);
  return {
    [URL_SCHEME]: scheme,
    [SERVER_ADDRESS]: server?.address,
    [SERVER_PORT]: server && (server.port ?? (scheme === "https" ? 443 : 80)),
    [CLIENT_ADDRESS]: parseAddress(forwarded.for) ?? parseAddress(firstOf(headers.forwardedFor)) ?? peer,
    [NETWORK_PEER_ADDRESS]: peer,
    [NETWORK_PEER_PORT]: peer === undefined ? undefined : socket.remotePort,
    [NETWORK_PROTOCOL_VERSION]: incoming.httpVersion,
    [USER_AGENT_ORIGINAL]: headers.userAgent === undefined ? undefined : capture.text(headers.userAgent),
  };
}

/** Of a list that every proxy appends to, what the first one saw. */
function firstOf(list: string | undefined): string | undefined {
  if (list === undefined) return undefined;
  const comma = list.indexOf(",");
  return (comma === -1 ? list : list.slice(0, comma)).trim();
}

/** The first element of `Forwarded` (RFC 7239). */
function parseForwarded(header: string | undefined): { for?: string; host?: string; proto?: string } {
  const parameters: Record<string, string> = {};
  for (const pair of firstOf(header)?.split(";") ?? []) {
    const equals = pair.indexOf("=");
    if (equals !== -1) {
      parameters[pair.slice(0, equals).trim().toLowerCase()] = pair
        .slice(equals + 1)
        .trim()
        .replace(/^"(.*)"$/, "$1");
    }
  }
  return parameters;
}

function parseScheme(text: string | undefined): string | undefined {
  return text !== undefined && /^[a-z][a-z0-9+.-]{0,15}$/i.test(text) ? text.toLowerCase() : undefined;
}

/** `host`, `host:port`, `[v6]:port`. */
function parseAuthority(text: string | undefined): { address: string; port: number | undefined } | undefined {
  if (text === undefined || text.length > 255) return undefined;
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:/?#@[\]"<>]+))(?::(\d{1,5}))?$/i.exec(text);
  const address = match?.[1] ?? match?.[2];
  if (address === undefined) return undefined;
  return { address, port: match?.[3] === undefined ? undefined : Number(match[3]) };
}

/** An IP address with or without port; names a proxy made up (`_hidden`, `unknown`) are none. */
function parseAddress(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const match = /^(?:\[([0-9a-f:.]{2,45})\](?::\w+)?|([\d.]{7,15})(?::\w+)?|([0-9a-f:.]{2,45}))$/i.exec(text);
  return withoutMappedPrefix(match?.[1] ?? match?.[2] ?? match?.[3]);
}

/** An IPv4 peer of a dual-stack socket, as everybody writes it. */
function withoutMappedPrefix(address: string | undefined): string | undefined {
  return address?.startsWith("::ffff:") === true && address.includes(".") ? address.slice(7) : address;
}
