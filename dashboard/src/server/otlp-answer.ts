/** Bodies of the answers to OTLP/HTTP requests. Source: opentelemetry-proto collector/{trace,logs}/v1, google.rpc.Status. */

export type OtlpEncoding = "protobuf" | "json";

/** An `Export…ServiceResponse`. Without a problem it is empty, as the specification wants it. */
export function exportAnswer(
  encoding: OtlpEncoding,
  signal: "traces" | "logs",
  rejected: number,
  reason: string | undefined,
): Buffer {
  const isPartial = rejected > 0 || reason !== undefined;
  if (encoding === "json") {
    const count = signal === "traces" ? "rejectedSpans" : "rejectedLogRecords";
    const partialSuccess = { [count]: String(rejected), errorMessage: reason ?? "" };
    return Buffer.from(JSON.stringify(isPartial ? { partialSuccess } : {}));
  }
  if (!isPartial) return Buffer.alloc(0);
  return bytesField(1, Buffer.concat([varintField(1, rejected), bytesField(2, Buffer.from(reason ?? ""))]));
}

/** A `google.rpc.Status`, which a refused request is answered with. `code` is gRPC's. */
export function statusAnswer(encoding: OtlpEncoding, code: number, message: string): Buffer {
  if (encoding === "json") return Buffer.from(JSON.stringify({ code, message }));
  return Buffer.concat([varintField(1, code), bytesField(2, Buffer.from(message))]);
}

function varintField(field: number, value: number): Buffer {
  return value === 0 ? Buffer.alloc(0) : Buffer.from([field << 3, ...varint(value)]);
}

function bytesField(field: number, bytes: Buffer): Buffer {
  return bytes.length === 0 ? bytes : Buffer.concat([Buffer.from([(field << 3) | 2, ...varint(bytes.length)]), bytes]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return bytes;
}
