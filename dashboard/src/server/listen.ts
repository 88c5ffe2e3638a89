import { createServer, type RequestListener, type Server } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { answerHttp2Too, type Http2Handlers, type OtherConnections } from "./http2.ts";
import type { Limits } from "./limits.ts";

/** A port that answers, on every address its host stands for. */
export interface Listener {
  port: number;
  close(): Promise<void>;
}

/** `onMalformed` is told of bytes that are no request, with what they seem to be. */
export interface Handlers extends Http2Handlers {
  onRequest: RequestListener;
}

/** A server, and what is connected to it besides. */
interface Bound {
  server: Server;
  others: OtherConnections;
}

const MAX_PORT_TRIES = 10;

/** Listens on `port` (0: any free one) of `host`; `localhost` is both of its addresses. Rejects as `net.Server` does: `EADDRINUSE`,
 *  `EACCES`, `EADDRNOTAVAIL`. */
export async function listen(handlers: Handlers, host: string, port: number, limits: Limits): Promise<Listener> {
  if (host !== "localhost") {
    const server = await listenAt(handlers, host, port, limits);
    return { port: portOf(server), close: () => closeAll([server]) };
  }
  for (let tries = 1; ; tries++) {
    const server = await listenAt(handlers, "127.0.0.1", port, limits);
    try {
      const second = await listenAt(handlers, "::1", portOf(server), limits);
      return { port: portOf(server), close: () => closeAll([server, second]) };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // No IPv6 on this machine.
      if (code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT" || code === "EINVAL")
        return { port: portOf(server), close: () => closeAll([server]) };
      await closeAll([server]);
      if (port !== 0 || tries >= MAX_PORT_TRIES) throw error;
    }
  }
}

/** As `listen`, and undefined where another process has the port. */
export async function listenIfFree(...args: Parameters<typeof listen>): Promise<Listener | undefined> {
  const [, host, port] = args;
  // Some systems let the more specific address be taken away from a server that listens on all of them.
  if (await isAnswered(host, port)) return undefined;
  return listen(...args).catch(() => undefined);
}

function listenAt(handlers: Handlers, host: string, port: number, limits: Limits): Promise<Bound> {
  const server = createServer(
    {
      connectionsCheckingInterval: limits.timeoutCheckMillis,
      headersTimeout: limits.headersTimeoutMillis,
      requestTimeout: limits.requestTimeoutMillis,
      // Longer than exporters pause: one that reuses a connection just as it is closed loses its spans.
      keepAliveTimeout: 75_000,
    },
    handlers.onRequest,
  );
  server.maxConnections = limits.maxConnections;
  server.on("clientError", (error: Error & { code?: string; rawPacket?: Buffer }, socket: Socket) => {
    refuseBytes(error, socket, handlers.onMalformed);
  });
  const others = answerHttp2Too(server, handlers, limits);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, ipv6Only: host === "::1" }, () => {
      server.off("error", reject);
      // Of a connection that could not be accepted, out of file descriptors for example; the next ones are.
      server.on("error", () => {});
      resolve({ server, others });
    });
  });
}

/** Says what is wrong to a sender whose bytes are no request, and ends its connection. */
function refuseBytes(
  { code, rawPacket }: { code?: string; rawPacket?: Buffer },
  socket: Socket,
  onMalformed: Handlers["onMalformed"],
): void {
  if (socket.destroyed || !socket.writable || code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  let status = "400 Bad Request";
  let reason = "The bytes are not HTTP/1.1.";
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") {
    status = "408 Request Timeout";
    reason = "The request took too long to arrive.";
  } else if (code === "HPE_HEADER_OVERFLOW") {
    status = "431 Request Header Fields Too Large";
    reason = "The request's headers are too large.";
  } else if (rawPacket?.[0] === 0x16 && rawPacket[1] === 0x03) {
    reason = "This port speaks http, not https.";
  }
  onMalformed(reason);
  socket.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(reason)}\r\n\r\n${reason}`,
  );
  // A peer that does not close its side would keep it for ever.
  setTimeout(() => socket.destroy(), 1000).unref();
}

function portOf({ server }: Bound): number {
  return (server.address() as AddressInfo).port;
}

/** How long requests in flight may still take. */
const CLOSE_MILLIS = 2000;

async function closeAll(bound: readonly Bound[]): Promise<void> {
  const closeIdle = (): void => bound.forEach(({ server }) => server.closeIdleConnections());
  const idle = setInterval(closeIdle, 20);
  const impatient = setTimeout(() => {
    for (const { server, others } of bound) {
      server.closeAllConnections();
      others.destroy();
    }
  }, CLOSE_MILLIS);
  const closed = bound.map(({ server }) => new Promise<void>((resolve) => server.close(() => resolve())));
  for (const { others } of bound) others.close();
  await Promise.all(closed);
  clearInterval(idle);
  clearTimeout(impatient);
}

function isAnswered(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const settle = (answered: boolean): void => {
      socket.destroy();
      resolve(answered);
    };
    socket.setTimeout(500, () => settle(false));
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
  });
}
