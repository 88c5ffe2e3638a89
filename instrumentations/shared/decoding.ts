import type { Transform } from "node:stream";

/*
 * Compressed bodies as what they were: on the thread pool, never on the event loop, and never further than is shown of them,
 * whatever they would become. A brotli stream of 80 bytes can ask for megabytes before it gives its first: synchronously that
 * took 10 to 35 ms (Node 20 and 24), an ordinary answer 50 to 75 µs.
 */

/** How many bodies are decoded at once: the application's own file and name look-ups use the same threads. */
const MAX_DECODING = 2;
/** How many more may wait. A process that compresses faster than this shows sizes only. */
const MAX_WAITING = 16;
/** One piece of output; what exceeds the budget is at most this. */
const CHUNK_BYTES = 8192;

/** `isCut`: there may be more. Undefined: it cannot be decoded. */
type Done = (bytes: Uint8Array | undefined, isCut: boolean) => void;

interface Job {
  readonly coding: string;
  readonly bytes: Uint8Array;
  readonly maxBytes: number;
  readonly done: Done;
}

const CODINGS = new Set(["gzip", "x-gzip", "deflate", "br", "zstd"]);

const jobs = new Set<Job>();
const waiting: Job[] = [];
let decoding = 0;
let watchesExit = false;

/** The one coding of a `content-encoding` that this Node can decode, in lower case; undefined for others and for several. */
export function knownCoding(contentEncoding: string): string | undefined {
  const coding = contentEncoding.trim().toLowerCase();
  if (!CODINGS.has(coding) || (coding === "zstd" && process.versions["zstd"] === undefined)) return undefined;
  return coding;
}

/**
 * Decodes up to `maxBytes` and some. `bytes` may be only the beginning. `done` is called once, later; without a result where
 * `bytes` are not what `coding` says, where too many bodies wait, and where the process exits first. False: it is not.
 */
export function decode(coding: string, bytes: Uint8Array, maxBytes: number, done: Done): boolean {
  if (decoding >= MAX_DECODING && waiting.length >= MAX_WAITING) return false;
  const job = { coding, bytes, maxBytes, done };
  jobs.add(job);
  if (!watchesExit) {
    watchesExit = true;
    // Before the exporter's own: that sends what has ended by then.
    process.prependListener("exit", endAll);
  }
  if (decoding < MAX_DECODING) run(job);
  else waiting.push(job);
  return true;
}

function run(job: Job): void {
  decoding++;
  const chunks: Buffer[] = [];
  let size = 0;
  let isOver = false;
  const finish = (bytes: Uint8Array | undefined, isCut: boolean): void => {
    if (isOver) return;
    isOver = true;
    decoding--;
    const next = waiting.shift();
    if (next !== undefined) run(next);
    end(job, bytes, isCut);
  };
  try {
    const decoder = createDecoder(job);
    decoder.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size < job.maxBytes) return;
      finish(Buffer.concat(chunks), true);
      decoder.destroy();
    });
    decoder.on("end", () => finish(Buffer.concat(chunks), false));
    // A checksum or a trailer that is wrong: what came before it was right.
    decoder.on("error", () => finish(size === 0 ? undefined : Buffer.concat(chunks), true));
    decoder.end(job.bytes);
  } catch {
    finish(undefined, false);
  }
}

function createDecoder({ coding, bytes }: Job): Transform {
  const zlib = process.getBuiltinModule("node:zlib");
  const { constants } = zlib;
  // Not `finish`: the end may be missing.
  const options = { chunkSize: CHUNK_BYTES, finishFlush: constants.Z_SYNC_FLUSH };
  switch (coding) {
    case "br":
      return zlib.createBrotliDecompress({ chunkSize: CHUNK_BYTES, finishFlush: constants.BROTLI_OPERATION_FLUSH });
    case "zstd": {
      const { createZstdDecompress } = zlib as unknown as { createZstdDecompress(options: object): Transform };
      const { ZSTD_e_flush, ZSTD_d_windowLogMax } = constants as unknown as Record<string, number>;
      // 8 MB, what RFC 9659 allows on the web: the window is memory.
      const params = { [ZSTD_d_windowLogMax as number]: 23 };
      return createZstdDecompress({ chunkSize: CHUNK_BYTES, finishFlush: ZSTD_e_flush, params });
    }
    case "deflate":
      // With zlib's header as the RFC says, and without as some servers have it.
      return ((bytes[0] ?? 0) & 15) === 8 ? zlib.createInflate(options) : zlib.createInflateRaw(options);
    default:
      return zlib.createGunzip(options);
  }
}

function end(job: Job, bytes: Uint8Array | undefined, isCut: boolean): void {
  if (jobs.delete(job)) job.done(bytes, isCut);
}

function endAll(): void {
  waiting.length = 0;
  for (const job of jobs) end(job, undefined, false);
}
