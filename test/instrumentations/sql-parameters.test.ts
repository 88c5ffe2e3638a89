import { expect, test } from "vitest";
import { Capture } from "../../src/capture/capture.ts";
import type { OperationSpan } from "../../src/instrumentation/operation.ts";
import { isChange, recordParameters } from "../../instrumentations/shared/sql.ts";

function recorded(redactNames: readonly string[], parameters: readonly unknown[]): Record<string, unknown> {
  const capture = new Capture({ kinds: new Set(["sql-parameters"]), maxBytes: 4096, redactNames, redactPatterns: [] });
  const attributes: Record<string, unknown> = {};
  const span = {
    attribute(key: string, value: unknown): void {
      attributes[key] = value;
    },
  } as unknown as OperationSpan;
  recordParameters(span, capture.sql("SELECT * FROM users WHERE name = $1 AND age = $2"), parameters, capture);
  return attributes;
}

test("parameters are shown, unless the application calls whatever is a parameter secret", () => {
  const shown = { "db.query.parameter.0": "ada", "db.query.parameter.1": "36" };
  const hidden = { "db.query.parameter.0": "REDACTED", "db.query.parameter.1": "REDACTED" };
  expect(recorded([], ["ada", 36])).toEqual(shown);
  expect(recorded(["parameter"], ["ada", 36])).toEqual(hidden);
  expect(recorded(["other"], ["ada", 36])).toEqual(shown);
});

test.each([
  ["many that fit", Array.from({ length: 100 }, () => "x".repeat(40)), 100],
  ["many of which the last is cut", Array.from({ length: 100 }, () => "x".repeat(41)), 100],
  ["many of which not all are shown", Array.from({ length: 100 }, () => "x".repeat(50)), 82],
  ["characters of three bytes", Array.from({ length: 60 }, () => "€".repeat(40)), 35],
  ["one that takes all there is", ["x".repeat(5000), "never", "seen"], 1],
  ["one that leaves three bytes", ["x".repeat(4093), "a"], 1],
  ["one that leaves four bytes", ["x".repeat(4092), "a"], 2],
])("all parameters together have the budget of one value: %s", (_, parameters, shown) => {
  const { "tracekit.db.omitted_parameters": omitted = 0, ...values } = recorded([], parameters);
  const texts = Object.values(values) as string[];
  expect(texts).toHaveLength(shown);
  expect(omitted).toBe(parameters.length - shown);
  expect(Buffer.byteLength(texts.join(""))).toBeLessThanOrEqual(4096);
  // All of them are whole, but for the last.
  expect(texts.slice(0, -1)).toEqual(parameters.slice(0, shown - 1));
});

test.each([
  ["SELECT", true, false],
  ["SELECT", false, false],
  ["INSERT", true, true],
  ["UPDATE", false, true],
  ["CREATE", false, true],
  ["SHOW", true, false],
  [undefined, true, false],
])("%s, with columns %s, is a change: %s", (command, hasColumns, expected) => {
  expect(isChange(command, hasColumns)).toBe(expected);
});
