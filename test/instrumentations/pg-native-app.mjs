// The application of pg-native.test.ts: the scenarios of the database contract over libpq.
import pg from "pg";
import { runDatabase } from "./database-app.cjs";
import { describeError, scenario, sleep } from "./scenarios-app.cjs";

const { Client, Pool, Query } = pg.native;
const serverUrl = process.env.DATABASE_URL;
const database = process.env.DATABASE;
const options = { connectionString: serverUrl.replace(/\/\w*$/, `/${database}`) };

let setup;
let pool;

const shape = (result) => ({ command: result.command, rowCount: result.rowCount, rows: result.rows });

async function withClient(clientOptions, body) {
  const client = new Client(clientOptions);
  client.on("error", () => {});
  await client.connect();
  try {
    return await body(client);
  } finally {
    await client.end();
  }
}

runDatabase({
  placeholder: (position) => `$${position}`,
  shape,
  async open() {
    setup = new Client(serverUrl);
    await setup.connect();
    await setup.query(`CREATE DATABASE ${database}`);
    pool = new Pool({ ...options, max: 2, idleTimeoutMillis: 300 });
  },
  query: (text, values) => pool.query(text, values),
  callback: (text, values, done) => pool.query(text, values, done),
  prepared: (text, values) => pool.query({ name: text.slice(0, 20), text, values }),
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
  timeOut: () =>
    withClient({ ...options, query_timeout: 200 }, (client) =>
      client.query("SELECT pg_sleep(0.5)").finally(() => sleep(400)),
    ),
  abort: () =>
    withClient(options, async (client) => {
      const { pid } = (await client.query("SELECT pg_backend_pid() AS pid")).rows[0];
      const sleeping = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
      const cancel = async () => {
        while ((await setup.query(sleeping, [pid])).rowCount === 0) await sleep(20);
        await setup.query("SELECT pg_cancel_backend($1)", [pid]);
      };
      await Promise.all([client.query("SELECT pg_sleep(10)"), cancel()]);
    }),
  async own() {
    await scenario("pg.Query", (note) =>
      withClient(options, async (client) => {
        await new Promise((resolve) => {
          const query = client.query(new Query("SELECT n FROM numbers WHERE n < 3 ORDER BY n"));
          query.on("row", (row) => note(row));
          query.on("end", resolve);
        });
        await new Promise((resolve) => {
          const failing = client.query(new Query("SELECT * FROM nowhere"));
          failing.on("error", (error) => (note(describeError(error)), resolve()));
        });
      }),
    );
    await scenario("left open", (note) =>
      withClient(options, async (client) => note(shape(await client.query("BEGIN")))),
    );
    await scenario("refused", async (note) => {
      await new Client("postgres://u@127.0.0.1:1/d").connect().catch((error) => note(error.constructor.name));
    });
  },
  async close() {
    await pool.end();
    const drop = () => setup.query(`DROP DATABASE ${database}`);
    await drop().catch(() => sleep(500).then(drop));
    await setup.end();
  },
  functions: () => [Client, Client.prototype.query, Client.prototype.connect],
});
