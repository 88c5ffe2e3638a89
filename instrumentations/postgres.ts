/**
 * postgres (Postgres.js), as CommonJS and as ES modules.
 *
 * A query is a CLIENT span from the moment it is executed (awaited, `.execute()`, `.forEach()`; never by us) to the moment the
 * library settles it. When it waited a millisecond or more for a connection, that is `tracekit.db.pool_wait_ms`.
 * A transaction, by `sql.begin()` or by hand, is a span around its queries.
 *
 * Known limitations:
 * - A query that was cancelled before it was executed has no span.
 * - A cursor that is neither read to its end nor closed has no span until its connection ends.
 * - `server.address` is missing where several hosts are configured: the library does not say which one it chose.
 * - `sql.subscribe()` shows the queries that start a replication, not what arrives by it.
 */
import type { Readable } from "node:stream";
import type { SqlStatement } from "../src/capture/sql.ts";
import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import type { Operation, OperationSpan } from "../src/instrumentation/operation.ts";
import { type BoundOperation, beginOperation, type OperationCall } from "../src/instrumentation/trace-operation.ts";
import type { Tracing } from "../src/instrumentation/tracing.ts";
import {
  DB_RESPONSE_RETURNED_ROWS,
  DB_SYSTEM_NAME,
  TRACEKIT_DB_AFFECTED_ROWS,
  TRACEKIT_DB_POOL_WAIT,
} from "../src/semconv/attributes.ts";
import { AttributeBlock } from "../src/trace/attributes.ts";
import { now } from "../src/trace/clock.ts";
import type { TraceContext } from "../src/trace/context.ts";
import { KIND_CLIENT } from "../src/trace/span-kind.ts";
import { createHiddenSlot } from "./shared/hidden-slot.ts";
import { DIALECT, recordError, SYSTEM, targetBlock } from "./shared/postgresql.ts";
import { SqlTransactions } from "./shared/sql-transactions.ts";
import { isChange, recordParameters, statementBlock } from "./shared/sql.ts";

/** Below this, waiting for a connection is the library's own turn of the event loop. */
const MIN_POOL_WAIT_MILLIS = 1;

type AnyFunction = (...args: any[]) => any;

const postgres: Instrumentation = defineInstrumentation({
  name: "postgres",
  modules: [
    { name: "postgres", versions: ">=3.0.1 <4", file: "cjs/src/query.js", patch: patchQuery },
    { name: "postgres", versions: ">=3.0.1 <4", file: "src/query.js", format: "module", patch: patchQuery },
    { name: "postgres", versions: ">=3.0.1 <4", file: "cjs/src/large.js", patch: patchLargeObject },
    {
      name: "postgres",
      versions: ">=3.0.1 <4",
      file: "src/large.js",
      format: "module",
      patch: ({ default: largeObject }, kit) => patchLargeObject(largeObject, kit),
    },
  ],
});
export default postgres;

/** One execution of a query. The query itself is a promise that only the application may touch. */
class Execution {
  readonly caller: TraceContext;
  readonly startMillis: number;
  /** False below an unsampled parent: the application's functions still run in its context. */
  readonly isRecorded: boolean;
  /** Once the query is built, which is when it is sent. */
  call: OperationCall<Execution> | undefined = undefined;
  sql: SqlStatement | undefined = undefined;
  /** Rows the application was given one by one, or in parts; -1: the result has them all. */
  streamedRows = -1;
  // The functions of ours that stand in the query's fields now.
  resolve: unknown = undefined;
  reject: unknown = undefined;
  forEachFn: unknown = undefined;
  cursorFn: unknown = undefined;

  constructor(caller: TraceContext, startMillis: number, isRecorded: boolean) {
    this.caller = caller;
    this.startMillis = startMillis;
    this.isRecorded = isRecorded;
  }
}

const executions = createHiddenSlot<Execution>();

/** What the settling of a query needs: one for all queries of a kit. */
interface Bound {
  readonly kit: Kit;
  readonly query: BoundOperation<unknown, Execution>;
  readonly transactions: SqlTransactions;
}

function patchQuery({ Query }: any, kit: Kit): void {
  const { owner, tracing } = kit;
  const bound: Bound = { kit, query: kit.bind(queryOperation), transactions: new SqlTransactions(kit) };

  // All ways to execute a query lead here, and some lead here again and again.
  kit.wrap(
    Query.prototype,
    "handle",
    (original) =>
      function handle(this: any): any {
        try {
          let execution = executions.get(this);
          if (execution === undefined && !this.executed && owner.enabled && isApplications(this)) {
            const caller = tracing.active();
            execution = new Execution(caller, now(), !caller.suppressed && !tracing.declines(caller));
            executions.set(this, execution);
          }
          if (execution !== undefined) watch(this, execution, bound);
        } catch (error) {
          owner.disable("postgres Query.handle", error);
        }
        return Reflect.apply(original, this, []);
      },
  );

  // Assigned when the query goes to a connection, after its text, and before the parameters are replaced by what is sent.
  Object.defineProperty(Query.prototype, "parameters", {
    get: () => undefined,
    set(this: any, parameters: unknown) {
      Object.defineProperty(this, "parameters", {
        value: parameters,
        configurable: true,
        enumerable: true,
        writable: true,
      });
      const execution = executions.get(this);
      if (execution === undefined || !execution.isRecorded) return;
      try {
        begin(this, parameters, execution, bound);
      } catch (error) {
        owner.disable("postgres Query, parameters", error);
      }
    },
    configurable: true,
    enumerable: false,
  });
}

/** The library asks the server for its types, and for its state, with queries of its own: nobody can cancel those. */
function isApplications(query: any): boolean {
  return typeof query.canceller === "function";
}

/** Has us called where the library settles the query, and the application's functions in the application's context. */
function watch(query: any, execution: Execution, bound: Bound): void {
  const { tracing } = bound.kit;
  const { forEachFn, cursorFn } = query;
  if (typeof forEachFn === "function" && forEachFn !== execution.forEachFn) {
    execution.streamedRows = Math.max(execution.streamedRows, 0);
    const onRow = function (this: unknown, row: unknown, result: unknown): unknown {
      execution.streamedRows++;
      return tracing.run(execution.caller, forEachFn, this, [row, result]);
    };
    execution.forEachFn = query.forEachFn = onRow;
  }
  if (typeof cursorFn === "function" && cursorFn !== execution.cursorFn) {
    execution.streamedRows = Math.max(execution.streamedRows, 0);
    const onRows = function (this: unknown, rows: unknown): unknown {
      if (Array.isArray(rows)) execution.streamedRows += rows.length;
      return tracing.run(execution.caller, cursorFn, this, [rows]);
    };
    execution.cursorFn = query.cursorFn = onRows;
  }
  if (!execution.isRecorded) return;
  // An iterated cursor has new ones for every part.
  const { resolve, reject } = query;
  if (resolve !== execution.resolve) {
    const onResult = function (this: unknown, result: unknown): unknown {
      const answer = Reflect.apply(resolve, this, [result]);
      try {
        succeed(query, execution, result, bound);
      } catch (ours) {
        bound.kit.owner.disable("postgres Query.resolve", ours);
      }
      return answer;
    };
    execution.resolve = query.resolve = onResult;
  }
  if (reject !== execution.reject) {
    const onError = function (this: unknown, error: unknown): unknown {
      const answer = Reflect.apply(reject, this, [error]);
      try {
        fail(query, execution, error, bound);
      } catch (ours) {
        bound.kit.owner.disable("postgres Query.reject", ours);
      }
      return answer;
    };
    execution.reject = query.reject = onError;
  }
}

/** The query is on its way. */
function begin(query: any, parameters: unknown, execution: Execution, bound: Bound): void {
  const { caller, startMillis } = execution;
  const { kit, transactions } = bound;
  execution.sql = kit.capture.sql(query.string, DIALECT);
  const target = targetOf(query);
  const parent = transactions.parentOf(query.state, execution.sql, target?.block, caller, startMillis);
  execution.call = beginOperation(bound.query, query, [parameters, target], execution, parent, startMillis);
  transactions.join(query.state, execution.call);
}

function succeed(query: any, execution: Execution, result: unknown, { kit, transactions }: Bound): void {
  const { call, sql, caller } = execution;
  if (isStream(result)) {
    // Data for COPY is still to come, and then the library settles the query once more.
    if (typeof result.push === "function") runIn(kit.tracing, caller, result, "push");
    if (result.writable === true && result.readable === true) call?.succeed();
    else if (result.readable === true) result.once("close", () => result.readableEnded || call?.succeed());
    return;
  }
  call?.succeed(result);
  if (sql !== undefined)
    transactions.succeeded(query.state, sql, (result as { command?: unknown } | undefined)?.command);
}

function fail(query: any, execution: Execution, error: unknown, bound: Bound): void {
  const { caller, startMillis } = execution;
  // Without a connection it was never sent.
  execution.call ??= beginOperation(bound.query, query, [undefined, targetOf(query)], execution, caller, startMillis);
  execution.call?.fail(error);
  if (query.state) bound.transactions.failed(query.state, execution.sql, error, isConnectionLost(error));
}

const queryOperation: Operation<unknown, Execution> = {
  title: "postgres query",
  kind: KIND_CLIENT,
  leaf: true,
  start(span, call, capture) {
    const { self: query, state: execution } = call;
    const [parameters, target] = call.args as [unknown, Target | undefined];
    const sql = (execution.sql ??= capture.sql(writtenText(query), DIALECT));
    span.name = sql.summary === "" ? SYSTEM : sql.summary;
    span.attributeBlock(target?.block ?? UNKNOWN_TARGET);
    // A file that cannot be read has no text.
    if (sql.text !== "") span.attributeBlock(statementBlock(sql));
    if (Array.isArray(parameters) && capture.sqlParameters) recordParameters(span, sql, parameters, capture);
    // In a transaction the connection is there already; a query that was never sent is still waiting.
    if (parameters === undefined || target === undefined || !senders.has(query.handler)) return;
    const waited = now() - execution.startMillis + target.reserveMillis;
    target.reserveMillis = 0;
    if (waited >= MIN_POOL_WAIT_MILLIS) span.attribute(TRACEKIT_DB_POOL_WAIT, Math.round(waited * 1000) / 1000);
  },
  finish(span, result, call) {
    recordRows(span, result, call.state.streamedRows);
  },
  fail(span, error, call, capture) {
    recordError(span, error, call.state.sql, capture);
  },
};

const connectOperation: Operation<unknown, AttributeBlock> = {
  title: "postgres.connect",
  kind: KIND_CLIENT,
  leaf: true,
  start(span, call) {
    span.attributeBlock(call.state);
  },
  fail(span, error, _call, capture) {
    recordError(span, error, undefined, capture);
  },
};

/** The statement of a query; of one that was never built, with `?` for what only the library can write. */
function writtenText({ string, strings, args }: any): string {
  if (typeof string === "string") return string;
  if (!Array.isArray(strings)) return "";
  let text = String(strings[0] ?? "");
  for (let index = 1; index < strings.length; index++) {
    const value = args?.[index - 1];
    text += Array.isArray(value?.strings) ? writtenText(value) : "?";
    text += strings[index];
  }
  return text;
}

/** CONNECTION_CLOSED, CONNECT_TIMEOUT, what the socket says, and the server's last words. */
function isConnectionLost(error: any): boolean {
  if (error?.severity === "FATAL") return true;
  return typeof error?.code === "string" && (/^CONNECT(?:ION)?_/.test(error.code) || error.syscall !== undefined);
}

function isStream(result: any): result is Readable & { writable?: boolean } {
  return typeof result?.on === "function" && typeof result.pipe === "function";
}

/** What a method of the library's object calls runs in `context`, not in that of whoever opened the connection. */
function runIn(tracing: Tracing, context: TraceContext, object: any, method: string): void {
  const original: AnyFunction = object[method];
  Object.defineProperty(object, method, {
    value: (...args: unknown[]) => tracing.run(context, original, object, args),
    configurable: true,
    enumerable: false,
    writable: true,
  });
}

// What comes back.

/** A result, or one for each statement of a text that holds several, or the description of a statement. */
function recordRows(span: OperationSpan, result: unknown, streamedRows: number): void {
  let returned = -1;
  let affected = -1;
  const isList = Array.isArray(result) && (result as { command?: unknown }).command === undefined;
  for (const each of isList ? result : [result]) {
    if (!Array.isArray(each)) continue;
    const { command, columns, count } = each as any;
    // Up to 3.0.6 a simple query's result has none.
    const hasColumns = columns?.length > 0 || command === "SELECT";
    if (hasColumns) returned = Math.max(returned, 0) + (each.length > 0 ? each.length : (count ?? 0));
    if (typeof count === "number" && isChange(command, hasColumns)) affected = Math.max(affected, 0) + count;
  }
  if (streamedRows !== -1) returned = streamedRows;
  if (returned !== -1) span.attribute(DB_RESPONSE_RETURNED_ROWS, returned);
  if (affected !== -1) span.attribute(TRACEKIT_DB_AFFECTED_ROWS, affected);
}

// Where a query goes.

/** Server and database of one `postgres()`, or of a connection reserved from it. */
interface Target {
  readonly block: AttributeBlock;
  /** How long its holder waited for the reserved connection; 0 once a query has said so. */
  reserveMillis: number;
}

const UNKNOWN_TARGET = new AttributeBlock({ [DB_SYSTEM_NAME]: SYSTEM });

/** By the function that sends a query: one for each `sql`. */
const senders = new WeakMap<object, { target: Target | undefined; readonly sql: any }>();
/** By the connection, as far as a query shows it. */
const connections = new WeakMap<object, Target>();

function targetOf({ handler, state }: any): Target | undefined {
  const sender = senders.get(handler);
  // Transactions have a sender of their own, and a connection on which BEGIN was sent by one we know.
  if (sender === undefined) return state ? connections.get(state) : undefined;
  sender.target ??= { block: targetOfOptions(sender.sql.options), reserveMillis: 0 };
  if (state && !connections.has(state)) connections.set(state, sender.target);
  return sender.target;
}

function targetOfOptions({ host, port, path, database }: any): AttributeBlock {
  if (typeof path === "string") return targetBlock(path.replace(/\/\.s\.PGSQL\.\d+$/, ""), port?.[0], database);
  return targetBlock(host?.length === 1 ? host[0] : undefined, port?.[0], database);
}

/**
 * Queries do not say where they go, and neither can the function that makes an `sql` be replaced (importers of an ES module
 * hold on to the original), nor the one that makes connections. But each `sql` gets a `largeObject` bound to it, and a function's
 * `bind` can be replaced.
 */
function patchLargeObject(largeObject: any, kit: Kit): void {
  const boundConnect = kit.bind(connectOperation);
  Object.defineProperty(largeObject, "bind", {
    value: function bind(this: AnyFunction, self: unknown, sql: any): unknown {
      try {
        if (typeof sql === "function") observe(sql, kit, boundConnect);
      } catch (error) {
        kit.owner.disable("postgres()", error);
      }
      return Function.prototype.bind.call(this, self, sql);
    },
    configurable: true,
    enumerable: false,
    writable: true,
  });
}

function observe(sql: any, kit: Kit, boundConnect: BoundOperation<unknown, AttributeBlock>): void {
  const sender = { target: undefined, sql };
  senders.set(senderOf(sql), sender);
  // The last of what `sql` is given at its making, in every version: then it has the rest.
  Object.defineProperty(sql, "end", {
    set(end: unknown) {
      delete sql.end;
      sql.end = end;
      try {
        patchSql(sql, sender, kit, boundConnect);
      } catch (error) {
        kit.owner.disable("postgres()", error);
      }
    },
    configurable: true,
    enumerable: true,
  });
}

function patchSql(
  sql: any,
  sender: { target: Target | undefined; readonly sql: any },
  kit: Kit,
  boundConnect: BoundOperation<unknown, AttributeBlock>,
): void {
  const { owner, tracing } = kit;

  // Each file is sent by a function of its own.
  kit.wrap(
    sql,
    "file",
    (original) =>
      function file(this: unknown): any {
        const query = Reflect.apply(original, this, arguments);
        if (owner.enabled && typeof query?.handler === "function") senders.set(query.handler, sender);
        return query;
      },
  );

  // All listeners of a process share a connection, and its events would run in the context of whoever listened first.
  // A proxy, because the library keeps them in properties of the function.
  sql.listen = new Proxy(sql.listen, {
    apply(listen, self, args) {
      if (!owner.enabled) return Reflect.apply(listen, self, args);
      const caller = tracing.active();
      const [name, fn, onlisten] = args;
      return Reflect.apply(listen, self, [name, inContext(tracing, caller, fn), inContext(tracing, caller, onlisten)]);
    },
  });

  // Queries on a reserved connection are sent by a function of its own.
  kit.wrap(
    sql,
    "reserve",
    (original) =>
      function reserve(this: unknown): any {
        if (!owner.enabled) return Reflect.apply(original, this, arguments);
        const caller = tracing.active();
        const startMillis = now();
        return Reflect.apply(original, this, arguments).then(
          (reserved: any) => {
            try {
              const block = targetOfOptions(sql.options);
              const waited = now() - startMillis;
              const target = { block, reserveMillis: waited < MIN_POOL_WAIT_MILLIS ? 0 : waited };
              senders.set(senderOf(reserved), { target, sql });
            } catch (error) {
              owner.disable("postgres sql.reserve", error);
            }
            return reserved;
          },
          (error: unknown) => {
            beginOperation(boundConnect, sql, [], targetOfOptions(sql.options), caller, startMillis)?.fail(error);
            throw error;
          },
        );
      },
  );
}

/** Of a query that is never executed. Not a tagged one: those are remembered for good. */
function senderOf(sql: any): object {
  return sql.unsafe("").handler;
}

function inContext(tracing: Tracing, context: TraceContext, fn: unknown): unknown {
  if (typeof fn !== "function") return fn;
  return function (this: unknown, ...args: unknown[]): unknown {
    return tracing.run(context, fn as AnyFunction, this, args);
  };
}
