import type { ClientRequest, IncomingMessage } from "node:http";
import { urlToHttpOptions } from "node:url";
import { type Answer, parseRetryAfter, toAccepted, toStatusMessage, unreachable } from "./answer.ts";
import { gzip } from "./gzip.ts";
import { type Endpoint, type Exchange, MAX_CONCURRENT_REQUESTS, MAX_RESPONSE_BYTES } from "./exchange.ts";

/** The four that OTLP lets a client retry. Source: OTLP specification, "Failures", table of retryable HTTP codes. */
const RETRYABLE = new Set([429, 502, 503, 504]);

/** OTLP over HTTP/1.1 with keep-alive. */
export function createHttpExchange(endpoint: Endpoint): Exchange {
  const url = new URL(endpoint.url);
  const { Agent, request: sendRequest } =
    url.protocol === "https:" ? process.getBuiltinModule("node:https") : process.getBuiltinModule("node:http");
  const agent = new Agent({
    keepAlive: true,
    maxSockets: MAX_CONCURRENT_REQUESTS,
    // The least recently used one would be the likeliest to have been closed by the other side.
    scheduling: "lifo",
    ca: endpoint.ca,
    cert: endpoint.cert,
    key: endpoint.key,
  });
  const headers: Record<string, string> = { ...endpoint.headers };
  if (endpoint.compression === "gzip") headers["content-encoding"] = "gzip";
  const options = { ...urlToHttpOptions(url), method: "POST", agent };

  const post = (body: readonly Uint8Array[], answered: (answer: Answer) => void): ClientRequest => {
    let answer: Answer | undefined;
    const contentLength = body.reduce((sum, piece) => sum + piece.length, 0);
    const request = sendRequest({ ...options, headers: { ...headers, "content-length": String(contentLength) } });
    request.on("socket", (socket) => socket.unref());
    request.on("error", (error: NodeJS.ErrnoException) => {
      answer ??= error.code?.startsWith("HPE_")
        ? {
            kind: "refused",
            reason: `what answers there does not speak HTTP/1.1 (${error.code}): is it the gRPC port?`,
          }
        : unreachable(error);
    });
    // Both, in either order, and not before: until then the socket may still hold pieces of the body.
    let open = 1;
    const onClose = (): void => {
      if (--open === 0) answered(answer ?? unreachable(new Error("the connection was closed")));
    };
    request.on("response", (response) => {
      open++;
      readAnswer(response, (given) => {
        answer ??= given;
        // Answered before it had read everything: what is still to be sent is of no use to it.
        if (!request.writableFinished || !response.complete) request.destroy();
      });
      response.on("close", onClose);
    });
    request.on("close", onClose);
    for (const piece of body) request.write(piece);
    request.end();
    return request;
  };

  return {
    send(body, answered) {
      let request: ClientRequest | undefined;
      let isCancelled = false;
      const start = (pieces: readonly Uint8Array[], isRetry: boolean): void => {
        if (isCancelled) return;
        try {
          const attempt = post(pieces, (answer) => {
            if (isCancelled) return;
            // The other side closed an idle connection just as we took it: nobody's fault, and a fresh one will do.
            if (answer.kind === "later" && answer.isUnreachable && attempt.reusedSocket && !isRetry)
              start(pieces, true);
            else answered(answer);
          });
          request = attempt;
        } catch (error) {
          // Such as a header with a character that none may have.
          answered({ kind: "refused", reason: `the request could not be made: ${String(error)}` });
        }
      };
      if (endpoint.compression === "gzip") gzip(body, (zipped) => start([zipped], false));
      else start(body, false);
      return {
        cancel() {
          isCancelled = true;
          request?.destroy();
        },
      };
    },
    close: () => agent.destroy(),
  };
}

function readAnswer(response: IncomingMessage, done: (answer: Answer) => void): void {
  const chunks: Buffer[] = [];
  let length = 0;
  response.on("data", (chunk: Buffer) => {
    length += chunk.length;
    if (length <= MAX_RESPONSE_BYTES) chunks.push(chunk);
    else {
      done({ kind: "refused", reason: `its answer was longer than ${MAX_RESPONSE_BYTES} bytes` });
      response.destroy();
    }
  });
  // "close" follows "end", and comes alone when the connection breaks: by then the status is known, and decides.
  response.on("error", () => {});
  response.on("close", () => done(toAnswer(response, Buffer.concat(chunks))));
}

function toAnswer(response: IncomingMessage, body: Buffer): Answer {
  const { statusCode: status = 0, statusMessage = "", headers } = response;
  const type = headers["content-type"] ?? "";
  const isJson = type.includes("json");
  if (status >= 200 && status < 300) return toAccepted(body, isJson);
  const said = type.includes("protobuf") ? toStatusMessage(body) : body.toString();
  const reason = `${status} ${statusMessage} ${said.trim().slice(0, 200)}`.trim();
  if (RETRYABLE.has(status)) {
    return { kind: "later", reason, afterMillis: parseRetryAfter(headers["retry-after"]), isUnreachable: false };
  }
  if (status >= 300 && status < 400) {
    return { kind: "refused", reason: `${reason} to ${headers.location ?? "nowhere"}; redirects are not followed` };
  }
  return { kind: "refused", reason };
}
