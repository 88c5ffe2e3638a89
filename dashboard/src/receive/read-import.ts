import type { SpanRecord } from "../model/span.ts";
import { addJaegerTraces } from "./jaeger.ts";
import { type Json, parseJson, show } from "./json.ts";
import { MalformedPayload } from "./malformed-payload.ts";
import { addResourceSpans } from "./otlp-json.ts";
import { createReading, type Reading } from "./reading.ts";
import { addZipkinSpans } from "./zipkin.ts";

export interface Import {
  format: "otlp" | "jaeger" | "zipkin";
  spans: SpanRecord[];
  /** Spans that were left out, and why the first of them was. */
  rejected: number;
  reason?: string;
}

const EXPECTED =
  'OTLP JSON ({"resourceSpans": …}), Jaeger JSON ({"data": [{"traceID": …, "spans": …}]}) or Zipkin v2 JSON ([{"traceId": …, "id": …}])';

/** A file of traces, told apart by its shape: OTLP JSON (one document, or one a line as the collector's file exporter writes it),
 *  Jaeger JSON or Zipkin v2 JSON. Throws a `MalformedPayload` that says what was expected for anything else. */
export function readImport(body: Uint8Array): Import {
  const reading = createReading();
  const { spans } = reading;
  let format: Import["format"] | undefined;
  for (const document of documentsOf(body)) {
    const found = addDocument(reading, document);
    if (found === "none") continue;
    if (format !== undefined && format !== found)
      throw new MalformedPayload(`the file has both ${format} and ${found}`);
    format = found;
  }
  if (format === undefined) throw new MalformedPayload("the file has logs or metrics of OTLP, but no spans");
  return { format, spans, rejected: reading.rejected, ...(reading.reason !== undefined && { reason: reading.reason }) };
}

const LINE_FEED = 0x0a;

/** A file is one document. Where it is not, its lines are. */
function* documentsOf(body: Uint8Array): Generator {
  let whole: unknown;
  try {
    whole = parseJson(body, "the file");
  } catch (error) {
    const firstEnd = body.indexOf(LINE_FEED);
    let first: unknown;
    try {
      if (firstEnd !== -1) first = parseJson(body.subarray(0, firstEnd), "line 1");
    } catch {
      // Not lines either: what is wrong with the whole is the better answer.
    }
    if (first === undefined) throw withExpectation(error as MalformedPayload);
    yield first;
    yield* linesOf(body, firstEnd + 1);
    return;
  }
  yield whole;
}

function* linesOf(body: Uint8Array, start: number): Generator {
  let line = 2;
  for (let from = start, end: number; from < body.length; from = end + 1, line++) {
    end = body.indexOf(LINE_FEED, from);
    if (end === -1) end = body.length;
    const bytes = body.subarray(from, end);
    if (bytes.some((byte) => byte > 0x20)) yield parseJson(bytes, `line ${line}`);
  }
}

function withExpectation(error: MalformedPayload): MalformedPayload {
  return new MalformedPayload(`${error.message}; expected ${EXPECTED}`, { cause: error });
}

/** Which format it was; `none` where it is OTLP without spans. */
function addDocument(reading: Reading, document: unknown): Import["format"] | "none" {
  if (Array.isArray(document)) {
    const items: readonly unknown[] = document;
    if (isJaegerTrace(items[0])) {
      addJaegerTraces(reading, items);
      return "jaeger";
    }
    // Zipkin's `/api/v2/traces` answers a list of lists.
    const spans = items.every(Array.isArray) ? (items as unknown[][]).flat() : items;
    if (spans.length === 0 || isZipkinSpan(spans[0])) {
      addZipkinSpans(reading, spans);
      return "zipkin";
    }
    throw unknownShape(`a list of ${describe(spans[0])}`);
  }
  if (!isObject(document)) throw unknownShape(describe(document));
  const root = document;
  // Jaeger's `/api/v3` wraps what it answers.
  const otlp = isObject(root.result) ? root.result : root;
  const resourceSpans = otlp.resourceSpans ?? otlp.resource_spans;
  if (resourceSpans !== undefined) {
    addResourceSpans(reading, resourceSpans);
    return "otlp";
  }
  if (["resourceLogs", "resource_logs", "resourceMetrics", "resource_metrics"].some((key) => key in otlp))
    return "none";
  if (isJaegerTrace(root)) {
    addJaegerTraces(reading, [root]);
    return "jaeger";
  }
  if (Array.isArray(root.data) && (root.data.length === 0 || isJaegerTrace(root.data[0]))) {
    addJaegerTraces(reading, root.data);
    return "jaeger";
  }
  throw unknownShape(describe(root));
}

function isObject(value: unknown): value is Json {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function isJaegerTrace(value: unknown): boolean {
  return isObject(value) && "spans" in value && ("traceID" in value || "processes" in value);
}

function isZipkinSpan(value: unknown): boolean {
  return isObject(value) && "traceId" in value && "id" in value;
}

function describe(value: unknown): string {
  if (!isObject(value)) return show(value);
  const keys = Object.keys(value);
  if (keys.length === 0) return "an object without keys";
  const shown = keys.slice(0, 5).map((key) => JSON.stringify(key.slice(0, 40)));
  return `an object with ${shown.join(", ")}${keys.length > 5 ? ", …" : ""}`;
}

function unknownShape(found: string): MalformedPayload {
  return new MalformedPayload(`this is not a file of traces: it has ${found}; expected ${EXPECTED}`);
}
