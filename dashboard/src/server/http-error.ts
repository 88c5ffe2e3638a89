import { ERRORS, type ErrorCode } from "../model/api.ts";
import { StoreError } from "../store/store.ts";

/** A request's failure as its sender is told. `headers` go with the answer. */
export class HttpError extends Error {
  readonly code: ErrorCode;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ErrorCode, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.name = "HttpError";
    this.code = code;
    this.headers = headers;
  }

  get status(): number {
    return ERRORS[this.code];
  }
}

/** The connection ended while its request was read: there is nobody to answer. */
export class SenderGone extends Error {
  constructor() {
    super("The connection ended before the request did.");
    this.name = "SenderGone";
  }
}

/** Anything thrown, as an `HttpError`. What is not known is `internal`, with its message: this is its owner's machine. */
export function toHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof StoreError) {
    if (error.code === "bad_import") return new HttpError("bad_request", error.message);
    if (error.code === "full") return new HttpError("store_full", error.message);
  }
  return new HttpError("internal", error instanceof Error ? error.message : String(error));
}
