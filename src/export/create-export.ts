import type { SpanProcessor } from "@opentelemetry/sdk-trace-base";
import type { Config } from "../config/config.ts";
import { printableUrl } from "../config/config.ts";
import { loadChunk } from "../load-chunk.ts";
import type { SpanSink } from "../trace/pipeline.ts";
import type { Span } from "../trace/span.ts";
import { BatchSink } from "./batch-sink.ts";
import { createEndpoint } from "./endpoint.ts";
import type { ExitingExport, LastChance } from "./exit.ts";
import { createJsonEncoding } from "./json-encoding.ts";
import { createOutside, type RunOutside } from "./outside.ts";
import { createProtobufEncoding } from "./protobuf-encoding.ts";
import type { StandardLane, StandardLaneOptions } from "./standard-lane.ts";
import { Transport } from "./transport.ts";

/** OTEL_BSP_SCHEDULE_DELAY unless it is set: sooner than the specification's 5 s, because a developer is waiting and a batch is cheap. */
const DELAY_MILLIS = 1000;

/** Everything that takes ended spans, as one. */
export interface Exporting extends ExitingExport {
  readonly sink: SpanSink;
  /** The SDK's `Resource` where SDK processors are in use; undefined otherwise. */
  readonly resource: unknown;
  /** Neither rejects; each takes the export time-out at most. */
  forceFlush(): Promise<void>;
  shutdown(): Promise<void>;
}

export interface ExportExtras {
  /** Default: from here. */
  readonly runOutside?: RunOutside;
  /** The application's own. */
  readonly spanProcessors?: readonly SpanProcessor[];
  /** How to get the standard lane's file; for tests. */
  readonly loadStandardLane?: () => { createStandardLane(options: StandardLaneOptions): StandardLane };
}

/** Builds what `config.exporters` asks for. Nothing is opened, read or started before the first span has ended. */
export function createExport(config: Config, extras: ExportExtras = {}): Exporting {
  const { spanProcessors = [], runOutside = createOutside() } = extras;
  const hasConsole = config.exporters.includes("console");
  const load =
    extras.loadStandardLane ??
    (() => loadChunk<ReturnType<NonNullable<typeof extras.loadStandardLane>>>("./standard-lane.js"));
  const standard =
    hasConsole || spanProcessors.length > 0
      ? load().createStandardLane({ resource: config.resource, spanProcessors, console: hasConsole })
      : undefined;
  const otlp = config.exporters.includes("otlp")
    ? createOtlpLane(config, runOutside, standard === undefined)
    : undefined;

  const settle = async (...promises: Array<Promise<void> | undefined>): Promise<void> => {
    await Promise.allSettled(promises);
  };
  return {
    sink: combine(otlp?.sink, standard),
    resource: standard?.resource,
    lastChance: otlp?.lastChance,
    runOutside,
    flushProcessors: spanProcessors.length > 0 ? standard?.forceFlush : undefined,
    forceFlush: () => settle(otlp?.sink.forceFlush(), standard?.forceFlush()),
    shutdown: () => settle(otlp?.sink.shutdown(), standard?.shutdown()),
  };
}

function createOtlpLane(
  config: Config,
  runOutside: ExitingExport["runOutside"],
  releases: boolean,
): { sink: BatchSink; lastChance: LastChance } {
  const { otlp, batch, explicit } = config;
  const encoding =
    otlp.protocol === "http/json" ? createJsonEncoding(config.resource) : createProtobufEncoding(config.resource);
  const timeoutMillis = explicit.has("OTEL_BSP_EXPORT_TIMEOUT")
    ? Math.min(otlp.timeoutMillis, batch.exportTimeoutMillis)
    : otlp.timeoutMillis;
  const shownUrl = printableUrl(otlp.url);
  let transport: Transport | undefined;
  const sink = new BatchSink(
    encoding,
    {
      delayMillis: explicit.has("OTEL_BSP_SCHEDULE_DELAY") ? batch.scheduledDelayMillis : DELAY_MILLIS,
      maxQueueBytes: config.maxQueueBytes,
      // The specification's counts are for queues of span objects; ours is bounded in bytes unless somebody asks for both.
      maxQueueSpans: explicit.has("OTEL_BSP_MAX_QUEUE_SIZE") ? batch.maxQueueSize : Infinity,
      maxBatchSpans: explicit.has("OTEL_BSP_MAX_EXPORT_BATCH_SIZE") ? batch.maxExportBatchSize : Infinity,
      flushTimeoutMillis: timeoutMillis,
    },
    runOutside,
    releases,
    (onReady) => (transport = new Transport(() => createEndpoint(otlp), timeoutMillis, shownUrl, onReady)),
  );
  const sender = transport as unknown as Transport;
  return {
    sink,
    lastChance: {
      shownUrl,
      takePending: () => sink.takePending(),
      get endpoint() {
        return sender.endpoint;
      },
      get isSaidToFail() {
        return sender.isSaidToFail;
      },
      get onEncoded() {
        return sink.onEncoded;
      },
      set onEncoded(call) {
        sink.onEncoded = call;
      },
    },
  };
}

function combine(otlp: SpanSink | undefined, standard: SpanSink | undefined): SpanSink {
  if (otlp === undefined) return standard ?? NOWHERE;
  if (standard === undefined) return otlp;
  return {
    observesStart: standard.observesStart,
    onStart: (span, parent) => standard.onStart(span, parent),
    onEnd(span) {
      otlp.onEnd(span);
      standard.onEnd(span);
    },
  };
}

/** OTEL_TRACES_EXPORTER=none. */
const NOWHERE: SpanSink = {
  observesStart: false,
  onStart() {},
  onEnd: (span: Span) => span.release(),
};
