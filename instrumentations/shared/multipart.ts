import type { Capture } from "../../src/capture/capture.ts";
import { fromLatin1 } from "../../src/node-buffer.ts";

/*
 * The outline of a multipart body: names, file names, types and sizes, as the bytes pass. Contents are looked through for the
 * boundary and never kept.
 */

/** Parts that are listed; further ones are counted. */
const MAX_PARTS = 32;
/** Bytes of one part's headers. */
const MAX_HEADER_BYTES = 2048;

const NONE = Buffer.alloc(0);
const BLANK_LINE = Buffer.from("\r\n\r\n");

interface Part {
  name: string | undefined;
  fileName: string | undefined;
  contentType: string | undefined;
  size: number;
}

/** What comes next. */
const PREAMBLE = 0;
const HEADERS = 1;
const CONTENT = 2;
const EPILOGUE = 3;

/** The boundary of a multipart content type (RFC 2046, 5.1.1); undefined when it is another type, or has none. */
export function multipartBoundary(contentType: string | undefined): string | undefined {
  if (contentType === undefined || !/^\s*multipart\//i.test(contentType)) return undefined;
  const match = /;\s*boundary\s*=\s*(?:"([^"]{1,200})"|([^\s;"]{1,200}))/i.exec(contentType);
  return match?.[1] ?? match?.[2];
}

/** One multipart body, chunk by chunk. */
export class MultipartOutline {
  private readonly delimiter: Buffer;
  private readonly parts: Part[] = [];
  private omitted = 0;
  private state = PREAMBLE;
  /** Seen, but not decided on: a part's headers, or what may be the beginning of a delimiter. */
  private rest: Buffer;

  constructor(boundary: string) {
    this.delimiter = fromLatin1(`\r\n--${boundary}`);
    // The first delimiter may stand at the very beginning, without the line break before it.
    this.rest = Buffer.from("\r\n");
  }

  add(chunk: Uint8Array): void {
    if (this.state === EPILOGUE) return;
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let data = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes]);
    for (;;) {
      const next = this.state === HEADERS ? this.takeHeaders(data) : this.takeContent(data);
      if (next === undefined) return;
      data = next;
    }
  }

  /** `avatar: me.png, image/png (3421 bytes)`, a part each; undefined when there is none. */
  describe(capture: Capture): string[] | undefined {
    const lines = this.parts.map(({ name, fileName, contentType, size }) => {
      const kind = [fileName, contentType].filter((item) => item !== undefined).join(", ");
      return capture.text(`${name ?? "(unnamed)"}${kind === "" ? "" : `: ${kind}`} (${Math.max(0, size)} bytes)`);
    });
    if (this.omitted > 0) lines.push(`${this.omitted} more`);
    return lines.length === 0 ? undefined : lines;
  }

  /** Up to the next delimiter. Undefined: all is used up. */
  private takeContent(data: Buffer): Buffer | undefined {
    const { delimiter } = this;
    const found = data.indexOf(delimiter);
    // Two more bytes tell whether it is the last one.
    const isWhole = found !== -1 && data.length >= found + delimiter.length + 2;
    const end = found === -1 ? Math.max(0, data.length - delimiter.length + 1) : found;
    if (this.state === CONTENT) this.grow(end);
    if (!isWhole) {
      // Copied, so that a few bytes do not keep a chunk.
      this.rest = Buffer.from(data.subarray(end));
      return undefined;
    }
    this.rest = NONE;
    const after = found + delimiter.length;
    if (data[after] === 45 && data[after + 1] === 45) {
      this.state = EPILOGUE;
      return undefined;
    }
    this.state = HEADERS;
    return data.subarray(after);
  }

  /** From the delimiter's line break to the blank line. */
  private takeHeaders(data: Buffer): Buffer | undefined {
    const end = data.indexOf(BLANK_LINE);
    if (end === -1 || end > MAX_HEADER_BYTES) {
      if (end !== -1 || data.length > MAX_HEADER_BYTES) this.state = EPILOGUE;
      this.rest = this.state === EPILOGUE ? NONE : Buffer.from(data);
      return undefined;
    }
    this.rest = NONE;
    this.state = CONTENT;
    if (this.parts.length >= MAX_PARTS) this.omitted++;
    else this.parts.push(toPart(data.toString("utf8", 0, end)));
    // The blank line's second break may be the one before the next delimiter: an empty part.
    return data.subarray(end + 2);
  }

  private grow(size: number): void {
    const part = this.omitted > 0 ? undefined : this.parts.at(-1);
    if (part !== undefined) part.size += size;
  }
}

function toPart(headers: string): Part {
  const disposition = /^content-disposition:([^\r\n]*)/im.exec(headers)?.[1] ?? "";
  const extended = /;\s*filename\*\s*=\s*[\w-]*'[\w-]*'([^;\s]+)/i.exec(disposition)?.[1];
  return {
    name: parameter(disposition, "name"),
    fileName: extended === undefined ? parameter(disposition, "filename") : decode(extended),
    contentType: /^content-type:\s*([^\r\n;]*)/im.exec(headers)?.[1],
    // The line break that was left for the delimiter.
    size: -2,
  };
}

function parameter(text: string, name: string): string | undefined {
  const match = new RegExp(`;\\s*${name}\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^;\\s]+))`, "i").exec(text);
  return match?.[1] ?? match?.[2];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
