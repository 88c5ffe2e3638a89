// The application of better-sqlite3.test.ts and node-sqlite.test.ts, which put the library's own lines before it: `openDatabase(path)`
// and `library`.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runDatabase } from "./database-app.cjs";
import { describeError, failureOf, scenario, sleep, unsampledScenario } from "./scenarios-app.cjs";

const folder = mkdtempSync(join(tmpdir(), "tracekit-sqlite-"));
const file = join(folder, "shop.db");
let db;

const shape = (result) =>
  Array.isArray(result)
    ? result.map((row) => ({ ...row }))
    : result !== null && typeof result === "object"
      ? { ...result, lastInsertRowid: undefined }
      : result;

const send = (database, text, values = []) => {
  const statement = database.prepare(text);
  return /^\s*SELECT/i.test(text) ? statement.all(...values) : statement.run(...values);
};

const statements = new Map();

runDatabase({
  shape,
  open() {
    db = openDatabase(file);
    db.exec("PRAGMA journal_mode = wal");
  },
  query: (text, values) => send(db, text, values),
  prepared(text, values) {
    if (!statements.has(text)) statements.set(text, db.prepare(text));
    return statements.get(text).all(...values);
  },
  stream: (text, values) => db.prepare(text).iterate(...values),
  async transaction(work) {
    const session = openDatabase(file);
    try {
      session.exec("BEGIN");
      await work((text, values) => send(session, text, values));
      session.exec("COMMIT");
    } catch (error) {
      session.exec("ROLLBACK");
      throw error;
    } finally {
      session.close();
    }
  },
  functions() {
    const memory = openDatabase(":memory:");
    const statement = memory.prepare("SELECT 1");
    const iterator = statement.iterate();
    const { run, get, all, iterate } = statement;
    const shapes = [memory.prepare, memory.exec, run, get, all, iterate, iterator.next, iterator.return];
    iterator.return();
    memory.close();
    return shapes;
  },
  own,
  close() {
    db.close();
    rmSync(folder, { recursive: true });
  },
});

async function own() {
  await scenario("named", (note) => {
    const values = Object.freeze({ email: "ann@b.example", password: "hunter2-named" });
    note(shape(db.prepare("INSERT INTO users (email, password) VALUES (:email, @password)").run(values)));
    note(shape(db.prepare("SELECT email FROM users WHERE email = $email").all({ email: "ann@b.example" })));
    note(
      shape(
        db.prepare("SELECT email FROM users WHERE email = ? AND password <> :secret").all({ secret: "hunter2-n" }, "x"),
      ),
    );
    note(Object.keys(values));
  });

  await scenario("results", (note) => {
    note(shape(db.prepare("SELECT n FROM numbers WHERE n = ?").get(7)));
    note(db.prepare("SELECT n FROM numbers WHERE n = ?").get(777));
    note(shape(db.prepare("SELECT n FROM numbers WHERE n < 4").all()));
    note(shape(db.prepare("DELETE FROM urls WHERE id = 'nothing'").run()));
    note(shape(db.prepare("CREATE TABLE IF NOT EXISTS made (id integer)").run()));
    note(
      db.exec("INSERT INTO made VALUES (1); INSERT INTO made VALUES (2)") ===
        (library === "better-sqlite3" ? db : undefined),
    );
  });

  await scenario("iterators", (note) => {
    const statement = db.prepare("SELECT n FROM numbers WHERE n <= ?");
    const iterator = statement.iterate(2);
    note(
      Object.keys(iterator).filter((key) => key !== "statement"),
      iterator[Symbol.iterator]() === iterator,
    );
    note([...iterator].length);
    for (const row of statement.iterate(20)) {
      note(row.n);
      if (row.n === 3) break;
    }
    const thrown = new Error("from the loop");
    try {
      for (const row of statement.iterate(20)) if (row.n === 2) throw thrown;
    } catch (error) {
      note(error === thrown);
    }
    const failing = db.prepare(
      "SELECT abs(CASE n WHEN 3 THEN -9223372036854775808 ELSE n END) AS a FROM numbers ORDER BY n",
    );
    try {
      for (const row of failing.iterate()) note(row.a);
    } catch (error) {
      note(describeError(error).message);
    }
  });

  await scenario("errors", async (note) => {
    for (const sql of [
      "SELECT * FORM users WHERE password = 'hunter2-syntax'",
      "SELECT * FROM users WHERE email = 'a' 'hunter2-near'",
      "SELECT * FROM users WHERE email = 'hunter2-open",
      'SELECT * FROM users WHERE password = "hunter2 column"',
    ]) {
      note(describeError(await failureOf(() => db.prepare(sql))));
    }
    note(describeError(await failureOf(() => db.exec("INSERT INTO users VALUES ('x', 'hunter2-named')"))));
    note(describeError(await failureOf(() => db.prepare("SELECT ?").all(Symbol("s")))));
    const { all } = db.prepare("SELECT 1");
    note(describeError(await failureOf(() => all())).class, describeError(await failureOf(() => db.prepare())).class);
  });

  await unsampledScenario("unsampled rows", (note) => {
    note([...db.prepare("SELECT 'unsampled' AS decision").iterate()].length);
    note(db.prepare("SELECT 'unsampled' AS decision").get().decision);
    db.exec("SELECT 'unsampled' AS decision");
  });

  if (library === "better-sqlite3") await ownOfBetterSqlite3();
  else await ownOfNode();
  await sleep(1);
}

async function ownOfBetterSqlite3() {
  await scenario("transaction()", async (note) => {
    const insert = db.prepare("INSERT INTO urls (id, url) VALUES (?, ?)");
    const both = db.transaction((first, second) => {
      insert.run(first, "http://1");
      db.transaction(() => insert.run(second, "http://2"))();
      return "done";
    });
    note(both("t1", "t2"), both.immediate("t3", "t4"), Object.keys(both));
    note(describeError(await failureOf(() => both("t5", "t5"))));
  });

  await scenario("bind, pluck and pragma", (note) => {
    const statement = db.prepare("SELECT email FROM users WHERE password = ? OR email = ?");
    note(statement.bind("hunter2-bound", "ann@b.example") === statement);
    note(statement.pluck().get());
    note(db.pragma("user_version", { simple: true }));
    note(describeError(new openDatabase.SqliteError("x", "SQLITE_X")).class);
  });

  const other = openDatabase(":memory:");
  await scenario("first statement", (note) => {
    note(other.transaction(() => other.exec("CREATE TABLE t (a)"))() === other);
  });
  other.close();
  await scenario("closed", async (note) => {
    note(describeError(await failureOf(() => other.prepare("SELECT 1"))));
    note(describeError(await failureOf(() => other.exec("SELECT 1"))));
  });
}

async function ownOfNode() {
  await scenario("template literals", (note) => {
    if (typeof db.createTagStore !== "function") return;
    const store = db.createTagStore();
    note(shape(store.get`SELECT ${"one"} AS one`), store.all`SELECT n FROM numbers WHERE n < ${3}`.length);
    note(shape(store.run`UPDATE users SET password = ${"hunter2-tag"} WHERE email = ${"ann@b.example"}`));
    note([...store.iterate`SELECT n FROM numbers WHERE n < ${4}`].length);
  });

  const other = openDatabase(":memory:");
  await scenario("memory", (note) => note(shape(other.prepare("SELECT 1 AS one").get())));
  other.close();
  await scenario("closed", async (note) => {
    note(describeError(await failureOf(() => other.prepare("SELECT 1"))));
    note(describeError(await failureOf(() => other.exec("SELECT 1"))));
  });
}
