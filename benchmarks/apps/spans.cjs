// Makes spans by hand as fast as it can: a thousand for each request.
const { createServer } = require("node:http");
const { setImmediate: nextTurn } = require("node:timers/promises");
const { SpanKind, trace } = require("@opentelemetry/api");
const { listen } = require("./listen.cjs");

const tracer = trace.getTracer("bench");
listen(
  createServer(async (request, response) => {
    for (let i = 0; i < 1000; i++) {
      const span = tracer.startSpan("GET", {
        kind: SpanKind.CLIENT,
        attributes: {
          "db.system.name": "redis",
          "db.operation.name": "GET",
          "db.query.text": "GET user:42",
          "server.address": "127.0.0.1",
          "server.port": 6379,
          "cache.hit": (i & 1) === 0,
        },
      });
      span.end();
      if (i % 100 === 99) await nextTurn();
    }
    response.end("a thousand");
  }),
);
