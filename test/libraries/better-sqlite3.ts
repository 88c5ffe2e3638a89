import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription = {
  instrumentation: "better-sqlite3",
  // From 13 on the package brings its binaries. Older ones have to be compiled: 8.7.0 and 12.11.1 were, by hand, and show the same spans.
  packages: { "better-sqlite3": ["13.0.0", "13.2.0"] },
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
  limits: [
    "An iterator that is neither read to its end nor left has no span.",
    "Versions before 13 have to be compiled and are not part of the test run.",
  ],
};
export default description;
