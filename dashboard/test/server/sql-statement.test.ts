import { describe, expect, test } from "vitest";
import type { Attributes } from "../../src/model/attributes.ts";
import type { SqlStatement } from "../../src/model/trace.ts";
import { describeStatement } from "../../src/server/sql-statement.ts";
import { fakeSpan } from "../support/fake-store.ts";

/** What the details of a span with this statement say; parameters by position, or by name. */
async function describeSql(
  system: string,
  text: string,
  parameters: Attributes | Attributes[string][] = {},
  more: Attributes = {},
): Promise<SqlStatement> {
  const entries = Object.entries(parameters).map(([key, value]) => [`db.query.parameter.${key}`, value]);
  const attributes = { "db.system.name": system, "db.query.text": text, ...Object.fromEntries(entries), ...more };
  const statement = await describeStatement(fakeSpan({ attributes }));
  if (statement === undefined) throw new Error("no statement");
  return statement;
}

/** The runnable statement in one line, or why there is none. */
async function run(...args: Parameters<typeof describeSql>): Promise<string | undefined> {
  const { runnable, notRunnable } = await describeSql(...args);
  expect([runnable, notRunnable].filter((each) => each !== undefined)).toHaveLength(1);
  return runnable?.replaceAll(/\s+/g, " ") ?? notRunnable;
}

describe("which spans have a statement", () => {
  test("those of databases that speak SQL, by either name of the attributes", async () => {
    const of = (attributes: Attributes): Promise<unknown> => describeStatement(fakeSpan({ attributes }));
    expect(await of({ "db.system": "postgresql", "db.statement": "SELECT 1" })).toMatchObject({ text: "SELECT 1" });
    expect(await of({ "db.query.text": "select 1" })).toMatchObject({ text: "select 1" });
    expect(await of({ "db.system.name": "redis", "db.query.text": "GET a" })).toBeUndefined();
    expect(await of({ "db.system.name": "mongodb", "db.query.text": "select" })).toBeUndefined();
    expect(await of({ "db.query.text": "GET a" })).toBeUndefined();
    expect(await of({ "db.system.name": "postgresql" })).toBeUndefined();
    expect(await of({ "db.system.name": "constructor", "db.query.text": "SELECT 1" })).toBeUndefined();
  });
});

describe("a formatted statement", () => {
  test("has its clauses on lines of their own", async () => {
    const { formatted } = await describeSql("postgresql", "SELECT a, b FROM t WHERE a = $1 AND b->>'x' = $2 LIMIT $3");
    expect(formatted).toBe("SELECT\n  a,\n  b\nFROM t\nWHERE\n  a = $1\n  AND b ->> 'x' = $2\nLIMIT $3");
  });

  test("keeps the ends of its comments, and line breaks inside of strings", async () => {
    const { formatted } = await describeSql("postgresql", "SELECT a -- all\nFROM t WHERE b = 'x\n  y' AND c = 1");
    expect(formatted).toMatch(/-- all\n/);
    expect(formatted).toContain("'x\n  y'");
  });

  test.each([
    ["postgresql", "SELECT a ?| ARRAY[$1], b ?& $2, c ? $3, d @> $4, e::int, f #>> $5, g @@ $6, h <-> $7 FROM t"],
    [
      "postgresql",
      "SELECT $tag$ $1 ' -- $tag$, E'\\'$1', 'it''s $1', \"$1\" /* $1 /* $1 */ */ FROM t -- $1\nWHERE a = $1",
    ],
    ["mysql", "INSERT INTO `a?` (b) VALUES (?, :x, '\\'?', \"?\") # ?\n"],
    ["sqlite", 'SELECT [a ?], `b ?`, "c ?", ?1, :n, @n, $n FROM t'],
    ["mssql", "SELECT TOP (@p0) [a @p0], N'@p1' FROM t WHERE b = @p1"],
    ["postgresql", "SELECT a FROM t WHERE b = %s AND c = %(name)s"],
    [
      "postgresql",
      "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x ON CONFLICT (id) DO UPDATE SET a = $1 RETURNING *",
    ],
  ])("has every token as it was sent: %s %s", async (system, text) => {
    const { formatted } = await describeSql(system, text);
    expect(formatted.replaceAll(/\s+/g, "")).toBe(text.replaceAll(/\s+/g, ""));
    expect(formatted).toContain("\n");
  });

  test.each([
    ["what cannot be parsed", "SELECT ((( FROM"],
    ["what has no end", "SELECT 'abc"],
    ["what would take long to format", `SELECT * FROM t WHERE id IN (${"$1, ".repeat(2000)}$2)`],
    ["what is deeply nested", `SELECT ${"(".repeat(2000)}1${")".repeat(2000)}`],
  ])("is the text itself for %s", async (_, text) => {
    const before = performance.now();
    expect((await describeSql("postgresql", text)).formatted).toBe(text);
    expect(performance.now() - before).toBeLessThan(5000);
  });
});

describe("a runnable statement", () => {
  test("has each parameter where it belongs", async () => {
    expect(await run("postgresql", "SELECT $2, $1, $2", ["a", "b"])).toBe("SELECT 'b', 'a', 'b'");
    expect(await run("postgresql", "SELECT $1, $10", [..."abcdefghij"])).toBe("SELECT 'a', 'j'");
    expect(await run("mysql", "SELECT ?, ?", ["a", "b"])).toBe("SELECT 'a', 'b'");
    expect(await run("sqlite", "SELECT ?2, ?1", ["a", "b"])).toBe("SELECT 'b', 'a'");
    expect(await run("sqlite", "SELECT :x, @y, $z", { x: "1", y: "b", z: "c" })).toBe("SELECT 1, 'b', 'c'");
    expect(await run("mssql", "SELECT @p1, @name", { "@p1": 1, name: "b" })).toBe("SELECT 1, 'b'");
    expect(await run("oracle.db", "SELECT :1, :name FROM dual", { 0: "a", name: "b" })).toBe(
      "SELECT 'a', 'b' FROM dual",
    );
    expect(await run("postgresql", "SELECT %s, %(x)s", { 0: "a", x: "b" })).toBe("SELECT 'a', 'b'");
    expect(await run("mysql", "SELECT ?? FROM ??", ["a`b", "d.t"])).toBe("SELECT `a``b` FROM `d`.`t`");
  });

  test("has none where a parameter only seems to be", async () => {
    const text = "SELECT '$1', \"$1\", $$ $1 $$, $x$ $1 $x$, E'\\' $1' /* $1 */, $1";
    expect(await run("postgresql", text, ["v"])).toBe(text.replace(/\$1$/, "'v'"));
    const mysql = "SELECT '?', \"?\", `?`, '\\'?', ? /* ? */";
    expect(await run("mysql", mysql, ["v"])).toBe("SELECT '?', \"?\", `?`, '\\'?', 'v' /* ? */");
    expect(await run("postgresql", "SELECT a ? $1, b ?| $2, c::text, d[1:2] FROM t", ["x", "{y}"])).toBe(
      "SELECT a ? 'x', b ?| '{y}', c::text, d[1:2] FROM t",
    );
    expect(await run("mysql", "SELECT @var := ?, @@version", ["1"])).toBe("SELECT @var := '1', @@version");
    expect(await run("mssql", "DECLARE @x int = 1; SELECT @x, @y", { y: 2 })).toBe("DECLARE @x int = 1; SELECT @x, 2");
  });

  test("takes nothing a value says for SQL", async () => {
    const evil = "'; DROP TABLE t; -- $1 \\";
    expect(await run("postgresql", "SELECT $1, $1", [evil])).toBe(
      "SELECT E'''; DROP TABLE t; -- $1 \\\\', E'''; DROP TABLE t; -- $1 \\\\'",
    );
    expect(await run("mysql", "SELECT ?, ?", [evil, "?"])).toBe("SELECT '''; DROP TABLE t; -- $1 \\\\', '?'");
    expect(await run("sqlite", "SELECT ?", [evil])).toBe("SELECT '''; DROP TABLE t; -- $1 \\'");
    expect(await run("mssql", "SELECT @p0", ["x"].length ? { p0: "é'" } : {})).toBe("SELECT N'é'''");
    expect(await run("postgresql", "SELECT 1-$1, 1 - $2", [-1, -2])).toBe("SELECT 1 - -1, 1 - -2");
    expect(await run("postgresql", "SELECT 1 -$1 " + "x".repeat(4000), [-1])).toContain("1 -(-1)");
  });

  test("writes each kind of value as its database does", async () => {
    const values = [null, true, 1.5, { $int: "9007199254740993" }, { $double: 1 }, { $bytes: "AP8=" }, "null"];
    expect(await run("postgresql", "SELECT $1, $2, $3, $4, $5, $6, $7", values)).toBe(
      "SELECT NULL, TRUE, 1.5, 9007199254740993, 1, '\\x00ff'::bytea, NULL",
    );
    expect(await run("sqlite", "SELECT ?, ?, ?, ?, ?, ?, ?", values)).toBe(
      "SELECT NULL, 1, 1.5, 9007199254740993, 1, X'00ff', NULL",
    );
    expect(await run("mssql", "SELECT @p0, @p1", { p0: true, p1: { $bytes: "AP8=" } })).toBe("SELECT 1, 0x00ff");
    expect(await run("mysql", "SELECT ?, ? LIMIT ?", ["true", "42", "10"])).toBe("SELECT TRUE, '42' LIMIT 10");
    expect(await run("postgresql", "SELECT $1 LIMIT $2 OFFSET $3", ["42", "10", "0"])).toBe(
      "SELECT '42' LIMIT 10 OFFSET 0",
    );
    expect(await run("sqlite", "SELECT ?, ?, ?", ["42", "007", "1e5"])).toBe("SELECT 42, '007', '1e5'");
    expect(await run("postgresql", "SELECT $1", [{ $map: { a: { $int: "1" } } }])).toBe(`SELECT '{"a":"1"}'`);
  });

  test("writes a list as its place wants it", async () => {
    const list = '["a","it\'s",null,1,"x\\"y"]';
    expect(await run("postgresql", "SELECT * FROM t WHERE a = ANY($1)", [list])).toBe(
      `SELECT * FROM t WHERE a = ANY (E'{"a","it''s",NULL,1,"x\\\\"y"}')`,
    );
    expect(await run("postgresql", "SELECT unnest($1::int[])", ["[1,2]"])).toBe("SELECT unnest('{1,2}'::int[])");
    expect(await run("postgresql", "INSERT INTO t VALUES ($1)", ["[1,2]"])).toBe("INSERT INTO t VALUES ('[1,2]')");
    expect(await run("mysql", "SELECT * FROM t WHERE a IN (?)", ['[1,"b"]'])).toBe(
      "SELECT * FROM t WHERE a IN (1, 'b')",
    );
  });

  test("does not exist where something is missing, and says what", async () => {
    const cut = "SELECT * FROM t WHERE a = $1 AND b…";
    expect(await run("postgresql", cut, ["a"])).toBe("The statement was cut.");
    expect(await run("postgresql", "SELECT 'abc", [])).toBe("The statement was cut.");
    expect(await run("postgresql", "SELECT $1, $2", ["a", "REDACTED"])).toBe("The value of $2 is redacted.");
    expect(await run("mysql", "SELECT ?, ?", ["a", "b…"])).toBe("The value of parameter 2 was cut.");
    expect(await run("sqlite", "SELECT :x", { x: "<Buffer 12 bytes>" })).toBe(
      "The value of :x is binary data, of which only the size was sent.",
    );
    expect(await run("postgresql", "SELECT $1", ["a\0b"])).toContain("holds a zero character");
    expect(await run("postgresql", "SELECT $1, $2")).toBe("The values were not sent.");
    expect(await run("postgresql", "SELECT $1, $2", ["a"])).toBe("The value of $2 was not sent.");
    expect(await run("postgresql", "SELECT $1 WHERE a = ? LIMIT ?", ["a"])).toBe(
      "Literals of the statement were left out by the sender.",
    );
    expect(await run("mysql", "SELECT ? LIMIT ?", ["a"])).toBe(
      "2 places, but 1 value: the sender left out literals or values.",
    );
    expect(await run("mysql", "SELECT ?", ["a", "b"])).toBe("1 place, but 2 values.");
    expect(await run("postgresql", "SELECT $1, $2", ["a"], { "tracekit.db.omitted_parameters": 1 })).toBe(
      "1 of the values was not sent: there are too many, or they are too long.",
    );
    expect(await run("postgresql", "SELECT a = ANY($1)", ['["a","REDACTED"]'])).toBe("The value of $1 is redacted.");
  });
});

describe("parameters", () => {
  test("are in order, with the places they have in the text", async () => {
    const of = async (...args: Parameters<typeof describeSql>): Promise<unknown> =>
      (await describeSql(...args)).parameters.map(({ name, value }) => `${name}=${String(value)}`);
    const eleven = Object.fromEntries([..."ABCDEFGHIJK"].map((value, index) => [index, value]));
    expect(await of("postgresql", "SELECT $1, $2", { 1: "b", 0: "a" })).toEqual(["$1=a", "$2=b"]);
    expect(await of("mysql", `SELECT ${Array(11).fill("?").join()}`, eleven)).toContain("11=K");
    expect(await of("sqlite", "SELECT @b, :a", { a: "1", b: "2" })).toEqual([":a=1", "@b=2"]);
    // Counted from 1.
    expect(await of("postgresql", "SELECT $1, $2", { 1: "a", 2: "b" })).toEqual(["$1=a", "$2=b"]);
  });

  test("of instrumentations from before the convention are understood", async () => {
    const more = { "db.postgresql.values": ["a", "b"] };
    expect(await run("postgresql", "SELECT $1, $2", {}, more)).toBe("SELECT 'a', 'b'");
  });
});
