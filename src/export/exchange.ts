import type { Answer } from "./answer.ts";

/** Where spans go, as plain data: an exiting process hands it to its worker. */
export interface Endpoint {
  /** For gRPC scheme, host and port, or `unix:` and a path. */
  readonly url: string;
  readonly protocol: "http" | "grpc";
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly compression: "none" | "gzip";
  /** PEM texts. */
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** Requests that may be open at the same time. */
export const MAX_CONCURRENT_REQUESTS = 8;

/** Source: OTLP exporter specification, "maximum response size". */
export const MAX_RESPONSE_BYTES: number = 4 * 1024 * 1024;

/** One request and its answer. Neither sockets nor requests keep the process alive. */
export interface Exchange {
  /**
   * Never throws. `answered` is called once, and not at all after `cancel`; the pieces of `body` belong to the exchange until
   * then.
   */
  send(body: readonly Uint8Array[], answered: (answer: Answer) => void): { cancel(): void };
  close(): void;
}
