import { rmSync } from "node:fs";
import { createServer, type Server as TcpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Metadata, Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import { afterEach, expect, test, vi } from "vitest";
import { decodeTraces, type ReceivedSpan } from "../support/otlp-receiver.ts";
import { createTestCertificates } from "../support/tls.ts";
import { counted, messages, startExport, type TestExport, watchExports } from "./exporting.ts";

watchExports();

interface Call {
  readonly spans: ReceivedSpan[];
  readonly metadata: Record<string, unknown>;
}
type Failure = { code: status; details?: string; metadata?: Metadata };

/** The official gRPC server, with OTLP's one method. */
class Backend {
  readonly calls: Call[] = [];
  /** What to answer to each call; healthy past the end. "hang" is nothing. */
  answers: Array<Buffer | Failure | "hang"> = [];
  port = 0;
  private readonly server = new Server();

  async listen(address = "127.0.0.1:0", credentials = ServerCredentials.createInsecure()): Promise<this> {
    const identity = (bytes: Buffer): Buffer => bytes;
    this.server.addService(
      {
        Export: {
          path: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
          requestStream: false,
          responseStream: false,
          requestSerialize: identity,
          requestDeserialize: identity,
          responseSerialize: identity,
          responseDeserialize: identity,
        },
      },
      {
        Export: ({ request, metadata }: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => {
          const answer = this.answers[this.calls.length] ?? Buffer.alloc(0);
          this.calls.push({ spans: decodeTraces(request), metadata: metadata.getMap() });
          if (answer === "hang") return;
          if (Buffer.isBuffer(answer)) done(null, answer);
          else done(answer);
        },
      },
    );
    this.port = await new Promise((resolve, reject) =>
      this.server.bindAsync(address, credentials, (error, port) => (error ? reject(error) : resolve(port))),
    );
    backends.push(this);
    return this;
  }

  close(): void {
    this.server.forceShutdown();
  }
}

const backends: Backend[] = [];
afterEach(() => backends.splice(0).forEach((backend) => backend.close()));

const start = (port: number, env: Record<string, string> = {}): TestExport =>
  startExport({
    OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
    ...env,
  });

const namesOf = (backend: Backend): string[] => backend.calls.flatMap(({ spans }) => spans.map(({ name }) => name));

test.each(["none", "gzip"])("spans and metadata arrive at a gRPC server, compression %s", async (compression) => {
  const backend = await new Backend().listen();
  const exporting = start(backend.port, {
    OTEL_EXPORTER_OTLP_COMPRESSION: compression,
    OTEL_EXPORTER_OTLP_HEADERS: "x-tenant=7",
  });
  for (let index = 0; index < 500; index++) exporting.end("a", { text: "x".repeat(1000) });
  await exporting.forceFlush();
  exporting.end("b");
  await exporting.forceFlush();
  expect(namesOf(backend)).toHaveLength(501);
  expect(backend.calls[0]?.metadata).toMatchObject({
    "x-tenant": "7",
    "user-agent": expect.stringContaining("Tracekit-OTLP-Exporter-JavaScript/"),
  });
  expect(counted()).toMatchObject({ exportedSpans: 501, droppedSpans: 0 });
  expect(messages).toEqual([]);
});

test("a status that may pass is tried again", async () => {
  const backend = await new Backend().listen();
  backend.answers = [{ code: status.UNAVAILABLE, details: "starting" }];
  const exporting = start(backend.port);
  exporting.end("a");
  await exporting.forceFlush();
  expect(namesOf(backend)).toEqual(["a", "a"]);
  expect(counted()).toMatchObject({ exportedSpans: 1, droppedSpans: 0 });
});

test("RESOURCE_EXHAUSTED is tried again when the server says when", async () => {
  const backend = await new Backend().listen();
  const metadata = new Metadata();
  metadata.set("grpc-status-details-bin", retryInfo(1, 500_000_000));
  const startedAt = Date.now();
  backend.answers = [{ code: status.RESOURCE_EXHAUSTED, metadata }];
  const exporting = start(backend.port);
  exporting.end("a");
  await exporting.forceFlush();
  expect(namesOf(backend)).toEqual(["a", "a"]);
  expect(Date.now() - startedAt).toBeGreaterThanOrEqual(1490);
});

test.each([
  ["RESOURCE_EXHAUSTED", "quota"],
  ["UNAUTHENTICATED", "no kéy"],
  ["INVALID_ARGUMENT", "100%"],
] as const)("%s is final, and its message is passed on", async (code, details) => {
  const backend = await new Backend().listen();
  backend.answers = [{ code: status[code], details }];
  const exporting = start(backend.port);
  exporting.end("a");
  await exporting.forceFlush();
  expect(backend.calls).toHaveLength(1);
  expect(counted()).toMatchObject({ droppedSpans: 1, failedExports: 1 });
  expect(messages.join()).toContain(`refused 1 spans, which are lost: gRPC status ${status[code]} ${details}`);
});

test("a partial success counts what was rejected", async () => {
  const backend = await new Backend().listen();
  backend.answers = [Buffer.from([0x0a, 0x07, 0x08, 0x01, 0x12, 0x03, 0x62, 0x61, 0x64])];
  const exporting = start(backend.port);
  exporting.end("a");
  exporting.end("b");
  await exporting.forceFlush();
  expect(counted()).toMatchObject({ exportedSpans: 1, rejectedSpans: 1 });
  expect(messages.join()).toContain("rejected 1 of 2 spans: bad");
});

test("a server that does not answer ends the batch after its time, and the next one has a new connection", async () => {
  const backend = await new Backend().listen();
  backend.answers = ["hang"];
  const exporting = start(backend.port, { OTEL_EXPORTER_OTLP_TIMEOUT: "1000" });
  exporting.end("lost");
  await vi.waitFor(() => expect(counted().droppedSpans).toBe(1), 20_000);
  exporting.end("b");
  await exporting.forceFlush();
  expect(namesOf(backend)).toEqual(["lost", "b"]);
  expect(counted().exportedSpans).toBe(1);
});

test("a server that was restarted gets the next spans", async () => {
  const first = await new Backend().listen();
  const exporting = start(first.port);
  exporting.end("a");
  await exporting.forceFlush();
  first.close();
  const second = await new Backend().listen(`127.0.0.1:${first.port}`);
  exporting.end("b");
  await exporting.forceFlush();
  expect(namesOf(second)).toEqual(["b"]);
});

test("a port that speaks HTTP/1.1 is said to take nothing", async () => {
  const server: TcpServer = createServer((_request, response) => response.end());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const exporting = start((server.address() as AddressInfo).port, { OTEL_EXPORTER_OTLP_TIMEOUT: "1500" });
  exporting.end("a");
  await exporting.forceFlush();
  server.closeAllConnections();
  server.close();
  expect(messages.join()).toContain("no backend takes traces at http://127.0.0.1");
});

// gRPC's `unix:` names a file, which Windows has no sockets for.
test.skipIf(process.platform === "win32")("a Unix socket is a target", async () => {
  const path = join(tmpdir(), `tracekit-grpc-${process.pid}`);
  const backend = await new Backend().listen(`unix:${path}`);
  const exporting = start(0, { OTEL_EXPORTER_OTLP_ENDPOINT: `unix://${path}` });
  exporting.end("a");
  await exporting.forceFlush();
  rmSync(path, { force: true });
  expect(namesOf(backend)).toEqual(["a"]);
});

test("TLS takes an authority and a client certificate from files", async () => {
  const certificates = createTestCertificates();
  const { key, cert } = certificates.server;
  const backend = await new Backend().listen(
    "127.0.0.1:0",
    ServerCredentials.createSsl(
      Buffer.from(certificates.ca),
      [{ private_key: Buffer.from(key), cert_chain: Buffer.from(cert) }],
      true,
    ),
  );
  const exporting = start(0, {
    OTEL_EXPORTER_OTLP_ENDPOINT: `https://127.0.0.1:${backend.port}`,
    OTEL_EXPORTER_OTLP_CERTIFICATE: certificates.files.ca,
    OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: certificates.files.clientCert,
    OTEL_EXPORTER_OTLP_CLIENT_KEY: certificates.files.clientKey,
  });
  exporting.end("a");
  await exporting.forceFlush();
  certificates.remove();
  expect(namesOf(backend)).toEqual(["a"]);
});

/** A `google.rpc.Status` with a `RetryInfo`. */
function retryInfo(seconds: number, nanos: number): Buffer {
  const field = (tag: number, bytes: Buffer): Buffer => Buffer.concat([Buffer.from([tag, bytes.length]), bytes]);
  const varint = (tag: number, value: number): Buffer => {
    const bytes = [tag];
    let rest = value;
    for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
    return Buffer.from([...bytes, rest]);
  };
  const duration = Buffer.concat([varint(0x08, seconds), varint(0x10, nanos)]);
  const any = Buffer.concat([
    field(0x0a, Buffer.from("type.googleapis.com/google.rpc.RetryInfo")),
    field(0x12, field(0x0a, duration)),
  ]);
  return Buffer.concat([varint(0x08, 8), field(0x12, Buffer.from("slow down")), field(0x1a, any)]);
}
