import type { OperationCall } from "../../src/instrumentation/trace-operation.ts";
import type { Tracing } from "../../src/instrumentation/tracing.ts";
import type { TraceContext } from "../../src/trace/context.ts";
import { type AnyFunction, bindTo } from "./callbacks.ts";
import type { QueryState } from "./operations.ts";

/**
 * The client tells a submittable what arrives by calling its handlers, whatever class it is of: that is where we listen, and
 * where the submittable's own listeners and callbacks find the context of whoever sent it.
 */
export function watchSubmittable(
  submittable: any,
  tracing: Tracing,
  caller: TraceContext,
  call: OperationCall<QueryState> | undefined,
): void {
  const isNative = typeof submittable.handleReadyForQuery !== "function";
  replaceHandler(submittable, "handleError", (original) => {
    return function (this: any, ...args: unknown[]): unknown {
      if (isNative) {
        // The error has its SQLSTATE only then.
        try {
          return tracing.run(caller, original, this, args);
        } finally {
          call?.fail(args[0]);
        }
      }
      // A row that could not be parsed is what the application is told about.
      call?.fail(this._canceledDueToError || args[0]);
      return tracing.run(caller, original, this, args);
    };
  });
  replaceHandler(submittable, "handleReadyForQuery", (original) => {
    return function (this: any, ...args: unknown[]): unknown {
      // pg goes on to `handleError` in this case.
      if (!this._canceledDueToError) call?.succeed(this._results ?? this._result ?? this);
      return tracing.run(caller, original, this, args);
    };
  });
  replaceHandler(submittable, "handlePortalSuspended", (original) => bindTo(tracing, caller, original));
  if (call === undefined) return;
  if (isNative) {
    // Its queries know no handlers but that for errors.
    if (typeof submittable.once === "function") submittable.once("end", (results: unknown) => call.succeed(results));
    else call.succeed();
    return;
  }
  let runsInCaller: boolean | undefined;
  replaceHandler(submittable, "handleDataRow", (original) => {
    call.state.streamedRows = 0;
    return function (this: any, message: unknown): unknown {
      call.state.streamedRows++;
      // Only a listener for rows would notice the context, and there may be millions of rows.
      runsInCaller ??= typeof this.listenerCount === "function" && this.listenerCount("row") > 0;
      return runsInCaller ? tracing.run(caller, original, this, [message]) : Reflect.apply(original, this, [message]);
    };
  });
}

function replaceHandler(submittable: any, name: string, wrap: (original: AnyFunction) => AnyFunction): boolean {
  const original: unknown = submittable[name];
  if (typeof original !== "function") return false;
  const isEnumerable = Object.prototype.propertyIsEnumerable.call(submittable, name);
  Object.defineProperty(submittable, name, {
    value: wrap(original as AnyFunction),
    configurable: true,
    enumerable: isEnumerable,
    writable: true,
  });
  return true;
}
