import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { type App, startApp } from "../support/run-app.ts";
import { createTestCertificates, type TestCertificates } from "../support/tls.ts";

const file = join(import.meta.dirname, "http-server-app.mjs");

let receiver: OtlpReceiver;
let certificates: TestCertificates;
let app: App;
let port: number;
let securePort: number;

beforeAll(async () => {
  receiver = await startOtlpReceiver();
  certificates = createTestCertificates();
  app = startApp({
    file,
    args: [certificates.files.serverKey, certificates.files.serverCert],
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_BSP_SCHEDULE_DELAY: "100" },
  });
  port = await app.port();
  securePort = Number((await app.waitForLine(/secure (\d+)/))[1]);
});

afterAll(async () => {
  await app?.kill();
  await receiver?.close();
  certificates?.remove();
});

/** The spans of one path. Spans leave in the order they end, so a later request's span says that there are no more. */
async function spansOf(path: string): Promise<ReceivedSpan[]> {
  const marker = `/status/200/after${path.replaceAll(/[?#].*/g, "")}/${Math.random()}`;
  await exchange(get(marker));
  const isOf = (wanted: string) => (span: ReceivedSpan) => span.attributes["url.path"] === wanted;
  const spans = await receiver.waitForSpans((received) => received.some(isOf(marker)));
  return spans.filter(isOf(path));
}

async function spanOf(path: string): Promise<ReceivedSpan> {
  // A span whose body is decoded arrives a moment later.
  await receiver.waitForSpans((received) => received.some(({ attributes }) => attributes["url.path"] === path));
  const spans = await spansOf(path);
  expect(spans).toHaveLength(1);
  return spans[0] as ReceivedSpan;
}

const get = (path: string, headers = ""): string => `GET ${path} HTTP/1.1\r\nHost: shop.example:8080\r\n${headers}\r\n`;
const post = (path: string, body: string, headers = ""): string =>
  `POST ${path} HTTP/1.1\r\nHost: shop.example\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`;

/** Sends `text` over a connection of its own and gives what comes back until `responses` blank lines, or the end. */
async function exchange(text: string | Buffer, responses = 1, to = port): Promise<string> {
  const socket = connect(to, "127.0.0.1");
  socket.write(text);
  const answer = await readResponses(socket, responses);
  socket.destroy();
  return answer;
}

function readResponses(socket: Socket, responses: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = "";
    const finish = (): void => {
      socket.off("data", onData).off("error", onError).off("close", finish);
      resolve(received);
    };
    const onData = (chunk: Buffer): void => {
      received += chunk.toString("latin1");
      const isChunked = /transfer-encoding/i.test(received);
      if (isChunked ? received.endsWith("\r\n0\r\n\r\n") : received.split("\r\n\r\n").length > responses) finish();
    };
    // A reset is an answer too; a server that is gone is not.
    const onError = (error: NodeJS.ErrnoException): void => {
      if (error.code === "ECONNREFUSED") reject(error);
    };
    socket.on("data", onData).on("error", onError).on("close", finish);
  });
}

describe("a request's span", () => {
  test("has the attributes of HTTP's semantic conventions", async () => {
    await exchange(get("/hello/all?page=2&token=s3cr3t-query", "User-Agent: probe/1.0\r\nX-Request-ID: abc\r\n"));
    const span = await spanOf("/hello/all");
    expect(span).toMatchObject({ name: "GET", kind: "SERVER", parentSpanId: "", status: { code: "UNSET" } });
    expect(span.scope.name).toBe("@tracekit/auto/http-server");
    expect(span.attributes).toEqual({
      "http.request.method": "GET",
      "url.scheme": "http",
      "url.path": "/hello/all",
      "url.query": "page=2&token=REDACTED",
      "server.address": "shop.example",
      "server.port": 8080,
      "client.address": "127.0.0.1",
      "network.peer.address": "127.0.0.1",
      "network.peer.port": expect.any(Number),
      "network.protocol.version": "1.1",
      "user_agent.original": "probe/1.0",
      "http.request.header.x-request-id": ["abc"],
      "http.response.status_code": 200,
      "http.response.header.content-type": ["text/plain; charset=utf-8"],
      "http.response.body.size": 5,
      "http.response.body.content": "hello",
    });
  });

  test("is of https where the connection is", async () => {
    const socket = connectTls({ port: securePort, host: "127.0.0.1", ca: certificates.ca });
    socket.write("GET /hello/secure HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    await readResponses(socket, 1);
    socket.destroy();
    expect((await spanOf("/hello/secure")).attributes).toMatchObject({
      "url.scheme": "https",
      "server.port": 443,
      "network.peer.address": "127.0.0.1",
    });
  });

  test.each([
    ["X-Forwarded-For: 203.0.113.9, 10.0.0.1\r\nX-Forwarded-Proto: https,http\r\nX-Forwarded-Host: api.example\r\n"],
    ["X-Forwarded-For: 203.0.113.9:5511\r\nX-FORWARDED-PROTO: HTTPS\r\nx-forwarded-host: api.example:443\r\n"],
    ['Forwarded: for="203.0.113.9:1";proto=https;host=api.example, for=10.0.0.1\r\nX-Forwarded-For: 192.0.2.1\r\n'],
  ])("tells the client and the server as the first proxy saw them: %j", async (headers) => {
    const path = `/hello/proxied/${headers.length}`;
    await exchange(get(path, headers));
    expect((await spanOf(path)).attributes).toMatchObject({
      "url.scheme": "https",
      "server.address": "api.example",
      "server.port": 443,
      "client.address": "203.0.113.9",
      "network.peer.address": "127.0.0.1",
    });
  });

  test("ignores forwarding headers that hold no address, scheme or host", async () => {
    await exchange(
      get("/hello/forged", "X-Forwarded-For: <script>\r\nX-Forwarded-Proto: a b\r\nForwarded: for=_x;;=\r\n"),
    );
    expect((await spanOf("/hello/forged")).attributes).toMatchObject({
      "url.scheme": "http",
      "client.address": "127.0.0.1",
    });
  });

  test.each([
    [200, "UNSET", undefined],
    [304, "UNSET", undefined],
    [404, "UNSET", undefined],
    [500, "ERROR", "500"],
    [503, "ERROR", "503"],
  ])("with status %i is %s", async (status, code, errorType) => {
    await exchange(get(`/status/${status}`));
    const span = await spanOf(`/status/${status}`);
    expect(span.status).toEqual({ code, message: "" });
    expect(span.attributes["http.response.status_code"]).toBe(status);
    expect(span.attributes["error.type"]).toBe(errorType);
  });

  test("has no method of its own making", async () => {
    await exchange("PROPFIND /status/200/propfind HTTP/1.1\r\nHost: x\r\n\r\n");
    const span = await spanOf("/status/200/propfind");
    expect(span.name).toBe("HTTP");
    expect(span.attributes).toMatchObject({
      "http.request.method": "_OTHER",
      "http.request.method_original": "PROPFIND",
    });
  });

  test("has the path of an absolute target and of *", async () => {
    await exchange("GET http://shop.example/status/200/absolute?a=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    expect((await spanOf("/status/200/absolute")).attributes).toMatchObject({ "url.query": "a=1" });
    await exchange("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
    expect((await spanOf("*")).name).toBe("OPTIONS");
  });

  test("continues the caller's trace, and the application's spans are below it", async () => {
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    const headers = `Traceparent: 00-${traceId}-b7ad6b7169203331-01\r\nTracestate: a=1\r\nTracestate: b=2\r\n`;
    const answer = await exchange(get("/child/sampled", headers));
    const span = await spanOf("/child/sampled");
    expect(span).toMatchObject({ traceId, parentSpanId: "b7ad6b7169203331", traceState: "a=1,b=2" });
    const work = receiver.spans.find(({ name, parentSpanId }) => name === "work" && parentSpanId === span.spanId);
    expect(work?.traceId).toBe(traceId);
    expect(answer).toContain(`00-${traceId}-${span.spanId}-01`);
  });

  test("starts a trace where the caller's header is malformed", async () => {
    await exchange(get("/child/malformed", "traceparent: 00-xyz-b7ad6b7169203331-01\r\nbaggage: %%%=;;,\r\n"));
    expect((await spanOf("/child/malformed")).parentSpanId).toBe("");
  });

  test("is not there when the caller's trace is unsampled, but its context is", async () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00";
    const answer = await exchange(get("/child/unsampled", `traceparent: ${traceparent}\r\n`));
    expect(answer).toContain(`"traceparent":"${traceparent}"`);
    expect(await spansOf("/child/unsampled")).toEqual([]);
    expect(receiver.spans.filter(({ traceId }) => traceId.endsWith("319d"))).toEqual([]);
  });

  test("keeps the name and the attributes the application gives it", async () => {
    await exchange(get("/renamed"));
    const span = await spanOf("/renamed");
    expect(span.name).toBe("my own name");
    expect(span.attributes).toMatchObject({ "http.route": "/mine", mine: 1, "http.response.status_code": 200 });
  });
});

describe("headers and bodies", () => {
  test("are recorded both ways", async () => {
    const body = JSON.stringify({ name: "Zoë" });
    await exchange(post("/echo/json", body, "Content-Type: application/json\r\nIdempotency-Key: k1\r\n"));
    expect((await spanOf("/echo/json")).attributes).toMatchObject({
      "http.request.header.content-type": ["application/json"],
      "http.request.header.idempotency-key": ["k1"],
      "http.request.body.size": Buffer.byteLength(body),
      "http.request.body.content": body,
      "http.response.header.x-request-id": ["r-1"],
      "http.response.header.content-type": ["application/json"],
      "http.response.body.size": Buffer.byteLength(body),
      "http.response.body.content": body,
    });
  });

  test("that come in chunks are put together", async () => {
    await exchange(get("/chunks"));
    expect((await spanOf("/chunks")).attributes).toMatchObject({
      "http.response.body.size": 17,
      "http.response.body.content": '{"name":"Zoebë"}',
    });
    const headers = "Host: x\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n";
    await exchange(`POST /events/chunked HTTP/1.1\r\n${headers}\r\n4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n`);
    expect((await spanOf("/events/chunked")).attributes).toMatchObject({
      "http.request.body.size": 7,
      "http.request.body.content": "abcdefg",
    });
  });

  test("are cut at the budget, on a character", async () => {
    await exchange(get("/large"));
    const { attributes } = await spanOf("/large");
    expect(attributes["http.response.body.size"]).toBe(24_000);
    const content = attributes["http.response.body.content"] as string;
    expect(Buffer.byteLength(content)).toBeLessThanOrEqual(4096);
    expect(Buffer.byteLength(content)).toBeGreaterThan(3900);
    expect(content).toMatch(/^été /);
    expect(content).not.toContain("\ufffd");
  });

  test("that are no text have a size only", async () => {
    await exchange(get("/binary"));
    const { attributes } = await spanOf("/binary");
    expect(attributes["http.response.body.size"]).toEqual(300);
    expect(attributes).not.toHaveProperty("http.response.body.content");
  });

  test.each(["gzip", "x-gzip", "deflate", "deflateRawSync", "br"])(
    "that are compressed are decoded, redacted and cut: %s",
    async (coding) => {
      await exchange(get(`/coded/${coding}/text`));
      const { attributes } = await spanOf(`/coded/${coding}/text`);
      const content = attributes["http.response.body.content"] as string;
      expect(content).toMatch(/^\{"password":"REDACTED","text":"é{500}/);
      expect(Buffer.byteLength(content)).toBeLessThanOrEqual(4096);
      expect(content.endsWith("…")).toBe(true);
      // As it was sent.
      expect(attributes["http.response.body.size"]).toBeLessThan(400);
    },
  );

  test.each(["gzip", "deflate", "br"])(
    "that would become huge are decoded no further than is shown: %s",
    async (coding) => {
      await exchange(get(`/coded/${coding}/bomb`));
      const { attributes } = await spanOf(`/coded/${coding}/bomb`);
      expect((attributes["http.response.body.content"] as string).length).toBeLessThanOrEqual(4096);
      expect(attributes["http.response.body.content"]).toMatch(/^0+…$/);
    },
  );

  test.each(["gzip", "deflate", "br"])("that are not what they say have a size only: %s", async (coding) => {
    await exchange(get(`/coded/${coding}/lie`));
    const { attributes } = await spanOf(`/coded/${coding}/lie`);
    expect(attributes["http.response.body.size"]).toBe(29);
    expect(attributes).not.toHaveProperty("http.response.body.content");
  });

  test("of requests are decoded too; what is coded twice is not", async () => {
    const body = gzipSync('{"password":"s3cr3t-upload","city":"Oslo"}').toString("latin1");
    const headers = `POST /both HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n`;
    await exchange(Buffer.from(`${headers}Content-Length: ${body.length}\r\n\r\n${body}`, "latin1"));
    const span = await spanOf("/both");
    expect(span.attributes).toMatchObject({
      "http.request.body.size": body.length,
      "http.request.body.content": '{"password":"REDACTED","city":"Oslo"}',
      "http.response.body.size": expect.any(Number),
    });
    expect(span.attributes).not.toHaveProperty("http.response.body.content");
  });

  test("of multipart messages have the names, types and sizes of their parts", async () => {
    const part = (headers: string, content: string): string => `--b0undary\r\n${headers}\r\n\r\n${content}\r\n`;
    const body =
      "a preamble\r\n" +
      part('Content-Disposition: form-data; name="title"', "s3cr3t-title") +
      part('Content-Disposition: form-data; name="empty"', "") +
      part(
        'content-disposition: form-data; name="avatar"; filename="me \\"1\\".png"\r\nContent-Type: image/png; q=1',
        "x".repeat(3000),
      ) +
      part("Content-Disposition: form-data; name=f; filename*=UTF-8''na%C3%AFve.txt", "1\r\n--b0undar\r\n2") +
      "--b0undary--\r\nan epilogue";
    for (const size of [1, 7, 100_000]) {
      const path = `/echo/form/${size}`;
      const socket = connect(port, "127.0.0.1");
      socket.setNoDelay();
      const type = 'multipart/form-data; charset=utf-8; boundary="b0undary"';
      socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`);
      let sent = "";
      for (let start = 0; start < body.length; start += size) {
        const piece = body.slice(start, start + size);
        sent += `${Buffer.byteLength(piece).toString(16)}\r\n${piece}\r\n`;
      }
      socket.write(`${sent}0\r\n\r\n`);
      await readResponses(socket, 1);
      socket.destroy();
      const { attributes } = await spanOf(path);
      const parts = [
        "title (12 bytes)",
        "empty (0 bytes)",
        'avatar: me \\"1\\".png, image/png (3000 bytes)',
        "f: naïve.txt (15 bytes)",
      ];
      expect(attributes).toMatchObject({
        "http.request.body.size": body.length,
        "tracekit.http.request.body.parts": parts,
        "tracekit.http.response.body.parts": parts,
      });
      expect(Object.keys(attributes).filter((key) => key.endsWith("content"))).toEqual([]);
    }
  });

  test("of lines of JSON are text", async () => {
    const body = '{"n":1,"password":"s3cr3t-line"}\n{"n":2}\n';
    await exchange(post("/echo/lines", body, "Content-Type: application/x-ndjson\r\n"));
    const content = '{"n":1,"password":"REDACTED"}\n{"n":2}\n';
    expect((await spanOf("/echo/lines")).attributes).toMatchObject({
      "http.request.body.content": content,
      "http.response.body.content": content,
    });
  });

  test("that nobody reads are not recorded", async () => {
    await exchange(post("/unread", "abc", "Content-Type: text/plain\r\n"));
    const { attributes } = await spanOf("/unread");
    expect(attributes["http.request.body.size"]).toBe(3);
    expect(attributes).not.toHaveProperty("http.request.body.content");
  });

  test("without a type are text when the application writes text", async () => {
    await exchange(get("/bare"));
    expect((await spanOf("/bare")).attributes["http.response.body.content"]).toBe("no type");
  });

  test("of HEAD and 304 are not there", async () => {
    await exchange("HEAD /hello/head HTTP/1.1\r\nHost: x\r\n\r\n");
    const { name, attributes } = await spanOf("/hello/head");
    expect(name).toBe("HEAD");
    expect(attributes).not.toHaveProperty("http.response.body.size");
    expect(attributes).not.toHaveProperty("http.response.body.content");
  });

  test("hold no secret", async () => {
    const headers =
      "Authorization: Bearer s3cr3t-bearer\r\nCookie: sid=s3cr3t-cookie\r\nX-Api-Key: s3cr3t-key\r\n" +
      "Referer: https://x.example/?access_token=s3cr3t-referer\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    const path = "/secrets/reset/s3cr3t0token0with0digits?password=s3cr3t-query";
    await exchange(post(path, "user=ann&password=s3cr3t-form", headers));
    await receiver.waitForSpans((spans) =>
      spans.some(({ attributes }) => /^\/secrets/.test(`${attributes["url.path"]}`)),
    );
    const span = receiver.spans.find(({ attributes }) => /^\/secrets/.test(`${attributes["url.path"]}`));
    expect(span?.attributes).toMatchObject({
      "http.request.body.content": "user=ann&password=REDACTED",
      "http.response.body.content": '{"password":"REDACTED","ok":true}',
    });
    for (const request of receiver.requests) expect(request.body.toString("latin1")).not.toContain("s3cr3t");
  });
});

describe("a span ends once", () => {
  test("for each request of a connection, pipelined or not", async () => {
    const paths = ["/slow/p1", "/hello/p2", "/slow/p3", "/echo/p4"];
    await exchange(
      paths
        .slice(0, 3)
        .map((path) => get(path))
        .join("") + post("/echo/p4", "body"),
      4,
    );
    for (const path of paths) expect((await spanOf(path)).attributes["http.response.status_code"]).toBeDefined();
    const ids = new Set(
      receiver.spans
        .filter(({ attributes }) => paths.includes(`${attributes["url.path"]}`))
        .map(({ traceId }) => traceId),
    );
    expect(ids.size).toBe(4);
  });

  test.each([
    ["User-Agent", "user_agent.original", (number: number) => `agent-${number}`],
    ["X-Forwarded-For", "client.address", (number: number) => `203.0.113.${number}`],
    ["X-Forwarded-Host", "server.address", (number: number) => `shop-${number}.example`],
    ["X-Forwarded-Proto", "url.scheme", (number: number) => `scheme-${number}`],
  ])("for each request of a connection that many clients share, with its own %s", async (header, key, valueOf) => {
    const socket = connect(port, "127.0.0.1");
    const path = (index: number): string => `/hello/shared/${header}/${index}`;
    for (let index = 0; index < 14; index++) {
      // Twice each: what is kept of a connection is also used again.
      socket.write(get(path(index), `${header}: ${valueOf(index >> 1)}\r\n`));
      await readResponses(socket, 1);
    }
    socket.destroy();
    await spanOf(path(13));
    for (let index = 0; index < 14; index++) {
      const span = receiver.spans.find(({ attributes }) => attributes["url.path"] === path(index));
      expect(span?.attributes).toMatchObject({ [key]: valueOf(index >> 1), "network.peer.address": "127.0.0.1" });
    }
  });

  test.each(["hang", "partial"])("when the client leaves a request to %s, which is no error", async (what) => {
    for (const leave of ["destroy", "resetAndDestroy", "end"] as const) {
      const path = `/${what}/${leave}`;
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => {});
      socket.write(get(path));
      await (what === "partial" ? untilReceived(socket, "the beginning") : sleep(100));
      socket[leave]();
      await sleep(100);
      const span = await spanOf(path);
      expect(span.status.code, path).toBe("UNSET");
      expect(span.attributes["tracekit.http.aborted"]).toBe(true);
      expect(span.attributes["http.response.status_code"]).toBe(what === "partial" ? 200 : undefined);
      expect(span.attributes["http.response.body.content"]).toBe(what === "partial" ? "the beginning" : undefined);
      expect(span.attributes).not.toHaveProperty("error.type");
      socket.destroy();
    }
  });

  test("when a TLS client leaves, which is no error", async () => {
    const socket = connectTls({ port: securePort, host: "127.0.0.1", ca: certificates.ca });
    socket.write(get("/partial/secure"));
    await untilReceived(socket, "the beginning");
    socket.destroy();
    await sleep(100);
    const span = await spanOf("/partial/secure");
    expect(span.status.code).toBe("UNSET");
    expect(span.attributes["tracekit.http.aborted"]).toBe(true);
  });

  test("when the client leaves in the middle of its own request, which is no error", async () => {
    const socket = connect(port, "127.0.0.1");
    socket.write("POST /echo/half HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf");
    await sleep(100);
    socket.destroy();
    await sleep(100);
    const span = await spanOf("/echo/half");
    expect(span.status.code).toBe("UNSET");
    expect(span.attributes).toMatchObject({
      "tracekit.http.aborted": true,
      "http.request.body.size": 4,
      "http.request.body.content": expect.stringContaining("half"),
    });
  });

  test("when the client's body is malformed, which is no error", async () => {
    await exchange("POST /echo/broken HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n");
    const span = await spanOf("/echo/broken");
    expect(span.status.code).toBe("UNSET");
    expect(span.attributes["tracekit.http.aborted"]).toBe(true);
  });

  test("when the application destroys the response, with its error", async () => {
    await exchange(get("/destroy"));
    const span = await spanOf("/destroy");
    expect(span.status).toEqual({ code: "ERROR", message: "gave up" });
    expect(span.attributes).toMatchObject({ "tracekit.http.aborted": true, "error.type": "E_GAVE_UP" });
    expect(span.events).toMatchObject([{ name: "exception", attributes: { "exception.message": "gave up" } }]);
  });

  test("when the application closes the connection, as a failure", async () => {
    await exchange(get("/close"));
    const span = await spanOf("/close");
    expect(span.status.code).toBe("ERROR");
    expect(span.attributes).toMatchObject({ "tracekit.http.aborted": true, "error.type": "connection_closed" });
  });

  test("after 100 Continue", async () => {
    const socket = connect(port, "127.0.0.1");
    socket.write("POST /echo/continued HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    await untilReceived(socket, "100 Continue");
    socket.write("abc");
    await untilReceived(socket, "201 Created");
    socket.destroy();
    expect((await spanOf("/echo/continued")).attributes["http.response.status_code"]).toBe(201);
  });

  test("with the answer to an upgrade, which needs no response of Node's", async () => {
    const answer = await exchange(get("/upgraded?token=s3cr3t-upgrade", "Connection: Upgrade\r\nUpgrade: test\r\n"));
    expect(answer).toContain("101 Switching Protocols");
    const { name, attributes, status } = await spanOf("/upgraded");
    expect([name, status.code]).toEqual(["GET", "UNSET"]);
    expect(attributes).toMatchObject({
      "url.query": "token=REDACTED",
      "http.response.status_code": 101,
      "http.response.header.x-request-id": ["up-1"],
      "server.address": "shop.example",
      "network.peer.address": "127.0.0.1",
    });
  });

  test.each([
    ["refused", 503, "ERROR", undefined],
    ["left", undefined, "UNSET", true],
  ])("with an upgrade that is %s", async (what, code, status, isAborted) => {
    await exchange(get(`/${what}`, "Connection: Upgrade\r\nUpgrade: test\r\n"));
    const span = await spanOf(`/${what}`);
    expect(span.status.code).toBe(status);
    expect(span.attributes["http.response.status_code"]).toBe(code);
    expect(span.attributes["tracekit.http.aborted"]).toBe(isAborted);
  });

  test("with the answer to CONNECT", async () => {
    await exchange("CONNECT elsewhere.test:443 HTTP/1.1\r\nHost: elsewhere.test:443\r\n\r\n");
    const { name, attributes } = await spanOf("elsewhere.test:443");
    expect(name).toBe("CONNECT");
    expect(attributes).toMatchObject({ "http.response.status_code": 200 });
  });

  test("of an event stream while that goes on, with the events that were sent by then", async () => {
    const socket = connect(port, "127.0.0.1");
    socket.write(get("/stream"));
    await untilReceived(socket, "event 1");
    const path = "/stream";
    const [span] = await receiver
      .waitForSpans((spans) => spans.some(({ attributes }) => attributes["url.path"] === path))
      .then((spans) => spans.filter(({ attributes }) => attributes["url.path"] === path));
    expect(span?.attributes).toMatchObject({
      "http.response.status_code": 200,
      "tracekit.http.streaming": true,
      "http.response.body.content": expect.stringMatching(/^data: event 1\n\ndata: \{"password":"REDACTED"\}/),
    });
    expect(span?.attributes).not.toHaveProperty("tracekit.http.aborted");
    await untilReceived(socket, "data: ");
    socket.destroy();
    expect(await spansOf(path)).toHaveLength(1);
  });

  test("whatever clients do: pipelines, keep-alive and random aborts lose and double nothing", async () => {
    // Mulberry32, so that a failure can be repeated.
    let state = 20_261_120;
    const random = (below: number): number => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
    };
    const kinds = ["hello", "slow", "echo", "chunks", "partial", "hang", "unread", "close"];
    let made = 0;
    const client = async (): Promise<void> => {
      for (let connection = 0; connection < 12; connection++) {
        const socket = connect(port, "127.0.0.1");
        socket.on("error", () => {});
        socket.resume();
        for (let batch = random(4); batch >= 0; batch--) {
          let text = "";
          for (let request = random(4); request >= 0; request--) {
            const path = `/${kinds[random(kinds.length)]}/stress/${made++}`;
            text += random(2) === 0 ? get(path) : post(path, "x".repeat(random(2000)), "Content-Type: text/plain\r\n");
          }
          if (!socket.destroyed) socket.write(random(6) === 0 ? text.slice(0, random(text.length)) : text);
          await sleep(random(30));
        }
        if (random(2) === 0) socket.resetAndDestroy();
        else socket.destroy();
      }
    };
    await Promise.all(Array.from({ length: 10 }, client));
    await sleep(300);
    const report = JSON.parse((await exchange(get("/report"))).split("\r\n\r\n")[1] as string) as {
      seen: [string, number][];
      warnings: string[];
      mostCloseListeners: number;
    };
    const handled = report.seen.filter(([url]) => url.includes("/stress/"));
    expect(handled.length).toBeGreaterThan(100);
    await spansOf("/none");
    const counts = new Map<string, number>();
    for (const { attributes } of receiver.spans) {
      const path = `${attributes["url.path"]}`;
      if (path.includes("/stress/")) counts.set(path, (counts.get(path) ?? 0) + 1);
    }
    expect([...counts].toSorted()).toEqual(handled.toSorted());
    expect(report.warnings).toEqual([]);
    // Node has up to four of its own.
    expect(report.mostCloseListeners).toBeLessThan(8);
  });
});

describe("the application", () => {
  test("sees and sends what it does without us", async () => {
    const plain = startApp({ file, preload: "none" });
    const plainPort = await plain.port();
    const requests = [
      get("/hello"),
      get("/chunks"),
      get("/status/404"),
      get("/secrets"),
      post("/echo", "body", "Content-Type: text/plain\r\n"),
      post("/unread", "body"),
      `HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n`,
      get("/inspect"),
      post("/inspect", "body", "Content-Type: text/plain\r\n"),
    ];
    for (const request of requests) {
      const [traced, untraced] = [await exchange(request), await exchange(request, 1, plainPort)];
      expect(withoutDate(traced)).toBe(withoutDate(untraced));
    }
    const inspected = (text: string): unknown[] =>
      [...text.matchAll(/inspected (.*)/g)].map(([, json]) => JSON.parse(`${json}`));
    for (const each of [app, plain]) await each.waitForLine(/inspected.*"POST"/);
    expect(inspected(app.stdout)).toEqual(inspected(plain.stdout));
    expect(inspected(app.stdout)).toHaveLength(2);
    await plain.kill();
  });

  test("has one listener more on a connection, however many requests that carries", async () => {
    const plain = startApp({ file, preload: "none" });
    const ports = [port, await plain.port()];
    const [ours, theirs] = await Promise.all(
      ports.map(async (to) => {
        const socket = connect(to, "127.0.0.1");
        let answer = "";
        for (let request = 0; request < 20; request++) {
          socket.write(get("/listeners"));
          answer = await readResponses(socket, 1);
        }
        socket.destroy();
        return Number(answer.split("\r\n\r\n")[1]);
      }),
    );
    expect(ours).toBe((theirs as number) + 1);
    await plain.kill();
  });

  test("is served the same when our code fails", async () => {
    const hostile = startApp({ file, env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url } });
    const hostilePort = await hostile.port();
    expect(await exchange(get("/hostile"), 1, hostilePort)).toContain("done");
    expect(await exchange(get("/hello/after-hostile"), 1, hostilePort)).toContain("hello");
    expect(await exchange(get("/child/after-hostile"), 1, hostilePort)).toContain("{}");
    await hostile.kill();
    expect(hostile.stderr.match(/http-server is no longer traced/g)).toHaveLength(1);
    expect(await spansOf("/hello/after-hostile")).toEqual([]);
    expect((await spanOf("/hostile")).endTimeUnixNano).toBeGreaterThan(0n);
  });

  test("may switch headers and bodies off", async () => {
    const quiet = startApp({
      file,
      preload: "require",
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
        OTEL_BSP_SCHEDULE_DELAY: "100",
        TRACEKIT_CAPTURE: "-http-headers,-http-bodies",
      },
    });
    const quietPort = await quiet.port();
    await exchange(post("/echo/quiet", "hidden", "Content-Type: text/plain\r\n"), 1, quietPort);
    await quiet.kill();
    const { attributes } = await spanOf("/echo/quiet");
    expect(Object.keys(attributes).filter((key) => /header|content/.test(key))).toEqual([]);
    expect(attributes).toMatchObject({ "http.request.body.size": 6, "http.response.body.size": 6 });
  });
});

function untilReceived(socket: Socket, text: string): Promise<void> {
  return new Promise((resolve) => {
    let received = "";
    socket.on("data", (chunk: Buffer) => {
      received += chunk.toString("latin1");
      if (received.includes(text)) resolve();
    });
  });
}

const withoutDate = (response: string): string => response.replace(/Date: .*/, "");
