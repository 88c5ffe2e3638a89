import { Agent, get, request } from "node:http";
import type { DashboardProcess, Probe } from "./dashboard-process.ts";
import { type SpanRequest, stampRound } from "./requests.ts";

export interface Ingest extends Probe {
  spans: number;
  seconds: number;
  spansPerSecond: number;
  cpuMicrosPerSpan: number;
  mainMicrosPerSpan: number;
  storeMicrosPerSpan: number;
  /** Requests that had to be sent again because the store was behind. */
  refused: number;
  /** Updates a page got meanwhile. */
  liveUpdates: number;
}

const CONNECTIONS = 4;

/** Sends spans until `spans` of them are acknowledged, as fast as they are taken, while a page is connected. */
export async function ingest(
  dashboard: DashboardProcess,
  requests: readonly SpanRequest[],
  spans: number,
): Promise<Ingest> {
  const before = await dashboard.probe();
  const page = watch(dashboard.url);
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  let next = 0;
  let acknowledged = 0;
  let refused = 0;
  const startedAt = performance.now();
  const send = async (): Promise<void> => {
    while (acknowledged < spans) {
      const at = next++;
      const one = requests[at % requests.length] as SpanRequest;
      // A copy: the request's own bytes are stamped again while this one may still be on its way.
      const body = Buffer.from(stampRound(one, Math.floor(at / requests.length)));
      while ((await post(agent, dashboard.url, body)) === 503) refused++;
      acknowledged += one.spans;
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, send));
  const seconds = (performance.now() - startedAt) / 1000;
  const after = await dashboard.probe();
  agent.destroy();
  return {
    ...after,
    spans: acknowledged,
    seconds,
    spansPerSecond: acknowledged / seconds,
    cpuMicrosPerSpan: (after.cpuMicros - before.cpuMicros) / acknowledged,
    mainMicrosPerSpan: (after.mainCpuMicros - before.mainCpuMicros) / acknowledged,
    storeMicrosPerSpan: (after.storeCpuMicros - before.storeCpuMicros) / acknowledged,
    refused,
    liveUpdates: page.end(),
  };
}

/** The status, 200 or 503. Rejects for any other. */
export function post(agent: Agent, url: string, body: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/x-protobuf", "content-length": body.length };
    const sent = request(`${url}/v1/traces`, { method: "POST", agent, headers }, (response) => {
      const status = response.statusCode ?? 0;
      response.resume().on("end", () => {
        if (status === 200 || status === 503) resolve(status);
        else reject(new Error(`POST /v1/traces was answered ${status}`));
      });
    });
    sent.on("error", reject).end(body);
  });
}

function watch(url: string): { end(): number } {
  let updates = 0;
  const sent = get(`${url}/api/live`, (response) => {
    response.setEncoding("utf8").on("data", (text: string) => (updates += text.split("event: traces").length - 1));
    response.on("error", () => {});
  }).on("error", () => {});
  return {
    end: () => {
      sent.destroy();
      return updates;
    },
  };
}
