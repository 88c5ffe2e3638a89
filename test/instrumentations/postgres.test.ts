import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { databaseContract } from "../contract/database.ts";
import { childrenOf, runScenarios } from "../contract/scenarios.ts";
import { expectDescribed } from "../libraries/description.ts";
import description from "../libraries/postgres.ts";
import { installLibraries } from "../support/library.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../support/otlp-receiver.ts";

const code = readFileSync(join(import.meta.dirname, "postgres-app.mjs"), "utf8");
const databaseUrl = (): string => process.env["TRACEKIT_TEST_POSTGRES_URL"] as string;
const newest = { postgres: description.packages["postgres"]?.at(-1) as string };
let runs = 0;

databaseContract(
  {
    instrumentation: "postgres",
    code,
    installs: (description.packages["postgres"] ?? []).map((version) => ({ postgres: version })),
    env: () => ({ DATABASE_URL: databaseUrl(), DATABASE: `tracekit_${process.pid}_postgres_${runs++}` }),
    system: "postgresql",
    target() {
      const { hostname, port } = new URL(databaseUrl());
      return {
        "db.namespace": expect.stringMatching(/^tracekit_/) as string,
        "server.address": hostname,
        "server.port": Number(port),
      };
    },
    placeholder: (position) => `$${position}`,
    abilities: ["prepared", "stream", "transaction", "lost connection", "timeout", "abort"],
    errors: {
      missingTable: { type: "42P01", status: "42P01" },
      missingColumn: { type: "42703", status: "42703" },
      duplicate: { type: "23505", status: "23505" },
    },
    failures: { "lost connection": /^(?:57P01|CONNECTION_CLOSED|ECONNRESET)$/, timeout: "57014", abort: "57014" },
    timeoutMillis: 90_000,
  },
  ({ installs, run, spansIn, brief }) => {
    const minor = Number(installs["postgres"]?.split(".")[1]);
    const isReservable = minor >= 4;

    test("a query that is never executed stays unexecuted, and has no span", () => {
      expect(run().told.get("lazy")?.seen.slice(-2)).toEqual([false, false]);
      expect(spansIn("lazy")).toEqual([]);
    });

    test("a template is one span with the text and parameters of all its fragments, however often it is awaited", () => {
      expect(spansIn("tagged").map(({ attributes }) => attributes["db.query.text"])).toEqual([
        "SELECT url FROM urls WHERE id = $1",
        'SELECT url FROM "urls" WHERE id = $1 OR url = $2',
        expect.stringMatching(/^INSERT INTO users \("email","password"\) ?values ?\(\$1,\$2\)$/) as string,
        expect.stringMatching(
          /^INSERT INTO urls \("id","url"\) ?values ?\(\$1,\$2\),\(\$3,\$4\) RETURNING id$/,
        ) as string,
        'UPDATE urls SET "url"=$1 WHERE id IN ($2,$3)',
        "DELETE FROM urls WHERE id LIKE $1",
      ]);
      expect(brief("tagged")).toMatchObject([
        { $0: "x'7k9m2" },
        { $0: "x'7k9m2", $1: "u" },
        { $0: "z@b.example", $1: "REDACTED", affected_rows: 1 },
        { $0: "i1", $1: "u1", $2: "i2", $3: "u2", affected_rows: 2, returned_rows: 2 },
        { $0: "u3", $1: "i1", $2: "i2", affected_rows: 2 },
        { $0: "i%", affected_rows: 2 },
      ]);
    });

    test("parameters are shown as the application gave them, bytes by their size", () => {
      expect(brief("values")).toMatchObject([
        {
          $0: "1",
          $1: "null",
          $2: "true",
          $3: "1970-01-01T00:00:00.000Z",
          $4: '{"a":[1],"password":"REDACTED"}',
          $5: '["x","y\\""]',
          $6: "<Buffer 2 bytes>",
          $7: "10",
          returned_rows: 1,
        },
      ]);
      expect(run().bytes.includes("hunter2")).toBe(false);
      expect(brief("many parameters")).toMatchObject([{ $99: "99", omitted_parameters: 50, returned_rows: 1 }]);
    });

    test("values, raw, described, several, prepared, simple and filed queries are one span each", () => {
      const counts = brief("modes").map(({ name, returned_rows: rows }) => [name, rows]);
      expect(counts).toEqual([
        ...(minor >= 2 ? [["SELECT numbers", 2]] : []),
        ["SELECT numbers", 1],
        ["SELECT numbers", undefined],
        ["SELECT SELECT", 2],
        ["SELECT", 1],
        ...(minor >= 3 ? [["SELECT", 1]] : []),
        ["SELECT numbers", 1],
        ["postgresql", undefined],
      ]);
      expect(brief("modes").at(-1)).toMatchObject({ "error.type": "ENOENT" });
      expect(spansIn("modes").at(-2)?.attributes).toHaveProperty("db.namespace");
    });

    test("rows taken one by one or in parts are counted; the cursor's end is the span's", () => {
      expect(brief("row by row")).toMatchObject([{ returned_rows: 25 }, { "error.type": "Error" }]);
      expect(brief("cursor").map(({ returned_rows: rows }) => rows)).toEqual([25, 10, 25]);
    });

    test("COPY is one span until all is copied, or one that failed", () => {
      expect(brief("copy").map(({ name, affected_rows: rows, message }) => [name, rows, message])).toEqual([
        ["CREATE TABLE copied", undefined, undefined],
        ["COPY copied", 2, undefined],
        ["COPY copied", 2, undefined],
        ["COPY SELECT", 20_000, undefined],
        ["COPY SELECT", 20_000, undefined],
        ["COPY copied", undefined, 'invalid input syntax for type integer: "REDACTED"'],
        ["COPY copied", undefined, "COPY from stdin failed: Error: given up"],
        ["COPY copied", 2, undefined],
        ["SELECT copied", undefined, undefined],
      ]);
    });

    test("a savepoint stays in its transaction, a query with a nearer parent is below that, and linked", () => {
      const [first, inside, outside, ...others] = spansIn("savepoints");
      expect(childrenOf(run(), first).map(({ name }) => name)).toEqual([
        "begin",
        "INSERT urls",
        "savepoint",
        "SELECT nowhere",
        "rollback",
        "commit",
      ]);
      expect([first?.name, inside?.name, outside?.name]).toEqual(["transaction", "inside", "SELECT"]);
      expect(childrenOf(run(), inside)).toMatchObject([{ name: "SELECT", links: [{ spanId: first?.spanId }] }]);
      expect(outside?.links).toEqual([]);
      const outcomes = others.map(({ attributes }) => attributes["tracekit.db.transaction_outcome"]);
      expect(outcomes).toEqual(["commit", "rollback"]);
      expect(childrenOf(run(), others[0]).map(({ name }) => name)).toEqual([
        "begin",
        "SELECT",
        "SELECT",
        "DELETE urls",
        "commit",
      ]);
    });

    test("a transaction ends as the server ended it", () => {
      const [transaction, after] = spansIn("manual transaction");
      expect(transaction?.attributes).toMatchObject({ "tracekit.db.transaction_outcome": "rollback" });
      expect(childrenOf(run(), transaction).at(-1)?.name).toBe("COMMIT");
      expect(after?.name).toBe("SELECT");
      const [lost] = brief("transaction on a lost connection");
      expect(lost).toMatchObject({
        name: "transaction",
        "error.type": expect.stringMatching(/^(?:57P01|CONNECTION_CLOSED|ECONNRESET)$/) as string,
      });
    });

    test("a query that waits for a connection is under its caller, and says how long", () => {
      for (const name of ["queue 1", "queue 2", "queue 3", "queue rows"]) expect(spansIn(name)).toHaveLength(1);
      const waits = [1, 2, 3].map((index) => Number(brief(`queue ${index}`)[0]?.["pool_wait_ms"]));
      expect(Math.max(...waits)).toBeGreaterThan(15);
      expect(brief("cancelled before it was sent").at(-1)).toMatchObject({ name: "SELECT", "error.type": "57014" });
    });

    test("a failure is told without the values it quotes, also where nothing was sent", () => {
      expect(brief("failures")).toMatchObject([
        { name: "SELECT", "error.type": "UNDEFINED_VALUE" },
        { name: "INSERT numbers", message: 'invalid input syntax for type integer: "REDACTED"', status_code: "22P02" },
        { name: "SELECT", message: 'invalid input syntax for type integer: "REDACTED"' },
        { name: "SELECT urls", "error.type": "ECONNREFUSED" },
        { name: "begin", "error.type": "ECONNREFUSED" },
        ...(isReservable ? [{ name: "postgres.connect", "error.type": "ECONNREFUSED" }] : []),
        { name: "SELECT", "error.type": "CONNECTION_ENDED" },
      ]);
      expect(spansIn("failures")[3]?.attributes).toMatchObject({
        "db.namespace": "d",
        "db.query.text": "SELECT * FROM urls WHERE id = ? AND url = ?",
        "server.address": "127.0.0.1",
        "server.port": 1,
      });
    });

    test("LISTEN and NOTIFY are queries, and each listener runs where it was set", () => {
      expect([...spansIn("first listener"), ...spansIn("second listener")].map(({ name }) => name).sort()).toEqual([
        'listen "events"',
        'unlisten "events"',
      ]);
      expect(brief("listen and notify").at(-1)).toMatchObject({ name: "select", $0: "events", $1: "hello" });
    });

    test.runIf(isReservable)("a query on a reserved connection knows its server, and the wait for it", () => {
      expect(brief("reserved")).toMatchObject([{ name: "SELECT numbers", pool_wait_ms: expect.any(Number) as number }]);
      expect(spansIn("reserved")[0]?.attributes).toHaveProperty("server.address");
    });

    test("a large object is a transaction", () => {
      const [transaction, ...others] = spansIn("large object");
      expect(others).toEqual([]);
      expect(childrenOf(run(), transaction)).toHaveLength(8);
    });

    test("the library's own queries have no spans", () => {
      expect(run().spans.filter(({ attributes }) => String(attributes["db.query.text"]).includes("pg_type"))).toEqual(
        [],
      );
    });
  },
  (spans) => expectDescribed(description, spans),
);

describe("fragments that throw when we look at them", () => {
  let receiver: OtlpReceiver;
  beforeAll(async () => {
    receiver = await startOtlpReceiver();
  });
  afterAll(() => receiver.close());

  test("switch off this instrumentation, and nothing else", async () => {
    const { told, spans, stderr } = await runScenarios(receiver, {
      libraries: await installLibraries(newest),
      env: { DATABASE_URL: databaseUrl() },
      code: `
      import postgres from "postgres";
      import { trace } from "@opentelemetry/api";
      const sql = postgres(process.env.DATABASE_URL);
      const seen = [];
      trace.getTracer("app").startActiveSpan("before", (span) => span.end());
      const query = sql\`SELECT 1 AS one\`;
      Object.defineProperty(query, "cursorFn", { get() { throw new Error("hostile"); }, configurable: true });
      query.execute();
      delete query.cursorFn;
      seen.push((await query)[0].one);
      seen.push((await sql\`SELECT 2 AS two\`)[0].two);
      trace.getTracer("app").startActiveSpan("after", (span) => span.end());
      await sql.end();
      console.log(JSON.stringify({ name: "hostile", seen, where: [] }));`,
    });
    expect(told.get("hostile")?.seen).toEqual([1, 2]);
    expect(spans.filter(({ scope }) => scope.name === "app").map(({ name }) => name)).toEqual(["before", "after"]);
    expect(spans.some(({ scope }) => scope.name.endsWith("/postgres"))).toBe(false);
    expect(stderr.match(/postgres is no longer traced/g)).toHaveLength(1);
  });
});
