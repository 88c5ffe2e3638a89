import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { startOtlpReceiver, type OtlpReceiver } from "../support/otlp-receiver.ts";
import { runApp } from "../support/run-app.ts";

let receiver: OtlpReceiver;
beforeAll(async () => {
  receiver = await startOtlpReceiver();
});
beforeEach(() => receiver.reset());
afterAll(() => receiver.close());

async function run(code: string, options: Partial<Parameters<typeof runApp>[0]> = {}) {
  const exit = await runApp({
    type: "cjs",
    code,
    ...options,
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, TRACEKIT_EXIT_TIMEOUT: "20000", ...options.env },
  });
  expect([exit.code, exit.stderr]).toEqual([0, ""]);
  return exit;
}

const byName = (name: string) => receiver.spans.find((span) => span.name === name);

test("libraries on API 1.9 and on API 1.10 share one trace and one active span", async () => {
  await run(`
const api19 = require("@opentelemetry/api");
const api110 = require("api110");
api19.trace.getTracer("on-1.9", "1.0.0").startActiveSpan("outer", (outer) => {
  api110.trace.getTracer("on-1.10").startActiveSpan("middle", (middle) => {
    api19.trace.getActiveSpan().setAttribute("seen", "by 1.9");
    api19.trace.getTracer("on-1.9").startSpan("inner").end();
    middle.end();
  });
  outer.end();
});`);
  await receiver.waitForSpans(3);
  expect(byName("middle")).toMatchObject({ parentSpanId: byName("outer")?.spanId, attributes: { seen: "by 1.9" } });
  expect(byName("inner")?.parentSpanId).toBe(byName("middle")?.spanId);
  expect(byName("outer")?.scope).toEqual({ name: "on-1.9", version: "1.0.0" });
});

test("everything the API can say about a span arrives", async () => {
  const { stdout } = await run(`
const { trace, context, propagation, SpanKind, SpanStatusCode } = require("@opentelemetry/api");
const tracer = trace.getTracer("app");
const linked = tracer.startSpan("linked");
const span = tracer.startSpan("all", { kind: SpanKind.PRODUCER, links: [{ context: linked.spanContext(), attributes: { why: "test" } }], attributes: { text: "a", int: 42, negative: -1, double: 1.5, yes: true, list: ["a", "b"], empty: "" } });
span.addEvent("happened", { at: 1 });
span.recordException(new TypeError("broken"));
span.setStatus({ code: SpanStatusCode.ERROR, message: "it broke" });
span.end();
linked.end();
const baggage = propagation.createBaggage({ tenant: { value: "acme" } });
const carrier = {};
context.with(propagation.setBaggage(trace.setSpan(context.active(), span), baggage), () => propagation.inject(context.active(), carrier));
console.log(JSON.stringify({ carrier, ids: span.spanContext() }));`);
  const { carrier, ids } = JSON.parse(stdout) as {
    carrier: Record<string, string>;
    ids: { traceId: string; spanId: string };
  };
  expect(carrier).toEqual({ traceparent: `00-${ids.traceId}-${ids.spanId}-03`, baggage: "tenant=acme" });
  await receiver.waitForSpans(2);
  expect(byName("all")).toMatchObject({
    kind: "PRODUCER",
    attributes: { text: "a", int: 42, negative: -1, double: 1.5, yes: true, list: ["a", "b"], empty: "" },
    links: [{ spanId: byName("linked")?.spanId, attributes: { why: "test" } }],
    status: { code: "ERROR", message: "it broke" },
  });
  expect(byName("all")?.events.map(({ name }) => name)).toEqual(["happened", "exception"]);
});

test("suppressed tracing makes no spans, manual ones and instrumented ones alike", async () => {
  await run(`
const { context, trace } = require("@opentelemetry/api");
const { suppressTracing } = require("@opentelemetry/core");
context.with(suppressTracing(context.active()), () => {
  trace.getTracer("t").startSpan("suppressed").end();
  return fetch(process.env.OTEL_EXPORTER_OTLP_ENDPOINT + "/suppressed").catch(() => {});
}).then(() => trace.getTracer("t").startSpan("visible").end());`);
  expect((await receiver.waitForSpans(1)).map((span) => span.name)).toEqual(["visible"]);
});

test("an instrumentation the application registers itself uses our provider", async () => {
  await run(`
const { registerInstrumentations, InstrumentationBase } = require("@opentelemetry/instrumentation");
class Theirs extends InstrumentationBase {
  constructor() { super("theirs", "2.0.0", {}); }
  init() { return []; }
  operate() { this.tracer.startSpan("operated").end(); }
}
const theirs = new Theirs();
registerInstrumentations({ instrumentations: [theirs] });
theirs.operate();`);
  await receiver.waitForSpans(1);
  expect(byName("operated")?.scope).toEqual({ name: "theirs", version: "2.0.0" });
});

test("our instrumentations serve an existing SDK as standard Instrumentation objects", async () => {
  const { stdout } = await run(
    `
const { NodeTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-node");
const { registerInstrumentations } = require("@opentelemetry/instrumentation");
const { createInstrumentations } = require(process.env.INSTRUMENTATIONS);
const exporter = new InMemorySpanExporter();
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
provider.register();
registerInstrumentations({ instrumentations: createInstrumentations(), tracerProvider: provider });
const express = require("express");
const Redis = require("ioredis");
const redis = new Redis(process.env.REDIS_URL);
const app = express();
app.get("/items/:id", async (request, response) => response.json({ value: await redis.get("items:" + request.params.id) }));
const server = app.listen(0, async () => {
  await (await fetch("http://127.0.0.1:" + server.address().port + "/items/1")).text();
  await new Promise((resolve) => setTimeout(resolve, 50));
  redis.disconnect();
  server.close();
  server.closeAllConnections();
  const spans = exporter.getFinishedSpans();
  const name = (id) => spans.find((span) => span.spanContext().spanId === id)?.name ?? "-";
  console.log(JSON.stringify(spans.map((span) => [name(span.parentSpanContext?.spanId), span.name, span.instrumentationScope.name]).sort()));
});`,
    {
      preload: "none",
      env: {
        REDIS_URL: process.env["TRACEKIT_TEST_REDIS_URL"] as string,
        INSTRUMENTATIONS: process.env["TRACEKIT_TEST_PACKAGE_DIR"]
          ? "@tracekit/auto/instrumentations"
          : `${process.cwd()}/dist/otel-instrumentations.js`,
      },
    },
  );
  expect(JSON.parse(stdout)).toEqual(
    [
      ["-", "GET", "@tracekit/auto/undici"],
      ["GET /items/:id", "GET", "@tracekit/auto/ioredis"],
      ["GET", "GET /items/:id", "@tracekit/auto/http-server"],
    ].toSorted(),
  );
});

test("setUser names the caller on the request and its id on every later span, here and in the next service", async () => {
  const preload = process.env["TRACEKIT_TEST_PACKAGE_DIR"] ? "@tracekit/auto/api" : `${process.cwd()}/dist/index.js`;
  await run(
    `
const { setUser } = require(${JSON.stringify(preload)});
const http = require("node:http");
const Redis = require("ioredis");
const redis = new Redis(process.env.REDIS_URL);
async function verify() { await null; setUser({ id: "u_42", email: "ada@example.com", roles: ["admin"] }); }
const server = http.createServer(async (request, response) => {
  if (request.url === "/next") return response.end("next");
  await redis.get("before");
  await verify();
  await redis.get("after");
  await (await fetch("http://127.0.0.1:" + server.address().port + "/next")).text();
  response.end("done");
}).listen(0, async () => {
  await (await fetch("http://127.0.0.1:" + server.address().port + "/first")).text();
  redis.disconnect();
  server.close();
  server.closeAllConnections();
});`,
    { env: { REDIS_URL: process.env["TRACEKIT_TEST_REDIS_URL"] as string } },
  );
  const spans = await receiver.waitForSpans(
    (received) => received.filter(({ kind }) => kind === "SERVER").length === 2,
  );
  const server = (path: string) => spans.find((span) => span.kind === "SERVER" && span.attributes["url.path"] === path);
  const redis = (key: string) =>
    spans.find((span) => (span.attributes["cache.key"] as string[] | undefined)?.[0] === key);
  expect(server("/first")?.attributes).toMatchObject({
    "user.id": "u_42",
    "user.email": "ada@example.com",
    "user.roles": ["admin"],
  });
  expect(redis("before")?.attributes).not.toHaveProperty("user.id");
  expect(redis("after")?.attributes["user.id"]).toBe("u_42");
  expect(server("/next")?.attributes["user.id"]).toBe("u_42");
});

test.each([
  ["b3", { b3: /^[0-9a-f]{32}-[0-9a-f]{16}-1$/ }],
  ["b3multi", { "x-b3-traceid": /^[0-9a-f]{32}$/, "x-b3-sampled": /^1$/ }],
  ["jaeger", { "uber-trace-id": /^[0-9a-f]{32}:[0-9a-f]{16}:0:01$/ }],
  ["xray", { "x-amzn-trace-id": /^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=1$/ }],
  ["none", {}],
])("OTEL_PROPAGATORS=%s is what goes out and is understood coming in", async (name, expected) => {
  const { stdout } = await run(
    `
const { propagation, context, trace } = require("@opentelemetry/api");
const carrier = {};
trace.getTracer("t").startActiveSpan("sent", (span) => { propagation.inject(context.active(), carrier); span.end(); });
const received = propagation.extract(context.active(), carrier);
trace.getTracer("t").startSpan("received", {}, received).end();
console.log(JSON.stringify(carrier));`,
    { env: { OTEL_PROPAGATORS: name } },
  );
  const carrier = JSON.parse(stdout) as Record<string, string>;
  expect(Object.keys(carrier)).toHaveLength(name === "b3multi" ? 3 : Object.keys(expected).length);
  for (const [key, pattern] of Object.entries(expected)) expect(carrier[key]).toMatch(pattern as RegExp);
  await receiver.waitForSpans(2);
  expect(byName("received")?.parentSpanId).toBe(name === "none" ? "" : byName("sent")?.spanId);
});
