import type { SqlStatement } from "../../src/capture/sql.ts";
import type { Kit } from "../../src/instrumentation/kit.ts";
import type { Operation } from "../../src/instrumentation/operation.ts";
import { type BoundOperation, beginOperation, type OperationCall } from "../../src/instrumentation/trace-operation.ts";
import { TRACEKIT_DB_TRANSACTION_OUTCOME } from "../../src/semconv/attributes.ts";
import type { AttributeBlock } from "../../src/trace/attributes.ts";
import type { TraceContext } from "../../src/trace/context.ts";
import { KIND_INTERNAL } from "../../src/trace/tracer.ts";

const NOTHING = 0;
const BEGINS = 1;
const COMMITS = 2;
const ROLLS_BACK = 3;

const transactionOperation: Operation<string, AttributeBlock | undefined> = {
  title: "transaction",
  kind: KIND_INTERNAL,
  leaf: false,
  start(span, call) {
    if (call.state !== undefined) span.attributeBlock(call.state);
  },
  finish(span, outcome) {
    span.attribute(TRACEKIT_DB_TRANSACTION_OUTCOME, outcome);
  },
};

/**
 * The transactions open on the connections of one library: a span each, from the start of BEGIN to the end of COMMIT or
 * ROLLBACK, and the parent of every query between that was sent from where BEGIN was. The application's own code does not run
 * inside it: nothing tells where its part of the transaction ends.
 */
export class SqlTransactions {
  private readonly bound: BoundOperation<string, AttributeBlock | undefined>;
  private readonly open = new WeakMap<object, OperationCall>();

  constructor(kit: Kit) {
    this.bound = kit.bind(transactionOperation);
  }

  /** The context a query is to be started in. `connection` is any object that stands for the session with the server. */
  parentOf(
    connection: object,
    sql: SqlStatement,
    block: AttributeBlock | undefined,
    caller: TraceContext,
    startMillis: number,
  ): TraceContext {
    let transaction = this.open.get(connection);
    if (stepOf(sql) === BEGINS) {
      // Left open by whoever had the connection before, or BEGIN within a transaction, which the server only warns about.
      if (transaction !== undefined) return this.below(transaction, caller);
      transaction = beginOperation(this.bound, connection, [], block, caller, startMillis);
      if (transaction !== undefined) this.open.set(connection, transaction);
    }
    return transaction === undefined ? caller : this.below(transaction, caller);
  }

  /** After a query's own span has ended well. `command` is what the server says it did: COMMIT may have been a rollback. */
  succeeded(connection: object, sql: SqlStatement, command?: unknown): void {
    const step = stepOf(sql);
    if (step !== COMMITS && step !== ROLLS_BACK) return;
    const transaction = this.open.get(connection);
    if (transaction === undefined) return;
    this.open.delete(connection);
    transaction.succeed(step === ROLLS_BACK || command === "ROLLBACK" ? "rollback" : "commit");
  }

  /** After a query's own span has failed; `isLost` when its connection is gone, and the transaction with it. */
  failed(connection: object, sql: SqlStatement | undefined, error: unknown, isLost: boolean): void {
    if (!isLost && (sql === undefined || stepOf(sql) === NOTHING)) return;
    const transaction = this.open.get(connection);
    if (transaction === undefined) return;
    this.open.delete(connection);
    transaction.fail(error);
  }

  private below(transaction: OperationCall, caller: TraceContext): TraceContext {
    return transaction.caller.span === caller.span ? transaction.context : caller;
  }
}

const steps = new WeakMap<SqlStatement, number>();

function stepOf(sql: SqlStatement): number {
  let step = steps.get(sql);
  if (step === undefined) {
    step = readStep(sql);
    steps.set(sql, step);
  }
  return step;
}

function readStep({ text }: SqlStatement): number {
  if (/^\s*(?:begin|start\s+transaction)\b/i.test(text)) return BEGINS;
  if (/^\s*(?:commit|end|prepare\s+transaction)\b/i.test(text)) return COMMITS;
  if (
    /^\s*(?:rollback|abort)\b/i.test(text) &&
    !/^\s*\w+(?:\s+(?:work|transaction))?\s+(?:to|prepared)\b/i.test(text)
  ) {
    return ROLLS_BACK;
  }
  return NOTHING;
}
