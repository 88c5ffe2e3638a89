import type { Server } from "node:http";
import { createServer, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Limits } from "./limits.ts";

export interface Http2Handlers {
  onStream(this: void, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void;
  /** Told of bytes that only began as HTTP/2, with what is wrong with them. */
  onMalformed(this: void, reason: string): void;
}

/** Connections that an `http.Server` does not know: they have said nothing yet, or speak HTTP/2. */
export interface OtherConnections {
  /** Ends them once what is being asked is answered. */
  close(): void;
  destroy(): void;
}

/** How every HTTP/2 connection begins. Source: RFC 9113, 3.4. No method of HTTP/1.1 begins so. */
const PREFACE = Buffer.from("PRI");
/** What is sent ahead of being read, by a request and by a connection. The protocol's own 64 KB make large exports wait. */
const WINDOW_BYTES = 1024 * 1024;
const CONNECTION_WINDOW_BYTES = 4 * WINDOW_BYTES;

/** Makes a server answer HTTP/2 too, by the first bytes of each connection. Without TLS nobody asks for it beforehand, and senders
 *  that are only told an address may speak either. */
export function answerHttp2Too(
  server: Server,
  { onStream, onMalformed }: Http2Handlers,
  limits: Limits,
): OtherConnections {
  const silent = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();

  const http2 = createServer({ settings: { initialWindowSize: WINDOW_BYTES, maxConcurrentStreams: 100 } });
  http2.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
    session.setTimeout(limits.http2IdleMillis, () => session.destroy());
  });
  http2.on("sessionError", ({ code, message }: NodeJS.ErrnoException) => {
    // Others are of connections that are gone, as those of senders that are stopped.
    if (code?.startsWith("ERR_HTTP2_") === true) onMalformed(`The bytes are not HTTP/2: ${message}.`);
  });
  http2.on("stream", onStream);

  const answerHttp1 = server.listeners("connection") as ((socket: Socket) => void)[];
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    silent.add(socket);
    const leave = (): void => void socket.destroy();
    const look = (bytes: Buffer): void => {
      if (bytes.length < PREFACE.length && PREFACE.indexOf(bytes) === 0) {
        socket.once("data", (more: Buffer) => look(Buffer.concat([bytes, more])));
        return;
      }
      silent.delete(socket);
      socket.setTimeout(0);
      for (const event of ["timeout", "end", "error"]) socket.off(event, leave);
      socket.pause();
      socket.unshift(bytes);
      if (bytes.subarray(0, PREFACE.length).equals(PREFACE)) {
        // HTTP/1.1 answers who has ended their side; a session has to notice that it is gone.
        socket.allowHalfOpen = false;
        // It reads the bytes by itself, and takes the connection from under the socket.
        http2.emit("connection", socket);
        return;
      }
      for (const answer of answerHttp1) answer.call(server, socket);
      socket.resume();
    };
    for (const event of ["timeout", "end", "error"]) socket.on(event, leave);
    socket.on("close", () => silent.delete(socket));
    socket.setTimeout(limits.headersTimeoutMillis);
    socket.once("data", look);
  });

  return {
    close() {
      for (const socket of silent) socket.destroy();
      for (const session of sessions) session.close();
    },
    destroy() {
      for (const session of sessions) session.destroy();
    },
  };
}
