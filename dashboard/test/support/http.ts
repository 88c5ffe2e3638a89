import { request, type IncomingHttpHeaders } from "node:http";
import { connect, type Socket } from "node:net";

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  text: string;
  json: any; // whatever the test expects
}

/** One request over a connection of its own; `fetch` would not send a Host or an Origin of our choice. */
export function send(
  port: number,
  path: string,
  {
    method = "GET",
    headers = {},
    body,
  }: { method?: string; headers?: Record<string, string | string[]>; body?: string | Uint8Array } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    // Node announces no length for a DELETE.
    const isChunked = "transfer-encoding" in headers;
    const length = body === undefined || isChunked ? {} : { "content-length": String(Buffer.byteLength(body)) };
    const options = { host: "127.0.0.1", port, path, method, headers: { ...length, ...headers }, agent: false };
    const sent = request(options, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const whole = Buffer.concat(chunks);
        const text = whole.toString();
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: whole,
          text,
          get json() {
            return JSON.parse(text);
          },
        });
      });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** A connection to write any bytes to, with what came back. */
export function openSocket(port: number): Promise<{ socket: Socket; received(): string; closed: Promise<void> }> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    const closed = new Promise<void>((done) => socket.on("close", () => done()));
    socket.on("data", (chunk) => (text += chunk.toString("latin1")));
    socket.on("error", reject);
    socket.on("end", () => socket.end());
    socket.on("connect", () => resolve({ socket, received: () => text, closed }));
  });
}
