import { SQL_SERVER_ATTRIBUTES } from "./attributes.ts";
import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription = {
  instrumentation: "mysql2",
  // 2.3 has timeouts; 3.11.4 is the last with the old layout of its files, 3.11.5 the first with the new one.
  packages: { mysql2: ["2.0.0", "2.3.0", "2.3.3", "3.0.0", "3.11.4", "3.11.5", "3.24.5"] },
  server: "MariaDB 10.11",
  spans: "a query, and a transaction around its queries; `prepare()`; opening a connection, where no query tells of it",
  attributes: [
    ...SQL_SERVER_ATTRIBUTES,
    "db.operation.name",
    "db.query.parameter.<position or name>",
    "tracekit.db.sqlstate",
  ],
  captured: "bound parameters",
  limits: [
    "A stream that is neither read to its end nor destroyed has no span until its connection ends.",
    "A query sent while the first connection to a server is being opened is told apart as MySQL's or MariaDB's at its end.",
    "Errors of a pool cluster that has no pool to choose have no span.",
    "Tested against MariaDB; no MySQL server was at hand.",
  ],
};
export default description;
