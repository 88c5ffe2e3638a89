import { createServer, type IncomingMessage, type RequestListener, request as sendRequest } from "node:http";
import { createSecureServer as createSecureHttp2Server, createServer as createHttp2Server } from "node:http2";
import type { Http2ServerResponse } from "node:http2";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, connect, type Server, type Socket } from "node:net";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";

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

/** Where a target listens and what it speaks. Default: HTTP/1.1 on a port of localhost. */
export interface TargetOptions {
  tls?: { key: string; cert: string };
  isHttp2?: boolean;
  /** A Unix socket instead of a port. */
  path?: string;
}

/** Starts a target. */
export async function startTarget({ tls, isHttp2 = false, path }: TargetOptions = {}): Promise<Target> {
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
        breakOff(request, response);
        break;
      case "/cut":
        response.writeHead(200, { "content-type": "text/plain", "content-length": "1000" });
        response.write("part");
        setTimeout(() => breakOff(request, response), 30);
        break;
      case "/chunks":
        response.writeHead(200, { "content-type": "application/json" });
        for (const chunk of ['{"pass', 'word":"hunter2"', ',"n":1', "}"]) response.write(chunk);
        response.end();
        break;
      case "/trailers":
        response.writeHead(200, { "content-type": "text/plain", ...(isHttp2 ? {} : { trailer: "x-sum" }) });
        response.write("with ");
        response.addTrailers({ "x-sum": "42" });
        response.end("trailers");
        break;
      case "/lines":
        response.writeHead(200, { "content-type": "application/x-ndjson" });
        response.end('{"n":1,"token":"t0ps3cret"}\n{"n":2}\n');
        break;
      case "/parts":
        response.writeHead(200, { "content-type": "multipart/mixed; boundary=b" });
        response.end("--b\r\nContent-Type: text/plain\r\n\r\nhunter2\r\n--b--\r\n");
        break;
      case "/events": {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write('data: {"password":"hunter2"}\n\n');
        if (!searchParams.has("endless")) {
          setTimeout(() => response.end("data: last\n\n"), 30);
          break;
        }
        const timer = setInterval(() => response.write("data: more\n\n"), 100);
        response.on("close", () => clearInterval(timer));
        break;
      }
      case "/big":
        response.writeHead(200, { "content-type": "text/plain", "content-length": String(BIG_SIZE) });
        response.end("b".repeat(BIG_SIZE));
        break;
      case "/gzip":
      case "/br":
      case "/deflate": {
        response.writeHead(200, { "content-type": "application/json", "content-encoding": pathname.slice(1) });
        const encode = { "/gzip": gzipSync, "/br": brotliCompressSync, "/deflate": deflateSync }[pathname];
        response.end(encode(JSON_ANSWER));
        break;
      }
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
  const server: Server = createTarget(listener, tls, isHttp2);
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
  (server as { keepAliveTimeout?: number }).keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) =>
    path === undefined ? server.listen(0, "localhost", resolve) : server.listen(path, resolve),
  );
  const { port } = path === undefined ? (server.address() as AddressInfo) : { port: 0 };
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

function createTarget(listener: RequestListener, tls: TargetOptions["tls"], isHttp2: boolean): Server {
  if (!isHttp2) return tls === undefined ? createServer(listener) : createSecureServer(tls, listener);
  // The compatibility API: the same requests and responses as far as they are used here.
  const compatible = listener as unknown as Parameters<typeof createHttp2Server>[1];
  return tls === undefined
    ? createHttp2Server(compatible)
    : (createSecureHttp2Server(tls, compatible as never) as unknown as Server);
}

function breakOff(request: IncomingMessage, response: object): void {
  const { stream } = response as Partial<Http2ServerResponse>;
  if (stream === undefined) request.socket.resetAndDestroy();
  else stream.close(2);
}

/** A proxy on localhost, for both ways to ask one: an absolute target, and CONNECT. */
export interface Proxy {
  url: string;
  /** `GET http://…` and `CONNECT host:port`, in order of arrival. */
  asked: string[];
  close(): Promise<void>;
}

export async function startProxy(): Promise<Proxy> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((incoming, response) => {
    asked.push(`${incoming.method} ${incoming.url}`);
    const { method, headers } = incoming;
    const onward = sendRequest(incoming.url ?? "", { method: method ?? "GET", headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    incoming.pipe(onward);
  });
  server.on("connect", (incoming, socket) => {
    asked.push(`CONNECT ${incoming.url}`);
    const { hostname, port } = new URL(`http://${incoming.url}`);
    const onward = connect(Number(port), hostname, () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      onward.pipe(socket).pipe(onward);
    });
    onward.on("error", () => socket.destroy());
    socket.on("error", () => onward.destroy());
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    asked,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
