import { trace } from "@opentelemetry/api";
import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { expect, test } from "vitest";
// @ts-expect-error plain JavaScript, run by the sink's own process
import { countMessagePackSpans } from "../../benchmarks/processes/count-message-pack-spans.mjs";
// @ts-expect-error plain JavaScript, run by the sink's own process
import { countOtlpSpans } from "../../benchmarks/processes/count-otlp-spans.mjs";

test("counts the spans of a request that the official serializer has written, whatever they carry", () => {
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  for (const scope of ["one", "two", "three"]) {
    for (let i = 0; i < 50; i++) {
      const span = provider
        .getTracer(scope)
        .startSpan(`span ${i}`, { attributes: { text: "é".repeat(i * 9), i, on: true } });
      span.addEvent("event", { size: 1.5 });
      span.addLink({ context: span.spanContext() });
      span.end();
    }
  }
  const bytes = ProtobufTraceSerializer.serializeRequest(exporter.getFinishedSpans())!;
  expect(countOtlpSpans(bytes)).toBe(150);
  expect(() => countOtlpSpans(bytes.subarray(0, bytes.length - 1))).toThrow("truncated protobuf");
  trace.disable();
});

test("counts the spans of MessagePack traces, whatever they carry", () => {
  const values: number[][] = [
    [0x7f],
    [0xff],
    [0xc0],
    [0xc3],
    [0xc4, 2, 9, 9],
    [0xc7, 1, 5, 9],
    [0xca, 1, 2, 3, 4],
    [0xcb, 1, 2, 3, 4, 5, 6, 7, 8],
    [0xcc, 200],
    [0xcd, 1, 2],
    [0xce, 1, 2, 3, 4],
    [0xcf, 1, 2, 3, 4, 5, 6, 7, 8],
    [0xd0, 1],
    [0xd3, 1, 2, 3, 4, 5, 6, 7, 8],
    [0xd4, 1, 2],
    [0xd9, 3, 97, 98, 99],
    [0xda, 0, 2, 97, 98],
    [0xdb, 0, 0, 0, 1, 97],
    [0x93, 1, 0xa2, 97, 98, 2],
    [0xdc, 0, 2, 1, 2],
    [0x81, 0xa1, 97, 1],
    [0xde, 0, 1, 0xa1, 97, 0xc2],
  ];
  const span = [0xde, 0, values.length, ...values.flatMap((value, index) => [0xa2, 107, 65 + index, ...value])];
  const bytes = Uint8Array.from([0xdd, 0, 0, 0, 2, 0x92, ...span, ...span, 0xdc, 0, 3, ...span, ...span, ...span]);
  expect(countMessagePackSpans(bytes)).toBe(5);
  expect(() => countMessagePackSpans(Uint8Array.from([...bytes, 0]))).toThrow("1 bytes after the last trace");
});
