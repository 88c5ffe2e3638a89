import { describe, expect, test } from "vitest";
import { describeSpan, DESCRIBING, httpStatusOf, normalise, userOf } from "../../src/store/describe-span.ts";
import { span } from "./spans.ts";

type Described = ReturnType<typeof describeSpan>;

const CLIENT = 3;

describe("what a span is about", () => {
  const cases: [title: string, wish: Parameters<typeof span>[0], expected: Partial<Described>][] = [
    [
      "a query",
      {
        kind: CLIENT,
        attributes: {
          "db.system.name": "postgresql",
          "db.namespace": "app",
          "db.query.text": "SELECT *\n  FROM t\nWHERE id = 7",
        },
      },
      {
        category: "database",
        detail: "SELECT * FROM t WHERE id = 7",
        statement: "SELECT * FROM t WHERE id = ?",
        peer: "database:postgresql/app",
      },
    ],
    [
      "a query in the old words",
      { kind: CLIENT, attributes: { "db.system": "mysql", "db.name": "app", "db.statement": "SELECT 1" } },
      { category: "database", detail: "SELECT 1", peer: "database:mysql/app" },
    ],
    [
      "a query without text",
      {
        kind: CLIENT,
        attributes: {
          "db.system.name": "mongodb",
          "db.operation.name": "find",
          "db.collection.name": "users",
          "server.address": "mongo",
        },
      },
      { category: "database", detail: "find users", peer: "database:mongodb/mongo" },
    ],
    [
      "a cache hit",
      {
        kind: CLIENT,
        attributes: { "db.system.name": "redis", "cache.key": "user:1", "cache.operation": "get", "cache.hit": true },
      },
      { category: "cache", detail: "get user:1 hit", peer: "cache:redis", cacheHits: 1, cacheMisses: 0 },
    ],
    [
      "a command for several keys",
      {
        kind: CLIENT,
        attributes: {
          "db.system.name": "redis",
          "cache.key": "a",
          "cache.hit": false,
          "tracekit.cache.hits": 2,
          "tracekit.cache.misses": 1,
        },
      },
      { detail: "a miss", cacheHits: 2, cacheMisses: 1 },
    ],
    [
      "Redis that is not used as a cache",
      { kind: CLIENT, attributes: { "db.system": "redis", "db.statement": "LPUSH jobs ?" } },
      { category: "cache", detail: "LPUSH jobs ?", cacheHits: 0, cacheMisses: 0 },
    ],
    [
      "caches inside of the process",
      {
        kind: 2,
        attributes: {
          "http.request.method": "GET",
          "url.path": "/a",
          "url.query": "b=1",
          "tracekit.cache.lru_cache.hits": 3,
        },
      },
      { category: "http", detail: "/a?b=1", cacheHits: 3, cacheMisses: 0, peer: "" },
    ],
    [
      "an HTTP call",
      {
        kind: CLIENT,
        attributes: {
          "http.request.method": "GET",
          "url.full": "https://api.example/v1?x=1",
          "server.address": "api.example",
        },
      },
      {
        category: "http",
        detail: "https://api.example/v1?x=1",

        peer: "host:api.example",
      },
    ],
    [
      "an HTTP call in the old words",
      { kind: CLIENT, attributes: { "http.method": "GET", "http.url": "http://[::1]:80/x" } },
      { category: "http", detail: "http://[::1]:80/x", peer: "host:[::1]" },
    ],
    [
      "a message that is sent",
      { kind: 4, attributes: { "messaging.system": "kafka", "messaging.destination.name": "events" } },
      { category: "messaging", detail: "events", peer: "topic:events" },
    ],
    [
      "a message of a place with a made-up name",
      {
        kind: 5,
        attributes: {
          "messaging.system": "rabbitmq",
          "messaging.destination.name": "amq.gen-x1",
          "messaging.destination.anonymous": true,
          "messaging.destination.template": "replies",
        },
      },
      { category: "messaging", detail: "replies", peer: "topic:replies" },
    ],
    [
      "a call of gRPC",
      {
        kind: CLIENT,
        attributes: { "rpc.system": "grpc", "rpc.service": "Users", "rpc.method": "Get", "server.address": "users" },
      },
      { category: "rpc", detail: "Users/Get", peer: "host:users" },
    ],
    [
      "work",
      { status: { code: 2, message: "no luck" } },
      { category: "internal", detail: "no luck", statement: "", peer: "" },
    ],
    [
      "attributes of other types",
      { kind: CLIENT, attributes: { "db.system": 7, "db.statement": ["a"] } },
      { category: "database", detail: '["a"]' },
    ],
  ];
  test.each(cases)("%s", (_, wish, expected) => {
    expect(describeSpan(span(wish))).toMatchObject(expected);
  });

  test.each(cases)("%s: no attribute is read that nobody is said to read", (_, wish) => {
    const read = new Set<string | symbol>();
    const attributes = new Proxy(wish!.attributes ?? {}, {
      get: (target, key) => (read.add(key), Reflect.get(target, key) as unknown),
    });
    describeSpan(span({ ...wish, attributes }));
    httpStatusOf(attributes);
    userOf(attributes);
    expect([...read].filter((key) => !DESCRIBING.has(String(key)))).toEqual([]);
    expect(read.size).toBeGreaterThan(5);
  });

  test("so is that of a query, with its values and its rows", () => {
    const detailOf = (statement: string, value: string): string =>
      describeSpan(
        span({
          attributes: {
            "db.query.text": statement,
            "db.query.parameter.0": value,
            "db.query.parameter.1": "x".repeat(30),
            "db.response.returned_rows": 2,
          },
        }),
      ).detail;
    expect(detailOf("SELECT 1 ", "a\n\0b")).toBe(`SELECT 1 ['a b', '${"x".repeat(24)}…'] → 2 rows`);
    const long = detailOf(`SELECT ${"a, ".repeat(1000)}`, "b");
    expect(long).toMatch(/^SELECT a, .*…$/);
    expect(long.length).toBeLessThanOrEqual(400);
  });

  test("a detail is one line, and cut", () => {
    const { detail } = describeSpan(span({ status: { code: 2, message: `a\n\tb  c\0d${"e".repeat(1000)}` } }));
    expect(detail).toMatch(/^a b c de{380,}…$/);
    expect(detail.length).toBeLessThanOrEqual(400);
  });
});

test("the same statement with other values is the same, and with other columns is not", () => {
  const same = [
    "SELECT a1, $tag FROM t WHERE id = 1 AND name = 'it''s'",
    "SELECT a1, $tag FROM t WHERE id = $1 AND name = $2",
    "select a1, $tag from t where id = ?"
      .replace("select", "SELECT")
      .replace("from", "FROM")
      .replace("where", "WHERE") + " AND  name = :name",
    "SELECT a1, $tag FROM t WHERE id = -1.5e3 -- why\n AND name = /* x */ @p1",
  ];
  expect(new Set(same.map(normalise)).size).toBe(1);
  expect(normalise("SELECT a2 FROM t")).not.toBe(normalise("SELECT a1 FROM t"));
  expect(normalise("x IN (1, 2,3)")).toBe(normalise("x IN (?)"));
  expect(normalise("VALUES (1, 'a'), (2, 'b')")).toBe(normalise("VALUES ($1, $2)"));
  expect(normalise(`SELECT "a 1", t1.c2::int4 FROM t`)).toBe(`SELECT "a 1", t1.c2::int4 FROM t`);
  // In time that grows with the text, whatever it is.
  for (const text of [
    "'".repeat(100_001),
    "/*".repeat(50_000),
    "?,".repeat(50_000),
    " ".repeat(100_000),
    "(?),".repeat(30_000),
  ])
    expect(normalise(text).length).toBeLessThan(500);
});

test("status and user are read under both of their names, and only where they make sense", () => {
  expect(httpStatusOf({ "http.response.status_code": 404 })).toBe(404);
  expect(httpStatusOf({ "http.status_code": "200" })).toBe(200);
  expect(httpStatusOf({ "http.status_code": "fine" })).toBeNull();
  expect(httpStatusOf({ "http.status_code": { $double: 200 } })).toBeNull();
  expect(userOf({ "enduser.id": "ann" })).toBe("ann");
  expect(userOf({ "user.id": 7 })).toBe("7");
  expect(userOf({ "user.id": "" })).toBeNull();
});
