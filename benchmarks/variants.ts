import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** One contestant: a tracer and how it is switched on. */
export interface Variant {
  readonly title: string;
  /** Which installation of install.ts; undefined installs nothing. */
  readonly installation?: "tracekit" | "opentelemetry" | "dd-trace";
  /** Whether it claims to make spans. */
  readonly records: boolean;
  /** What its sink has to understand. */
  readonly format: "otlp" | "datadog";
  /** Node's arguments, as its documentation gives them for an application of that kind. */
  preload(kind: "cjs" | "esm", folder: string): string[];
  /** `flushMillis` is the longest wait for a batch. Under load batches leave because they are full; a wait that is the
   *  same for all, and short, lets a run count its spans to the end. */
  env(sinkUrl: string, flushMillis: string): Record<string, string>;
}

const toTracekit = (extra: Record<string, string> = {}): Variant["env"] => {
  return (sinkUrl, flushMillis) => ({
    OTEL_EXPORTER_OTLP_ENDPOINT: sinkUrl,
    OTEL_SERVICE_NAME: "bench",
    OTEL_BSP_SCHEDULE_DELAY: flushMillis,
    ...extra,
  });
};

const tracekit: Variant = {
  title: "Tracekit",
  installation: "tracekit",
  records: true,
  format: "otlp",
  preload: (kind, folder) =>
    kind === "cjs" ? ["--require", resolveIn(folder, "@tracekit/auto")] : ["--import", urlIn(folder, "@tracekit/auto")],
  env: toTracekit(),
};

/** In the order of the report. */
export const variants: Readonly<Record<string, Variant>> = {
  none: { title: "no tracer", records: false, format: "otlp", preload: () => [], env: () => ({}) },
  tracekit,
  "tracekit-nocapture": {
    ...tracekit,
    title: "Tracekit, `TRACEKIT_CAPTURE=none`",
    env: toTracekit({ TRACEKIT_CAPTURE: "none" }),
  },
  "tracekit-unsampled": {
    ...tracekit,
    title: "Tracekit, `OTEL_TRACES_SAMPLER=always_off`",
    records: false,
    env: toTracekit({ OTEL_TRACES_SAMPLER: "always_off" }),
  },
  "tracekit-disabled": {
    ...tracekit,
    title: "Tracekit, `OTEL_SDK_DISABLED=true`",
    records: false,
    env: toTracekit({ OTEL_SDK_DISABLED: "true" }),
  },
  opentelemetry: {
    title: "OpenTelemetry auto-instrumentations",
    installation: "opentelemetry",
    records: true,
    format: "otlp",
    preload: (kind, folder) => {
      const register = "@opentelemetry/auto-instrumentations-node/register";
      if (kind === "cjs") return ["--require", resolveIn(folder, register)];
      const hook = urlIn(folder, "@opentelemetry/instrumentation/hook.mjs");
      return ["--import", urlIn(folder, register), `--experimental-loader=${hook}`, "--no-warnings"];
    },
    env: (sinkUrl, flushMillis) => ({
      OTEL_EXPORTER_OTLP_ENDPOINT: sinkUrl,
      OTEL_SERVICE_NAME: "bench",
      OTEL_METRICS_EXPORTER: "none",
      OTEL_LOGS_EXPORTER: "none",
      // The detectors of clouds would wait for metadata servers that are not there.
      OTEL_NODE_RESOURCE_DETECTORS: "env,host,os,process",
      OTEL_BSP_SCHEDULE_DELAY: flushMillis,
    }),
  },
  "dd-trace": {
    title: "dd-trace",
    installation: "dd-trace",
    records: true,
    format: "datadog",
    preload: (kind, folder) =>
      kind === "cjs"
        ? ["--require", resolveIn(folder, "dd-trace/init")]
        : ["--import", urlIn(folder, "dd-trace/initialize.mjs")],
    env: (sinkUrl, flushMillis) => ({
      DD_TRACE_AGENT_URL: sinkUrl,
      DD_SERVICE: "bench",
      DD_INSTRUMENTATION_TELEMETRY_ENABLED: "false",
      DD_REMOTE_CONFIGURATION_ENABLED: "false",
      DD_TRACE_STARTUP_LOGS: "false",
      DD_TRACE_FLUSH_INTERVAL: flushMillis,
    }),
  },
};

function resolveIn(folder: string, specifier: string): string {
  return createRequire(join(folder, "x.js")).resolve(specifier);
}

function urlIn(folder: string, specifier: string): string {
  return pathToFileURL(resolveIn(folder, specifier)).href;
}
