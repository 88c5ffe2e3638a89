/** What one request, one sender and all of them together may take. Bytes and milliseconds. */
export interface Limits {
  /** A sender's request, inflated. Collectors default to 20 MiB. */
  maxBodyBytes: number;
  /** An imported file, inflated. */
  maxImportBytes: number;
  /** Bodies of senders being read or waiting for the store, all together. */
  maxBytesInFlight: number;
  maxConnections: number;
  /** For a request's head to arrive. */
  headersTimeoutMillis: number;
  /** For the whole of a request to arrive. */
  requestTimeoutMillis: number;
  /** How often those two are looked at. */
  timeoutCheckMillis: number;
  /** For an HTTP/2 connection on which nothing is sent; gRPC keeps one open, and opens another when it is gone. */
  http2IdleMillis: number;
  /** Between two pieces of a body. */
  bodyIdleMillis: number;
  /** How long what is left of a refused body is read and dropped, so that its sender gets to read the answer. */
  lingerMillis: number;
  heartbeatMillis: number;
  /** Unsent events of one page; beyond, it is told to ask anew. */
  maxLiveBytes: number;
  /** For a page that takes nothing any more. */
  liveStallMillis: number;
}

export const DEFAULT_LIMITS: Readonly<Limits> = {
  maxBodyBytes: 32 * 1024 * 1024,
  maxImportBytes: 256 * 1024 * 1024,
  maxBytesInFlight: 256 * 1024 * 1024,
  maxConnections: 2000,
  headersTimeoutMillis: 10_000,
  requestTimeoutMillis: 60_000,
  timeoutCheckMillis: 2000,
  http2IdleMillis: 300_000,
  bodyIdleMillis: 15_000,
  lingerMillis: 5000,
  heartbeatMillis: 15_000,
  maxLiveBytes: 1024 * 1024,
  liveStallMillis: 30_000,
};
