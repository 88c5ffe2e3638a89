import type { Capture } from "../../src/capture/capture.ts";
import { REDACTED } from "../../src/capture/span.ts";
import type { SqlStatement } from "../../src/capture/sql.ts";
import type { Kit } from "../../src/instrumentation/kit.ts";
import type { Operation, OperationSpan } from "../../src/instrumentation/operation.ts";
import { sameShape } from "../../src/instrumentation/settlement.ts";
import {
  type BoundOperation,
  beginOperation,
  type OperationCall,
  recordFailure,
} from "../../src/instrumentation/trace-operation.ts";
import {
  DB_NAMESPACE,
  DB_RESPONSE_RETURNED_ROWS,
  DB_RESPONSE_STATUS_CODE,
  DB_SYSTEM_NAME,
  TRACEKIT_DB_AFFECTED_ROWS,
} from "../../src/semconv/attributes.ts";
import { AttributeBlock } from "../../src/trace/attributes.ts";
import { now } from "../../src/trace/clock.ts";
import { KIND_CLIENT } from "../../src/trace/span-kind.ts";
import { recordNamedParameters } from "./sql-parameters.ts";
import { SqlTransactions } from "./sql-transactions.ts";
import { recordParameters, statementBlock } from "./sql.ts";

/*
 * What the instrumentations of SQLite share: all its drivers for Node that are traced are synchronous, so a call is over when it
 * returns, but for rows that are read one by one.
 */

const SYSTEM = "sqlite";

type AnyFunction = (...args: any[]) => any;

/** What became of a call, as far as its result says so. */
export interface SqliteOutcome {
  /** Rows returned; -1: not known. */
  readonly rows: number;
  /** Rows changed; -1: not known. */
  readonly changes: number;
}

class State {
  readonly sql: SqlStatement;
  readonly block: AttributeBlock;
  readonly args: ArrayLike<unknown> | undefined;

  constructor(sql: SqlStatement, block: AttributeBlock, args: ArrayLike<unknown> | undefined) {
    this.sql = sql;
    this.block = block;
    this.args = args;
  }
}

/** Traces the calls of one library. */
export class SqliteTracer {
  private readonly kit: Kit;
  private readonly bound: BoundOperation<SqliteOutcome, State>;
  private readonly transactions: SqlTransactions;
  private readonly blocks = new WeakMap<object, AttributeBlock>();
  private readonly pathOf: (database: any) => unknown;

  /** `pathOf` gives the file of a database, or ":memory:"; it may throw. */
  constructor(kit: Kit, pathOf: (database: any) => unknown) {
    this.kit = kit;
    this.bound = kit.bind(operation);
    this.transactions = new SqlTransactions(kit);
    this.pathOf = pathOf;
  }

  /** Calls `original`, which runs `text` to its end; `values` are what is bound to it, `args` what `original` is given. */
  run(
    original: AnyFunction,
    self: unknown,
    args: ArrayLike<unknown>,
    database: object | undefined,
    text: unknown,
    values: ArrayLike<unknown> | undefined,
    outcomeOf: (result: any) => SqliteOutcome,
  ): unknown {
    const call = this.begin(database, text, values);
    if (call === undefined) return Reflect.apply(original, self, args);
    let result: unknown;
    try {
      result = Reflect.apply(original, self, args);
    } catch (error) {
      this.fail(call, error);
      throw error;
    }
    this.succeed(call, result, outcomeOf);
    return result;
  }

  /** Calls `original`, which only reads `text`: a span where that fails, because nothing else will tell of it. */
  prepare(original: AnyFunction, self: any, args: ArrayLike<unknown>, text: unknown): unknown {
    const startMillis = now();
    try {
      return Reflect.apply(original, self, args);
    } catch (error) {
      const call = this.begin(self, text, undefined, startMillis);
      if (call !== undefined) this.fail(call, error);
      throw error;
    }
  }

  /** Calls `original`, which returns an iterator: the span ends with the last row, with a failure, or where the loop is left. */
  iterate(
    original: AnyFunction,
    self: unknown,
    args: ArrayLike<unknown>,
    database: object | undefined,
    text: unknown,
    values: ArrayLike<unknown> | undefined,
  ): unknown {
    const call = this.begin(database, text, values);
    if (call === undefined) return Reflect.apply(original, self, args);
    let iterator: any;
    try {
      iterator = Reflect.apply(original, self, args);
    } catch (error) {
      this.fail(call, error);
      throw error;
    }
    try {
      this.watchIterator(call, iterator);
    } catch (error) {
      this.kit.owner.disable("sqlite, rows one by one", error);
      call.succeed();
    }
    return iterator;
  }

  private begin(
    database: object | undefined,
    text: unknown,
    values: ArrayLike<unknown> | undefined,
    startMillis: number = now(),
  ): OperationCall<State> | undefined {
    const { owner, tracing, capture } = this.kit;
    if (!owner.enabled || database === undefined || typeof text !== "string") return undefined;
    const caller = tracing.active();
    if (caller.suppressed || tracing.declines(caller)) return undefined;
    try {
      const sql = capture.sql(text, "standard");
      const block = this.blockOf(database);
      const parent = this.transactions.parentOf(database, sql, block, caller, startMillis);
      const call = beginOperation(this.bound, database, [], new State(sql, block, values), parent, startMillis);
      this.transactions.join(database, call);
      return call;
    } catch (error) {
      owner.disable("sqlite, start", error);
      return undefined;
    }
  }

  private succeed(call: OperationCall<State>, result: unknown, outcomeOf: (result: any) => SqliteOutcome): void {
    try {
      call.succeed(outcomeOf(result));
      this.transactions.succeeded(call.self, call.state.sql);
    } catch (error) {
      this.kit.owner.disable("sqlite, result", error);
      call.succeed();
    }
  }

  private fail(call: OperationCall<State>, error: unknown): void {
    call.fail(error);
    this.transactions.failed(call.self, call.state.sql, error, false);
  }

  /** Own methods of the iterator, which the library's are found behind. */
  private watchIterator(call: OperationCall<State>, iterator: any): void {
    const { next, return: leave } = iterator;
    let rows = 0;
    const end = (): void => this.succeed(call, rows, (count) => ({ rows: count, changes: -1 }));
    const replace = (original: AnyFunction, ours: AnyFunction): void => {
      const value = sameShape(ours, original);
      Object.defineProperty(iterator, original.name, { value, configurable: true, enumerable: false, writable: true });
    };
    replace(next, (...args) => {
      let step: any;
      try {
        step = Reflect.apply(next, iterator, args);
      } catch (error) {
        this.fail(call, error);
        throw error;
      }
      if (step?.done === true) end();
      else rows++;
      return step;
    });
    if (typeof leave !== "function") return;
    replace(leave, (...args) => {
      end();
      return Reflect.apply(leave, iterator, args);
    });
  }

  private blockOf(database: object): AttributeBlock {
    let block = this.blocks.get(database);
    if (block === undefined) {
      let path: unknown;
      try {
        path = this.pathOf(database);
      } catch {
        // A database that is closed.
        return UNKNOWN_DATABASE;
      }
      const namespace = typeof path === "string" && path !== "" ? this.kit.capture.text(path) : undefined;
      block = new AttributeBlock({ [DB_SYSTEM_NAME]: SYSTEM, [DB_NAMESPACE]: namespace });
      this.blocks.set(database, block);
    }
    return block;
  }
}

const UNKNOWN_DATABASE = new AttributeBlock({ [DB_SYSTEM_NAME]: SYSTEM });

/** For `run`: `{ changes, lastInsertRowid }`. */
export function changesOf(result: { changes?: unknown } | undefined): SqliteOutcome {
  return { rows: -1, changes: Number(result?.changes ?? -1) };
}

/** For `all`: every row. */
export function rowsOf(result: unknown): SqliteOutcome {
  return { rows: Array.isArray(result) ? result.length : -1, changes: -1 };
}

/** For `get`: the first row, if there is one. */
export function rowOf(result: unknown): SqliteOutcome {
  return { rows: result === undefined || result === null ? 0 : 1, changes: -1 };
}

/** For `exec`: nothing. */
export function nothingOf(): SqliteOutcome {
  return { rows: -1, changes: -1 };
}

const operation: Operation<SqliteOutcome, State> = {
  title: "sqlite query",
  kind: KIND_CLIENT,
  leaf: true,
  start(span, { state: { sql, block, args } }, capture) {
    span.name = sql.summary === "" ? SYSTEM : sql.summary;
    span.attributeBlock(block);
    span.attributeBlock(statementBlock(sql));
    if (args !== undefined && args.length > 0 && capture.sqlParameters) describeValues(span, sql, args, capture);
  },
  finish(span, outcome, { state: { sql } }) {
    if (outcome === undefined) return;
    const { rows, changes } = outcome;
    if (rows !== -1) span.attribute(DB_RESPONSE_RETURNED_ROWS, rows);
    // The drivers say 0 for CREATE and BEGIN, too.
    if (changes > 0 || (changes === 0 && /^(?:insert|update|delete|replace)$/i.test(sql.operation))) {
      span.attribute(TRACEKIT_DB_AFFECTED_ROWS, changes);
    }
  },
  fail(span, error, { state: { sql } }, capture) {
    recordError(span, error, sql, capture);
  },
};

/** A position no statement has. */
const UNSEEN = Number.MAX_SAFE_INTEGER;

/** Values by position, lists of them, and objects with values by name, in any mixture. */
function describeValues(span: OperationSpan, sql: SqlStatement, args: ArrayLike<unknown>, capture: Capture): void {
  const values: unknown[] = [];
  for (let index = 0; index < args.length; index++) {
    const value = args[index];
    if (Array.isArray(value)) for (const each of value) values.push(each);
    else if (isNamed(value)) recordNamedParameters(span, sql, value, capture);
    else values.push(value);
  }
  if (values.length === 0) return;
  const isAligned = values.length === sql.parameterCount - sql.parameterNames.length;
  const isHidden = !isAligned && sql.isSensitiveParameter(UNSEEN);
  recordParameters(span, sql, values, capture, isHidden);
}

function isNamed(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

/** `errcode` is node:sqlite's number, "SQLITE_CONSTRAINT_UNIQUE" better-sqlite3's `code`. */
function recordError(span: OperationSpan, error: any, sql: SqlStatement, capture: Capture): void {
  const { code, errcode, message } = error ?? {};
  const status =
    typeof errcode === "number" ? String(errcode) : /^SQLITE_\w{1,60}$/.test(String(code)) ? String(code) : undefined;
  if (status === undefined || typeof message !== "string") return recordFailure(span, error);
  span.attribute(DB_RESPONSE_STATUS_CODE, status);
  const shown = withoutInput(message, sql);
  span.fail(status, capture.error(shown));
  const { name, stack } = error;
  span.recordException({ name, code: status, message: shown, stack: String(stack ?? "").replaceAll(message, shown) });
}

/** Messages quote the statement where it cannot be read, and a string in double quotes as the column it would be. */
function withoutInput(message: string, sql: SqlStatement): string {
  const column = /^no such column: (.*)$/s.exec(message)?.[1];
  // What the statement's own text does not show.
  if (column !== undefined && !sql.text.includes(column)) return `no such column: ${REDACTED}`;
  return message
    .replace(/unrecognized token: "[\s\S]*"/, `unrecognized token: "${REDACTED}"`)
    .replace(/near "(?![A-Za-z_]{1,32}"|[^\w'"$]{1,8}")[\s\S]*?"(?=: syntax error)/, `near "${REDACTED}"`)
    .replace(/bad JSON path: '[\s\S]*'/, `bad JSON path: '${REDACTED}'`);
}
