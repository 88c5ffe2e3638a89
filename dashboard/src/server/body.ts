import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate } from "node:zlib";
import { HttpError, SenderGone } from "./http-error.ts";

/** Bytes that all requests of a kind share, so that many of them at once cannot take the machine's memory. */
export class ByteBudget {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  take(bytes: number): boolean {
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#left += bytes;
  }
}

/** A body that was read, and what is to be called when it is not needed any more. */
export interface Body {
  bytes: Uint8Array<ArrayBuffer>;
  release(): void;
}

const inflaters = {
  gzip: promisify(gunzip),
  "x-gzip": promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
};
const INFLATE_CHUNK_BYTES = 256 * 1024;

/** What a body may take, and where its bytes are taken from. */
export interface BodyLimits {
  maxBytes: number;
  idleMillis: number;
  budget?: ByteBudget;
}

/**
 * The body of a request, inflated, at most `maxBytes` before and after. It has a buffer of its own, so that it can be handed
 * to another thread. Throws an `HttpError` for what is refused (`too_large`, `unsupported_media_type`, `bad_request`,
 * `store_busy` when the budget is used up), and `SenderGone`.
 */
export async function readBody(request: IncomingMessage, limits: BodyLimits): Promise<Body> {
  const encoding = (request.headers["content-encoding"] ?? "identity").trim().toLowerCase();
  if (Number(request.headers["content-length"] ?? 0) > limits.maxBytes) throw tooLarge(limits.maxBytes);
  checkEncoding(encoding);
  return readBytes(request, limits, (sent) => inflateBody(sent, encoding, limits.maxBytes));
}

/** Throws `unsupported_media_type` for a compression that is not known. */
export function checkEncoding(encoding: string): void {
  if (encoding !== "identity" && encoding !== "" && !Object.hasOwn(inflaters, encoding))
    throw new HttpError("unsupported_media_type", `Content-Encoding ${encoding} is none of gzip, deflate and br.`);
}

/** Bytes as they were before they were compressed, in a buffer of their own unless they are the ones that were given. Rejects
 *  with `too_large` and `bad_request`. */
export async function inflateBody(
  sent: Uint8Array<ArrayBuffer>,
  encoding: string,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const inflater = inflaters[encoding as keyof typeof inflaters];
  if (inflater === undefined) return sent;
  const inflated = await inflater(sent, { maxOutputLength: maxBytes, chunkSize: INFLATE_CHUNK_BYTES }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(maxBytes);
      throw new HttpError("bad_request", `The body is not ${encoding}: ${error.message}.`);
    },
  );
  return owned(inflated);
}

/** All that a stream gives, within the limits, and what `unpack` makes of it. Rejects as `readBody` does. */
export async function readBytes(
  stream: Readable,
  { maxBytes, idleMillis, budget }: BodyLimits,
  unpack: (sent: Uint8Array<ArrayBuffer>) => Promise<Uint8Array<ArrayBuffer>>,
): Promise<Body> {
  let taken = 0;
  const release = (): void => {
    budget?.giveBack(taken);
    taken = 0;
  };
  const take = (bytes: number): void => {
    if (budget?.take(bytes) === false)
      throw new HttpError("store_busy", "Too many bytes are on their way at once.", { "retry-after": "1" });
    taken += bytes;
  };
  try {
    const sent = await collect(stream, maxBytes, idleMillis, take);
    const bytes = await unpack(sent);
    if (bytes !== sent) take(bytes.byteLength);
    return { bytes, release };
  } catch (error) {
    release();
    throw error;
  }
}

function collect(
  stream: Readable,
  maxBytes: number,
  idleMillis: number,
  take: (bytes: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const idle = setTimeout(() => {
      fail(new SenderGone());
      stream.destroy();
    }, idleMillis);
    const fail = (error: Error): void => {
      clearTimeout(idle);
      chunks.length = 0;
      stream.removeAllListeners("data");
      reject(error);
    };
    stream.on("data", (chunk: Buffer) => {
      idle.refresh();
      length += chunk.length;
      if (length > maxBytes) return fail(tooLarge(maxBytes));
      try {
        take(chunk.length);
      } catch (error) {
        return fail(error as Error);
      }
      chunks.push(chunk);
    });
    stream.on("end", () => {
      clearTimeout(idle);
      const bytes = new Uint8Array(length);
      let at = 0;
      for (const chunk of chunks) {
        bytes.set(chunk, at);
        at += chunk.length;
      }
      resolve(bytes);
    });
    stream.on("error", () => fail(new SenderGone()));
    // After the end it changes nothing.
    stream.on("close", () => fail(new SenderGone()));
  });
}

function tooLarge(maxBytes: number): HttpError {
  return new HttpError("too_large", `The body is larger than ${Math.floor(maxBytes / 1024 / 1024)} MiB.`);
}

/** Small buffers are slices of a pool, and zlib's of its last chunk; handing one over would take the rest with it. */
function owned(buffer: Buffer): Uint8Array<ArrayBuffer> {
  const isWhole = buffer.byteOffset === 0 && buffer.byteLength === buffer.buffer.byteLength;
  return isWhole && buffer.buffer instanceof ArrayBuffer ? new Uint8Array(buffer.buffer) : new Uint8Array(buffer);
}
