/**
 * mysql2: callbacks, promises, prepared statements, streams, pools and pool clusters, against MySQL and MariaDB.
 *
 * A query is a CLIENT span from `query()` or `execute()` to the moment the library settles it, so it includes the time a query
 * waits behind others on its connection. The wait for a pooled connection, when it was a millisecond or more, is
 * `tracekit.db.pool_wait_ms` on the first query after it. `mysql2.connect` is a span where no query could tell: when the pool or
 * the server refuses, and when the application opens a connection of its own within a trace. A transaction is a span around
 * its queries.
 *
 * The library's own diagnostics channels (from 3.20) are not used: they give the statement with its values written into it.
 *
 * Known limitations:
 * - A query without a callback on a connection that is closed already has no listener of its own to tell: it is a failed span.
 * - A stream that is neither read to its end nor destroyed has no span until its connection ends.
 * - `db.system.name` of a query sent before the server has introduced itself is known at its end.
 * - Errors a pool cluster has before it chooses a pool (`POOL_NOEXIST`) have no span.
 */
import { errorMonitor } from "node:events";
import type { Capture } from "../src/capture/capture.ts";
import { REDACTED } from "../src/capture/span.ts";
import { fillIdentifiers } from "../src/capture/sql-identifiers.ts";
import type { SqlStatement } from "../src/capture/sql.ts";
import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import type { Operation, OperationSpan } from "../src/instrumentation/operation.ts";
import {
  type BoundOperation,
  beginOperation,
  type OperationCall,
  recordFailure,
} from "../src/instrumentation/trace-operation.ts";
import type { Tracing } from "../src/instrumentation/tracing.ts";
import {
  DB_NAMESPACE,
  DB_OPERATION_NAME,
  DB_QUERY_TEXT,
  DB_RESPONSE_RETURNED_ROWS,
  DB_RESPONSE_STATUS_CODE,
  DB_SYSTEM_NAME,
  SERVER_ADDRESS,
  SERVER_PORT,
  TRACEKIT_DB_AFFECTED_ROWS,
  TRACEKIT_DB_POOL_WAIT,
  TRACEKIT_DB_SQLSTATE,
} from "../src/semconv/attributes.ts";
import { AttributeBlock } from "../src/trace/attributes.ts";
import { now } from "../src/trace/clock.ts";
import type { TraceContext } from "../src/trace/context.ts";
import { KIND_CLIENT } from "../src/trace/span-kind.ts";
import { recordNamedParameters } from "./shared/sql-parameters.ts";
import { SqlTransactions } from "./shared/sql-transactions.ts";
import { recordParameters, statementBlock } from "./shared/sql.ts";

const DEFAULT_PORT = 3306;
/** Below this, waiting for a connection is the pool's own turn of the event loop. */
const MIN_POOL_WAIT_MILLIS = 1;

type AnyFunction = (...args: any[]) => any;

const mysql2: Instrumentation = defineInstrumentation({
  name: "mysql2",
  modules: [
    { name: "mysql2", versions: ">=2 <3.11.5", file: "lib/connection.js", patch: patchConnection },
    { name: "mysql2", versions: ">=3.11.5 <4", file: "lib/base/connection.js", patch: patchConnection },
    { name: "mysql2", versions: ">=2 <3.11.5", file: "lib/pool.js", patch: patchPool },
    { name: "mysql2", versions: ">=3.11.5 <4", file: "lib/base/pool.js", patch: patchPool },
    { name: "mysql2", versions: ">=2 <4", file: "lib/commands/client_handshake.js", patch: patchHandshake },
  ],
});
export default mysql2;

/** What the calls of one kit share. */
interface Bound {
  readonly kit: Kit;
  readonly query: BoundOperation<unknown, QueryState>;
  readonly transactions: SqlTransactions;
}

type QueryCall = OperationCall<QueryState>;

const transactionsByKit = new WeakMap<Kit, SqlTransactions>();

function transactionsOf(kit: Kit): SqlTransactions {
  let transactions = transactionsByKit.get(kit);
  if (transactions === undefined) {
    transactions = new SqlTransactions(kit);
    transactionsByKit.set(kit, transactions);
  }
  return transactions;
}

function patchConnection(Connection: any, kit: Kit): void {
  const { owner, tracing } = kit;
  const bound: Bound = { kit, query: kit.bind(queryOperation), transactions: transactionsOf(kit) };
  const boundPrepare = kit.bind(prepareOperation);
  const Query = Connection.createQuery("", undefined, undefined, {}).constructor;

  for (const method of ["query", "execute"]) {
    const isInterpolated = method === "query";
    kit.wrap(
      Connection.prototype,
      method,
      (original) =>
        function (this: any, sql: any, values?: any, callback?: any): any {
          // What is neither is for the library to complain about.
          if (!owner.enabled || sql === null || (typeof sql !== "string" && typeof sql !== "object")) {
            return Reflect.apply(original, this, arguments);
          }
          // A pool makes the command before it has a connection.
          const command = sql.constructor === Query ? sql : undefined;
          return traceQuery(bound, original, this, [sql, values, callback], command, this, sql, values, isInterpolated);
        },
    );
  }

  kit.wrap(
    Connection.prototype,
    "prepare",
    (original) =>
      function prepare(this: any, sql: any, callback?: any): any {
        if (!owner.enabled || typeof callback !== "function") return Reflect.apply(original, this, arguments);
        const caller = tracing.active();
        const call = beginOperation(boundPrepare, this, [sql], undefined, caller);
        const ours = function (this: unknown, ...outcome: unknown[]): unknown {
          const [error, statement] = outcome;
          if (error) call?.fail(error);
          else call?.succeed();
          try {
            if (typeof statement === "object" && statement !== null) patchStatement(statement, bound);
          } catch (mine) {
            owner.disable("mysql2 Connection.prepare, statement", mine);
          }
          return tracing.run(caller, callback, this, outcome);
        };
        return Reflect.apply(original, this, [sql, ours]);
      },
  );

  // Nothing to trace, but the application's callback would run in the context of whoever opened the connection.
  for (const method of ["ping", "reset", "changeUser", "end"]) {
    kit.wrap(
      Connection.prototype,
      method,
      (original) =>
        function (this: any, ...args: any[]): any {
          const last = args.length - 1;
          if (method === "changeUser") connectionOf(this).schema = undefined;
          if (owner.enabled && typeof args[last] === "function") {
            args[last] = bindTo(tracing, tracing.active(), args[last]);
          }
          return Reflect.apply(original, this, args);
        },
    );
  }
}

/** The class of prepared statements is not to be had but by preparing one. */
function patchStatement(statement: object, bound: Bound): void {
  bound.kit.wrap(
    Object.getPrototypeOf(statement),
    "execute",
    (original) =>
      function execute(this: any, values?: any, callback?: any): any {
        const { query, _connection: connection } = this;
        if (!bound.kit.owner.enabled || typeof query !== "string" || typeof connection !== "object") {
          return Reflect.apply(original, this, arguments);
        }
        return traceQuery(bound, original, this, [values, callback], undefined, connection, query, values, false);
      },
  );
}

function patchPool(Pool: any, kit: Kit): void {
  const { owner, tracing } = kit;
  const bound = kit.bind(connectOperation);
  /** Callbacks of ours: a pool asks itself again for those that waited for a connection that broke. */
  const waiting = new WeakSet<object>();
  const transactions = transactionsOf(kit);

  kit.wrap(
    Pool.prototype,
    "releaseConnection",
    (original) =>
      function releaseConnection(this: any, connection: any): any {
        // What was sent before the release may still be on its way: COMMIT among it.
        if (transactions.openCount > 0) transactions.abandoned(connection);
        return Reflect.apply(original, this, arguments);
      },
  );

  // A request for a connection waits in a queue that other requests work off: its callback has to find its way back.
  kit.wrap(
    Pool.prototype,
    "getConnection",
    (original) =>
      function getConnection(this: any, callback?: any): any {
        if (!owner.enabled || typeof callback !== "function" || waiting.has(callback)) {
          return Reflect.apply(original, this, arguments);
        }
        const caller = tracing.active();
        const startMillis = now();
        const settings: unknown = this.config?.connectionConfig;
        const ours = function (this: unknown, ...outcome: any[]): unknown {
          const [error, connection] = outcome;
          try {
            if (error) {
              beginOperation(bound, undefined, [], targetBlock(settings, SYSTEM), caller, startMillis)?.fail(error);
            } else {
              const waited = now() - startMillis;
              connectionOf(connection).poolWaitMillis = waited < MIN_POOL_WAIT_MILLIS ? 0 : waited;
            }
          } catch (mine) {
            owner.disable("mysql2 Pool.getConnection, outcome", mine);
          }
          return tracing.run(caller, callback, this, outcome);
        };
        waiting.add(ours);
        return Reflect.apply(original, this, [ours]);
      },
  );
}

function patchHandshake(ClientHandshake: any, kit: Kit): void {
  const { owner, tracing } = kit;
  const bound = kit.bind(connectOperation);

  // Called at once by the constructor of a connection, which cannot be replaced in place.
  kit.wrap(
    ClientHandshake.prototype,
    "start",
    (original) =>
      function start(this: any, _packet: unknown, connection: any): any {
        try {
          // A pool tells how its connections came about.
          if (owner.enabled && connection.config.pool === undefined) watchConnect(connection);
        } catch (error) {
          owner.disable("mysql2 ClientHandshake.start", error);
        }
        return Reflect.apply(original, this, arguments);
      },
  );

  function watchConnect(connection: any): void {
    const caller = tracing.active();
    const startMillis = now();
    function finish(isFailure: boolean, error?: unknown): void {
      connection.removeListener("connect", onConnect);
      connection.removeListener(errorMonitor, onError);
      // Outside of a trace, that a connection was made is not worth one.
      if (!isFailure && caller.span === undefined) return;
      const block = connectionOf(connection).blockOf(connection, true);
      const call = beginOperation(bound, connection, [], block, caller, startMillis);
      if (isFailure) call?.fail(error);
      else call?.succeed();
    }
    const onConnect = (): void => finish(false);
    const onError = (error: unknown): void => finish(true, error);
    connection.on("connect", onConnect);
    connection.on(errorMonitor, onError);
  }
}

// How a query is sent, and how its end is seen.

/** Sends a query by `original.apply(self, args)`; a `command` that exists already holds the callback instead of `args`. */
function traceQuery(
  bound: Bound,
  original: AnyFunction,
  self: unknown,
  args: any[],
  command: any,
  connection: any,
  sql: any,
  values: unknown,
  isInterpolated: boolean,
): any {
  const { owner, tracing } = bound.kit;
  const caller = tracing.active();
  let call: QueryCall | undefined;
  let hasCallback = false;
  try {
    call = begin(bound, connection, sql, values, isInterpolated, caller);
    if (typeof command?.onResult === "function") {
      command.onResult = settlingCallback(bound, call, caller, command.onResult);
      hasCallback = true;
    } else if (command === undefined) {
      // The library takes the first function behind the statement.
      const index = args.findIndex((argument, at) => at >= args.length - 2 && typeof argument === "function");
      if (index !== -1) {
        args[index] = settlingCallback(bound, call, caller, args[index]);
        hasCallback = true;
      }
    }
  } catch (error) {
    owner.disable("mysql2 query, arguments", error);
    call?.succeed();
  }

  let sent: any;
  try {
    sent = Reflect.apply(original, self, args);
  } catch (error) {
    settle(bound, call, error);
    throw error;
  }
  if (!hasCallback) {
    try {
      watchEvents(bound, call, caller, connection, sent);
    } catch (error) {
      owner.disable("mysql2 query, events", error);
      call?.succeed();
    }
  }
  return sent;
}

/** The span of a query that is about to be sent; undefined when it is not recorded. */
function begin(
  { kit, query, transactions }: Bound,
  connection: any,
  sql: any,
  values: unknown,
  isInterpolated: boolean,
  caller: TraceContext,
): QueryCall | undefined {
  if (!kit.owner.enabled || caller.suppressed || kit.tracing.declines(caller)) return undefined;
  const startMillis = now();
  const state = readQuery(connection, sql, values, isInterpolated, kit.capture);
  const known = connectionOf(connection);
  const block = known.blockOf(connection, false);
  const parent =
    state.sql === undefined ? caller : transactions.parentOf(connection, state.sql, block, caller, startMillis);
  const call = beginOperation(query, connection, [], state, parent, startMillis);
  transactions.join(connection, call);
  if (call !== undefined) known.watch(connection, call, transactions);
  return call;
}

function settlingCallback(
  bound: Bound,
  call: QueryCall | undefined,
  caller: TraceContext,
  theirs: AnyFunction,
): AnyFunction {
  const { tracing } = bound.kit;
  return function (this: unknown, ...outcome: unknown[]): unknown {
    if (call !== undefined) {
      call.state.fields = outcome[2];
      settle(bound, call, outcome[0], outcome[1]);
    }
    return tracing.run(caller, theirs, this, outcome);
  };
}

/**
 * Without a callback a command tells by its events, which streams are made of, too, and all would run in the context of whoever
 * opened the connection. Listeners of ours would be seen, and one for errors would stop a crash.
 */
function watchEvents(
  bound: Bound,
  call: QueryCall | undefined,
  caller: TraceContext,
  connection: any,
  command: any,
): void {
  const { tracing } = bound.kit;
  // A connection that is closed says so itself, and the command says nothing.
  if (Object.hasOwn(connection, "addCommand")) settle(bound, call, connection._fatalError ?? LOST);
  if (typeof command?.emit !== "function") return;
  const { emit } = command;
  const ours = function (this: unknown, ...args: unknown[]): unknown {
    if (call !== undefined && !call.isSettled) {
      if (args[0] === "result") countResult(call.state, args[1]);
      else if (args[0] === "error") settle(bound, call, args[1] ?? LOST);
      else if (args[0] === "end") settle(bound, call, undefined);
    }
    return tracing.run(caller, emit, this, args);
  };
  Object.defineProperty(command, "emit", { value: ours, configurable: true, enumerable: false, writable: true });
}

function settle({ transactions }: Bound, call: QueryCall | undefined, error: unknown, result?: unknown): void {
  if (call === undefined || call.isSettled) return;
  const { self: connection, state } = call;
  connectionOf(connection).calls.delete(call);
  if (error) {
    call.fail(error);
    transactions.failed(connection, state.sql, error, (error as { fatal?: unknown }).fatal === true);
  } else {
    call.succeed(result);
    if (state.sql !== undefined) transactions.succeeded(connection, state.sql);
  }
}

function bindTo(tracing: Tracing, context: TraceContext, callback: AnyFunction): AnyFunction {
  return function (this: unknown, ...args: unknown[]): unknown {
    return tracing.run(context, callback, this, args);
  };
}

const LOST = {
  name: "Error",
  code: "PROTOCOL_CONNECTION_LOST",
  message: "The connection was closed before the query was over.",
  fatal: true,
};

// What is asked.

/** One query: what it says, and what it learns on its way. */
class QueryState {
  readonly sql: SqlStatement | undefined;
  /** By position, or by name; undefined: none. */
  readonly values: readonly unknown[] | Readonly<Record<string, unknown>> | undefined;
  /** Nobody can be sure which value goes where. */
  readonly hidesValues: boolean;
  isTargetKnown = false;
  /** What a callback is told about columns: a list, or one for each of several results. */
  fields: unknown = undefined;
  /** Counted as they come where there is no callback; -1: none came. */
  streamedRows = -1;
  streamedChanges = -1;

  constructor(sql: SqlStatement | undefined, values?: QueryState["values"], hidesValues: boolean = false) {
    this.sql = sql;
    this.values = values;
    this.hidesValues = hidesValues;
  }
}

/** A position no statement has. */
const UNSEEN = Number.MAX_SAFE_INTEGER;

/** As the library reads it. `isInterpolated`: the client writes the values into the statement. */
function readQuery(connection: any, sql: any, values: any, isInterpolated: boolean, capture: Capture): QueryState {
  const isText = typeof sql === "string";
  const text: unknown = isText ? sql : sql.sql;
  if (typeof text !== "string") return new QueryState(undefined);
  let given: any = typeof values === "function" ? undefined : values;
  if (!isText) given = isInterpolated ? (given ?? sql.values) : sql.values || given;
  if (given === undefined || given === null) return new QueryState(capture.sql(text, "mysql"));

  const { namedPlaceholders, queryFormat } = connection.config;
  if (typeof given === "object" && !Array.isArray(given)) {
    const isNamed = (isText ? undefined : sql.namedPlaceholders) ?? namedPlaceholders;
    if (isNamed || typeof queryFormat === "function") return new QueryState(capture.sql(text, "mysql"), given);
  }
  let list: unknown[] = Array.isArray(given) ? given : [given];
  let filled = text;
  if (isInterpolated && text.includes("??")) {
    const known = fillIdentifiers(text, list);
    if (known === undefined) return new QueryState(capture.sql(text, "mysql"), list, true);
    filled = known.text;
    list = known.values;
  }
  const statement = capture.sql(filled, "mysql");
  // Before sql-escaper came in place of sqlstring (3.17), the client took a question mark in a string for a placeholder, too.
  const isAligned = list.length === statement.parameterCount - statement.parameterNames.length;
  return new QueryState(statement, list, !isAligned && statement.isSensitiveParameter(UNSEEN));
}

const queryOperation: Operation<unknown, QueryState> = {
  title: "mysql2 query",
  kind: KIND_CLIENT,
  leaf: true,
  start(span, call, capture) {
    const { self: connection, state } = call;
    const { sql, values } = state;
    const known = connectionOf(connection);
    const block = known.blockOf(connection, false);
    if (block !== undefined) {
      span.attributeBlock(block);
      state.isTargetKnown = true;
    }
    span.name = known.system;
    if (sql !== undefined) {
      if (sql.summary !== "") span.name = sql.summary;
      span.attributeBlock(statementBlock(sql));
      if (values !== undefined && capture.sqlParameters) describeValues(span, sql, values, state.hidesValues, capture);
    }
    if (known.poolWaitMillis !== 0) {
      span.attribute(TRACEKIT_DB_POOL_WAIT, Math.round(known.poolWaitMillis * 1000) / 1000);
      known.poolWaitMillis = 0;
    }
  },
  finish(span, result, call) {
    describeTarget(span, call);
    recordRows(span, result, call.state);
    const schema = (result as { stateChanges?: { schema?: unknown } } | undefined)?.stateChanges?.schema;
    if (typeof schema === "string") connectionOf(call.self).schema = schema;
  },
  fail(span, error, call, capture) {
    describeTarget(span, call);
    recordError(span, error, call.state.sql, capture);
  },
};

const prepareOperation: Operation<unknown, undefined> = {
  title: "PREPARE",
  kind: KIND_CLIENT,
  leaf: true,
  start(span, { self: connection, args: [sql] }, capture) {
    const block = connectionOf(connection).blockOf(connection, true);
    if (block !== undefined) span.attributeBlock(block);
    span.attribute(DB_OPERATION_NAME, "PREPARE");
    const text: unknown = typeof sql === "string" ? sql : sql?.sql;
    if (typeof text === "string") span.attribute(DB_QUERY_TEXT, capture.sql(text, "mysql").text);
  },
  fail(span, error, { args: [sql] }, capture) {
    const text: unknown = typeof sql === "string" ? sql : sql?.sql;
    recordError(span, error, typeof text === "string" ? capture.sql(text, "mysql") : undefined, capture);
  },
};

const connectOperation: Operation<unknown, AttributeBlock | undefined> = {
  title: "mysql2.connect",
  kind: KIND_CLIENT,
  leaf: true,
  start(span, call) {
    if (call.state !== undefined) span.attributeBlock(call.state);
  },
  fail(span, error, _call, capture) {
    recordError(span, error, undefined, capture);
  },
};

function describeValues(
  span: OperationSpan,
  sql: SqlStatement,
  values: NonNullable<QueryState["values"]>,
  hidesValues: boolean,
  capture: Capture,
): void {
  if (Array.isArray(values)) recordParameters(span, sql, values, capture, hidesValues);
  else recordNamedParameters(span, sql, values as Readonly<Record<string, unknown>>, capture);
}

// Where a call goes.

const SYSTEM = "mysql";

/** What all queries of a connection share. */
class Connection {
  /** Before the server has introduced itself: the protocol's own name. */
  system = SYSTEM;
  /** How long its present holder waited for it; 0 once a query has said so. */
  poolWaitMillis = 0;
  /** Database the server says the session has changed to. */
  schema: string | undefined = undefined;
  readonly calls = new Set<QueryCall>();
  private block: AttributeBlock | undefined = undefined;
  private blockSchema: string | undefined = undefined;
  private configured: unknown = undefined;
  private isWatched = false;

  /** Undefined until the server has introduced itself, unless it `isLate` enough to do without. */
  blockOf(connection: any, isLate: boolean): AttributeBlock | undefined {
    const { config } = connection;
    // `changeUser()` writes it into the connection's settings.
    if (config.database !== this.configured) {
      this.configured = config.database;
      this.schema = undefined;
      this.block = undefined;
    }
    if (this.block !== undefined && this.schema === this.blockSchema) return this.block;
    const version: unknown = connection._handshakePacket?.serverVersion;
    if (typeof version === "string") this.system = /mariadb/i.test(version) ? "mariadb" : SYSTEM;
    else if (!isLate) return undefined;
    const block = targetBlock(config, this.system, this.schema);
    if (typeof version === "string") {
      this.block = block;
      this.blockSchema = this.schema;
    }
    return block;
  }

  /** Some queries are dropped in silence when their connection ends: those without a callback, and those behind `destroy()`. */
  watch(connection: any, call: QueryCall, transactions: SqlTransactions): void {
    this.calls.add(call);
    if (this.isWatched || typeof connection.stream?.once !== "function") return;
    this.isWatched = true;
    connection.stream.once("close", () => {
      const error = connection._fatalError ?? connection._protocolError ?? LOST;
      if (this.calls.size > 0) transactions.failed(connection, undefined, error, true);
      for (const pending of this.calls) pending.fail(error);
      this.calls.clear();
      transactions.abandoned(connection);
    });
  }
}

const connections = new WeakMap<object, Connection>();

function connectionOf(connection: object): Connection {
  let known = connections.get(connection);
  if (known === undefined) {
    known = new Connection();
    connections.set(connection, known);
  }
  return known;
}

function targetBlock(config: any, system: string, schema?: string): AttributeBlock {
  const { host, socketPath } = config;
  const database = schema ?? config.database;
  const port = Number(config.port ?? DEFAULT_PORT);
  const isSocket = typeof socketPath === "string" && socketPath !== "";
  return new AttributeBlock({
    [DB_SYSTEM_NAME]: system,
    [DB_NAMESPACE]: typeof database === "string" && database !== "" ? database : undefined,
    [SERVER_ADDRESS]: isSocket ? socketPath : typeof host === "string" ? host : undefined,
    [SERVER_PORT]: isSocket || port === DEFAULT_PORT || Number.isNaN(port) ? undefined : port,
  });
}

function describeTarget(span: OperationSpan, { self: connection, state }: QueryCall): void {
  const known = connectionOf(connection);
  const block = state.isTargetKnown ? undefined : known.blockOf(connection, true);
  if (block === undefined) return;
  state.isTargetKnown = true;
  span.attributeBlock(block);
  if (span.name === SYSTEM) span.name = known.system;
}

// What comes back.

/** A row, or what a change did. */
function countResult(state: QueryState, result: any): void {
  if (isHeader(result)) state.streamedChanges = Math.max(state.streamedChanges, 0) + result.affectedRows;
  else state.streamedRows = Math.max(state.streamedRows, 0) + 1;
}

function isHeader(result: any): result is { affectedRows: number } {
  return typeof result?.affectedRows === "number" && result.constructor?.name === "ResultSetHeader";
}

/** Rows, what a change did, or a list of both where a text holds several statements or calls a procedure. */
function recordRows(
  span: OperationSpan,
  result: unknown,
  { sql, fields, streamedRows, streamedChanges }: QueryState,
): void {
  let returned = streamedRows;
  let affected = streamedChanges;
  const isList =
    Array.isArray(result) && Array.isArray(fields) && fields.some((each) => each === undefined || Array.isArray(each));
  for (const each of isList ? (result as unknown[]) : [result]) {
    if (Array.isArray(each)) returned = Math.max(returned, 0) + each.length;
    else if (isHeader(each)) affected = Math.max(affected, 0) + each.affectedRows;
  }
  if (returned !== -1) span.attribute(DB_RESPONSE_RETURNED_ROWS, returned);
  // The server says 0 for BEGIN, CREATE and SET, too.
  if (affected > 0 || (affected === 0 && /^(?:insert|update|delete|replace)$/i.test(sql?.operation ?? ""))) {
    span.attribute(TRACEKIT_DB_AFFECTED_ROWS, affected);
  }
}

/** Errors of the server whose message quotes a value: duplicates, and values that cannot be converted. */
const QUOTES_VALUE = new Set([1062, 1292, 1366, 1367, 1411, 1525, 1586, 1690, 1734, 1772, 3140, 3141, 3143]);
/** Errors whose message quotes the statement, from the place where it cannot be read. */
const QUOTES_STATEMENT = new Set([1064, 1149]);
const UNKNOWN_COLUMN = 1054;

function recordError(span: OperationSpan, error: any, sql: SqlStatement | undefined, capture: Capture): void {
  const { errno, sqlState, message } = error ?? {};
  // Errors of the system have a negative number, and the client's own have none.
  if (typeof errno !== "number" || errno <= 0 || typeof message !== "string") return recordFailure(span, error);
  span.attribute(DB_RESPONSE_STATUS_CODE, String(errno));
  if (typeof sqlState === "string" && sqlState.length === 5) span.attribute(TRACEKIT_DB_SQLSTATE, sqlState);
  const shown = withoutInput(errno, message, sql, capture);
  if (shown === message) return recordFailure(span, error);
  const { name, code, stack } = error;
  span.fail(typeof code === "string" ? code : String(errno), shown);
  span.recordException({ name, code, message: shown, stack: String(stack ?? "").replaceAll(message, shown) });
}

/** The message, without values that are not on the span already. */
function withoutInput(errno: number, message: string, sql: SqlStatement | undefined, capture: Capture): string {
  if (QUOTES_STATEMENT.has(errno)) return message.replace(/near '[\s\S]*'/, `near '${REDACTED}'`);
  if (errno === UNKNOWN_COLUMN) {
    // In ANSI_QUOTES mode it may be a string in the wrong quotes: what the statement's own text does not show.
    const [all, column] = /^Unknown column '(.*)' in '/s.exec(message) ?? [];
    const isShown = column?.split(".").every((part) => sql?.text.includes(part) === true) ?? true;
    return isShown ? message : message.replace(all as string, `Unknown column '${REDACTED}' in '`);
  }
  if (!QUOTES_VALUE.has(errno) || showsValues(sql, capture)) return message;
  return message.replace(/(['"])[\s\S]*\1(?= for (?:key|column|function)\b)|(['"])[\s\S]*\2/, `'${REDACTED}'`);
}

function showsValues(sql: SqlStatement | undefined, capture: Capture): boolean {
  if (!capture.sqlParameters || sql === undefined || sql.parameterCount === 0) return false;
  for (let index = 0; index < sql.parameterCount; index++) if (sql.isSensitiveParameter(index)) return false;
  return sql.parameterNames.every((name) => !sql.isSensitiveParameter(name));
}
