import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { cacheContract } from "../contract/cache.ts";
import { expectDescribed } from "../libraries/description.ts";
import description from "../libraries/redis.ts";

const code = readFileSync(join(import.meta.dirname, "redis-app.mjs"), "utf8");
const redisUrl = (): string => process.env["TRACEKIT_TEST_REDIS_URL"] as string;
const DATABASE = "10";

cacheContract(
  {
    instrumentation: "redis",
    code,
    installs: (description.packages["redis"] ?? []).map((redis) => ({ redis })),
    env: () => ({ REDIS_URL: redisUrl(), REDIS_DATABASE: DATABASE }),
    target: () => ({
      "db.system.name": "redis",
      "db.namespace": DATABASE,
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
      "waiting",
      "lost connection",
      "hostile",
    ],
    failure: { type: "WRONGTYPE", status: "WRONGTYPE" },
    lostConnection: /^Socket/,
  },
  ({ spansIn }) => {
    test("a raw command is a span too", () => {
      expect(spansIn("raw").map(({ name, attributes }) => [name, attributes["db.query.text"]])).toEqual([
        ["GET", "GET here"],
        ["GET", "GET here"],
        ["NOSUCH", "NOSUCH ?"],
        ["GET", "GET "],
      ]);
    });
  },
  (spans) => expectDescribed(description, spans),
);
