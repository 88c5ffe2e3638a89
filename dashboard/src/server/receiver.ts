import type { IncomingMessage, ServerResponse } from "node:http";
import type { Payload } from "../store/store.ts";
import { readBody } from "./body.ts";
import { HttpError, SenderGone } from "./http-error.ts";
import type { Intake, Kept } from "./intake.ts";
import type { Limits } from "./limits.ts";
import { exportAnswer, statusAnswer, type OtlpEncoding } from "./otlp-answer.ts";
import type { Route } from "./router.ts";

/** gRPC's codes for the HTTP statuses that are used here. Source: google/rpc/code.proto. */
const RPC_CODES: Readonly<Record<number, number>> = { 400: 3, 413: 8, 415: 3, 500: 13, 503: 14 };
const MEDIA_TYPES = { protobuf: "application/x-protobuf", json: "application/json" } as const;

/** What senders send to over HTTP: OTLP and Zipkin v2. Nothing is acknowledged before the store has kept it. */
export function receiverRoutes(intake: Intake, limits: Limits): Route[] {
  const bodyLimits = { maxBytes: limits.maxBodyBytes, idleMillis: limits.bodyIdleMillis };

  const otlp = (signal: Payload["signal"]): Route => ({
    method: "POST",
    path: `/v1/${signal}`,
    access: "receiver",
    async handle({ request, response }) {
      const encoding = encodingOf(request);
      const answer = (status: number, body: Buffer, headers: Readonly<Record<string, string>> = {}): void =>
        send(response, status, body, { ...headers, "content-type": MEDIA_TYPES[encoding ?? "json"] });
      let result: Kept;
      try {
        result = await intake.keep(request.url ?? "", signal, async (budget) => {
          if (encoding === undefined) throw unknownType(request);
          return { format: `otlp-${encoding}`, body: await readBody(request, { ...bodyLimits, budget }) };
        });
      } catch (error) {
        if (error instanceof SenderGone) return void response.destroy();
        const { status, message, headers } = error as HttpError;
        // Senders give up for good at 507, which OTLP does not know.
        const known = status === 507 ? 503 : status;
        return answer(known, statusAnswer(encoding ?? "json", RPC_CODES[known] ?? 2, message), headers);
      }
      answer(200, exportAnswer(encoding as OtlpEncoding, signal, result.rejected, result.reason));
    },
  });

  const metrics: Route = {
    method: "POST",
    path: "/v1/metrics",
    access: "receiver",
    handle({ request, response }) {
      const encoding = encodingOf(request) ?? "json";
      intake.ignoreMetrics();
      request.resume();
      request.on("end", () =>
        send(response, 200, Buffer.from(encoding === "json" ? "{}" : ""), { "content-type": MEDIA_TYPES[encoding] }),
      );
    },
  };

  const zipkin: Route = {
    method: "POST",
    path: "/api/v2/spans",
    access: "receiver",
    async handle({ request, response }) {
      try {
        await intake.keep(request.url ?? "", "traces", async (budget) => {
          const type = mediaType(request);
          if (type !== undefined && type !== "application/json")
            throw new HttpError("unsupported_media_type", `Zipkin spans are read as application/json, not as ${type}.`);
          return { format: "zipkin-json", body: await readBody(request, { ...bodyLimits, budget }) };
        });
      } catch (error) {
        if (error instanceof SenderGone) return void response.destroy();
        const { status, message, headers } = error as HttpError;
        return send(response, status === 507 ? 503 : status, Buffer.from(message), {
          ...headers,
          "content-type": "text/plain; charset=utf-8",
        });
      }
      send(response, 202, Buffer.alloc(0));
    },
  };

  return [otlp("traces"), otlp("logs"), metrics, zipkin];
}

function unknownType({ headers }: IncomingMessage): HttpError {
  const given = headers["content-type"];
  const is = given === undefined ? "is missing" : `${given} is not known`;
  return new HttpError(
    "unsupported_media_type",
    `Content-Type ${is}: OTLP/HTTP is application/x-protobuf or application/json.`,
  );
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
