import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { registry } from "../instrumentations/registry.ts";
import { generateRegistry } from "../scripts/generate-registry.mts";
import { loadDescriptions } from "../scripts/libraries-table.mts";
import { withTables } from "../scripts/readme-tables.mts";
import { satisfies } from "../src/loader/versions.ts";
import { repositoryRoot } from "./support/built.ts";

const readme = readFileSync(join(repositoryRoot, "README.md"), "utf8");
const descriptions = await loadDescriptions();

describe("every library that is traced", () => {
  test.each(registry.map(({ name }) => name))("has a description: %s", (name) => {
    expect(descriptions.map(({ instrumentation }) => instrumentation)).toContain(name);
  });

  const ranges = registry.flatMap(({ modules }) => modules.map(({ name, versions }) => `${name} ${versions}`));
  test.each([...new Set(ranges)])("is tested in a version of %s", (range) => {
    const [name = ""] = range.split(" ", 1);
    const tested = descriptions.flatMap(({ packages }) => packages[name] ?? []);
    expect(tested.filter((version) => satisfies(version, range.slice(name.length + 1)))).not.toEqual([]);
  });
});

describe("the README", () => {
  test("has the tables of what the code and the tests say: npm run docs", async () => {
    expect(readme).toBe(await withTables(readme));
  });

  test.each(["libraries", "variables"])("is refused when the markers of %s are missing", async (name) => {
    await expect(withTables(readme.replace(`<!-- ${name}:end -->`, ""))).rejects.toThrow(/README\.md needs/);
  });

  test("shows the two commands that do everything", () => {
    expect(readme).toContain("npm ci && npm run demo");
    expect(readme).toContain("npm ci && npm test");
  });
});

test("the registry is what the instrumentations say: npm run docs", async () => {
  const committed = readFileSync(join(repositoryRoot, "instrumentations/registry.ts"), "utf8");
  const withoutLayout = (text: string): string => text.replace(/\s+/g, "").replaceAll(",]", "]").replaceAll(",}", "}");
  expect(withoutLayout(committed)).toBe(withoutLayout(await generateRegistry()));
});
