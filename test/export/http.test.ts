import { AsyncLocalStorage } from "node:async_hooks";
import { writeFileSync } from "node:fs";
import http from "node:http";
import net, { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { version } from "../../package.json";
import { activeContext, runInContext, TraceContext } from "../../src/trace/context.ts";
import { type Misbehaviour, type OtlpReceiver, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { createTestCertificates, type TestCertificates } from "../support/tls.ts";
import { counted, messages, startExport, type TestExport, watchExports } from "./exporting.ts";

let receiver: OtlpReceiver;
beforeAll(async () => {
  receiver = await startOtlpReceiver();
});
afterEach(() => receiver.reset());
afterAll(() => receiver.close());
watchExports();

const start = (env: Record<string, string> = {}): TestExport =>
  startExport({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, ...env });

/** The first requests get these answers, one each, and later ones a healthy one. */
const answer = (...answers: Misbehaviour[]): void => {
  receiver.respond = (_request, index) => answers[index];
};

describe("a request", () => {
  test("is a POST with its length, its kind and who sends it, and its spans arrive", async () => {
    const exporting = start({ OTEL_EXPORTER_OTLP_HEADERS: "x-tenant=7,authorization=Bearer%20secret-key" });
    exporting.end("a", { n: 1 });
    exporting.end("b");
    await exporting.forceFlush();
    expect(receiver.spans.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(receiver.spans[0]).toMatchObject({
      attributes: { n: 1 },
      resource: { "service.name": "shop" },
      scope: { name: "test", version: "1.2.3" },
    });
    const [request] = receiver.requests;
    expect(request?.headers).toMatchObject({
      "content-type": "application/x-protobuf",
      "content-length": String(request?.rawBody.length),
      "user-agent": `Tracekit-OTLP-Exporter-JavaScript/${version}`,
      "x-tenant": "7",
      authorization: "Bearer secret-key",
      connection: "keep-alive",
    });
    expect(request?.headers).not.toHaveProperty("transfer-encoding");
    expect(counted()).toMatchObject({ exportedSpans: 2, droppedSpans: 0, failedExports: 0 });
    expect(messages).toEqual([]);
  });

  test("leaves by itself within a second or two", async () => {
    start().end("a");
    await receiver.waitForSpans(1);
  });

  test("is compressed when that is asked for", async () => {
    const exporting = start({ OTEL_EXPORTER_OTLP_COMPRESSION: "gzip" });
    for (let index = 0; index < 50; index++) exporting.end("a", { text: "the same again, ".repeat(20) });
    await exporting.forceFlush();
    expect(receiver.spans).toHaveLength(50);
    const [request] = receiver.requests;
    expect(request?.headers["content-encoding"]).toBe("gzip");
    expect(request?.rawBody.length).toBeLessThan((request?.body.length ?? 0) / 3);
  });

  test("is JSON when that is asked for", async () => {
    const exporting = start({ OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" });
    exporting.end("a", { n: 1 });
    exporting.end("b", {}, { name: "other" });
    await exporting.forceFlush();
    expect(receiver.requests[0]?.headers["content-type"]).toBe("application/json");
    expect(receiver.spans.map(({ name, scope }) => `${scope.name} ${name}`)).toEqual(["test a", "other b"]);
    expect(counted().exportedSpans).toBe(2);
  });

  test("goes to a URL with credentials and a query as it is written, and they are in no message", async () => {
    const seen: Array<[string | undefined, string | undefined]> = [];
    const server = http.createServer((request, response) => {
      seen.push([request.url, request.headers.authorization]);
      response.writeHead(403).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const exporting = start({
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `http://me:pass%20word@127.0.0.1:${port}/in?key=abcdef`,
    });
    exporting.end("a");
    await exporting.forceFlush();
    server.close();
    expect(seen).toEqual([["/in?key=abcdef", `Basic ${Buffer.from("me:pass word").toString("base64")}`]]);
    expect(messages.join()).toContain(`http://127.0.0.1:${port}/in refused 1 spans`);
    expect(messages.join()).not.toMatch(/pass|abcdef/);
  });

  test("uses the connection of the one before, also when the other side has just closed it", async () => {
    const ports = new Set<number | undefined>();
    let requests = 0;
    const server = http.createServer((request, response) => {
      ports.add(request.socket.remotePort);
      requests++;
      request.resume().on("end", () => response.end());
    });
    server.keepAliveTimeout = 0;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const exporting = start({
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    });
    for (let index = 0; index < 3; index++) {
      exporting.end("a");
      await exporting.forceFlush();
    }
    expect(ports.size).toBe(1);
    // The connection ends with the next request's first byte.
    server.once("request", (request) => request.socket.resetAndDestroy());
    exporting.end("b");
    await exporting.forceFlush();
    server.closeAllConnections();
    server.close();
    expect(requests).toBe(5);
    expect(ports.size).toBe(2);
    expect(messages).toEqual([]);
    expect(counted()).toMatchObject({ exportedSpans: 4, droppedSpans: 0 });
  });

  test("is made outside the request that caused it: no context of ours or the application's, and untraced", async () => {
    const exporting = start({ OTEL_BSP_MAX_EXPORT_BATCH_SIZE: "1" });
    const applications = new AsyncLocalStorage<string>();
    const original = Reflect.get(net.Socket.prototype, "connect") as (...args: unknown[]) => net.Socket;
    const seen: unknown[] = [];
    const note = (): void =>
      void seen.push([applications.getStore(), activeContext().suppressed, activeContext().span]);
    const patched = vi.spyOn(net.Socket.prototype, "connect").mockImplementation(function (
      this: net.Socket,
      ...args: unknown[]
    ) {
      note();
      return original.apply(this, args).once("connect", note).once("close", note);
    });
    const context = new TraceContext(undefined, undefined, false, undefined);
    applications.run("the application's", () => runInContext(context, () => exporting.end("a"), undefined, []));
    await receiver.waitForSpans(1);
    await applications.run("the application's", () => exporting.forceFlush());
    patched.mockRestore();
    await exporting.shutdown();
    await vi.waitFor(() => expect(seen).toHaveLength(3));
    for (const each of seen) expect(each).toEqual([undefined, true, undefined]);
  });

  test("that the application's patch of node:net makes fail is counted, and nothing is thrown", async () => {
    const patched = vi.spyOn(net.Socket.prototype, "connect").mockImplementation(() => {
      throw new Error("no network in tests");
    });
    const exporting = start();
    exporting.end("a");
    await exporting.forceFlush();
    patched.mockRestore();
    expect(counted()).toMatchObject({ droppedSpans: 1, failedExports: 1 });
    expect(messages.join()).toContain("no network in tests");
  });

  test("does not pass through node:http, which the application's own requests are faster without", async () => {
    const patched = vi.spyOn(http, "request");
    const exporting = start();
    exporting.end("a");
    await exporting.forceFlush();
    expect(patched).not.toHaveBeenCalled();
    patched.mockRestore();
    expect(counted()).toMatchObject({ exportedSpans: 1 });
  });
});

describe("an answer", () => {
  test.each([429, 502, 503, 504])("%i is tried again, after as many seconds as it says", async (status) => {
    answer({ status, headers: { "retry-after": "1" } });
    const exporting = start();
    exporting.end("a");
    await exporting.forceFlush();
    expect(receiver.spans.map(({ name }) => name)).toEqual(["a"]);
    const [first, second] = receiver.requests;
    expect((second?.receivedAt ?? 0) - (first?.receivedAt ?? 0)).toBeGreaterThanOrEqual(990);
    expect(counted()).toMatchObject({ exportedSpans: 1, droppedSpans: 0, failedExports: 0 });
    expect(messages).toEqual([]);
  });

  test("may say the date of the next try", async () => {
    // Dates have whole seconds.
    const date = new Date(Math.ceil(Date.now() / 1000) * 1000 + 1000);
    answer({ status: 503, headers: { "retry-after": date.toUTCString() } });
    const exporting = start();
    exporting.end("a");
    await exporting.forceFlush();
    expect(receiver.requests).toHaveLength(2);
    expect(receiver.requests[1]?.receivedAt).toBeGreaterThanOrEqual(date.getTime() - 10);
  });

  test("without a wish is tried again later and later", { timeout: 120_000 }, async () => {
    answer({ destroy: true }, { status: 503 }, { status: 503 });
    const exporting = start({ OTEL_EXPORTER_OTLP_TIMEOUT: "60000" });
    exporting.end("a");
    await receiver.waitForSpans(1, 60_000);
    const times = receiver.requests.map(({ receivedAt }) => receivedAt);
    const waits = times.slice(1).map((time, index) => time - (times[index] as number));
    for (const [index, nominal] of [1000, 1500, 2250].entries()) {
      expect(waits[index]).toBeGreaterThanOrEqual(nominal * 0.8 - 10);
    }
  });

  test("that wants more time than the batch has ends it; the next one waits, and is sent then", async () => {
    answer({ status: 429, headers: { "retry-after": "2" } });
    const exporting = start({ OTEL_EXPORTER_OTLP_TIMEOUT: "1000" });
    exporting.end("lost");
    await vi.waitFor(() => expect(counted()).toMatchObject({ droppedSpans: 1, failedExports: 1 }), 20_000);
    exporting.end("waits");
    await exporting.forceFlush();
    expect(receiver.requests).toHaveLength(1);
    await receiver.waitForSpans(1);
    expect(receiver.spans.map(({ name }) => name)).toEqual(["waits"]);
    const [first, second] = receiver.requests;
    expect((second?.receivedAt ?? 0) - (first?.receivedAt ?? 0)).toBeGreaterThanOrEqual(1990);
    await vi.waitFor(() => expect(messages).toHaveLength(2));
    expect(messages[0]).toContain("429 Too Many Requests");
    expect(messages[1]).toContain("takes traces again; 1 spans were lost meanwhile");
  });

  test.each([400, 401, 404, 413, 500])("%i is final: counted, said once, not tried again", async (status) => {
    answer(
      { status, body: 'no: "secret-key" is not a key', headers: { "content-type": "text/plain" } },
      { status, body: "again" },
    );
    const exporting = start({ OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20secret-key" });
    for (const name of ["a", "b"]) {
      exporting.end(name);
      await exporting.forceFlush();
    }
    expect(receiver.requests).toHaveLength(2);
    expect(counted()).toMatchObject({ droppedSpans: 2, failedExports: 2, exportedSpans: 0 });
    expect(messages).toHaveLength(1);
    expect(messages[0]).toContain(`${receiver.url}/v1/traces refused 1 spans, which are lost: ${status}`);
    expect(messages[0]).toContain('no: "…" is not a key');
  });

  test("that is a redirect is not followed, and says where it pointed", async () => {
    answer({ status: 307, headers: { location: "https://elsewhere.example/v1/traces" } });
    const exporting = start();
    exporting.end("a");
    await exporting.forceFlush();
    expect(receiver.requests).toHaveLength(1);
    expect(counted().droppedSpans).toBe(1);
    expect(messages.join()).toContain("to https://elsewhere.example/v1/traces; redirects are not followed");
  });

  test.each(["http/protobuf", "http/json"])("that takes part of a batch counts the rest, in %s", async (protocol) => {
    answer({ partialSuccess: { rejectedSpans: 2, errorMessage: "attribute too long" } });
    const exporting = start({ OTEL_EXPORTER_OTLP_PROTOCOL: protocol });
    for (const name of ["a", "b", "c"]) exporting.end(name);
    await exporting.forceFlush();
    expect(receiver.requests).toHaveLength(1);
    expect(counted()).toMatchObject({ exportedSpans: 1, rejectedSpans: 2, droppedSpans: 0 });
    expect(messages.join()).toContain("rejected 2 of 3 spans: attribute too long");
  });

  test("that takes everything with a remark passes the remark on", async () => {
    answer({ partialSuccess: { rejectedSpans: 0, errorMessage: "this endpoint moves soon" } });
    const exporting = start();
    exporting.end("a");
    await exporting.forceFlush();
    expect(counted()).toMatchObject({ exportedSpans: 1, rejectedSpans: 0 });
    expect(messages.join()).toContain("this endpoint moves soon");
  });

  test.each([
    ["bytes", Buffer.from([0x0a, 0xff, 0xff, 0xff])],
    ["text", "OK"],
    ["endless varint", Buffer.alloc(30, 0xff)],
  ])("200 with %s that mean nothing is taken for what its status says", async (_what, body) => {
    answer({ body });
    const exporting = start();
    exporting.end("a");
    await exporting.forceFlush();
    expect(counted()).toMatchObject({ exportedSpans: 1, rejectedSpans: 0 });
    expect(messages).toEqual([]);
  });

  test("over 4 MiB is not read to its end, and not asked for again", async () => {
    const mebibyte = 1024 * 1024;
    answer({ body: Buffer.alloc(4 * mebibyte) }, { body: Buffer.alloc(4 * mebibyte + 1), status: 503 });
    const exporting = start();
    exporting.end("last accepted");
    await exporting.forceFlush();
    exporting.end("first refused");
    await exporting.forceFlush();
    expect(receiver.requests).toHaveLength(2);
    expect(counted()).toMatchObject({ exportedSpans: 1, droppedSpans: 1 });
    expect(messages.join()).toContain("its answer was longer than 4194304 bytes");
  });

  test("that never comes ends the batch after its time, and the next one is sent", async () => {
    answer({ hang: true });
    const exporting = start({ OTEL_EXPORTER_OTLP_TIMEOUT: "1000" });
    exporting.end("lost");
    await vi.waitFor(() => expect(counted().droppedSpans).toBe(1), 20_000);
    expect(messages.join()).toContain("no answer within 1000 ms");
    exporting.end("b");
    await exporting.forceFlush();
    expect(receiver.spans.map(({ name }) => name)).toEqual(["b"]);
    expect(messages.at(-1)).toContain("takes traces again; 1 spans were lost");
  });

  /** A server of its own kind, which says `text` on every connection. */
  async function startSpeaker(text: string, ends: boolean): Promise<{ url: string; close(): void }> {
    const server = createTcpServer((socket) => {
      socket.on("error", () => {}).resume();
      if (ends) socket.end(text, "latin1");
      else socket.write(text, "latin1");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      close: () => void server.close(),
    };
  }

  test.each([
    ["closes", true],
    ["waits for more", false],
  ])("that is not HTTP, from a server that %s, is final, and says what may be wrong", async (_what, ends) => {
    const speaker = await startSpeaker("\u0000\u0000\u0018\u0004\u0000\u0000\u0000\u0000\u0000", ends);
    const exporting = start({ OTEL_EXPORTER_OTLP_ENDPOINT: speaker.url });
    exporting.end("a");
    await exporting.forceFlush();
    speaker.close();
    expect(counted().droppedSpans).toBe(1);
    expect(messages.join()).toContain("does not speak HTTP/1.1");
    expect(messages.join()).toContain("is it the gRPC port?");
  });

  test("whose end is the connection's is an answer", async () => {
    const speaker = await startSpeaker("HTTP/1.0 200 OK\r\n\r\n", true);
    const exporting = start({ OTEL_EXPORTER_OTLP_ENDPOINT: speaker.url });
    for (const name of ["a", "b"]) {
      exporting.end(name);
      await exporting.forceFlush();
    }
    speaker.close();
    expect(messages).toEqual([]);
    expect(counted()).toMatchObject({ exportedSpans: 2, droppedSpans: 0 });
  });

  test("that comes before the whole request has gone is an answer", async () => {
    const server = http.createServer((_request, response) => response.writeHead(413).end("too large"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const exporting = start({
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    });
    exporting.end("large", { body: "x".repeat(20_000_000) });
    await exporting.forceFlush();
    server.closeAllConnections();
    server.close();
    expect(counted()).toMatchObject({ droppedSpans: 1 });
    expect(messages).toHaveLength(1);
  });
});

describe("a backend that is not there", () => {
  test(
    "is said once, with its URL and what to do; what waits for it arrives when it is there",
    { timeout: 120_000 },
    async () => {
      const late = await startOtlpReceiver();
      await late.close();
      const exporting = start({ OTEL_EXPORTER_OTLP_ENDPOINT: late.url, OTEL_EXPORTER_OTLP_TIMEOUT: "60000" });
      exporting.end("a");
      await vi.waitFor(() => expect(messages).toHaveLength(1), 20_000);
      expect(messages[0]).toMatch(
        new RegExp(
          `^tracekit: no backend takes traces at ${late.url}/v1/traces \\(connect ECONNREFUSED.*OTEL_EXPORTER_OTLP_ENDPOINT`,
        ),
      );
      for (let index = 0; index < 40; index++) {
        exporting.end("filler", { body: "x".repeat(20_000) });
      }
      const back = await startOtlpReceiver({ port: late.port });
      try {
        await back.waitForSpans(41, 60_000);
        await vi.waitFor(() => expect(messages).toHaveLength(2));
        expect(messages[1]).toContain(`${late.url}/v1/traces takes traces again`);
        await vi.waitFor(() => expect(counted()).toMatchObject({ exportedSpans: 41, droppedSpans: 0 }));
      } finally {
        await back.close();
      }
    },
  );

  test("costs one request at a time", async () => {
    receiver.respond = () => ({ hang: true });
    const exporting = start({ OTEL_EXPORTER_OTLP_TIMEOUT: "1000", OTEL_BSP_MAX_EXPORT_BATCH_SIZE: "1" });
    exporting.end("first");
    await vi.waitFor(() => expect(counted().droppedSpans).toBe(1), 20_000);
    for (let index = 0; index < 20; index++) exporting.end("waiting");
    await vi.waitFor(() => expect(counted().droppedSpans).toBe(3), 20_000);
    expect(receiver.requests.length).toBeLessThanOrEqual(4);
  });

  test("is asked at most eight requests at a time while it is slow", async () => {
    let open = 0;
    let most = 0;
    receiver.respond = () => {
      most = Math.max(most, ++open);
      setTimeout(() => open--, 50);
      return { delayMillis: 50 };
    };
    const exporting = start({ OTEL_BSP_MAX_EXPORT_BATCH_SIZE: "1" });
    for (let index = 0; index < 30; index++) exporting.end("a");
    await exporting.forceFlush();
    expect(receiver.spans).toHaveLength(30);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(8);
  });

  test("makes the queue drop the newest spans at OTEL_BSP_MAX_QUEUE_SIZE, when that is set", async () => {
    receiver.respond = () => ({ hang: true });
    const exporting = start({ OTEL_EXPORTER_OTLP_TIMEOUT: "1000", OTEL_BSP_MAX_QUEUE_SIZE: "3" });
    for (const name of ["a", "b", "c", "d"]) exporting.end(name);
    await receiver.waitForRequests(1);
    expect(receiver.requests[0]?.spans.map(({ name }) => name)).toEqual(["a", "b", "c"]);
    expect(counted().droppedSpans).toBe(1);
  });
});

describe("TLS", () => {
  let certificates: TestCertificates;
  let secure: OtlpReceiver;
  beforeAll(async () => {
    certificates = createTestCertificates();
    secure = await startOtlpReceiver({ tls: { ...certificates.server, ca: certificates.ca, requestCert: true } });
  });
  afterEach(() => secure.reset());
  afterAll(async () => {
    certificates.remove();
    await secure.close();
  });

  test("takes an authority and a client certificate from files", async () => {
    const exporting = start({
      OTEL_EXPORTER_OTLP_ENDPOINT: secure.url,
      OTEL_EXPORTER_OTLP_CERTIFICATE: certificates.files.ca,
      OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: certificates.files.clientCert,
      OTEL_EXPORTER_OTLP_CLIENT_KEY: certificates.files.clientKey,
    });
    exporting.end("a");
    await exporting.forceFlush();
    expect(secure.spans).toHaveLength(1);
    expect(messages).toEqual([]);
  });

  test("that fails is said with its reason", async () => {
    const exporting = start({ OTEL_EXPORTER_OTLP_ENDPOINT: secure.url, OTEL_EXPORTER_OTLP_TIMEOUT: "1000" });
    exporting.end("a");
    await exporting.forceFlush();
    expect(messages.join()).toMatch(/no backend takes traces at .*certificate/);
  });

  test("without a usable file says which one, once, and sends without it", async () => {
    const noPem = join(tmpdir(), `tracekit-no-pem-${process.pid}`);
    writeFileSync(noPem, "not PEM");
    const exporting = start({
      OTEL_EXPORTER_OTLP_CERTIFICATE: "/does/not/exist.pem",
      OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: noPem,
      OTEL_EXPORTER_OTLP_CLIENT_KEY: certificates.files.clientKey,
    });
    for (const name of ["a", "b"]) {
      exporting.end(name);
      await exporting.forceFlush();
    }
    expect(receiver.spans).toHaveLength(2);
    expect(messages).toHaveLength(3);
    expect(messages[0]).toContain("OTEL_EXPORTER_OTLP_CERTIFICATE: /does/not/exist.pem cannot be read");
    expect(messages[1]).toContain(`OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: ${noPem} is not a PEM file`);
  });
});

test("a batch over 64 MiB is never made: the span that would make it is dropped", async () => {
  const exporting = start({ TRACEKIT_MAX_QUEUE_BYTES: "200000000" });
  exporting.end("small");
  exporting.end("large", { body: "x".repeat(64 * 1024 * 1024) });
  await exporting.forceFlush();
  expect(receiver.spans.map(({ name }) => name)).toEqual(["small"]);
  expect(counted().droppedSpans).toBe(1);
});

test("after shutdown nothing is sent and nothing is open", async () => {
  const exporting = start();
  exporting.end("a");
  await exporting.shutdown();
  exporting.end("b");
  await exporting.forceFlush();
  expect(receiver.spans.map(({ name }) => name)).toEqual(["a"]);
});
