import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { gzipSync } from "node:zlib";

/** A server for the tests of clients: its path says how it behaves. */
export interface Target {
  /** `http://localhost:<port>` or with https. */
  url: string;
  port: number;
  /** Requests by path and query, in order of arrival. */
  received: ReceivedByTarget[];
  close(): Promise<void>;
}

export interface ReceivedByTarget {
  method: string;
  url: string;
  headers: IncomingMessage["headers"];
  rawHeaders: string[];
}

export const JSON_ANSWER = '{"id":42,"password":"hunter2","name":"widget"}';
/** More than any client buffers. */
export const BIG_SIZE = 2_000_000;

/** Starts a target on localhost; with `tls` it speaks https. */
export async function startTarget(tls?: { key: string; cert: string }): Promise<Target> {
  const received: ReceivedByTarget[] = [];
  const sockets = new Set<Socket>();
  const attempts = new Map<string, number>();
  const note = ({ method = "", url = "", headers, rawHeaders }: IncomingMessage): void => {
    received.push({ method, url, headers, rawHeaders });
  };
  const listener: RequestListener = (request, response) => {
    note(request);
    request.on("error", () => {});
    response.on("error", () => {});
    const { pathname, searchParams } = new URL(request.url ?? "", "http://target");
    switch (pathname) {
      case "/status":
        response.writeHead(Number(searchParams.get("code")), { "retry-after": "7" }).end();
        break;
      case "/redirect":
        response.writeHead(302, { location: "/json?after=redirect" }).end("moved");
        break;
      case "/hang":
        break;
      case "/reset":
        request.socket.resetAndDestroy();
        break;
      case "/cut":
        response.writeHead(200, { "content-type": "text/plain", "content-length": "1000" });
        response.write("part");
        setTimeout(() => request.socket.resetAndDestroy(), 30);
        break;
      case "/big":
        response.writeHead(200, { "content-type": "text/plain", "content-length": String(BIG_SIZE) });
        response.end("b".repeat(BIG_SIZE));
        break;
      case "/gzip":
        response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" });
        response.end(gzipSync(JSON_ANSWER));
        break;
      case "/slow":
        setTimeout(() => {
          response.writeHead(200, { "content-type": "text/plain" });
          response.write("slow ");
          setTimeout(() => response.end("body"), 40);
        }, 60);
        break;
      case "/early":
        response.writeHead(200, { "content-type": "text/plain" }).end("early");
        break;
      case "/flaky": {
        // Fails twice, then answers.
        const attempt = (attempts.get(request.url ?? "") ?? 0) + 1;
        attempts.set(request.url ?? "", attempt);
        response.writeHead(attempt < 3 ? 503 : 200, { "content-type": "text/plain" }).end(`attempt ${attempt}`);
        break;
      }
      default: {
        let size = 0;
        request.on("data", (chunk: Buffer) => (size += chunk.length));
        request.on("end", () => {
          if (pathname === "/echo") response.writeHead(200, { "content-type": "text/plain" }).end(`${size} bytes`);
          else {
            response.writeHead(200, {
              "content-type": "application/json",
              "x-request-id": "r-1",
              "set-cookie": "sid=s3cret",
            });
            response.end(JSON_ANSWER);
          }
        });
      }
    }
  };
  const server: Server = tls === undefined ? createServer(listener) : createSecureServer(tls, listener);
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("upgrade", (request, socket) => {
    note(request);
    socket.end("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n");
  });
  server.on("connect", (request, socket) => {
    note(request);
    socket.end("HTTP/1.1 200 Connection established\r\n\r\n");
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls === undefined ? "http" : "https"}://localhost:${port}`,
    port,
    received,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
