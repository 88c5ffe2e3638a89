import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { databaseContract } from "../contract/database.ts";
import { childrenOf, runScenarios } from "../contract/scenarios.ts";
import description from "../libraries/pg.ts";
import { expectDescribed } from "../libraries/description.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../support/otlp-receiver.ts";

const code = readFileSync(join(import.meta.dirname, "pg-app.mjs"), "utf8");
const databaseUrl = (): string => process.env["TRACEKIT_TEST_POSTGRES_URL"] as string;
let runs = 0;

databaseContract(
  {
    instrumentation: "pg",
    code,
    installs: [
      // The oldest supported, with the oldest pool.
      {
        pg: "8.0.3",
        "pg-pool": "2.0.10",
        "pg-cursor": "2.1.11",
        "pg-query-stream": "3.0.8",
        "pg-copy-streams": "4.0.0",
      },
      { pg: "8.7.3", "pg-pool": "3.4.1", "pg-cursor": "2.7.1", "pg-query-stream": "4.2.1", "pg-copy-streams": "5.1.1" },
      // The last whose errors do not lead to the caller, and the last before ES-module exports, and that wrote to configs.
      {
        pg: "8.11.0",
        "pg-pool": "3.6.0",
        "pg-cursor": "2.10.0",
        "pg-query-stream": "4.5.0",
        "pg-copy-streams": "6.0.6",
      },
      {
        pg: "8.16.3",
        "pg-pool": "3.10.1",
        "pg-cursor": "2.15.3",
        "pg-query-stream": "4.10.3",
        "pg-copy-streams": "6.0.6",
      },
      {
        pg: "8.23.1",
        "pg-pool": "3.14.0",
        "pg-cursor": "2.22.0",
        "pg-query-stream": "4.17.0",
        "pg-copy-streams": "7.0.0",
      },
    ],
    env: () => ({ DATABASE_URL: databaseUrl(), DATABASE: `tracekit_${process.pid}_${runs++}` }),
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
    abilities: ["callback", "prepared", "stream", "transaction", "lost connection", "timeout", "abort"],
    errors: {
      missingTable: { type: "42P01", status: "42P01" },
      missingColumn: { type: "42703", status: "42703" },
      duplicate: { type: "23505", status: "23505" },
    },
    failures: { "lost connection": "57P01", timeout: "Error", abort: "57014" },
  },
  ({ installs, run, spansIn, brief }) => {
    const minor = Number(installs["pg"]?.split(".")[1]);

    test("every call is one span, under its caller, however it ends", () => {
      const counts = Object.fromEntries([...run().told.keys()].map((name) => [name, spansIn(name).length]));
      expect(counts).toMatchObject({
        returning: 4,
        values: 2,
        "values used again": 2,
        configs: 8,
        callbacks: 5,
        errors: 9,
        ...(minor > 22 && { "impossible arguments": 2 }),
        "several statements": 1,
        "order of events": 3,
        "pg.Query": 5,
        cursor: 3,
        streams: 4,
        "unknown submittable": 1,
        listen: 3,
        "copy without a stream": 1,
        "many parameters": 2,
        "unsampled submittable": 0,
        "pool A": 1,
        "pool B": 1,
        "pool C": 1,
        "pool callback A": 2,
        "pool callback B": 2,
        "pool callback C": 2,
        "preparing pool A": 2,
        "preparing pool B": 2,
        checkout: 2,
        copy: 6,
        types: 4,
        savepoints: 2,
        "failed transactions": 5,
        "transactions in a queue": 3,
        "a span within a transaction": 2,
        "transactions left open": 6,
        listener: minor > 0 ? 3 : 4,
        "pool error": 1,
        "ended pool": 3,
        "pool timeout": 2,
        refused: 5,
        "before connect": 3,
        "custom promise": 2,
        timeouts: 2,
        "lost connections": 8,
        "ended client": 3,
      });
    });

    test("parameters are shown as pg sends them, bytes by their size and objects that convert themselves by their class", () => {
      expect(brief("values")).toEqual([
        {
          name: "SELECT",
          $0: "1",
          $1: "null",
          $2: "true",
          $3: "1970-01-01T00:00:00.000Z",
          $4: '{"a":[1]}',
          $5: '["x","y\\""]',
          $6: "<Buffer 2 bytes>",
          $7: "10",
          $8: "null",
          returned_rows: 1,
        },
        { name: "SELECT", $0: "[Object]", returned_rows: 1 },
      ]);
    });

    test("what the application uses again after a query is shown as it was", () => {
      expect(brief("values used again")).toEqual([
        { name: "SELECT", $0: "first", returned_rows: 1 },
        { name: "SELECT", $0: "first", returned_rows: 1 },
      ]);
      expect(spansIn("values used again").map(({ attributes }) => attributes["db.query.text"])).toEqual([
        "SELECT $1::text AS text",
        "SELECT $1::text AS config",
      ]);
    });

    test("a change counts the rows it affected, RETURNING also those it returned, several statements all of theirs", () => {
      expect(brief("returning")).toMatchObject([
        { name: "INSERT urls", affected_rows: 1, returned_rows: 1 },
        { name: "UPDATE urls", $0: "c", affected_rows: 1, returned_rows: 1 },
        { name: "DELETE urls", affected_rows: 1 },
        { name: "CREATE TABLE made" },
      ]);
      expect(Object.keys(brief("returning")[3] ?? {})).toEqual(["name"]);
      expect(brief("several statements")).toMatchObject([{ returned_rows: 3, affected_rows: 2 }]);
    });

    test("a named statement has its name, and its text when it is executed without", () => {
      expect(brief("configs").map((span) => span["statement_name"])).toEqual([
        "one",
        "one",
        undefined,
        undefined,
        undefined,
        "one",
        undefined,
        undefined,
      ]);
      expect(spansIn("configs")[5]?.attributes).toMatchObject({
        "db.query.text": "SELECT $1::int AS one",
        "db.query.parameter.0": "4",
      });
    });

    test("cursors, streams and submittables end with what the server says, and count their rows", () => {
      expect(brief("pg.Query")).toMatchObject([
        { name: "SELECT numbers", $0: "3", returned_rows: 3 },
        { status_code: "42P01" },
        { returned_rows: 1 },
        { status_code: "42P01" },
        { affected_rows: 5 },
      ]);
      expect(brief("cursor")).toMatchObject([
        { name: "SELECT numbers", $0: "5", returned_rows: 5 },
        { returned_rows: 3 },
        { status_code: "42P01", message: 'relation "nowhere" does not exist' },
      ]);
      expect(brief("streams")).toMatchObject([
        { name: "SELECT numbers", returned_rows: 250 },
        { returned_rows: 20 },
        { returned_rows: expect.any(Number) as number },
        { status_code: "42P01" },
      ]);
      expect(brief("streams")[2]?.["returned_rows"]).toBeLessThan(250);
      expect(brief("unknown submittable")).toMatchObject([{ name: "SELECT numbers", returned_rows: 2 }]);
    });

    test("COPY counts the rows that came or went, and fails like a query", () => {
      expect(brief("copy")).toMatchObject([
        { name: "COPY urls", affected_rows: 2 },
        { name: "COPY urls", returned_rows: 2 },
        { name: "COPY nowhere", status_code: "42P01" },
        { name: "COPY numbers", status_code: "22P02", message: expect.stringContaining("REDACTED") as string },
        { name: "COPY nowhere", status_code: "42P01" },
        { name: "DELETE urls", affected_rows: 2 },
      ]);
      expect(spansIn("copy").map(({ attributes }) => attributes["db.query.text"])).toContain(
        "COPY urls (id, url) FROM STDIN",
      );
    });

    test("rows as arrays, parsers of the application's own, bytes and documents change nothing in what is recorded", () => {
      expect(brief("types")).toMatchObject([
        { returned_rows: 1 },
        { $0: "<Buffer 100000 bytes>", returned_rows: 1 },
        { $0: '{"user":{"name":"u","password":"REDACTED"},"list":[1,{"token":"REDACTED"}]}', returned_rows: 1 },
        { $0: "7", returned_rows: 1 },
      ]);
    });

    /** The transactions below a scenario: how each ended, and the names of what is in it. */
    const transactionsIn = (scenario: string): unknown[][] =>
      spansIn(scenario)
        .filter(({ name }) => name === "transaction")
        .map((span) => [
          span.attributes["tracekit.db.transaction_outcome"] ?? span.attributes["error.type"],
          ...childrenOf(run(), span).map(({ name }) => name),
        ]);

    test("a transaction spans savepoints and AND CHAIN, and ends as the server says", () => {
      expect(transactionsIn("savepoints")).toEqual([
        [
          "rollback",
          ...["BEGIN", "SAVEPOINT", "SELECT nowhere", "ROLLBACK", "RELEASE", "COMMIT", "SELECT", "ROLLBACK"],
        ],
      ]);
      expect(spansIn("savepoints").map(({ name }) => name)).toEqual(["transaction", "SELECT"]);
      // COMMIT of a failed transaction rolls back; COMMIT may itself fail; one text may be all of it.
      expect(transactionsIn("failed transactions")).toEqual([
        ["rollback", "begin", "SELECT nowhere", "commit"],
        ["23505", expect.stringMatching(/^BEGIN/), "COMMIT"],
      ]);
    });

    test("queries waiting behind a COMMIT are not part of its transaction", () => {
      expect(transactionsIn("transactions in a queue")).toEqual([
        ["commit", "BEGIN", "SELECT", "COMMIT"],
        ["rollback", "BEGIN", "SELECT", "ROLLBACK"],
      ]);
      expect(spansIn("transactions in a queue")).toHaveLength(3);
    });

    test("a query below a span of its own within a transaction stays there, and links to the transaction", () => {
      const [transaction, step] = spansIn("a span within a transaction");
      expect([transaction?.name, step?.name]).toEqual(["transaction", "step"]);
      expect(childrenOf(run(), transaction).map(({ name }) => name)).toEqual(["BEGIN", "COMMIT"]);
      const [query] = childrenOf(run(), step);
      expect(query?.links).toMatchObject([{ traceId: transaction?.traceId, spanId: transaction?.spanId }]);
      expect(run().spans.flatMap(({ links }) => links)).toHaveLength(1);
    });

    test("a transaction that nobody ends is over when its connection is given back or lost", () => {
      expect(transactionsIn("transactions left open")).toEqual([
        ["unfinished", "BEGIN"],
        ["unfinished", "BEGIN", "SELECT"],
        ["57P01", "BEGIN", "SELECT"],
      ]);
    });

    test("what a listening connection hears is part of no trace", () => {
      const heard = run().spans.find(({ attributes }) => String(attributes["db.query.text"]).endsWith("AS heard"));
      expect(heard?.parentSpanId === "").toBe(minor > 0);
    });

    test("a failure has its SQLSTATE, its message and a stack that leads to the caller", () => {
      const [, duplicate, inCallback] = spansIn("errors");
      expect(duplicate).toMatchObject({
        status: { code: "ERROR", message: 'duplicate key value violates unique constraint "members_password_key"' },
        attributes: { "db.response.status_code": "23505", "error.type": "23505" },
        events: [{ name: "exception", attributes: { "exception.type": "23505" } }],
      });
      const leadsToCaller = /at async callerOfQuery/.test(
        String(duplicate?.events[0]?.attributes["exception.stacktrace"]),
      );
      expect(leadsToCaller).toBe(minor > 15);
      expect(inCallback).toMatchObject({ attributes: { "error.type": "42P01" }, events: [{ name: "exception" }] });
      expect(brief("timeouts")).toMatchObject([{ name: "pg.connect" }, { message: "Query read timeout" }]);
      expect(brief("lost connections")).toContainEqual({
        name: "SELECT",
        status_code: "57P01",
        "error.type": "57P01",
        message: "terminating connection due to administrator command",
      });
      expect(brief("ended client").slice(1)).toEqual([
        { name: "SELECT", "error.type": "Error", message: "Connection terminated" },
        { name: "SELECT", "error.type": "Error", message: "Connection terminated" },
      ]);
    });

    test("a sensitive parameter is nowhere, nor what an error message quotes of it or of a literal", () => {
      expect(brief("errors")).toMatchObject([
        { $1: "REDACTED", affected_rows: 1 },
        { $1: "REDACTED" },
        {},
        { $0: "REDACTED", status_code: "22P02", message: 'invalid input syntax for type integer: "REDACTED"' },
        { status_code: "22P02", message: 'invalid input syntax for type integer: "REDACTED"' },
        { $0: "undefined", message: 'invalid input syntax for type uuid: "undefined"' },
        { status_code: "42601", message: 'syntax error at or near "REDACTED"' },
        { message: "Query values must be an array" },
        { name: "postgresql" },
      ]);
      expect(["hunter2", "s3cret"].filter((secret) => run().bytes.includes(secret))).toEqual([]);
      expect(JSON.stringify([...run().told.values()])).toContain("hunter2");
    });

    test("parameters stay within the span's limits and within one value's budget together", () => {
      const [wide, long] = brief("many parameters");
      expect(wide).toMatchObject({ $0: "0", $99: "99", omitted_parameters: 200, returned_rows: 1 });
      expect(wide).not.toHaveProperty("$100");
      expect(long).toMatchObject({ $0: "0".repeat(3000), $1: expect.stringMatching(/^1+…$/) as string });
      expect(Buffer.byteLength(`${String(long?.["$0"])}${String(long?.["$1"])}`)).toBeLessThanOrEqual(4096);
      expect(long).toMatchObject({ omitted_parameters: 6 });
    });

    test("the wait for a pooled connection is on the first query after it", () => {
      const waits = (scenario: string): unknown[] => brief(scenario).map((span) => span["pool_wait_ms"]);
      const [b] = waits("pool B");
      const [c] = waits("pool C");
      expect(b).toBeGreaterThan(15);
      expect(c).toBeGreaterThan(b as number);
      const [begin] = childrenOf(run(), spansIn("checkout")[0]);
      expect(begin).toMatchObject({ name: "BEGIN" });
      expect(begin?.attributes["tracekit.db.pool_wait_ms"]).toBeGreaterThan(25);
      expect(waits("returning")).toEqual([undefined, undefined, undefined, undefined]);
    });

    test("a connection is a span when it fails, or when the application makes it within a trace", () => {
      const ended = "Cannot use a pool after calling end on the pool";
      expect(brief("ended pool").map(({ name, message }) => [name, message])).toEqual([
        ["pg.connect", ended],
        ["pg.connect", ended],
        ["pg.connect", ended],
      ]);
      expect(brief("pool timeout")).toMatchObject([
        { name: "pg.connect", message: "timeout exceeded when trying to connect" },
        { name: "pg.connect", message: "timeout exceeded when trying to connect" },
      ]);
      expect(brief("refused")).toMatchObject([
        { name: "pg.connect", "error.type": "ECONNREFUSED" },
        { name: "pg.connect", "error.type": "ECONNREFUSED" },
        { name: "pg.connect", "error.type": "ECONNREFUSED" },
        { name: "pg.connect", "error.type": "3D000", status_code: "3D000" },
        { name: "pg.connect", "error.type": "ENOENT" },
      ]);
      expect(spansIn("refused")[4]?.attributes).toMatchObject({ "server.address": "/nonexistent/.s.PGSQL.5432" });
      expect(spansIn("refused")[4]?.attributes).not.toHaveProperty("server.port");
      expect(spansIn("refused")[0]?.attributes).toMatchObject({
        "db.namespace": "d",
        "server.address": "127.0.0.1",
        "server.port": 1,
      });
      expect(brief("before connect").map(({ name }) => name)).toEqual(["SELECT", "pg.connect", "SELECT"]);
      expect(run().spans.filter(({ name, parentSpanId }) => name === "pg.connect" && parentSpanId === "")).toEqual([]);
    });
  },
  (spans) => expectDescribed(description, spans),
);

describe("arguments that throw when we look at them", () => {
  let receiver: OtlpReceiver;
  beforeAll(async () => {
    receiver = await startOtlpReceiver();
  });
  afterAll(() => receiver.close());

  test("switch off this instrumentation, and nothing else", async () => {
    const { told, spans, stderr } = await runScenarios(receiver, {
      env: { DATABASE_URL: databaseUrl() },
      code: `
      import pg from "pg";
      import { trace } from "@opentelemetry/api";
      const client = new pg.Client(process.env.DATABASE_URL);
      const seen = [];
      trace.getTracer("app").startActiveSpan("before", (span) => span.end());
      await client.connect();
      const hostile = { get values() { throw new Error("hostile"); }, text: "SELECT 1" };
      try { await client.query(hostile); } catch (error) { seen.push(error.message); }
      seen.push((await client.query("SELECT 2 AS two")).rows[0].two);
      trace.getTracer("app").startActiveSpan("after", (span) => span.end());
      await client.end();
      console.log(JSON.stringify({ name: "hostile", seen, where: [] }));`,
    });
    expect(told.get("hostile")?.seen).toEqual(["hostile", 2]);
    expect(spans.filter(({ scope }) => scope.name === "app").map(({ name }) => name)).toEqual(["before", "after"]);
    expect(spans.some(({ attributes }) => attributes["db.query.text"] === "SELECT ? AS two")).toBe(false);
    expect(stderr.match(/pg is no longer traced/g)).toHaveLength(1);
  });
});
