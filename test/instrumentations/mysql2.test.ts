import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { briefOf, databaseContract } from "../contract/database.ts";
import { childrenOf, runScenarios } from "../contract/scenarios.ts";
import { expectDescribed } from "../libraries/description.ts";
import description from "../libraries/mysql2.ts";
import { startMariadb } from "../services/mariadb.ts";
import type { Service } from "../services/service.ts";
import { installLibraries } from "../support/library.ts";
import { startOtlpReceiver } from "../support/otlp-receiver.ts";

const [oldest = "", ...versions] = description.packages["mysql2"] ?? [];
const database = `tracekit_${process.pid}`;
let server: Service;
beforeAll(async () => {
  server = await startMariadb();
}, 300_000);
afterAll(() => server?.stop());

databaseContract(
  {
    instrumentation: "mysql2",
    code: readFileSync(join(import.meta.dirname, "mysql2-app.mjs"), "utf8"),
    installs: versions.map((version) => ({ mysql2: version })),
    env: () => ({ DATABASE_URL: server.url, DATABASE: database }),
    // Who has never answered is only known to speak the protocol.
    system: expect.stringMatching(/^(?:mariadb|mysql)$/) as string,
    target: () => ({
      "db.system.name": "mariadb",
      "db.namespace": database,
      "server.address": "127.0.0.1",
      "server.port": Number(new URL(server.url).port),
    }),
    abilities: ["callback", "prepared", "stream", "transaction", "lost connection", "timeout"],
    errors: {
      missingTable: { type: "ER_NO_SUCH_TABLE", status: "1146" },
      missingColumn: { type: "ER_BAD_FIELD_ERROR", status: "1054" },
      duplicate: { type: "ER_DUP_ENTRY", status: "1062" },
    },
    failures: {
      "lost connection": /^(?:PROTOCOL_CONNECTION_LOST|ER_CONNECTION_KILLED)$/,
      timeout: "PROTOCOL_SEQUENCE_TIMEOUT",
    },
  },
  ({ spansIn, brief, run }) => {
    test("every call is one span, under its caller, however it ends", () => {
      const counts = [...run().told.keys()].map((name) => [name, spansIn(name).length]);
      expect(Object.fromEntries(counts)).toMatchObject({
        named: 3,
        identifiers: 3,
        objects: 5,
        "many parameters": 1,
        misaligned: 1,
        prepare: 6,
        "several statements": 1,
        events: 6,
        errors: 10,
        database: 3,
        "other callbacks": 0,
        procedure: 1,
        "waiting A": 1,
        "waiting callback": 2,
        "queue limit": 2,
        "closed pool": 1,
        cluster: 2,
        connect: 3,
        refused: 3,
        destroyed: 4,
        "unsampled callbacks": 0,
      });
    });

    test("named parameters have their names, and only those of the statement are shown", () => {
      expect(brief("named")).toMatchObject([
        { name: "INSERT users", $email: "ann@b.example", $password: "REDACTED", affected_rows: 1 },
        { name: "SELECT users", $email: "ann@b.example" },
        { $0: "1" },
      ]);
      expect(run().bytes.includes("not-a-parameter")).toBe(false);
    });

    test("identifiers given as parameters are part of the statement, and hide what is given to them", () => {
      expect(brief("identifiers")).toMatchObject([
        { name: "UPDATE `users`", $0: "REDACTED", $1: "x" },
        { name: "SELECT `users`", $0: "nobody" },
        { $0: "REDACTED", $1: "REDACTED", $2: "REDACTED" },
      ]);
      expect(spansIn("identifiers")[0]?.attributes["db.query.text"]).toBe(
        "UPDATE `users` SET `password` = ? WHERE `email` = ?",
      );
    });

    test("objects and lists the client writes into the statement are shown without their secrets", () => {
      expect(brief("objects")).toMatchObject([
        { $0: '{"email":"obj","password":"REDACTED"}', affected_rows: 1 },
        { $0: "REDACTED", affected_rows: 2 },
        { $0: '["row1","row2"]', returned_rows: 2 },
        { $0: "single" },
        { returned_rows: 0 },
      ]);
    });

    test("of many parameters the first hundred are shown", () => {
      const [span] = brief("many parameters");
      expect(span).toMatchObject({ $0: "0", $99: "99", omitted_parameters: 20 });
      expect(span).not.toHaveProperty("$100");
    });

    test("where nobody can tell which value goes where, none is shown", () => {
      expect(brief("misaligned")).toMatchObject([{ $0: "REDACTED", $1: "REDACTED", $2: "REDACTED" }]);
    });

    test("preparing is a span, and so is each execution", () => {
      expect(brief("prepare")).toMatchObject([
        { name: "PREPARE", "operation.name": "PREPARE" },
        { name: "SELECT numbers", $0: "3", $1: "1", returned_rows: 2 },
        { name: "SELECT numbers", $0: "1", $1: "0", returned_rows: 1 },
        { name: "PREPARE", status_code: "1146" },
        { name: "PREPARE" },
        { name: "SELECT numbers", $0: "2", returned_rows: 1 },
      ]);
    });

    test("rows and changes are counted over several results, events and procedures", () => {
      expect(brief("several statements")).toMatchObject([
        { name: "SELECT numbers INSERT secrets SELECT", $0: "3", $1: "REDACTED", returned_rows: 3, affected_rows: 1 },
      ]);
      expect(brief("procedure")).toMatchObject([{ name: "CALL counted", returned_rows: 3 }]);
      expect(brief("events")).toMatchObject([
        { returned_rows: 2 },
        { affected_rows: 1 },
        { "error.type": "ER_NO_SUCH_TABLE" },
        { returned_rows: 2 },
        { "error.type": "ER_NO_SUCH_TABLE" },
        { returned_rows: 25 },
      ]);
    });

    test("an error has its number, SQLSTATE and name, and quotes neither statement nor hidden values", () => {
      const [, syntax, duplicate, wrongValue, literal, signal, , column, , client] = brief("errors");
      expect(syntax).toMatchObject({ status_code: "1064", sqlstate: "42000", "error.type": "ER_PARSE_ERROR" });
      expect(syntax?.["message"]).toMatch(/ near 'REDACTED' at line 1$/);
      expect(duplicate?.["message"]).toBe("Duplicate entry '1' for key 'PRIMARY'");
      expect(wrongValue?.["message"]).toMatch(/^Incorrect integer value: 'REDACTED' for column .*pin/);
      expect(literal?.["message"]).toBe("Duplicate entry 'REDACTED' for key 'PRIMARY'");
      expect(signal).toMatchObject({ sqlstate: "45000", message: "password=REDACTED" });
      expect(column?.["message"]).toMatch(/^Unknown column 'REDACTED' in /);
      expect(client?.["error.type"] ?? "none").toMatch(/TypeError|ER_|none/);
      expect(run().bytes.includes("hunter2")).toBe(false);
    });

    test("the database is the one the session has changed to", () => {
      const namespaces = spansIn("database").map(({ attributes }) => attributes["db.namespace"]);
      expect(namespaces).toEqual([database, "mysql", database]);
    });

    test("the wait for a connection is on the query that had it", () => {
      const waits = ["waiting A", "waiting B", "waiting C"].map((name) =>
        Number(brief(name)[0]?.["pool_wait_ms"] ?? 0),
      );
      expect(waits.toSorted((a, b) => a - b)).toEqual(waits);
      expect(waits[2]).toBeGreaterThan(80);
    });

    test("what refuses a connection is a failed span of its own", () => {
      const message = (scenario: string): unknown[] => brief(scenario).map((span) => [span["name"], span["message"]]);
      expect(message("queue limit")).toEqual([
        ["mysql2.connect", "Queue limit reached."],
        ["mysql2.connect", "Queue limit reached."],
      ]);
      expect(message("closed pool")).toEqual([["mysql2.connect", "Pool is closed."]]);
      expect(brief("refused")).toMatchObject([
        { name: "mysql2.connect", "error.type": "ECONNREFUSED" },
        { name: "mysql2.connect", "error.type": "ER_ACCESS_DENIED_ERROR", status_code: "1045" },
        { name: "mysql2.connect", "error.type": "ECONNREFUSED" },
      ]);
    });

    test("a connection the application opens within a trace is a span, and who answers is known on its first query", () => {
      expect(spansIn("connect").map(({ name }) => name)).toEqual(["mysql2.connect", "mysql2.connect", "SELECT"]);
      for (const { attributes } of spansIn("connect")) expect(attributes["db.system.name"]).toBe("mariadb");
    });

    test("what a connection leaves behind when it is destroyed has failed", () => {
      const failed = brief("destroyed").slice(2);
      expect(failed.map((span) => span["error.type"])).toEqual([
        "PROTOCOL_CONNECTION_LOST",
        "PROTOCOL_CONNECTION_LOST",
      ]);
      for (const span of spansIn("closed connection").slice(2)) expect(span.status.code).toBe("ERROR");
    });

    test("a transaction ends with the connection's return to its pool, if nothing else ends it", () => {
      const [transaction, ...others] = spansIn("left open");
      expect(transaction?.attributes["tracekit.db.transaction_outcome"]).toBe("unfinished");
      expect(childrenOf(run(), transaction).map(({ name }) => name)).toEqual(["START TRANSACTION", "SELECT"]);
      expect(others.map(({ name }) => name)).toEqual(["SELECT"]);
    });

    test("nothing of ours fails", () => expect(run().stderr).not.toContain("no longer traced"));
  },
  (spans) => expectDescribed(description, spans),
);

test(`${oldest}, which has no timeouts, is traced, too`, async () => {
  const code = `
    import mysql from "mysql2";
    import { failureOf, runMain, scenario } from "./scenarios-app.cjs";
    runMain(async () => {
      const pool = mysql.createPool({ uri: process.env.DATABASE_URL, connectionLimit: 1 });
      await scenario("queries", async (note, where) => {
        note((await pool.promise().query("SELECT ? AS a", [1]))[0]);
        note((await pool.promise().execute("SELECT ? AS password", ["hunter2"]))[0].length);
        note((await failureOf(() => pool.promise().query("SELECT * FROM nowhere")))?.code);
        await new Promise((resolve) => pool.query("SELECT 2 AS b").on("result", where).on("end", resolve));
        await new Promise((resolve) => pool.query("SELECT 3 AS c", () => resolve(where())));
      });
      await pool.promise().end();
    });`;
  const receiver = await startOtlpReceiver();
  try {
    const libraries = await installLibraries({ mysql2: oldest });
    const run = await runScenarios(receiver, { code, libraries, env: { DATABASE_URL: server.url } });
    expect(run.told.get("queries")).toMatchObject({ seen: [[{ a: 1 }], 1, "ER_NO_SUCH_TABLE"], where: [true, true] });
    expect(childrenOf(run, "queries").map(briefOf)).toMatchObject([
      { name: "SELECT", $0: "1", returned_rows: 1 },
      { name: "SELECT", $0: "REDACTED", returned_rows: 1 },
      { name: "SELECT nowhere", "error.type": "ER_NO_SUCH_TABLE", status_code: "1146" },
      { name: "SELECT", returned_rows: 1 },
      { name: "SELECT", returned_rows: 1 },
    ]);
  } finally {
    await receiver.close();
  }
}, 100_000);

describe("an argument that throws when we read it", () => {
  const code = `
    import mysql from "mysql2/promise";
    import { runMain, scenario } from "./scenarios-app.cjs";
    runMain(async () => {
      const connection = await mysql.createConnection(process.env.DATABASE_URL);
      await scenario("hostile", async (note) => {
        const sql = { sql: "SELECT 5 AS five" };
        Object.defineProperty(sql, "values", {
          get() {
            if (/instrumentations.mysql2/.test(new Error().stack.split("\\n")[2])) throw new Error("hostile");
            return [];
          },
          enumerable: true,
        });
        note((await connection.query(sql))[0]);
        note((await connection.query("SELECT 6 AS six"))[0]);
      });
      await connection.end();
    });`;

  test("switches this instrumentation off, says so once, and the application gets its result", async () => {
    const receiver = await startOtlpReceiver();
    try {
      const libraries = await installLibraries({ mysql2: versions.at(-1) ?? "" });
      const run = await runScenarios(receiver, { code, libraries, env: { DATABASE_URL: server.url } });
      expect(run.told.get("hostile")?.seen).toEqual([[{ five: 5 }], [{ six: 6 }]]);
      expect(run.stderr.match(/mysql2 is no longer traced/g)).toHaveLength(1);
      expect(childrenOf(run, "hostile")).toEqual([]);
    } finally {
      await receiver.close();
    }
  }, 100_000);
});
