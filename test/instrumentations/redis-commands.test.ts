import { describe, expect, test } from "vitest";
import type { Capture } from "../../src/capture/capture.ts";
import type { OperationSpan } from "../../src/instrumentation/operation.ts";
import { describeCall, describeReply, redisCommand } from "../../instrumentations/shared/redis-commands.ts";

/* What the Redis of the other tests does not have: RedisJSON is a module, and Debian's server comes without modules. */

const capture = {
  cacheKeys: true,
  cacheValues: true,
  key: (key: string) => key,
  text: (text: string) => text,
  payload: (value: string) => value,
  isSensitiveName: () => false,
} as unknown as Capture;

function attributesOf(name: string, args: string[], reply: unknown): Record<string, unknown> {
  const attributes: Record<string, unknown> = {};
  const span = {
    attribute(key: string, value: unknown): void {
      attributes[key] = value;
    },
  } as unknown as OperationSpan;
  const command = describeCall(span, redisCommand(name), args, capture);
  describeReply(span, command, args, reply, capture);
  return attributes;
}

describe("JSON commands", () => {
  test("JSON.GET is a hit when there is a document, at whatever path", () => {
    expect(attributesOf("JSON.GET", ["doc", "$.a"], "[1]")).toEqual({
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
