import type { SqlStatement } from "../../src/capture/sql.ts";
import type { Kit } from "../../src/instrumentation/kit.ts";
import type { Operation } from "../../src/instrumentation/operation.ts";
import { type BoundOperation, beginOperation, type OperationCall } from "../../src/instrumentation/trace-operation.ts";
import { TRACEKIT_DB_TRANSACTION_OUTCOME } from "../../src/semconv/attributes.ts";
import type { AttributeBlock } from "../../src/trace/attributes.ts";
import type { TraceContext } from "../../src/trace/context.ts";
import { KIND_INTERNAL } from "../../src/trace/span-kind.ts";

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

/** From when BEGIN is sent until COMMIT or ROLLBACK is answered. */
interface OpenTransaction {
  readonly call: OperationCall;
  /** COMMIT or ROLLBACK is on its way: what is sent behind it is not part of the transaction. */
  isEnding: boolean;
}

/**
 * The transactions open on the connections of one library: a span each, from the start of BEGIN to the end of COMMIT or
 * ROLLBACK, and the parent of every query between that was sent from where BEGIN was. The application's own code does not run
 * inside it: nothing tells where its part of the transaction ends. A query below another span stays there (`join` links it).
 */
export class SqlTransactions {
  /** Transactions open on all connections: none, and nothing else needs to be asked. Those of lost connections may count. */
  openCount = 0;
  private readonly bound: BoundOperation<string, AttributeBlock | undefined>;
  /** By connection, in the order they began: a client may send BEGIN before the COMMIT before it is answered. */
  private readonly open = new WeakMap<object, OpenTransaction[]>();

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
    const step = stepOf(sql);
    let transaction = this.current(connection);
    if (transaction === undefined) {
      if (step !== BEGINS) return caller;
      const call = beginOperation(this.bound, connection, [], block, caller, startMillis);
      if (call === undefined) return caller;
      transaction = { call, isEnding: false };
      const transactions = this.open.get(connection);
      if (transactions === undefined) this.open.set(connection, [transaction]);
      else transactions.push(transaction);
      this.openCount++;
    }
    if (step === COMMITS || step === ROLLS_BACK) transaction.isEnding = true;
    return transaction.call.caller.span === caller.span ? transaction.call.context : caller;
  }

  /** Links a query that has another span for its parent to the transaction it is part of. Before it is sent. */
  join(connection: object, query: OperationCall | undefined): void {
    const transaction = this.current(connection);
    if (transaction === undefined || query === undefined || query.caller.span === transaction.call.context.span) return;
    query.span.link(transaction.call.span.spanContext());
  }

  /** After a query's own span has ended well. `command` is what the server says it did: COMMIT may have been a rollback. */
  succeeded(connection: object, sql: SqlStatement, command?: unknown): void {
    if (this.openCount === 0) return;
    const step = stepOf(sql);
    if (step !== COMMITS && step !== ROLLS_BACK) return;
    this.take(connection)?.succeed(step === ROLLS_BACK || command === "ROLLBACK" ? "rollback" : "commit");
  }

  /** After a query's own span has failed; `isLost` when its connection is gone, and the transaction with it. */
  failed(connection: object, sql: SqlStatement | undefined, error: unknown, isLost: boolean): void {
    if (this.openCount === 0) return;
    if (isLost) {
      for (let call = this.take(connection); call !== undefined; call = this.take(connection)) call.fail(error);
    } else if (sql !== undefined && stepOf(sql) !== NOTHING) {
      this.take(connection)?.fail(error);
    }
  }

  /** The connection has ended, or was given back to its pool, with a transaction open: nobody will say how that ends. */
  abandoned(connection: object): void {
    const transaction = this.current(connection);
    if (transaction === undefined) return;
    this.open.get(connection)?.pop();
    this.openCount--;
    transaction.call.succeed("unfinished");
  }

  private current(connection: object): OpenTransaction | undefined {
    const transaction = this.openCount === 0 ? undefined : this.open.get(connection)?.at(-1);
    return transaction?.isEnding === true ? undefined : transaction;
  }

  /** The first of the connection's transactions, which is open no longer. */
  private take(connection: object): OperationCall | undefined {
    const transactions = this.open.get(connection);
    const first = transactions?.shift();
    if (first === undefined) return undefined;
    this.openCount--;
    if (transactions?.length === 0) this.open.delete(connection);
    return first.call;
  }
}

/**
 * Whether a text is worth asking `parentOf` about while no transaction is open: BEGIN and START, after white space or a
 * comment. For where the statement is not parsed yet.
 */
export function mayBegin(text: unknown): boolean {
  if (typeof text !== "string") return false;
  let index = 0;
  let code = text.charCodeAt(0);
  while (code <= 32) code = text.charCodeAt(++index);
  // "/" "-" "#" "B" "b", and "ST" "st"
  if (code === 47 || code === 45 || code === 35 || code === 66 || code === 98) return true;
  return (code === 83 || code === 115) && (text.charCodeAt(index + 1) | 32) === 116;
}

const steps = new WeakMap<SqlStatement, number>();

function stepOf(sql: SqlStatement): number {
  let step = steps.get(sql);
  if (step === undefined) {
    step = readStep(sql.text);
    steps.set(sql, step);
  }
  return step;
}

const COMMENTS = /^(?:\s|--[^\n]*\n|#[^\n]*\n|\/\*[^]*?\*\/)+/;

/**
 * What a text leaves behind: the last of its statements that begins or ends a transaction. One that ends what it has begun
 * is a transaction within one query. Literals are masked already, so that a semicolon ends a statement.
 */
function readStep(text: string): number {
  const statements = text.split(";").map((statement) => statement.replace(COMMENTS, ""));
  // The bodies of functions and triggers have statements, and an END, of their own.
  if (/^create\b/i.test(statements[0] ?? "")) return NOTHING;
  const found = statements.map(stepOfStatement).filter((step) => step !== NOTHING);
  const last = found.at(-1) ?? NOTHING;
  return found[0] === BEGINS && last !== BEGINS ? NOTHING : last;
}

function stepOfStatement(statement: string): number {
  if (/^(?:begin|start\s+transaction)\b/i.test(statement)) return BEGINS;
  // The next one begins at once, and its queries stay in the same span.
  if (/\band\s+chain\b/i.test(statement)) return NOTHING;
  if (/^(?:commit(?!\s+prepared)|end|prepare\s+transaction)\b/i.test(statement)) return COMMITS;
  if (/^(?:rollback|abort)\b/i.test(statement)) {
    return /^\w+(?:\s+(?:work|transaction))?\s+(?:to|prepared)\b/i.test(statement) ? NOTHING : ROLLS_BACK;
  }
  return NOTHING;
}
