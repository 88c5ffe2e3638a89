// The application of http-client.test.ts: every way to make a request and to end one, each inside a root span of its own. It
// prints what an application can see, line by line, so that a run without the preload can be compared.
import http from "node:http";
import { get as namedGet, request as namedRequest } from "node:http";
import https from "node:https";
import net from "node:net";
import { EventEmitter } from "node:events";
import { Readable, pipeline } from "node:stream";
import { context, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import axios from "axios";

const { TARGET: target, SECURE_TARGET: secureTarget } = process.env;
const { hostname, port } = new URL(target);
const tracer = trace.getTracer("app");
const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));
const spanId = () => trace.getActiveSpan()?.spanContext().spanId;

async function scenario(name, body) {
  const seen = [];
  const where = [];
  await tracer.startActiveSpan(name, async (span) => {
    const home = spanId();
    try {
      await body(
        (...values) => seen.push(...values),
        () => where.push(spanId() === home),
      );
    } catch (error) {
      seen.push(`unexpected ${error.stack}`);
    }
    span.end();
  });
  console.log(JSON.stringify({ name, seen, where }));
}

const describe = (error) => ({
  class: error?.constructor?.name,
  code: error?.code,
  message: error?.message.replaceAll(/:\d+/g, ":port"),
});

/** Ends the request, reads the response, and gives what there was to see. */
function complete(request, { body, end = true } = {}) {
  return new Promise((resolve) => {
    const events = [];
    const see = (emitter, prefix, names) => {
      for (const name of names) emitter.on(name, () => events.push(prefix + name));
    };
    see(request, "", ["socket", "abort", "timeout", "continue", "information"]);
    request.on("error", (error) => events.push(describe(error)));
    request.on("response", (response) => {
      events.push(response.statusCode);
      see(response, "response ", ["end", "aborted", "close"]);
      response.on("error", (error) => events.push("response error", describe(error)));
      let text = "";
      response.on("data", (chunk) => (text += chunk));
      response.on("end", () => events.push(text.length > 100 ? text.length : text));
    });
    request.on("close", () => setImmediate(() => resolve([...events, "close"])));
    if (end) request.end(body);
  });
}

async function main() {
  await scenario("http.get", async (note, where) => {
    const request = http.get(`${target}/json?page=2`);
    note(await complete(request, { end: false }));
    where();
    note(request.listenerCount("error"), request.rawListeners("response").length, Object.keys(request).length);
    note(Object.getOwnPropertySymbols(request).map(String));
    note(http.request.length, http.get.name, http.ClientRequest.name, http.ClientRequest.prototype.end.length);
    note(request.write.name, request.emit.name, request.destroy.length);
  });
  await scenario("callback", async (note, where) => {
    await new Promise((resolve) => {
      http.get(`${target}/json`, (response) => {
        where();
        note(response.statusCode, response.headers["x-request-id"], Object.getOwnPropertySymbols(response).map(String));
        response.once("data", () => where());
        response.resume().on("end", () => {
          where();
          resolve();
        });
      });
    });
  });
  await scenario("http.request", async (note) => note(await complete(http.request({ hostname, port, path: "/json" }))));
  await scenario("named request", async (note) => note(await complete(namedRequest(`${target}/json`))));
  await scenario("named get", async (note) =>
    note(await complete(namedGet(new URL(`${target}/json`)), { end: false })),
  );
  await scenario("new ClientRequest", async (note) => note(await complete(new http.ClientRequest(`${target}/json`))));
  await scenario("subclass", async (note) => {
    class OwnRequest extends http.ClientRequest {}
    note(await complete(new OwnRequest(`${target}/json`)));
  });
  await scenario("https.get", async (note) => note(await complete(https.get(`${secureTarget}/json`), { end: false })));
  await scenario("https.request", async (note) => note(await complete(https.request(`${secureTarget}/json`))));
  await scenario("agent false", async (note) => note(await complete(http.request(`${target}/json`, { agent: false }))));
  await scenario("createConnection", async (note) => {
    const createConnection = (options) => net.connect({ port: options.port, host: options.host });
    note(await complete(http.request(`${target}/json`, { createConnection })));
  });
  await scenario("own agent", async (note) => {
    class OwnAgent extends EventEmitter {
      addRequest(request, options) {
        const socket = net.connect({ host: options.host, port: options.port });
        socket.once("connect", () => request.onSocket(socket));
      }
    }
    const request = http.request(`${target}/json`, { agent: new OwnAgent() });
    note((await complete(request)).slice(0, 3));
  });
  const headers = ["host", "array.test", "x-own", "1"];
  await scenario("header array", async (note) => {
    note(await complete(http.request(`${target}/json`, { headers })), headers);
  });
  const pairs = [["host", "pairs.test"]];
  await scenario("header pairs", async (note) => {
    note(await complete(http.request(`${target}/json`, { headers: pairs })), pairs);
  });
  await scenario("expect", async (note) => {
    const request = http.request(`${target}/echo`, { method: "POST", headers: { expect: "100-continue" } });
    request.on("continue", () => request.end("continued"));
    note(await complete(request, { end: false }));
  });
  await scenario("axios get", async (note) => note((await axios.get(`${target}/json`)).data));
  await scenario("axios redirect", async (note) => note((await axios.get(`${target}/redirect`)).data));
  await scenario("axios post", async (note) => note((await axios.post(`${target}/echo`, { a: 1 })).data));
  await scenario("axios error", async (note) =>
    axios.get(`${target}/status?code=503`).catch((error) => note(error.code, error.response.status)),
  );
  await scenario("axios cancelled", async (note) => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    await axios.get(`${target}/hang`, { signal: controller.signal }).catch((error) => note(error.code));
  });
  await scenario("axios timeout", async (note) => {
    await axios.get(`${target}/hang`, { timeout: 50 }).catch((error) => note(error.code));
  });

  const post = (path, more = {}) =>
    http.request(`${target}${path}`, { method: "POST", headers: { "content-type": "application/json" }, ...more });
  await scenario("body in pieces", async (note) => {
    const request = post("/echo");
    request.write('{"a":1,');
    request.write(Buffer.from('"token":"t0ps3cret",'));
    request.write("22623a327d", "hex");
    note(await complete(request));
  });
  await scenario("body at the end", async (note) => note(await complete(post("/echo"), { body: '{"b":"ü"}' })));
  await scenario("binary body", async (note) => {
    const request = post("/echo", { headers: { "content-type": "application/octet-stream" } });
    note(await complete(request, { body: Buffer.alloc(1000) }));
  });
  await scenario("piped body", async (note) => {
    const request = post("/echo");
    pipeline(Readable.from(['{"from":', '"a stream"}']), request, () => {});
    note(await complete(request, { end: false }));
  });
  await scenario("answer before the body", async (note) => {
    const request = post("/early");
    request.write("{");
    request.flushHeaders();
    await new Promise((resolve) => request.once("response", resolve).once("response", (response) => response.resume()));
    request.end("}");
    note("answered");
  });
  await scenario("HEAD", async (note) => note(await complete(http.request(`${target}/json`, { method: "HEAD" }))));
  await scenario("204", async (note) => note(await complete(http.get(`${target}/status?code=204`), { end: false })));
  await scenario("404", async (note) => note(await complete(http.get(`${target}/status?code=404`), { end: false })));
  await scenario("unknown method", async (note) => {
    note((await complete(http.request(`${target}/json`, { method: "PURGE" }))).at(-1));
  });
  await scenario("gzip", async (note) => {
    note((await complete(http.get(`${target}/gzip`), { end: false })).includes("response end"));
  });
  await scenario("slow", async (note) => note(await complete(http.get(`${target}/slow`), { end: false })));
  await scenario("big", async (note) => note(await complete(http.get(`${target}/big`), { end: false })));

  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  await scenario("first on a connection", async (note) => note(await complete(http.get(`${target}/json`, { agent }))));
  await scenario("second on a connection", async (note) => {
    const request = http.get(`${target}/json`, { agent });
    note(await complete(request, { end: false }), request.reusedSocket);
  });
  await Promise.all(
    ["queued A", "queued B", "queued C"].map((name) =>
      scenario(name, async (note, where) => {
        note((await complete(http.get(`${target}/slow?${name.at(-1)}`, { agent }), { end: false })).at(-1));
        where();
      }),
    ),
  );
  agent.destroy();

  await scenario("refused", async (note) => note(await complete(http.get("http://127.0.0.1:9/"), { end: false })));
  await scenario("unknown host", async (note) => {
    const lookup = (host, options, callback) =>
      callback(Object.assign(new Error("no such host"), { code: "ENOTFOUND" }));
    note(await complete(http.get("http://nowhere.test/", { lookup }), { end: false }));
  });
  await scenario("reset", async (note) => note(await complete(http.get(`${target}/reset`), { end: false })));
  await scenario("cut", async (note) => note(await complete(http.get(`${target}/cut`), { end: false })));
  await scenario("certificate", async (note) => {
    note(await complete(https.get(`${secureTarget}/json`, { ca: [], agent: false }), { end: false }));
  });
  const endedBy = async (note, options, action) => {
    const request = http.get(`${target}/hang`, options);
    const completed = complete(request, { end: false });
    await sleep(50);
    action?.(request);
    note(await completed);
  };
  await scenario("destroyed", (note) => endedBy(note, {}, (request) => note(request.destroy() === request)));
  await scenario("destroyed with an error", (note) =>
    endedBy(note, {}, (request) => request.destroy(Object.assign(new Error("enough"), { code: "OWN_CODE" }))),
  );
  await scenario("aborted", (note) => endedBy(note, {}, (request) => request.abort()));
  await scenario("signal", async (note) => {
    const controller = new AbortController();
    await endedBy(note, { signal: controller.signal }, () => controller.abort());
  });
  await scenario("timeout", async (note) => {
    const request = http.get(`${target}/hang`, { timeout: 50 });
    request.on("timeout", () => request.destroy());
    note(await complete(request, { end: false }));
  });
  await scenario("destroyed at once", async (note) => {
    const request = http.get(`${target}/json`);
    request.destroy();
    note(await complete(request, { end: false }));
  });
  await scenario("response destroyed", async (note) => {
    const request = http.get(`${target}/big`);
    request.on("response", (response) => response.once("data", () => response.destroy()));
    note((await complete(request, { end: false })).at(-1));
  });
  await scenario("loop left early", async (note) => {
    const request = http.get(`${target}/big`);
    const [response] = await EventEmitter.once(request, "response");
    for await (const chunk of response) {
      note(chunk.length > 0);
      break;
    }
    note(response.destroyed);
  });
  await scenario("nobody listens for the response", async (note) => {
    const request = http.get(`${target}/json`);
    await EventEmitter.once(request, "close");
    note(request.res.complete);
  });
  await scenario("upgrade", async (note) => {
    const request = http.get(`${target}/upgrade`, { headers: { connection: "upgrade", upgrade: "test" } });
    const [response, socket] = await EventEmitter.once(request, "upgrade");
    note(response.statusCode, socket.destroyed);
    socket.destroy();
  });
  await scenario("CONNECT", async (note) => {
    const request = http.request({ hostname, port, method: "CONNECT", path: "elsewhere.test:443" }).end();
    const [response, socket] = await EventEmitter.once(request, "connect");
    note(response.statusCode);
    socket.destroy();
  });

  const foreign = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  await scenario("own traceparent", async (note) => {
    note(await complete(http.get(`${target}/json?own`, { headers: { traceparent: foreign } }), { end: false }));
  });
  await scenario("forwarded traceparent", async (note) => {
    const { traceId = "0".repeat(32) } = trace.getActiveSpan()?.spanContext() ?? {};
    const traceparent = `00-${traceId}-b7ad6b7169203331-01`;
    note(await complete(http.get(`${target}/json?forwarded`, { headers: { traceparent } }), { end: false }));
  });
  await scenario("secrets", async (note) => {
    const request = http.request(`${target.replace("//", "//alice:wonderland@")}/json?token=t0ps3cret&page=1`, {
      method: "POST",
      headers: { cookie: "sid=s3cret", "x-api-key": "k3y", "content-type": "application/json" },
    });
    note(await complete(request, { body: '{"password":"hunter2","city":"Oslo"}' }));
  });
  await scenario("suppressed", async (note) => {
    const suppressed = ROOT_CONTEXT.setValue(Symbol.for("OpenTelemetry SDK Context Key SUPPRESS_TRACING"), true);
    note(await context.with(suppressed, () => complete(http.get(`${target}/json?suppressed`), { end: false })));
  });
  await scenario("unsampled", async (note) => {
    const parent = { traceId: "1".repeat(32), spanId: "2".repeat(16), traceFlags: 0, isRemote: true };
    const unsampled = trace.setSpanContext(ROOT_CONTEXT, parent);
    note(await context.with(unsampled, () => complete(http.get(`${target}/json?unsampled`), { end: false })));
  });
  await scenario("unread", async (note) => {
    const request = http.get(`${target}/big?unread`);
    const [response] = await EventEmitter.once(request, "response");
    note(response.statusCode);
    setTimeout(() => response.destroy(), 6000).unref();
  });
  await scenario("unread at exit", async (note) => {
    if (process.env.WAIT_FOR_UNREAD) await sleep(5000);
    const request = http.get(`${target}/big?exit`);
    const [response] = await EventEmitter.once(request, "response");
    note(response.statusCode);
    await sleep(200);
  });
  process.exit(0);
}
void main();
