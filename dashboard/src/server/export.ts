import type { ServerResponse } from "node:http";
import { parseFilter } from "../model/filter.ts";
import type { SpanRecord } from "../model/span.ts";
import { toResourceSpans } from "../receive/otlp-json-writer.ts";
import type { Store } from "../store/store.ts";
import { HttpError } from "./http-error.ts";
import type { Call } from "./router.ts";

/** What is written at once, so that many small traces are few writes. */
const WRITE_CHARS = 64 * 1024;

/** `GET /api/export`: the traces that are named, or else those the filter lets through, as OTLP JSON. Trace by trace, as fast as
 *  the download takes them: a store does not fit memory. */
export async function streamExport(store: Store, { request, response, query }: Call): Promise<void> {
  const traceIds = query.getAll("trace").map((id) => id.toLowerCase());
  if (traceIds.some((id) => !/^[0-9a-f]{8,32}$/.test(id)))
    throw new HttpError("bad_request", "A trace id has 32 hexadecimal digits; its first 8 are enough.");
  const selected = store.readTraces(traceIds.length > 0 ? { traceIds } : parseFilter(query).filter);
  const traces = selected[Symbol.asyncIterator]();
  try {
    // Before the head is written, so that what fails at once is answered as a failure.
    let next = await traces.next();
    if (next.done === true && traceIds.length > 0) throw new HttpError("not_found", "No span of it has arrived.");
    response.writeHead(200, {
      "cache-control": "no-store",
      "content-disposition": `attachment; filename="${fileName(traceIds, next.done === true ? [] : next.value)}"`,
      "content-type": "application/json; charset=utf-8",
    });
    if (request.method === "HEAD") return void response.end();
    let text = '{"resourceSpans":[';
    let separator = "";
    for (; next.done !== true; next = await traces.next()) {
      for (const resourceSpans of toResourceSpans(next.value)) {
        text += separator + JSON.stringify(resourceSpans);
        separator = ",\n";
        if (text.length < WRITE_CHARS) continue;
        if (!(await written(response, text))) return;
        text = "";
      }
    }
    response.end(`${text}]}\n`);
  } finally {
    await traces.return?.();
  }
}

/** False when nobody is there to read it any more. */
async function written(response: ServerResponse, text: string): Promise<boolean> {
  if (response.destroyed) return false;
  if (response.write(text)) return true;
  await new Promise<void>((resolve) => {
    const settle = (): void => {
      response.off("drain", settle).off("close", settle);
      resolve();
    };
    response.on("drain", settle).on("close", settle);
  });
  return !response.destroyed;
}

/** `tracekit-POST-shorten-4bf92f35.json` for one trace, `tracekit-2026-01-31T12-00-00.json` for more. */
function fileName(traceIds: readonly string[], first: readonly SpanRecord[]): string {
  if (traceIds.length !== 1) return `tracekit-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.json`;
  const root = first.find(({ parentSpanId }) => parentSpanId === "") ?? first[0];
  const name = (root?.name ?? "").replaceAll(/[^A-Za-z0-9]+/g, "-").replaceAll(/^-|-$/g, "");
  return ["tracekit", name.slice(0, 60), root?.traceId.slice(0, 8)].filter(Boolean).join("-") + ".json";
}
