import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SensitiveNames } from "../../src/capture/names.ts";
import { harmlessNames, sensitiveNames } from "./secrets.ts";

const names = new SensitiveNames([]);

const words = (name: string): string[] =>
  name
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .split(/[^A-Za-z0-9]+/)
    .filter(Boolean);
const styles: Record<string, (name: string) => string> = {
  snake: (name) => words(name).join("_").toLowerCase(),
  kebab: (name) => words(name).join("-").toLowerCase(),
  constant: (name) => words(name).join("_").toUpperCase(),
  dotted: (name) => words(name).join(".").toLowerCase(),
  camel: (name) =>
    words(name)
      .map((word, i) => (i === 0 ? word.toLowerCase() : word[0]!.toUpperCase() + word.slice(1).toLowerCase()))
      .join(""),
};

describe("a sensitive name", () => {
  test.each(sensitiveNames)("%s hides its value", (name) => expect(names.has(name)).toBe(true));

  test("is recognised in every style, with words before it", () => {
    for (const name of sensitiveNames) {
      for (const [style, write] of Object.entries(styles)) {
        // Words run together in capitals (PHPSESSID) have no style of their own.
        if (words(name).length > 0 && name !== "pan") {
          expect(names.has(write(name)), `${style} ${write(name)}`).toBe(true);
          expect(names.has(write(`user ${words(name).join(" ")}`)), `prefixed ${style} ${write(name)}`).toBe(true);
        }
      }
    }
  });
});

describe("a harmless name", () => {
  test.each(harmlessNames)("%s shows its value", (name) => expect(names.has(name)).toBe(false));
});

describe("extra names", () => {
  const extra = new SensitiveNames(["acmeId", "X-Tenant-Ref", "größe", "id2"]);
  test.each([
    "acme_id",
    "acmeId",
    "ACMEID",
    "user-acme-id",
    "acmeid_hash",
    "x_tenant_ref",
    "xTenantRef",
    "größe",
    "id2",
  ])("match %s like a built-in one", (name) => expect(extra.has(name)).toBe(true));
  test.each(["acme", "pacme_idx", "tenant", "id"])("do not match %s", (name) => expect(extra.has(name)).toBe(false));
});

test("any string is answered, and answered alike the second time", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 400 }), (name) => {
      expect(names.has(name)).toBe(names.has(name));
    }),
  );
});

test("the memo stays bounded under names nobody sees twice", () => {
  for (let i = 0; i < 50_000; i++) names.has(`field_${i}_token`);
  expect(names.memoSize).toBeLessThanOrEqual(4096);
});
