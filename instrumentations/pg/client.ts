import type { Kit, Wrapper } from "../../src/instrumentation/kit.ts";
import { beginOperation, type OperationCall } from "../../src/instrumentation/trace-operation.ts";
import { now } from "../../src/trace/clock.ts";
import { ROOT_CONTEXT, type TraceContext } from "../../src/trace/context.ts";
import { mayBegin } from "../shared/sql-transactions.ts";
import { type AnyFunction, observed } from "./callbacks.ts";
import { connectionOf, isConnectedByPool, transactionsOf, watchEnd } from "./connection.ts";
import { connectOperation, queryOperation, QueryState, textOf } from "./operations.ts";
import { watchSubmittable } from "./submittable.ts";

/** For a class Client, native or not. */
export function clientWrappers(Client: any, kit: Kit): Record<"query" | "connect" | "_handleNotification", Wrapper> {
  const { owner, tracing } = kit;
  const transactions = transactionsOf(kit);
  const bound = kit.bind(queryOperation);
  const boundConnect = kit.bind(connectOperation);
  const writesToConfig = isConfigWritten(Client.Query);

  /** Where a transaction is open, or this query may begin one: the context the query is to be started in. */
  function withinTransaction(client: any, config: any, state: QueryState, caller: TraceContext): TraceContext {
    const text = textOf(client, config);
    if (caller.suppressed || tracing.declines(caller) || typeof text !== "string") return caller;
    state.transactions = transactions;
    const { connection } = state;
    const context = transactions.parentOf(connection, kit.capture.sql(text), connection.block, caller, now());
    if (context !== caller) watchEnd(client, connection, transactions);
    return context;
  }

  const wrapQuery: Wrapper = (original) => {
    // Newer versions (8.11.3, not yet 8.11.0) replace the stack of a rejected query by one that leads to the caller.
    const showsCaller = String(original).includes("captureStackTrace");
    return function query(this: any, config: any, values?: any, callback?: any): any {
      if (!owner.enabled || config === null || (typeof config !== "string" && typeof config !== "object")) {
        return Reflect.apply(original, this, arguments);
      }
      let caller: TraceContext;
      let call: OperationCall<QueryState> | undefined;
      let theirs: unknown;
      let isSubmittable = false;
      let isQueriedByPool = false;
      try {
        const connection = connectionOf(this);
        isQueriedByPool = connection.poolQuery === config;
        caller = (isQueriedByPool ? connection.poolCaller : undefined) ?? tracing.active();
        connection.poolQuery = connection.poolCaller = undefined;
        isSubmittable = typeof config.submit === "function";
        if (!isSubmittable) theirs = findCallback(config, values, callback);
        const state = new QueryState(connection);
        const isTransacting =
          transactions.openCount !== 0 || mayBegin(typeof config === "string" ? config : config.text);
        const parent = isTransacting ? withinTransaction(this, config, state, caller) : caller;
        call = beginOperation(bound, this, [config, values], state, parent);
        if (isTransacting && parent === caller) transactions.join(connection, call);
        if (isSubmittable) watchSubmittable(config, tracing, caller, call);
      } catch (error) {
        owner.disable("pg Client.query, arguments", error);
        call?.succeed();
        return Reflect.apply(original, this, arguments);
      }
      // What is no function is for pg to complain about. What runs in the pool's own callback finds its context itself.
      if (isSubmittable || (theirs && !isQueriedByPool ? typeof theirs !== "function" : call === undefined)) {
        try {
          return Reflect.apply(original, this, arguments);
        } catch (error) {
          call?.fail(error);
          throw error;
        }
      }

      let result: any;
      let ours: AnyFunction;
      if (theirs) {
        const callTheirs = theirs as AnyFunction;
        ours = function (this: unknown, error: unknown, value: unknown): unknown {
          settle(call, error, value);
          // To enter a context copies all stores of the application, twice.
          if (isQueriedByPool) return Reflect.apply(callTheirs, this, arguments);
          return tracing.run(caller, callTheirs, this, [...arguments]);
        };
      } else {
        // The promise pg would have made around a callback of its own, so that the application's costs no further turn.
        let settlePromise!: AnyFunction;
        result = new this._Promise((resolve: AnyFunction, reject: AnyFunction) => {
          settlePromise = (error: unknown, value: unknown): void => {
            if (error && showsCaller) return reject(error);
            settle(call, error, value);
            return error ? reject(error) : resolve(value);
          };
        });
        ours = settlePromise;
        if (showsCaller) {
          result = result.catch(function onRejected(error: any): never {
            try {
              Error.captureStackTrace(error, onRejected);
            } finally {
              call?.fail(error);
            }
            throw error;
          });
        }
      }
      const bindings = typeof values === "function" ? undefined : values;
      try {
        const returned =
          writesToConfig && typeof config === "object"
            ? Reflect.apply(original, this, [withCallback(config, ours), bindings])
            : Reflect.apply(original, this, [config, bindings, ours]);
        return theirs ? returned : result;
      } catch (error) {
        call?.fail(error);
        throw error;
      }
    };
  };

  // It belongs to no request of this process, least of all to the one that happened to open the connection.
  const wrapHandleNotification: Wrapper = (original) =>
    function _handleNotification(this: any, message: any): any {
      return tracing.run(ROOT_CONTEXT, original, this, [message]);
    };

  const wrapConnect: Wrapper = (original) =>
    function connect(this: any, callback?: any): any {
      if (isConnectedByPool(this) || !owner.enabled || (callback && typeof callback !== "function")) {
        return Reflect.apply(original, this, arguments);
      }
      const caller = tracing.active();
      const startMillis = now();
      return observed(kit, original, this, callback, caller, (failed, outcome) => {
        // Outside of a trace, that a connection was made is not worth one.
        if (!failed && caller.span === undefined) return;
        const call = beginOperation(boundConnect, this, [], connectionOf(this).block, caller, startMillis);
        if (failed) call?.fail(outcome);
        else call?.succeed();
      });
    };

  return { query: wrapQuery, _handleNotification: wrapHandleNotification, connect: wrapConnect };
}

function settle(call: OperationCall | undefined, error: unknown, result: unknown): void {
  if (call === undefined) return;
  if (error) call.fail(error);
  else call.succeed(result);
}

/** As pg looks for it: the last argument, else the second, else the config's. */
function findCallback(config: any, values: unknown, callback: unknown): unknown {
  if (callback) return callback;
  if (typeof values === "function") return values;
  return typeof config === "string" ? undefined : config.callback;
}

/** Up to 8.23.0 pg writes the arguments of `query()` into the application's config. */
function isConfigWritten(Query: any): boolean {
  const config = { text: "" };
  Reflect.construct(Query, [config, undefined, () => {}]);
  return "callback" in config;
}

/** All that these versions read of a config. Nothing that inherits from it: a getter may depend on private fields. */
function withCallback(config: any, callback: AnyFunction): object {
  const { text, values, name, rows, rowMode, types, binary, portal, queryMode, query_timeout } = config;
  return { text, values, name, rows, rowMode, types, binary, portal, queryMode, query_timeout, callback };
}
