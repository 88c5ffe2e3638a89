import type { LogRecord, SpanRecord } from "../../src/model/span.ts";
import { toResourceSpans } from "../../src/receive/otlp-json-writer.ts";
import type { Payload } from "../../src/store/store.ts";
import { fakeSpan } from "../support/fake-store.ts";

export const EPOCH = 1_790_000_000_000_000;

type SpanWish = Partial<Omit<SpanRecord, "start" | "resource">> & {
  /** Microseconds after `EPOCH`. */
  at?: number;
  service?: string;
  resource?: SpanRecord["resource"];
};

let made = 0;

export function hexId(number: number, digits: 16 | 32): string {
  return number.toString(16).padStart(digits, "0");
}

/** A root of its own trace, of the service `shop`, 1 ms long, unless told otherwise. */
export function span({ at = 0, service = "shop", ...wish }: SpanWish = {}): SpanRecord {
  made += 1;
  return fakeSpan({
    traceId: hexId(made, 32),
    spanId: hexId(made, 16),
    flags: 0,
    name: "work",
    kind: 1,
    start: { unixMicros: EPOCH + at, nanos: 0 },
    durationNanos: 1_000_000,
    resource: { serviceName: service, attributes: { "service.name": service } },
    ...wish,
  });
}

export function payloadOf(spans: readonly SpanRecord[]): Payload {
  return payload("traces", { resourceSpans: [...toResourceSpans(spans)] });
}

export function logsOf(logs: readonly Partial<LogRecord>[]): Payload {
  const records = logs.map(({ traceId = "", spanId = "", body = "", time, severityText = "", severityNumber = 0 }) => ({
    traceId,
    spanId,
    severityText,
    severityNumber,
    timeUnixNano: `${time?.unixMicros ?? EPOCH}000`,
    body: { stringValue: body },
  }));
  return payload("logs", { resourceLogs: [{ scopeLogs: [{ logRecords: records }] }] });
}

export function payload(signal: Payload["signal"], document: unknown): Payload {
  return { signal, format: "otlp-json", body: new Uint8Array(Buffer.from(JSON.stringify(document))) };
}
