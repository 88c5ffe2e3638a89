// What an application of the HTTP server contract serves; see http-server.ts for what is expected of it.
"use strict";
const zlib = require("node:zlib");
const { propagation, context, trace } = require("@opentelemetry/api");
const { sleep } = require("./scenarios-app.cjs");

const encode = {
  gzip: zlib.gzipSync,
  deflate: zlib.deflateSync,
  br: zlib.brotliCompressSync,
  // Since Node 22.15.
  zstd: zlib.zstdCompressSync,
};

/** What a handler answers to tell which span it runs in. */
function whereAmI() {
  const carrier = {};
  propagation.inject(context.active(), carrier);
  return carrier.traceparent ?? null;
}

/**
 * `[method, path, handler]`, the path with parameters as Express and fastify write them. A handler gets an exchange: `method`,
 * `path`, `query`, `headers`, `body()` (a promise of bytes), `reply(status, headers, body)`, `write(status, headers, chunk)` for the
 * first piece, `more(chunk)`, `onClose(listener)`, `destroy(error)`.
 */
const ROUTES = [
  [
    "GET",
    "/hello/:name",
    ({ reply }) => reply(200, { "content-type": "text/plain; charset=utf-8", "x-request-id": "r-1" }, "hello"),
  ],
  [
    "POST",
    "/echo/:id",
    async ({ body, headers, reply }) => {
      const bytes = await body();
      // The span's context must be there after the body, however it came.
      trace.getTracer("app").startSpan("after the body").end();
      reply(201, { "content-type": headers["content-type"] ?? "text/plain" }, bytes);
    },
  ],
  [
    "GET",
    "/where/:id",
    async ({ reply }) => {
      const before = whereAmI();
      await sleep(10);
      trace.getTracer("app").startSpan("work").end();
      reply(200, { "content-type": "application/json" }, JSON.stringify({ same: before === whereAmI() }));
    },
  ],
  [
    "GET",
    "/decision/:id",
    ({ reply }) => reply(200, { "content-type": "text/plain" }, String(whereAmI()?.endsWith("-00") ?? "untraced")),
  ],
  ["GET", "/status/:code", ({ path, reply }) => reply(Number(path.split("/")[2]), {}, undefined)],
  [
    "GET",
    "/chunks/:id",
    ({ write, more }) => {
      write(200, { "content-type": "application/json" }, '{"pass');
      more(Buffer.from('word":"hunter2","na'));
      more('me":"Zoë"}', true);
    },
  ],
  ["GET", "/large/:id", ({ reply }) => reply(200, { "content-type": "text/plain" }, "été ".repeat(20_000))],
  ["GET", "/binary/:id", ({ reply }) => reply(200, { "content-type": "image/png" }, Buffer.alloc(300, 1))],
  [
    "GET",
    "/coded/:coding",
    ({ path, reply }) => {
      const coding = path.split("/")[2];
      if (encode[coding] === undefined) return reply(501, {}, undefined);
      const text = JSON.stringify({ password: "hunter2", city: "Oslo" });
      reply(200, { "content-type": "application/json", "content-encoding": coding }, encode[coding](text));
    },
  ],
  [
    "GET",
    "/secrets/:id",
    ({ reply }) => {
      const headers = { "content-type": "application/json", "set-cookie": ["sid=hunter2; Path=/", "b=hunter2"] };
      reply(200, headers, JSON.stringify({ password: "hunter2", ok: true }));
    },
  ],
  [
    "GET",
    "/events/:id",
    ({ write, more, onClose }) => {
      write(200, { "content-type": "text/event-stream" }, 'data: {"password":"hunter2"}\n\n');
      const timer = setInterval(more, 100, "data: more\n\n");
      onClose(() => clearInterval(timer));
    },
  ],
  ["GET", "/hang/:id", () => {}],
  ["GET", "/partial/:id", ({ write }) => write(200, { "content-type": "text/plain" }, "the beginning")],
  ["GET", "/destroy/:id", ({ destroy }) => destroy(Object.assign(new Error("gave up"), { code: "E_GAVE_UP" }))],
  [
    "GET",
    "/slow/:id",
    async ({ path, reply }) => {
      await sleep(30);
      reply(200, { "content-type": "text/plain" }, path);
    },
  ],
];

/** An exchange of Node's own requests and responses, or those of HTTP/2's compatibility API. */
function toExchange(request, response) {
  request.on("error", () => {});
  response.on("error", () => {});
  const [path, query = ""] = request.url.split("?");
  return {
    method: request.method,
    path,
    query,
    headers: request.headers,
    // By events: promises would bring their own context along.
    body: () =>
      new Promise((resolve) => {
        const chunks = [];
        request.on("data", (chunk) => chunks.push(chunk));
        request.on("end", () => resolve(Buffer.concat(chunks)));
      }),
    reply(status, headers, body) {
      response.writeHead(status, headers);
      response.end(body);
    },
    write(status, headers, chunk) {
      response.writeHead(status, headers);
      response.write(chunk);
    },
    more: (chunk, isLast) => (isLast ? response.end(chunk) : response.write(chunk)),
    onClose: (onClose) => response.on("close", onClose),
    destroy: (error) => (response.stream ?? response).destroy(error),
  };
}

/** An exchange of an HTTP/2 stream. */
function streamExchange(stream, headers) {
  stream.on("error", () => {});
  const [path, query = ""] = headers[":path"].split("?");
  return {
    method: headers[":method"],
    path,
    query,
    headers,
    body: () =>
      new Promise((resolve) => {
        const chunks = [];
        stream.on("data", (chunk) => chunks.push(chunk));
        stream.on("end", () => resolve(Buffer.concat(chunks)));
      }),
    reply(status, answer, body) {
      stream.respond({ ":status": status, ...answer });
      stream.end(body);
    },
    write(status, answer, chunk) {
      stream.respond({ ":status": status, ...answer });
      stream.write(chunk);
    },
    more: (chunk, isLast) => (isLast ? stream.end(chunk) : stream.write(chunk)),
    onClose: (onClose) => stream.on("close", onClose),
    destroy: (error) => stream.destroy(error),
  };
}

/** For servers without routes: the handler of a path; GET's for HEAD. */
function handlerOf(method, path) {
  const name = path.split("/")[1];
  const wanted = method === "HEAD" ? "GET" : method;
  const route = ROUTES.find(([of, pattern]) => of === wanted && pattern.split("/")[1] === name);
  return route?.[2] ?? (({ reply }) => reply(404, {}, undefined));
}

/** `request` listener of a server without routes. */
function listener(request, response) {
  const exchange = toExchange(request, response);
  void handlerOf(exchange.method, exchange.path)(exchange);
}

/** `stream` listener of an HTTP/2 server. */
function streamListener(stream, headers) {
  const exchange = streamExchange(stream, headers);
  void handlerOf(exchange.method, exchange.path)(exchange);
}

/** Says where the application listens. */
function announce(address) {
  console.log(`listening ${address.port}`);
}

exports.announce = announce;
exports.listener = listener;
exports.ROUTES = ROUTES;
exports.streamListener = streamListener;
exports.toExchange = toExchange;
