import type { ApiError } from "../model/api.ts";
import { Failure } from "./command.ts";
import { authorization } from "./running.ts";

/** A server-sent event, its data parsed. */
export interface LiveEvent {
  name: string;
  data: unknown;
}

/** What `GET /api/live` sends, until the connection ends. Gives `undefined` once, when it is connected. Rejects as `fetch` does,
 *  and with a `Failure` when the dashboard refuses. */
export async function* listenTo(
  url: string,
  filter: URLSearchParams,
  options: { token?: string | undefined; signal?: AbortSignal },
): AsyncGenerator<LiveEvent | undefined> {
  const response = await fetch(`${url}/api/live?${filter}`, {
    headers: { accept: "text/event-stream", ...authorization(options.token) },
    ...(options.signal && { signal: options.signal }),
  });
  if (!response.ok || response.body === null) throw new Failure(await refusal(response, url));
  yield undefined;
  let rest = "";
  const decoder = new TextDecoder();
  for await (const bytes of response.body as AsyncIterable<Uint8Array>) {
    const blocks = (rest + decoder.decode(bytes, { stream: true })).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const event = parseEvent(block);
      if (event !== undefined) yield event;
    }
  }
}

/** Source: HTML Living Standard, 9.2.6 Interpreting an event stream. Undefined for comments. */
function parseEvent(block: string): LiveEvent | undefined {
  let name = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const [field, value = ""] = [line.split(":", 1)[0], line.slice(line.indexOf(":") + 1).replace(/^ /, "")];
    if (field === "event") name = value;
    if (field === "data") data.push(value);
  }
  return data.length === 0 ? undefined : { name, data: JSON.parse(data.join("\n")) };
}

/** Why the dashboard said no, for people. */
export async function refusal(response: Response, url: string): Promise<string> {
  if (response.status === 401)
    return `the dashboard at ${url} wants its token: --token <token>, or TRACEKIT_DASHBOARD_TOKEN in the environment.`;
  const body = (await response.json().catch(() => ({}))) as Partial<ApiError>;
  const reason = body.error?.message ?? "is it a Tracekit dashboard?";
  return `${url} answered ${response.status}: ${reason}`;
}
