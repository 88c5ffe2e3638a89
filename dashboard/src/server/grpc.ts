import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Payload } from "../store/store.ts";
import type { ErrorCode } from "../model/api.ts";
import { type Body, type ByteBudget, checkEncoding, inflateBody, readBytes } from "./body.ts";
import type { Counts } from "./counts.ts";
import type { Asked, Guard } from "./guard.ts";
import { HttpError, SenderGone, toHttpError } from "./http-error.ts";
import type { Intake } from "./intake.ts";
import type { Limits } from "./limits.ts";
import { exportAnswer } from "./otlp-answer.ts";

/** OTLP over gRPC: one call of one message, its length before it. Source: opentelemetry-proto collector/{trace,logs,metrics}/v1,
 *  gRPC over HTTP2 (grpc/doc/PROTOCOL-HTTP2.md). */
const SIGNALS: Readonly<Record<string, Payload["signal"] | "metrics">> = {
  "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
  "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
  "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
};

/** Senders repeat what is UNAVAILABLE (14), and give up at the others. Source: OTLP 1.9, "Failures". */
const STATUSES: Readonly<Record<ErrorCode, number>> = {
  bad_request: 3,
  unauthorized: 16,
  forbidden_host: 7,
  forbidden_origin: 7,
  not_found: 12,
  method_not_allowed: 12,
  too_large: 8,
  unsupported_media_type: 12,
  store_busy: 14,
  store_full: 14,
  internal: 13,
};
/** A flag for compressed, and the length in four bytes. */
const PREFIX_BYTES = 5;
const NOT_GRPC = "Over HTTP/2 only gRPC is understood here; the page and OTLP/HTTP are answered over HTTP/1.1.";

interface Context {
  guard: Guard;
  counts: Counts;
  intake: Intake;
  limits: Limits;
}

/** Answers one HTTP/2 request; never throws. */
export async function answerGrpc(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  { guard, counts, intake, limits }: Context,
): Promise<void> {
  stream.on("error", () => {});
  const path = headers[":path"] ?? "";
  const refuse = (error: unknown): void => {
    const failure = toHttpError(error);
    counts.refuse(`${path}: ${failure.message}`);
    fail(stream, failure);
  };
  if (!/^application\/grpc\b/.test(headers["content-type"] ?? "")) {
    counts.refuse(`${path}: ${NOT_GRPC}`);
    stream.respond({ ":status": 415, "content-type": "text/plain; charset=utf-8" });
    stream.end(NOT_GRPC);
    stream.resume();
    return;
  }
  const signal = SIGNALS[path];
  try {
    // gRPC's name for the Host header.
    const host = headers[":authority"] ?? headers.host ?? "";
    const asked: Asked = { headers: { ...headers, host }, rawHeaders: ["host", host] };
    guard.checkHost(asked);
    guard.check(asked, "receiver");
    if (signal === undefined) throw new HttpError("not_found", `No call is known as ${path}.`);
  } catch (error) {
    return refuse(error);
  }
  if (signal === "metrics") {
    intake.ignoreMetrics();
    return succeed(stream, Buffer.alloc(0));
  }
  try {
    const { rejected, reason } = await intake.keep(path, signal, async (budget) => ({
      format: "otlp-protobuf",
      body: await readMessage(stream, headers, limits, budget),
    }));
    succeed(stream, exportAnswer("protobuf", signal, rejected, reason));
  } catch (error) {
    if (error instanceof SenderGone) stream.destroy();
    else fail(stream, error as HttpError);
  }
}

function readMessage(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  { maxBodyBytes, bodyIdleMillis }: Limits,
  budget: ByteBudget,
): Promise<Body> {
  const encoding = String(headers["grpc-encoding"] ?? "identity");
  checkEncoding(encoding);
  return readBytes(stream, { maxBytes: maxBodyBytes + PREFIX_BYTES, idleMillis: bodyIdleMillis, budget }, (sent) => {
    const isWhole =
      sent.length >= PREFIX_BYTES && new DataView(sent.buffer).getUint32(1) === sent.length - PREFIX_BYTES;
    if (!isWhole) throw new HttpError("bad_request", "The call is not one message with its length before it.");
    // Copied: it is handed to another thread, which would get the prefix with it.
    const message = sent.slice(PREFIX_BYTES);
    return inflateBody(message, sent[0] === 0 ? "identity" : encoding, maxBodyBytes);
  });
}

function succeed(stream: ServerHttp2Stream, message: Buffer): void {
  if (stream.destroyed || stream.closed) return;
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([prefix, message]));
  stream.resume();
}

function fail(stream: ServerHttp2Stream, { code, message }: HttpError): void {
  if (stream.destroyed || stream.closed) return;
  stream.respond(
    {
      ":status": 200,
      "content-type": "application/grpc",
      "grpc-status": String(STATUSES[code]),
      "grpc-message": percentEncoded(message),
      "grpc-accept-encoding": "identity,gzip,deflate",
    },
    { endStream: true },
  );
  // What is still sent of a refused call is dropped by the protocol itself.
  stream.close();
}

/** All but printable ASCII escaped, as `grpc-message` wants it. */
function percentEncoded(text: string): string {
  const bytes = Buffer.from(text).toString("latin1");
  return bytes.replaceAll(/[^ -$&-~]/g, (byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
