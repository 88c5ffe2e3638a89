import { gzipSync, brotliCompressSync, deflateSync } from "node:zlib";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startServer, type RunningServer, type ServerOptions } from "../../src/server/server.ts";
import type { IngestResult } from "../../src/store/store.ts";
import { createFakeStore, type FakeStore } from "../support/fake-store.ts";
import { openSocket, send } from "../support/http.ts";

const PROTOBUF = { "content-type": "application/x-protobuf" };
const JSON_TYPE = { "content-type": "application/json" };
const MIB = 1024 * 1024;

let store: FakeStore;
const running: RunningServer[] = [];

beforeEach(() => {
  store = createFakeStore();
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close()));
});

async function start(options: Partial<ServerOptions> = {}): Promise<number> {
  const server = await startServer({ store, port: 0, host: "127.0.0.1", assets: "/nowhere", version: "1", ...options });
  running.push(server);
  return Number(new URL(server.urls[0] as string).port);
}

async function received(port: number): Promise<Record<string, unknown>> {
  return (await send(port, "/api/status")).json.received;
}

describe("an OTLP request", () => {
  test("reaches the store as it was sent, in a buffer of its own", async () => {
    const port = await start();
    const body = Buffer.from([10, 0]);
    await send(port, "/v1/traces", { method: "POST", headers: PROTOBUF, body });
    await send(port, "/v1/logs", {
      method: "POST",
      headers: { "content-type": "application/json; charset=utf-8" },
      body: "{}",
    });
    expect(store.payloads.map(({ signal, format }) => [signal, format])).toEqual([
      ["traces", "otlp-protobuf"],
      ["logs", "otlp-json"],
    ]);
    expect(Buffer.from(store.payloads[0]?.body as Uint8Array)).toEqual(body);
    for (const payload of store.payloads) expect(payload.body.buffer.byteLength).toBe(payload.body.byteLength);
    expect(await received(port)).toMatchObject({ requests: 2, spans: 2, refusedRequests: 0 });
  });

  test.each([
    ["gzip", gzipSync],
    ["deflate", deflateSync],
    ["br", brotliCompressSync],
  ] as const)("may be compressed: %s", async (encoding, compress) => {
    const port = await start();
    const body = Buffer.alloc(100_000, "ab");
    const headers = { ...PROTOBUF, "content-encoding": encoding };
    expect((await send(port, "/v1/traces", { method: "POST", headers, body: compress(body) })).status).toBe(200);
    const payload = store.payloads[0]?.body as Uint8Array;
    expect(Buffer.compare(payload, body)).toBe(0);
    expect(payload.buffer.byteLength).toBe(payload.byteLength);
  });

  test("is answered in its own encoding, with nothing when all is well", async () => {
    const port = await start();
    const protobuf = await send(port, "/v1/traces", { method: "POST", headers: PROTOBUF });
    expect([protobuf.headers["content-type"], protobuf.body.length]).toEqual(["application/x-protobuf", 0]);
    const json = await send(port, "/v1/traces", { method: "POST", headers: JSON_TYPE, body: "{}" });
    expect([json.headers["content-type"], json.json]).toEqual(["application/json", {}]);
  });

  test("is told what of it was not kept", async () => {
    store.ingestResult = { outcome: "kept", spans: 2, logs: 0, rejected: 300, reason: "no id" };
    const port = await start();
    const json = await send(port, "/v1/traces", { method: "POST", headers: JSON_TYPE, body: "{}" });
    expect(json.json).toEqual({ partialSuccess: { rejectedSpans: "300", errorMessage: "no id" } });
    const logs = await send(port, "/v1/logs", { method: "POST", headers: JSON_TYPE, body: "{}" });
    expect(logs.json).toEqual({ partialSuccess: { rejectedLogRecords: "300", errorMessage: "no id" } });
    const protobuf = await send(port, "/v1/traces", { method: "POST", headers: PROTOBUF });
    // partial_success = 1 { rejected_spans = 1: 300, error_message = 2: "no id" }
    expect(protobuf.body.toString("hex")).toBe(`0a0a08ac021205${Buffer.from("no id").toString("hex")}`);
    expect(await received(port)).toMatchObject({ spans: 6, rejectedSpans: 900 });
  });

  test.each<[IngestResult, number, string | undefined]>([
    [{ outcome: "malformed", reason: "no such field" }, 400, undefined],
    [{ outcome: "busy", reason: "behind" }, 503, "1"],
    [{ outcome: "full", reason: "disk full" }, 503, "30"],
  ])("learns why it was not kept: %o", async (result, status, retryAfter) => {
    store.ingestResult = result;
    const port = await start();
    const { reason } = result as { reason: string };
    const json = await send(port, "/v1/traces", { method: "POST", headers: JSON_TYPE, body: "{" });
    expect([json.status, json.headers["retry-after"], json.json.message]).toEqual([status, retryAfter, reason]);
    const protobuf = await send(port, "/v1/traces", { method: "POST", headers: PROTOBUF, body: "{" });
    expect(protobuf.headers["content-type"]).toBe("application/x-protobuf");
    expect(protobuf.body.toString("latin1")).toContain(reason);
    const counted = status === 400 ? { refusedRequests: 2, lastRefusal: `/v1/traces: ${reason}` } : { busyRequests: 2 };
    expect(await received(port)).toMatchObject(counted);
  });

  test("of another type or encoding is refused with what is understood", async () => {
    const port = await start();
    const untyped = await send(port, "/v1/traces", { method: "POST", body: "{}" });
    expect([untyped.status, untyped.json.message]).toEqual([
      415,
      "Content-Type is missing: OTLP/HTTP is application/x-protobuf or application/json.",
    ]);
    const headers = { ...JSON_TYPE, "content-encoding": "zstd" };
    expect((await send(port, "/v1/traces", { method: "POST", headers, body: "{}" })).status).toBe(415);
    expect((await send(port, "/v1/traces")).status).toBe(405);
    const broken = { ...JSON_TYPE, "content-encoding": "gzip" };
    const answer = await send(port, "/v1/traces", { method: "POST", headers: broken, body: "{}" });
    expect([answer.status, answer.json.message]).toEqual([400, "The body is not gzip: incorrect header check."]);
    expect(await received(port)).toMatchObject({ requests: 3, refusedRequests: 4 });
    expect(store.payloads).toEqual([]);
  });

  test("that the store fails over is answered, and the next one is served", async () => {
    store.ingest = async () => {
      throw new Error("the worker is gone");
    };
    const port = await start();
    const { status, json } = await send(port, "/v1/traces", { method: "POST", headers: JSON_TYPE, body: "{}" });
    expect([status, json]).toEqual([500, { code: 13, message: "the worker is gone" }]);
    expect((await send(port, "/api/status")).status).toBe(200);
  });
});

describe("metrics", () => {
  test("are accepted and not kept, so that a sender of every signal has nothing to complain about; it is said once", async () => {
    let said = 0;
    const port = await start({ onMetrics: () => said++ });
    const body = Buffer.alloc(200_000);
    const protobuf = await send(port, "/v1/metrics", { method: "POST", headers: PROTOBUF, body });
    expect([protobuf.status, protobuf.headers["content-type"], protobuf.text]).toEqual([
      200,
      "application/x-protobuf",
      "",
    ]);
    const json = await send(port, "/v1/metrics", { method: "POST", headers: JSON_TYPE, body: "{}" });
    expect([json.status, json.headers["content-type"], json.json]).toEqual([200, "application/json", {}]);
    expect(await received(port)).toMatchObject({ metricsRequests: 2, requests: 0, refusedRequests: 0 });
    expect([said, store.payloads]).toEqual([1, []]);
  });

  test("are not accepted of those who may not send", async () => {
    const port = await start({ token: "s3cret" });
    expect((await send(port, "/v1/metrics", { method: "POST", headers: JSON_TYPE, body: "{}" })).status).toBe(401);
  });
});

describe("a body that is too large", () => {
  const limits = { maxBodyBytes: MIB, lingerMillis: 2000 };

  test("is refused by its announced length, and by its true one; the last that fits is kept", async () => {
    const port = await start({ limits });
    const fits = await send(port, "/v1/traces", { method: "POST", headers: PROTOBUF, body: Buffer.alloc(MIB) });
    expect(fits.status).toBe(200);
    const announced = await send(port, "/v1/traces", {
      method: "POST",
      headers: PROTOBUF,
      body: Buffer.alloc(MIB + 1),
    });
    expect([announced.status, announced.body.toString("latin1").slice(-31)]).toEqual([
      413,
      "The body is larger than 1 MiB.".padStart(31, "\x1e"),
    ]);
    const headers = { ...JSON_TYPE, "transfer-encoding": "chunked" };
    const chunked = await send(port, "/v1/traces", { method: "POST", headers, body: Buffer.alloc(3 * MIB) });
    expect(chunked.status).toBe(413);
    expect(store.payloads).toHaveLength(1);
  });

  test("is refused when it becomes so by inflating", async () => {
    const port = await start({ limits });
    const bomb = gzipSync(Buffer.alloc(200 * MIB));
    expect(bomb.length).toBeLessThan(MIB);
    const headers = { ...PROTOBUF, "content-encoding": "gzip" };
    const before = process.memoryUsage.rss();
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => send(port, "/v1/traces", { method: "POST", headers, body: bomb })),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 413));
    expect(process.memoryUsage.rss() - before).toBeLessThan(150 * MIB);
    const fits = gzipSync(Buffer.alloc(MIB));
    expect((await send(port, "/v1/traces", { method: "POST", headers, body: fits })).status).toBe(200);
  });

  test("and many at once are told to come back", async () => {
    let release = (): void => {};
    store.ingestResult = new Promise<IngestResult>((resolve) => {
      release = () => resolve({ outcome: "kept", spans: 1, logs: 0, rejected: 0 });
    });
    const port = await start({ limits: { maxBytesInFlight: 1000 } });
    const first = send(port, "/v1/traces", { method: "POST", headers: PROTOBUF, body: Buffer.alloc(900) });
    await until(() => store.payloads.length === 1);
    const second = await send(port, "/v1/traces", { method: "POST", headers: PROTOBUF, body: Buffer.alloc(900) });
    expect([second.status, second.headers["retry-after"]]).toEqual([503, "1"]);
    release();
    expect((await first).status).toBe(200);
    const third = await send(port, "/v1/traces", { method: "POST", headers: PROTOBUF, body: Buffer.alloc(900) });
    expect(third.status).toBe(200);
    expect(await received(port)).toMatchObject({ busyRequests: 1 });
  });
});

describe("a slow or broken sender", () => {
  const limits = {
    headersTimeoutMillis: 300,
    requestTimeoutMillis: 600,
    timeoutCheckMillis: 50,
    bodyIdleMillis: 300,
    lingerMillis: 300,
  };

  test("that never ends its head is cut off, while others are served", async () => {
    const port = await start({ limits });
    const slow = await Promise.all(Array.from({ length: 50 }, () => openSocket(port)));
    for (const { socket } of slow) socket.write("POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nX-A: ");
    expect((await send(port, "/v1/traces", { method: "POST", headers: PROTOBUF })).status).toBe(200);
    await Promise.all(slow.map(({ closed }) => closed));
    expect(slow[0]?.received()).toContain("408 Request Timeout");
  });

  test("that sends its body byte by byte is cut off", async () => {
    const port = await start({ limits });
    const { socket, closed, received: text } = await openSocket(port);
    socket.write(
      `POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n`,
    );
    const drip = setInterval(() => socket.writable && socket.write("{"), 50);
    expect((await send(port, "/v1/traces", { method: "POST", headers: PROTOBUF })).status).toBe(200);
    await closed;
    clearInterval(drip);
    expect(text()).toContain("408 Request Timeout");
    await until(async () => (await received(port))["refusedRequests"] !== 0);
  });

  test("that stops in the middle of its body is cut off, and counted", async () => {
    const port = await start({ limits: { ...limits, requestTimeoutMillis: 60_000 } });
    const { socket, closed } = await openSocket(port);
    socket.write(
      `POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n{`,
    );
    await closed;
    expect(await received(port)).toMatchObject({
      refusedRequests: 1,
      lastRefusal: "/v1/traces: The connection ended before the request did.",
    });
  });

  test("that goes away in the middle of its body takes nothing with it", async () => {
    const port = await start({ limits: { maxBytesInFlight: 1000 } });
    for (let i = 0; i < 5; i++) {
      const { socket, closed } = await openSocket(port);
      socket.write(
        `POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n`,
      );
      socket.write("{".repeat(900));
      setTimeout(() => socket.resetAndDestroy(), 20);
      await closed;
      await until(async () => (await received(port))["refusedRequests"] === i + 1);
    }
    const { status } = await send(port, "/v1/traces", { method: "POST", headers: PROTOBUF, body: Buffer.alloc(900) });
    expect(status).toBe(200);
  });

  test("that goes on sending after it was refused is cut off", async () => {
    const port = await start({ limits: { ...limits, requestTimeoutMillis: 60_000, maxBodyBytes: MIB } });
    const { socket, closed, received: text } = await openSocket(port);
    socket.on("error", () => {});
    socket.write(
      `POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n`,
    );
    const flood = setInterval(() => socket.writable && socket.write("{".repeat(10_000)), 20);
    await closed;
    clearInterval(flood);
    expect(text()).toContain("413 Payload Too Large");
  });

  test("that sends no HTTP is told so", async () => {
    const port = await start();
    for (const [bytes, reason] of [
      ["nonsense\r\n\r\n", "The bytes are not HTTP/1.1."],
      ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "This port speaks http, not https."],
    ] as const) {
      const { socket, closed, received: text } = await openSocket(port);
      socket.write(Buffer.from(bytes, "latin1"));
      await closed;
      expect(text()).toContain(`400 Bad Request`);
      expect(text()).toContain(reason);
      expect(await received(port)).toMatchObject({ lastRefusal: reason });
    }
  });

  test("that sends two lengths, or a length and chunks, is refused", async () => {
    const port = await start();
    for (const lengths of [
      "Content-Length: 2\r\nContent-Length: 3",
      "Content-Length: 2\r\nTransfer-Encoding: chunked",
    ]) {
      const { socket, closed, received: text } = await openSocket(port);
      socket.write(
        `POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${lengths}\r\n\r\n{}`,
      );
      await closed;
      expect(text()).toContain("400 Bad Request");
    }
    expect(store.payloads).toEqual([]);
  });

  test("that does not wait for answers gets them in order", async () => {
    const port = await start();
    const { socket, received: text } = await openSocket(port);
    const post = (body: string): string =>
      `POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    socket.write(
      post('{"a":1}') + post('{"b":2}') + "GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n" + post('{"c":3}'),
    );
    await until(() => (text().match(/HTTP\/1\.1 \d+/g)?.length ?? 0) === 4);
    expect(text().match(/HTTP\/1\.1 \d+/g)).toEqual(["200", "200", "404", "200"].map((code) => `HTTP/1.1 ${code}`));
    expect(store.payloads.map(({ body }) => Buffer.from(body).toString())).toEqual(['{"a":1}', '{"b":2}', '{"c":3}']);
    socket.destroy();
  });
});

describe("a Zipkin request", () => {
  test("is accepted with 202", async () => {
    const port = await start();
    const { status, text } = await send(port, "/api/v2/spans", { method: "POST", headers: JSON_TYPE, body: "[]" });
    expect([status, text, store.payloads[0]?.format]).toEqual([202, "", "zipkin-json"]);
  });

  test("that is not JSON, or not Zipkin's, is refused in words", async () => {
    const port = await start();
    const proto = await send(port, "/api/v2/spans", { method: "POST", headers: PROTOBUF });
    expect([proto.status, proto.text]).toEqual([
      415,
      "Zipkin spans are read as application/json, not as application/x-protobuf.",
    ]);
    store.ingestResult = { outcome: "malformed", reason: "not an array" };
    const wrong = await send(port, "/api/v2/spans", { method: "POST", headers: JSON_TYPE, body: "{}" });
    expect([wrong.status, wrong.text]).toEqual([400, "not an array"]);
  });
});

describe("the ports for senders alone", () => {
  test("answer senders, and nobody else", async () => {
    const free = await freePort();
    const port = await start({ alsoListenOn: [free] });
    expect(running[0]?.receivedEndpoints).toEqual([`http://127.0.0.1:${port}`, `http://127.0.0.1:${free}`]);
    expect((await send(free, "/v1/traces", { method: "POST", headers: PROTOBUF })).status).toBe(200);
    for (const path of ["/", "/api/status", "/api/traces", "/app.js"])
      expect([path, (await send(free, path)).status]).toEqual([path, 404]);
    expect(await received(port)).toMatchObject({ requests: 1 });
  });

  test("are left to who has them", async () => {
    const other = createServer((socket) => socket.end());
    await new Promise<void>((resolve) => other.listen(0, resolve));
    const taken = (other.address() as AddressInfo).port;
    const port = await start({ alsoListenOn: [taken] });
    expect(running[0]?.receivedEndpoints).toEqual([`http://127.0.0.1:${port}`]);
    await new Promise((resolve) => other.close(resolve));
  });

  test("a taken main port is an error that says so", async () => {
    const port = await start();
    await expect(start({ port })).rejects.toMatchObject({ code: "EADDRINUSE" });
    await expect(start({ port, host: "localhost" })).rejects.toMatchObject({ code: "EADDRINUSE" });
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error("waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
