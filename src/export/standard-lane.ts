/**
 * The lane of the official SDK's processors: the console exporter, and whatever processors the application brings. A file of its
 * own, read only when one of them is asked for. OTLP, in each of its three protocols, is the default lane's (`batch-sink.ts`).
 */
import type { Context } from "@opentelemetry/api";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  ConsoleSpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  type Span as SdkSpan,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { diag } from "../diag/diag.ts";
import type { SpanSink } from "../trace/pipeline.ts";
import type { Span } from "../trace/span.ts";

export interface StandardLane extends SpanSink {
  /** The SDK's `Resource`. */
  readonly resource: unknown;
  /** Never rejects. */
  forceFlush(): Promise<void>;
  shutdown(): Promise<void>;
}

export interface StandardLaneOptions {
  readonly resource: Readonly<Record<string, string | number | boolean | readonly string[]>>;
  readonly spanProcessors: readonly SpanProcessor[];
  /** Prints each span when it ends: nothing is left to print when the process does. */
  readonly console: boolean;
}

/** Processors see our spans as they are, and may keep them: they are not released. One that throws is left out from then on. */
export function createStandardLane(options: StandardLaneOptions): StandardLane {
  const processors = new Set(options.spanProcessors);
  if (options.console) processors.add(new SimpleSpanProcessor(new ConsoleSpanExporter()));

  const each = (call: (processor: SpanProcessor) => void): void => {
    for (const processor of processors) {
      try {
        call(processor);
      } catch (error) {
        processors.delete(processor);
        diag.error(`a span processor (${processor.constructor?.name}) failed and gets no more spans: ${String(error)}`);
      }
    }
  };
  const settleAll = async (call: (processor: SpanProcessor) => Promise<void>): Promise<void> => {
    const outcomes = await Promise.allSettled(Array.from(processors, async (processor) => call(processor)));
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") diag.warn(`a span processor could not flush: ${String(outcome.reason)}`);
    }
  };

  return {
    resource: resourceFromAttributes(options.resource as Parameters<typeof resourceFromAttributes>[0]),
    observesStart: options.spanProcessors.length > 0,
    // Our spans are the SDK's in all that processors use; only the type of their resource and the SDK's private fields differ.
    onStart: (span: Span, parent: Context) =>
      each((processor) => processor.onStart(span as unknown as SdkSpan, parent)),
    onEnd: (span: Span) =>
      each((processor) => {
        const readable = span as unknown as ReadableSpan;
        (processor as { onEnding?: (span: SdkSpan) => void }).onEnding?.(span as unknown as SdkSpan);
        processor.onEnd(readable);
      }),
    forceFlush: () => settleAll((processor) => processor.forceFlush()),
    shutdown: () => settleAll((processor) => processor.shutdown()),
  };
}
