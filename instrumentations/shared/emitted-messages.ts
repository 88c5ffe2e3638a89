import { EventEmitter } from "node:events";
import type { OperationCall } from "../../src/instrumentation/trace-operation.ts";

/*
 * Messages that arrive as events: their span lasts until the last async listener is done.
 */

/** One message and those who still work on it; the span lasts until the last of them has released it. Whoever makes it is one. */
export class Delivery {
  private readonly call: OperationCall;
  private open = 1;

  constructor(call: OperationCall) {
    this.call = call;
  }

  /** One more works on it. */
  hold(): void {
    this.open++;
  }

  release(): void {
    if (--this.open === 0) this.call.succeed();
  }

  fail(error: unknown): void {
    this.call.fail(error);
  }

  /**
   * The promise of an async listener works on it, too. Only promises of async functions are watched, because nobody but their
   * caller has those: the rejection that follows ours is the one the application would have had.
   */
  watch(listener: () => unknown, returned: unknown): void {
    if (!(returned instanceof Promise) || !isAsync(listener)) return;
    this.hold();
    void returned.then(
      () => this.release(),
      (error: unknown) => {
        this.fail(error);
        throw error;
      },
    );
  }
}

/** Emits as Node does, but `delivery` sees what listeners return. `original` is the emitter's own; `args` begin with the event. */
export function emitDelivery(
  emitter: EventEmitter,
  args: readonly unknown[],
  original: (...args: any[]) => unknown,
  delivery: Delivery,
): unknown {
  if (EventEmitter.captureRejections || (process as { domain?: unknown }).domain) {
    return Reflect.apply(original, emitter, args);
  }
  const listeners = emitter.rawListeners(args[0] as string);
  const values = args.slice(1);
  for (const listener of listeners) {
    delivery.watch(listener as () => unknown, Reflect.apply(listener, emitter, values));
  }
  return listeners.length > 0;
}

const AsyncFunction = (async () => {}).constructor;

/** What `once` makes of a listener: another function on Node 24 than before. */
const onceWrapper = new EventEmitter().once("message", () => {}).rawListeners("message")[0] as () => unknown;
const onceSource = onceWrapper.toString();

/** Is this an async function, or Node's `once` around one? */
function isAsync(listener: () => unknown): boolean {
  if (listener instanceof AsyncFunction) return true;
  const inner: unknown = (listener as { listener?: unknown }).listener;
  return inner instanceof AsyncFunction && listener.name === onceWrapper.name && listener.toString() === onceSource;
}
