import type { AttributeValue } from "./attributes.ts";
import type { Instant, LogRecord, SpanKind, SpanLink, SpanRecord, StatusCode } from "./span.ts";

/** What a span is about; decides its icon, its details and what it counts as. */
export type Category = "http" | "database" | "cache" | "messaging" | "rpc" | "internal";

/** A line of the list of traces. */
export interface TraceSummary {
  traceId: string;
  /** Of the root, or of the earliest span while the root has not arrived. */
  service: string;
  /** The root's name, likewise: `POST /shorten`, `process url-events`. */
  operation: string;
  kind: SpanKind;
  /** Of the earliest span. */
  start: Instant;
  /** From the earliest start to the latest end. */
  durationNanos: number;
  /** False while no span without a parent has arrived: the request is in flight, or its root was not sent. */
  hasRoot: boolean;
  /** True when any span failed. */
  hasError: boolean;
  /** Of the root: 0 unset, 1 ok, 2 error. */
  statusCode: StatusCode;
  /** `http.response.status_code` of the root; absent where there is none. */
  httpStatusCode?: number;
  /** `user.id`, of the first span that has one. */
  userId?: string;
  /** Every service that took part, the root's first. */
  services: readonly string[];
  spanCount: number;
  /** Spans with status error. */
  errorCount: number;
  /** Spans of databases, caches excepted. */
  queryCount: number;
  cacheHits: number;
  cacheMisses: number;
  /** `Date.now()` when a span of it last arrived. */
  arrivedAt: number;
}

/** All spans of a trace, one array per field and one entry per span, in order of start. Texts stand once in
 *  `TraceDetail.strings`; where a field is said to be a text, it holds an index into it. */
export interface SpanColumns {
  /** Every id of a span or of a parent once; not a field of the spans, which hold indexes into it. Spans' ids come first, in the
   *  order of the spans. */
  ids: readonly string[];
  /** Index into `ids`. Two spans may share one. */
  spanId: readonly number[];
  /** Index into `ids`, -1 for a root. The parent may not be among the spans. */
  parentSpanId: readonly number[];
  /** A text. */
  service: readonly number[];
  /** A text. */
  name: readonly number[];
  kind: readonly SpanKind[];
  statusCode: readonly StatusCode[];
  /** Since `TraceDetail.start`, by the sender's clock. */
  startNanos: readonly number[];
  durationNanos: readonly number[];
  /** A text: a `Category`. */
  category: readonly number[];
  /** A text: the one line that tells most. SQL with its parameters' places, a URL, a cache key and hit or miss. */
  detail: readonly number[];
  /** A text: what makes siblings identical (the normalised statement, or kind and name). */
  group: readonly number[];
}

/** A link between a span of this trace and one of this or another trace. */
export interface TraceLink {
  /** Index of the span in this trace. */
  span: number;
  /** `out`: that span links to the other one. `in`: the other one links to it. */
  direction: "out" | "in";
  traceId: string;
  spanId: string;
  /** Of the other span's trace, where it has arrived. */
  operation?: string;
  service?: string;
}

export interface TraceDetail {
  summary: TraceSummary;
  /** Of the earliest span. */
  start: Instant;
  strings: readonly string[];
  spans: SpanColumns;
  links: readonly TraceLink[];
  /** Logs that name this trace; those of a span have its id. At most 1000, earliest first. */
  logs: readonly LogRecord[];
  /** Logs beyond those. */
  omittedLogs: number;
}

export interface StackFrame {
  /** As the sender wrote it: a path, or a `file:` or `node:` URL. Where a source map beside it leads to a file of this machine,
   *  that one's path, line and column. */
  file: string;
  line: number;
  column: number;
  function: string;
  /** Not of the application: below `node_modules`, or of Node itself. */
  isLibrary: boolean;
  /** Lines around it, when the file is on this machine. */
  source?: { firstLine: number; lines: readonly string[] };
  /** Opens the line in the editor of `--editor`; only where there is `source`. */
  editorUrl?: string;
}

export interface StackTrace {
  type: string;
  message: string;
  frames: readonly StackFrame[];
  /** The whole text as it was sent. */
  raw: string;
}

export interface SqlStatement {
  /** As it was sent. */
  text: string;
  /** With line breaks. Same as `text` where it cannot be parsed. */
  formatted: string;
  /** Formatted, parameters filled in: can be pasted into a client. Absent where values are redacted, cut or missing. */
  runnable?: string;
  /** Why there is no `runnable`. */
  notRunnable?: string;
  /** Bound parameters in order, with their place or name. */
  parameters: readonly { name: string; value: AttributeValue }[];
}

/** Everything about one span. */
export interface SpanDetail {
  span: SpanRecord;
  category: Category;
  logs: readonly LogRecord[];
  sql?: SqlStatement;
  /** One for each exception event, and for `exception.stacktrace` among the attributes. */
  stacks: readonly StackTrace[];
  /** Spans of other traces that link to this one. */
  linkedFrom: readonly { traceId: string; spanId: string; operation: string; service: string }[];
  /** What this span links to, with the operation where it has arrived. */
  linksTo: readonly (SpanLink & { operation?: string; service?: string })[];
}
