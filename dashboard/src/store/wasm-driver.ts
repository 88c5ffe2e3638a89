import { createRequire } from "node:module";
import { rmSync } from "node:fs";
import type * as Wasm from "node-sqlite3-wasm";
import { LONG_TEXT, type Bindable, type Driver, type Row, type SqlValue } from "./driver.ts";
import { StatementCache } from "./statement-cache.ts";

type Kept = Pick<Wasm.Statement, "finalize"> & { run(values: SqlValue[]): unknown; all(values: SqlValue[]): Row[] };

/** SQLite as WebAssembly, for Nodes without their own. The caller has made sure that no other process uses the file. */
export function openWasm(path: string | undefined): Driver {
  const wasm = createRequire(import.meta.url)("node-sqlite3-wasm") as typeof Wasm;
  // Its lock is a folder, which a killed process leaves behind for ever.
  if (path !== undefined) rmSync(`${path}.lock`, { recursive: true, force: true });
  const database = new wasm.Database(path ?? ":memory:");
  const statements = new StatementCache<Kept>((sql) => database.prepare(sql) as unknown as Kept, finalize);

  // A statement that failed refuses every later use (its reset reports the old failure again), so none survives one.
  const guarded = <Result>(work: () => Result): Result => {
    try {
      return work();
    } catch (error) {
      statements.clear();
      throw error;
    }
  };
  return {
    name: "node-sqlite3-wasm",
    exec: (sql) => database.exec(sql),
    prepare: (sql) => ({
      run(values) {
        const bound = sql.includes(LONG_TEXT) ? values.map(toBytes) : values;
        guarded(() => void statements.get(sql).run(bound as SqlValue[]));
      },
      all: (values) => guarded(() => statements.get(sql).all(values as SqlValue[])),
    }),
    transaction(work) {
      database.exec("BEGIN IMMEDIATE");
      try {
        const result = work();
        database.exec("COMMIT");
        return result;
      } catch (error) {
        statements.clear();
        if (database.inTransaction) database.exec("ROLLBACK");
        throw error;
      }
    },
    close() {
      statements.clear();
      database.close();
    },
  };
}

function toBytes(value: Bindable): Bindable {
  return typeof value === "string" ? Buffer.from(value) : value;
}

function finalize(statement: Kept): void {
  try {
    statement.finalize();
  } catch {
    // Throws what the statement's last use threw; it is gone all the same.
  }
}
