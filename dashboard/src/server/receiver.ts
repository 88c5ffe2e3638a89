import type { IncomingMessage, ServerResponse } from "node:http";
import type { IngestResult, Payload, PayloadFormat, Store } from "../store/store.ts";
import { ByteBudget, readBody } from "./body.ts";
import type { Counts } from "./counts.ts";
import { HttpError, SenderGone, toHttpError } from "./http-error.ts";
import type { Limits } from "./limits.ts";
import { exportAnswer, statusAnswer, type OtlpEncoding } from "./otlp-answer.ts";
import type { Call, Route } from "./router.ts";

/** gRPC's codes for the HTTP statuses that are used here. Source: google/rpc/code.proto. */
const RPC_CODES: Readonly<Record<number, number>> = { 400: 3, 413: 8, 415: 3, 500: 13, 503: 14 };
const MEDIA_TYPES = { protobuf: "application/x-protobuf", json: "application/json" } as const;

/** What senders send to: OTLP/HTTP and Zipkin v2. Nothing is acknowledged before the store has kept it. */
export function receiverRoutes(store: Store, counts: Counts, limits: Limits): Route[] {
  const budget = new ByteBudget(limits.maxBytesInFlight);

  const ingest = async (request: IncomingMessage, signal: Payload["signal"], format: PayloadFormat): Promise<Kept> => {
    const body = await readBody(request, { maxBytes: limits.maxBodyBytes, idleMillis: limits.bodyIdleMillis, budget });
    try {
      const result = await store.ingest({ signal, format, body: body.bytes });
      return kept(result);
    } finally {
      body.release();
    }
  };

  /** Counts what becomes of a request, and answers it in the words of its protocol. */
  const receive = async (
    { request, response }: Call,
    signal: Payload["signal"],
    formatOf: (request: IncomingMessage) => PayloadFormat,
    accept: (format: PayloadFormat, result: Kept) => void,
    refuse: (error: HttpError) => void,
  ): Promise<void> => {
    counts.requests++;
    try {
      const format = formatOf(request);
      const result = await ingest(request, signal, format);
      counts.spans += result.spans;
      counts.logs += result.logs;
      counts.rejectedSpans += result.rejected;
      accept(format, result);
    } catch (error) {
      if (error instanceof SenderGone) {
        counts.refuse(`${request.url}: ${error.message}`);
        response.destroy();
        return;
      }
      const failure = toHttpError(error);
      if (failure.code === "store_busy" || failure.code === "store_full") counts.busyRequests++;
      else counts.refuse(`${request.url}: ${failure.message}`);
      refuse(failure);
    }
  };

  const otlp = (signal: Payload["signal"]): Route => ({
    method: "POST",
    path: `/v1/${signal}`,
    access: "receiver",
    handle(call) {
      const { request, response } = call;
      const encoding = encodingOf(request);
      const answer = (status: number, body: Buffer, headers: Readonly<Record<string, string>> = {}): void =>
        send(response, status, body, { ...headers, "content-type": MEDIA_TYPES[encoding ?? "json"] });
      return receive(
        call,
        signal,
        () => {
          if (encoding !== undefined) return encoding === "json" ? "otlp-json" : "otlp-protobuf";
          const given = request.headers["content-type"];
          const is = given === undefined ? "is missing" : `${given} is not known`;
          throw new HttpError(
            "unsupported_media_type",
            `Content-Type ${is}: OTLP/HTTP is application/x-protobuf or application/json.`,
          );
        },
        (_format, { rejected, reason }) =>
          answer(200, exportAnswer(encoding as OtlpEncoding, signal, rejected, reason)),
        ({ status, message, headers }) => {
          // Senders give up for good at 507, which OTLP does not know.
          const known = status === 507 ? 503 : status;
          answer(known, statusAnswer(encoding ?? "json", RPC_CODES[known] ?? 2, message), headers);
        },
      );
    },
  });

  const zipkin: Route = {
    method: "POST",
    path: "/api/v2/spans",
    access: "receiver",
    handle(call) {
      return receive(
        call,
        "traces",
        (request) => {
          const type = mediaType(request);
          if (type === undefined || type === "application/json") return "zipkin-json";
          throw new HttpError("unsupported_media_type", `Zipkin spans are read as application/json, not as ${type}.`);
        },
        () => send(call.response, 202, Buffer.alloc(0)),
        ({ status, message, headers }) =>
          send(call.response, status === 507 ? 503 : status, Buffer.from(message), {
            ...headers,
            "content-type": "text/plain; charset=utf-8",
          }),
      );
    },
  };

  return [otlp("traces"), otlp("logs"), zipkin];
}

type Kept = Extract<IngestResult, { outcome: "kept" }>;

function kept(result: IngestResult): Kept {
  switch (result.outcome) {
    case "kept":
      return result;
    case "malformed":
      throw new HttpError("bad_request", result.reason);
    case "busy":
      throw new HttpError("store_busy", result.reason, { "retry-after": "1" });
    case "full":
      throw new HttpError("store_full", result.reason, { "retry-after": "30" });
  }
}

function encodingOf(request: IncomingMessage): OtlpEncoding | undefined {
  const type = mediaType(request);
  if (type === MEDIA_TYPES.json) return "json";
  return type === MEDIA_TYPES.protobuf || type === "application/protobuf" ? "protobuf" : undefined;
}

function mediaType(request: IncomingMessage): string | undefined {
  return request.headers["content-type"]?.split(";", 1)[0]?.trim().toLowerCase();
}

function send(
  response: ServerResponse,
  status: number,
  body: Buffer,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { ...headers, "cache-control": "no-store", "content-length": body.length });
  response.end(body);
}
