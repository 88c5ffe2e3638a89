import { join } from "node:path";
import type { MessageChannel, Worker } from "node:worker_threads";
import { counters, diag } from "../diag/diag.ts";
import type { Batch } from "./batch.ts";
import type { LastChance } from "./exit.ts";
import type { ExitJob, ExitOutcome, ExitWorkerData } from "./exit-job.ts";
import type { RunOutside } from "./outside.ts";

/**
 * Sends from a thread of its own while this one sleeps: nothing else sends from an `exit` handler. The thread is started here
 * and not kept ready, since an idle one costs 10 to 20 MB; starting it takes 22 to 80 ms.
 */
export class ExitSender {
  private readonly lastChance: LastChance;
  private readonly runOutside: RunOutside;
  /** `Date.now()` at which the process is held no longer, however many spans end meanwhile. */
  private readonly deadline: number;
  private readonly done = new Int32Array(new SharedArrayBuffer(4));
  private jobs = 0;
  private channel: MessageChannel | undefined = undefined;
  private worker: Worker | undefined = undefined;
  private isBroken = false;

  constructor(lastChance: LastChance, timeoutMillis: number, runOutside: RunOutside) {
    this.lastChance = lastChance;
    this.runOutside = runOutside;
    this.deadline = Date.now() + timeoutMillis;
  }

  /** Never throws. */
  send(): void {
    let spanCount = 0;
    try {
      const pending = this.lastChance.takePending();
      if (pending.length === 0) return;
      for (const batch of pending) spanCount += batch.spanCount;
      this.count(this.isBroken ? undefined : this.post(pending), spanCount);
    } catch (error) {
      this.isBroken = true;
      counters.droppedSpans += spanCount;
      diag.warnOnce("exit", `${spanCount} spans could not be sent before the process ends: ${String(error)}`);
    }
  }

  close(): void {
    void this.worker?.terminate();
    this.channel?.port1.close();
  }

  /** Undefined when it took too long. */
  private post(pending: readonly Batch[]): ExitOutcome | undefined {
    const { receiveMessageOnPort } = process.getBuiltinModule("node:worker_threads");
    if (Date.now() >= this.deadline) return undefined;
    const port = (this.channel ??= this.startWorker()).port1;
    port.postMessage(toJob(pending, this.deadline));
    const wanted = ++this.jobs;
    for (;;) {
      const finished = Atomics.load(this.done, 0);
      if (finished >= wanted) break;
      const rest = this.deadline - Date.now();
      if (rest <= 0) return undefined;
      Atomics.wait(this.done, 0, finished, rest);
    }
    let outcome: ExitOutcome | undefined;
    for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
      outcome = next.message as ExitOutcome;
    }
    return outcome;
  }

  private startWorker(): MessageChannel {
    const threads = process.getBuiltinModule("node:worker_threads");
    const channel = new threads.MessageChannel();
    this.runOutside(() => {
      const data: ExitWorkerData = {
        endpoint: this.lastChance.endpoint,
        port: channel.port2,
        done: this.done.buffer as SharedArrayBuffer,
      };
      this.worker = new threads.Worker(join(__dirname, "exit-worker.js"), {
        workerData: data,
        transferList: [channel.port2],
        // Inherited, they would preload us again inside the worker, and whatever else the application preloads.
        execArgv: [],
        env: {},
        stdin: false,
        stdout: true,
        stderr: true,
      });
      this.worker.on("error", (error) => diag.debug(`the exit worker failed: ${String(error)}`));
      this.worker.unref();
    });
    channel.port1.unref();
    return channel;
  }

  private count(outcome: ExitOutcome | undefined, spanCount: number): void {
    const { sentSpans, lostSpans, reason } = outcome ?? {
      sentSpans: 0,
      lostSpans: spanCount,
      reason: "no answer in time",
    };
    counters.exportedSpans += sentSpans;
    counters.droppedSpans += lostSpans;
    if (lostSpans === 0 || this.lastChance.isSaidToFail) return;
    diag.warnOnce(
      "exit",
      `${lostSpans} spans could not be sent to ${this.lastChance.shownUrl} before the process ends: ${reason}`,
    );
  }
}

/** For one exit. */
export function createExitSender(lastChance: LastChance, timeoutMillis: number, runOutside: RunOutside): ExitSender {
  return new ExitSender(lastChance, timeoutMillis, runOutside);
}

function toJob(pending: readonly Batch[], deadline: number): ExitJob {
  const bytes = new SharedArrayBuffer(pending.reduce((sum, { byteLength }) => sum + byteLength, 0));
  const target = new Uint8Array(bytes);
  let offset = 0;
  for (const { body } of pending) {
    for (const piece of body) {
      target.set(piece, offset);
      offset += piece.length;
    }
  }
  return { bytes, batches: pending.map(({ byteLength, spanCount }) => ({ byteLength, spanCount })), deadline };
}
