/**
 * pg (Client, native Client, any Submittable) and pg-pool.
 *
 * A query is a CLIENT span from `client.query()` to the moment pg settles it, so it includes the time a query waits behind
 * others on its connection. The wait for a pooled connection, when it was a millisecond or more, is
 * `tracekit.db.pool_wait_ms` on the first query after the checkout. `pg.connect` is a span of its own where no query could
 * tell: when the pool or the server refuses, and when the application connects a client without a pool within a trace.
 * A transaction is a span from BEGIN to COMMIT or ROLLBACK; see `shared/sql-transactions.ts`.
 *
 * Known limitations:
 * - A query that pg never settles (removed by `client.cancel()`, or its callback dropped) has no span.
 * - A cursor or stream that is neither read to its end nor closed has no span until its connection ends.
 * - A transaction begun by a text that begins with another statement, or inside a function, is no span. Savepoints are queries.
 * - Rows of COPY … TO STDOUT are handed out in the connection's context, not in the caller's.
 * - Bound parameters are read when `query()` is called; an object with `toPostgres` is named, not converted twice.
 * - Up to 8.23.0 pg writes `values` and `callback` into the config object it is given. Traced, it leaves it alone, as later
 *   versions do.
 */
import { defineInstrumentation, type Instrumentation } from "../../src/instrumentation/instrumentation.ts";
import type { Kit } from "../../src/instrumentation/kit.ts";
import { clientWrappers } from "./client.ts";
import { poolWrappers } from "./pool.ts";

const pg: Instrumentation = defineInstrumentation({
  name: "pg",
  modules: [
    { name: "pg", versions: ">=8.0.3 <9", file: "lib/client.js", patch: patchClient },
    { name: "pg", versions: ">=8.0.3 <9", file: "lib/native/client.js", patch: patchClient },
    { name: "pg-pool", versions: ">=2 <4", file: "index.js", patch: patchPool },
  ],
});
export default pg;

function patchClient(Client: any, kit: Kit): void {
  kit.wrapLater(Client.prototype, ["query", "connect", "_handleNotification"], () => clientWrappers(Client, kit));
}

function patchPool(Pool: any, kit: Kit): void {
  kit.wrapLater(Pool.prototype, ["connect", "query", "newClient", "_release"], () => poolWrappers(kit));
}
