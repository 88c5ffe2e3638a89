import type { Socket, SocketConstructorOpts, TcpSocketConnectOpts } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { urlToHttpOptions } from "node:url";
import { toFastBuffer } from "../node-buffer.ts";
import { type Answer, parseRetryAfter, toAccepted, toStatusMessage, unreachable } from "./answer.ts";
import type { Endpoint, Exchange } from "./exchange.ts";
import { gzip } from "./gzip.ts";
import { HttpAnswer, UnreadableAnswer } from "./http-answer.ts";

/** The four that OTLP lets a client retry. Source: OTLP specification, "Failures", table of retryable HTTP codes. */
const RETRYABLE = new Set([429, 502, 503, 504]);

/** Ours alone: how long a request is, and that its body is sent as it is. */
const FRAMING = new Set(["content-length", "transfer-encoding"]);

/** Source: RFC 9110 §5.6.2 and §5.5. */
const HEADER_NAME = /^[\w!#$%&'*+.^`|~-]+$/;
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

const READ_BYTES = 16 * 1024;
/** As node:http does: a connection that a gateway has forgotten is found out before it is used. */
const PROBE_AFTER_MILLIS = 1000;

/** What `net.connect` takes to hand over what arrives, without a stream in between. */
type OnRead = NonNullable<TcpSocketConnectOpts["onread"]>;

/**
 * OTLP over HTTP/1.1 with keep-alive, one request at a time on each connection.
 *
 * Why not node:http: what all messages of a process pass, V8 compiles for all of them. With ours among them the application's
 * own responses took longer to make: a quarter of what `node:http` hello had added (`benchmarks/`).
 */
export function createHttpExchange(endpoint: Endpoint): Exchange {
  const connect = connector(endpoint);
  const head = requestHead(endpoint);
  const connections = new Set<Connection>();
  const idle: Connection[] = [];

  const open = (): Connection => {
    const connection: Connection = new Connection(
      connect,
      () => idle.push(connection),
      () => {
        connections.delete(connection);
        const index = idle.indexOf(connection);
        if (index !== -1) idle.splice(index, 1);
      },
    );
    connections.add(connection);
    return connection;
  };

  return {
    send(body, answered) {
      let cancelRequest: (() => void) | undefined;
      let isCancelled = false;
      const start = (pieces: readonly Uint8Array[], isRetry: boolean): void => {
        if (isCancelled) return;
        try {
          // The least recently used one would be the likeliest to have been closed by the other side.
          const known = isRetry ? undefined : idle.pop();
          cancelRequest = (known ?? open()).send(head, pieces, (answer) => {
            if (isCancelled) return;
            // The other side closed an idle connection just as we took it: nobody's fault, and a fresh one will do.
            if (answer.kind === "later" && answer.isUnreachable && known !== undefined) start(pieces, true);
            else answered(answer);
          });
        } catch (error) {
          // Such as a port that there is not.
          answered({ kind: "refused", reason: `the request could not be made: ${String(error)}` });
        }
      };
      if (endpoint.compression === "gzip") gzip(body, (zipped) => start([zipped], false));
      else start(body, false);
      return {
        cancel() {
          isCancelled = true;
          cancelRequest?.();
        },
      };
    },
    close() {
      for (const connection of connections) connection.close();
    },
  };
}

function connector({ url: address, ca, cert, key }: Endpoint): (onread: OnRead) => Socket {
  const url = new URL(address);
  const { hostname, port } = urlToHttpOptions(url);
  const isTls = url.protocol === "https:";
  const host = hostname ?? "localhost";
  const target = { host, port: Number(port ?? (isTls ? 443 : 80)) };
  const net = process.getBuiltinModule("node:net");
  if (!isTls) {
    return (onread) => {
      // A documented option that the types do not know.
      const options: SocketConstructorOpts & { onread: OnRead } = { onread };
      const socket = new net.Socket(options);
      // Both add fields to it. In this order and before it connects it has those that ioredis gives its own, which leaves one
      // kind of socket less for what all sockets pass; past four, V8 looks each field up.
      socket.setTimeout(0);
      socket.setKeepAlive(true, PROBE_AFTER_MILLIS);
      return socket.connect(target);
    };
  }
  const tls = process.getBuiltinModule("node:tls");
  // An address is no server name (RFC 6066 §3).
  const named = net.isIP(host) === 0 ? { servername: host } : {};
  const options = { ...target, ...named, ca, cert, key, ALPNProtocols: ["http/1.1"] };
  return (onread) => {
    // A documented option that the types do not know.
    const withOnRead: ConnectionOptions & { onread: OnRead } = { ...options, onread };
    return tls.connect(withOnRead).setKeepAlive(true, PROBE_AFTER_MILLIS);
  };
}

/** The text every request begins with, without its length. Throws a TypeError where none may have such a header. */
function requestHead(endpoint: Endpoint): string {
  const url = new URL(endpoint.url);
  const { path, auth } = urlToHttpOptions(url);
  const headers: Record<string, string> = { host: url.host, connection: "keep-alive" };
  if (auth) {
    const credentials = toFastBuffer(Buffer.from(auth));
    headers["authorization"] = `Basic ${credentials.base64Slice(0, credentials.length)}`;
  }
  Object.assign(headers, endpoint.headers);
  if (endpoint.compression === "gzip") headers["content-encoding"] = "gzip";
  let head = `POST ${path} HTTP/1.1\r\n`;
  for (const [name, value] of Object.entries(headers)) {
    if (FRAMING.has(name)) continue;
    if (!HEADER_NAME.test(name)) throw new TypeError(`${JSON.stringify(name)} is no name of a header`);
    if (!HEADER_VALUE.test(value)) throw new TypeError(`the header ${name} has a character that none may have`);
    head += `${name}: ${value}\r\n`;
  }
  return head;
}

/** A request that is under way. */
class Request {
  readonly answer: HttpAnswer = new HttpAnswer();
  readonly answered: (answer: Answer) => void;
  isSent = false;
  failure: Answer | undefined = undefined;

  constructor(answered: (answer: Answer) => void) {
    this.answered = answered;
  }
}

class Connection {
  private readonly socket: Socket;
  private readonly onIdle: () => void;
  private request: Request | undefined = undefined;

  constructor(connect: (onread: OnRead) => Socket, onIdle: () => void, onClose: () => void) {
    this.onIdle = onIdle;
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    const callback = (count: number): boolean => {
      this.read(buffer.subarray(0, count));
      return true;
    };
    this.socket = connect({ buffer, callback });
    this.socket.unref();
    this.socket.setNoDelay(true);
    this.socket.on("error", (error) => {
      if (this.request !== undefined) this.request.failure ??= unreachable(error);
    });
    this.socket.on("close", () => {
      onClose();
      const { request } = this;
      if (request === undefined) return;
      this.request = undefined;
      request.answer.end();
      const isWhole = request.answer.isComplete && request.failure === undefined;
      request.answered(
        isWhole ? toAnswer(request.answer) : (request.failure ?? unreachable(new Error("the connection was closed"))),
      );
    });
  }

  /**
   * Not while another request is under way. `answered` is called once nothing holds the bytes of `pieces` any more. What is
   * returned ends the request, and the connection with it, unless it was answered.
   */
  send(head: string, pieces: readonly Uint8Array[], answered: (answer: Answer) => void): () => void {
    const { socket } = this;
    const request = new Request(answered);
    this.request = request;
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    socket.cork();
    socket.write(`${head}content-length: ${length}\r\n\r\n`, "latin1");
    for (const piece of pieces) socket.write(piece);
    socket.write("", (error) => {
      if (error) return;
      request.isSent = true;
      this.settle(request);
    });
    socket.uncork();
    return () => {
      if (this.request === request) socket.destroy();
    };
  }

  close(): void {
    this.socket.destroy();
  }

  private read(bytes: Uint8Array): void {
    const { request, socket } = this;
    if (request === undefined) {
      // Nobody has asked.
      socket.destroy();
      return;
    }
    try {
      request.answer.push(bytes);
    } catch (error) {
      const reason = error instanceof UnreadableAnswer ? error.message : `its answer cannot be read: ${String(error)}`;
      request.failure ??= { kind: "refused", reason };
      socket.destroy();
      return;
    }
    // Answered before it had read everything: what is still to be sent is of no use to it.
    if (request.answer.isComplete && !request.isSent) socket.destroy();
    else this.settle(request);
  }

  private settle(request: Request): void {
    const { answer } = request;
    if (!request.isSent || !answer.isComplete || this.request !== request) return;
    if (!answer.isReusable) {
      this.socket.destroy();
      return;
    }
    this.request = undefined;
    this.onIdle();
    request.answered(toAnswer(answer));
  }
}

function toAnswer({ status, statusMessage, headers, body }: HttpAnswer): Answer {
  const type = headers["content-type"] ?? "";
  const isJson = type.includes("json");
  if (status >= 200 && status < 300) return toAccepted(body, isJson);
  const said = type.includes("protobuf") ? toStatusMessage(body) : body.toString();
  const reason = `${status} ${statusMessage} ${said.trim().slice(0, 200)}`.trim();
  if (RETRYABLE.has(status)) {
    return { kind: "later", reason, afterMillis: parseRetryAfter(headers["retry-after"]), isUnreachable: false };
  }
  if (status >= 300 && status < 400) {
    return { kind: "refused", reason: `${reason} to ${headers["location"] ?? "nowhere"}; redirects are not followed` };
  }
  return { kind: "refused", reason };
}
