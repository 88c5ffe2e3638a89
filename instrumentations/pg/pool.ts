import type { Kit, Wrapper } from "../../src/instrumentation/kit.ts";
import { beginOperation } from "../../src/instrumentation/trace-operation.ts";
import { now } from "../../src/trace/clock.ts";
import { bindTo, observed } from "./callbacks.ts";
import { connectingFor, connectionOf, poolBlock, transactionsOf } from "./connection.ts";
import { connectOperation } from "./operations.ts";

/** Below this, waiting for a connection is the pool's own turn of the event loop. */
const MIN_POOL_WAIT_MILLIS = 1;

/** For pg-pool: waits are told to the first query, refusals are spans, callbacks find their way back. */
export function poolWrappers(kit: Kit): Record<"connect" | "query" | "newClient" | "_release", Wrapper> {
  const { owner, tracing } = kit;
  const bound = kit.bind(connectOperation);
  const transactions = transactionsOf(kit);
  /** What `pool.query()` was given, until it has asked for a connection. */
  let querying: unknown;

  // A checkout waits in a queue that other requests work off: its callback has to find its way back. For a promise
  // `await` does that.
  const wrapConnect: Wrapper = (original) =>
    function connect(this: any, callback?: any): any {
      const poolQuery = querying;
      querying = undefined;
      if (!owner.enabled || (callback && typeof callback !== "function")) {
        return Reflect.apply(original, this, arguments);
      }
      const caller = tracing.active();
      const isIdle = hasIdleClient(this);
      const startMillis = isIdle ? undefined : now();
      const onSettled = (failed: boolean, outcome: unknown): void => {
        if (failed) {
          beginOperation(bound, this, [], poolBlock(this), caller, startMillis)?.fail(outcome);
          return;
        }
        const waited = startMillis === undefined ? 0 : now() - startMillis;
        const connection = connectionOf(outcome);
        connection.poolWaitMillis = waited < MIN_POOL_WAIT_MILLIS ? 0 : waited;
        if (poolQuery === undefined) return;
        connection.poolQuery = poolQuery;
        connection.poolCaller = caller;
      };
      // With an idle client it is called in this turn, where it was made; and `query()` is told whose query it is.
      const isInPlace = isIdle && poolQuery !== undefined;
      return observed(kit, original, this, callback, isInPlace ? undefined : caller, onSettled);
    };

  // pg-pool calls back from the socket's context when a connection breaks in mid-query.
  const wrapQuery: Wrapper = (original) =>
    function query(this: any, text: any, values?: any, callback?: any): any {
      if (!owner.enabled) return Reflect.apply(original, this, arguments);
      querying = text;
      try {
        if (typeof values === "function") {
          return Reflect.apply(original, this, [text, bindTo(tracing, tracing.active(), values)]);
        }
        if (typeof callback === "function") {
          return Reflect.apply(original, this, [text, values, bindTo(tracing, tracing.active(), callback)]);
        }
        return Reflect.apply(original, this, arguments);
      } finally {
        querying = undefined;
      }
    };

  const wrapNewClient: Wrapper = (original) =>
    function newClient(this: any): any {
      return connectingFor(this, original, arguments);
    };

  const wrapRelease: Wrapper = (original) =>
    function _release(this: any, client: any): any {
      if (transactions.openCount !== 0) {
        try {
          transactions.abandoned(connectionOf(client));
        } catch (error) {
          owner.disable("pg-pool release", error);
        }
      }
      return Reflect.apply(original, this, arguments);
    };

  return { connect: wrapConnect, query: wrapQuery, newClient: wrapNewClient, _release: wrapRelease };
}

/** The pool hands it out in this turn of the event loop: nobody waits, and no clock is read. */
function hasIdleClient(pool: any): boolean {
  return pool?.idleCount > pool?.waitingCount;
}
