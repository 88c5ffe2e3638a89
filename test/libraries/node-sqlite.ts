import betterSqlite3 from "./better-sqlite3.ts";
import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription = {
  instrumentation: "node-sqlite",
  // Versions of Node.
  packages: { "node:sqlite": ["22.23.3", "24.21.0", "26.10.0"] },
  server: "its own SQLite",
  spans: "a query, and a transaction around its queries; an iteration is one span",
  attributes: betterSqlite3.attributes,
  captured: "bound parameters",
  limits: [
    "What CommonJS code does in the same turn in which it first requires `node:sqlite` is not traced.",
    "The path of a database is known from Node 22.16.",
    "An iterator that is neither read to its end nor left has no span.",
  ],
};
export default description;
