import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import type { Attributes } from "../../src/model/attributes.ts";
import type { SpanEvent, SpanRecord } from "../../src/model/span.ts";
import type { SpanDetail } from "../../src/model/trace.ts";
import { nanosBetween, severityName, severityTone } from "../../web/pages/span/instants.ts";
import { mainTextOf } from "../../web/pages/span/main-text.ts";
import { quote, toCurl } from "../../web/pages/span/curl.ts";
import { readHttpExchange, reasonPhrase } from "../../web/pages/span/http-exchange.ts";
import { readNetworkPhases } from "../../web/pages/span/network-phases.ts";
import {
  readCacheFacts,
  readDatabaseFacts,
  readMessageFacts,
  readRpcFacts,
} from "../../web/pages/span/operation-facts.ts";
import { causesOf, groupFrames, packageOf, packagesOf, shortFile } from "../../web/pages/span/stack-groups.ts";

function span(attributes: Attributes, more: Partial<SpanRecord> = {}): SpanRecord {
  return {
    traceId: "1".repeat(32),
    spanId: "2".repeat(16),
    parentSpanId: "",
    traceState: "",
    flags: 0,
    name: "GET",
    kind: 3,
    start: { unixMicros: 1_000_000, nanos: 0 },
    durationNanos: 1e6,
    status: { code: 0, message: "" },
    attributes,
    events: [],
    links: [],
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
    resource: { serviceName: "shop", attributes: {} },
    scope: { name: "", version: "" },
    ...more,
  };
}

const curl = (attributes: Attributes): ReturnType<typeof toCurl> => toCurl(readHttpExchange(span(attributes))!);

test("a server's request has its address from its parts", () => {
  const exchange = readHttpExchange(
    span(
      {
        "http.request.method": "GET",
        "url.scheme": "https",
        "server.address": "::1",
        "server.port": 8443,
        "url.path": "/a",
        "url.query": "b=1&b=2+3&c",
        "http.route": "/:id",
        "http.request.header.accept": ["text/html", "*/*"],
      },
      { kind: 2 },
    ),
  );
  expect(exchange).toMatchObject({
    isServer: true,
    url: "https://[::1]:8443/a?b=1&b=2+3&c",
    target: "/a?b=1&b=2+3&c",
    route: "/:id",
    query: [
      ["b", "1"],
      ["b", "2 3"],
      ["c", ""],
    ],
    request: { headers: [{ name: "accept", values: ["text/html", "*/*"] }] },
  });
});

test("old names say the same as new ones", () => {
  const exchange = readHttpExchange(
    span({
      "http.method": "POST",
      "http.scheme": "http",
      "http.host": "shop.example:8080",
      "http.target": "/cart?x=1",
      "http.status_code": 503,
      "http.flavor": "1.1",
      "http.client_ip": "10.0.0.1",
      "http.user_agent": "curl/8",
      "http.request_content_length": "12",
      "http.request.header.content_type": ["application/json"],
    }),
  );
  expect(exchange).toMatchObject({
    method: "POST",
    url: "http://shop.example:8080/cart?x=1",
    status: 503,
    protocol: "1.1",
    clientAddress: "10.0.0.1",
    userAgent: "curl/8",
    request: { bodySize: 12, contentType: "application/json" },
  });
  expect(readHttpExchange(span({ "http.url": "https://a.example:443?q=1", "http.method": "GET" }))?.target).toBe(
    "/?q=1",
  );
  expect(readHttpExchange(span({ "db.system": "redis" }))).toBeUndefined();
  expect(reasonPhrase(404)).toBe("Not Found");
  expect(reasonPhrase(599)).toBe("");
});

test("a request becomes a command that sends the same", () => {
  const { command, notes } = curl({
    "http.request.method": "PUT",
    "url.full": "https://api.example/items/[1]?a=b&c='d'",
    "http.request.header.content-type": ["application/json"],
    "http.request.header.content-length": ["9"],
    "http.request.header.accept-encoding": ["gzip"],
    "http.request.header.traceparent": ["00-1-2-01"],
    "http.request.header.x-empty": [""],
    "http.request.body.content": '{"a":"it\'s $HOME `x`"}',
  });
  expect(command).toBe(
    [
      String.raw`curl --globoff -X PUT 'https://api.example/items/[1]?a=b&c='\''d'\'''`,
      "--compressed",
      "-H 'content-type: application/json'",
      "-H 'x-empty;'",
      String.raw`--data-raw '{"a":"it'\''s $HOME ` + "`x`\"}'",
    ].join(" \\\n  "),
  );
  expect(notes).toEqual([]);
});

test("POST with a body and GET without one need no method, HEAD has an option of its own", () => {
  const of = (method: string, body?: string): string =>
    curl({
      "http.request.method": method,
      "url.full": "http://h/",
      "http.request.header.content-type": "text/plain",
      ...(body !== undefined && { "http.request.body.content": body }),
    }).command.split(" \\")[0] as string;
  expect(of("POST", "x")).toBe("curl http://h/");
  expect(of("POST")).toBe("curl -X POST http://h/");
  expect(of("GET")).toBe("curl http://h/");
  expect(of("GET", "x")).toBe("curl -X GET http://h/");
  expect(of("HEAD")).toBe("curl --head http://h/");
});

test("what was redacted or cut is said", () => {
  const { command, notes } = curl({
    "http.request.method": "POST",
    "url.path": "/login?token=REDACTED",
    "http.request.header.authorization": ["Bearer REDACTED"],
    "http.request.body.content": '{"password":"REDACTED","note":"long…',
  });
  expect(command).toContain("-H 'authorization: Bearer REDACTED'");
  expect(command).toContain("http://localhost/login?token=REDACTED");
  expect(notes[0]).toBe("Put your own values where REDACTED stands: the URL, authorization, the body.");
  expect(notes).toContain("Only the beginning of the body was captured.");
  expect(notes).toContain("The host was not captured: localhost stands for it.");
});

test("a shell reads every quoted text as one word", () => {
  for (const text of ["", "a b", "it's", "''", "$(x)`y`\\n", "new\nline", "-x", "é🙂", "!h", "~", "a=b&c"]) {
    expect(execFileSync("/bin/sh", ["-c", `printf %s ${quote(text)}`]).toString()).toBe(text);
  }
});

test("phases follow one another, and one that did not happen takes no place", () => {
  const phases = readNetworkPhases(
    span({ "tracekit.http.phase.dns": 2, "tracekit.http.phase.ttfb": 5.5, "tracekit.http.phase.connect": 1 }),
  );
  expect(phases.map(({ name, millis, startMillis }) => [name, startMillis, millis])).toEqual([
    ["dns", 0, 2],
    ["connect", 2, 1],
    ["ttfb", 3, 5.5],
  ]);
  expect(readNetworkPhases(span({}))).toEqual([]);
});

test("a browser's events are phases, too", () => {
  const at = (name: string, millis: number): SpanEvent => ({
    name,
    time: { unixMicros: 1_000_000 + millis * 1000, nanos: 0 },
    attributes: {},
  });
  const events = [
    at("fetchStart", 0),
    at("domainLookupStart", 1),
    at("domainLookupEnd", 3),
    at("connectStart", 3),
    at("secureConnectionStart", 5),
    at("connectEnd", 9),
    at("requestStart", 9),
    at("responseStart", 20),
    at("responseEnd", 21),
  ];
  expect(
    readNetworkPhases(span({}, { events })).map(({ name, startMillis, millis }) => [name, startMillis, millis]),
  ).toEqual([
    ["dns", 1, 2],
    ["connect", 3, 2],
    ["tls", 5, 4],
    ["ttfb", 9, 11],
    ["body", 20, 1],
  ]);
});

test("old and new names of databases, caches, messages and calls say the same", () => {
  const database = {
    system: "postgresql",
    namespace: "shop",
    text: "SELECT 1",
    server: "db:5432",
    operation: "SELECT",
  };
  expect(
    readDatabaseFacts(
      span({
        "db.system": "postgresql",
        "db.name": "shop",
        "db.statement": "SELECT 1",
        "net.peer.name": "db",
        "net.peer.port": 5432,
        "db.operation": "SELECT",
      }),
    ),
  ).toEqual(database);
  expect(
    readCacheFacts(
      span({
        "db.system.name": "redis",
        "cache.operation": "get",
        "cache.key": ["a", "b"],
        "cache.hit": false,
        "tracekit.cache.hits": 1,
        "tracekit.cache.misses": 1,
      }),
    ),
  ).toEqual({ system: "redis", operation: "get", keys: ["a", "b"], isHit: false, hits: 1, misses: 1 });
  expect(
    readMessageFacts(
      span({
        "messaging.system": "kafka",
        "messaging.destination": "orders",
        "messaging.message_id": "m1",
        "messaging.kafka.partition": 3,
        "messaging.message_payload_size_bytes": 20,
        "messaging.header.tenant": ["acme"],
      }),
    ),
  ).toMatchObject({
    destination: "orders",
    messageId: "m1",
    bodySize: 20,
    more: [["partition", "3"]],
    headers: [["tenant", "acme"]],
  });
  expect(readRpcFacts(span({ "rpc.system": "grpc", "rpc.service": "S", "rpc.grpc.status_code": 5 }))).toEqual({
    system: "grpc",
    service: "S",
    status: "5 NOT_FOUND",
  });
});

test("frames of libraries come in groups with the names of their packages", () => {
  const frame = (file: string, isLibrary: boolean) => ({ file, isLibrary, line: 1, column: 1, function: "f" });
  const frames = [
    frame("/app/src/a.ts", false),
    frame("/app/node_modules/pg/lib/client.js", true),
    frame("/app/node_modules/.pnpm/pg-pool@3/node_modules/@x/pg-pool/index.js", true),
    frame("node:internal/process", true),
    frame("file:///app/src/b.ts", false),
  ];
  const groups = groupFrames(frames);
  expect(groups.map(({ isLibrary, frames: { length } }) => [isLibrary, length])).toEqual([
    [false, 1],
    [true, 3],
    [false, 1],
  ]);
  expect(packagesOf(groups[1]!.frames)).toEqual(["pg", "@x/pg-pool", "node"]);
  expect(packageOf("C:\\app\\node_modules\\pg\\x.js")).toBe("pg");
  expect(shortFile("file:///home/me/projects/shop/src/routes/cart.ts")).toBe("…/src/routes/cart.ts");
  expect(shortFile("/a/node_modules/pg/lib/x.js")).toBe("pg/lib/x.js");
});

test("causes are found as Node and Java print them", () => {
  const raw =
    "Error: outer\n    at a (b.js:1:2) {\n  [cause]: TypeError: inner\n      at c (d.js:3:4)\n}\nCaused by: java.io.IOException: gone\n";
  expect(causesOf(raw)).toEqual(["TypeError: inner", "java.io.IOException: gone"]);
  expect(causesOf("Error: no cause: here\n  at f (x.js:1:1)")).toEqual([]);
});

test("times between moments are exact to the nanosecond, also backwards", () => {
  const from = { unixMicros: 1_764_000_000_000_000, nanos: 900 };
  expect(nanosBetween(from, { unixMicros: 1_764_000_000_000_001, nanos: 100 })).toBe(200);
  expect(nanosBetween(from, { unixMicros: 1_763_999_999_999_999, nanos: 900 })).toBe(-1000);
});

test("a log without a word for its severity has one by its number", () => {
  expect([1, 5, 9, 13, 17, 24, 0].map((number) => severityName("", number))).toEqual([
    "TRACE",
    "DEBUG",
    "INFO",
    "WARN",
    "ERROR",
    "FATAL",
    "LOG",
  ]);
  expect(severityName("warning", 13)).toBe("WARNING");
  expect([severityTone("", 13), severityTone("", 17), severityTone("critical", 0), severityTone("info", 9)]).toEqual([
    "warn",
    "error",
    "error",
    "plain",
  ]);
});

test("what is copied of a span is what tells most of it", () => {
  const of = (category: SpanDetail["category"], attributes: Attributes, more: Partial<SpanDetail> = {}) =>
    mainTextOf({ span: span(attributes), category, logs: [], stacks: [], linkedFrom: [], linksTo: [], ...more }).text;
  const sql = { text: "SELECT $1", formatted: "SELECT\n  $1", parameters: [] };
  expect(of("database", {}, { sql: { ...sql, runnable: "SELECT\n  1" } })).toBe("SELECT\n  1");
  expect(of("database", {}, { sql })).toBe("SELECT\n  $1");
  expect(of("cache", { "cache.key": ["a", "b"], "db.query.text": "MGET a b" })).toBe("a\nb");
  expect(of("messaging", { "tracekit.messaging.body.content": "{}" })).toBe("{}");
  expect(of("http", { "http.request.method": "GET", "url.full": "http://h/" })).toBe("curl http://h/");
  expect(of("internal", {}, { stacks: [{ type: "E", message: "", frames: [], raw: "E\n at f" }] })).toBe("E\n at f");
  expect(of("internal", {})).toBe("GET");
});
