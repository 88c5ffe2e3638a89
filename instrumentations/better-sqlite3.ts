/**
 * better-sqlite3.
 *
 * `run`, `get`, `all`, `exec` and `pragma` are CLIENT spans, and `iterate` is one until its last row or until its loop is left. A
 * statement that cannot be prepared is a failed span. A transaction, by `transaction()` or by hand, is a span around its
 * queries.
 *
 * Known limitations:
 * - An iterator that is neither read to its end nor left has no span.
 * - Values bound by position beside values bound by name to the same statement are shown by position among themselves.
 */
import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import { changesOf, nothingOf, rowOf, rowsOf, type SqliteOutcome, SqliteTracer } from "./shared/sqlite.ts";

const VERSIONS = ">=8 <14";

const betterSqlite3: Instrumentation = defineInstrumentation({
  name: "better-sqlite3",
  modules: [
    // The methods are taken from here, by the main entry and by those for one platform.
    { name: "better-sqlite3", versions: VERSIONS, file: "lib/methods/wrappers.js", patch: patchWrappers },
    { name: "better-sqlite3", versions: VERSIONS, file: "lib/index.js", patch: patchDatabase },
  ],
});
export default betterSqlite3;

const tracers = new WeakMap<Kit, SqliteTracer>();

function tracerOf(kit: Kit): SqliteTracer {
  let tracer = tracers.get(kit);
  if (tracer === undefined) {
    tracer = new SqliteTracer(kit, (database) => database.name);
    tracers.set(kit, tracer);
  }
  return tracer;
}

function patchWrappers(wrappers: any, kit: Kit): void {
  const tracer = tracerOf(kit);
  kit.wrap(
    wrappers,
    "prepare",
    (original) =>
      function prepare(this: any, sql: any): any {
        if (!kit.owner.enabled) return Reflect.apply(original, this, arguments);
        const statement = tracer.prepare(original, this, arguments, sql);
        patchStatement(statement, kit);
        return statement;
      },
  );
  kit.wrap(
    wrappers,
    "exec",
    (original) =>
      function exec(this: any, sql: any): any {
        return tracer.run(original, this, arguments, this, sql, undefined, nothingOf);
      },
  );
}

function patchDatabase(Database: any, kit: Kit): void {
  let isPrepared = false;
  kit.wrap(
    Database.prototype,
    "transaction",
    (original) =>
      function transaction(this: any): any {
        if (kit.owner.enabled && !isPrepared) {
          isPrepared = true;
          try {
            // Its BEGIN and COMMIT are prepared behind the scenes, maybe before any other statement.
            this.prepare("SELECT 1");
          } catch {
            // A database that is closed says so itself.
          }
        }
        return Reflect.apply(original, this, arguments);
      },
  );
}

/** The native class of statements, which is not to be had but by preparing one. */
let patchedPrototype: object | undefined;

function patchStatement(statement: any, kit: Kit): void {
  const prototype = Object.getPrototypeOf(statement) as object;
  if (prototype === patchedPrototype) return;
  patchedPrototype = prototype;
  try {
    patchPrototype(prototype, kit);
  } catch (error) {
    kit.owner.disable("better-sqlite3 Statement", error);
  }
}

/** What `bind()` has bound for good. */
const boundValues = new WeakMap<object, ArrayLike<unknown>>();

const OUTCOMES: ReadonlyArray<[method: string, outcomeOf: (result: any) => SqliteOutcome]> = [
  ["run", changesOf],
  ["get", rowOf],
  ["all", rowsOf],
];

function patchPrototype(prototype: any, kit: Kit): void {
  const tracer = tracerOf(kit);
  for (const [method, outcomeOf] of OUTCOMES) {
    kit.wrap(
      prototype,
      method,
      (original) =>
        function (this: any): any {
          const values = arguments.length > 0 ? arguments : boundValues.get(this);
          return tracer.run(original, this, arguments, this?.database, this?.source, values, outcomeOf);
        },
    );
  }
  kit.wrap(
    prototype,
    "iterate",
    (original) =>
      function iterate(this: any): any {
        const values = arguments.length > 0 ? arguments : boundValues.get(this);
        return tracer.iterate(original, this, arguments, this?.database, this?.source, values);
      },
  );
  kit.wrap(
    prototype,
    "bind",
    (original) =>
      function bind(this: any): any {
        const result = Reflect.apply(original, this, arguments);
        if (kit.owner.enabled) boundValues.set(this, arguments);
        return result;
      },
  );
}
