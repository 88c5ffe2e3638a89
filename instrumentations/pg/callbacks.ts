import type { Kit } from "../../src/instrumentation/kit.ts";
import type { Tracing } from "../../src/instrumentation/tracing.ts";
import type { TraceContext } from "../../src/trace/context.ts";

/** A function of the library or of the application. */
export type AnyFunction = (...args: any[]) => any;

/** `callback`, run in `context`. */
export function bindTo(tracing: Tracing, context: TraceContext, callback: AnyFunction): AnyFunction {
  return function (this: unknown, ...args: unknown[]): unknown {
    return tracing.run(context, callback, this, args);
  };
}

/**
 * Calls `original`; `onSettled` hears of the outcome just before `callback` (in `caller`) does, or whoever has the promise.
 * `caller` undefined: `callback` finds its context itself.
 */
export function observed(
  { owner, tracing }: Kit,
  original: AnyFunction,
  self: unknown,
  callback: AnyFunction | undefined,
  caller: TraceContext | undefined,
  onSettled: (failed: boolean, outcome: unknown) => void,
): unknown {
  let isSettled = false;
  const safelyOnce = (failed: boolean, outcome: unknown): void => {
    if (isSettled) return;
    isSettled = true;
    try {
      onSettled(failed, outcome);
    } catch (error) {
      owner.disable("pg connect", error);
    }
  };
  if (callback) {
    const ours = function (this: unknown, ...outcome: unknown[]): unknown {
      safelyOnce(Boolean(outcome[0]), outcome[0] || outcome[1]);
      return caller === undefined
        ? Reflect.apply(callback, this, outcome)
        : tracing.run(caller, callback, this, outcome);
    };
    return Reflect.apply(original, self, [ours]);
  }
  const promise: any = Reflect.apply(original, self, []);
  return promise.then(
    (result: unknown) => {
      safelyOnce(false, result);
      return result;
    },
    (error: unknown) => {
      safelyOnce(true, error);
      throw error;
    },
  );
}
