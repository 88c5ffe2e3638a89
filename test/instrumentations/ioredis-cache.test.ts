import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { cacheContract } from "../contract/cache.ts";
import description from "../libraries/ioredis.ts";
import type { ReceivedSpan } from "../support/otlp-receiver.ts";

const redisUrl = (): string => process.env["TRACEKIT_TEST_REDIS_URL"] as string;

cacheContract(
  {
    instrumentation: "ioredis",
    code: readFileSync(join(import.meta.dirname, "ioredis-cache-app.mjs"), "utf8"),
    installs: (description.packages["ioredis"] ?? []).map((ioredis) => ({ ioredis })),
    env: () => ({ REDIS_URL: redisUrl(), REDIS_DATABASE: "11" }),
    target: () => ({
      "db.system.name": "redis",
      "db.namespace": "11",
      "server.address": "127.0.0.1",
      "server.port": Number(new URL(redisUrl()).port),
    }),
    abilities: [
      "getex",
      "mget",
      "exists",
      "set nx",
      "set get",
      "hash",
      "EX",
      "PX",
      "EXAT",
      "SETEX",
      "EXPIRE",
      "pipeline",
      "multi",
      "callback",
      "waiting",
      "lost connection",
      "hostile",
    ],
    failure: { type: "WRONGTYPE", status: "WRONGTYPE" },
  },
  ({ spansIn }) => {
    test("a script that the server has forgotten is one span, though it is sent twice", () => {
      const told = spansIn("forgotten script").map(({ name, status, attributes }) => [
        name,
        status.code,
        attributes["db.stored_procedure.name"],
        attributes["error.type"],
      ]);
      const double = ["EVALSHA", "UNSET", "double", undefined];
      // Version 4 asks first whether it exists.
      expect(told.filter(([name]) => name !== "EXISTS")).toEqual([
        double,
        ["SCRIPT", "UNSET", undefined, undefined],
        double,
        ["EVALSHA", "ERROR", "0".repeat(40), "NOSCRIPT"],
      ]);
    });
  },
  expectKnown,
);

/** Not all of them occur here: see `ioredis.test.ts`. */
function expectKnown(spans: readonly ReceivedSpan[]): void {
  const seen = new Set(spans.flatMap(({ attributes }) => Object.keys(attributes)));
  expect([...seen].filter((name) => name !== "error.type" && !description.attributes.includes(name))).toEqual([]);
}
