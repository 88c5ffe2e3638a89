/** A span to send, in few words. Times are milliseconds after the start of its trace. */
export interface SentSpan {
  id: string;
  parent?: string;
  service?: string;
  name?: string;
  /** Numbers as in OTLP; default 1, internal. */
  kind?: number;
  from?: number;
  to: number;
  failed?: string;
  attributes?: Record<string, unknown>;
  exception?: { type: string; message: string; stacktrace: string };
  links?: readonly { traceId: string; spanId: string }[];
}

export interface SentTrace {
  traceId: string;
  /** Unix milliseconds; default now. */
  start?: number;
  spans: readonly SentSpan[];
}

/** The id of a trace or span that `name` stands for: letters and digits, at most 16. */
export function idOf(name: string, digits = 16): string {
  return Buffer.from(name).toString("hex").slice(-digits).padStart(digits, "0");
}

/** Sends a trace as OTLP JSON; its logs, too. */
export async function sendTrace(url: string, trace: SentTrace): Promise<string> {
  const { start = Date.now(), spans } = trace;
  const traceId = idOf(trace.traceId, 32);
  const nanos = (millis: number): string => String(BigInt(start) * 1_000_000n + BigInt(Math.round(millis * 1e6)));
  const services = new Set(spans.map(({ service = "shop" }) => service));
  const resourceSpans = [...services].map((name) => ({
    resource: { attributes: pairs({ "service.name": name }) },
    scopeSpans: [
      {
        scope: { name: "test" },
        spans: spans
          .filter(({ service = "shop" }) => service === name)
          .map((span) => ({
            traceId,
            spanId: idOf(span.id),
            parentSpanId: span.parent === undefined ? "" : idOf(span.parent),
            name: span.name ?? span.id,
            kind: span.kind ?? 1,
            startTimeUnixNano: nanos(span.from ?? 0),
            endTimeUnixNano: nanos(span.to),
            attributes: pairs(span.attributes ?? {}),
            status: span.failed === undefined ? {} : { code: 2, message: span.failed },
            links: span.links?.map((link) => ({ traceId: idOf(link.traceId, 32), spanId: idOf(link.spanId) })) ?? [],
            events:
              span.exception === undefined
                ? []
                : [
                    {
                      name: "exception",
                      timeUnixNano: nanos(span.to),
                      attributes: pairs(
                        Object.fromEntries(
                          Object.entries(span.exception).map(([key, value]) => [`exception.${key}`, value]),
                        ),
                      ),
                    },
                  ],
          })),
      },
    ],
  }));
  await post(`${url}/v1/traces`, { resourceSpans });
  return traceId;
}

/** Sends one log record of a span. */
export async function sendLog(url: string, traceId: string, spanId: string, text: string): Promise<void> {
  const record = {
    timeUnixNano: `${Date.now()}000000`,
    severityNumber: 13,
    severityText: "WARN",
    body: { stringValue: text },
    traceId: idOf(traceId, 32),
    spanId: idOf(spanId),
  };
  await post(`${url}/v1/logs`, { resourceLogs: [{ scopeLogs: [{ logRecords: [record] }] }] });
}

async function post(url: string, body: object): Promise<void> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
}

function pairs(values: Record<string, unknown>): object[] {
  return Object.entries(values).map(([key, value]) => ({ key, value: anyValue(value) }));
}

function anyValue(value: unknown): object {
  if (Array.isArray(value)) return { arrayValue: { values: value.map(anyValue) } };
  if (typeof value === "boolean") return { boolValue: value };
  if (typeof value === "number") return Number.isInteger(value) ? { intValue: value } : { doubleValue: value };
  return { stringValue: String(value) };
}
