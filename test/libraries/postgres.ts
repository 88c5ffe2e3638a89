import { SQL_SERVER_ATTRIBUTES } from "./attributes.ts";
import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription = {
  instrumentation: "postgres",
  packages: { postgres: ["3.0.1", "3.0.6", "3.2.4", "3.3.5", "3.4.9"] },
  title: "postgres (Postgres.js)",
  server: "PostgreSQL",
  spans:
    "a query, cursor, `forEach` or COPY, from its execution to its end; a transaction around its queries; a `reserve()` that fails",
  attributes: [...SQL_SERVER_ATTRIBUTES, "db.query.parameter.<position>"],
  captured: "the statement without its literals, parameters (hidden where their column is secret), numbers of rows",
  limits: [
    "A query cancelled before it is executed has no span.",
    "A cursor left open has no span until its connection ends.",
    "No `server.address` where several hosts are configured.",
    "`sql.subscribe()`: the queries that start it, not its events.",
  ],
};
export default description;
