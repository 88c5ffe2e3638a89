import { describe, expect, test } from "vitest";
import { pathInModules, withPatchCall } from "../../src/loader/module-hooks.ts";

describe("the path that names an ES module", () => {
  test.each([
    ["file:///app/node_modules/postgres/src/query.js", "postgres/src/query.js"],
    ["file:///app/node_modules/postgres/src/query.js?v=1", "postgres/src/query.js"],
    ["file:///app/node_modules/.pnpm/postgres@3/node_modules/postgres/src/query.js", "postgres/src/query.js"],
    ["file:///app/src/query.js", undefined],
    ["node:fs", undefined],
  ])("of %s is %s", (url, path) => expect(pathInModules(url)).toBe(path));
});

describe("what is added to a module", () => {
  const url = 'file:///a/node_modules/b/"c".js';

  test("comes on a line of its own, after a source map's address", () => {
    const { source } = withPatchCall(url, {
      format: "module",
      source: Buffer.from("export {};\n//# sourceMappingURL=c.map"),
    });
    expect(String(source).split("\n").slice(0, 2)).toEqual(["export {};", "//# sourceMappingURL=c.map"]);
    expect(String(source).split("\n")[2]).toContain('from "file:///a/node_modules/b/\\"c\\".js"');
  });

  test.each([
    { format: "commonjs", source: "module.exports = 1" },
    { format: "module", source: null },
  ])("is nothing for $format without or with source", (result) => expect(withPatchCall(url, result)).toBe(result));
});
