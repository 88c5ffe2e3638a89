import type { SqlStatement } from "../../src/capture/sql.ts";
import type { Operation } from "../../src/instrumentation/operation.ts";
import type { OperationCall } from "../../src/instrumentation/trace-operation.ts";
import {
  DB_RESPONSE_RETURNED_ROWS,
  TRACEKIT_DB_AFFECTED_ROWS,
  TRACEKIT_DB_POOL_WAIT,
  TRACEKIT_DB_STATEMENT_NAME,
} from "../../src/semconv/attributes.ts";
import type { AttributeBlock } from "../../src/trace/attributes.ts";
import { now } from "../../src/trace/clock.ts";
import { KIND_CLIENT } from "../../src/trace/span-kind.ts";
import { areConstant } from "../shared/deferral.ts";
import { recordError, sqlStateOf, SYSTEM } from "../shared/postgresql.ts";
import { isChange, recordParameters, statementBlock } from "../shared/sql.ts";
import type { SqlTransactions } from "../shared/sql-transactions.ts";
import type { Connection } from "./connection.ts";

/** PostgreSQL cuts longer names itself. */
const MAX_STATEMENT_NAME = 63;

/** What a query learns on its way. */
export class QueryState {
  /** What it asks, as it was when it began; once `isRead`. */
  isRead = false;
  text: unknown = undefined;
  name: unknown = undefined;
  parameters: readonly unknown[] | undefined = undefined;
  poolWaitMillis = 0;
  sql: SqlStatement | undefined = undefined;
  /** Rows a submittable was given one by one; -1: pg collected them. */
  streamedRows = -1;
  /** -1: none to speak of. */
  returnedRows = -1;
  affectedRows = -1;
  readonly connection: Connection;
  /** Where its connection has a transaction open, or this query may begin one: who is to hear how it ended. */
  transactions: SqlTransactions | undefined = undefined;

  constructor(connection: Connection) {
    this.connection = connection;
  }
}

/** `client.query()`, whatever it is given. */
export const queryOperation: Operation<unknown, QueryState> = {
  title: "pg Client.query",
  kind: KIND_CLIENT,
  leaf: true,
  start(span, call, capture) {
    const { state } = call;
    if (!state.isRead) read(call);
    const { connection, text, name, parameters, poolWaitMillis } = state;
    span.attributeBlock(connection.block);
    span.name = SYSTEM;
    if (typeof text === "string") {
      const sql = capture.sql(text);
      state.sql = sql;
      if (sql.summary !== "") span.name = sql.summary;
      span.attributeBlock(statementBlock(sql));
      if (parameters !== undefined && capture.sqlParameters) {
        recordParameters(span, sql, withoutConversions(parameters), capture);
      }
    }
    if (typeof name === "string" && name !== "") {
      span.attribute(TRACEKIT_DB_STATEMENT_NAME, name.slice(0, MAX_STATEMENT_NAME));
    }
    if (poolWaitMillis !== 0) span.attribute(TRACEKIT_DB_POOL_WAIT, Math.round(poolWaitMillis * 1000) / 1000);
  },
  finish(span, result, call) {
    const { state } = call;
    const { sql, transactions, connection } = state;
    if (result !== undefined) countRows(result, state);
    if (state.returnedRows !== -1) span.attribute(DB_RESPONSE_RETURNED_ROWS, state.returnedRows);
    if (state.affectedRows !== -1) span.attribute(TRACEKIT_DB_AFFECTED_ROWS, state.affectedRows);
    if (transactions === undefined || sql === undefined) return;
    // The transaction ends right here: not before the query that ended it.
    call.endMillis = now();
    transactions.succeeded(connection, sql, commandOf(result));
  },
  fail(span, error, call, capture) {
    const { sql, transactions, connection } = call.state;
    recordError(span, error, sql, capture);
    if (transactions === undefined) return;
    call.endMillis = now();
    transactions.failed(connection, sql, error, isConnectionLost(call.self, error));
  },
  deferral: {
    atStart(call) {
      const { state, args } = call;
      read(call);
      const { text, parameters } = state;
      if (typeof text !== "string" || state.transactions !== undefined || typeof args[0].submit === "function")
        return false;
      if (!areConstant(parameters ?? NO_PARAMETERS, text.length)) return false;
      // The application may use its list again.
      state.parameters = parameters?.slice();
      return true;
    },
    atEnd({ state }, result) {
      countRows(result, state);
      return undefined;
    },
  },
};

const NO_PARAMETERS: readonly unknown[] = [];

/** What it asks, and how long it waited for its connection, while both are as they were. */
function read({ self, args: [config, values], state }: OperationCall<QueryState>): void {
  const { connection } = state;
  const source = sourceOf(config);
  const parameters: unknown = values && typeof values !== "function" ? values : source?.values;
  state.isRead = true;
  state.text = textOf(self, config);
  state.name = source?.name;
  if (Array.isArray(parameters)) state.parameters = parameters;
  state.poolWaitMillis = connection.poolWaitMillis;
  connection.poolWaitMillis = 0;
}

/** A connection, where no query could tell. */
export const connectOperation: Operation<unknown, AttributeBlock> = {
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

// What is asked.

/** pg-query-stream keeps text and values in the cursor it is made of. Undefined for a text. */
function sourceOf(config: any): any {
  if (typeof config === "string") return undefined;
  return config.text === undefined && config.cursor ? config.cursor : config;
}

/** What `client.query(config)` will ask; a named statement may be executed without its text. */
export function textOf(client: any, config: any): unknown {
  if (typeof config === "string") return config;
  const { text, name } = sourceOf(config);
  if (text !== undefined || typeof name !== "string") return text;
  return client.connection?.parsedStatements?.[name] ?? client.namedQueries?.[name];
}

/** An object's own conversion is the application's code: it runs once, for pg. What is inside it may be what it hides. */
function withoutConversions(parameters: readonly unknown[]): readonly unknown[] {
  for (let index = 0; index < parameters.length; index++) {
    const parameter = parameters[index];
    if (typeof parameter === "object" && parameter !== null && shownForm(parameter) !== parameter) {
      return parameters.map(shownForm);
    }
  }
  return parameters;
}

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

/** A result, or one for each statement of a text that holds several; of a submittable, itself. */
function countRows(result: unknown, state: QueryState): void {
  const { sql, streamedRows } = state;
  let returned = -1;
  let affected = -1;
  const several: readonly unknown[] | undefined = Array.isArray(result) ? result : undefined;
  for (let index = 0; index < (several?.length ?? 1); index++) {
    const each = several === undefined ? result : several[index];
    if (typeof each !== "object" || each === null) continue;
    const { command, fields, rows, rowCount } = each as Readonly<Record<string, unknown>>;
    const count = typeof rowCount === "number" && rowCount >= 0 ? rowCount : 0;
    const isStream = fields === undefined;
    const hasColumns = Array.isArray(fields) && fields.length > 0;
    const isCopied = isStream && isCopyOut(each, sql);
    if (hasColumns || isCopied) {
      returned = Math.max(returned, 0) + (Array.isArray(rows) && rows.length > 0 ? rows.length : count);
    }
    if (typeof rowCount === "number" && !isCopied && isChange(command, hasColumns) && !isIdle(command, rowCount)) {
      affected = Math.max(affected, 0) + count;
    }
  }
  state.returnedRows = streamedRows > 0 ? streamedRows : returned;
  state.affectedRows = affected;
}

/** Native clients say 0 where the server has counted nothing: BEGIN, CREATE TABLE. */
function isIdle(command: unknown, rowCount: number): boolean {
  return rowCount === 0 && typeof command === "string" && !/^(?:INSERT|UPDATE|DELETE|MERGE)$/.test(command);
}

/** The stream of a `COPY … TO STDOUT`, which counts the rows the server sent. */
function isCopyOut(result: object, sql: SqlStatement | undefined): boolean {
  return sql?.operation.toUpperCase() === "COPY" && typeof (result as { read?: unknown }).read === "function";
}

/** What the server did: of several statements, the last. */
function commandOf(result: unknown): unknown {
  const last: unknown = Array.isArray(result) ? result.at(-1) : result;
  return typeof last === "object" && last !== null ? (last as { command?: unknown }).command : undefined;
}

function isConnectionLost(client: any, error: unknown): boolean {
  const sqlState = sqlStateOf(error);
  return sqlState === undefined ? client._queryable === false || client._ending === true : sqlState.startsWith("57P0");
}
