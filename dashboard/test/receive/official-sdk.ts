import { type Context, ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } from "@opentelemetry/api";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";

export const PARENT = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" };
export const LINKED = { traceId: "5b8aa5a2d2c872e8321cf37308d69df2", spanId: "051581bf3cb55c13" };
/** Seconds and nanoseconds: no number can hold them together. */
export const START: [number, number] = [1_700_000_000, 123_456_789];
export const END: [number, number] = [1_700_000_001, 987_654_321];

/** A span with everything, a child that failed, one of another scope: made and ended by the official SDK. */
export function officialSpans(): ReadableSpan[] {
  const memory = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ "service.name": "shop", "process.pid": 7, "process.command_args": ["a", "b"] }),
    spanProcessors: [new SimpleSpanProcessor(memory)],
    spanLimits: { attributeCountLimit: 12 },
  });
  const tracer = provider.getTracer("orders", "1.2.3");
  const remote: Context = trace.setSpanContext(ROOT_CONTEXT, {
    ...PARENT,
    traceFlags: TraceFlags.SAMPLED,
    isRemote: true,
  });

  const full = tracer.startSpan(
    "POST /orders",
    {
      kind: SpanKind.SERVER,
      startTime: START,
      links: [{ context: { ...LINKED, traceFlags: 1 }, attributes: { why: "batch" } }],
      attributes: {
        text: "grüße 🎉",
        empty: "",
        integer: 42,
        negative: -7,
        large: 2 ** 60,
        fraction: 0.25,
        nan: NaN,
        yes: true,
        no: false,
        texts: ["a", "", "b"],
        numbers: [1, 2.5, -3],
      },
    },
    remote,
  );
  for (const key of ["one too many", "two too many"]) full.setAttribute(key, "x".repeat(300));
  full.addEvent("cache miss", { key: "user:1" }, [1_700_000_000, 500_000_001]);
  full.setStatus({ code: SpanStatusCode.OK });
  full.end(END);

  const failed = tracer.startSpan(
    "SELECT orders",
    { kind: SpanKind.CLIENT, startTime: START },
    trace.setSpan(ROOT_CONTEXT, full),
  );
  failed.setStatus({ code: SpanStatusCode.ERROR, message: "relation does not exist" });
  failed.end(END);
  provider.getTracer("other").startSpan("alone", { startTime: START, root: true }).end(START);
  return memory.getFinishedSpans();
}
