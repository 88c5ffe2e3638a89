/**
 * pg (Client, native Client, any Submittable) and pg-pool.
 *
 * A query is a CLIENT span from `client.query()` to the moment pg settles it, so it includes the time a query waits behind
 * others on its connection. The wait for a pooled connection, when it was a millisecond or more, is
 * `tracekit.db.pool_wait_ms` on the first query after the checkout. `pg.connect` is a span of its own where no query could
 * tell: when the pool or the server refuses, and when the application connects a client without a pool within a trace.
 *
 * Known limitations:
 * - A query that pg never settles (removed by `client.cancel()`, or its callback dropped) has no span.
 * - A cursor or stream that is neither read to its end nor closed has no span until its connection ends.
 * - Bound parameters are read when `query()` is called; an object with `toPostgres` is named, not converted twice.
 * - Up to 8.23.0 pg writes `values` and `callback` into the config object it is given. Traced, it leaves it alone, as later
 *   versions do.
 */
import type { Capture } from "../src/capture/capture.ts";
import { cutToBytes } from "../src/capture/cut.ts";
import { REDACTED } from "../src/capture/span.ts";
import type { SqlStatement } from "../src/capture/sql.ts";
import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import type { Operation, OperationSpan } from "../src/instrumentation/operation.ts";
import { beginOperation, type OperationCall, recordFailure } from "../src/instrumentation/trace-operation.ts";
import type { Tracing } from "../src/instrumentation/tracing.ts";
import {
  DB_NAMESPACE,
  DB_QUERY_PARAMETER_PREFIX,
  DB_QUERY_SUMMARY,
  DB_QUERY_TEXT,
  DB_RESPONSE_RETURNED_ROWS,
  DB_RESPONSE_STATUS_CODE,
  DB_SYSTEM_NAME,
  SERVER_ADDRESS,
  SERVER_PORT,
  TRACEKIT_DB_AFFECTED_ROWS,
  TRACEKIT_DB_OMITTED_PARAMETERS,
  TRACEKIT_DB_POOL_WAIT,
  TRACEKIT_DB_STATEMENT_NAME,
} from "../src/semconv/attributes.ts";
import { AttributeBlock } from "../src/trace/attributes.ts";
import { now } from "../src/trace/clock.ts";
import type { TraceContext } from "../src/trace/context.ts";
import { KIND_CLIENT } from "../src/trace/tracer.ts";

const SYSTEM = "postgresql";
const DEFAULT_PORT = 5432;
/** Below this, waiting for a connection is the pool's own turn of the event loop. */
const MIN_POOL_WAIT_MILLIS = 1;
/** Span limits allow 128 attributes by default; a bulk insert binds up to 65 535 parameters. */
const MAX_PARAMETERS = 100;
/** PostgreSQL cuts longer names itself. */
const MAX_STATEMENT_NAME = 63;

type AnyFunction = (...args: any[]) => any;

const pg: Instrumentation = defineInstrumentation({
  name: "pg",
  modules: [
    { name: "pg", versions: ">=8.0.3 <9", file: "lib/client.js", patch: patchClient },
    { name: "pg", versions: ">=8.0.3 <9", file: "lib/native/client.js", patch: patchClient },
    { name: "pg-pool", versions: ">=2 <4", file: "index.js", patch: patchPool },
  ],
});
export default pg;

/** The pool for which a client is being connected right now, synchronously. */
let connectingPool: object | undefined;
/** Server and database of a pool, from the last client it made. */
const poolBlocks = new WeakMap<object, AttributeBlock>();

function patchClient(Client: any, kit: Kit): void {
  const { owner, tracing } = kit;
  const bound = kit.bind(queryOperation);
  const boundConnect = kit.bind(connectOperation);
  // Newer versions (8.11.3, not yet 8.11.0) replace the stack of a rejected query by one that leads to the caller.
  const showsCaller = String(Client.prototype.query).includes("captureStackTrace");
  const writesToConfig = isConfigWritten(Client.Query);

  kit.wrap(
    Client.prototype,
    "query",
    (original) =>
      function query(this: any, config: any, values?: any, callback?: any): any {
        if (!owner.enabled || config === null || (typeof config !== "string" && typeof config !== "object")) {
          return Reflect.apply(original, this, arguments);
        }
        const caller = tracing.active();
        let call: OperationCall<QueryState> | undefined;
        let theirs: unknown;
        let isSubmittable = false;
        try {
          isSubmittable = typeof config.submit === "function";
          if (!isSubmittable) theirs = findCallback(config, values, callback);
          call = beginOperation(bound, this, [config, values], new QueryState(), caller);
          if (isSubmittable) watchSubmittable(config, tracing, caller, call);
        } catch (error) {
          owner.disable("pg Client.query, arguments", error);
          call?.succeed();
          return Reflect.apply(original, this, arguments);
        }
        // What is no function is for pg to complain about.
        if (isSubmittable || (theirs ? typeof theirs !== "function" : call === undefined)) {
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
          ours = function (this: unknown, ...outcome: unknown[]): unknown {
            settle(call, outcome[0], outcome[1]);
            return tracing.run(caller, callTheirs, this, outcome);
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
      },
  );

  kit.wrap(
    Client.prototype,
    "connect",
    (original) =>
      function connect(this: any, callback?: any): any {
        if (connectingPool !== undefined) {
          poolBlocks.set(connectingPool, connectionOf(this).block);
          return Reflect.apply(original, this, arguments);
        }
        if (!owner.enabled || (callback && typeof callback !== "function")) {
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
      },
  );
}

function patchPool(Pool: any, kit: Kit): void {
  const { owner, tracing } = kit;
  const bound = kit.bind(connectOperation);

  // A checkout waits in a queue that other requests work off: its callback has to find its way back. For a promise
  // `await` does that.
  kit.wrap(
    Pool.prototype,
    "connect",
    (original) =>
      function connect(this: any, callback?: any): any {
        if (!owner.enabled || (callback && typeof callback !== "function")) {
          return Reflect.apply(original, this, arguments);
        }
        const caller = tracing.active();
        const startMillis = now();
        return observed(kit, original, this, callback, caller, (failed, outcome) => {
          if (failed) {
            const block = poolBlocks.get(this) ?? targetBlock(this.options);
            beginOperation(bound, this, [], block, caller, startMillis)?.fail(outcome);
          } else {
            const waited = now() - startMillis;
            connectionOf(outcome).poolWaitMillis = waited < MIN_POOL_WAIT_MILLIS ? 0 : waited;
          }
        });
      },
  );

  // pg-pool calls back from the socket's context when a connection breaks in mid-query.
  kit.wrap(
    Pool.prototype,
    "query",
    (original) =>
      function query(this: any, text: any, values?: any, callback?: any): any {
        if (!owner.enabled) return Reflect.apply(original, this, arguments);
        if (typeof values === "function") {
          return Reflect.apply(original, this, [text, bindTo(tracing, tracing.active(), values)]);
        }
        if (typeof callback === "function") {
          return Reflect.apply(original, this, [text, values, bindTo(tracing, tracing.active(), callback)]);
        }
        return Reflect.apply(original, this, arguments);
      },
  );

  kit.wrap(
    Pool.prototype,
    "newClient",
    (original) =>
      function newClient(this: any): any {
        return connectingFor(this, original, arguments);
      },
  );
}

function connectingFor(pool: object, newClient: AnyFunction, args: ArrayLike<unknown>): unknown {
  const outer = connectingPool;
  connectingPool = pool;
  try {
    return Reflect.apply(newClient, pool, args);
  } finally {
    connectingPool = outer;
  }
}

/** What a query learns on its way. */
class QueryState {
  sql: SqlStatement | undefined = undefined;
  /** Rows a submittable was given one by one; -1: pg collected them. */
  streamedRows = -1;
}

const queryOperation: Operation<unknown, QueryState> = {
  title: "pg Client.query",
  kind: KIND_CLIENT,
  leaf: true,
  start(span, call, capture) {
    const client = call.self;
    const [config, values] = call.args;
    const isText = typeof config === "string";
    // pg-query-stream keeps text and values in the cursor it is made of.
    const source = isText ? undefined : config.text === undefined && config.cursor ? config.cursor : config;
    const name: unknown = source?.name;
    const text: unknown = isText ? config : (source.text ?? preparedText(client, name));
    const parameters: unknown = values && typeof values !== "function" ? values : source?.values;

    const connection = connectionOf(client);
    span.attributeBlock(connection.block);
    span.name = SYSTEM;
    if (typeof text === "string") {
      const sql = capture.sql(text);
      call.state.sql = sql;
      if (sql.summary !== "") span.name = sql.summary;
      span.attributeBlock(statementBlock(sql));
      if (Array.isArray(parameters) && capture.sqlParameters) recordParameters(span, sql, parameters, capture);
    }
    if (typeof name === "string" && name !== "") {
      span.attribute(TRACEKIT_DB_STATEMENT_NAME, name.slice(0, MAX_STATEMENT_NAME));
    }
    if (connection.poolWaitMillis !== 0) {
      span.attribute(TRACEKIT_DB_POOL_WAIT, Math.round(connection.poolWaitMillis * 1000) / 1000);
      connection.poolWaitMillis = 0;
    }
  },
  finish(span, result, call) {
    recordRows(span, result, call.state.streamedRows);
  },
  fail(span, error, call, capture) {
    recordError(span, error, call.state.sql, capture);
  },
};

const connectOperation: Operation<unknown, AttributeBlock> = {
  title: "pg.connect",
  kind: KIND_CLIENT,
  leaf: true,
  start(span, call) {
    span.attributeBlock(call.state);
  },
  fail(span, error, _call, capture) {
    recordError(span, error, undefined, capture);
  },
};

// What a call says.

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

function bindTo(tracing: Tracing, context: TraceContext, callback: AnyFunction): AnyFunction {
  return function (this: unknown, ...args: unknown[]): unknown {
    return tracing.run(context, callback, this, args);
  };
}

/** Calls `original`; `onSettled` hears of the outcome just before `callback` (in `caller`) does, or whoever has the promise. */
function observed(
  { owner, tracing }: Kit,
  original: AnyFunction,
  self: unknown,
  callback: AnyFunction | undefined,
  caller: TraceContext,
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
      return tracing.run(caller, callback, this, outcome);
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

/**
 * The client tells a submittable what arrives by calling its handlers, whatever class it is of: that is where we listen, and
 * where the submittable's own listeners and callbacks find the context of whoever sent it.
 */
function watchSubmittable(
  submittable: any,
  tracing: Tracing,
  caller: TraceContext,
  call: OperationCall<QueryState> | undefined,
): void {
  replaceHandler(submittable, "handleError", (original) => {
    return function (this: any, ...args: unknown[]): unknown {
      // A row that could not be parsed is what the application is told about.
      call?.fail(this._canceledDueToError || args[0]);
      return tracing.run(caller, original, this, args);
    };
  });
  const isWatched = replaceHandler(submittable, "handleReadyForQuery", (original) => {
    return function (this: any, ...args: unknown[]): unknown {
      // pg goes on to `handleError` in this case.
      if (!this._canceledDueToError) call?.succeed(this._results ?? this._result ?? this);
      return tracing.run(caller, original, this, args);
    };
  });
  replaceHandler(submittable, "handlePortalSuspended", (original) => bindTo(tracing, caller, original));
  if (call === undefined) return;
  if (!isWatched) {
    // pg-native's queries know no handlers but that for errors.
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

// Where a call goes.

/** What all queries of a connection share. */
class Connection {
  readonly block: AttributeBlock;
  /** How long its present holder waited for it; 0 once a query has said so. */
  poolWaitMillis = 0;

  constructor(block: AttributeBlock) {
    this.block = block;
  }
}

const connections = new WeakMap<object, Connection>();

function connectionOf(client: any): Connection {
  let connection = connections.get(client);
  if (connection === undefined) {
    connection = new Connection(targetBlock(client));
    connections.set(client, connection);
  }
  return connection;
}

/** Of a client, or of a pool's options. */
function targetBlock(target: { host?: unknown; port?: unknown; database?: unknown } = {}): AttributeBlock {
  const { host, database } = target;
  const port = Number(target.port ?? DEFAULT_PORT);
  const isSocket = typeof host === "string" && host.startsWith("/");
  return new AttributeBlock({
    [DB_SYSTEM_NAME]: SYSTEM,
    [DB_NAMESPACE]: typeof database === "string" && database !== "" ? database : undefined,
    [SERVER_ADDRESS]: isSocket ? `${host}/.s.PGSQL.${port}` : typeof host === "string" ? host : undefined,
    [SERVER_PORT]: isSocket || port === DEFAULT_PORT || Number.isNaN(port) ? undefined : port,
  });
}

// What is asked.

const statementBlocks = new WeakMap<SqlStatement, AttributeBlock>();

function statementBlock(sql: SqlStatement): AttributeBlock {
  let block = statementBlocks.get(sql);
  if (block === undefined) {
    block = new AttributeBlock({ [DB_QUERY_TEXT]: sql.text, [DB_QUERY_SUMMARY]: sql.summary || undefined });
    statementBlocks.set(sql, block);
  }
  return block;
}

/** A named statement may be executed without its text. */
function preparedText(client: any, name: unknown): unknown {
  if (typeof name !== "string") return undefined;
  return client.connection?.parsedStatements?.[name] ?? client.namedQueries?.[name];
}

const parameterKeys: string[] = [];
for (let index = 0; index < MAX_PARAMETERS; index++) parameterKeys.push(DB_QUERY_PARAMETER_PREFIX + index);

/** All parameters together get one value's budget. */
function recordParameters(
  span: OperationSpan,
  sql: SqlStatement,
  parameters: readonly unknown[],
  capture: Capture,
): void {
  const count = Math.min(parameters.length, MAX_PARAMETERS);
  let budget = capture.maxBytes;
  let index = 0;
  // Three bytes are the mark of a cut.
  for (; index < count && budget > 3; index++) {
    const key = parameterKeys[index] as string;
    const value = sql.isSensitiveParameter(index) ? REDACTED : capture.value(key, shownForm(parameters[index]));
    const shown = cutToBytes(value, budget, false);
    span.attribute(key, shown);
    budget -= Buffer.byteLength(shown);
  }
  if (index < parameters.length) span.attribute(TRACEKIT_DB_OMITTED_PARAMETERS, parameters.length - index);
}

/** An object's own conversion is the application's code: it runs once, for pg. What is inside it may be what it hides. */
function shownForm(parameter: unknown): unknown {
  if (typeof parameter !== "object" || parameter === null) return parameter;
  try {
    const { toPostgres, constructor } = parameter as { toPostgres?: unknown; constructor: { name: string } };
    return typeof toPostgres === "function" ? `[${constructor.name}]` : parameter;
  } catch {
    return "[Unreadable]";
  }
}

// What comes back.

/** A result, or one for each statement of a text that holds several. */
function recordRows(span: OperationSpan, result: unknown, streamedRows: number): void {
  let returned = -1;
  let affected = -1;
  const results: unknown[] = Array.isArray(result) ? result : [result];
  for (const each of results) {
    if (typeof each !== "object" || each === null) continue;
    const { fields, rows, rowCount } = each as { fields?: unknown; rows?: unknown; rowCount?: unknown };
    const count = typeof rowCount === "number" && rowCount >= 0 ? rowCount : 0;
    if (Array.isArray(fields) && fields.length > 0) {
      returned = Math.max(returned, 0) + (Array.isArray(rows) && rows.length > 0 ? rows.length : count);
    }
    if (typeof rowCount === "number" && isChange(each)) affected = Math.max(affected, 0) + count;
  }
  if (streamedRows > 0) returned = streamedRows;
  if (returned !== -1) span.attribute(DB_RESPONSE_RETURNED_ROWS, returned);
  if (affected !== -1) span.attribute(TRACEKIT_DB_AFFECTED_ROWS, affected);
}

/** For SELECT, SHOW and FETCH the server counts the rows it returned. `INSERT … RETURNING` both returns and changes. */
function isChange(result: { command?: unknown; fields?: unknown }): boolean {
  const { command, fields } = result;
  if (command === "INSERT" || command === "UPDATE" || command === "DELETE" || command === "MERGE") return true;
  return command !== "SELECT" && !(Array.isArray(fields) && fields.length > 0);
}

/** Message and stack only: `detail`, `hint` and `where` quote rows ("Key (email)=(…) already exists."). */
function recordError(span: OperationSpan, error: unknown, sql: SqlStatement | undefined, capture: Capture): void {
  const sqlState = sqlStateOf(error);
  if (sqlState === undefined) return recordFailure(span, error);
  span.attribute(DB_RESPONSE_STATUS_CODE, sqlState);
  const { name, message, stack } = error as Error;
  const shown = showsInput(sqlState, sql, capture) ? message : withoutInput(sqlState, message);
  if (shown === message) return recordFailure(span, error);
  span.fail(sqlState, shown);
  span.recordException({ name, code: sqlState, message: shown, stack: stack?.replaceAll(message, shown) ?? "" });
}

/** Distinguished from a system error's code (`EPIPE` has five letters, too) by what only a server's error has. */
function sqlStateOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { code, severity, message } = error as { code?: unknown; severity?: unknown; message?: unknown };
  return typeof code === "string" && code.length === 5 && severity !== undefined && typeof message === "string"
    ? code
    : undefined;
}

/** Whether the values a message may quote are on the span already. */
function showsInput(sqlState: string, sql: SqlStatement | undefined, capture: Capture): boolean {
  if (!sqlState.startsWith("22") || !capture.sqlParameters || sql === undefined || sql.parameterCount === 0)
    return false;
  for (let index = 0; index < sql.parameterCount; index++) if (sql.isSensitiveParameter(index)) return false;
  return true;
}

/** Data exceptions quote the value, syntax errors the place: `invalid input syntax for type uuid: "…"`, `at or near "'…'"`. */
function withoutInput(sqlState: string, message: string): string {
  if (sqlState.startsWith("22")) return message.replace(/".*"/s, `"${REDACTED}"`);
  if (sqlState === "42601") return message.replace(/"(?![A-Za-z_]{1,32}"|[^\w'"$]{1,8}").*"/s, `"${REDACTED}"`);
  return message;
}
