import type { Bindable, Driver, Row, SqlValue, Statement } from "./driver.ts";
import { StatementCache } from "./statement-cache.ts";

// As far as it is used here; the types of Node 20 do not know the module.
interface NodeSqlite {
  DatabaseSync: new (path: string) => {
    exec(sql: string): void;
    prepare(sql: string): { run(...values: Bindable[]): unknown; all(...values: SqlValue[]): Row[] };
    close(): void;
  };
}

/** Undefined where this Node has no `node:sqlite`. */
export function openNodeSqlite(path: string | undefined): Driver | undefined {
  const sqlite = loadNodeSqlite();
  if (sqlite === undefined) return undefined;
  const database = new sqlite.DatabaseSync(path ?? ":memory:");
  const statements = new StatementCache<Statement>(
    (sql) => {
      const prepared = database.prepare(sql);
      return { run: (values) => void prepared.run(...values), all: (values) => prepared.all(...values) };
    },
    () => {},
  );
  return {
    name: "node:sqlite",
    exec: (sql) => database.exec(sql),
    prepare: (sql) => statements.get(sql),
    transaction(work) {
      database.exec("BEGIN IMMEDIATE");
      try {
        const result = work();
        database.exec("COMMIT");
        return result;
      } catch (error) {
        try {
          database.exec("ROLLBACK");
        } catch {
          // SQLite has rolled back by itself, as it does when the disk is full.
        }
        throw error;
      }
    },
    close: () => database.close(),
  };
}

export function hasNodeSqlite(): boolean {
  return loadNodeSqlite() !== undefined;
}

function loadNodeSqlite(): NodeSqlite | undefined {
  const { emitWarning } = process;
  // Node 22 warns that the module is experimental; what users get to see is our own output.
  process.emitWarning = ((warning: string | Error, ...rest: unknown[]) => {
    if (rest[0] === "ExperimentalWarning" && String(warning).includes("SQLite")) return;
    Reflect.apply(emitWarning, process, [warning, ...rest]);
  }) as typeof process.emitWarning;
  try {
    return process.getBuiltinModule("node:sqlite" as "node:fs") as unknown as NodeSqlite | undefined;
  } finally {
    process.emitWarning = emitWarning;
  }
}
