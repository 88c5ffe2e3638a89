import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/config.ts";
import type { Config } from "../../src/config/config.ts";
import { VARIABLES } from "../../src/config/variables.ts";
import type { VariableName } from "../../src/config/variables.ts";

interface Example {
  /** Where the value ends up. */
  readonly read: (config: Config) => unknown;
  readonly unset: unknown;
  /** Text that is accepted and what it becomes. */
  readonly valid: readonly [text: string, value: unknown];
  /** Text that is refused, and what holds then when it is not the default; undefined where any text will do. */
  readonly invalid: readonly [text: string, value?: unknown] | undefined;
  /** Other variables without which this one has no meaning. */
  readonly given?: Readonly<Record<string, string>>;
}

const number = (read: Example["read"], unset: number): Example => ({
  read,
  unset,
  valid: [" 7 ", 7],
  invalid: ["-1"],
});
const text = (read: Example["read"]): Example => ({
  read,
  unset: undefined,
  valid: ["/etc/pem", "/etc/pem"],
  invalid: undefined,
});
const detected = (config: Config): unknown => Object.keys(config.resource).includes("host.name");

// A record of all names: a variable added to the table without a line here does not compile.
const EXAMPLES: Readonly<Record<VariableName, Example>> = {
  OTEL_SDK_DISABLED: { read: (c) => c.disabled, unset: false, valid: ["TRUE", true], invalid: ["1", false] },
  OTEL_SERVICE_NAME: { read: (c) => c.serviceName, unset: "origin", valid: ["shop", "shop"], invalid: undefined },
  OTEL_RESOURCE_ATTRIBUTES: {
    read: (c) => c.resource["team"],
    unset: undefined,
    valid: ["team=a%2Cb", "a,b"],
    invalid: ["team=a,other=100%"],
  },
  OTEL_NODE_RESOURCE_DETECTORS: { read: detected, unset: true, valid: ["env,OS", false], invalid: ["aws"] },
  OTEL_LOG_LEVEL: { read: (c) => c.logLevel, unset: "info", valid: ["DEBUG", "debug"], invalid: ["loud"] },
  OTEL_PROPAGATORS: {
    read: (c) => c.propagators,
    unset: ["tracecontext", "baggage"],
    valid: ["b3, B3multi,b3", ["b3", "b3multi"]],
    invalid: ["ottrace"],
  },
  OTEL_CONFIG_FILE: { read: () => null, unset: null, valid: ["", null], invalid: ["otel.yaml"] },

  OTEL_TRACES_SAMPLER: {
    read: (c) => c.sampler.name,
    unset: "parentbased_always_on",
    valid: ["Always_Off", "always_off"],
    invalid: ["jaeger_remote"],
  },
  OTEL_TRACES_SAMPLER_ARG: {
    read: (c) => c.sampler.ratio,
    unset: 1,
    valid: ["0.25", 0.25],
    invalid: ["25%"],
    given: { OTEL_TRACES_SAMPLER: "traceidratio" },
  },
  OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: number((c) => c.spanLimits.attributeValueLengthLimit, Infinity),
  OTEL_ATTRIBUTE_COUNT_LIMIT: number((c) => c.spanLimits.attributeCountLimit, 128),
  OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT: number((c) => c.spanLimits.attributeValueLengthLimit, Infinity),
  OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: number((c) => c.spanLimits.attributeCountLimit, 128),
  OTEL_SPAN_EVENT_COUNT_LIMIT: number((c) => c.spanLimits.eventCountLimit, 128),
  OTEL_SPAN_LINK_COUNT_LIMIT: number((c) => c.spanLimits.linkCountLimit, 128),
  OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT: number((c) => c.spanLimits.attributePerEventCountLimit, 128),
  OTEL_LINK_ATTRIBUTE_COUNT_LIMIT: number((c) => c.spanLimits.attributePerLinkCountLimit, 128),

  OTEL_TRACES_EXPORTER: { read: (c) => c.exporters, unset: ["otlp"], valid: ["none", []], invalid: ["zipkin"] },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    read: (c) => c.otlp.url,
    unset: "http://localhost:4318/v1/traces",
    valid: ["https://otel.example", "https://otel.example/v1/traces"],
    invalid: ["otel.example:4318"],
  },
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: {
    read: (c) => c.otlp.url,
    unset: "http://localhost:4318/v1/traces",
    valid: ["https://otel.example/in", "https://otel.example/in"],
    invalid: ["http://"],
  },
  OTEL_EXPORTER_OTLP_PROTOCOL: {
    read: (c) => c.otlp.protocol,
    unset: "http/protobuf",
    valid: ["HTTP/JSON", "http/json"],
    invalid: ["http"],
  },
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: {
    read: (c) => c.otlp.protocol,
    unset: "http/protobuf",
    valid: ["grpc", "grpc"],
    invalid: ["http"],
  },
  OTEL_EXPORTER_OTLP_HEADERS: {
    read: (c) => c.otlp.headers,
    unset: {},
    valid: ["A=Bearer%20x,b=1", { a: "Bearer x", b: "1" }],
    invalid: ["secret-token"],
  },
  OTEL_EXPORTER_OTLP_TRACES_HEADERS: {
    read: (c) => c.otlp.headers,
    unset: {},
    valid: ["a=1=1", { a: "1=1" }],
    invalid: ["secret=%zz"],
  },
  OTEL_EXPORTER_OTLP_COMPRESSION: {
    read: (c) => c.otlp.compression,
    unset: "none",
    valid: ["gzip", "gzip"],
    invalid: ["zstd"],
  },
  OTEL_EXPORTER_OTLP_TRACES_COMPRESSION: {
    read: (c) => c.otlp.compression,
    unset: "none",
    valid: ["gzip", "gzip"],
    invalid: ["zstd"],
  },
  OTEL_EXPORTER_OTLP_TIMEOUT: number((c) => c.otlp.timeoutMillis, 10_000),
  OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: number((c) => c.otlp.timeoutMillis, 10_000),
  OTEL_EXPORTER_OTLP_CERTIFICATE: text((c) => c.otlp.certificateFile),
  OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE: text((c) => c.otlp.certificateFile),
  OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: text((c) => c.otlp.clientCertificateFile),
  OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE: text((c) => c.otlp.clientCertificateFile),
  OTEL_EXPORTER_OTLP_CLIENT_KEY: text((c) => c.otlp.clientKeyFile),
  OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY: text((c) => c.otlp.clientKeyFile),
  OTEL_EXPORTER_OTLP_INSECURE: {
    read: (c) => c.otlp.insecure,
    unset: false,
    valid: ["true", true],
    invalid: ["yes", false],
  },
  OTEL_EXPORTER_OTLP_TRACES_INSECURE: {
    read: (c) => c.otlp.insecure,
    unset: false,
    valid: ["true", true],
    invalid: ["yes", false],
  },
  OTEL_BSP_SCHEDULE_DELAY: number((c) => c.batch.scheduledDelayMillis, 5000),
  OTEL_BSP_EXPORT_TIMEOUT: number((c) => c.batch.exportTimeoutMillis, 30_000),
  OTEL_BSP_MAX_QUEUE_SIZE: { ...number((c) => c.batch.maxQueueSize, 2048), invalid: ["0"] },
  OTEL_BSP_MAX_EXPORT_BATCH_SIZE: { ...number((c) => c.batch.maxExportBatchSize, 512), invalid: ["0"] },
  TRACEKIT_MAX_QUEUE_BYTES: { ...number((c) => c.maxQueueBytes, 33_554_432), invalid: ["32MB"] },
  TRACEKIT_EXIT_TIMEOUT: { ...number((c) => c.exitTimeoutMillis, 1000), invalid: ["1.5"] },

  OTEL_NODE_ENABLED_INSTRUMENTATIONS: {
    read: (c) => c.instrumentations.enabled,
    unset: undefined,
    valid: ["http, PG,@opentelemetry/instrumentation-express", new Set(["http", "pg", "express"])],
    invalid: undefined,
  },
  OTEL_NODE_DISABLED_INSTRUMENTATIONS: {
    read: (c) => c.instrumentations.disabled,
    unset: new Set(),
    valid: ["fs,dns", new Set(["fs", "dns"])],
    invalid: undefined,
  },
  OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS: {
    read: (c) => c.httpKnownMethods,
    unset: new Set("CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT QUERY TRACE".split(" ")),
    valid: ["GET,Purge", new Set(["GET", "Purge"])],
    invalid: undefined,
  },
  TRACEKIT_MESSAGING_CONTEXT: {
    read: (c) => c.messagingContext,
    unset: "parent",
    valid: ["link", "link"],
    invalid: ["both"],
  },
  TRACEKIT_REDIS_PUBSUB_CONTEXT: {
    read: (c) => c.redisPubSubContext,
    unset: true,
    valid: ["false", false],
    invalid: ["maybe", false],
  },
  TRACEKIT_REDIS_STREAM_CONTEXT: {
    read: (c) => c.redisStreamContext,
    unset: false,
    valid: ["true", true],
    invalid: ["maybe", false],
  },
  TRACEKIT_CAPTURE: {
    read: (c) => [...c.capture.kinds].sort(),
    unset: ["cache-keys", "cache-values", "http-bodies", "http-headers", "messages", "sql-parameters", "user"],
    valid: ["user, cache-keys", ["cache-keys", "user"]],
    invalid: ["bodies", []],
  },
  TRACEKIT_CAPTURE_MAX_BYTES: number((c) => c.capture.maxBytes, 4096),
  TRACEKIT_REDACT: {
    read: (c) => [c.capture.redactNames, c.capture.redactPatterns.map(String)],
    unset: [[], []],
    valid: ["IBAN,/E-\\d{1,3}/i", [["iban"], ["/E-\\d{1,3}/gi"]]],
    invalid: ["/(/"],
  },
  TRACEKIT_USER_PROPAGATION: {
    read: (c) => ["analytics", "api.example.com", "example.org"].map(c.userPropagation),
    unset: [true, false, false],
    valid: ["*.example.com", [false, true, false]],
    invalid: ["https://api.example.com", [false, false, false]],
  },
};

const load = (env: Record<string, string | undefined>): Config =>
  loadConfig(env, {}, { mainScript: undefined, cwd: new URL("fixtures/origin", import.meta.url).pathname });

const NAMES = VARIABLES.map(({ name }) => name);

describe.each(NAMES)("%s", (name) => {
  const { read, unset, valid, given = {} } = EXAMPLES[name];

  test("has its default when unset, and when empty or blank", () => {
    for (const value of [undefined, "", "  "]) {
      const config = load({ ...given, [name]: value });
      expect(read(config)).toEqual(unset);
      expect(config.problems).toEqual([]);
      expect(config.explicit.has(name)).toBe(false);
    }
  });

  test("takes a valid value without a word", () => {
    const config = load({ ...given, [name]: valid[0] });
    expect(read(config)).toEqual(valid[1]);
    expect(config.problems).toEqual([]);
    expect(config.explicit.has(name)).toBe(valid[0] !== "");
  });
});

test.each(NAMES.filter((name) => EXAMPLES[name].invalid !== undefined))(
  "%s answers an invalid value with one message and what is used instead",
  (name) => {
    const { read, unset, invalid, given = {} } = EXAMPLES[name];
    const [bad, instead = unset] = invalid ?? [""];
    const config = load({ ...given, [name]: bad });
    expect(read(config)).toEqual(instead);
    expect(config.problems).toHaveLength(1);
    expect(config.problems[0]).toMatch(new RegExp(`^${name}\\b.+; .+`));
    expect(config.problems[0]?.includes(bad)).toBe(!name.endsWith("HEADERS"));
  },
);
