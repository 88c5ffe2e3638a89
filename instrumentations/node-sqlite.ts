/**
 * node:sqlite (Node 22.5 and later).
 *
 * `run`, `get`, `all` and `exec` are CLIENT spans, and `iterate` is one until its last row or until its loop is left. A statement
 * that cannot be prepared is a failed span. A transaction is a span around its queries.
 *
 * Node's own diagnostics channel `sqlite.db.query` (from Node 26) is not used: it gives the statement with its values written
 * into it.
 *
 * Known limitations:
 * - What CommonJS code does in the same turn in which it first requires node:sqlite is not traced.
 * - Statements that a session or `applyChangeset` run inside SQLite have no span, nor has `backup()`.
 * - The path of a database is known from Node 22.16.
 * - An iterator that is neither read to its end nor left has no span.
 */
import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import { createHiddenSlot } from "./shared/hidden-slot.ts";
import { changesOf, nothingOf, rowOf, rowsOf, type SqliteOutcome, SqliteTracer } from "./shared/sqlite.ts";

const nodeSqlite: Instrumentation = defineInstrumentation({
  name: "node-sqlite",
  modules: [{ name: "node:sqlite", versions: ">=22.5 <27", file: "", patch: patchSqlite }],
});
export default nodeSqlite;

/** Where a statement, or a store of statements, comes from. */
interface Origin {
  readonly database: object;
  /** Undefined for a store. */
  readonly text: unknown;
}

const origins = createHiddenSlot<Origin>();

function originOf(made: unknown): Origin | undefined {
  return typeof made === "object" && made !== null ? origins.get(made) : undefined;
}

const OUTCOMES: ReadonlyArray<[method: string, outcomeOf: (result: any) => SqliteOutcome]> = [
  ["run", changesOf],
  ["get", rowOf],
  ["all", rowsOf],
];

function patchSqlite({ DatabaseSync, StatementSync }: any, kit: Kit): void {
  // Null where the database is in memory.
  const tracer = new SqliteTracer(kit, (database) =>
    typeof database.location === "function" ? (database.location() ?? ":memory:") : undefined,
  );

  kit.wrap(
    DatabaseSync.prototype,
    "exec",
    (original) =>
      function exec(this: any, sql: any): any {
        return tracer.run(original, this, arguments, this, sql, undefined, nothingOf);
      },
  );
  kit.wrap(
    DatabaseSync.prototype,
    "prepare",
    (original) =>
      function prepare(this: any, sql: any): any {
        const statement = tracer.prepare(original, this, arguments, sql);
        remember(statement, { database: this, text: sql });
        return statement;
      },
  );
  kit.wrap(
    DatabaseSync.prototype,
    "createTagStore",
    (original) =>
      function createTagStore(this: any): any {
        const store = Reflect.apply(original, this, arguments);
        if (remember(store, { database: this, text: undefined })) patchStore(Object.getPrototypeOf(store));
        return store;
      },
  );

  for (const [method, outcomeOf] of OUTCOMES) {
    kit.wrap(
      StatementSync.prototype,
      method,
      (original) =>
        function (this: any): any {
          const origin = originOf(this);
          return tracer.run(original, this, arguments, origin?.database, origin?.text, arguments, outcomeOf);
        },
    );
  }
  kit.wrap(
    StatementSync.prototype,
    "iterate",
    (original) =>
      function iterate(this: any): any {
        const origin = originOf(this);
        return tracer.iterate(original, this, arguments, origin?.database, origin?.text, arguments);
      },
  );

  function remember(made: unknown, origin: Origin): boolean {
    if (!kit.owner.enabled || typeof made !== "object" || made === null) return false;
    try {
      origins.set(made, origin);
      return true;
    } catch (error) {
      kit.owner.disable("node:sqlite, statements", error);
      return false;
    }
  }

  /** Statements written as template literals. The class is not exported. */
  function patchStore(prototype: any): void {
    for (const [method, outcomeOf] of OUTCOMES) {
      kit.wrap(
        prototype,
        method,
        (original) =>
          function (this: any, strings: any, ...values: any[]): any {
            return tracer.run(original, this, arguments, originOf(this)?.database, textOf(strings), values, outcomeOf);
          },
      );
    }
    kit.wrap(
      prototype,
      "iterate",
      (original) =>
        function iterate(this: any, strings: any, ...values: any[]): any {
          return tracer.iterate(original, this, arguments, originOf(this)?.database, textOf(strings), values);
        },
    );
  }
}

/** The parts of a template literal, with a placeholder for each value. */
function textOf(strings: unknown): unknown {
  return Array.isArray(strings) ? strings.join("?") : undefined;
}
