import { expect, test } from "vitest";
import { tokenizeSql } from "../../web/pages/span/sql-tokens.ts";
import { sqlStateMeaning } from "../../web/pages/span/sqlstate.ts";

/** `type:text` of all that has a colour. */
function colours(sql: string, system?: string): string[] {
  return tokenizeSql(sql, system).flatMap(({ type, text }) =>
    type === "space" || type === "operator" ? [] : [`${type}:${text}`],
  );
}

test("keywords, names, functions, numbers and strings have colours of their own", () => {
  expect(colours("SELECT count(*), \"User\".name FROM `t` WHERE a >= 1.5e3 AND b = 'it''s'")).toEqual([
    "keyword:SELECT",
    "function:count",
    'identifier:"User"',
    "identifier:name",
    "keyword:FROM",
    "identifier:`t`",
    "keyword:WHERE",
    "identifier:a",
    "number:1.5e3",
    "keyword:AND",
    "identifier:b",
    "string:'it''s'",
  ]);
});

test("placeholders of every style are found, and casts and JSON operators are not among them", () => {
  const placeholders = (sql: string): string[] =>
    tokenizeSql(sql).flatMap(({ type, text }) => (type === "placeholder" ? [text] : []));
  expect(placeholders("a = $1 AND b = ? AND c = ?2 AND d = :name AND e = @p AND f = %s AND g = %(h)s")).toEqual([
    "$1",
    "?",
    "?2",
    ":name",
    "@p",
    "%s",
    "%(h)s",
  ]);
  expect(placeholders("a::text, b ?| c, d ?& e, '?', \"?\", -- ?\n f")).toEqual([]);
});

test("comments and dollar quotes nest and hide what is in them", () => {
  expect(colours("/* a /* b */ 'c' */ x")).toEqual(["comment:/* a /* b */ 'c' */", "identifier:x"]);
  expect(colours("DO $f$ BEGIN 'x' $1 END $f$ -- end")).toEqual([
    "keyword:DO",
    "string:$f$ BEGIN 'x' $1 END $f$",
    "comment:-- end",
  ]);
  expect(colours("a # b", "mysql")).toEqual(["identifier:a", "comment:# b"]);
  expect(colours("a #> b", "postgresql")).toEqual(["identifier:a", "identifier:b"]);
});

test("a keyword behind a dot is a column", () => {
  expect(colours("orders.key, [Order Details].[set]")).toEqual([
    "identifier:orders",
    "identifier:key",
    "identifier:[Order Details]",
    "identifier:[set]",
  ]);
});

test("the pieces together are the text, whatever it is", () => {
  const alphabet = "'\"`$?:@%#/*-[]().,\\ \n1aeE_é🙂\u0000".match(/./gsu) ?? [];
  let seed = 7;
  for (let round = 0; round < 2000; round++) {
    let sql = "";
    for (let length = round % 24; length > 0; length--) {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      sql += alphabet[seed % alphabet.length];
    }
    expect(
      tokenizeSql(sql, round % 2 ? "mysql" : "")
        .map(({ text }) => text)
        .join(""),
    ).toBe(sql);
  }
});

test("a long statement is read in one go, even when nothing in it is closed", () => {
  for (const part of ["'", "/*", "$a$", "a ", "((", '"x', "E'\\"]) {
    const sql = part.repeat(60_000 / part.length);
    expect(
      tokenizeSql(sql)
        .map(({ text }) => text)
        .join("").length,
    ).toBe(sql.length);
  }
});

test("a SQLSTATE has the meaning of its own or of its class", () => {
  expect(sqlStateMeaning("23505")).toBe("unique violation");
  expect(sqlStateMeaning("22999")).toBe("data exception");
  expect(sqlStateMeaning("42S02")).toBe("table does not exist");
  expect(sqlStateMeaning("1062")).toBeUndefined();
  expect(sqlStateMeaning("ZZ999")).toBeUndefined();
});
