// The application of pg.test.ts: the scenarios of the database contract, and every other way to query.
import { once } from "node:events";
import pg from "pg";
import Pool from "pg-pool";
import Cursor from "pg-cursor";
import QueryStream from "pg-query-stream";
import copyStreams from "pg-copy-streams";
import { runDatabase } from "./database-app.cjs";
import {
  appFrames,
  describeError,
  failureOf,
  scenario,
  sleep,
  spanId,
  tracer,
  unsampledScenario,
} from "./scenarios-app.cjs";

const serverUrl = process.env.DATABASE_URL;
const database = process.env.DATABASE;
const connectionString = serverUrl.replace(/\/\w*$/, `/${database}`);
const options = { connectionString, Client: pg.Client };

let setup;
let pool;
let client;

const shape = (result) =>
  Array.isArray(result)
    ? result.map(shape)
    : { command: result.command, rowCount: result.rowCount, rows: result.rows, class: result.constructor.name };

/** Of pg. */
const [, minor] = JSON.parse(process.env.VERSIONS).pg.split(".").map(Number);

class OwnPromise extends Promise {}

runDatabase({
  placeholder: (position) => `$${position}`,
  shape,
  async open() {
    setup = new pg.Client(serverUrl);
    await setup.connect();
    await setup.query(`CREATE DATABASE ${database}`);
    pool = new Pool({ ...options, max: 2, idleTimeoutMillis: 300 });
  },
  query: (text, values) => pool.query(text, values),
  callback: (text, values, done) => pool.query(text, values, done),
  prepared: (text, values) => pool.query({ name: text.slice(0, 20), text, values }),
  async *stream(text, values) {
    const checkedOut = await pool.connect();
    try {
      yield* checkedOut.query(new QueryStream(text, values, { batchSize: 10 }));
    } finally {
      // The oldest streams do not wait until the server has closed them.
      if (minor === 0) await sleep(50);
      checkedOut.release();
    }
  },
  async transaction(work) {
    const checkedOut = await pool.connect();
    try {
      await checkedOut.query("BEGIN");
      await work((text, values) => checkedOut.query(text, values));
      await checkedOut.query("COMMIT");
    } catch (error) {
      await checkedOut.query("ROLLBACK");
      throw error;
    } finally {
      checkedOut.release();
    }
  },
  async loseConnection() {
    const victim = new pg.Client(options);
    victim.on("error", () => {});
    await victim.connect();
    const { pid } = (await victim.query("SELECT pg_backend_pid() AS pid")).rows[0];
    await Promise.all([victim.query("SELECT pg_sleep(10)"), setup.query("SELECT pg_terminate_backend($1)", [pid])]);
  },
  async timeOut() {
    const slow = new pg.Client({ ...options, query_timeout: 100 });
    slow.on("error", () => {});
    await slow.connect();
    try {
      await slow.query("SELECT pg_sleep(0.3)");
    } finally {
      await sleep(400);
      await slow.end();
    }
  },
  async abort() {
    const slow = new pg.Client(options);
    await slow.connect();
    try {
      const { pid } = (await slow.query("SELECT pg_backend_pid() AS pid")).rows[0];
      const sleeping = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
      const cancel = async () => {
        while ((await setup.query(sleeping, [pid])).rowCount === 0) await sleep(20);
        await setup.query("SELECT pg_cancel_backend($1)", [pid]);
      };
      await Promise.all([slow.query("SELECT pg_sleep(10)"), cancel()]);
    } finally {
      await slow.end();
    }
  },
  own: runOwnScenarios,
  async close() {
    await pool.end();
    // The server notices the end of a connection a little after its client.
    const drop = () => setup.query(`DROP DATABASE ${database}`);
    await drop().catch(() => sleep(500).then(drop));
    await setup.end();
  },
  functions: () => [
    pg.Client,
    pg.Client.prototype.query,
    pg.Client.prototype.connect,
    Pool,
    Pool.prototype.connect,
    Pool.prototype.query,
  ],
});

/** Older cursors know callbacks only. */
const cursorPromises = String(Cursor.prototype.read).includes("Promise");
const read = (cursor, rows) =>
  cursorPromises
    ? cursor.read(rows)
    : new Promise((resolve, reject) => cursor.read(rows, (error, found) => (error ? reject(error) : resolve(found))));
const close = (cursor) => (cursorPromises ? cursor.close() : new Promise((resolve) => cursor.close(() => resolve())));

async function runOwnScenarios() {
  client = new pg.Client(options);
  await client.connect();
  await client.query(`
    INSERT INTO numbers SELECT generate_series(26, 250);
    DELETE FROM urls;
    CREATE TABLE members (email text, password text UNIQUE, pin integer)`);

  await scenario("returning", async (note) => {
    note(shape(await client.query("INSERT INTO urls VALUES ($1, $2) RETURNING id", ["c", null])));
    note(shape(await client.query("UPDATE urls SET url = 'http://z' WHERE id = $1 RETURNING *", ["c"])));
    note(shape(await client.query("DELETE FROM urls")));
    note(shape(await client.query("CREATE TEMPORARY TABLE made (id integer)")));
  });

  await scenario("values", async (note) => {
    const values = Object.freeze([
      1,
      null,
      true,
      new Date(0),
      { a: [1] },
      ["x", 'y"'],
      Buffer.from("hi"),
      10n,
      undefined,
    ]);
    const text =
      "SELECT $1::int, $2::int, $3::bool, $4::timestamptz, $5::jsonb, $6::text[], $7::bytea, $8::bigint, $9::int";
    note(shape(await client.query({ text, values, rowMode: "array" })));
    note(shape(await client.query("SELECT $1::text AS converted", [{ toPostgres: () => "converted" }])));
  });

  await scenario("values used again", async (note) => {
    const values = ["first"];
    const config = { text: "SELECT $1::text AS config", values };
    const results = [await client.query("SELECT $1::text AS text", values), await client.query(config)];
    note(results.map(shape));
    values[0] = "another";
    config.text = "SELECT 'another'";
    for (const { rows } of results) rows.push("another");
  });

  await scenario("configs", async (note) => {
    const config = Object.freeze({ text: "SELECT $1::int AS one", values: Object.freeze([1]), name: "one" });
    note(shape(await client.query(config)), shape(await client.query(config)), Object.keys(config));
    const reused = { text: "SELECT $1::text AS two" };
    note(shape(await client.query(reused, ["2"])), shape(await client.query({ ...reused }, ["3"])));
    class Statement {
      parameters = [3];
      get text() {
        return "SELECT $1::int AS three";
      }
      get values() {
        return this.parameters;
      }
    }
    const statement = new Statement();
    note(shape(await client.query(statement)), Object.keys(statement));
    note(shape(await client.query({ name: "one", values: [4] })));
    note(shape(await client.query({ text: "SELECT 1 AS a, 2 AS b", rowMode: "array" })));
    note(shape(await client.query("")));
  });

  await scenario("callbacks", async (note, where) => {
    const run = (...args) =>
      new Promise((resolve) => {
        function done(...outcome) {
          where();
          note(this?.constructor?.name, outcome.length, outcome[0], shape(outcome[1]));
          resolve();
        }
        const last = args.at(-1);
        if (typeof last === "object" && "callback" in last) last.callback = done;
        else args.push(done);
        note(client.query(...args) === undefined);
      });
    // All at once: each but the first waits behind others in pg's queue, and pg warns about it, once.
    await Promise.all([
      run("SELECT 1 AS a"),
      run("SELECT $1::int AS b", [2]),
      run({ text: "SELECT 3 AS c" }),
      run({ text: "SELECT $1::int AS d" }, [4]),
      run({ text: "SELECT 5 AS e", callback: null }),
    ]);
  });

  await scenario("errors", async (note, where) => {
    await client.query("INSERT INTO members VALUES ($1, $2, 1)", ["a@b.example", "hunter2"]);
    async function callerOfQuery() {
      await client.query("INSERT INTO members VALUES ($1, $2, 1)", ["a@b.example", "hunter2"]);
    }
    await callerOfQuery().catch((error) => note(describeError(error), appFrames(error)));
    where();
    await new Promise((resolve) => {
      client.query("SELECT * FROM nowhere", function (...outcome) {
        where();
        note(describeError(outcome[0]), outcome.length, this?.constructor?.name);
        resolve();
      });
    });
    await client
      .query("INSERT INTO members (pin, password) VALUES ($1, $2)", ["s3cret-pin", "p"])
      .catch((error) => note(describeError(error)));
    await client.query("SELECT 's3cret-literal'::integer").catch((error) => note(describeError(error)));
    await client.query("SELECT $1::uuid", ["undefined"]).catch((error) => note(describeError(error)));
    await client.query("SELECT 'a' 's3cret-quoted'").catch((error) => note(describeError(error)));
    await client.query("SELECT $1::int", "no array").catch((error) => note(describeError(error)));
    for (const args of [[null], []]) {
      try {
        client.query(...args);
        note("no error");
      } catch (error) {
        note(describeError(error));
      }
    }
    await client.query({}).catch((error) => note(describeError(error)));
  });

  // After the first, some earlier versions are stuck; after the second, they crash.
  if (minor > 22) {
    await scenario("impossible arguments", async (note) => {
      const circular = {};
      circular.circular = circular;
      await client.query("SELECT $1::jsonb", [circular]).catch((error) => note(describeError(error).class));
      note(describeError(await failureOf(async () => client.query("SELECT 1", [], "no function"))));
    });
  }

  await scenario("several statements", async (note) => {
    note(
      shape(
        await client.query("SELECT 1; SELECT 2 UNION SELECT 3; INSERT INTO urls VALUES ('m', 'n'); DELETE FROM urls"),
      ),
    );
  });

  await scenario("order of events", async (note) => {
    const order = [];
    const drained = new Promise((resolve) => client.once("drain", () => resolve(order.push("drain"))));
    const first = client.query("SELECT 1 AS first").then(() => order.push("first"));
    client.query("SELECT 2 AS second", () => order.push("second"));
    const third = client.query("SELECT 3 AS third");
    third.then(() => order.push("third, 1")).then(() => order.push("third, 2"));
    await Promise.all([first, third.then(() => order.push("third, again"))]);
    await drained;
    note(order);
  });

  await scenario("pg.Query", async (note, where) => {
    const query = new pg.Query("SELECT n FROM numbers WHERE n <= $1", [3]);
    note(client.query(query) === query, Object.keys(query));
    await new Promise((resolve) => {
      query.on("row", (row) => (where(), note(row)));
      query.on("end", (result) => (where(), note(shape(result)), resolve()));
    });
    const failing = client.query(new pg.Query("SELECT * FROM nowhere"));
    await new Promise((resolve) => failing.on("error", (error) => (where(), note(describeError(error)), resolve())));
    await new Promise((resolve) => {
      const calledBack = new pg.Query("SELECT 1 AS called_back");
      client.query(calledBack, (error, result) => (where(), note(error, shape(result)), resolve()));
    });
    await new Promise((resolve) => {
      client.query(new pg.Query("SELECT * FROM nowhere_either"), (...outcome) => {
        where();
        note(describeError(outcome[0]), outcome.length);
        resolve();
      });
    });
    const change = client.query(new pg.Query("UPDATE numbers SET n = n WHERE n < 6"));
    await new Promise((resolve) => change.on("end", resolve));
  });

  await scenario("cursor", async (note, where) => {
    const cursor = client.query(new Cursor("SELECT n FROM numbers ORDER BY n LIMIT $1", [5]));
    note((await read(cursor, 2)).length, (await read(cursor, 2)).length, (await read(cursor, 2)).length);
    note(await read(cursor, 2));
    await sleep(20);

    const early = client.query(new Cursor("SELECT n FROM numbers ORDER BY n"));
    await new Promise((resolve) => early.read(3, (error, rows) => (where(), note(error, rows), resolve())));
    await close(early);

    const failing = client.query(new Cursor("SELECT * FROM nowhere"));
    await read(failing, 1).catch((error) => note(describeError(error)));
  });

  await scenario("streams", async (note, where) => {
    let count = 0;
    for await (const row of client.query(new QueryStream("SELECT n FROM numbers"))) count += row.n > 0 ? 1 : 0;
    note(count);
    where();
    const stream = client.query(new QueryStream("SELECT n FROM numbers WHERE n <= 20", [], { batchSize: 5 }));
    let events = 0;
    stream.on("data", () => (where(), events++));
    await new Promise((resolve) => stream.on("end", resolve));
    note(events);
    for await (const row of client.query(new QueryStream("SELECT n FROM numbers", [], { batchSize: 10 }))) {
      note(row.n > 0);
      break;
    }
    await sleep(50);
    const failing = client.query(new QueryStream("SELECT * FROM nowhere"));
    await new Promise((resolve) => failing.on("error", (error) => (note(describeError(error)), resolve())).resume());
    // It asks twice whether the server is ready: pg would take the second answer for the end of the next query.
    await sleep(50);
  });

  await scenario("unknown submittable", async (note) => {
    const inner = new pg.Query("SELECT n FROM numbers WHERE n < 3");
    const submittable = { text: "SELECT n FROM numbers WHERE n < 3" };
    for (const name of Object.getOwnPropertyNames(pg.Query.prototype)) {
      if (/^handle/.test(name)) submittable[name] = (...args) => inner[name](...args);
    }
    submittable.submit = (connection) => inner.submit(connection);
    const keys = Object.keys(submittable).join();
    note(client.query(submittable) === submittable);
    await new Promise((resolve) => inner.on("end", resolve));
    note(keys === Object.keys(submittable).join());
  });

  await scenario("listen", async (note) => {
    await client.query("LISTEN news");
    const notification = new Promise((resolve) => client.once("notification", resolve));
    await client.query("SELECT pg_notify('news', $1)", ["hello"]);
    const { channel, payload } = await notification;
    note(channel, payload);
    await client.query("UNLISTEN news");
  });

  await scenario("copy", async (note, where) => {
    const { from, to } = copyStreams;
    const into = client.query(from("COPY urls (id, url) FROM STDIN"));
    into.write("c1\thttp://c1\n");
    into.end("c2\thttp://c2\n");
    await once(into, "finish");
    where();
    let text = "";
    for await (const chunk of client.query(to("COPY urls (id, url) TO STDOUT"))) text += chunk;
    note(text);
    where();

    note(describeError(await failureOf(() => once(client.query(from("COPY nowhere FROM STDIN")), "finish"))));
    const wrong = client.query(from("COPY numbers FROM STDIN"));
    wrong.end("hunter2\n");
    note((await failureOf(() => once(wrong, "finish"))).code);
    note(describeError(await failureOf(() => once(client.query(to("COPY nowhere TO STDOUT")).resume(), "end"))));
    note(shape(await client.query("DELETE FROM urls")));
  });

  await scenario("types", async (note) => {
    const parser = (text) => `parsed ${text}`;
    const types = { getTypeParser: () => parser };
    note(shape(await client.query({ text: "SELECT 1 AS a, now() IS NULL AS b", types, rowMode: "array" })));
    const bytes = Buffer.alloc(100_000, 7);
    note((await client.query("SELECT length($1::bytea) AS length", [bytes])).rows);
    const document = { user: { name: "u", password: "hunter2-json" }, list: [1, { token: "hunter2-token" }] };
    note((await client.query("SELECT $1::jsonb -> 'list' AS list", [document])).rows);
    const binary = await client.query({ text: "SELECT $1::int AS n", values: [7], binary: true });
    note(binary.rows);
  });

  await scenario("savepoints", async (note) => {
    await client.query("BEGIN ISOLATION LEVEL SERIALIZABLE");
    await client.query("SAVEPOINT a");
    note((await failureOf(() => client.query("SELECT * FROM nowhere"))).code);
    await client.query("ROLLBACK TO SAVEPOINT a");
    await client.query("RELEASE SAVEPOINT a");
    await client.query("COMMIT AND CHAIN");
    await client.query("SELECT 1 AS chained");
    await client.query("ROLLBACK");
    await client.query("SELECT 1 AS outside");
  });

  await scenario("failed transactions", async (note) => {
    await client.query("begin");
    note((await failureOf(() => client.query("SELECT * FROM nowhere"))).code);
    note(shape(await client.query("commit")));

    await client.query("CREATE TEMPORARY TABLE later (n integer UNIQUE DEFERRABLE INITIALLY DEFERRED)");
    await client.query("/* deferred */ BEGIN; INSERT INTO later VALUES (1), (1)");
    note((await failureOf(() => client.query("COMMIT"))).code);
    note(shape(await client.query("BEGIN; INSERT INTO later VALUES (2); COMMIT")));
    note(shape(await client.query("ROLLBACK")));
  });

  await scenario("transactions in a queue", async (note) => {
    const texts = ["BEGIN", "SELECT 1 AS one", "COMMIT", "SELECT 2 AS two", "BEGIN", "SELECT 3 AS three", "ROLLBACK"];
    note((await Promise.all(texts.map((text) => client.query(text)))).map(({ command }) => command));
  });

  await scenario("a span within a transaction", async (note) => {
    await client.query("BEGIN");
    await tracer.startActiveSpan("step", async (span) => {
      note(shape(await client.query("SELECT 1 AS step")));
      span.end();
    });
    await client.query("COMMIT");
  });

  await scenario("transactions left open", async (note) => {
    const few = new Pool({ ...options, max: 1 });
    await few.query("BEGIN");
    note(shape(await few.query("SELECT 1 AS next")));
    await few.query("ROLLBACK");
    const checkedOut = await few.connect();
    checkedOut.on("error", () => {});
    await checkedOut.query("BEGIN");
    const { pid } = (await checkedOut.query("SELECT pg_backend_pid() AS pid")).rows[0];
    const ended = new Promise((resolve) => checkedOut.once("end", resolve));
    await setup.query("SELECT pg_terminate_backend($1)", [pid]);
    await ended;
    checkedOut.release(true);
    const held = await few.connect();
    held.on("error", () => {});
    await held.query("BEGIN");
    const lost = await failureOf(() => held.query("SELECT pg_terminate_backend(pg_backend_pid())"));
    note(lost.code);
    held.release(true);
    await few.end();
  });

  // A connection belongs to the request that opened it; what it hears does not. The oldest version does not tell them apart.
  await scenario("listener", async (note) => {
    const listening = new pg.Client(options);
    await listening.connect();
    await listening.query("LISTEN orders");
    const heard = new Promise((resolve, reject) => {
      listening.once("notification", ({ channel, payload }) => {
        note(channel, payload, spanId() === undefined || minor === 0);
        listening.query("SELECT 'heard' AS heard").then(resolve, reject);
      });
    });
    await client.query("SELECT pg_notify('orders', $1)", ["payload"]);
    await heard;
    await listening.end();
  });

  await scenario("copy without a stream", async (note) => {
    await client.query("COPY urls FROM STDIN").catch((error) => note(describeError(error)));
  });

  await scenario("many parameters", async (note) => {
    const values = Array.from({ length: 300 }, (_, index) => index);
    const text = `SELECT ${values.map((value) => `$${value + 1}::int AS c${value}`).join(", ")}`;
    note((await client.query(text, values)).fields.length);
    const long = Array.from({ length: 8 }, (_, index) => String(index).repeat(3000));
    note((await client.query("SELECT $1, $2, $3, $4, $5, $6, $7, $8", long)).fields.length);
  });

  await unsampledScenario("unsampled submittable", async (note, where) => {
    await new Promise((resolve) => client.query("SELECT 'decision'", () => (where(), resolve())));
    const query = client.query(new pg.Query("SELECT 'decision'"));
    await new Promise((resolve) => query.on("end", () => (where(), resolve())));
  });

  await client.end();

  // A pool of one: B and C wait for A, and run when A gives the connection back.
  const single = new Pool({ ...options, max: 1 });
  await Promise.all(
    ["A", "B", "C"].map((name) =>
      scenario(`pool ${name}`, async (note, where) => {
        note(shape(await single.query("SELECT pg_sleep(0.02), $1::text AS name", [name])).rows[0].name);
        where();
      }),
    ),
  );
  await Promise.all(
    ["A", "B", "C"].map((name) =>
      scenario(`pool callback ${name}`, (note, where) => {
        return new Promise((resolve) => {
          single.query("SELECT pg_sleep(0.02), $1::text AS name", [name], (error, result) => {
            where();
            note(error, result.rows[0].name);
            single.connect((failure, checkedOut, release) => {
              where();
              note(failure, checkedOut.constructor.name, release === checkedOut.release);
              checkedOut.query("SELECT 1 AS checked_out", () => {
                where();
                release();
                resolve();
              });
            });
          });
        });
      }),
    ),
  );
  // Its connections are prepared before anybody gets them: the pool's first query is not what `query()` was asked.
  class PreparingPool extends Pool {
    connect(callback) {
      return super.connect((error, connected, release) => {
        if (error) return callback(error);
        connected.query("SET application_name = 'prepared'", (failure) => callback(failure, connected, release));
      });
    }
  }
  const preparing = new PreparingPool({ ...options, max: 1 });
  await Promise.all(
    ["A", "B"].map((name) =>
      scenario(`preparing pool ${name}`, async (note, where) => {
        note(shape(await preparing.query("SELECT pg_sleep(0.02), $1::text AS name", [name])).rows[0].name);
        where();
      }),
    ),
  );
  await preparing.end();
  await scenario("checkout", async (note) => {
    const promise = single.connect();
    note(promise.constructor === Promise);
    const checkedOut = await promise;
    const waiting = single.connect();
    await sleep(30);
    checkedOut.release();
    const second = await waiting;
    await second.query("BEGIN");
    await second.query("INSERT INTO urls VALUES ('t', 'u')");
    await second.query("ROLLBACK");
    second.release();
    note(shape(await single.query("SELECT * FROM urls")));
  });
  await scenario("pool error", async (note, where) => {
    async function callerOfPool() {
      await single.query("SELECT * FROM nowhere");
    }
    await callerOfPool().catch((error) => note(describeError(error), appFrames(error)));
    where();
    await new Promise((resolve) => single.query((error) => (note(describeError(error)), resolve())));
  });
  await single.end();
  await scenario("ended pool", async (note) => {
    async function callerOfPool() {
      await single.query("SELECT 1");
    }
    await callerOfPool().catch((error) => note(describeError(error), appFrames(error)));
    async function callerOfConnect() {
      await single.connect();
    }
    await callerOfConnect().catch((error) => note(describeError(error), appFrames(error)));
    note(single.connect((error) => describeError(error).message));
  });

  const impatient = new Pool({ ...options, max: 1 });
  await scenario("pool timeout", async (note) => {
    const held = await impatient.connect();
    impatient.options.connectionTimeoutMillis = 100;
    await impatient.query("SELECT 1 AS never_sent").catch((error) => note(describeError(error)));
    await impatient.connect().catch((error) => note(describeError(error)));
    held.release();
  });
  await impatient.end();

  await scenario("refused", async (note) => {
    const nowhere = { host: "127.0.0.1", port: 1, user: "u", database: "d" };
    const about = (error) => note(error.code, error.constructor.name);
    await new Pool(nowhere).query("SELECT 1").catch(about);
    await new pg.Client(nowhere).connect().catch(about);
    await new Promise((resolve) => {
      note(new pg.Client(nowhere).connect((error) => (about(error), resolve())) === undefined);
    });
    const unknown = new pg.Client(connectionString.replace(/\/\w*$/, "/no_such_database"));
    await unknown.connect().catch((error) => note(describeError(error)));
    await new pg.Client({ host: "/nonexistent", user: "u", database: "d" }).connect().catch(about);
  });

  await scenario("before connect", async (note) => {
    const early = new pg.Client(options);
    const result = early.query("SELECT 1 AS early");
    const connected = early.connect();
    note(connected.constructor === Promise);
    await connected;
    note(shape(await result));
    await early.end();
    await early.query("SELECT 1 AS late").catch((error) => note(describeError(error)));
  });

  await scenario("custom promise", async (note) => {
    const own = new pg.Client({ ...options, Promise: OwnPromise });
    const connecting = own.connect();
    note(connecting instanceof OwnPromise);
    await connecting;
    const promise = own.query("SELECT 1 AS own");
    note(promise instanceof OwnPromise, shape(await promise));
    const ownPool = new Pool({ ...options, Promise: OwnPromise });
    const checkout = ownPool.connect();
    note(checkout instanceof OwnPromise);
    (await checkout).release();
    await ownPool.end();
    await own.end();
  });

  await scenario("timeouts", async (note, where) => {
    const slow = new pg.Client({ ...options, query_timeout: 100 });
    slow.on("error", () => {});
    await slow.connect();
    await new Promise((resolve) => {
      slow.query("SELECT pg_sleep(0.3), 2", (error) => {
        where();
        note(describeError(error));
        resolve();
      });
    });
    await sleep(400);
    await slow.end();
  });

  await scenario("lost connections", async (note, where) => {
    const victim = new pg.Client(options);
    const events = [];
    victim.on("error", (error) => events.push(error.code));
    await victim.connect();
    const { pid } = (await victim.query("SELECT pg_backend_pid() AS pid")).rows[0];
    const running = victim.query("SELECT pg_sleep(10)");
    const queued = victim.query("SELECT 1 AS queued");
    const outcomes = Promise.allSettled([running, queued]);
    await setup.query("SELECT pg_terminate_backend($1)", [pid]);
    const [first, second] = await outcomes;
    // What the second is told depends on how the socket ends.
    note(first.reason.message, second.status);
    await victim.query("SELECT 1 AS too_late").catch((error) => note(error.message));
    note(events.length > 0);

    const lossy = new Pool({ ...options, max: 1 });
    lossy.on("error", () => {});
    const held = await lossy.connect();
    const processId = held.processID;
    held.release();
    const lost = new Promise((resolve) => {
      lossy.query("SELECT pg_sleep(10) AS pooled", (error) => {
        where();
        resolve(error.message);
      });
    });
    await sleep(50);
    await setup.query("SELECT pg_terminate_backend($1)", [processId]);
    note(await lost);
    await lossy.end();
  });

  await scenario("ended client", async (note) => {
    const ending = new pg.Client(options);
    ending.on("error", () => {});
    await ending.connect();
    const outcomes = Promise.allSettled([
      ending.query("SELECT pg_sleep(1) AS ended"),
      ending.query("SELECT 1 AS behind"),
    ]);
    await ending.end();
    for (const { status, reason } of await outcomes) note(status, reason?.message);
  });
}
