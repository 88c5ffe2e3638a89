// The application of http-server.test.ts. Paths tell what a handler does; nothing here knows about tracing, but for the
// handlers that use the OpenTelemetry API as an application might.
import { context, propagation, trace } from "@opentelemetry/api";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import zlib from "node:zlib";

const warnings = [];
process.on("warning", (warning) => warnings.push(`${warning.name}: ${warning.message}`));
/** What the stress test asks for: how often a handler has seen each URL. */
const seen = new Map();
let mostCloseListeners = 0;

const handlers = {
  hello(request, response) {
    response.setHeader("Content-Type", "text/plain; charset=utf-8");
    response.end("hello");
  },
  bare(request, response) {
    response.end("no type");
  },
  status(request, response) {
    response.writeHead(Number(request.url.split("/")[2]) || 200);
    response.end();
  },
  async echo(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    response.writeHead(201, { "content-type": request.headers["content-type"] ?? "text/plain", "X-Request-Id": "r-1" });
    response.end(Buffer.concat(chunks));
  },
  events(request, response) {
    // Strings, as setEncoding makes them, in the flowing mode.
    let text = "";
    request.setEncoding("utf8");
    request.on("data", (chunk) => (text += chunk));
    request.on("end", () => response.end(text));
  },
  unread(request, response) {
    response.end("not interested");
  },
  chunks(request, response) {
    response.setHeader("content-type", "application/json");
    response.write('{"na');
    response.write(Buffer.from('me":"Zo'));
    response.write("eb", "latin1");
    response.write(Uint8Array.from([0xc3]));
    response.end(Buffer.from([0xab, 0x22, 0x7d]));
  },
  large(request, response) {
    response.setHeader("content-type", "text/plain");
    for (let index = 0; index < 20; index++) response.write("été ".repeat(200));
    response.end();
  },
  binary(request, response) {
    response.setHeader("content-type", "image/png");
    response.end(Buffer.alloc(300, 1));
  },
  /** `/coded/<coding>/<what>` */
  coded(request, response) {
    const [, , coding, what] = request.url.split("/");
    const text =
      what === "bomb" ? "0".repeat(5_000_000) : JSON.stringify({ password: "s3cr3t-coded", text: "é".repeat(5000) });
    const encode = {
      gzip: zlib.gzipSync,
      "x-gzip": zlib.gzipSync,
      deflate: zlib.deflateSync,
      br: zlib.brotliCompressSync,
    };
    const { [coding]: compress = zlib[coding] } = encode;
    const bytes = what === "lie" ? Buffer.from("this is not compressed at all") : compress(text);
    const name = coding === "deflateRawSync" ? "deflate" : coding === "zstdCompressSync" ? "zstd" : coding;
    response.writeHead(200, { "content-type": "application/json", "content-encoding": name });
    for (let start = 0; start < bytes.length; start += 1000) response.write(bytes.subarray(start, start + 1000));
    response.end();
  },
  both(request, response) {
    request.resume();
    response.writeHead(200, { "content-type": "text/plain", "content-encoding": "gzip, br" });
    request.on("end", () => response.end(zlib.brotliCompressSync(zlib.gzipSync("twice"))));
  },
  secrets(request, response) {
    request.resume();
    response.setHeader("content-type", "application/json");
    response.setHeader("set-cookie", ["sid=s3cr3t-sid; Path=/", "b=s3cr3t-b"]);
    response.setHeader("location", "https://user:s3cr3t-pw@example.com/?token=s3cr3t-location");
    request.on("end", () => response.end(JSON.stringify({ password: "s3cr3t-answer", ok: true })));
  },
  stream(request, response) {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write('data: event 1\n\ndata: {"password":"s3cr3t-event"}\n\n');
    const timer = setInterval(() => response.write("data: more\n\n"), 100);
    response.on("close", () => clearInterval(timer));
  },
  hang() {},
  partial(request, response) {
    response.setHeader("content-type", "text/plain");
    response.write("the beginning");
  },
  destroy(request, response) {
    response.destroy(Object.assign(new Error("gave up"), { code: "E_GAVE_UP" }));
  },
  close(request) {
    request.socket.destroy();
  },
  slow(request, response) {
    setTimeout(() => response.end("slow"), 20);
  },
  async child(request, response) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    trace.getTracer("app").startSpan("work").end();
    const carrier = {};
    propagation.inject(context.active(), carrier);
    response.end(JSON.stringify(carrier));
  },
  renamed(request, response) {
    trace.getActiveSpan().updateName("my own name").setAttribute("http.route", "/mine").setAttribute("mine", 1);
    response.end();
  },
  /** What an application can see of its request, its response and the connection. */
  inspect(request, response) {
    const listeners = (emitter) => emitter.eventNames().map((name) => [String(name), emitter.listenerCount(name)]);
    const seenByApp = {
      method: request.method,
      request: Reflect.ownKeys(request).map(String).toSorted(),
      response: Reflect.ownKeys(response).map(String).toSorted(),
      requestListeners: listeners(request),
      responseListeners: listeners(response),
      flowing: [request.readableFlowing, request.isPaused(), request.readableDidRead],
      shapes: [request.push, response.write, response.end].map(({ name, length }) => [name, length]),
      returned: [response.write("x"), typeof response.end("", () => {})],
      symbols: Object.keys(http.ServerResponse.prototype).filter((key) => key.includes("kit")),
    };
    console.log(`inspected ${JSON.stringify(seenByApp)}`);
  },
  listeners(request, response) {
    response.end(String(request.socket.listenerCount("close")));
  },
  hostile(request, response) {
    response.setHeader("location", "/");
    response.getHeader = (name) => {
      if (name === "location") throw new Error("hostile");
    };
    response.end("done");
  },
  report(request, response) {
    response.end(JSON.stringify({ seen: [...seen], warnings, mostCloseListeners }));
  },
};

function handle(request, response) {
  mostCloseListeners = Math.max(mostCloseListeners, request.socket.listenerCount("close"));
  seen.set(request.url, (seen.get(request.url) ?? 0) + 1);
  request.on("error", () => {});
  response.on("error", () => {});
  const name = /^(?:http:\/\/[^/]*)?\/([a-z]*)/.exec(request.url)?.[1];
  Promise.resolve((handlers[name] ?? handlers.status)(request, response)).catch(() => response.destroy());
}

const server = http.createServer(handle);
server.on("upgrade", (request, socket) => {
  if (request.url === "/left") return socket.destroy();
  socket.cork();
  if (request.url === "/refused") socket.write("HTTP/1.1 503 Service Unavailable\r\n");
  else socket.write("HTTP/1.1 101 Switching Protocols\r\nX-Request-ID: up-1\r\n\r\n");
  socket.end("\r\n");
});
server.on("connect", (request, socket) => socket.end("HTTP/1.1 200 Connection established\r\n\r\n"));
server.listen(0, "127.0.0.1", () => console.log(`listening ${server.address().port}`));

const [key, cert] = process.argv.slice(2);
if (key !== undefined) {
  const secure = https.createServer({ key: readFileSync(key), cert: readFileSync(cert) }, handle);
  secure.listen(0, "127.0.0.1", () => console.log(`secure ${secure.address().port}`));
}
