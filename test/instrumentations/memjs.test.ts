import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cacheContract } from "../contract/cache.ts";
import { expectDescribed } from "../libraries/description.ts";
import { memjs } from "../libraries/memjs.ts";
import { startMemcached } from "../services/memcached.ts";
import type { Service } from "../services/service.ts";

let service: Service;
beforeAll(async () => {
  service = await startMemcached();
}, 120_000);
afterAll(() => service.stop());

const port = (): number => Number(new URL(service.url).port);

cacheContract(
  {
    instrumentation: "memjs",
    code: readFileSync(join(import.meta.dirname, "memjs-app.mjs"), "utf8"),
    installs: (memjs.packages["memjs"] ?? []).map((version) => ({ memjs: version })),
    env: () => ({ MEMCACHED_SERVER: `127.0.0.1:${port()}`, NODE_OPTIONS: "--no-deprecation" }),
    target: () => ({ "db.system.name": "memcached", "server.address": "127.0.0.1", "server.port": port() }),
    abilities: ["EX", "EXAT", "EXPIRE", "callback", "lost connection", "hostile"],
    failure: { type: "NON_NUMERIC", status: "NON_NUMERIC", hasNoException: true },
    lostConnection: "ECONNRESET",
  },
  ({ installs, spansIn }) => {
    const hasPromises = installs["memjs"] !== "1.0.0";
    const brief = (scenario: string): unknown[] =>
      spansIn(scenario).map(({ attributes, status }) => {
        const { text, ...rest } = Object.fromEntries(
          Object.entries(attributes)
            .filter(([key]) => /^(?:tracekit\.cache|cache|db\.(?:query|response)|error)\./.test(key))
            .map(([key, value]) => [key.split(".").at(-1), value]),
        ) as Record<string, unknown>;
        const particular = ["hit", "ttl", "item_size", "value", "status_code", "type"]
          .map((key) => rest[key])
          .filter((part) => part !== undefined);
        return [text, ...particular, ...(status.code === "ERROR" ? ["failed"] : [])].join(" | ");
      });

    test("a command's text has its key and not its value, and bytes are shown as bytes", () => {
      expect(brief("bytes")).toEqual(["set bytes ? | 3 | <Buffer 3 bytes>", "get bytes | true | 3 | <Buffer 3 bytes>"]);
      expect(spansIn("bytes").map(({ name }) => name)).toEqual(["set", "get"]);
    });

    test("what was not stored or not found is no failure, what is too large is", () => {
      expect(brief("writes")).toEqual([
        "add lock ? | 60 | 1 | 1",
        "add lock ? | 60 | 1 | 1 | EXISTS",
        "replace lock ? | 60 | 1 | 2",
        "replace nope ? | 60 | 1 | 2 | NOT_FOUND",
        "append lock ? | 1 | 3",
        "append nope ? | 1 | 3 | NOT_STORED",
        "incr count ?",
        "decr count ?",
        "touch nope | 30 | NOT_FOUND",
        "delete count",
        "delete count | NOT_FOUND",
        expect.stringMatching(/^set big \? \| 2000000 \| x+… \| TOO_LARGE \| TOO_LARGE \| failed$/),
      ]);
    });

    test("commands for all servers are one span", () => {
      expect(spansIn("all servers").map(({ name }) => name)).toEqual(["stats", "flush_all"]);
    });

    test.runIf(hasPromises)("a method that calls itself for its promise is one span", () => {
      expect(spansIn("promises").map(({ name }) => name)).toEqual(["delete", "flush_all", "set"]);
    });

    test("a command that is tried again is one span, and names the server that answered", () => {
      const spans = spansIn("refused");
      expect(spans.map(({ name, status }) => [name, status.code])).toEqual([
        ["get", "ERROR"],
        ["set", "UNSET"],
        ["set", "UNSET"],
      ]);
      expect(spans[0]?.attributes["error.type"]).toBe("ECONNREFUSED");
      for (const { attributes } of spans.slice(1)) expect(attributes["server.port"]).toBe(port());
    });

    test("a time-out ends the span", () => {
      expect(spansIn("timeout").map(({ status }) => status)).toEqual([
        { code: "ERROR", message: "socket timed out waiting on response." },
      ]);
    });
  },
  (spans) => expectDescribed(memjs, spans),
);
