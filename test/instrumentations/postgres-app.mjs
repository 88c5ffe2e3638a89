// The application of postgres.test.ts: the scenarios of the database contract, and every other way to query.
import { writeFileSync } from "node:fs";
import { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import postgres from "postgres";
import { runDatabase } from "./database-app.cjs";
import { describeError, failureOf, scenario, sleep, tracer, unsampledScenario } from "./scenarios-app.cjs";

const serverUrl = process.env.DATABASE_URL;
const database = process.env.DATABASE;
const connectionString = serverUrl.replace(/\/\w*$/, `/${database}`);
const options = { max: 3, onnotice: () => {} };
const [, minor] = JSON.parse(process.env.VERSIONS).postgres.split(".").map(Number);

let setup;
let sql;

const shape = (result) => {
  if (!Array.isArray(result)) return result;
  const { command, count, columns, constructor } = result;
  return {
    class: constructor.name,
    command,
    count,
    columns: columns?.map(({ name }) => name),
    rows: [...result].map(row),
  };
};
const row = (value) => (Array.isArray(value) && "count" in value ? shape(value) : value);

/** Which end of a cut connection is noticed first is chance. */
const withSteadyCode = (error) =>
  error.code === "ECONNRESET" ? Object.assign(error, { code: "CONNECTION_CLOSED" }) : error;

const ownScenarios = {
  async lazy(note) {
    const never = sql`SELECT 'never' AS executed`;
    const fragment = sql`WHERE id = ${"fragment"}`;
    const names = Object.getOwnPropertyNames(sql).filter((name) => name !== "arguments" && name !== "caller");
    note(Object.keys(never), names, String(never), never instanceof Promise);
    note(await Promise.race([sleep(30), sleep(60)]));
    note(never.executed, fragment.executed);
  },

  async tagged(note, where) {
    const id = "x'7k9m2";
    note(shape(await sql`SELECT url FROM urls WHERE id = ${id}`));
    where();
    note(shape(await sql`SELECT url FROM ${sql("urls")} ${sql`WHERE id = ${id} ${sql`OR url = ${"u"}`}`}`));
    note(shape(await sql`INSERT INTO users ${sql({ email: "z@b.example", password: "hunter2-helper" })}`));
    note(
      shape(
        await sql`INSERT INTO urls ${sql([
          { id: "i1", url: "u1" },
          { id: "i2", url: "u2" },
        ])} RETURNING id`,
      ),
    );
    note(shape(await sql`UPDATE urls SET ${sql({ url: "u3" }, "url")} WHERE id IN ${sql(["i1", "i2"])}`));
    const query = sql`DELETE FROM urls WHERE id LIKE ${"i%"}`;
    const results = await Promise.all([query, query.then((result) => result), query.finally(() => where())]);
    note(
      results.every((result) => result === results[0]),
      shape(results[0]),
      Object.keys(query),
    );
  },

  async values(note) {
    const object = Object.freeze({ a: [1], password: "hunter2-json" });
    note(
      shape(
        await sql`SELECT ${1}::int, ${null}::int, ${true}::bool, ${new Date(0)}::timestamptz, ${sql.json(object)}::jsonb,
            ${sql.array(["x", 'y"'])}::text[], ${Buffer.from("hi")}::bytea, ${"10"}::bigint`,
      ),
    );
    note(object);
  },

  async modes(note) {
    if (minor >= 2) note(shape(await sql`SELECT n FROM numbers WHERE n < ${3}`.values()));
    note(shape(await sql`SELECT n::text FROM numbers WHERE n < ${2}`.raw()));
    const { string, columns } = await sql`SELECT n FROM numbers WHERE n = ${1}`.describe();
    note(string, columns.length);
    note((await sql.unsafe("SELECT 1 AS a; SELECT 2 AS b")).map(shape));
    note(shape(await sql.unsafe("SELECT 3 AS c", [], { prepare: true })));
    if (minor >= 3) note(shape(await sql`SELECT 4 AS d`.simple()));
    writeFileSync("query.sql", "SELECT n FROM numbers WHERE n = $1");
    note(shape(await sql.file("query.sql", [5])));
    note((await failureOf(() => sql.file("nowhere.sql"))).code);
  },

  async "row by row"(note, where) {
    let sum = 0;
    note(
      shape(
        await sql`SELECT n FROM numbers`.forEach(({ n }) => {
          sum += n;
          if (n === 1) where();
        }),
      ),
      sum,
    );
    const thrown = new Error("from the callback");
    const failing = sql`SELECT 1 AS a`.forEach(() => {
      throw thrown;
    });
    note((await failureOf(() => failing)) === thrown);
  },

  async cursor(note, where) {
    const counts = [];
    await sql`SELECT n FROM numbers`.cursor(10, (rows) => {
      where();
      counts.push(rows.length);
    });
    await sql`SELECT n FROM numbers`.cursor(10, async (rows) => {
      await sleep(1);
      counts.push(rows.length);
      return sql.CLOSE;
    });
    for await (const rows of sql`SELECT n FROM numbers`.cursor(20)) counts.push(rows.length);
    where();
    note(counts);
  },

  async copy(note, where) {
    await sql`CREATE TABLE copied (id int, name text)`;
    await pipeline(Readable.from(["1\ta\n", "2\tb\n"]), await sql`COPY copied FROM stdin`.writable());
    where();
    const chunks = [];
    const readable = await sql`COPY copied TO stdout`.readable();
    readable.on("data", (chunk) => {
      where();
      chunks.push(chunk);
    });
    await new Promise((resolve) => readable.on("end", resolve));
    where();
    note(Buffer.concat(chunks).toString());
    let rows = 0;
    for (const at of [1, 2]) {
      // More than comes in one piece with the stream itself.
      const many = await sql`COPY (SELECT generate_series(1, 20000)) TO stdout`.readable();
      many.on("data", () => ++rows === at * 20000 && where());
      await new Promise((resolve) => many.on("end", resolve));
    }
    note(rows);
    for (const action of ["write", "destroy"]) {
      const broken = await sql`COPY copied FROM stdin`.writable();
      const failed = new Promise((resolve) => broken.once("error", resolve));
      broken[action](action === "write" ? "no number\ta\n" : new Error("given up"));
      note((await failed).message);
    }
    await pipeline(
      await sql`COPY copied TO stdout`.readable(),
      new Writable({ write: (_chunk, _encoding, done) => done() }),
    );
    note(shape(await sql`SELECT count(*)::int AS copied FROM copied`));
  },

  async savepoints(note, where) {
    await sql.begin("read write", async (tx) => {
      note(shape(await tx`INSERT INTO urls VALUES (${"s1"}, ${null})`));
      const failure = await failureOf(() => tx.savepoint("inner", (inner) => inner`SELECT * FROM nowhere`));
      note(describeError(failure));
      await tracer.startActiveSpan("inside", async (span) => {
        await tx`SELECT 'inside' AS place`;
        span.end();
      });
      await sql`SELECT 'outside' AS place`;
      where();
    });
    // Sent one behind the other, without waiting for answers.
    note((await sql.begin((tx) => [tx`SELECT 1 AS a`, tx`SELECT 2 AS b`, tx`DELETE FROM urls`])).map(shape));
    note(await failureOf(() => sql.begin(() => Promise.reject(undefined))));
  },

  async "manual transaction"(note) {
    const single = postgres(connectionString, { ...options, max: 1 });
    await single`BEGIN`;
    await single`SELECT 'manual' AS place`;
    await failureOf(() => single`SELECT * FROM nowhere`);
    // The server rolls it back, whatever it is asked to do.
    note((await single`COMMIT`).command);
    await single`SELECT 'after' AS place`;
    await single.end();
  },

  async "transaction on a lost connection"(note) {
    const cut = postgres(connectionString, { ...options, max: 1 });
    // The library's own ROLLBACK fails outside of any promise.
    const uncaught = [];
    const onUncaught = (error) => uncaught.push(error.constructor.name);
    process.on("uncaughtException", onUncaught);
    const failure = await failureOf(() =>
      cut.begin(async (tx) => {
        const [{ pid }] = await tx`SELECT pg_backend_pid() AS pid`;
        setTimeout(() => setup`SELECT pg_terminate_backend(${pid})`.execute(), 50);
        await tx`SELECT pg_sleep(20)`;
      }),
    );
    await sleep(50);
    process.off("uncaughtException", onUncaught);
    note(withSteadyCode(failure).code, uncaught);
    await cut.end({ timeout: 0 });
  },

  async queue(note) {
    const single = postgres(connectionString, { ...options, max: 1 });
    const waiting = [1, 2, 3].map((index) =>
      scenario(`queue ${index}`, async (noteInside, where) => {
        noteInside(shape(await single`SELECT pg_sleep(0.02)::text AS slept, ${index}::int AS index`));
        where();
      }),
    );
    const rows = scenario("queue rows", async (noteInside, where) => {
      await single`SELECT n FROM numbers WHERE n < ${3}`.forEach(where);
    });
    await Promise.all([...waiting, rows]);
    await single.end();
    note("done");
  },

  async failures(note, where) {
    note(describeError(await failureOf(() => sql`SELECT ${undefined} AS missing`)));
    note(describeError(await failureOf(() => sql`INSERT INTO numbers VALUES (${"hunter2-integer"})`)));
    note(describeError(await failureOf(() => sql`SELECT 'hunter2-literal'::integer`)));
    const closed = { ...options, host: "127.0.0.1", port: 1, database: "d", connect_timeout: 5 };
    const refused = postgres(closed);
    note((await failureOf(() => refused`SELECT * FROM urls WHERE id = ${"r"} ${refused`AND url = ${"u"}`}`)).code);
    note((await failureOf(() => refused.begin((tx) => tx`SELECT 1`))).code);
    if (refused.reserve) note((await failureOf(() => refused.reserve())).code);
    await refused.end({ timeout: 0 });
    note((await failureOf(() => refused`SELECT 'ended'`)).code);
    where();
  },

  async "cancelled before it was sent"(note) {
    const single = postgres(connectionString, { ...options, max: 1 });
    const first = single`SELECT pg_sleep(0.1)`.execute();
    const holding = single.begin((tx) => tx`SELECT pg_sleep(0.1)`);
    await sleep(20);
    const queued = single`SELECT 'queued' AS place`.execute();
    await sleep(5);
    queued.cancel();
    note((await failureOf(() => queued))?.code);
    await Promise.all([first, holding]);
    await single.end();
  },

  async "listen and notify"(note) {
    const listening = [];
    const listener = (name) =>
      scenario(name, async (noteInside, where) => {
        let resolveHeard;
        const heard = new Promise((resolve) => (resolveHeard = resolve));
        const onPayload = (payload) => {
          where();
          resolveHeard(payload);
        };
        const { unlisten } = await sql.listen("events", onPayload, where);
        listening.push(name);
        noteInside(await heard);
        await unlisten();
      });
    const listeners = [listener("first listener"), listener("second listener")];
    while (listening.length < 2) await sleep(5);
    await sql.notify("events", "hello");
    await Promise.all(listeners);
    note("done");
  },

  async reserved(note, where) {
    if (sql.reserve === undefined) return;
    const fresh = postgres(connectionString, { ...options, max: 1 });
    const reserved = await fresh.reserve();
    where();
    note(shape(await reserved`SELECT n FROM numbers WHERE n = ${1}`));
    reserved.release();
    await fresh.end();
  },

  async "large object"(note) {
    const object = await sql.largeObject();
    await object.write(Buffer.from("stored"));
    await object.seek(0);
    note(String((await object.read(6))[0].data));
    await object.close();
  },

  async "many parameters"(note) {
    const ids = Array.from({ length: 150 }, (_, index) => index);
    note(shape(await sql`SELECT count(*)::int FROM numbers WHERE n IN ${sql(ids)}`));
  },
};

runDatabase({
  placeholder: (position) => `$${position}`,
  shape,
  async open() {
    setup = postgres(serverUrl, { ...options, max: 1 });
    await setup.unsafe(`CREATE DATABASE ${database}`);
    sql = postgres(connectionString, options);
  },
  query: (text, values) => sql.unsafe(text, values).execute(),
  prepared: (text, values) => sql.unsafe(text, values, { prepare: true }),
  async *stream(text, values) {
    for await (const rows of sql.unsafe(text, values).cursor(10)) yield* rows;
  },
  transaction: (work) => sql.begin((tx) => work((text, values) => tx.unsafe(text, values))),
  async loseConnection() {
    const cut = postgres(connectionString, { ...options, max: 1 });
    const [{ pid }] = await cut`SELECT pg_backend_pid() AS pid`;
    const slow = cut`SELECT pg_sleep(20)`.execute();
    setTimeout(() => setup`SELECT pg_terminate_backend(${pid})`.execute(), 50);
    try {
      await slow;
    } catch (error) {
      throw withSteadyCode(error);
    } finally {
      await cut.end({ timeout: 0 });
    }
  },
  async timeOut() {
    const hasty = postgres(connectionString, { ...options, connection: { statement_timeout: 100 } });
    try {
      await hasty`SELECT pg_sleep(20)`;
    } finally {
      await hasty.end();
    }
  },
  async abort() {
    // Up to 3.0.1 a cancelling connection also starts a session, which the server may reset, and nobody gets the promise
    // that fails then.
    if (minor === 0)
      process.on("unhandledRejection", (error) => {
        if (error.syscall !== "read" || error.code !== "ECONNRESET") throw error;
      });
    const query = sql`SELECT pg_sleep(20)`.execute();
    setTimeout(() => query.cancel(), 100);
    await query;
  },
  functions: () => [
    sql,
    sql.unsafe,
    sql.file,
    sql.begin,
    sql.listen,
    sql.notify,
    sql.end,
    sql.largeObject,
    sql.reserve ?? sql.end,
    ...["handle", "then", "cancel", "cursor", "forEach"].map((name) => Object.getPrototypeOf(sql``)[name]),
  ],
  own: async () => {
    for (const [name, body] of Object.entries(ownScenarios)) await scenario(name, body);
    await unsampledScenario("unsampled rows", async (note, where) => {
      await sql`SELECT 1 AS unsampled`.forEach(where);
      note("done");
    });
  },
  async close() {
    await sql.end();
    await setup.unsafe(`DROP DATABASE ${database} WITH (FORCE)`);
    await setup.end();
  },
});
