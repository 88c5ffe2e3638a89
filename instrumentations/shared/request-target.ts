import type { Capture } from "../../src/capture/capture.ts";
import type { OperationSpan } from "../../src/instrumentation/operation.ts";
import { URL_PATH, URL_QUERY } from "../../src/semconv/attributes.ts";

/** `url.path` and `url.query` of a request target: `/path?query`, an absolute URL (RFC 9112, 3.2.2), or `*`. */
export function recordTarget(span: OperationSpan, target: string, capture: Capture): void {
  let start = 0;
  if (target.charCodeAt(0) !== 47 /* / */) {
    const authority = target.indexOf("://");
    if (authority !== -1) start = target.indexOf("/", authority + 3);
  }
  const mark = target.indexOf("?", start === -1 ? 0 : start);
  const end = mark === -1 ? target.length : mark;
  span.attribute(URL_PATH, start === -1 ? "/" : capture.url(target.slice(start, end)));
  if (mark !== -1 && mark + 1 < target.length) span.attribute(URL_QUERY, capture.query(target.slice(mark + 1)));
}
