import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { END, START, withVariables } from "../../scripts/readme-table.ts";
import { VARIABLES } from "../../src/config/variables.ts";

const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");

describe("the README's tables of variables", () => {
  test("are the code's: after a change run `npx tsx scripts/readme-table.ts`", () => {
    expect(readme).toBe(withVariables(readme));
  });

  test("have one row for each variable and no variable twice", () => {
    const rows = [...readme.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, name]) => name);
    expect(rows).toEqual(VARIABLES.map(({ name }) => name));
    expect(new Set(rows).size).toBe(rows.length);
  });
});

test("the generator leaves everything outside the markers alone", () => {
  const text = `before\n${START}\nstale text\n${END}\nafter\n`;
  const once = withVariables(text);
  expect(once.startsWith(`before\n${START}\n`)).toBe(true);
  expect(once.endsWith(`\n${END}\nafter\n`)).toBe(true);
  expect(once).not.toContain("stale text");
  expect(withVariables(once)).toBe(once);
});

test.each(["", START, END, `${END} ${START}`])("the generator refuses a README without its markers: %j", (text) => {
  expect(() => withVariables(text)).toThrow(/README\.md needs/);
});
