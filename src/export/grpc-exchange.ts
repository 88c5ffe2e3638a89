import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";
import { fromBase64 } from "../node-buffer.ts";
import { type Answer, toAccepted, toRetryMillis, unreachable } from "./answer.ts";
import { type Endpoint, type Exchange, MAX_RESPONSE_BYTES } from "./exchange.ts";
import { gzip } from "./gzip.ts";

const METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/** gRPC codes OTLP lets a client retry; 8 (RESOURCE_EXHAUSTED) only when the server says when. Source: OTLP specification, "Failures". */
const RETRYABLE = new Set([1, 4, 10, 11, 14, 15]);
const RESOURCE_EXHAUSTED = 8;
const RETRYABLE_HTTP = new Set([429, 502, 503, 504]);

/**
 * OTLP over gRPC: a unary call is one HTTP/2 request whose body and answer have a five-byte prefix, and whose status comes in
 * the trailers. Source: gRPC "PROTOCOL-HTTP2.md". No gRPC library: 2 MB to load, and its calls keep a process alive.
 */
export function createGrpcExchange(endpoint: Endpoint): Exchange {
  const http2 = process.getBuiltinModule("node:http2");
  let session: ClientHttp2Session | undefined;

  const connect = (): ClientHttp2Session => {
    const { url, ca, cert, key } = endpoint;
    const isUnixSocket = url.startsWith("unix:");
    const created = isUnixSocket
      ? http2.connect("http://localhost", {
          createConnection: () => process.getBuiltinModule("node:net").connect(url.slice(5).replace(/^\/\/(?=\/)/, "")),
        })
      : http2.connect(url, { ca, cert, key });
    const forget = (): void => {
      if (session === created) session = undefined;
    };
    created.on("error", forget);
    created.on("goaway", forget);
    created.on("close", forget);
    created.unref();
    return created;
  };

  const call = (message: Uint8Array[], isCompressed: boolean, done: (answer: Answer) => void): ClientHttp2Stream => {
    session ??= connect();
    const used = session;
    const headers: OutgoingHttpHeaders = {
      ...endpoint.headers,
      ":method": "POST",
      ":path": METHOD,
      "content-type": "application/grpc",
      te: "trailers",
    };
    if (isCompressed) headers["grpc-encoding"] = "gzip";
    const stream = used.request(headers);
    let head: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders | undefined;
    let failure: unknown;
    let answer: Answer | undefined;
    const chunks: Buffer[] = [];
    let length = 0;
    stream.on("response", (received) => (head = received));
    stream.on("trailers", (received) => (trailers = received));
    stream.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length <= MAX_RESPONSE_BYTES) chunks.push(chunk);
      else {
        answer = { kind: "refused", reason: `its answer was longer than ${MAX_RESPONSE_BYTES} bytes` };
        stream.destroy();
      }
    });
    stream.on("error", (error) => (failure = error));
    stream.on("close", () => {
      // A failure with an answer is that of the connection ending behind it.
      const status = trailers?.["grpc-status"] ?? head["grpc-status"];
      if (answer === undefined && status === undefined && head[":status"] === undefined) {
        // The session may be one that no longer leads anywhere.
        used.destroy();
        answer = unreachable(failure ?? new Error("the connection was closed"));
      }
      done(answer ?? toAnswer(head, trailers ?? head, Buffer.concat(chunks)));
    });
    const prefix = Buffer.alloc(5);
    prefix[0] = isCompressed ? 1 : 0;
    prefix.writeUInt32BE(
      message.reduce((sum, piece) => sum + piece.length, 0),
      1,
    );
    stream.write(prefix);
    for (const piece of message) stream.write(piece);
    stream.end();
    return stream;
  };

  return {
    send(body, answered) {
      let stream: ClientHttp2Stream | undefined;
      let isCancelled = false;
      const start = (pieces: Uint8Array[], isCompressed: boolean): void => {
        if (isCancelled) return;
        try {
          stream = call(pieces, isCompressed, (answer) => isCancelled || answered(answer));
        } catch (error) {
          session = undefined;
          answered(unreachable(error));
        }
      };
      if (endpoint.compression === "gzip") gzip(body, (zipped) => start([zipped], true));
      else start([...body], false);
      return {
        cancel() {
          isCancelled = true;
          // Not only the call: a server that does not answer may be at the end of a connection that is gone.
          stream?.session?.destroy();
        },
      };
    },
    close: () => session?.destroy(),
  };
}

function toAnswer(head: IncomingHttpHeaders, trailers: IncomingHttpHeaders, body: Buffer): Answer {
  const httpStatus = Number(head[":status"]);
  const grpcStatus = trailers["grpc-status"];
  if (grpcStatus === undefined) {
    const reason = `HTTP status ${httpStatus} without a gRPC status`;
    return RETRYABLE_HTTP.has(httpStatus)
      ? { kind: "later", reason, afterMillis: undefined, isUnreachable: false }
      : { kind: "refused", reason };
  }
  const code = Number(grpcStatus);
  if (code === 0) return toAccepted(body.subarray(5), false);
  const details = trailers["grpc-status-details-bin"];
  const afterMillis = typeof details === "string" ? toRetryMillis(fromBase64(details)) : undefined;
  const reason = `gRPC status ${code} ${unescape(String(trailers["grpc-message"] ?? "")).slice(0, 200)}`.trim();
  return RETRYABLE.has(code) || (code === RESOURCE_EXHAUSTED && afterMillis !== undefined)
    ? { kind: "later", reason, afterMillis, isUnreachable: false }
    : { kind: "refused", reason };
}

/** `grpc-message` is percent-encoded. */
function unescape(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
