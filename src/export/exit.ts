import { diag } from "../diag/diag.ts";
import type { Batch } from "./batch.ts";
import type { Endpoint } from "./exchange.ts";
import type { ExitSender } from "./exit-sender.ts";
import { createExitSender } from "./exit-sender.ts";
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

/** Installed. */
export interface ExitHooks {
  /** From here on there is something to send. */
  adopt(exporting: ExitingExport | undefined): void;
  remove(): void;
}

/**
 * Sends what is pending when the process ends, however it ends: its own end, `process.exit()`, an uncaught exception, an
 * unhandled rejection, SIGTERM or SIGINT. The exit is held for `exitTimeoutMillis` at most, 0 ms when nothing is pending, and its
 * code or signal is what it would have been. A signal that the application handles is the application's.
 * `onFatal` is told of an exception that nothing catches, before the spans leave.
 */
export function installExitHooks(
  { exitTimeoutMillis }: { readonly exitTimeoutMillis: number },
  onFatal: (error: unknown) => void,
): ExitHooks {
  let exporting: ExitingExport | undefined;
  let isExiting = false;
  let sender: ExitSender | undefined;
  let survival: NodeJS.Timeout | undefined;
  let isRemoved = false;

  const flush = (): void => {
    if (exporting?.lastChance === undefined || exitTimeoutMillis === 0) return;
    sender ??= createExitSender(exporting.lastChance, exitTimeoutMillis, exporting.runOutside);
    sender.send();
  };
  /** The application's own exit handlers come after ours, and may end spans: each of those leaves at once. */
  const flushEach = (): void => {
    if (exporting?.lastChance !== undefined) exporting.lastChance.onEncoded = flush;
  };

  const onExit = (): void => {
    isExiting = true;
    flush();
    flushEach();
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
    const flushProcessors = exporting?.flushProcessors;
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
    adopt(adopted) {
      exporting = adopted;
      if (isExiting) flushEach();
    },
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
