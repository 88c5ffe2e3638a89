import type { Http2Session } from "node:http2";
import type { Socket } from "node:net";
import type { TraceContext } from "../../src/trace/context.ts";
import { createHiddenSlot, type HiddenSlot } from "../shared/hidden-slot.ts";
import type { HeaderSelection } from "../shared/http-attributes.ts";

/** Told what happens to one stream. None of it throws. */
export interface StreamWatcher {
  /** What the stream's listeners run in; undefined leaves it as it is. */
  readonly context: TraceContext | undefined;
  /** Before the application's listeners. */
  onEvent(type: unknown, value: unknown): void;
  /** A chunk of the body that arrives. */
  onIncoming(chunk: unknown, encoding: unknown): void;
  /** The last of it has arrived, or the stream is destroyed. */
  onIncomingEnd(): void;
  /** Nobody reads. */
  onPause(): void;
  /** A chunk of the body that goes. */
  onOutgoing(chunk: unknown, encoding: unknown): void;
  /** The application closes or destroys the stream itself. */
  onWish(): void;
}

/** By stream; null where it is not recorded. */
export const watchers: HiddenSlot<StreamWatcher | null> = createHiddenSlot();

/** Of RFC 9113, 7, as node:http2's constants call them. */
const ERROR_CODES = [
  "NGHTTP2_NO_ERROR",
  "NGHTTP2_PROTOCOL_ERROR",
  "NGHTTP2_INTERNAL_ERROR",
  "NGHTTP2_FLOW_CONTROL_ERROR",
  "NGHTTP2_SETTINGS_TIMEOUT",
  "NGHTTP2_STREAM_CLOSED",
  "NGHTTP2_FRAME_SIZE_ERROR",
  "NGHTTP2_REFUSED_STREAM",
  "NGHTTP2_CANCEL",
  "NGHTTP2_COMPRESSION_ERROR",
  "NGHTTP2_CONNECT_ERROR",
  "NGHTTP2_ENHANCE_YOUR_CALM",
  "NGHTTP2_INADEQUATE_SECURITY",
  "NGHTTP2_HTTP_1_1_REQUIRED",
];

/** The name of a reset's code. */
export function nameOfCode(code: number | undefined): string {
  return ERROR_CODES[code ?? 0] ?? "_OTHER";
}

/** Node's own error for a stream that was closed with a code. */
export function isReset(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === "ERR_HTTP2_STREAM_ERROR";
}

/** A session's connection, as far as one may look at it; undefined once it is gone. */
export function socketOf(session: Http2Session | undefined): Socket | undefined {
  try {
    return session?.socket as Socket | undefined;
  } catch {
    return undefined;
  }
}

export type Headers = Readonly<Record<string, unknown>>;

/** One header, `undefined` where there is none; of a repeated one the first. */
export function textOf(headers: Headers | undefined, name: string): string | undefined {
  const value = headers?.[name];
  if (value === undefined || value === null) return undefined;
  return String(Array.isArray(value) ? value[0] : value);
}

/** Those of a selection, as `[name, value, …]`. */
export function listedHeaders(headers: Headers | undefined, selection: HeaderSelection): string[] {
  const listed: string[] = [];
  for (const name in headers) {
    if (!selection.mayList(name.length) || selection.placeOf(name) === -1) continue;
    const value = headers[name];
    if (!Array.isArray(value)) listed.push(name, String(value));
    else for (const item of value) listed.push(name, String(item));
  }
  return listed;
}
