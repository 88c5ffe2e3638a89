import type { LogLevel } from "../diag/diag.ts";
import type { HostRule } from "./host-rule.ts";
import { PARSERS } from "./parse.ts";
import type { CaptureKind } from "./parse.ts";
import { detectResource } from "./resource.ts";
import type { Origin, Resource } from "./resource.ts";
import { VARIABLES } from "./variables.ts";
import type { Settings, Variable, VariableName } from "./variables.ts";

export type SamplerName = Settings["OTEL_TRACES_SAMPLER"];
export type Propagator = Settings["OTEL_PROPAGATORS"][number];
export type Exporter = Settings["OTEL_TRACES_EXPORTER"][number];
export type OtlpProtocol = Settings["OTEL_EXPORTER_OTLP_PROTOCOL"];

/** Span limits: counts, and characters for the length (Infinity: no limit). Source: OpenTelemetry SDK "Span limits". */
export interface SpanLimits {
  readonly attributeCountLimit: number;
  readonly attributeValueLengthLimit: number;
  readonly eventCountLimit: number;
  readonly linkCountLimit: number;
  readonly attributePerEventCountLimit: number;
  readonly attributePerLinkCountLimit: number;
}

/** How spans reach a backend. Source: OpenTelemetry "OTLP exporter configuration". */
export interface OtlpConfig {
  readonly protocol: OtlpProtocol;
  /** Where traces are posted, path included. For grpc scheme, host and port only: `https` is with TLS, `http` without. */
  readonly url: string;
  /** Names in lower case. Values are secrets: never print them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly compression: "none" | "gzip";
  /** For one batch with its retries. "No limit" is the longest a timer can wait. */
  readonly timeoutMillis: number;
  /** PEM files. */
  readonly certificateFile: string | undefined;
  readonly clientCertificateFile: string | undefined;
  readonly clientKeyFile: string | undefined;
  /** Already part of `url`. */
  readonly insecure: boolean;
}

/** Batching. Source: OTEL_BSP_*. */
export interface BatchConfig {
  /** 5000 is the specification's default; `explicit` tells whether somebody asked for it. */
  readonly scheduledDelayMillis: number;
  readonly exportTimeoutMillis: number;
  /** Spans that may wait, at least 1. */
  readonly maxQueueSize: number;
  /** Spans, from 1 to `maxQueueSize`. */
  readonly maxExportBatchSize: number;
}

/** What of the application's values may be recorded. */
export interface CaptureConfig {
  readonly kinds: ReadonlySet<CaptureKind>;
  /** Bytes kept of one value. */
  readonly maxBytes: number;
  /** In lower case, beside the built-in ones. */
  readonly redactNames: readonly string[];
  /** All global: made for `replace`; `test` would remember its position between values. */
  readonly redactPatterns: readonly RegExp[];
}

/** Everything the user asked for, with defaults filled in. Frozen, deeply; made once, at start. */
export interface Config {
  /** Nothing else is to be done when true. */
  readonly disabled: boolean;
  readonly logLevel: LogLevel;
  /** Detected when it is first asked for: that reads files, and takes as long as all else here. */
  readonly resource: Resource;
  /** The resource's service.name. */
  readonly serviceName: string;
  /** `ratio` is 1 unless the sampler is a ratio one. */
  readonly sampler: { readonly name: SamplerName; readonly ratio: number };
  /** Empty: no context is read or written. */
  readonly propagators: readonly Propagator[];
  readonly spanLimits: SpanLimits;
  /** Empty: no exporter. */
  readonly exporters: readonly Exporter[];
  readonly otlp: OtlpConfig;
  readonly batch: BatchConfig;
  /** Bytes of encoded spans that may wait for export. */
  readonly maxQueueBytes: number;
  /** How long an exiting process may be held; 0: not at all. */
  readonly exitTimeoutMillis: number;
  readonly capture: CaptureConfig;
  /** Short names in lower case (`http`, `pg`). `enabled` undefined: all; `disabled` is taken from it. */
  readonly instrumentations: {
    readonly enabled: ReadonlySet<string> | undefined;
    readonly disabled: ReadonlySet<string>;
  };
  /** Request methods that may be written as they are. Case-sensitive. */
  readonly httpKnownMethods: ReadonlySet<string>;
  readonly messagingContext: "parent" | "link";
  /** Whether context travels beside Redis pub/sub messages. */
  readonly redisPubSubContext: boolean;
  /** Whether context travels inside the entries of Redis streams. */
  readonly redisStreamContext: boolean;
  /** May user.id travel to this host as baggage? */
  readonly userPropagation: HostRule;
  /** One message for each value that could not be used as written, without secrets. The caller prints them. */
  readonly problems: readonly string[];
  /** Names of the variables that were set, by environment or option, to something usable. */
  readonly explicit: ReadonlySet<string>;
}

/** Options of programmatic use. Each wins over the variables of the same meaning. */
export interface TracekitOptions {
  readonly serviceName?: string;
  /** Base URL of an OTLP backend; `v1/traces` is appended. */
  readonly endpoint?: string;
  /** Added to every export request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Share of traces recorded, 0 to 1; what a caller decided is kept. */
  readonly samplingRatio?: number;
  readonly capture?: readonly CaptureKind[];
  readonly captureMaxBytes?: number;
  /** Names of fields, headers and columns, and patterns for values. */
  readonly redact?: readonly (string | RegExp)[];
  readonly logLevel?: LogLevel;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The configuration of this process. The one place that reads process.env. */
export function fromProcess(options: TracekitOptions = {}): Config {
  return loadConfig(process.env, options, { mainScript: process.argv[1], cwd: currentFolder() });
}

function currentFolder(): string {
  try {
    return process.cwd();
  } catch {
    return "/"; // the folder was deleted
  }
}

/** Reads an environment and options into one frozen Config. Never throws: what cannot be used is in `problems`. */
export function loadConfig(env: Environment, options: TracekitOptions, origin: Origin): Config {
  const { settings, explicit, problems } = readSettings(env, toEnvironment(options, env));
  const disabled = settings.OTEL_SDK_DISABLED;
  let resource: Resource | undefined = disabled ? {} : undefined;
  const enabled = settings.OTEL_NODE_ENABLED_INSTRUMENTATIONS;
  const rest = deepFreeze({
    disabled,
    logLevel: settings.OTEL_LOG_LEVEL,
    sampler: resolveSampler(settings, explicit, problems),
    propagators: settings.OTEL_PROPAGATORS,
    spanLimits: {
      attributeCountLimit: settings.OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT ?? settings.OTEL_ATTRIBUTE_COUNT_LIMIT,
      attributeValueLengthLimit:
        settings.OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT ?? settings.OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT ?? Infinity,
      eventCountLimit: settings.OTEL_SPAN_EVENT_COUNT_LIMIT,
      linkCountLimit: settings.OTEL_SPAN_LINK_COUNT_LIMIT,
      attributePerEventCountLimit: settings.OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT,
      attributePerLinkCountLimit: settings.OTEL_LINK_ATTRIBUTE_COUNT_LIMIT,
    },
    exporters: settings.OTEL_TRACES_EXPORTER,
    otlp: resolveOtlp(settings, problems),
    batch: resolveBatch(settings, explicit, problems),
    maxQueueBytes: settings.TRACEKIT_MAX_QUEUE_BYTES,
    exitTimeoutMillis: settings.TRACEKIT_EXIT_TIMEOUT,
    capture: {
      kinds: settings.TRACEKIT_CAPTURE,
      maxBytes: settings.TRACEKIT_CAPTURE_MAX_BYTES,
      redactNames: settings.TRACEKIT_REDACT?.names ?? [],
      redactPatterns: settings.TRACEKIT_REDACT?.patterns ?? [],
    },
    instrumentations: {
      enabled: enabled && new Set(enabled),
      disabled: new Set(settings.OTEL_NODE_DISABLED_INSTRUMENTATIONS),
    },
    httpKnownMethods: new Set(settings.OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS),
    messagingContext: settings.TRACEKIT_MESSAGING_CONTEXT,
    redisPubSubContext: settings.TRACEKIT_REDIS_PUBSUB_CONTEXT,
    redisStreamContext: settings.TRACEKIT_REDIS_STREAM_CONTEXT,
    userPropagation: settings.TRACEKIT_USER_PROPAGATION,
    problems,
    explicit,
  });
  return Object.freeze({
    ...rest,
    get resource(): Resource {
      resource ??= deepFreeze(
        detectResource(
          origin,
          settings.OTEL_NODE_RESOURCE_DETECTORS,
          settings.OTEL_RESOURCE_ATTRIBUTES,
          settings.OTEL_SERVICE_NAME,
        ),
      );
      return resource;
    },
    get serviceName(): string {
      return String(this.resource["service.name"] ?? "unknown_service:node");
    },
  });
}

/** Options become variables, so that both have one parser, one set of messages, and one way to lose: the more
 *  specific variable that would beat them is emptied. */
function toEnvironment(options: TracekitOptions, under: Environment): Environment {
  const env: Record<string, string> = {};
  const set = (name: VariableName, value: unknown): void => {
    if (value !== undefined) env[name] = String(value);
  };
  set("OTEL_SERVICE_NAME", options.serviceName);
  set("OTEL_LOG_LEVEL", options.logLevel);
  set("OTEL_EXPORTER_OTLP_ENDPOINT", options.endpoint);
  if (options.endpoint !== undefined) set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "");
  if (options.headers !== undefined) {
    const encoded = Object.entries(options.headers).map((pair) => pair.map(percentEncode).join("="));
    set("OTEL_EXPORTER_OTLP_TRACES_HEADERS", [under["OTEL_EXPORTER_OTLP_TRACES_HEADERS"] ?? "", ...encoded].join(","));
  }
  if (options.samplingRatio !== undefined) {
    set("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
    set("OTEL_TRACES_SAMPLER_ARG", options.samplingRatio);
  }
  set("TRACEKIT_CAPTURE", options.capture?.length === 0 ? "none" : options.capture?.join(","));
  set("TRACEKIT_CAPTURE_MAX_BYTES", options.captureMaxBytes);
  set("TRACEKIT_REDACT", options.redact?.join(","));
  return env;
}

// encodeURIComponent throws on half a surrogate pair.
const percentEncode = (text: unknown): string => encodeURIComponent(String(text).replace(/\p{Surrogate}/gu, "\ufffd"));

interface Reading {
  readonly settings: Settings;
  readonly explicit: Set<string>;
  readonly problems: string[];
}

function readSettings(env: Environment, over: Environment): Reading {
  const settings: Record<string, unknown> = {};
  const explicit = new Set<string>();
  const problems: string[] = [];
  for (const row of VARIABLES as readonly Variable[]) {
    // An empty value is an unset one ("Common configuration", Environment variables).
    const text = (over[row.name] ?? env[row.name])?.trim() ?? "";
    let value: unknown;
    if (text !== "") {
      value = PARSERS[row.type](text, row, (problem, instead) => {
        const used = row.default === "" ? "ignoring it" : `using ${row.default}`;
        problems.push(toProblem(row, text, problem, instead ?? used));
      });
      if (value !== undefined) explicit.add(row.name);
    }
    if (value === undefined && row.default !== "") value = PARSERS[row.type](row.default, row, () => {});
    settings[row.name] = value;
  }
  return { settings: settings as Settings, explicit, problems };
}

function toProblem(row: Pick<Variable, "name" | "secret">, text: string, problem: string, instead: string): string {
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  return `${row.name}${row.secret ? "" : `=${JSON.stringify(shown)}`} ${problem}; ${instead}`;
}

function resolveSampler(settings: Settings, explicit: ReadonlySet<string>, problems: string[]): Config["sampler"] {
  const name = settings.OTEL_TRACES_SAMPLER;
  if (name.endsWith("traceidratio")) return { name, ratio: settings.OTEL_TRACES_SAMPLER_ARG };
  if (explicit.has("OTEL_TRACES_SAMPLER_ARG")) {
    const row = { name: "OTEL_TRACES_SAMPLER_ARG" };
    const problem = `has no effect without a ratio sampler (OTEL_TRACES_SAMPLER=parentbased_traceidratio)`;
    problems.push(toProblem(row, String(settings.OTEL_TRACES_SAMPLER_ARG), problem, `using ${name}`));
  }
  return { name, ratio: 1 };
}

function resolveBatch(settings: Settings, explicit: ReadonlySet<string>, problems: string[]): BatchConfig {
  const maxQueueSize = settings.OTEL_BSP_MAX_QUEUE_SIZE;
  const asked = settings.OTEL_BSP_MAX_EXPORT_BATCH_SIZE;
  if (asked > maxQueueSize && explicit.has("OTEL_BSP_MAX_EXPORT_BATCH_SIZE")) {
    const row = { name: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" };
    problems.push(toProblem(row, String(asked), "is more than OTEL_BSP_MAX_QUEUE_SIZE", `using ${maxQueueSize}`));
  }
  return {
    scheduledDelayMillis: settings.OTEL_BSP_SCHEDULE_DELAY,
    exportTimeoutMillis: settings.OTEL_BSP_EXPORT_TIMEOUT,
    maxQueueSize,
    maxExportBatchSize: Math.min(asked, maxQueueSize),
  };
}

function resolveOtlp(settings: Settings, problems: string[]): OtlpConfig {
  const protocol = settings.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL ?? settings.OTEL_EXPORTER_OTLP_PROTOCOL;
  const insecure = settings.OTEL_EXPORTER_OTLP_TRACES_INSECURE ?? settings.OTEL_EXPORTER_OTLP_INSECURE;
  return {
    protocol,
    url: resolveEndpoint(settings, protocol, insecure, problems),
    headers: {
      ...settings.OTEL_EXPORTER_OTLP_HEADERS,
      ...settings.OTEL_EXPORTER_OTLP_TRACES_HEADERS,
    },
    compression: settings.OTEL_EXPORTER_OTLP_TRACES_COMPRESSION ?? settings.OTEL_EXPORTER_OTLP_COMPRESSION,
    timeoutMillis: settings.OTEL_EXPORTER_OTLP_TRACES_TIMEOUT ?? settings.OTEL_EXPORTER_OTLP_TIMEOUT,
    certificateFile: settings.OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE ?? settings.OTEL_EXPORTER_OTLP_CERTIFICATE,
    clientCertificateFile:
      settings.OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE ?? settings.OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE,
    clientKeyFile: settings.OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY ?? settings.OTEL_EXPORTER_OTLP_CLIENT_KEY,
    insecure,
  };
}

function resolveEndpoint(settings: Settings, protocol: OtlpProtocol, insecure: boolean, problems: string[]): string {
  const toUrl = protocol === "grpc" ? (text: string) => toGrpcTarget(text, insecure) : toHttpUrl;
  let used = protocol === "grpc" ? "http://localhost:4317" : "http://localhost:4318/v1/traces";
  // The general one first: it is what a specific one that cannot be used falls back to.
  for (const name of ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] as const) {
    const text = settings[name];
    if (text === undefined) continue;
    const url = toUrl(text);
    if (url === undefined) {
      const problem = protocol === "grpc" ? "is not a gRPC target" : "is not an http:// or https:// URL";
      problems.push(toProblem({ name }, withoutCredentials(text), problem, `using ${printableUrl(used)}`));
    } else if (typeof url === "string") used = url;
    else {
      if (name === "OTEL_EXPORTER_OTLP_ENDPOINT") url.pathname = url.pathname.replace(/\/*$/, "/v1/traces");
      used = url.href;
    }
  }
  return used;
}

function toHttpUrl(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url?.protocol === "http:" || url?.protocol === "https:" ? url : undefined;
}

/** Scheme, host and port: gRPC has no path of ours. A target without a scheme gets the one that `insecure` means. */
function toGrpcTarget(text: string, insecure: boolean): string | undefined {
  if (text.startsWith("unix:")) return text;
  return toHttpUrl(text.includes("://") ? text : `${insecure ? "http" : "https"}://${text}`)?.origin;
}

// Up to the last "@": a password with a slash in it is a common reason why a URL does not parse.
const withoutCredentials = (text: string): string =>
  text.replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/i, "$1").replace(/\?.*/, "?…");

/** A URL as it may be shown: without user, password and query. */
export function printableUrl(url: string): string {
  return withoutCredentials(url).replace("?…", "");
}

function deepFreeze<T>(value: T): T {
  // A frozen pattern could not be used: RegExp.prototype.replace writes lastIndex.
  if (typeof value !== "object" || value === null || value instanceof RegExp) return value;
  for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value);
}
