import type { TraceSummary } from "../../../src/model/trace.ts";
import { plural } from "../../format.ts";

/** A request without its root is taken to be in flight for this long after its last span; then its root was not sent. */
export const IN_FLIGHT_MILLIS = 60_000;

export interface TraceStatus {
  tone: "ok" | "warn" | "error" | "in-flight" | "unknown";
  text: string;
  /** A sentence for those who wonder. */
  title: string;
}

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  201: "Created",
  202: "Accepted",
  204: "No Content",
  206: "Partial",
  301: "Moved",
  302: "Found",
  303: "See Other",
  304: "Not Modified",
  307: "Redirect",
  308: "Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Not Allowed",
  408: "Timeout",
  409: "Conflict",
  410: "Gone",
  412: "Precondition",
  413: "Too Large",
  415: "Media Type",
  422: "Unprocessable",
  429: "Too Many",
  499: "Client Closed",
  500: "Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Unavailable",
  504: "Gateway Timeout",
};

/** How a trace ended, from its root. */
export function traceStatus(trace: TraceSummary, nowMillis: number): TraceStatus {
  if (!trace.hasRoot) {
    if (nowMillis - trace.arrivedAt < IN_FLIGHT_MILLIS)
      return {
        tone: "in-flight",
        text: "In flight",
        title: "Its root span has not arrived yet: the request is still running",
      };
    return { tone: "unknown", text: "No root", title: "Its root span never arrived: not sent, or sent elsewhere" };
  }
  const text = statusText(trace);
  const { httpStatusCode: code } = trace;
  if (trace.statusCode === 2 || (code !== undefined && code >= 500))
    return {
      tone: "error",
      text,
      title: code === undefined ? "The request failed" : `The request failed with ${code}`,
    };
  if (code !== undefined && code >= 400) return { tone: "warn", text, title: `Answered ${code}` };
  if (trace.hasError)
    return { tone: "warn", text, title: `${text}, though ${plural(trace.errorCount, "span")} inside failed` };
  return { tone: "ok", text, title: code === undefined ? "Nothing said that it failed" : `Answered ${code}` };
}

/** Status in a few words, whatever the time is: `404 Not Found`, `OK`, `Error`, `No root`. */
export function statusText({ hasRoot, httpStatusCode: code, statusCode }: TraceSummary): string {
  if (!hasRoot) return "No root";
  if (code === undefined) return statusCode === 2 ? "Error" : "OK";
  return httpStatusText(code);
}

/** `404 Not Found`, or the bare code where it has no well-known reason. */
export function httpStatusText(code: number): string {
  const reason = REASONS[code];
  return reason === undefined ? String(code) : `${code} ${reason}`;
}

/** Method and rest of `POST /shorten`; no method where the operation does not begin with one. */
export function splitOperation(operation: string): { method?: string; rest: string } {
  const match = /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT|QUERY) (.+)$/s.exec(operation);
  if (match === null) return { rest: operation };
  const [, method = "", rest = ""] = match;
  return { method, rest };
}
