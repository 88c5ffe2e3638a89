import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { databaseContract, type TracedDatabase } from "../contract/database.ts";
import { childrenOf } from "../contract/scenarios.ts";
import description from "../libraries/better-sqlite3.ts";
import { expectDescribed } from "../libraries/description.ts";
import { cannotCompile, compileBindings } from "../support/compile.ts";
import { declareSqlite } from "./sqlite-tests.ts";

const head = `import Database from "better-sqlite3";
const library = "better-sqlite3";
const openDatabase = (path) => new Database(path);
openDatabase.SqliteError = Database.SqliteError;
`;

const versions = description.packages["better-sqlite3"] ?? [];
const bringsBinaries = (version: string): boolean => Number(version.split(".")[0]) >= 13;

declareVersions(versions.filter(bringsBinaries));

const packages = "g++ make python3";
describe.skipIf(cannotCompile("better-sqlite3 before 13", packages))("compiled", () => {
  const old = versions.filter((version) => !bringsBinaries(version));
  beforeAll(async () => {
    for (const version of old) await compileBindings({ "better-sqlite3": version }, "better-sqlite3", packages);
  }, 1_200_000);
  declareVersions(old);
});

function declareVersions(installed: readonly string[]): void {
  databaseContract(
    {
      instrumentation: "better-sqlite3",
      code: head + readFileSync(join(import.meta.dirname, "sqlite-app.mjs"), "utf8"),
      installs: installed.map((version) => ({ "better-sqlite3": version })),
      env: () => ({}),
      system: "sqlite",
      target: () => ({ "db.namespace": expect.stringMatching(/shop\.db$/) as string }),
      abilities: ["prepared", "stream", "transaction"],
      errors: {
        missingTable: { type: "SQLITE_ERROR", status: "SQLITE_ERROR" },
        missingColumn: { type: "SQLITE_ERROR", status: "SQLITE_ERROR" },
        duplicate: { type: "SQLITE_CONSTRAINT_UNIQUE", status: "SQLITE_CONSTRAINT_UNIQUE" },
      },
    },
    declareOwn,
    (spans) => expectDescribed(description, spans),
  );
}

function declareOwn(traced: TracedDatabase): void {
  declareSqlite(traced, "SQLITE_ERROR", "SQLITE_CONSTRAINT_UNIQUE");
  const { spansIn, brief, run } = traced;

  test("transaction() is a span around its queries, and savepoints are among them", () => {
    const names = spansIn("transaction()").map((span) => childrenOf(run(), span).map(({ name }) => name));
    const nested = ["BEGIN", "INSERT urls", "SAVEPOINT", "INSERT urls"];
    expect(names).toEqual([
      [...nested, "RELEASE", "COMMIT"],
      [...nested, "RELEASE", "COMMIT"],
      [...nested, "ROLLBACK", "RELEASE", "ROLLBACK"],
    ]);
    expect(brief("transaction()").map(({ transaction_outcome: outcome }) => outcome)).toEqual([
      "commit",
      "commit",
      "rollback",
    ]);
    expect(spansIn("first statement").map(({ name }) => name)).toEqual(["transaction"]);
  });

  test("values bound for good are those of every run", () => {
    expect(brief("bind, pluck and pragma")).toMatchObject([
      { name: "SELECT users", $0: "REDACTED", $1: "ann@b.example", returned_rows: 1 },
      { name: "PRAGMA", returned_rows: 1 },
    ]);
  });
}
