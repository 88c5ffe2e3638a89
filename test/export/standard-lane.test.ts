import type { Context } from "@opentelemetry/api";
import {
  BatchSpanProcessor,
  InMemorySpanExporter,
  type ReadableSpan,
  type Span as SdkSpan,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import * as standardLane from "../../src/export/standard-lane.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { messages, startExport, type TestExport, watchExports } from "./exporting.ts";

let receiver: OtlpReceiver;
beforeAll(async () => {
  receiver = await startOtlpReceiver();
});
afterEach(() => receiver.reset());
afterAll(() => receiver.close());
watchExports();

const start = (env: Record<string, string>, spanProcessors: SpanProcessor[] = []): TestExport =>
  startExport(
    { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, ...env },
    { spanProcessors, loadStandardLane: () => standardLane },
  );

test("the console gets each span when it ends", () => {
  const dir = vi.spyOn(console, "dir").mockImplementation(() => {});
  const exporting = start({ OTEL_TRACES_EXPORTER: "console" });
  exporting.end("a", { n: 1 });
  const [printed] = dir.mock.calls[0] as [Record<string, unknown>];
  dir.mockRestore();
  expect(printed).toMatchObject({
    name: "a",
    attributes: { n: 1 },
    instrumentationScope: { name: "test", version: "1.2.3" },
  });
});

test("the console and a backend get every span whole", async () => {
  const dir = vi.spyOn(console, "dir").mockImplementation(() => {});
  const exporting = start({ OTEL_TRACES_EXPORTER: "otlp,console" });
  exporting.end("a", { n: 1 });
  await exporting.forceFlush();
  expect(dir.mock.calls[0]?.[0]).toMatchObject({ name: "a", attributes: { n: 1 } });
  dir.mockRestore();
  expect(receiver.spans[0]).toMatchObject({ name: "a", attributes: { n: 1 } });
});

test("an application's processors see spans start and end, beside the backend, with the resource", async () => {
  const exporter = new InMemorySpanExporter();
  const started: string[] = [];
  const watcher: SpanProcessor = {
    onStart: (span: SdkSpan, _context: Context) => void started.push(span.name),
    onEnd: (_span: ReadableSpan) => {},
    forceFlush: async () => {},
    shutdown: async () => {},
  };
  const exporting = start({}, [new BatchSpanProcessor(exporter), watcher]);
  expect(exporting.sink.observesStart).toBe(true);
  exporting.sink.onStart({ name: "started" } as never, {} as never);
  exporting.end("a", { n: 1 });
  await exporting.forceFlush();
  expect(started).toEqual(["started"]);
  expect(exporter.getFinishedSpans().map(({ name, attributes }) => [name, attributes])).toEqual([["a", { n: 1 }]]);
  expect(exporting.resource).toMatchObject({ attributes: { "service.name": "shop" } });
  expect(receiver.spans).toHaveLength(1);
});

test("a processor that throws gets no more spans, and neither the application nor the backend notices", async () => {
  let calls = 0;
  const broken: SpanProcessor = {
    onStart() {},
    onEnd() {
      calls++;
      throw new Error("broken");
    },
    forceFlush: () => Promise.reject(new Error("broken too")),
    shutdown: async () => {},
  };
  const exporting = start({}, [broken]);
  exporting.end("a");
  exporting.end("b");
  await exporting.forceFlush();
  expect(calls).toBe(1);
  expect(messages.join()).toContain("span processor (Object) failed");
  expect(receiver.spans).toHaveLength(2);
});

test("a processor whose flush fails is said, and the flush goes on", async () => {
  const broken: SpanProcessor = {
    onStart() {},
    onEnd() {},
    forceFlush: () => Promise.reject(new Error("cannot")),
    shutdown: () => Promise.reject(new Error("cannot")),
  };
  const exporting = start({}, [broken]);
  exporting.end("a");
  await exporting.forceFlush();
  expect(messages.join()).toContain("a span processor could not flush: Error: cannot");
  expect(receiver.spans).toHaveLength(1);
});

test("none sends nothing", async () => {
  const exporting = start({ OTEL_TRACES_EXPORTER: "none" });
  exporting.end("a");
  await exporting.forceFlush();
  expect(receiver.requests).toEqual([]);
  expect(exporting.lastChance).toBeUndefined();
});
