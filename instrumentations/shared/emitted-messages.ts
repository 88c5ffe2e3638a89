import { EventEmitter } from "node:events";
import type { OperationCall } from "../../src/instrumentation/trace-operation.ts";

/*
 * Messages that arrive as events: their span lasts until the last async listener is done.
 */

/** One message and those who still work on it. Whoever makes it holds it once. */
export class Delivery {
  private readonly call: OperationCall;
  private holders = 1;

  constructor(call: OperationCall) {
    this.call = call;
  }

  hold(): void {
    this.holders++;
  }

  release(): void {
    if (--this.holders === 0) this.call.succeed();
  }

  fail(error: unknown): void {
    this.call.fail(error);
  }
}

/**
 * Emits as Node does, but sees the promises of async listeners, on which `delivery` then waits. Only promises of async
 * functions are watched, because nobody but the emitter has those: the rejection that follows ours is the one the
 * application would have had. `original` is the emitter's own `emit`, `args` begin with the event's name.
 */
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
    const returned: unknown = Reflect.apply(listener, emitter, values);
    if (returned instanceof Promise && isAsync(listener as () => unknown)) watch(returned, delivery);
  }
  return listeners.length > 0;
}

function watch(promise: Promise<unknown>, delivery: Delivery): void {
  delivery.hold();
  void promise.then(
    () => delivery.release(),
    (error: unknown) => {
      delivery.fail(error);
      throw error;
    },
  );
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
