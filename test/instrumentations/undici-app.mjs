// The application of undici.test.ts: requests of Node's own fetch or, with UNDICI=1, of the package's fetch and its other
// ways, each inside a root span of its own. It prints what an application can see, line by line, so that a run without the
// preload can be compared.
import http from "node:http";
import { context, ROOT_CONTEXT, trace } from "@opentelemetry/api";

const { TARGET: target, SECURE_TARGET: secureTarget } = process.env;
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
    where.push(spanId() === home);
    span.end();
  });
  console.log(JSON.stringify({ name, seen, where }));
}

const describe = (error) =>
  error instanceof Error
    ? {
        class: error.constructor.name,
        name: error.name,
        code: error.code,
        message: error.message.replaceAll(/:\d+/g, ":port"),
        cause: error.cause?.code ?? error.cause?.name,
      }
    : error;
const rejected = (promise) => promise.then(() => "fulfilled", describe);
const json = { method: "POST", headers: { "content-type": "application/json" } };

async function fetches(fetch) {
  const text = async (path, options) => (await fetch(`${target}${path}`, options)).text();
  await scenario("fetch", async (note, where) => {
    const response = await fetch(`${target}/json?page=2`);
    where();
    note(response.status, [...response.headers.keys()].sort(), response.constructor.name, await response.json());
    where();
  });
  await scenario("again", async (note) => note(await text("/json")));
  await scenario("https", async (note) => note((await fetch(`${secureTarget}/json`)).status));
  await scenario("URL object", async (note) => note((await fetch(new URL(`${target}/json`))).status));
  await scenario("body", async (note) => note(await text("/echo", { ...json, body: '{"token":"t0ps3cret","b":"ü"}' })));
  await scenario("streamed body", async (note) => {
    const body = new ReadableStream({
      start(controller) {
        for (const part of ['{"from":', '"a stream"}']) controller.enqueue(new TextEncoder().encode(part));
        controller.close();
      },
    });
    note(await text("/echo", { ...json, body, duplex: "half" }));
  });
  await scenario("form", async (note) =>
    note(await text("/echo", { method: "POST", body: new URLSearchParams("a=1&pin=1234") })),
  );
  await scenario("binary body", async (note) =>
    note(await text("/echo", { method: "POST", body: new Uint8Array(1000) })),
  );
  await scenario("HEAD", async (note) => note((await fetch(`${target}/json`, { method: "HEAD" })).status));
  await scenario("204", async (note) => note((await fetch(`${target}/status?code=204`)).status));
  await scenario("404", async (note) => note((await fetch(`${target}/status?code=404`)).status));
  await scenario("503", async (note) => note(await text("/status?code=503")));
  await scenario("redirect", async (note) => note(await text("/redirect")));
  await scenario("redirect not followed", async (note) => note(await text("/redirect", { redirect: "manual" })));
  await scenario("gzip", async (note) => note(await text("/gzip")));
  await scenario("slow", async (note) => note(await text("/slow")));
  await scenario("big", async (note) => note((await text("/big")).length));
  await scenario("chunks", async (note) => {
    let size = 0;
    for await (const chunk of (await fetch(`${target}/big`)).body) size += chunk.length;
    note(size);
  });
  await scenario("unread small", async (note) => note((await fetch(`${target}/json?unread`)).status));
  await Promise.all(
    ["A", "B", "C"].map((name) =>
      scenario(`parallel ${name}`, async (note, where) => {
        note(await text(`/slow?${name}`));
        where();
      }),
    ),
  );

  await scenario("refused", async (note) => note(await rejected(fetch("http://127.0.0.1:2/"))));
  await scenario("reset", async (note) => note(await rejected(fetch(`${target}/reset`))));
  await scenario("cut", async (note) => {
    const response = await fetch(`${target}/cut`);
    note(response.status, await rejected(response.text()));
  });
  const aborted = async (path, reason) => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(...reason), 60);
    return rejected(fetch(`${target}${path}`, { signal: controller.signal }).then((response) => response.text()));
  };
  await scenario("aborted", async (note) => note(await aborted("/hang", [])));
  await scenario("aborted with a reason", async (note) => note(await aborted("/hang", ["enough"])));
  await scenario("deadline", async (note) => {
    note(await rejected(fetch(`${target}/hang`, { signal: AbortSignal.timeout(60) })));
  });
  await scenario("body cancelled", async (note) => {
    const response = await fetch(`${target}/big`);
    note(await response.body.cancel());
  });
  await scenario("loop left early", async (note) => {
    for await (const chunk of (await fetch(`${target}/big`)).body) {
      note(chunk.length > 0);
      break;
    }
  });

  const foreign = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  await scenario("own traceparent", async (note) =>
    note(await text("/json?own", { headers: { traceparent: foreign } })),
  );
  await scenario("forwarded traceparent", async (note) => {
    const { traceId = "0".repeat(32) } = trace.getActiveSpan()?.spanContext() ?? {};
    const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01` };
    note(await text("/json?forwarded", { headers }), Object.keys(headers));
  });
  await scenario("secrets", async (note) => {
    const headers = { cookie: "sid=s3cret", "x-api-key": "k3y", "content-type": "application/json" };
    const body = '{"password":"hunter2","city":"Oslo"}';
    note(await text("/json?token=t0ps3cret&page=1", { method: "POST", headers, body }));
  });
  await scenario("suppressed", async (note) => {
    const suppressed = ROOT_CONTEXT.setValue(Symbol.for("OpenTelemetry SDK Context Key SUPPRESS_TRACING"), true);
    note(await context.with(suppressed, () => text("/json?suppressed")));
  });
  await scenario("unsampled", async (note) => {
    const parent = { traceId: "1".repeat(32), spanId: "2".repeat(16), traceFlags: 0, isRemote: true };
    note(await context.with(trace.setSpanContext(ROOT_CONTEXT, parent), () => text("/json?unsampled")));
  });
}

async function others(undici) {
  const { Agent, Client, MockAgent, Pool, RetryAgent } = undici;
  const read = async (options, path = "/json") => {
    const { statusCode, body } = await undici.request(`${target}${path}`, options);
    return [statusCode, await body.text()];
  };
  await scenario("request", async (note, where) => {
    note(await read());
    where();
  });
  await scenario("request with a body", async (note) => note(await read({ ...json, body: '{"a":1}' }, "/echo")));
  await scenario("header array", async (note) => note(await read({ headers: ["x-own", "1", "accept", "text/plain"] })));
  await scenario("repeated header", async (note) => note(await read({ headers: { "x-own": ["1", "2"] } })));
  await scenario("stream", async (note) => {
    const parts = [];
    const { Writable } = await import("node:stream");
    await undici.stream(`${target}/json`, { method: "GET" }, ({ statusCode }) => {
      note(statusCode);
      return new Writable({ write: (chunk, _, done) => done(null, parts.push(String(chunk))) });
    });
    note(parts.join(""));
  });
  await scenario("pipeline", async (note) => {
    const duplex = undici.pipeline(`${target}/echo`, { method: "POST" }, ({ body }) => body);
    duplex.end("piped");
    let text = "";
    for await (const chunk of duplex) text += chunk;
    note(text);
  });
  await scenario("upgrade", async (note) => {
    const { socket } = await undici.upgrade(`${target}/upgrade`, { protocol: "test" });
    note(socket.constructor.name);
    socket.destroy();
  });
  await scenario("CONNECT tunnel", async (note) => {
    const client = new Client(target);
    const { statusCode, socket } = await client.connect({ path: "elsewhere.test:443" });
    note(statusCode);
    socket.destroy();
    await client.destroy();
  });
  await scenario("dispatch", async (note) => {
    const client = new Client(target);
    const events = [];
    await new Promise((resolve, reject) => {
      client.dispatch(
        { path: "/json", method: "GET" },
        {
          onRequestStart: () => events.push("start"),
          onResponseStart: (_, statusCode) => events.push(statusCode),
          onResponseData: (_, chunk) => events.push(String(chunk)),
          onResponseEnd: () => resolve(events.push("end")),
          onResponseError: (_, error) => reject(error),
        },
      );
    });
    note(events);
    await client.close();
  });
  const pool = new Pool(target, { connections: 1 });
  await Promise.all(
    ["A", "B", "C"].map((name) =>
      scenario(`pool ${name}`, async (note, where) => {
        note(await read({ dispatcher: pool }, `/slow?pool=${name}`));
        where();
      }),
    ),
  );
  await pool.close();
  const agent = new Agent({ connections: 1 });
  const retries = new RetryAgent(agent, { minTimeout: 20, maxTimeout: 40 });
  await scenario("before the retries", async (note) => note(await read({ dispatcher: retries })));
  await Promise.all([
    scenario("retries", async (note) => note(await read({ dispatcher: retries }, `/flaky?${process.pid}`))),
    scenario("between the retries", async (note) => note(await read({ dispatcher: agent }))),
  ]);
  await scenario("redirect interceptor", async (note) => {
    const dispatcher = agent.compose(undici.interceptors.redirect({ maxRedirections: 2 }));
    note(await read({ dispatcher }, "/redirect"));
  });
  await agent.close();
  await scenario("mocked", async (note) => {
    const mock = new MockAgent();
    mock.disableNetConnect();
    mock.get("http://mock.test").intercept({ path: "/" }).reply(200, "mocked");
    const { body } = await undici.request("http://mock.test/", { dispatcher: mock });
    note(await body.text());
  });
  await scenario("headers timeout", async (note) => note(await rejected(read({ headersTimeout: 100 }, "/hang"))));
  await scenario("body destroyed", async (note) => {
    const { statusCode, body } = await undici.request(`${target}/big`);
    body.on("error", (error) => note(describe(error)));
    body.destroy();
    note(statusCode);
    await sleep(50);
  });
  await scenario("body dumped", async (note) => {
    const { body } = await undici.request(`${target}/json`);
    note(await body.dump());
  });
}

async function main() {
  // Its own copy would serve the global fetch too.
  const undici = process.env.UNDICI ? await import("undici") : undefined;
  await fetches(undici === undefined ? fetch : undici.fetch);
  if (undici !== undefined) await others(undici);
  await scenario("http beside it", async (note) => {
    await new Promise((resolve) => {
      http.get(`${target}/json`, (response) => response.resume().on("end", resolve));
    });
    note("done");
  });

  const kept = [];
  const unread = async (note, path) => {
    const response = await (undici?.fetch ?? fetch)(`${target}${path}`);
    kept.push(response);
    note(response.status);
  };
  await scenario("unread", (note) => unread(note, "/big?unread"));
  if (process.env.WAIT_FOR_UNREAD) await sleep(5000);
  await scenario("unread at exit", async (note) => {
    await unread(note, "/big?exit");
    await sleep(200);
  });
  process.exit(kept.length - 2);
}
void main();
