import { join } from "node:path";
import type { MessageChannel, Worker } from "node:worker_threads";
import { counters, diag } from "../diag/diag.ts";
import type { Batch } from "./batch.ts";
import type { Endpoint } from "./exchange.ts";
import type { ExitJob, ExitOutcome, ExitWorkerData } from "./exit-job.ts";
import type { RunOutside } from "./outside.ts";
import { startTimer, stopTimer } from "./timers.ts";

/** Those that end a process by default, and that people and orchestrators send. */
const SIGNALS = ["SIGTERM", "SIGINT"] as const;
type Signal = (typeof SIGNALS)[number];

/** If the process is still there this long after it was signalled again, the signal does not end it (it is the init process of a container). */
const SURVIVAL_MILLIS = 1000;

/** What an exiting process still has to send. */
export interface LastChance {
  takePending(): Batch[];
  readonly endpoint: Endpoint;
  readonly shownUrl: string;
  /** The user has been told already that nothing arrives. */
  readonly isSaidToFail: boolean;
  /** Called after each span that ends from now on; undefined stops that. */
  onEncoded: (() => void) | undefined;
}

/** What the hooks need of the export. */
export interface ExitingExport {
  /** Undefined when nothing of ours is sent. */
  readonly lastChance: LastChance | undefined;
  readonly runOutside: RunOutside;
  /** The application's own processors, where there is time for them; undefined without any. */
  readonly flushProcessors: (() => Promise<void>) | undefined;
}

/**
 * Sends what is pending when the process ends, however it ends: its own end, `process.exit()`, an uncaught exception, an
 * unhandled rejection, SIGTERM or SIGINT. The exit is held for `exitTimeoutMillis` at most, 0 ms when nothing is pending, and its
 * code or signal is what it would have been. A signal that the application handles is the application's.
 * `onFatal` is told of an exception that nothing catches, before the spans leave.
 */
export function installExitHooks(
  exporting: ExitingExport,
  { exitTimeoutMillis }: { readonly exitTimeoutMillis: number },
  onFatal: (error: unknown) => void,
): { remove(): void } {
  const { lastChance, runOutside, flushProcessors } = exporting;
  let sender: ExitSender | undefined;
  let survival: NodeJS.Timeout | undefined;
  let isRemoved = false;

  const flush = (): void => {
    if (lastChance === undefined || exitTimeoutMillis === 0) return;
    sender ??= new ExitSender(lastChance, exitTimeoutMillis, runOutside);
    sender.send();
  };

  const onExit = (): void => {
    flush();
    // The application's own exit handlers come after ours, and may end spans: each of those leaves at once.
    if (lastChance !== undefined) lastChance.onEncoded = flush;
  };

  const onSignal = (signal: NodeJS.Signals): void => {
    // Registered along with ours although we step back for every other listener: it is theirs.
    if (process.listenerCount(signal) > 1) return;
    flush();
    const endAsWithoutUs = (): void => {
      setSignalListener(signal, false);
      process.kill(process.pid, signal);
      survival = startTimer(() => {
        sender?.close();
        sender = undefined;
        if (!isRemoved && process.listenerCount(signal) === 0) setSignalListener(signal, true);
      }, SURVIVAL_MILLIS);
      survival.unref();
    };
    if (flushProcessors === undefined || exitTimeoutMillis === 0) endAsWithoutUs();
    else {
      const atTheLatest = new Promise<void>((resolve) => startTimer(resolve, exitTimeoutMillis));
      void Promise.race([flushProcessors(), atTheLatest]).finally(endAsWithoutUs);
    }
  };

  const setSignalListener = (signal: NodeJS.Signals, isOn: boolean): void => {
    process.removeListener(signal, onSignal);
    if (isOn) process.prependListener(signal, onSignal);
  };

  // Ours is only there while there is no other: libraries such as signal-exit count the listeners, and would leave the ending
  // of the process to the one they do not know. A tick later: were ours to go before theirs is there, Node would stop watching
  // for the signal, and not start again.
  const onNewListener = (event: string | symbol, listener: unknown): void => {
    if (listener === onSignal || !isSignal(event)) return;
    process.nextTick(() => {
      if (process.listenerCount(event) > 1) process.removeListener(event, onSignal);
    });
  };
  const onRemoveListener = (event: string | symbol, listener: unknown): void => {
    if (listener !== onSignal && isSignal(event) && process.listenerCount(event) === 0) setSignalListener(event, true);
  };

  const onUncaught = (error: unknown): void => {
    try {
      onFatal(error);
    } catch (failure) {
      diag.debug(`recording a fatal error failed: ${String(failure)}`);
    }
  };

  process.on("exit", onExit);
  process.on("uncaughtExceptionMonitor", onUncaught);
  // Also in a worker thread, which never hears a signal: to ask whether this is one takes a module and a millisecond at start.
  for (const signal of SIGNALS) if (process.listenerCount(signal) === 0) setSignalListener(signal, true);
  process.on("newListener", onNewListener);
  process.on("removeListener", onRemoveListener);

  return {
    remove() {
      isRemoved = true;
      process.removeListener("newListener", onNewListener);
      process.removeListener("removeListener", onRemoveListener);
      for (const signal of SIGNALS) process.removeListener(signal, onSignal);
      process.removeListener("exit", onExit);
      process.removeListener("uncaughtExceptionMonitor", onUncaught);
      stopTimer(survival);
    },
  };
}

function isSignal(event: string | symbol): event is Signal {
  return event === "SIGTERM" || event === "SIGINT";
}

/**
 * Sends from a thread of its own while this one sleeps: nothing else sends from an `exit` handler. The thread is started here
 * and not kept ready, since an idle one costs 10 to 20 MB; starting it takes 22 to 80 ms.
 */
class ExitSender {
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
