import { expect, test } from "vitest";
import { shortDetail } from "../../src/analysis/short-detail.ts";
import { formatTrace } from "../../src/analysis/text-tree.ts";
import { KIND, makeTrace, repetitiveTrace, shortenTrace } from "../support/trace-fixture.ts";

test("a request is an indented tree; a call and its handling elsewhere share a line", () => {
  expect(formatTrace(shortenTrace(), { width: 120, colour: false })).toBe(
    `
POST /shorten (187ms)
├─ auth.verify (17ms)
├─ SELECT urls (7ms)           SELECT url FROM urls WHERE id = $1
├─ INSERT urls (14ms)          INSERT INTO urls (id, url) VALUES ($1, $2)
├─ SET (3ms)                   url:x7k9m2
├─ POST (86ms)                 ──► analytics: POST /track (82ms)   http://analytics/track
│     ├─ INSERT events (13ms)  INSERT INTO events (type) VALUES ($1)
│     └─ POST (64ms)           https://api.mixpanel.example/track
└─ publish url-events (7ms)    ──► notifier: process url-events (12ms)`.trimStart(),
  );
});

test("what both sides of a call know, and the status that stands at the end of the request, are said once", () => {
  const trace = makeTrace([
    { id: "a", name: "POST /shorten", detail: "/shorten → 201", service: "url", kind: KIND.server, from: 0, to: 100 },
    {
      id: "b",
      parent: "a",
      name: "POST",
      detail: "http://stats/track → 202",
      service: "url",
      kind: KIND.client,
      from: 1,
      to: 40,
    },
    {
      id: "c",
      parent: "b",
      name: "POST /track",
      detail: "/track → 202",
      service: "stats",
      kind: KIND.server,
      from: 2,
      to: 39,
    },
    {
      id: "d",
      parent: "a",
      name: "publish urls",
      detail: 'urls {"id":7}',
      service: "url",
      kind: KIND.producer,
      from: 50,
      to: 60,
    },
    {
      id: "e",
      parent: "d",
      name: "process urls",
      detail: 'urls {"id":7}',
      service: "mail",
      kind: KIND.consumer,
      from: 55,
      to: 70,
    },
    {
      id: "f",
      parent: "a",
      name: "GET",
      detail: "http://stats/a → 500",
      service: "url",
      kind: KIND.client,
      from: 80,
      to: 90,
    },
    {
      id: "g",
      parent: "f",
      name: "GET /:id",
      detail: "/a → 404",
      service: "stats",
      kind: KIND.server,
      from: 81,
      to: 89,
    },
  ]);
  const detail = { ...trace, summary: { ...trace.summary, httpStatusCode: 201 } };
  expect(formatTrace(detail, { width: 200, colour: false })).toBe(
    `
POST /shorten (100ms)   201
├─ POST (39ms)          ──► stats: POST /track (37ms)   http://stats/track → 202
├─ publish urls (10ms)  ──► mail: process urls (15ms)   {"id":7}
└─ GET (10ms)           ──► stats: GET /:id (8ms)   http://stats/a → 500   /a → 404`.trimStart(),
  );
});

test("identical siblings are one line", () => {
  const lines = formatTrace(repetitiveTrace(47), { width: 120, colour: false }).split("\n");
  expect(lines).toHaveLength(3);
  expect(lines[2]).toMatch(/^└─ SELECT users ×47 \(117ms\) /);
});

test("details are cut to the width, operations are not", () => {
  const lines = formatTrace(shortenTrace(), { width: 60, colour: false }).split("\n");
  expect(lines[3]).toBe("├─ INSERT urls (14ms)          INSERT INTO urls (id, url) V…");
});

test("nothing that was captured commands the terminal", () => {
  const trace = makeTrace([
    { id: "a", name: "GET \u001b[2J\u0007\n/", detail: "\u001b]0;title\u0007", from: 0, to: 1 },
  ]);
  expect(formatTrace(trace, { width: 80, colour: false })).not.toMatch(/\p{Cc}/u);
});

test("spans beyond the limit of lines are counted", () => {
  const lines = formatTrace(repetitiveTrace(47), { width: 80, colour: false, lines: 2 }).split("\n");
  expect(lines).toHaveLength(3);
  expect(lines[2]).toBe("… 47 more spans");
});

test("a missing parent and a failure are said, with its reason where that is known", () => {
  const orphan = makeTrace([{ id: "a", parent: "gone", from: 0, to: 1, status: 2, kind: KIND.server }]);
  expect(formatTrace(orphan, { width: 80, colour: false })).toContain("✗ failed   parent missing");
  const reasons = new Map([["a", "it\u001b[2J broke"]]);
  expect(formatTrace(orphan, { width: 80, colour: false, reasons })).toContain("✗ it [2J broke   parent missing");
  const two = makeTrace([
    { id: "a", parent: "gone", from: 0, to: 1 },
    { id: "b", parent: "gone", from: 1, to: 2 },
  ]);
  expect(formatTrace(two, { width: 80, colour: false })).toContain("(span gone has not arrived)");
});

test("a chain 20,000 deep is printed up to the limit", () => {
  const chain = Array.from({ length: 20_000 }, (_, depth) => ({
    id: `s${depth}`,
    name: "call",
    from: 0,
    to: 1,
    ...(depth > 0 && { parent: `s${depth - 1}` }),
  }));
  const lines = formatTrace(makeTrace(chain), { width: 80, colour: false, lines: 3 }).split("\n");
  expect(lines).toEqual(["call (1ms)", "└─ call (1ms)", "   └─ call (1ms)", "… 19997 more spans"]);
});

test.each([
  ["POST /shorten", "/shorten", ""],
  ["publish url-events", "url-events", ""],
  ["SET", "set url:x7k9m2", "url:x7k9m2"],
  ["GET", "get user:1 miss", "user:1 miss"],
  ["GET /:id", "/jbl3ts", "/jbl3ts"],
  ["SELECT urls", "SELECT url FROM urls", "SELECT url FROM urls"],
  ["POST /track", "/track → 202", "→ 202"],
  ["POST", "http://analytics/track → 202", "http://analytics/track → 202"],
  ["process url-events", 'url-events {"id":1}', '{"id":1}'],
  ["auth.verify", "", ""],
])("beside the name %s the detail %j says %j", (name, detail, shown) => {
  expect(shortDetail(name, detail)).toBe(shown);
});
