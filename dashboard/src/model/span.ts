import type { Attributes } from "./attributes.ts";

/** Numbers as in OTLP: 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
export type SpanKind = 0 | 1 | 2 | 3 | 4 | 5;

export const SPAN_KINDS: readonly ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"] = [
  "UNSPECIFIED",
  "INTERNAL",
  "SERVER",
  "CLIENT",
  "PRODUCER",
  "CONSUMER",
];

/** Numbers as in OTLP: 0 unset, 1 ok, 2 error. */
export type StatusCode = 0 | 1 | 2;

/** A moment: whole microseconds since 1970 and the nanoseconds beyond them, 0 to 999. Together they are exact; nanoseconds
 *  since 1970 alone do not fit a number. */
export interface Instant {
  unixMicros: number;
  nanos: number;
}

/** Who sent something. One object is shared by everything of a request that has it. */
export interface Resource {
  /** `service.name`, or `unknown_service`. */
  serviceName: string;
  attributes: Attributes;
}

export interface Scope {
  name: string;
  version: string;
}

export interface SpanEvent {
  name: string;
  time: Instant;
  attributes: Attributes;
  droppedAttributesCount?: number;
}

export interface SpanLink {
  traceId: string;
  spanId: string;
  traceState?: string;
  attributes: Attributes;
  droppedAttributesCount?: number;
}

/** A span as it arrived, whatever it arrived as. Ids are lower-case hex, 32 and 16 digits; `parentSpanId` is `""` for a root. */
export interface SpanRecord {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  traceState: string;
  flags: number;
  name: string;
  kind: SpanKind;
  start: Instant;
  /** 0 when the sender's end is before its start. */
  durationNanos: number;
  status: { code: StatusCode; message: string };
  attributes: Attributes;
  events: readonly SpanEvent[];
  links: readonly SpanLink[];
  droppedAttributesCount: number;
  droppedEventsCount: number;
  droppedLinksCount: number;
  resource: Resource;
  scope: Scope;
}

/** A log record as it arrived. `traceId` and `spanId` are `""` where it belongs to none. */
export interface LogRecord {
  traceId: string;
  spanId: string;
  time: Instant;
  /** 1 to 24, 0 when not said. Source: OpenTelemetry logs data model, SeverityNumber. */
  severityNumber: number;
  severityText: string;
  /** The body as text; structured bodies as JSON. */
  body: string;
  attributes: Attributes;
  resource: Resource;
  scope: Scope;
}
