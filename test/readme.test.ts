import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { generateRegistry } from "../scripts/generate-registry.mts";
import { registry } from "../instrumentations/registry.ts";
import { repositoryRoot } from "./support/built.ts";

const readme = readFileSync(join(repositoryRoot, "README.md"), "utf8");
const [, libraries = ""] = /<!-- libraries:start -->(.*)<!-- libraries:end -->/s.exec(readme) ?? [];

describe("the README", () => {
  test.each(registry.flatMap(({ modules }) => modules.map(({ name, versions }) => [name, versions])))(
    "says that %s is supported in %s",
    (name, versions) => {
      const rows = libraries.split("\n").filter((row) => row.includes(`\`${name}\``));
      expect(rows.some((row) => row.includes(versions as string))).toBe(true);
    },
  );

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
