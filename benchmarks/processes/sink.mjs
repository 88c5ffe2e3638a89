// Stands in for the collector or agent of every variant, each on a port of its own, and counts what arrives.
// Bodies are kept until somebody asks: decoding them during the load would slow the load.
import { createServer } from "node:http";
import { gunzipSync } from "node:zlib";
import { countMessagePackSpans } from "./count-message-pack-spans.mjs";
import { countOtlpSpans } from "./count-otlp-spans.mjs";

const formats = {
  otlp: { path: "/v1/traces", count: countOtlpSpans, reply: "" },
  datadog: { path: "/v0.4/traces", count: countMessagePackSpans, reply: '{"rate_by_service":{}}' },
};
const sinks = [];

const answers = {
  /** A new port for one variant. */
  open({ format }) {
    return new Promise((resolve) => {
      const sink = {
        ...formats[format],
        bodies: [],
        keptBytes: 0,
        spans: 0,
        requests: 0,
        wireBytes: 0,
        bytes: 0,
      };
      const server = createServer((request, response) => receive(sink, request, response));
      server.listen(0, "127.0.0.1", () => resolve({ sink: sinks.push(sink) - 1, port: server.address().port }));
    });
  },
  /** What every sink has received so far. */
  counts() {
    sinks.forEach(count);
    return sinks.map(({ spans, requests, wireBytes, bytes }) => ({ spans, requests, wireBytes, bytes }));
  },
};

process.on("message", async ({ id, ask, ...order }) => process.send({ id, answer: await answers[ask](order) }));
process.on("disconnect", () => process.exit());

function receive(sink, request, response) {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    // dd-trace asks what the agent can do, and sends nothing but plain traces to one that has no such page.
    if (request.url !== sink.path) return response.writeHead(404).end();
    const body = Buffer.concat(chunks);
    sink.bodies.push({ body, isGzip: request.headers["content-encoding"] === "gzip" });
    sink.keptBytes += body.length;
    if (sink.keptBytes > 256 << 20) count(sink);
    response.end(sink.reply);
  });
}

function count(sink) {
  for (const { body, isGzip } of sink.bodies) {
    const bytes = isGzip ? gunzipSync(body) : body;
    sink.spans += sink.count(bytes);
    sink.requests += 1;
    sink.wireBytes += body.length;
    sink.bytes += bytes.length;
  }
  sink.bodies = [];
  sink.keptBytes = 0;
}
