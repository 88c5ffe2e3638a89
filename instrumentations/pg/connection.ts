import type { Kit } from "../../src/instrumentation/kit.ts";
import type { AttributeBlock } from "../../src/trace/attributes.ts";
import type { TraceContext } from "../../src/trace/context.ts";
import { createHiddenSlot } from "../shared/hidden-slot.ts";
import { targetBlock } from "../shared/postgresql.ts";
import { SqlTransactions } from "../shared/sql-transactions.ts";

/** What all queries of a connection share. */
export class Connection {
  readonly block: AttributeBlock;
  /** How long its present holder waited for it; 0 once a query has said so. */
  poolWaitMillis = 0;
  /** What `pool.query()` was given, where it is about to ask this connection: with a callback of the pool's own. */
  poolQuery: unknown = undefined;
  /** Who called `pool.query()`; while `poolQuery` is set. */
  poolCaller: TraceContext | undefined = undefined;
  /** Somebody listens for its end, because it has had transactions. */
  isWatched = false;

  constructor(block: AttributeBlock) {
    this.block = block;
  }
}

const connections = createHiddenSlot<Connection>();

/** Of a Client, native or not. */
export function connectionOf(client: any): Connection {
  let connection = connections.get(client);
  if (connection === undefined) {
    connection = new Connection(targetBlock(client.host, client.port, client.database));
    connections.set(client, connection);
  }
  return connection;
}

const transactions = new WeakMap<Kit, SqlTransactions>();

/** The same for clients and pools. */
export function transactionsOf(kit: Kit): SqlTransactions {
  let found = transactions.get(kit);
  if (found === undefined) {
    found = new SqlTransactions(kit);
    transactions.set(kit, found);
  }
  return found;
}

/** Ends the span of a transaction that nobody has ended when the connection does. Once a connection. */
export function watchEnd(client: any, connection: Connection, open: SqlTransactions): void {
  if (connection.isWatched) return;
  connection.isWatched = true;
  // Not the application's own emitter, but for native clients, which have no other. After the queries have failed.
  (client.connection ?? client).once("end", () => setImmediate(() => open.abandoned(connection)));
}

/** The pool for which a client is being connected right now, synchronously. */
let connectingPool: object | undefined;
/** Server and database of a pool, from the last client it made. */
const poolBlocks = new WeakMap<object, AttributeBlock>();

/** Runs a pool's `newClient`: it connects the client it makes at once. */
export function connectingFor(pool: object, newClient: (...args: any[]) => unknown, args: ArrayLike<unknown>): unknown {
  const outer = connectingPool;
  connectingPool = pool;
  try {
    return Reflect.apply(newClient, pool, args);
  } finally {
    connectingPool = outer;
  }
}

/** Whether a pool connects this client: what comes of it, the pool's caller is told. */
export function isConnectedByPool(client: object): boolean {
  if (connectingPool === undefined) return false;
  poolBlocks.set(connectingPool, connectionOf(client).block);
  return true;
}

/** Where a pool connects to. */
export function poolBlock(pool: any): AttributeBlock {
  const { host, port, database } = pool.options ?? {};
  return poolBlocks.get(pool) ?? targetBlock(host, port, database);
}
