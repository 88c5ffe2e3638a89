// The application of mysql2.test.ts: the scenarios of the database contract, and every other way to query.
import mysql from "mysql2";
import { createServer } from "node:net";
import { runDatabase } from "./database-app.cjs";
import { describeError, failureOf, scenario, sleep, unsampledScenario } from "./scenarios-app.cjs";

const { hostname: host, port } = new URL(process.env.DATABASE_URL);
const database = process.env.DATABASE;
const server = { host, port: Number(port), user: "root" };
const options = { ...server, database };
const [major, minor] = JSON.parse(process.env.VERSIONS).mysql2.split(".").map(Number);
const isOld = major < 3 || minor < 12;

let setup;
let pool;
let promisePool;

const shapeOne = (result) =>
  Array.isArray(result)
    ? result.map((row) =>
        Array.isArray(row) || row?.constructor?.name === "ResultSetHeader" ? shapeOne(row) : { ...row },
      )
    : { class: result?.constructor?.name, affectedRows: result?.affectedRows };
/** Of the promise interface `[rows, fields]`, of a callback the rows. */
const shape = (result) =>
  Array.isArray(result) && result.length === 2 && (result[1] === undefined || result[1]?.[0]?.name !== undefined)
    ? [shapeOne(result[0]), result[1]?.map(({ name }) => name)]
    : shapeOne(result);

/** What a command tells by its events. */
function eventsOf(command, where) {
  return new Promise((resolve) => {
    const told = [];
    for (const event of ["fields", "result", "error", "end"]) {
      command.on(event, (...args) => {
        where();
        told.push([event, event === "error" ? args[0]?.code : event === "result" ? shapeOne(args[0]) : undefined]);
        if (event === "end") resolve(told);
      });
    }
  });
}

const callback = (target, method, ...args) =>
  new Promise((resolve) => target[method](...args, (...outcome) => resolve(outcome)));

async function* allRows(stream) {
  const rows = [];
  await new Promise((resolve, reject) => {
    stream.on("data", (row) => rows.push(row));
    stream.on("end", resolve);
    stream.on("error", reject);
  });
  yield* rows;
}

runDatabase({
  shape,
  async open() {
    setup = mysql.createConnection({ ...server, multipleStatements: true }).promise();
    await setup.query(`DROP DATABASE IF EXISTS ${database}; CREATE DATABASE ${database}`);
    pool = mysql.createPool({ ...options, connectionLimit: 2, multipleStatements: true });
    promisePool = pool.promise();
  },
  query: (text, values) => promisePool.query(text, values),
  callback: (text, values, done) => pool.query(text, values, done),
  prepared: (text, values) => promisePool.execute(text, values),
  // Older streams end before they have given all rows, and never free a connection that is left early.
  stream: (text, values) => (isOld ? allRows(pool.query(text, values).stream()) : pool.query(text, values).stream()),
  async transaction(work) {
    const connection = await promisePool.getConnection();
    try {
      await connection.beginTransaction();
      await work((text, values) => connection.query(text, values));
      await connection.commit();
    } catch (error) {
      await connection.rollback();
      throw error;
    } finally {
      connection.release();
    }
  },
  async loseConnection() {
    const victim = mysql.createConnection(options);
    victim.on("error", () => {});
    const [, [{ id }]] = await callback(victim, "query", "SELECT CONNECTION_ID() AS id");
    await Promise.all([victim.promise().query("SELECT SLEEP(10)"), setup.query(`KILL ${id}`)]);
  },
  async timeOut() {
    const slow = mysql.createConnection(options);
    try {
      await slow.promise().query({ sql: "SELECT SLEEP(1)", timeout: 100 });
    } finally {
      slow.destroy();
    }
  },
  functions() {
    const { Connection, Pool, PoolConnection } = mysql;
    return [Connection, PoolConnection ?? Connection, Pool].flatMap(({ prototype }) =>
      ["query", "execute", "prepare", "ping", "changeUser", "end", "getConnection"].flatMap(
        (name) => prototype[name] ?? [],
      ),
    );
  },
  own,
  async close() {
    await setup.query(`DROP DATABASE ${database}`);
    await setup.end();
    await promisePool.end();
  },
});

async function own() {
  const connection = mysql.createConnection({ ...options, multipleStatements: true });
  const promised = connection.promise();
  await promised.query("CREATE TABLE secrets (id INT PRIMARY KEY, pin INT, token VARCHAR(64))");

  await scenario("named", async (note) => {
    const values = Object.freeze({ email: "ann@b.example", password: "hunter2-named", other: "not-a-parameter" });
    const sql = "INSERT INTO users (email, password) VALUES (:email, :password)";
    note(shape(await promised.query({ sql, values, namedPlaceholders: true })));
    note(
      shape(
        await promised.execute(
          { sql: "SELECT email FROM users WHERE email = :email", namedPlaceholders: true },
          values,
        ),
      ),
    );
    note(shape(await promised.query({ sql: "SELECT ? AS one", values: [1], namedPlaceholders: true })));
    note(Object.keys(values));
  });

  await scenario("identifiers", async (note) => {
    note(
      shape(
        await promised.query("UPDATE ?? SET ?? = ? WHERE ?? = ?", ["users", "password", "hunter2-id", "email", "x"]),
      ),
    );
    note(
      shape(await promised.query("SELECT ?? FROM ?? WHERE email = ?", [["email", "users.email"], "users", "nobody"])),
    );
    const unclear = "SELECT 'why?' AS a, ?? FROM users WHERE email = ?";
    note(
      describeError(await failureOf(() => promised.query(unclear, ["email", "hunter2-unclear", "hunter2-more"]))).code,
    );
  });

  await scenario("objects", async (note) => {
    note(shape(await promised.query("INSERT INTO users SET ?", { email: "obj", password: "hunter2-obj" })));
    const rows = [
      ["row1", "hunter2-row1"],
      ["row2", "hunter2-row2"],
    ];
    note(shape(await promised.query("INSERT INTO users (email, password) VALUES ?", [rows])));
    note(shape(await promised.query("SELECT email FROM users WHERE email IN (?) ORDER BY email", [["row1", "row2"]])));
    note(shape(await promised.query("SELECT ? AS a", "single")));
    note(shape(await promised.query("SELECT * FROM numbers WHERE n < 0")));
  });

  await scenario("many parameters", async (note) => {
    const values = Array.from({ length: 120 }, (_, index) => index);
    note(
      shape(
        await promised.query("SELECT COUNT(*) AS c FROM numbers WHERE n IN (" + values.map(() => "?") + ")", values),
      ),
    );
  });

  await scenario("misaligned", async (note) => {
    // What is a placeholder here depends on the version.
    const sql = "SELECT '?' AS note, email FROM users WHERE password = ? AND email = ?";
    note((await failureOf(() => promised.query(sql, ["hunter2-a", "hunter2-b", "hunter2-c"])))?.code);
  });

  await scenario("prepare", async (note, where) => {
    const sql = "SELECT n FROM numbers WHERE n <= ? AND n > ?";
    const [error, statement] = await new Promise((resolve) =>
      connection.prepare(sql, (...outcome) => {
        where();
        resolve(outcome);
      }),
    );
    note(error, statement.constructor.name);
    await new Promise((resolve) =>
      statement.execute([3, 1], (...outcome) => {
        where();
        note(outcome.length, outcome[0], shapeOne(outcome[1]));
        resolve();
      }),
    );
    note(await eventsOf(statement.execute([1, 0]), where));
    statement.close();
    note((await callback(connection, "prepare", "SELECT * FROM nowhere"))[0].code);
    const again = await promised.prepare("SELECT n FROM numbers WHERE n = ?");
    note(shape(await again.execute([2])));
    await again.close();
  });

  await scenario("several statements", async (note) => {
    const sql =
      "SELECT n FROM numbers WHERE n < ?; INSERT INTO secrets VALUES (?, 1, 'hunter2-literal'); SELECT 1 AS one";
    note(shapeOne((await promised.query(sql, [3, 7]))[0]));
  });

  await scenario("events", async (note, where) => {
    note(await eventsOf(connection.query("SELECT n FROM numbers WHERE n <= ?", [2]), where));
    note(await eventsOf(connection.query("DELETE FROM secrets WHERE id = ?", [7]), where));
    note(await eventsOf(connection.query("SELECT * FROM nowhere"), where));
    note(await eventsOf(connection.execute("SELECT n FROM numbers WHERE n > ?", [23]), where));
    note(await eventsOf(connection.execute("SELECT * FROM nowhere"), where));
    const command = connection.query("SELECT n FROM numbers");
    note(command.constructor.name, command.eventNames(), command.listenerCount("error"));
    await new Promise((resolve) => {
      let rows = 0;
      const stream = command.stream({ highWaterMark: 3 });
      stream.on("data", () => {
        if (rows++ % 10 === 0) where();
      });
      stream.on("end", () => {
        where();
        note(rows);
        resolve();
      });
    });
  });

  await scenario("errors", async (note) => {
    await promised.query("INSERT INTO secrets VALUES (?, ?, ?)", [1, 2, "hunter2-t"]);
    for (const [sql, values] of [
      ["SELECT * FORM users WHERE password = 'hunter2-syntax'"],
      ["INSERT INTO secrets (id) VALUES (?)", [1]],
      ["INSERT INTO secrets (id, pin) VALUES (2, ?)", ["hunter2-pin"]],
      ["INSERT INTO secrets VALUES (1, 2, 'hunter2')"],
      ["SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'password=hunter2-signal'"],
    ]) {
      note(describeError(await failureOf(() => promised.query(sql, values))));
    }
    await promised.query("SET SESSION sql_mode = 'ANSI_QUOTES'");
    note(describeError(await failureOf(() => promised.query('SELECT * FROM users WHERE email = "hunter2-quotes"'))));
    await promised.query("SET SESSION sql_mode = ''");
    note(describeError(await failureOf(() => promised.execute("SELECT ?", [undefined]))));
    note(describeError(await failureOf(() => promised.query(null))).class);
  });

  await scenario("database", async (note) => {
    await promised.query("USE mysql");
    note(shape(await promised.query("SELECT DATABASE() AS name")));
    await new Promise((resolve) => connection.changeUser({ user: "root", database }, resolve));
    note((await promised.query("SELECT DATABASE() = ? AS same", [database]))[0][0].same);
  });

  await scenario("other callbacks", async (note, where) => {
    for (const method of ["ping", "changeUser"]) {
      await new Promise((resolve) => {
        const done = (...outcome) => {
          where();
          note(method, outcome[0]);
          resolve();
        };
        if (method === "ping") connection.ping(done);
        else connection.changeUser({}, done);
      });
    }
  });

  await promised.query("CREATE PROCEDURE counted(IN least INT) BEGIN SELECT n FROM numbers WHERE n > least; END");
  await scenario("procedure", async (note) => {
    note(shapeOne((await promised.query("CALL counted(?)", [22]))[0]));
  });

  const small = mysql.createPool({ ...options, connectionLimit: 1, queueLimit: 3 });
  const smallPromises = small.promise();
  await smallPromises.query("SELECT 1");
  const waiting = ["A", "B", "C"].map((name) =>
    scenario(`waiting ${name}`, async (note, where) => {
      note(shape(await smallPromises.query("SELECT SLEEP(0.05) AS slept, ? AS name", [name])));
      where();
    }),
  );
  const waitingCallback = scenario(
    "waiting callback",
    (note, where) =>
      new Promise((resolve) => {
        small.query("SELECT ? AS name", ["callback"], (error, rows) => {
          where();
          note(error, shapeOne(rows));
          small.query("SELECT ? AS name", ["nested"], (again, more) => {
            where();
            note(again, shapeOne(more));
            resolve();
          });
        });
      }),
  );
  const refused = scenario("queue limit", async (note, where) => {
    note(describeError(await failureOf(() => smallPromises.query("SELECT 1"))).message);
    note((await callback(small, "getConnection"))[0].message);
    where();
  });
  await Promise.all([...waiting, waitingCallback, refused]);
  await smallPromises.end();
  await scenario("left open", async (note) => {
    const left = mysql.createPool({ ...options, connectionLimit: 1 });
    const holder = await left.promise().getConnection();
    await holder.beginTransaction();
    await holder.query("SELECT 1");
    holder.release();
    note(shape(await left.promise().query("SELECT 2 AS two")));
    await left.promise().end();
  });

  await scenario("closed pool", async (note, where) => {
    note(describeError(await failureOf(() => smallPromises.query("SELECT 1"))).message);
    where();
  });

  await scenario("cluster", async (note, where) => {
    const cluster = mysql.createPoolCluster();
    cluster.add("MASTER", options);
    cluster.add("REPLICA1", { ...options, connectionLimit: 1 });
    const replicas = cluster.of("REPLICA*");
    const [none, replica] = await callback(replicas, "getConnection");
    await new Promise((resolve) => {
      const done = (error, rows) => {
        where();
        note(none, error, shapeOne(rows));
        resolve();
      };
      // Only newer clusters query.
      (isOld ? replica : replicas).query("SELECT ? AS name", ["cluster"], done);
      replica.release();
    });
    const [error, one] = await callback(cluster, "getConnection", "MASTER");
    note(error);
    note(shapeOne((await callback(one, "query", "SELECT 2 AS two"))[1]));
    one.release();
    await new Promise((resolve) => {
      cluster.end(resolve);
      if (isOld) resolve();
    });
  });

  await scenario("connect", async (note, where) => {
    const opened = mysql.createConnection(options);
    await new Promise((resolve) =>
      opened.connect((error) => {
        note(error);
        resolve();
      }),
    );
    // Sent before the server has introduced itself.
    const early = mysql.createConnection(options);
    note(shape(await early.promise().query("SELECT 'early' AS name")));
    where();
    await Promise.all([opened, early].map((each) => new Promise((resolve) => each.end(resolve))));
  });

  const closed = await closedPort();
  await scenario("refused", async (note) => {
    const nowhere = { ...options, host: "127.0.0.1", port: closed };
    const failed = mysql.createConnection(nowhere);
    note((await new Promise((resolve) => failed.on("error", resolve))).code);
    const wrong = mysql.createConnection({ ...options, user: "nobody-there" });
    note((await new Promise((resolve) => wrong.on("error", resolve))).code);
    const wrongPool = mysql.createPool(nowhere);
    note((await failureOf(() => wrongPool.promise().query("SELECT 1"))).code);
    wrongPool.end();
  });

  await scenario("destroyed", async (note) => {
    const doomed = mysql.createConnection(options);
    doomed.on("error", ({ code }) => note(code));
    await doomed.promise().query("SELECT 1");
    doomed.query("SELECT SLEEP(5)", () => note("called back"));
    const command = doomed.query("SELECT 2");
    command.on("error", () => note("error"));
    await sleep(50);
    doomed.stream.destroy();
    await sleep(100);
  });

  await scenario("closed connection", async (note) => {
    const gone = mysql.createConnection(options);
    gone.on("error", ({ message }) => note(message));
    await gone.promise().query("SELECT 1");
    gone.destroy();
    note((await callback(gone, "query", "SELECT 3"))[0].message);
    if (major > 2) gone.query("SELECT 4");
  });

  const released = mysql.createPool({ ...options, connectionLimit: 1 });
  await scenario("warm", () => released.promise().query("SELECT 1"));
  await unsampledScenario("unsampled callbacks", async (note, where) => {
    await new Promise((resolve) =>
      released.query("SELECT 'unsampled' AS decision", () => {
        where();
        resolve();
      }),
    );
    note(await eventsOf(released.query("SELECT 'unsampled' AS decision"), where));
  });
  await released.promise().end();

  await promised.end();
}

function closedPort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port: free } = probe.address();
      probe.close(() => resolve(free));
    });
  });
}
