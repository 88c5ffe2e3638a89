import { CUT_MARK } from "./body.ts";
import type { HttpExchange } from "./http-exchange.ts";

/** A command for a POSIX shell, and what to know before running it. */
export interface CurlCommand {
  command: string;
  notes: readonly string[];
}

const REDACTED = "REDACTED";

/** Said by curl itself, or about the connection rather than the request. */
const LEFT_OUT = new Set([
  "accept-encoding",
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** They would make the request part of the trace it was taken from. */
const TRACE_CONTEXT = new Set(["traceparent", "tracestate", "baggage", "b3", "uber-trace-id"]);

/** The request as a command. Redacted values stay as the word REDACTED, with a note which they are. */
export function toCurl(exchange: HttpExchange): CurlCommand {
  const { method, url, request } = exchange;
  const notes: string[] = [];
  const redacted: string[] = [];
  const isAbsolute = /^https?:\/\//i.test(url);
  const address = isAbsolute ? url : `http://localhost${url.startsWith("/") ? "" : "/"}${url}`;
  if (!isAbsolute) notes.push("The host was not captured: localhost stands for it.");
  if (address.includes(REDACTED)) redacted.push("the URL");

  const words = ["curl"];
  // Brackets and braces in addresses mean ranges to curl.
  if (/[[\]{}]/.test(address)) words.push("--globoff");
  if (/\/\.\.?(?:[/?#]|$)/.test(address)) words.push("--path-as-is");
  const isBodyless = request.body === undefined;
  if (method === "HEAD") words.push("--head");
  else if (method !== (isBodyless ? "GET" : "POST")) words.push(`-X ${quote(method)}`);
  words.push(quote(address));

  const lines = [words.join(" ")];
  for (const { name, values } of request.headers) {
    if (LEFT_OUT.has(name)) {
      if (name === "accept-encoding") lines.push("--compressed");
      continue;
    }
    if (TRACE_CONTEXT.has(name) || name.startsWith(":")) continue;
    for (const value of values) {
      if (value.includes(REDACTED)) redacted.push(name);
      if (value.endsWith(CUT_MARK)) notes.push(`The header ${name} was too long to be captured whole.`);
      // A header without a value is written with a semicolon; a colon would remove it.
      lines.push(`-H ${quote(value === "" ? `${name};` : `${name}: ${value}`)}`);
    }
  }
  const hasHeader = (name: string): boolean => request.headers.some((header) => header.name === name);
  if (exchange.userAgent !== undefined && !hasHeader("user-agent")) lines.push(`-A ${quote(exchange.userAgent)}`);
  if (request.body !== undefined) {
    // Else curl calls it a form.
    if (!hasHeader("content-type")) lines.push("-H 'content-type;'");
    lines.push(`--data-raw ${quote(request.body)}`);
    if (request.body.includes(REDACTED)) redacted.push("the body");
    if (request.body.endsWith(CUT_MARK)) notes.push("Only the beginning of the body was captured.");
  } else if (request.parts.length > 0) {
    notes.push("Multipart bodies are not captured: add -F for each part.");
  } else if ((request.bodySize ?? 0) > 0) {
    notes.push("The body was not captured.");
  }
  if (redacted.length > 0)
    notes.unshift(`Put your own values where REDACTED stands: ${[...new Set(redacted)].join(", ")}.`);
  return { command: lines.join(" \\\n  "), notes };
}

/** One word for a POSIX shell, whatever is in it. */
export function quote(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
