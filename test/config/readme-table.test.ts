import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { VARIABLES } from "../../src/config/variables.ts";

test("the README's tables of variables have one row for each and none twice", () => {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const rows = [...readme.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, name]) => name);
  expect(rows).toEqual(VARIABLES.map(({ name }) => name));
  expect(new Set(rows).size).toBe(rows.length);
});
