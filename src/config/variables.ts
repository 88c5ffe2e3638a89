import type { Parsed } from "./parse.ts";

/** One environment variable: how it is read and how people are told about it. */
export interface Variable {
  readonly group: string;
  readonly name: string;
  /** Which parser in parse.ts reads it. */
  readonly type: keyof Parsed | "enum" | "enums";
  /** For `enum` and `enums`: what may be written. "none" in a list empties it. */
  readonly values?: readonly string[];
  /** For numbers: the smallest value accepted; 0 when absent. */
  readonly min?: number;
  /** What holds when it is unset, written as a user would write it and read by the same parser. "": no value. */
  readonly default: string;
  /** Shown in place of `default` where that would say too little. */
  readonly shownDefault?: string;
  /** Never repeated in a message. */
  readonly secret?: true;
  readonly description: string;
}

/** Every variable we read. The only list: the configuration is parsed by it and the README's table is generated from
 *  it. Sources: OpenTelemetry "Environment Variable Specification" and "OTLP Exporter Configuration", v1.60.
 *  Left out on purpose: OTEL_ENTITIES (in development), OTEL_SEMCONV_STABILITY_OPT_IN (only stable names are written)
 *  and OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN (there is no log signal to move exceptions to). */
export const VARIABLES = [
  {
    group: "General",
    name: "OTEL_SDK_DISABLED",
    type: "boolean",
    default: "false",
    description: "`true` switches everything off: nothing is imported, nothing is patched.",
  },
  {
    group: "General",
    name: "OTEL_SERVICE_NAME",
    type: "string",
    default: "",
    shownDefault:
      "`service.name` of `OTEL_RESOURCE_ATTRIBUTES`, then the name in the nearest package.json, then `unknown_service:node`",
    description: "Name of this service.",
  },
  {
    group: "General",
    name: "OTEL_RESOURCE_ATTRIBUTES",
    type: "attributes",
    default: "",
    description:
      "Attributes of this process, percent-encoded: `deployment.environment.name=production,team=a%2Cb`. They win over what is detected. One entry that cannot be decoded discards the whole value.",
  },
  {
    group: "General",
    name: "OTEL_NODE_RESOURCE_DETECTORS",
    type: "enums",
    values: ["env", "host", "os", "process", "serviceinstance", "container", "all", "none"],
    default: "all",
    description: "Groups of resource attributes to detect; `env` stands for `OTEL_RESOURCE_ATTRIBUTES`.",
  },
  {
    group: "General",
    name: "OTEL_LOG_LEVEL",
    type: "enum",
    values: ["none", "error", "warn", "info", "debug", "verbose", "all"],
    default: "info",
    description: "What Tracekit says about itself on stderr.",
  },
  {
    group: "General",
    name: "OTEL_PROPAGATORS",
    type: "enums",
    values: ["tracecontext", "baggage", "b3", "b3multi", "jaeger", "xray", "none"],
    default: "tracecontext,baggage",
    description: "Headers in which the trace context travels.",
  },
  {
    group: "General",
    name: "OTEL_CONFIG_FILE",
    type: "unsupported",
    default: "",
    description:
      "Configuration files are not supported: when it is set a message says so, and the variables here count.",
  },

  {
    group: "Sampling and limits",
    name: "OTEL_TRACES_SAMPLER",
    type: "enum",
    values: [
      "always_on",
      "always_off",
      "traceidratio",
      "parentbased_always_on",
      "parentbased_always_off",
      "parentbased_traceidratio",
    ],
    default: "parentbased_always_on",
    description: "Which traces are recorded.",
  },
  {
    group: "Sampling and limits",
    name: "OTEL_TRACES_SAMPLER_ARG",
    type: "ratio",
    default: "1.0",
    description: "Share of traces, 0 to 1, for `traceidratio` and `parentbased_traceidratio`.",
  },
  {
    group: "Sampling and limits",
    name: "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    type: "integer",
    default: "",
    shownDefault: "no limit",
    description: "Characters of an attribute's value.",
  },
  {
    group: "Sampling and limits",
    name: "OTEL_ATTRIBUTE_COUNT_LIMIT",
    type: "integer",
    default: "128",
    description: "Attributes of a span.",
  },
  {
    group: "Sampling and limits",
    name: "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    type: "integer",
    default: "",
    shownDefault: "`OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT`",
    description: "Wins over the general limit.",
  },
  {
    group: "Sampling and limits",
    name: "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    type: "integer",
    default: "",
    shownDefault: "`OTEL_ATTRIBUTE_COUNT_LIMIT`",
    description: "Wins over the general limit.",
  },
  {
    group: "Sampling and limits",
    name: "OTEL_SPAN_EVENT_COUNT_LIMIT",
    type: "integer",
    default: "128",
    description: "Events of a span.",
  },
  {
    group: "Sampling and limits",
    name: "OTEL_SPAN_LINK_COUNT_LIMIT",
    type: "integer",
    default: "128",
    description: "Links of a span.",
  },
  {
    group: "Sampling and limits",
    name: "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    type: "integer",
    default: "128",
    description: "Attributes of an event.",
  },
  {
    group: "Sampling and limits",
    name: "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
    type: "integer",
    default: "128",
    description: "Attributes of a link.",
  },

  {
    group: "Export",
    name: "OTEL_TRACES_EXPORTER",
    type: "enums",
    values: ["otlp", "console", "none"],
    default: "otlp",
    description: "Where spans go.",
  },
  {
    group: "Export",
    name: "OTEL_EXPORTER_OTLP_ENDPOINT",
    type: "url",
    default: "",
    shownDefault: "`http://localhost:4318`, for gRPC `http://localhost:4317`",
    description: "Base URL of the backend; `v1/traces` is appended to its path.",
  },
  {
    group: "Export",
    name: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    type: "url",
    default: "",
    description: "URL that receives the spans, used exactly as written. Wins over the base URL.",
  },
  {
    group: "Export",
    name: "OTEL_EXPORTER_OTLP_PROTOCOL",
    type: "enum",
    values: ["http/protobuf", "http/json", "grpc"],
    default: "http/protobuf",
    description: "Encoding and transport.",
  },
  {
    group: "Export",
    name: "OTEL_EXPORTER_OTLP_HEADERS",
    type: "headers",
    default: "",
    secret: true,
    description: "Headers of every request, percent-encoded: `authorization=Bearer%20abc,x-tenant=1`.",
  },
  {
    group: "Export",
    name: "OTEL_EXPORTER_OTLP_COMPRESSION",
    type: "enum",
    values: ["none", "gzip"],
    default: "none",
    description: "Compression of requests.",
  },
  {
    group: "Export",
    name: "OTEL_EXPORTER_OTLP_TIMEOUT",
    type: "timeout",
    default: "10000",
    description: "Time for one batch, retries included; 0 is no limit.",
  },
  {
    group: "Export",
    name: "OTEL_EXPORTER_OTLP_CERTIFICATE",
    type: "string",
    default: "",
    description: "PEM file with the certificate authority of the backend.",
  },
  {
    group: "Export",
    name: "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    type: "string",
    default: "",
    description: "PEM file with our certificate, for mutual TLS.",
  },
  {
    group: "Export",
    name: "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    type: "string",
    default: "",
    description: "PEM file with its private key.",
  },
  {
    group: "Export",
    name: "OTEL_EXPORTER_OTLP_INSECURE",
    type: "boolean",
    default: "false",
    description: "gRPC without TLS, for an endpoint without a scheme.",
  },
  {
    group: "Export",
    name: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    type: "enum",
    values: ["http/protobuf", "http/json", "grpc"],
    default: "",
    shownDefault: "`OTEL_EXPORTER_OTLP_PROTOCOL`",
    description: "Wins over the general variable.",
  },
  {
    group: "Export",
    name: "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    type: "headers",
    default: "",
    secret: true,
    description: "Added to the general headers; wins where a name is in both.",
  },
  {
    group: "Export",
    name: "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    type: "enum",
    values: ["none", "gzip"],
    default: "",
    shownDefault: "`OTEL_EXPORTER_OTLP_COMPRESSION`",
    description: "Wins over the general variable.",
  },
  {
    group: "Export",
    name: "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    type: "timeout",
    default: "",
    shownDefault: "`OTEL_EXPORTER_OTLP_TIMEOUT`",
    description: "Wins over the general variable.",
  },
  {
    group: "Export",
    name: "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    type: "string",
    default: "",
    shownDefault: "`OTEL_EXPORTER_OTLP_CERTIFICATE`",
    description: "Wins over the general variable.",
  },
  {
    group: "Export",
    name: "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    type: "string",
    default: "",
    shownDefault: "`OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE`",
    description: "Wins over the general variable.",
  },
  {
    group: "Export",
    name: "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    type: "string",
    default: "",
    shownDefault: "`OTEL_EXPORTER_OTLP_CLIENT_KEY`",
    description: "Wins over the general variable.",
  },
  {
    group: "Export",
    name: "OTEL_EXPORTER_OTLP_TRACES_INSECURE",
    type: "boolean",
    default: "",
    shownDefault: "`OTEL_EXPORTER_OTLP_INSECURE`",
    description: "Wins over the general variable.",
  },
  {
    group: "Export",
    name: "OTEL_BSP_SCHEDULE_DELAY",
    type: "millis",
    default: "5000",
    shownDefault: "`1000`",
    description: "Longest time a span waits for a batch.",
  },
  {
    group: "Export",
    name: "OTEL_BSP_EXPORT_TIMEOUT",
    type: "timeout",
    default: "30000",
    description: "Time for the export of one batch; 0 is no limit.",
  },
  {
    group: "Export",
    name: "OTEL_BSP_MAX_QUEUE_SIZE",
    type: "integer",
    min: 1,
    default: "2048",
    description: "Spans that may wait for export; further ones are dropped and counted.",
  },
  {
    group: "Export",
    name: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    type: "integer",
    min: 1,
    default: "512",
    description: "Spans in a batch, at most the size of the queue.",
  },
  {
    group: "Export",
    name: "TRACEKIT_MAX_QUEUE_BYTES",
    type: "integer",
    default: "33554432",
    shownDefault: "33554432 (32 MiB)",
    description: "Encoded spans that may wait for export.",
  },
  {
    group: "Export",
    name: "TRACEKIT_EXIT_TIMEOUT",
    type: "millis",
    default: "1000",
    description: "How long an exiting process may be held to send its last spans; 0 does not hold it.",
  },

  {
    group: "Instrumentation",
    name: "OTEL_NODE_ENABLED_INSTRUMENTATIONS",
    type: "names",
    default: "",
    shownDefault: "all",
    description: "Only these: `http,express,pg`.",
  },
  {
    group: "Instrumentation",
    name: "OTEL_NODE_DISABLED_INSTRUMENTATIONS",
    type: "names",
    default: "",
    description: "Not these; applied after the enabled ones.",
  },
  {
    group: "Instrumentation",
    name: "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS",
    type: "methods",
    default: "CONNECT,DELETE,GET,HEAD,OPTIONS,PATCH,POST,PUT,QUERY,TRACE",
    description: "Request methods written as they are; any other becomes `_OTHER`. Case-sensitive; replaces the list.",
  },
  {
    group: "Instrumentation",
    name: "TRACEKIT_MESSAGING_CONTEXT",
    type: "enum",
    values: ["parent", "link"],
    default: "parent",
    description:
      "A consumed message continues the trace of its publisher (`parent`) or starts its own with a link to it (`link`).",
  },
  {
    group: "Instrumentation",
    name: "TRACEKIT_REDIS_PUBSUB_CONTEXT",
    type: "boolean",
    default: "true",
    description:
      "Trace context travels beside a Redis pub/sub message, on a companion channel. `false`: each processed message starts its own trace.",
  },
  {
    group: "Instrumentation",
    name: "TRACEKIT_REDIS_STREAM_CONTEXT",
    type: "boolean",
    default: "false",
    description:
      "Trace context travels in the entries of Redis streams, as a last field `__tracekit__`. Clients with Tracekit take it out again; other readers see it.",
  },

  {
    group: "Capture and privacy",
    name: "TRACEKIT_CAPTURE",
    type: "capture",
    default: "all",
    description:
      "Values recorded, after redaction: `sql-parameters`, `cache-keys`, `cache-values`, `http-headers`, `http-bodies`, `messages`, `user`; `all`, `none`; `-http-bodies,-messages` is all but these.",
  },
  {
    group: "Capture and privacy",
    name: "TRACEKIT_CAPTURE_MAX_BYTES",
    type: "integer",
    default: "4096",
    description: "Bytes kept of one captured value.",
  },
  {
    group: "Capture and privacy",
    name: "TRACEKIT_REDACT",
    type: "redact",
    default: "",
    description:
      "More to redact, beside what always is: names of headers, fields and columns (`iban,birth_date`), and patterns for values (`/EMP-\\d{6}/i`).",
  },
  {
    group: "Capture and privacy",
    name: "TRACEKIT_USER_PROPAGATION",
    type: "hosts",
    default: "private",
    description:
      "Hosts to which `user.id` may travel as baggage: `private` (loopback, private address ranges, single-label and cluster-internal names), patterns such as `*.example.com`, `all`, `none`.",
  },
] as const;
VARIABLES satisfies readonly Variable[];

type Row = (typeof VARIABLES)[number];
export type VariableName = Row["name"];

type ValueOf<R> = R extends { type: "enum"; values: readonly (infer V)[] }
  ? V
  : R extends { type: "enums"; values: readonly (infer V)[] }
    ? readonly Exclude<V, "none">[]
    : R extends { type: infer K extends keyof Parsed }
      ? Parsed[K]
      : never;

/** What the table's parsers made of an environment. A variable without a default may be undefined. */
export type Settings = {
  readonly [R in Row as R["name"]]: R extends { default: "" } ? ValueOf<R> | undefined : ValueOf<R>;
};
