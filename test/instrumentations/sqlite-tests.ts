import { expect, test } from "vitest";
import type { TracedDatabase } from "../contract/database.ts";

/** What the drivers of SQLite have in common beside the database contract, over the scenarios of `sqlite-app.mjs`. */
export function declareSqlite({ brief, spansIn, run }: TracedDatabase, error: string, duplicate: string): void {
  test("parameters have their names, whatever their sigil, beside those with positions", () => {
    expect(brief("named")).toMatchObject([
      { name: "INSERT users", $email: "ann@b.example", $password: "REDACTED", affected_rows: 1 },
      { name: "SELECT users", $email: "ann@b.example", returned_rows: 1 },
      { name: "SELECT users", $0: "x", $secret: "REDACTED", returned_rows: 0 },
    ]);
  });

  test("one row, no row, many rows and changes are counted", () => {
    const told = brief("results").map(({ name, returned_rows: rows, affected_rows: changes }) => [name, rows, changes]);
    expect(told).toEqual([
      ["SELECT numbers", 1, undefined],
      ["SELECT numbers", 0, undefined],
      ["SELECT numbers", 3, undefined],
      ["DELETE urls", undefined, 0],
      ["CREATE TABLE made", undefined, undefined],
      ["INSERT made INSERT made", undefined, undefined],
    ]);
  });

  test("an iteration is one span, read to its end, left, thrown out of or failed", () => {
    expect(brief("iterators").map(({ returned_rows: rows, message }) => [rows, message])).toEqual([
      [2, undefined],
      [3, undefined],
      [2, undefined],
      [undefined, "integer overflow"],
    ]);
  });

  test("an error has its code, and quotes no literal", () => {
    const told = brief("errors").map((span) => [span["name"], span["status_code"], span["message"]]);
    expect(told).toEqual([
      ["SELECT", error, 'near "FORM": syntax error'],
      ["SELECT users", error, 'near "REDACTED": syntax error'],
      ["SELECT users", error, 'unrecognized token: "REDACTED"'],
      ["SELECT users", error, "no such column: REDACTED"],
      ["INSERT users", duplicate, "UNIQUE constraint failed: users.password"],
      ["SELECT", undefined, expect.any(String)],
    ]);
  });

  test("what is asked of a closed database is a failed span", () => {
    expect(spansIn("closed").map(({ status }) => status.code)).toEqual(["ERROR", "ERROR"]);
  });

  test("nothing of ours fails", () => expect(run().stderr).not.toContain("no longer traced"));
}
