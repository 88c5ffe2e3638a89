import { connect, type ClientHttp2Session } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { deflateSync, gzipSync } from "node:zlib";
import { Client, compressionAlgorithms, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { startServer, type RunningServer, type ServerOptions } from "../../src/server/server.ts";
import type { IngestResult } from "../../src/store/store.ts";
import { createFakeStore, type FakeStore } from "../support/fake-store.ts";
import { openSocket, send } from "../support/http.ts";

const EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const EXPORT_LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const EXPORT_METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

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

interface Answer {
  code: number;
  details: string;
  message: Buffer | undefined;
}

/** One call with the client of gRPC itself, over a connection of its own. */
async function call(
  port: number,
  body: Uint8Array,
  {
    path = EXPORT,
    metadata = {},
    gzip = false,
  }: { path?: string; metadata?: Record<string, string>; gzip?: boolean } = {},
): Promise<Answer> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
    ...(gzip && { "grpc.default_compression_algorithm": compressionAlgorithms.gzip }),
  });
  const headers = new Metadata();
  for (const [name, value] of Object.entries(metadata)) headers.set(name, value);
  try {
    return await new Promise<Answer>((resolve) => {
      const asBytes = (bytes: Buffer): Buffer => bytes;
      client.makeUnaryRequest(
        path,
        asBytes,
        asBytes,
        Buffer.from(body),
        headers,
        (error: ServiceError | null, message) =>
          resolve({ code: error?.code ?? status.OK, details: error?.details ?? "", message }),
      );
    });
  } finally {
    client.close();
  }
}

/** One call whose every byte is ours. */
async function callRaw(port: number, bytes: Uint8Array, headers: Record<string, string> = {}): Promise<Answer> {
  const stream = (await open(port)).request({
    ":method": "POST",
    ":path": EXPORT,
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  const seen: Record<string, unknown> = {};
  stream.on("response", (head) => Object.assign(seen, head));
  stream.on("trailers", (trailers) => Object.assign(seen, trailers));
  stream.on("error", () => {});
  stream.resume();
  stream.end(bytes);
  await new Promise((resolve) => stream.on("close", resolve));
  const details = decodeURIComponent(String(seen["grpc-message"] ?? ""));
  return { code: Number(seen["grpc-status"] ?? -1), details, message: undefined };
}

async function open(port: number): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  onTestFinished(() => session.destroy());
  await new Promise((resolve) => session.once("connect", resolve));
  return session;
}

function framed(message: Uint8Array, flag = 0): Buffer {
  const prefix = Buffer.from([flag, 0, 0, 0, 0]);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

describe("an OTLP call over gRPC", () => {
  test("reaches the store as the request over HTTP would, on the port that speaks HTTP/1.1", async () => {
    const port = await start();
    const body = Buffer.from([10, 0]);
    expect(await call(port, body)).toEqual({ code: status.OK, details: "", message: Buffer.alloc(0) });
    await call(port, body, { path: EXPORT_LOGS });
    expect(store.payloads.map(({ signal, format }) => [signal, format])).toEqual([
      ["traces", "otlp-protobuf"],
      ["logs", "otlp-protobuf"],
    ]);
    for (const { body: kept } of store.payloads) {
      expect(Buffer.from(kept)).toEqual(body);
      expect(kept.buffer.byteLength).toBe(kept.byteLength);
    }
    expect(await received(port)).toMatchObject({ requests: 2, spans: 2, refusedRequests: 0 });
  });

  test.each([
    ["gzip", gzipSync],
    ["deflate", deflateSync],
  ] as const)("may be compressed: %s", async (encoding, compress) => {
    const port = await start();
    const body = Buffer.alloc(3_000_000, "ab");
    expect(await callRaw(port, framed(compress(body), 1), { "grpc-encoding": encoding })).toMatchObject({ code: 0 });
    const kept = store.payloads[0]?.body as Uint8Array;
    expect(Buffer.compare(kept, body)).toBe(0);
    expect(kept.buffer.byteLength).toBe(kept.byteLength);
  });

  test("may be larger than what is sent ahead of being read", async () => {
    const port = await start();
    const body = Buffer.alloc(10_000_000, "abc");
    for (const gzip of [false, true]) expect(await call(port, body, { gzip })).toMatchObject({ code: 0 });
    for (const payload of store.payloads) expect(Buffer.compare(payload.body, body)).toBe(0);
  });

  test("is told what of it was not kept", async () => {
    store.ingestResult = { outcome: "kept", spans: 2, logs: 0, rejected: 300, reason: "no id" };
    const { message } = await call(await start(), Buffer.alloc(0));
    expect(message?.toString("hex")).toBe(`0a0a08ac021205${Buffer.from("no id").toString("hex")}`);
  });

  test.each<[IngestResult, number]>([
    [{ outcome: "malformed", reason: "kein Feld: „7“ 100%" }, status.INVALID_ARGUMENT],
    [{ outcome: "busy", reason: "behind" }, status.UNAVAILABLE],
    [{ outcome: "full", reason: "disk full" }, status.UNAVAILABLE],
  ])("learns why it was not kept, and repeats only what may still be: %o", async (result, code) => {
    store.ingestResult = result;
    const port = await start();
    const { reason } = result as { reason: string };
    expect(await call(port, Buffer.from("{"))).toMatchObject({ code, details: reason });
    const counted =
      code === status.INVALID_ARGUMENT
        ? { refusedRequests: 1, lastRefusal: `${EXPORT}: ${reason}` }
        : { busyRequests: 1 };
    expect(await received(port)).toMatchObject(counted);
  });

  test("that the store fails over is answered, and the next one is served", async () => {
    const { ingest } = store;
    store.ingest = async () => {
      throw new Error("the worker is gone");
    };
    const port = await start();
    expect(await call(port, Buffer.alloc(2))).toMatchObject({ code: status.INTERNAL, details: "the worker is gone" });
    store.ingest = ingest;
    expect(await call(port, Buffer.alloc(2))).toMatchObject({ code: status.OK });
  });

  test("with metrics is accepted and not kept", async () => {
    const port = await start();
    expect(await call(port, Buffer.alloc(200_000), { path: EXPORT_METRICS })).toMatchObject({ code: status.OK });
    expect(await received(port)).toMatchObject({ metricsRequests: 1, refusedRequests: 0 });
  });

  test("that nobody knows is refused by name", async () => {
    const port = await start();
    expect(await call(port, Buffer.alloc(2), { path: "/grpc.health.v1.Health/Check" })).toMatchObject({
      code: status.UNIMPLEMENTED,
      details: "No call is known as /grpc.health.v1.Health/Check.",
    });
  });

  test("that is not one message is refused", async () => {
    const port = await start();
    const two = Buffer.concat([framed(Buffer.from("a")), framed(Buffer.from("b"))]);
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(4), framed(Buffer.from("abc")).subarray(0, 7), two])
      expect(await callRaw(port, bytes)).toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(await callRaw(port, framed(Buffer.from("abc"), 1), { "grpc-encoding": "gzip" })).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: "The body is not gzip: incorrect header check.",
    });
    expect(await callRaw(port, framed(Buffer.from("abc"), 1), { "grpc-encoding": "snappy" })).toMatchObject({
      code: status.UNIMPLEMENTED,
    });
    expect(store.payloads).toEqual([]);
  });
});

describe("a message that is too large", () => {
  const limits = { maxBodyBytes: 1024 * 1024 };

  test("is refused as it is and as it becomes by inflating; the last that fits is kept", async () => {
    const port = await start({ limits });
    expect(await call(port, Buffer.alloc(limits.maxBodyBytes))).toMatchObject({ code: status.OK });
    const tooLarge = { code: status.RESOURCE_EXHAUSTED, details: "The body is larger than 1 MiB." };
    expect(await call(port, Buffer.alloc(limits.maxBodyBytes + 1))).toMatchObject(tooLarge);
    expect(await call(port, Buffer.alloc(40 * limits.maxBodyBytes))).toMatchObject(tooLarge);
    expect(await call(port, Buffer.alloc(limits.maxBodyBytes + 1), { gzip: true })).toMatchObject(tooLarge);
    expect(store.payloads).toHaveLength(1);
  });

  test("takes nothing of what others may send", async () => {
    const port = await start({ limits: { ...limits, maxBytesInFlight: 3_000_000 } });
    for (let i = 0; i < 4; i++) await call(port, Buffer.alloc(2_000_000));
    expect(await call(port, Buffer.alloc(limits.maxBodyBytes))).toMatchObject({ code: status.OK });
  });
});

describe("who may not send", () => {
  test("is refused without the token, and served with it", async () => {
    const port = await start({ token: "s3cret" });
    expect(await call(port, Buffer.alloc(2))).toMatchObject({ code: status.UNAUTHENTICATED });
    const metadata = { authorization: "Bearer s3cret" };
    expect(await call(port, Buffer.alloc(2), { metadata })).toMatchObject({ code: status.OK });
    expect(store.payloads).toHaveLength(1);
  });

  test("is refused under a name that is not this machine's, or from another site", async () => {
    const port = await start();
    const message = framed(Buffer.from("a"));
    for (const headers of [{ ":authority": "evil.example" }, { origin: "https://evil.example" }])
      expect(await callRaw(port, message, headers as unknown as Record<string, string>)).toMatchObject({
        code: status.PERMISSION_DENIED,
      });
    expect(store.payloads).toEqual([]);
  });

  test("gets neither the page nor what others sent", async () => {
    const port = await start();
    for (const path of ["/", "/api/traces"]) {
      const stream = (await open(port)).request({ ":path": path });
      const head = await new Promise<{ ":status"?: number }>((resolve) => stream.once("response", resolve));
      stream.resume();
      expect(head[":status"]).toBe(415);
    }
  });
});

describe("a slow or broken sender over HTTP/2", () => {
  const limits = { bodyIdleMillis: 300, headersTimeoutMillis: 300, http2IdleMillis: 600 };

  test("that stops in the middle of its message is cut off, and counted", async () => {
    const port = await start({ limits: { ...limits, http2IdleMillis: 60_000 } });
    const stream = (await open(port)).request({
      ":method": "POST",
      ":path": EXPORT,
      "content-type": "application/grpc",
    });
    stream.on("error", () => {});
    stream.write(framed(Buffer.alloc(100)).subarray(0, 50));
    expect(await call(port, Buffer.alloc(2))).toMatchObject({ code: status.OK });
    await new Promise((resolve) => stream.on("close", resolve));
    expect(await received(port)).toMatchObject({
      refusedRequests: 1,
      lastRefusal: `${EXPORT}: The connection ended before the request did.`,
    });
  });

  test("that goes away takes nothing with it", async () => {
    const port = await start({ limits: { maxBytesInFlight: 1000 } });
    for (let i = 1; i <= 3; i++) {
      const session = await open(port);
      const stream = session.request({ ":method": "POST", ":path": EXPORT, "content-type": "application/grpc" });
      stream.on("error", () => {});
      stream.write(Buffer.alloc(900));
      await sleep(50);
      session.destroy();
      while ((await received(port))["refusedRequests"] !== i) await sleep(10);
    }
    expect(await call(port, Buffer.alloc(400))).toMatchObject({ code: status.OK });
  });

  test("that is killed between two calls has sent nothing wrong", async () => {
    const port = await start();
    const { socket, closed } = await openSocket(port);
    const noSettings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    socket.write(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), noSettings]));
    await new Promise((resolve) => socket.once("data", resolve));
    socket.resetAndDestroy();
    await closed;
    await sleep(100);
    expect(await received(port)).toMatchObject({ refusedRequests: 0 });
  });

  test("that says nothing, or only begins to, is cut off", async () => {
    const port = await start({ limits });
    for (const bytes of ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]) {
      const { socket, closed } = await openSocket(port);
      socket.write(bytes);
      await closed;
    }
    expect(await call(port, Buffer.alloc(2))).toMatchObject({ code: status.OK });
  });

  test("whose bytes are not HTTP/2 after all harms nobody", async () => {
    const port = await start();
    const { socket, closed } = await openSocket(port);
    socket.write(`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${"nonsense".repeat(1000)}`);
    await closed;
    expect((await received(port))["lastRefusal"]).toMatch(/^The bytes are not HTTP\/2/);
    expect(await call(port, Buffer.alloc(2))).toMatchObject({ code: status.OK });
  });

  test("does not keep the server from closing", async () => {
    await start();
    const [server] = running;
    const port = Number(new URL(server?.urls[0] as string).port);
    await open(port);
    await openSocket(port);
    await running.pop()?.close();
    await expect(send(port, "/api/status")).rejects.toThrow("ECONNREFUSED");
  });
});

test("a request of HTTP/1.1 whose first bytes come one by one is answered", async () => {
  const port = await start();
  const { socket, received: text } = await openSocket(port);
  socket.setNoDelay(true);
  for (const byte of "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}") {
    socket.write(byte);
    await sleep(1);
  }
  while (!text().includes("200 OK")) await sleep(10);
  expect(Buffer.from(store.payloads[0]?.body as Uint8Array).toString()).toBe("{}");
  socket.destroy();
});
