/**
 * The thread that sends an exiting process's last spans, while the main thread sleeps (`exit.ts`). Its own small file: it is
 * read while somebody waits for the process to end.
 */
import { workerData } from "node:worker_threads";
import type { Answer } from "./answer.ts";
import { createExchange } from "./create-exchange.ts";
import { MAX_CONCURRENT_REQUESTS } from "./exchange.ts";
import type { ExitJob, ExitOutcome, ExitWorkerData } from "./exit-job.ts";

/** A backend that is busy is asked again this often, until nobody waits any more. */
const RETRY_MILLIS = 200;

const { endpoint, port, done } = workerData as ExitWorkerData;
const exchange = createExchange(endpoint);
const finished = new Int32Array(done);

port.on("message", async (job: ExitJob) => {
  port.postMessage(await send(job));
  Atomics.add(finished, 0, 1);
  Atomics.notify(finished, 0);
});

async function send({ bytes, batches, deadline }: ExitJob): Promise<ExitOutcome> {
  const outcome = { sentSpans: 0, lostSpans: 0, reason: "" };
  const waiting: Array<{ body: Uint8Array; spanCount: number }> = [];
  let offset = 0;
  for (const { byteLength, spanCount } of batches) {
    // Copied: sockets want memory that is not shared.
    waiting.push({ body: new Uint8Array(bytes, offset, byteLength).slice(), spanCount });
    offset += byteLength;
  }
  const lane = async (): Promise<void> => {
    for (let batch = waiting.shift(); batch !== undefined; batch = waiting.shift()) {
      const answer = await post(batch.body, deadline);
      const lost = answer.kind === "accepted" ? Math.min(answer.rejectedSpans, batch.spanCount) : batch.spanCount;
      outcome.sentSpans += batch.spanCount - lost;
      outcome.lostSpans += lost;
      if (lost > 0) outcome.reason = answer.kind === "accepted" ? answer.message : answer.reason;
    }
  };
  await Promise.all(Array.from({ length: Math.min(MAX_CONCURRENT_REQUESTS, batches.length) }, lane));
  return outcome;
}

async function post(body: Uint8Array, deadline: number): Promise<Answer> {
  for (;;) {
    const answer = await new Promise<Answer>((resolve) => exchange.send([body], resolve));
    // A backend that is not there will not be in 200 ms, and a developer without one should not wait.
    if (answer.kind !== "later" || answer.isUnreachable) return answer;
    const wait = answer.afterMillis ?? RETRY_MILLIS;
    if (Date.now() + wait >= deadline) return answer;
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}
