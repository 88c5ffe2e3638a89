/** Spans in a body of the Datadog agent's /v0.4/traces: a MessagePack array of traces, each an array of spans. Throws on
 *  bytes that are no MessagePack. Source: msgpack specification, "Formats". */
export function countMessagePackSpans(bytes) {
  const reader = { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at: 0 };
  let spans = 0;
  for (let traces = arrayLength(reader); traces > 0; traces--) {
    const inTrace = arrayLength(reader);
    spans += inTrace;
    for (let span = 0; span < inTrace; span++) skip(reader);
  }
  if (reader.at !== bytes.length) throw new Error(`${bytes.length - reader.at} bytes after the last trace`);
  return spans;
}

function arrayLength(reader) {
  const type = reader.bytes[reader.at++];
  if (type >> 4 === 0x9) return type & 15;
  if (type === 0xdc) return unsigned(reader, 2);
  if (type === 0xdd) return unsigned(reader, 4);
  throw new Error(`MessagePack type ${type} where an array should be`);
}

function unsigned(reader, width) {
  const { view, at } = reader;
  reader.at += width;
  return width === 1 ? view.getUint8(at) : width === 2 ? view.getUint16(at) : view.getUint32(at);
}

/** Bytes after the type byte, for the types of one size: 0xc0 to 0xd8. Zero where the size is in the data. */
const fixedSizes = new Map([
  [0xc0, 0], // nil
  [0xc2, 0], // false
  [0xc3, 0], // true
  [0xca, 4], // floats
  [0xcb, 8],
  [0xcc, 1], // unsigned
  [0xcd, 2],
  [0xce, 4],
  [0xcf, 8],
  [0xd0, 1], // signed
  [0xd1, 2],
  [0xd2, 4],
  [0xd3, 8],
  [0xd4, 2], // extensions, with their type
  [0xd5, 3],
  [0xd6, 5],
  [0xd7, 9],
  [0xd8, 17],
]);
/** Width of the length, and bytes besides what it counts. */
const blobs = new Map([
  [0xc4, [1, 0]],
  [0xc5, [2, 0]],
  [0xc6, [4, 0]],
  [0xc7, [1, 1]],
  [0xc8, [2, 1]],
  [0xc9, [4, 1]],
  [0xd9, [1, 0]],
  [0xda, [2, 0]],
  [0xdb, [4, 0]],
]);

function skip(reader) {
  const type = reader.bytes[reader.at++];
  if (type === undefined) throw new Error("truncated MessagePack");
  if (type < 0x80 || type >= 0xe0) return;
  if (type < 0x90) return skipMany(reader, (type & 15) * 2);
  if (type < 0xa0) return skipMany(reader, type & 15);
  if (type < 0xc0) return void (reader.at += type & 31);
  if (type === 0xdc || type === 0xdd) return skipMany(reader, unsigned(reader, type === 0xdc ? 2 : 4));
  if (type === 0xde || type === 0xdf) return skipMany(reader, unsigned(reader, type === 0xde ? 2 : 4) * 2);
  const blob = blobs.get(type);
  if (blob !== undefined) {
    const length = unsigned(reader, blob[0]);
    reader.at += length + blob[1];
    return;
  }
  const size = fixedSizes.get(type);
  if (size === undefined) throw new Error(`MessagePack type ${type} does not exist`);
  reader.at += size;
}

function skipMany(reader, values) {
  for (let i = 0; i < values; i++) skip(reader);
}
