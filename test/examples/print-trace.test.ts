import { describe, expect, test } from "vitest";
import { printTrace, printTraceLine } from "../../examples/url-shortener/print-trace.ts";
import type { ReceivedSpan } from "../support/otlp-receiver.ts";

const wide = { colour: false, width: 130 };

describe("a trace on a terminal", () => {
  test("reads as a tree whose lines say what each operation did", () => {
    expect(`\n${printTrace(shortened(), wide)}\n`).toBe(`
POST /shorten (187ms)                            user.id=u_42   201
├─ auth.verify (17ms)                            ok
├─ SELECT urls (7ms)                             SELECT url FROM urls WHERE id = $1   ['x7k9m2']   0 rows
├─ INSERT urls (14ms)                            ['x7k9m2']   1 row affected
├─ SET url:x7k9m2 (3ms)                          ttl 3600s
├─ GET url:x7k9m2 (1ms)                          miss
├─ POST analytics/track (86ms)                   ──► analytics: POST /track (80ms)   user.id=u_42   202
│     ├─ INSERT events (13ms)                    ✗ 23505 duplicate key
│     └─ POST api.mixpanel.example/track (64ms)  200   dns 2 · connect 5 · body 6
└─ publish url-events (7ms)                      ──► notifier: process url-events (2ms)   {"id":"x7k9m2"}   attempt 1
`);
  });

  test("keeps each operation on its line by cutting the longest values", () => {
    const sql = `SELECT ${"a_long_column, ".repeat(20)} FROM urls`;
    const line = printTrace([span({ name: "SELECT urls", attributes: { "db.query.text": sql, ...rows(3) } })], {
      colour: false,
      width: 60,
    });
    expect(line).toMatch(/^SELECT urls \(1ms\) {2}SELECT a_long_column.*… {3}3 rows$/);
    expect(line).toHaveLength(60);
  });

  test("gives every subscriber a line when a message has several", () => {
    const publish = span({ name: "publish topic", kind: "PRODUCER" });
    const processing = ["first", "second"].map((service) =>
      span({ name: "process topic", kind: "CONSUMER", parent: publish, service }),
    );
    expect(printTrace([publish, ...processing], wide).split("\n")).toEqual([
      "publish topic (1ms)",
      "├─ first: process topic (1ms)",
      "└─ second: process topic (1ms)",
    ]);
  });

  test("shows spans whose parent did not arrive", () => {
    const lost = span({ name: "lost" });
    expect(printTrace([span({ name: "orphan", parent: lost })], wide)).toContain("orphan");
  });

  test("does not hand a value's control characters to the terminal", () => {
    const hostile = span({ name: "GET /\x1b[2J", attributes: { "user.id": "a\x1b]0;b\x07\u009bc\n" }, kind: "SERVER" });
    // oxlint-disable-next-line no-control-regex
    expect(printTrace([hostile], wide)).not.toMatch(/[\x00-\x1f\x7f-\x9f]/);
  });

  test("is coloured only when asked", () => {
    expect(printTrace(shortened(), wide)).not.toContain("\x1b");
    const coloured = printTrace(shortened(), { colour: true, width: 130 });
    expect(coloured).toContain("\x1b[31m✗");
    // oxlint-disable-next-line no-control-regex
    expect(coloured.replaceAll(/\x1b\[\d+m/g, "")).toBe(printTrace(shortened(), wide));
  });

  test("on one line tells what failed, or else what the cache said", () => {
    expect(printTraceLine(shortened(), wide)).toMatch(
      /^POST \/shorten \(187ms\) +user\.id=u_42 {3}201 {3}INSERT events {3}✗ 23505 duplicate key$/,
    );
    expect(
      printTraceLine(
        shortened().filter(({ status }) => status.code !== "ERROR"),
        wide,
      ),
    ).toMatch(/GET url:x7k9m2 {3}miss$/);
  });
});

const rows = (count: number): Record<string, unknown> => ({ "db.response.returned_rows": count });

function shortened(): ReceivedSpan[] {
  const id = { "db.query.parameter.0": "x7k9m2" };
  const key = { "cache.key": "url:x7k9m2" };
  const post = { "http.request.method": "POST" };
  const called = { "user.id": "u_42", "http.response.status_code": 202 };
  const query = { "db.query.text": "SELECT url FROM urls WHERE id = $1", ...id, ...rows(0) };
  const handled = { ...called, "http.response.status_code": 201 };
  const root = span({ name: "POST /shorten", kind: "SERVER", millis: 187, attributes: handled });
  const below = [
    span({ name: "auth.verify", kind: "INTERNAL", parent: root, millis: 17 }),
    span({ name: "SELECT urls", parent: root, millis: 7, attributes: query }),
    span({ name: "INSERT urls", parent: root, millis: 14, attributes: { ...id, "tracekit.db.affected_rows": 1 } }),
    span({ name: "SET", parent: root, millis: 3, attributes: { ...key, "cache.ttl": 3600 } }),
    span({ name: "GET", parent: root, attributes: { ...key, "cache.hit": false } }),
  ];
  const toAnalytics = { ...post, "url.full": "http://analytics:8080/track", "http.response.status_code": 202 };
  const call = span({ name: "POST", parent: root, millis: 86, attributes: toAnalytics });
  const inAnalytics = { service: "analytics", parent: call };
  const track = span({ ...inAnalytics, name: "POST /track", kind: "SERVER", millis: 80, attributes: called });
  const inTrack = { service: "analytics", parent: track };
  const duplicate = { code: "ERROR", message: "duplicate key" } as const;
  const thirdParty = {
    ...post,
    "http.response.status_code": 200,
    "url.full": "https://api.mixpanel.example/track?ip=1",
    "tracekit.http.phase.dns": 2.2,
    "tracekit.http.phase.connect": 5,
    "tracekit.http.phase.body": 5.9,
  };
  below.push(
    call,
    track,
    span({
      ...inTrack,
      name: "INSERT events",
      millis: 13,
      attributes: { "error.type": "23505" },
      status: duplicate,
    }),
    span({ ...inTrack, name: "POST", millis: 64, attributes: thirdParty }),
  );
  const publish = span({ name: "publish url-events", kind: "PRODUCER", parent: root, millis: 7 });
  const message = {
    "tracekit.messaging.body.content": '{"id":"x7k9m2"}',
    "tracekit.messaging.delivery_attempt": 1,
  };
  const inNotifier = { service: "notifier", parent: publish };
  const process = span({
    ...inNotifier,
    name: "process url-events",
    kind: "CONSUMER",
    millis: 2,
    attributes: message,
  });
  return [...below, publish, process, root];
}

let made = 0;

/** One after the other in time, in the order they are made. */
function span(options: {
  name: string;
  kind?: ReceivedSpan["kind"];
  service?: string;
  parent?: ReceivedSpan;
  millis?: number;
  attributes?: Record<string, unknown>;
  status?: ReceivedSpan["status"];
}): ReceivedSpan {
  const { name, kind = "CLIENT", service = "url", parent, millis = 1, attributes = {} } = options;
  const start = 1_700_000_000_000_000_000n + BigInt(++made);
  return {
    traceId: "1".repeat(32),
    spanId: String(made).padStart(16, "0"),
    parentSpanId: parent?.spanId ?? "",
    traceState: "",
    flags: 1,
    name,
    kind,
    startTimeUnixNano: start,
    endTimeUnixNano: start + BigInt(millis * 1_000_000),
    attributes,
    droppedAttributesCount: 0,
    events: [],
    droppedEventsCount: 0,
    links: [],
    droppedLinksCount: 0,
    status: options.status ?? { code: "UNSET", message: "" },
    resource: { "service.name": service },
    scope: { name: "", version: "" },
  };
}
