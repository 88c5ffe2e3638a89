import { readOtlpJson } from "./otlp-json.ts";
import { readOtlpProtobuf } from "./otlp-protobuf.ts";
import type { Reading } from "./reading.ts";
import { readZipkinJson } from "./zipkin.ts";

/** A request's body, decompressed, and how it is to be read. */
export interface SentPayload {
  signal: "traces" | "logs";
  format: "otlp-protobuf" | "otlp-json" | "zipkin-json";
  body: Uint8Array;
}

/** What a sender sent. Spans and log records that cannot be kept are counted, with the reason; throws a `MalformedPayload` when
 *  the body as a whole cannot be read. With `wanted`, spans may have the attributes of these names only, and all of them as JSON:
 *  see `Reading.attributesJson`. */
export function readPayload({ signal, format, body }: SentPayload, wanted?: ReadonlySet<string>): Reading {
  switch (format) {
    case "otlp-protobuf":
      return readOtlpProtobuf(signal, body, wanted);
    case "otlp-json":
      return readOtlpJson(signal, body);
    case "zipkin-json":
      return readZipkinJson(body);
  }
}
