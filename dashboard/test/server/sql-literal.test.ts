import fc from "fast-check";
import sqlite from "node-sqlite3-wasm";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dialectOf, type SqlDialect } from "../../src/server/sql-dialect.ts";
import { NoLiteral, sqlLiteral } from "../../src/server/sql-literal.ts";
import { describeStatement } from "../../src/server/sql-statement.ts";
import { fakeSpan } from "../support/fake-store.ts";

const POSTGRESQL = dialectOf("postgresql", "") as SqlDialect;
const SQLITE = dialectOf("sqlite", "") as SqlDialect;
const PLACE = { isRowCount: false, isList: false, isArray: false, before: " " };

/** Texts made of what ends strings, begins comments and stands for parameters. */
const nasty = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.string({ unit: fc.constantFrom("'", '"', "\\", "$", "1", "?", "-", "/", "*", "\n", "`", ":", "a", "é", "%") }),
);

describe("a literal is the value again when the database reads it", () => {
  let client: pg.Client;
  let database: InstanceType<typeof sqlite.Database>;
  beforeAll(async () => {
    client = new pg.Client(process.env["TRACEKIT_TEST_POSTGRES_URL"]);
    await client.connect();
    database = new sqlite.Database();
  });
  afterAll(async () => {
    await client.end();
    database.close();
  });

  test.each(["on", "off"])("in PostgreSQL, with standard_conforming_strings %s", async (setting) => {
    await client.query(`SET standard_conforming_strings = ${setting}; SET escape_string_warning = off`);
    await fc.assert(
      fc.asyncProperty(fc.array(nasty, { minLength: 1, maxLength: 5 }), async (values) => {
        const literals = values.map((value) => literalOf(value, POSTGRESQL));
        const shown = values.map((value, index) => (literals[index] === undefined ? "unfit" : value));
        const texts = literals.map((literal, index) => `(${literal ?? "'unfit'"})::text AS "${index}"`);
        const { rows } = await client.query(`SELECT ${texts.join(", ")}`);
        expect(Object.values(rows[0])).toEqual(shown);
      }),
      { numRuns: 150 },
    );
  });

  test("in SQLite", () => {
    fc.assert(
      fc.property(nasty, (value) => {
        const literal = literalOf(value, SQLITE);
        if (literal === undefined) return;
        const row = database.get(`SELECT CAST(${literal} AS TEXT) AS value`) as { value: unknown };
        expect(row.value).toBe(value);
      }),
      { numRuns: 500 },
    );
  });

  test("a whole statement gives what the database gives for its parameters", async () => {
    await client.query("SET standard_conforming_strings = on");
    const text =
      "SELECT $1::text AS a, '$1' AS b, ($2)::jsonb ? $3 AS c, $4::int[] AS d, $$ $1 $$ AS e /* $1 */ WHERE 1 = ANY($4) LIMIT $5";
    const parameters = ["it's $2 -- \\", '{"k":1}', "k", [1, 2], 3];
    const attributes = Object.fromEntries(
      parameters.map((value, index) => [
        `db.query.parameter.${index}`,
        typeof value === "string" ? value : JSON.stringify(value),
      ]),
    );
    const span = fakeSpan({ attributes: { "db.system.name": "postgresql", "db.query.text": text, ...attributes } });
    const { runnable } = (await describeStatement(span)) ?? {};
    const filled = await client.query(runnable ?? "");
    const bound = await client.query(text, parameters);
    expect(filled.rows).toEqual(bound.rows);
    expect(filled.rows).toHaveLength(1);
  });
});

/** Undefined for what has none, which is never written wrong. */
function literalOf(value: string, dialect: SqlDialect): string | undefined {
  // Texts that stand for a value.
  if (value === "null" || value === "true" || value === "false") return undefined;
  try {
    return sqlLiteral(value, dialect, PLACE);
  } catch (error) {
    expect(error).toBeInstanceOf(NoLiteral);
    return undefined;
  }
}
