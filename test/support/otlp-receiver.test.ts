import { request as httpsRequest } from "node:https";
import { gzipSync } from "node:zlib";
import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { NodeTracerProvider, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-node";
import type { SpanExporter } from "@opentelemetry/sdk-trace-node";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startOtlpReceiver } from "./otlp-receiver.ts";
import type { OtlpReceiver } from "./otlp-receiver.ts";
import { createTestCertificates } from "./tls.ts";

let receiver: OtlpReceiver;
beforeEach(async () => {
  receiver = await startOtlpReceiver();
});
afterEach(() => receiver.close());

const officialExporters: [string, (url: string) => SpanExporter][] = [
  ["protobuf", (url) => new ProtobufExporter({ url })],
  ["JSON", (url) => new JsonExporter({ url })],
];

describe.each(officialExporters)("what the official %s exporter sends", (_name, createExporter) => {
  test("arrives with every field", async () => {
    const provider = new NodeTracerProvider({
      spanProcessors: [new SimpleSpanProcessor(createExporter(`${receiver.url}/v1/traces`))],
    });
    const tracer = provider.getTracer("scope", "1.2.3");
    const linked = tracer.startSpan("linked").spanContext();
    const span = tracer.startSpan("GET /é", {
      kind: SpanKind.SERVER,
      startTime: [1_700_000_000, 123_456_789],
      links: [{ context: linked, attributes: { why: "batch" } }],
    });
    span.setAttributes({
      text: "x",
      yes: true,
      no: false,
      int: -7,
      big: 2 ** 53,
      double: 0.5,
      list: ["a", "b"],
      empty: "",
    });
    span.addEvent("retry", { attempt: 2 }, [1_700_000_000, 200_000_000]);
    span.setStatus({ code: SpanStatusCode.ERROR, message: "boom" });
    span.end([1_700_000_001, 1]);

    const [received] = await receiver.waitForSpans(1);
    expect(received).toMatchObject({
      traceId: span.spanContext().traceId,
      spanId: span.spanContext().spanId,
      parentSpanId: "",
      flags: 0x101,
      name: "GET /é",
      kind: "SERVER",
      startTimeUnixNano: 1_700_000_000_123_456_789n,
      endTimeUnixNano: 1_700_000_001_000_000_001n,
      attributes: {
        text: "x",
        yes: true,
        no: false,
        int: -7,
        double: 0.5,
        list: ["a", "b"],
        empty: "",
      },
      droppedAttributesCount: 0,
      events: [{ name: "retry", timeUnixNano: 1_700_000_000_200_000_000n, attributes: { attempt: 2 } }],
      links: [{ traceId: linked.traceId, spanId: linked.spanId, attributes: { why: "batch" } }],
      status: { code: "ERROR", message: "boom" },
      scope: { name: "scope", version: "1.2.3" },
    });
    expect(received?.resource["telemetry.sdk.language"]).toBe("nodejs");
    await provider.shutdown();
  });
});

// field 1 (resourceSpans) > field 2 (scopeSpans) > field 2 (spans) > the given bytes
function requestWithSpan(...span: number[]): Buffer {
  const field = (tag: number, body: number[]): number[] => [tag, body.length, ...body];
  return Buffer.from(field(0x0a, field(0x12, field(0x12, span))));
}
const ids = [0x0a, 16, ...Array<number>(16).fill(7), 0x12, 8, ...Array<number>(8).fill(9)];
const times = [0x39, 1, 0, 0, 0, 0, 0, 0, 0, 0x41, 2, 0, 0, 0, 0, 0, 0, 0];
const keyOnly = [0x4a, 3, 0x0a, 1, 0x6b];

function post(body: Uint8Array, headers: Record<string, string> = {}, path = "/v1/traces"): Promise<Response> {
  return fetch(`${receiver.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/x-protobuf", ...headers },
    body: body as Uint8Array<ArrayBuffer>,
  });
}

test("accepts a minimal span, gzipped or not, and keeps the bytes", async () => {
  const body = requestWithSpan(...ids, ...times, ...keyOnly);
  expect((await post(body)).status).toBe(200);
  expect((await post(gzipSync(body), { "content-encoding": "gzip" })).status).toBe(200);
  expect(receiver.spans).toHaveLength(2);
  expect(receiver.spans[0]).toEqual(receiver.spans[1]);
  expect(receiver.spans[0]?.attributes).toEqual({ k: null });
  expect(receiver.requests[1]?.body).toEqual(body);
  expect(receiver.requests[1]?.rawBody).not.toEqual(body);
});

test.each([
  ["not protobuf", Buffer.from("garbage!"), /./],
  ["a field that is not in the .proto files", requestWithSpan(...ids, ...times, 0xf8, 0x06, 1), /not in the .proto/],
  [
    "a trace id of zeros",
    requestWithSpan(0x0a, 16, ...Array<number>(16).fill(0), ...ids.slice(18), ...times),
    /traceId/,
  ],
  ["a short span id", requestWithSpan(...ids.slice(0, 18), 0x12, 2, 1, 1, ...times), /spanId/],
  ["an attribute twice", requestWithSpan(...ids, ...times, ...keyOnly, ...keyOnly), /"k" twice/],
  ["no end", requestWithSpan(...ids, ...times.slice(0, 9)), /lasts from 1 to 0/],
  ["invalid UTF-8", requestWithSpan(...ids, ...times, 0x2a, 2, 0xc3, 0x28), /./],
])("refuses %s", async (_what, body, problem) => {
  const response = await post(body);
  expect(response.status).toBe(400);
  expect(await response.text()).toMatch(problem);
  expect(receiver.spans).toEqual([]);
  await expect(receiver.waitForSpans(1, 1)).rejects.toThrow(/refused: /);
});

test("refuses another path", async () => {
  expect((await post(requestWithSpan(...ids, ...times), {}, "/v1/metrics")).status).toBe(404);
});

test("answers as told, and counts only accepted spans", async () => {
  const body = requestWithSpan(...ids, ...times);
  receiver.respond = (_request, index) =>
    [
      { status: 503, headers: { "retry-after": "1" } },
      { destroy: true },
      { partialSuccess: { rejectedSpans: 3, errorMessage: "too old" } },
      { delayMillis: 10 },
      { hang: true },
    ][index];
  const busy = await post(body);
  expect([busy.status, busy.headers.get("retry-after")]).toEqual([503, "1"]);
  await expect(post(body)).rejects.toThrow("fetch failed");
  expect(receiver.spans).toHaveLength(0);
  const partial = Buffer.from(await (await post(body)).arrayBuffer());
  expect(partial.toString("latin1")).toBe("\n\x0b\x08\x03\x12\x07too old");
  expect((await post(body)).status).toBe(200);
  const hanging = post(body);
  await receiver.waitForRequests(5);
  expect(receiver.spans).toHaveLength(2);
  await receiver.close();
  await expect(hanging).rejects.toThrow("fetch failed");
});

test("serves TLS and can ask for a client certificate", async () => {
  const certificates = createTestCertificates();
  const secure = await startOtlpReceiver({
    tls: { ...certificates.server, ca: certificates.ca, requestCert: true },
  });
  const send = (client: { key?: string; cert?: string }): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const headers = { "content-type": "application/x-protobuf" };
      httpsRequest(`${secure.url}/v1/traces`, {
        method: "POST",
        headers,
        ca: certificates.ca,
        agent: false,
        ...client,
      })
        .on("response", (response) => resolve(response.resume().statusCode))
        .on("error", reject)
        .end(requestWithSpan(...ids, ...times));
    });
  expect(await send(certificates.client)).toBe(200);
  await expect(send({})).rejects.toThrow(/certificate required|ECONNRESET|socket hang up/);
  expect(secure.spans).toHaveLength(1);
  await secure.close();
  certificates.remove();
});
