import { describe, expect, test } from "vitest";
import { Capture, type CaptureKind } from "../../src/capture/capture.ts";
import type { OperationSpan } from "../../src/instrumentation/operation.ts";
import type { AttributeBlock } from "../../src/trace/attributes.ts";
import {
  describeCall,
  describeReply,
  isDeferrable,
  redisCommand,
} from "../../instrumentations/shared/redis-commands.ts";

/* What the Redis of the other tests does not have: RedisJSON is a module, and Debian's server comes without modules. */

const capture = createCapture(["cache-keys", "cache-values"]);

function createCapture(kinds: readonly CaptureKind[]): Capture {
  return new Capture({ kinds: new Set(kinds), maxBytes: 4096, redactNames: [], redactPatterns: [] });
}

function attributesOf(
  name: string,
  args: Array<string | Buffer>,
  reply: unknown,
  captured: Capture = capture,
): Record<string, unknown> {
  const attributes: Record<string, unknown> = {};
  const span = {
    attribute(key: string, value: unknown): void {
      attributes[key] = value;
    },
    attributeBlock({ keys, values }: AttributeBlock): void {
      keys.forEach((key, index) => (attributes[key] = values[index]));
    },
  } as unknown as OperationSpan;
  const command = describeCall(span, redisCommand(name), args, captured);
  describeReply(span, command, args, reply, captured);
  return attributes;
}

describe("JSON commands", () => {
  test("JSON.GET is a hit when there is a document, at whatever path", () => {
    expect(attributesOf("JSON.GET", ["doc", "$.a"], "[1]")).toEqual({
      "db.operation.name": "JSON.GET",
      "cache.operation": "get",
      "db.query.text": "JSON.GET doc $.a",
      "cache.key": ["doc"],
      "cache.hit": true,
      "cache.item_size": 3,
      "tracekit.cache.value": "[1]",
    });
    expect(attributesOf("json.get", ["doc"], null)).toMatchObject({ "cache.hit": false });
  });

  test("JSON.SET is a write of its value", () => {
    expect(attributesOf("JSON.SET", ["doc", "$", '{"a":1}', "NX"], "OK")).toEqual({
      "db.operation.name": "JSON.SET",
      "cache.operation": "set",
      "db.query.text": "JSON.SET doc $ ? NX",
      "cache.key": ["doc"],
      "cache.item_size": 7,
      "tracekit.cache.value": '{"a":1}',
    });
  });

  test("JSON.MGET counts documents, and its path is no key", () => {
    expect(attributesOf("JSON.MGET", ["doc", "nowhere", "$"], ["[1]", null])).toMatchObject({
      "db.query.text": "JSON.MGET doc nowhere $",
      "cache.key": ["doc", "nowhere"],
      "cache.hit": false,
      "tracekit.cache.hits": 1,
      "tracekit.cache.misses": 1,
    });
  });
});

describe("a call with nothing but a key", () => {
  const get = (key: string | Buffer, reply: unknown, captured?: Capture): Record<string, unknown> =>
    attributesOf("get", [key], reply, captured);

  test("says the same the first time, the second and the third", () => {
    const expected = {
      "db.operation.name": "GET",
      "cache.operation": "get",
      "db.query.text": "GET user:42",
      "cache.key": ["user:42"],
      "cache.hit": true,
      "cache.item_size": 3,
      "tracekit.cache.value": "Ada",
    };
    for (let time = 1; time <= 3; time++) expect(get("user:42", "Ada")).toEqual(expected);
    expect(get(Buffer.from("user:42"), Buffer.from("Ada"))).toEqual(expected);
  });

  test("hides the value of a secret every time", () => {
    for (let time = 1; time <= 3; time++) {
      expect(get("user:42:password", "hunter2")["tracekit.cache.value"]).toBe("REDACTED");
      expect(JSON.stringify(get("session:4f0c9a7be1d24c6f8a3b", "payload"))).not.toMatch(/4f0c|payload/);
    }
  });

  test("is told by its own command, whatever the key was used for before", () => {
    for (let time = 1; time <= 3; time++) {
      expect(get("visits", "42")).toMatchObject({ "db.query.text": "GET visits", "cache.key": ["visits"] });
      const incremented = attributesOf("incr", ["visits"], 43);
      expect(incremented).toEqual({ "db.operation.name": "INCR", "db.query.text": "INCR visits" });
    }
  });

  test("does not show its key where keys are not captured", () => {
    for (const kinds of [[], ["cache-values"]] as CaptureKind[][]) {
      const without = createCapture(kinds);
      for (let time = 1; time <= 3; time++) {
        const shown = get("user:42:password", "hunter2", without);
        expect(shown).toMatchObject({ "db.query.text": "GET ?", "cache.operation": "get", "cache.hit": true });
        expect(JSON.stringify(shown)).not.toMatch(/user|password|hunter2/);
      }
    }
  });
});

test.each<[name: string, args: Array<string | Buffer>, deferrable: boolean]>([
  ["GET", ["key"], true],
  ["SET", ["key", "value", "EX", "60", "NX"], true],
  ["SET", ["key", "exat"], true],
  ["MGET", ["a", "b"], true],
  // What is left of it depends on when it is asked.
  ["SET", ["key", "value", "EXAT", "1700000000"], false],
  ["GETEX", ["key", "pxat", "1700000000000"], false],
  ["EXPIREAT", ["key", "1700000000"], false],
  ["PEXPIREAT", ["key", "1700000000000"], false],
  // The application may change them, or take up memory with them, or name its scripts.
  ["SET", ["key", Buffer.from("value")], false],
  ["SET", ["key", "x".repeat(10_000)], false],
  ["EVALSHA", ["0123456789abcdef0123456789abcdef01234567", "0"], false],
])("whether %s %j may be described later: %s", (name, args, deferrable) => {
  expect(isDeferrable(redisCommand(name), args)).toBe(deferrable);
});
