/** Spans in an encoded ExportTraceServiceRequest: `resource_spans` (1) → `scope_spans` (2) → `spans` (2). Throws on
 *  bytes that are no protobuf. Source: opentelemetry/proto/collector/trace/v1/trace_service.proto, protobuf encoding. */
export function countOtlpSpans(bytes) {
  return sum(bytes, 0, bytes.length, 1, (from, to) =>
    sum(bytes, from, to, 2, (start, end) => sum(bytes, start, end, 2, () => 1)),
  );
}

/** Adds up what `visit` gives for each length-delimited field with that number between `from` and `to`. */
function sum(bytes, from, to, wanted, visit) {
  let total = 0;
  let at = from;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      if (at >= to) throw new Error("truncated protobuf");
      const byte = bytes[at++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < to) {
    const tag = varint();
    const field = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (wireType === 0) varint();
    else if (wireType === 1) at += 8;
    else if (wireType === 5) at += 4;
    else if (wireType === 2) {
      const length = varint();
      const start = at;
      at += length;
      if (field === wanted && at <= to) total += visit(start, at);
    } else throw new Error(`unexpected protobuf wire type ${wireType}`);
  }
  if (at !== to) throw new Error("truncated protobuf");
  return total;
}
