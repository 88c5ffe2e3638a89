import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { runApp } from "../support/run-app.ts";

const source = readFileSync(join(import.meta.dirname, "pg-app.mjs"), "utf8");
const databaseUrl = (): string => process.env["TRACEKIT_TEST_POSTGRES_URL"] as string;

/** What the application printed for one scenario. */
interface Told {
  name: string;
  seen: unknown[];
  where: boolean[];
}

interface Run {
  told: Map<string, Told>;
  spans: ReceivedSpan[];
  /** Everything that was sent, as it was sent. */
  bytes: Buffer;
  stderr: string;
}

let receiver: OtlpReceiver;
beforeAll(async () => {
  receiver = await startOtlpReceiver();
});
afterAll(() => receiver.close());

let runs = 0;

async function run(options: {
  type?: "cjs" | "esm";
  preload?: "import" | "require" | "none";
  env?: Record<string, string>;
  code?: string;
}): Promise<Run> {
  receiver.reset();
  const { type = "esm", preload = "import", code = source } = options;
  const result = await runApp({
    type,
    preload,
    code: type === "esm" ? code : toCommonJs(code),
    env: {
      DATABASE_URL: databaseUrl(),
      SCHEMA: `tracekit_${process.pid}_${runs++}`,
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      ...options.env,
    },
    timeoutMillis: 60_000,
  });
  if (result.code !== 0) throw new Error(`the application failed\n${result.stdout}\n${result.stderr}`);
  const told = result.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Told);
  return {
    told: new Map(told.map((each) => [each.name, each])),
    spans: [...receiver.spans],
    bytes: Buffer.concat(receiver.requests.map(({ body }) => body)),
    stderr: result.stderr,
  };
}

function toCommonJs(code: string): string {
  return code.replace(/^import (.+) from (".+");$/gm, "const $1 = require($2);");
}

let plain: Run;
beforeAll(async () => {
  plain = await run({ preload: "none" });
}, 100_000);

describe.each([
  ["esm", "import"],
  ["cjs", "require"],
] as const)("pg in %s", (type, preload) => {
  let traced: Run;
  beforeAll(async () => {
    traced = await run({ type, preload });
  }, 100_000);

  /** The spans inside a scenario, in the order they started. */
  function spansIn(scenario: string): ReceivedSpan[] {
    const root = traced.spans.find((span) => span.name === scenario);
    return traced.spans
      .filter((span) => span.parentSpanId === root?.spanId)
      .toSorted((a, b) => Number(a.startTimeUnixNano - b.startTimeUnixNano));
  }
  test("the application sees the same results, errors, classes, arities, orders and warnings as without us", () => {
    const seenIn = ({ told }: Run): unknown[] => [...told.values()].map(({ name, seen }) => ({ name, seen }));
    expect(seenIn(traced)).toEqual(seenIn(plain));
    expect(JSON.stringify(seenIn(plain))).not.toContain("unexpected error");
    const warningsIn = ({ stderr }: Run): string => stderr.replaceAll(/\(node:\d+\)|^tracekit:.*\n/gm, "");
    expect(warningsIn(traced)).toBe(warningsIn(plain));
  });

  test("continuations, callbacks, events and rows run in the context of whoever made the call", () => {
    for (const { name, where } of traced.told.values())
      expect({ name, where }).toEqual({ name, where: where.map(() => true) });
    expect([...traced.told.values()].flatMap(({ where }) => where).length).toBeGreaterThan(50);
  });

  test("every call is one span, under its caller, however it ends", () => {
    expect(new Set(traced.spans.map(({ spanId }) => spanId)).size).toBe(traced.spans.length);
    const counts = [...traced.told.keys()].map((name) => [name, spansIn(name).length]);
    expect(Object.fromEntries(counts)).toEqual({
      promise: 1,
      changes: 5,
      values: 2,
      configs: 8,
      callbacks: 5,
      "throwing callback": 2,
      errors: 11,
      "unhandled rejection": 1,
      "several statements": 1,
      "order of events": 3,
      "pg.Query": 5,
      cursor: 3,
      stream: 4,
      "unknown submittable": 1,
      listen: 3,
      "copy without a stream": 1,
      "many parameters": 2,
      unsampled: 0,
      "pool A": 1,
      "pool B": 1,
      "pool C": 1,
      "pool callback A": 2,
      "pool callback B": 2,
      "pool callback C": 2,
      checkout: 4,
      "pool error": 1,
      "ended pool": 3,
      "pool timeout": 2,
      refused: 5,
      "before connect": 3,
      "custom promise": 2,
      timeout: 3,
      "lost connection": 8,
      "ended client": 3,
      functions: 0,
      warnings: 0,
    });
    const { hostname, port } = new URL(databaseUrl());
    for (const span of traced.spans.filter(({ scope }) => scope.name === "@tracekit/auto/pg")) {
      expect(span.kind).toBe("CLIENT");
      if (span.attributes["db.namespace"] !== "postgres") continue;
      expect(span.attributes).toMatchObject({
        "db.system.name": "postgresql",
        "server.address": hostname,
        "server.port": Number(port),
      });
    }
    expect(traced.bytes.includes("unsampled'")).toBe(false);
  });

  /** What is particular about each span of a scenario, keys shortened: `$0`, `returned_rows`. */
  function brief(scenario: string): Array<Record<string, unknown>> {
    const common = /^(?:db\.(?:system\.name|namespace|query\.(?:text|summary))|server\.)/;
    return spansIn(scenario).map(({ name, attributes, status }) => ({
      name,
      ...Object.fromEntries(
        Object.entries(attributes).flatMap(([key, value]) =>
          common.test(key)
            ? []
            : [[key.replace("db.query.parameter.", "$").replace(/^(?:tracekit\.)?db\.(?:response\.)?/, ""), value]],
        ),
      ),
      ...(status.code === "ERROR" && { message: status.message }),
    }));
  }

  test("a query has its summary, text, parameters and rows", () => {
    const [span] = spansIn("promise");
    expect(span).toMatchObject({ name: "SELECT urls", kind: "CLIENT", status: { code: "UNSET" }, events: [] });
    const { hostname, port } = new URL(databaseUrl());
    expect(span?.attributes).toEqual({
      "db.system.name": "postgresql",
      "db.namespace": "postgres",
      "server.address": hostname,
      "server.port": Number(port),
      "db.query.summary": "SELECT urls",
      "db.query.text": "SELECT url FROM urls WHERE id = $1",
      "db.query.parameter.0": "x7k9m2",
      "db.response.returned_rows": 0,
    });
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

  test("a change counts the rows it affected, RETURNING also those it returned, several statements all of theirs", () => {
    expect(brief("changes")).toMatchObject([
      { name: "INSERT urls", affected_rows: 2 },
      { name: "INSERT urls", affected_rows: 1, returned_rows: 1 },
      { name: "UPDATE urls", $0: "none", affected_rows: 3 },
      { name: "DELETE urls", affected_rows: 3 },
      { name: "CREATE TABLE made" },
    ]);
    expect(Object.keys(brief("changes")[4] ?? {})).toEqual(["name"]);
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
    expect(brief("stream")).toMatchObject([
      { name: "SELECT numbers", returned_rows: 250 },
      { returned_rows: 20 },
      { returned_rows: expect.any(Number) as number },
      { status_code: "42P01" },
    ]);
    expect(brief("stream")[2]?.["returned_rows"]).toBeLessThan(250);
    expect(brief("unknown submittable")).toMatchObject([{ name: "SELECT numbers", returned_rows: 2 }]);
  });

  test("a failure has its SQLSTATE, its message and a stack that leads to the caller", () => {
    const [, duplicate, inCallback] = spansIn("errors");
    expect(duplicate).toMatchObject({
      status: { code: "ERROR", message: 'duplicate key value violates unique constraint "users_password_key"' },
      attributes: { "db.response.status_code": "23505", "error.type": "23505" },
      events: [{ name: "exception", attributes: { "exception.type": "23505" } }],
    });
    expect(duplicate?.events[0]?.attributes["exception.stacktrace"]).toMatch(/at async callerOfQuery/);
    expect(inCallback).toMatchObject({ attributes: { "error.type": "42P01" }, events: [{ name: "exception" }] });
    expect(brief("unhandled rejection")).toMatchObject([{ status_code: "42703" }]);
    expect(brief("timeout").slice(1)).toMatchObject([
      { message: "Query read timeout" },
      { message: "Query read timeout" },
    ]);
    expect(brief("lost connection")).toContainEqual({
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
      {},
      { message: "callback is not a function" },
      { name: "postgresql" },
    ]);
    expect(["hunter2", "s3cret"].filter((secret) => traced.bytes.includes(secret))).toEqual([]);
    expect(JSON.stringify([...traced.told.values()])).toContain("hunter2");
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
    expect(waits("checkout")).toEqual([expect.any(Number), undefined, undefined, undefined]);
    expect(waits("checkout")[0]).toBeGreaterThan(25);
    expect(waits("promise")).toEqual([undefined]);
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
    expect(traced.spans.filter(({ name, parentSpanId }) => name === "pg.connect" && parentSpanId === "")).toEqual([]);
  });
});

test("no parameter is captured when it is switched off, nor what an error message quotes of one", async () => {
  const { spans, bytes } = await run({ env: { TRACEKIT_CAPTURE: "-sql-parameters" } });
  expect(spans.length).toBeGreaterThan(90);
  expect(spans.flatMap(({ attributes }) => Object.keys(attributes)).join()).not.toContain("parameter");
  expect(bytes.includes("x7k9m2")).toBe(false);
  expect(bytes.includes('uuid: "undefined"')).toBe(false);
}, 100_000);

test("arguments that throw when we look at them switch off this instrumentation, and nothing else", async () => {
  const { told, spans, stderr } = await run({
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
