import { SQL_SERVER_ATTRIBUTES } from "./attributes.ts";
import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription = {
  instrumentation: "pg",
  packages: {
    pg: ["8.0.3", "8.7.3", "8.11.0", "8.16.3", "8.23.1"],
    "pg-pool": ["2.0.10", "3.4.1", "3.6.0", "3.10.1", "3.14.0"],
    "pg-cursor": ["2.1.11", "2.22.0"],
    "pg-query-stream": ["3.0.8", "4.17.0"],
    "pg-copy-streams": ["4.0.0", "7.0.0"],
    "pg-native": ["3.9.0"],
  },
  server: "PostgreSQL",
  spans:
    "a query, cursor, stream or COPY; a transaction, as the parent of its queries; a connection that fails, or that the application makes within a trace",
  attributes: [...SQL_SERVER_ATTRIBUTES, "db.query.parameter.<position>", "tracekit.db.statement_name"],
  captured: "bound parameters, by column",
  limits: [
    "A transaction is found by the text that begins it: one begun by a text that starts with another statement is no span.",
    "Savepoints are queries.",
    "A cursor that is neither read to its end nor closed has no span until its connection ends.",
    "Where LISTEN hears a notification, nothing tells which trace it came from.",
  ],
};
export default description;
