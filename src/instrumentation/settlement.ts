import { errorMonitor, type EventEmitter } from "node:events";
import type { Settlement } from "./operation.ts";
import type { OperationCall } from "./trace-operation.ts";

/*
 * Ways to see that a call is over without the application seeing us. In order of preference: the place where the library
 * itself settles, then the promise derived from the one the library returned. Watching a promise from the side is not
 * among them: two handlers hide the application's unhandled rejection, one that rethrows invents another.
 */

/** The function returns its result, or a native promise of it. The application gets the derived promise: same class, same fate. */
export const returned: Settlement = {
  after(call: OperationCall, result: unknown): unknown {
    // Only promises: touching `then` of a lazy query (postgres.js, query builders) would run it.
    if (!(result instanceof Promise)) {
      call.succeed(result);
      return result;
    }
    return result.then(
      (value) => {
        call.succeed(value);
        return value;
      },
      (error) => {
        call.fail(error);
        throw error;
      },
    );
  },
};

/**
 * The last argument is a Node-style callback `(error, result)`. Without one, what the function returns decides.
 * The callback runs in the caller's context, once the span has ended: what it throws is the application's own.
 */
export const callback: Settlement = {
  before(call: OperationCall): boolean {
    const last = call.args.length - 1;
    const original = call.args[last];
    if (typeof original !== "function") return false;
    call.args[last] = settlingCallback(call, original);
    return true;
  },
  after: (call, result) => (returned.after as NonNullable<Settlement["after"]>)(call, result),
};

/** `original`, preceded by the end of the call's span. Name, arity and `this` are the original's. */
export function settlingCallback(
  call: OperationCall,
  original: (...args: any[]) => unknown,
): (...args: any[]) => unknown {
  const wrapped = function (this: unknown, ...args: any[]): unknown {
    const [error, result] = args;
    if (error !== undefined && error !== null) call.fail(error);
    else call.succeed(result);
    return call.runInCaller(original, this, args);
  };
  return sameShape(wrapped, original);
}

/** The library settles an object it finds with the call, by calling one of two methods of it. */
export function libraryCallbacks(
  find: (call: OperationCall) => any,
  resolveName: string,
  rejectName: string,
): Settlement {
  return {
    before(call: OperationCall): boolean {
      const target = find(call);
      if (typeof target?.[resolveName] !== "function" || typeof target[rejectName] !== "function") return false;
      settleByMethods(call, target, resolveName, rejectName);
      return true;
    },
  };
}

/**
 * The call is over when the library calls one of two methods of `target`; nothing the application holds is touched.
 * The library goes first: what it runs of the application's there may throw, and then the call has failed.
 */
export function settleByMethods(call: OperationCall, target: any, resolveName: string, rejectName: string): void {
  const { [resolveName]: resolve, [rejectName]: reject } = target;
  const onResult = function (this: unknown, result: unknown): unknown {
    const answer = Reflect.apply(resolve, this, [result]);
    call.succeed(result);
    return answer;
  };
  const onError = function (this: unknown, error: unknown): unknown {
    const answer = Reflect.apply(reject, this, [error]);
    call.fail(error);
    return answer;
  };
  target[resolveName] = onResult;
  target[rejectName] = onError;
}

/**
 * The call is over when an emitter says so. `errorMonitor` sees errors without handling them: an ordinary listener would
 * stop the crash the application would have had. `close` comes last and alone where a stream is destroyed early.
 */
export function settleOnEvents(call: OperationCall, emitter: EventEmitter, successEvents: readonly string[]): void {
  const onSuccess = (result?: unknown): void => finish(() => call.succeed(result));
  const onError = (error: unknown): void => finish(() => call.fail(error));
  const onClose = (): void => finish(() => call.succeed());
  function finish(settle: () => void): void {
    for (const event of successEvents) emitter.removeListener(event, onSuccess);
    emitter.removeListener(errorMonitor, onError);
    emitter.removeListener("close", onClose);
    settle();
  }
  for (const event of successEvents) emitter.on(event, onSuccess);
  emitter.on(errorMonitor, onError);
  emitter.on("close", onClose);
}

/** Gives `wrapped` the name and arity of `original`. */
export function sameShape<F extends (...args: any[]) => unknown>(wrapped: F, original: (...args: any[]) => unknown): F {
  Object.defineProperty(wrapped, "length", { value: original.length, configurable: true });
  Object.defineProperty(wrapped, "name", { value: original.name, configurable: true });
  return wrapped;
}
