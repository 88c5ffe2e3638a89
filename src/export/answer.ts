/** What a backend said to one request. */
export type Answer =
  /** It has the spans, but for `rejectedSpans` of them. `message` is its remark, usually "". */
  | { readonly kind: "accepted"; readonly rejectedSpans: number; readonly message: string }
  /** It may have them another time; `afterMillis` is its own wish. `isUnreachable`: there was no answer at all. */
  | {
      readonly kind: "later";
      readonly reason: string;
      readonly afterMillis: number | undefined;
      readonly isUnreachable: boolean;
    }
  /** It will not have them, now or later. */
  | { readonly kind: "refused"; readonly reason: string };

const ACCEPTED: Answer = { kind: "accepted", rejectedSpans: 0, message: "" };

/** A connection that could not be made or broke. */
export function unreachable(error: unknown): Answer {
  const { code, message } = error as NodeJS.ErrnoException;
  // Node tries every address of a name; the error of that has a code and no message.
  return { kind: "later", reason: message || String(code ?? error), afterMillis: undefined, isUnreachable: true };
}

/** Reads an `ExportTraceServiceResponse`. What cannot be read is taken for plain success, since the status said so. */
export function toAccepted(body: Buffer, isJson: boolean): Answer {
  try {
    if (body.length === 0) return ACCEPTED;
    if (isJson) {
      const { partialSuccess } = JSON.parse(body.toString()) as {
        partialSuccess?: { rejectedSpans?: unknown; errorMessage?: unknown };
      };
      if (!partialSuccess) return ACCEPTED;
      return toPartial(Number(partialSuccess.rejectedSpans ?? 0), String(partialSuccess.errorMessage ?? ""));
    }
    const partialSuccess = readFields(body).get(1);
    if (!(partialSuccess instanceof Buffer)) return ACCEPTED;
    const fields = readFields(partialSuccess);
    return toPartial(Number(fields.get(1) ?? 0), String(fields.get(2) ?? ""));
  } catch {
    return ACCEPTED;
  }
}

function toPartial(rejectedSpans: number, message: string): Answer {
  return rejectedSpans >= 0 ? { kind: "accepted", rejectedSpans, message } : ACCEPTED;
}

/** The message of a `google.rpc.Status`, which is what errors look like in protobuf; "" when it is none. */
export function toStatusMessage(body: Buffer): string {
  try {
    const message = readFields(body).get(2);
    return message instanceof Buffer ? message.toString() : "";
  } catch {
    return "";
  }
}

/** The delay of the `RetryInfo` inside a `google.rpc.Status`; undefined without one. */
export function toRetryMillis(status: Buffer): number | undefined {
  try {
    const detail = readFields(status).get(3);
    if (!(detail instanceof Buffer)) return undefined;
    const any = readFields(detail);
    if (!String(any.get(1)).endsWith("/google.rpc.RetryInfo")) return undefined;
    const retryDelay = readFields(any.get(2) as Buffer).get(1);
    if (!(retryDelay instanceof Buffer)) return 0;
    const duration = readFields(retryDelay);
    return Number(duration.get(1) ?? 0) * 1000 + Math.ceil(Number(duration.get(2) ?? 0) / 1e6);
  } catch {
    return undefined;
  }
}

/** Field number to its last value: a number, or the bytes of what has a length. Throws when it is not protobuf. */
function readFields(bytes: Buffer): Map<number, number | Buffer> {
  const fields = new Map<number, number | Buffer>();
  let at = 0;
  const readVarint = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++];
      if (byte === undefined || shift > 2 ** 63) throw new RangeError("not protobuf");
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = readVarint();
    const wireType = tag & 7;
    if (wireType === 0) fields.set(tag >>> 3, readVarint());
    else {
      const length = wireType === 2 ? readVarint() : wireType === 1 ? 8 : wireType === 5 ? 4 : NaN;
      if (!(at + length <= bytes.length)) throw new RangeError("not protobuf");
      fields.set(tag >>> 3, bytes.subarray(at, at + length));
      at += length;
    }
  }
  return fields;
}

/** `Retry-After` in milliseconds from now: seconds or an HTTP date. Undefined when it is neither. Source: RFC 9110 §10.2.3. */
export function parseRetryAfter(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const seconds = /^\s*\d+\s*$/.test(header) ? Number(header) : NaN;
  const millis = Number.isNaN(seconds) ? Date.parse(header) - Date.now() : seconds * 1000;
  return Number.isNaN(millis) ? undefined : Math.max(0, millis);
}
