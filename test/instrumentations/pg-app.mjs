// The application of pg.test.ts: every way to query, each inside a root span of its own. It prints what an application can
// see, line by line, so that a run without the preload can be compared; `where` is what only a traced run can know.
import { context, propagation, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import pg from "pg";
import Cursor from "pg-cursor";
import QueryStream from "pg-query-stream";

const connectionString = process.env.DATABASE_URL;
const schema = process.env.SCHEMA;
const options = { connectionString, options: `-c search_path=${schema}` };
const tracer = trace.getTracer("app");

const warnings = [];
process.on("warning", ({ name, message }) => warnings.push(`${name}: ${message}`));

const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));
const spanId = () => trace.getActiveSpan()?.spanContext().spanId;

/** Runs `body(note, where)`: `note` is for what must not depend on the preload, `where()` for the context it is called in. */
async function scenario(name, body) {
  const seen = [];
  const where = [];
  await tracer.startActiveSpan(name, async (span) => {
    const home = spanId();
    try {
      await body(
        (...values) => seen.push(...values),
        () => where.push(spanId() === home),
      );
    } catch (error) {
      seen.push(`unexpected ${error.stack}`);
    }
    span.end();
  });
  print(name, seen, where);
}

function print(name, seen, where = []) {
  console.log(JSON.stringify({ name, seen, where }));
}

const describe = (error) => ({
  class: error?.constructor?.name,
  name: error?.name,
  code: error?.code,
  message: error?.message,
  detail: error?.detail,
  keys: Object.keys(error ?? {}),
});
/** Functions of this file on the stack. */
const appFrames = (error) => [...(error.stack ?? "").matchAll(/at (?:async )?(callerOf\w+)/g)].map(([, name]) => name);
const shape = (result) =>
  Array.isArray(result)
    ? result.map(shape)
    : { command: result.command, rowCount: result.rowCount, rows: result.rows, class: result.constructor.name };

class OwnPromise extends Promise {}

async function main() {
  const setup = new pg.Client({ connectionString });
  await setup.connect();
  await setup.query(`
    DROP SCHEMA IF EXISTS ${schema} CASCADE;
    CREATE SCHEMA ${schema};
    CREATE TABLE ${schema}.urls (id text PRIMARY KEY, url text);
    CREATE TABLE ${schema}.users (email text, password text UNIQUE, pin integer);
    CREATE TABLE ${schema}.numbers (n integer);
    INSERT INTO ${schema}.numbers SELECT generate_series(1, 250)`);

  const client = new pg.Client(options);
  await client.connect();

  await scenario("promise", async (note, where) => {
    const promise = client.query("SELECT url FROM urls WHERE id = $1", ["x7k9m2"]);
    note(promise.constructor === Promise, Object.keys(promise));
    note(shape(await promise));
    where();
  });

  await scenario("changes", async (note) => {
    note(shape(await client.query("INSERT INTO urls VALUES ($1, $2), ($3, $4)", ["a", "http://a", "b", "http://b"])));
    note(shape(await client.query("INSERT INTO urls VALUES ($1, $2) RETURNING id", ["c", null])));
    note(shape(await client.query("UPDATE urls SET url = 'http://z' WHERE id <> $1", ["none"])));
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

  await scenario("throwing callback", async (note) => {
    const thrown = new Error("from the callback");
    const caught = new Promise((resolve) => process.once("uncaughtException", resolve));
    client.query("SELECT 1 AS thrower", () => {
      throw thrown;
    });
    note((await caught) === thrown);
    note(shape(await client.query("SELECT 2 AS afterwards")));
  });

  await scenario("errors", async (note, where) => {
    await client.query("INSERT INTO users VALUES ($1, $2, 1)", ["a@b.example", "hunter2"]);
    async function callerOfQuery() {
      await client.query("INSERT INTO users VALUES ($1, $2, 1)", ["a@b.example", "hunter2"]);
    }
    await callerOfQuery().catch((error) => note(describe(error), appFrames(error)));
    where();
    await new Promise((resolve) => {
      client.query("SELECT * FROM nowhere", function (...outcome) {
        where();
        note(describe(outcome[0]), outcome.length, this?.constructor?.name);
        resolve();
      });
    });
    await client
      .query("INSERT INTO users (pin, password) VALUES ($1, $2)", ["s3cret-pin", "p"])
      .catch((error) => note(describe(error)));
    await client.query("SELECT 's3cret-literal'::integer").catch((error) => note(describe(error)));
    await client.query("SELECT $1::uuid", ["undefined"]).catch((error) => note(describe(error)));
    await client.query("SELECT 'a' 's3cret-quoted'").catch((error) => note(describe(error)));
    await client.query("SELECT $1::int", "no array").catch((error) => note(describe(error)));
    const circular = {};
    circular.circular = circular;
    await client.query("SELECT $1::jsonb", [circular]).catch((error) => note(describe(error).class));
    for (const args of [[null], [], ["SELECT 1", [], "no function"]]) {
      try {
        client.query(...args);
        note("no error");
      } catch (error) {
        note(describe(error));
      }
    }
    await client.query({}).catch((error) => note(describe(error)));
  });

  await scenario("unhandled rejection", async (note) => {
    const unhandled = [];
    const onUnhandled = (reason, promise) => unhandled.push([reason.code, promise === failing]);
    process.on("unhandledRejection", onUnhandled);
    const failing = client.query("SELECT unhandled");
    for (let tries = 0; unhandled.length === 0 && tries < 100; tries++) await sleep(20);
    await sleep(20);
    process.off("unhandledRejection", onUnhandled);
    note(unhandled);
  });

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
    await new Promise((resolve) => failing.on("error", (error) => (where(), note(describe(error)), resolve())));
    await new Promise((resolve) => {
      const calledBack = new pg.Query("SELECT 1 AS called_back");
      client.query(calledBack, (error, result) => (where(), note(error, shape(result)), resolve()));
    });
    await new Promise((resolve) => {
      client.query(new pg.Query("SELECT * FROM nowhere_either"), (...outcome) => {
        where();
        note(describe(outcome[0]), outcome.length);
        resolve();
      });
    });
    const change = client.query(new pg.Query("UPDATE numbers SET n = n WHERE n < 6"));
    await new Promise((resolve) => change.on("end", resolve));
  });

  await scenario("cursor", async (note, where) => {
    const cursor = client.query(new Cursor("SELECT n FROM numbers ORDER BY n LIMIT $1", [5]));
    note((await cursor.read(2)).length, (await cursor.read(2)).length, (await cursor.read(2)).length);
    note(await cursor.read(2));
    await sleep(20);

    const early = client.query(new Cursor("SELECT n FROM numbers ORDER BY n"));
    await new Promise((resolve) => early.read(3, (error, rows) => (where(), note(error, rows), resolve())));
    await early.close();

    const failing = client.query(new Cursor("SELECT * FROM nowhere"));
    await failing.read(1).catch((error) => note(describe(error)));
  });

  await scenario("stream", async (note, where) => {
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
    const failing = client.query(new QueryStream("SELECT * FROM nowhere"));
    await new Promise((resolve) => failing.on("error", (error) => (note(describe(error)), resolve())).resume());
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

  await scenario("copy without a stream", async (note) => {
    await client.query("COPY urls FROM STDIN").catch((error) => note(describe(error)));
  });

  await scenario("many parameters", async (note) => {
    const values = Array.from({ length: 300 }, (_, index) => index);
    const text = `SELECT ${values.map((value) => `$${value + 1}::int AS c${value}`).join(", ")}`;
    note((await client.query(text, values)).fields.length);
    const long = Array.from({ length: 8 }, (_, index) => String(index).repeat(3000));
    note((await client.query("SELECT $1, $2, $3, $4, $5, $6, $7, $8", long)).fields.length);
  });

  const traceId = "a".repeat(32);
  const isUnsampled = () => trace.getActiveSpan()?.spanContext().traceId === traceId;
  const unsampled = propagation.extract(ROOT_CONTEXT, { traceparent: `00-${traceId}-${"b".repeat(16)}-00` });
  await context.with(unsampled, async () => {
    const where = [];
    await client.query("SELECT 'unsampled'");
    await new Promise((resolve) => {
      client.query("SELECT 'unsampled'", () => (where.push(isUnsampled()), resolve()));
    });
    const query = client.query(new pg.Query("SELECT 'unsampled'"));
    await new Promise((resolve) => query.on("end", () => (where.push(isUnsampled()), resolve())));
    print("unsampled", [], where);
  });

  await client.end();

  // A pool of one: B and C wait for A, and run when A gives the connection back.
  const pool = new pg.Pool({ ...options, max: 1 });
  await Promise.all(
    ["A", "B", "C"].map((name) =>
      scenario(`pool ${name}`, async (note, where) => {
        note(shape(await pool.query("SELECT pg_sleep(0.02), $1::text AS name", [name])).rows[0].name);
        where();
      }),
    ),
  );
  await Promise.all(
    ["A", "B", "C"].map((name) =>
      scenario(`pool callback ${name}`, (note, where) => {
        return new Promise((resolve) => {
          pool.query("SELECT pg_sleep(0.02), $1::text AS name", [name], (error, result) => {
            where();
            note(error, result.rows[0].name);
            pool.connect((failure, checkedOut, release) => {
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
  await scenario("checkout", async (note) => {
    const promise = pool.connect();
    note(promise.constructor === Promise);
    const checkedOut = await promise;
    const waiting = pool.connect();
    await sleep(30);
    checkedOut.release();
    const second = await waiting;
    await second.query("BEGIN");
    await second.query("INSERT INTO urls VALUES ('t', 'u')");
    await second.query("ROLLBACK");
    second.release();
    note(shape(await pool.query("SELECT * FROM urls")));
  });
  await scenario("pool error", async (note, where) => {
    async function callerOfPool() {
      await pool.query("SELECT * FROM nowhere");
    }
    await callerOfPool().catch((error) => note(describe(error), appFrames(error)));
    where();
    await new Promise((resolve) => pool.query((error) => (note(describe(error)), resolve())));
  });
  await pool.end();
  await scenario("ended pool", async (note) => {
    async function callerOfPool() {
      await pool.query("SELECT 1");
    }
    await callerOfPool().catch((error) => note(describe(error), appFrames(error)));
    async function callerOfConnect() {
      await pool.connect();
    }
    await callerOfConnect().catch((error) => note(describe(error), appFrames(error)));
    note(pool.connect((error) => describe(error).message));
  });

  const impatient = new pg.Pool({ ...options, max: 1, connectionTimeoutMillis: 1000 });
  await scenario("pool timeout", async (note) => {
    const held = await impatient.connect();
    await impatient.query("SELECT 1 AS never_sent").catch((error) => note(describe(error)));
    await impatient.connect().catch((error) => note(describe(error)));
    held.release();
  });
  await impatient.end();

  await scenario("refused", async (note) => {
    const nowhere = { host: "127.0.0.1", port: 1, user: "u", database: "d" };
    const about = (error) => note(error.code, error.constructor.name);
    await new pg.Pool(nowhere).query("SELECT 1").catch(about);
    await new pg.Client(nowhere).connect().catch(about);
    await new Promise((resolve) => {
      note(new pg.Client(nowhere).connect((error) => (about(error), resolve())) === undefined);
    });
    const unknown = new pg.Client(connectionString.replace(/\/\w*$/, "/no_such_database"));
    await unknown.connect().catch((error) => note(describe(error)));
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
    await early.query("SELECT 1 AS late").catch((error) => note(describe(error)));
  });

  await scenario("custom promise", async (note) => {
    const own = new pg.Client({ ...options, Promise: OwnPromise });
    const connecting = own.connect();
    note(connecting instanceof OwnPromise);
    await connecting;
    const promise = own.query("SELECT 1 AS own");
    note(promise instanceof OwnPromise, shape(await promise));
    const ownPool = new pg.Pool({ ...options, Promise: OwnPromise });
    const checkout = ownPool.connect();
    note(checkout instanceof OwnPromise);
    (await checkout).release();
    await ownPool.end();
    await own.end();
  });

  await scenario("timeout", async (note, where) => {
    const slow = new pg.Client({ ...options, query_timeout: 100 });
    slow.on("error", () => {});
    await slow.connect();
    await slow.query("SELECT pg_sleep(0.3)").catch((error) => note(describe(error)));
    await sleep(400);
    await new Promise((resolve) => {
      slow.query("SELECT pg_sleep(0.3), 2", (error) => {
        where();
        note(describe(error));
        resolve();
      });
    });
    await sleep(400);
    await slow.end();
  });

  await scenario("lost connection", async (note, where) => {
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

    const lossy = new pg.Pool({ ...options, max: 1 });
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
      ending.query("SELECT pg_sleep(10) AS ended"),
      ending.query("SELECT 1 AS behind"),
    ]);
    await ending.end();
    for (const { status, reason } of await outcomes) note(status, reason?.message);
  });

  await setup.query(`DROP SCHEMA ${schema} CASCADE`);
  await setup.end();
  const basePool = Object.getPrototypeOf(pg.Pool.prototype);
  print("functions", [
    [pg.Client.prototype.query.name, pg.Client.prototype.query.length],
    [pg.Client.prototype.connect.name, pg.Client.prototype.connect.length],
    [basePool.connect.name, basePool.connect.length, basePool.query.name, basePool.query.length],
    [Object.keys(pg.Client.prototype), Object.keys(basePool)],
  ]);
  print("warnings", warnings);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
