import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter as GrpcExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { CompressionAlgorithm } from "@opentelemetry/otlp-exporter-base";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, type SpanExporter } from "@opentelemetry/sdk-trace-base";
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startServer, type RunningServer } from "../../src/server/server.ts";
import type { Store } from "../../src/store/store.ts";
import { openStore } from "../../src/store/worker-store.ts";
import { openSocket, send } from "../support/http.ts";

let store: Store;
let server: RunningServer;
let port: number;

beforeEach(async () => {
  store = await openStore({ memory: true, maxBytes: 100_000_000 });
  server = await startServer({ store, port: 0, host: "localhost", assets: "/nowhere", version: "1" });
  port = Number(new URL(server.urls[0] as string).port);
});

afterEach(async () => {
  await server.close();
  await store.close();
});

/** A request with a query that fails, as a real application would send it; its trace id. */
async function sendTrace(exporter: SpanExporter): Promise<string> {
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ "service.name": "orders" }),
    spanProcessors: [new BatchSpanProcessor(exporter)],
  });
  const tracer = provider.getTracer("test", "1.0");
  const root = tracer.startSpan("POST /orders", {
    kind: SpanKind.SERVER,
    attributes: { "http.request.method": "POST", "http.response.status_code": 500, "user.id": "u1" },
  });
  const query = tracer.startSpan(
    "SELECT orders",
    {
      kind: SpanKind.CLIENT,
      attributes: {
        "db.system.name": "postgresql",
        "db.query.text": "SELECT * FROM orders WHERE id = $1 AND total > $2",
        "db.query.parameter.0": "o'1",
        "db.query.parameter.1": 1.5,
      },
    },
    trace.setSpan(ROOT_CONTEXT, root),
  );
  query.recordException(new TypeError("no such order"));
  query.setStatus({ code: SpanStatusCode.ERROR, message: "no such order" });
  query.end();
  root.end();
  await provider.forceFlush();
  await provider.shutdown();
  return root.spanContext().traceId;
}

const senders = {
  protobuf: () => new ProtobufExporter({ url: `http://localhost:${port}/v1/traces` }),
  "protobuf, gzipped": () =>
    new ProtobufExporter({ url: `http://localhost:${port}/v1/traces`, compression: CompressionAlgorithm.GZIP }),
  JSON: () => new JsonExporter({ url: `http://localhost:${port}/v1/traces` }),
  gRPC: () => new GrpcExporter({ url: `http://localhost:${port}` }),
  "gRPC, gzipped": () => new GrpcExporter({ url: `http://localhost:${port}`, compression: CompressionAlgorithm.GZIP }),
};

describe("what OpenTelemetry's own SDK sends", () => {
  test.each(Object.entries(senders))("is listed, shown and told in detail: %s", async (_, exporter) => {
    const traceId = await sendTrace(exporter());
    const { traces } = (await send(port, "/api/traces?service=orders&status=500")).json;
    expect(traces).toMatchObject([{ traceId, operation: "POST /orders", spanCount: 2, userId: "u1", hasError: true }]);

    const { json: detail } = await send(port, `/api/traces/${traceId.slice(0, 8)}`);
    expect(detail.spans.spanId).toHaveLength(2);
    const { json: span } = await send(port, `/api/traces/${traceId}/spans/${detail.spans.ids[detail.spans.spanId[1]]}`);
    expect(span).toMatchObject({
      category: "database",
      sql: {
        parameters: [
          { name: "$1", value: "o'1" },
          { name: "$2", value: 1.5 },
        ],
      },
      stacks: [{ type: "TypeError", message: "no such order" }],
    });
    expect(span.sql.runnable).toContain("id = 'o''1'\n  AND total > 1.5");
    expect(span.stacks[0].frames[0].source.lines.join("\n")).toContain('new TypeError("no such order")');
    expect(span.stacks[0].frames[0].editorUrl).toMatch(/^vscode:\/\/file\/.*end-to-end\.test\.ts:\d+:\d+$/);

    const { json: status } = await send(port, "/api/status");
    expect(status).toMatchObject({ traceCount: 1, spanCount: 2, received: { requests: 1, spans: 2 } });
  });

  test("is seen by a live page as it arrives", async () => {
    const { socket, received } = await openSocket(port);
    socket.write("GET /api/live?service=orders HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await until(() => received().includes("event: status"));
    const traceId = await sendTrace(senders.protobuf());
    await until(() => received().includes(traceId) && /"spanCount":2/.test(received()));
    await send(port, "/api/traces", { method: "DELETE", headers: { "x-tracekit": "1" } });
    await until(() => received().includes("event: cleared"));
    socket.destroy();
  });

  test("leaves as a file and comes back the same", async () => {
    const traceId = await sendTrace(senders.JSON());
    const exported = await send(port, `/api/export?trace=${traceId}`);
    const before = (await send(port, `/api/traces/${traceId}`)).json;
    const headers = { "x-tracekit": "1" };
    await send(port, "/api/traces", { method: "DELETE", headers });
    expect((await send(port, `/api/traces/${traceId}`)).status).toBe(404);
    const imported = await send(port, "/api/import", { method: "POST", headers, body: exported.body });
    expect(imported.json).toEqual({ format: "otlp", traces: 1, spans: 2, rejectedSpans: 0 });
    const after = (await send(port, `/api/traces/${traceId}`)).json;
    expect({ ...after, summary: { ...after.summary, arrivedAt: before.summary.arrivedAt } }).toEqual(before);
    const wrong = await send(port, "/api/import", { method: "POST", headers, body: '{"a":1}' });
    expect([wrong.status, wrong.json.error.code]).toEqual([400, "bad_request"]);
  });
});

test("malformed requests are told why, counted, and harm nothing", async () => {
  const headers = { "content-type": "application/x-protobuf" };
  for (const body of ["\u{a}\u{ff}", "not protobuf", "\0"])
    expect((await send(port, "/v1/traces", { method: "POST", headers, body })).status).toBe(400);
  const json = { "content-type": "application/json" };
  const answer = await send(port, "/v1/traces", { method: "POST", headers: json, body: '{"resourceSpans":' });
  expect([answer.status, answer.json.message]).toEqual([400, expect.stringMatching(/JSON/)]);
  expect((await send(port, "/api/status")).json.received).toMatchObject({ requests: 4, refusedRequests: 4, spans: 0 });
  await sendTrace(senders.JSON());
  expect((await send(port, "/api/status")).json.spanCount).toBe(2);
});

test("Zipkin's spans are listed, too", async () => {
  const body = JSON.stringify([
    {
      traceId: "a".repeat(32),
      id: "b".repeat(16),
      name: "get /",
      kind: "SERVER",
      timestamp: Date.now() * 1000,
      duration: 5,
      localEndpoint: { serviceName: "zip" },
    },
  ]);
  const headers = { "content-type": "application/json" };
  expect((await send(port, "/api/v2/spans", { method: "POST", headers, body })).status).toBe(202);
  expect((await send(port, "/api/traces?service=zip")).json.traces).toHaveLength(1);
});

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error("waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
