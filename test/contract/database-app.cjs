// The scenarios of the database contract. A library's application gives `runDatabase` what is particular to it:
//
//   open(), close()              outside of any trace: connects to an empty database, and leaves nothing behind
//   query(text, values)          the plain way to query (through the pool, if it has one): the library's own result or promise
//   shape(result)                what can be seen of a result, as plain values. Default: the result itself
//   placeholder(position)        "$1" for 1; default "?"
//   functions()                  what is patched: the application must see the same names, arities and keys
//   own()                        runs the scenarios of the library's own test
// and, where the library has them:
//   callback(text, values, done)       like `query`; `done` gets whatever the library calls back with
//   prepared(text, values)             a statement the library prepares or caches: run twice
//   stream(text, values)               rows as an async iterable
//   transaction(work)                  BEGIN, `work(query)`, COMMIT; when work fails ROLLBACK, and its error
//   loseConnection()                   one query, whose connection is cut while the server works on it
//   timeOut()                          one query that takes longer than it may
//   abort()                            one query that the application aborts or cancels
"use strict";
const {
  appFrames,
  describeError,
  failureOf,
  print,
  runMain,
  scenario,
  sleep,
  unsampledScenario,
} = require("./scenarios-app.cjs");

const ROWS = 25;

async function runScenarios(adapter) {
  const { shape = (result) => result, placeholder = () => "?" } = adapter;
  const sql = (text) => {
    let position = 0;
    return text.replaceAll("?", () => placeholder(++position));
  };
  const query = (text, values = []) => adapter.query(sql(text), values);

  const warnings = [];
  process.on("warning", ({ name, message }) => warnings.push(`${name}: ${message}`));

  await adapter.open();
  await query("CREATE TABLE urls (id varchar(64) PRIMARY KEY, url varchar(255))");
  await query("CREATE TABLE users (email varchar(64), password varchar(64) UNIQUE)");
  await query("CREATE TABLE numbers (n integer)");
  await query(`INSERT INTO numbers VALUES ${Array.from({ length: ROWS }, (_, index) => `(${index + 1})`).join(", ")}`);

  await scenario("rows", async (note, where) => {
    const values = Object.freeze(["x7k9m2"]);
    const returned = query("SELECT url FROM urls WHERE id = ?", values);
    note(returned?.constructor?.name, Object.keys(returned ?? {}));
    note(shape(await returned), values);
    where();
    note(shape(await query("SELECT n FROM numbers WHERE n <= ? ORDER BY n", [3])));
    where();
  });

  await scenario("changes", async (note) => {
    note(shape(await query("INSERT INTO urls (id, url) VALUES (?, ?), (?, ?)", ["a", "http://a", "b", "http://b"])));
    note(shape(await query("UPDATE urls SET url = ? WHERE id <> ?", ["http://z", "none"])));
    note(shape(await query("DELETE FROM urls WHERE id = ?", ["a"])));
  });

  await scenario("null and long", async (note) => {
    note(shape(await query("SELECT url FROM urls WHERE url = ? OR id = ?", [null, "x".repeat(20_000)])));
  });

  await scenario("failure", async (note, where) => {
    async function callerOfQuery() {
      await query("SELECT * FROM nowhere");
    }
    const error = await failureOf(callerOfQuery);
    note(describeError(error), appFrames(error));
    where();
  });

  await scenario("secrets", async (note) => {
    const insert = "INSERT INTO users (email, password) VALUES (?, ?)";
    note(shape(await query(insert, ["a@b.example", "hunter2-first"])));
    note(describeError(await failureOf(() => query(insert, ["c@d.example", "hunter2-first"]))));
    note(shape(await query("SELECT email FROM users WHERE password = ?", ["hunter2-where"])));
    note(shape(await query("UPDATE users SET password = ? WHERE email = ?", ["hunter2-set", "a@b.example"])));
    note(shape(await query("SELECT url FROM urls WHERE id = 'hunter2-literal'")));
  });

  await scenario("unhandled failure", async (note) => {
    const unhandled = [];
    const onUnhandled = (reason, promise) => unhandled.push([describeError(reason), promise === failing]);
    process.on("unhandledRejection", onUnhandled);
    let failing;
    try {
      failing = query("SELECT nothing FROM numbers");
      for (let tries = 0; unhandled.length === 0 && tries < 100; tries++) await sleep(20);
    } catch (error) {
      note(describeError(error));
    }
    await sleep(20);
    process.off("unhandledRejection", onUnhandled);
    note(unhandled);
  });

  await Promise.all(
    Array.from({ length: 6 }, (_, index) =>
      scenario(`concurrent ${index}`, async (note, where) => {
        await sleep(5);
        note(shape(await query("SELECT url FROM urls WHERE id = ?", [`concurrent ${index}`])));
        where();
        note(shape(await query("SELECT url FROM urls WHERE id = ?", [`concurrent ${index}`])));
        where();
      }),
    ),
  );

  await unsampledScenario("unsampled", async (note, where) => {
    note(shape(await query("SELECT 'unsampled' AS decision")));
    where();
  });

  if (adapter.callback !== undefined) {
    const callback = (text, values, done) => adapter.callback(sql(text), values, done);
    await scenario("callback", (note, where) => {
      return new Promise((resolve) => {
        const returned = callback("SELECT n FROM numbers WHERE n = ?", [1], function done(...outcome) {
          where();
          note(this?.constructor?.name, outcome.length, outcome[0], shape(outcome[1]));
          callback("SELECT n FROM numbers WHERE n = ?", [2], (error, result) => {
            where();
            note(error, shape(result));
            resolve();
          });
        });
        note(returned?.constructor?.name);
      });
    });
    await scenario("callback failure", (note, where) => {
      return new Promise((resolve) => {
        callback("SELECT * FROM nowhere", [], (...outcome) => {
          where();
          note(describeError(outcome[0]), outcome.length);
          resolve();
        });
      });
    });
  }

  if (adapter.prepared !== undefined) {
    await scenario("prepared", async (note, where) => {
      for (const n of [1, 2]) {
        note(shape(await adapter.prepared(sql("SELECT n FROM numbers WHERE n = ?"), [n])));
        where();
      }
      note(describeError(await failureOf(() => adapter.prepared("SELECT * FROM nowhere", []))));
    });
  }

  if (adapter.stream !== undefined) {
    const stream = (text, values = []) => adapter.stream(sql(text), values);
    await scenario("stream", async (note, where) => {
      let sum = 0;
      for await (const row of stream("SELECT n FROM numbers WHERE n > ?", [0])) sum += row.n;
      note(sum);
      where();
    });
    await scenario("stream left early", async (note, where) => {
      for await (const row of stream("SELECT n FROM numbers ORDER BY n")) {
        note(row.n);
        break;
      }
      where();
    });
    await scenario("stream failure", async (note, where) => {
      const error = await failureOf(async () => {
        for await (const row of stream("SELECT * FROM nowhere")) note(row);
      });
      note(describeError(error));
      where();
    });
  }

  if (adapter.transaction !== undefined) {
    const insert = sql("INSERT INTO urls (id, url) VALUES (?, ?)");
    await scenario("transaction", async (note, where) => {
      await adapter.transaction(async (run) => {
        note(shape(await run(insert, ["t", "http://t"])));
        where();
        note(shape(await run(sql("SELECT url FROM urls WHERE id = ?"), ["t"])));
        where();
      });
      note(shape(await query("SELECT url FROM urls WHERE id = ?", ["t"])));
      where();
    });
    await scenario("transaction rolled back", async (note, where) => {
      const failure = new Error("the application's own");
      const error = await failureOf(() =>
        adapter.transaction(async (run) => {
          note(shape(await run(insert, ["u", "http://u"])));
          throw failure;
        }),
      );
      note(error === failure);
      where();
      note(shape(await query("SELECT url FROM urls WHERE id = ?", ["u"])));
    });
    await scenario("transaction failure", async (note) => {
      const error = await failureOf(() => adapter.transaction((run) => run("SELECT * FROM nowhere", [])));
      note(describeError(error));
    });
    await Promise.all(
      ["one", "two"].map((name) =>
        scenario(`transaction ${name}`, async (note, where) => {
          await adapter.transaction(async (run) => {
            await sleep(5);
            note(shape(await run(sql("SELECT url FROM urls WHERE id = ?"), [`transaction ${name}`])));
            where();
          });
        }),
      ),
    );
  }

  for (const [name, method] of [
    ["lost connection", "loseConnection"],
    ["timeout", "timeOut"],
    ["abort", "abort"],
  ]) {
    if (adapter[method] === undefined) continue;
    await scenario(name, async (note, where) => {
      const error = await failureOf(() => adapter[method]());
      note(error?.constructor?.name, error?.code);
      where();
    });
  }

  await adapter.own?.();

  // Last: a connection whose library was thrown at may be of no further use.
  if (adapter.callback !== undefined) {
    await scenario("throwing callback", async (note) => {
      const thrown = new Error("from the callback");
      const caught = new Promise((resolve) => process.once("uncaughtException", resolve));
      adapter.callback(sql("SELECT n FROM numbers WHERE n = ?"), [1], () => {
        throw thrown;
      });
      note((await caught) === thrown);
    });
  }

  await adapter.close();
  const shapeOf = (fn) => [fn.name, fn.length, Object.keys(fn), Object.keys(fn.prototype ?? {})];
  print("functions", (adapter.functions?.() ?? []).map(shapeOf));
  print("warnings", warnings);
}

exports.runDatabase = (adapter) => runMain(() => runScenarios(adapter));
