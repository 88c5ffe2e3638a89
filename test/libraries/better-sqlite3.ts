import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription = {
  instrumentation: "better-sqlite3",
  // From 13 on the package brings its binaries. Older ones are compiled by their tests.
  packages: { "better-sqlite3": ["8.0.0", "8.7.0", "9.6.0", "10.1.0", "11.10.0", "12.11.1", "13.0.0", "13.2.0"] },
  server: "its own SQLite",
  spans: "a query, and a transaction around its queries; an iteration is one span",
  attributes: [
    "db.namespace",
    "db.query.parameter.<position or name>",
    "db.query.summary",
    "db.query.text",
    "db.response.returned_rows",
    "db.response.status_code",
    "db.system.name",
    "tracekit.db.affected_rows",
    "tracekit.db.transaction_outcome",
  ],
  captured: "bound parameters",
  limits: ["An iterator that is neither read to its end nor left has no span."],
};
export default description;
