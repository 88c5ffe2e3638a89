import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startServer, type RunningServer, type ServerOptions } from "../../src/server/server.ts";
import { createFakeStore, fakeSpan, fakeStoredSpan, fakeSummary, type FakeStore } from "../support/fake-store.ts";
import { openSocket, send } from "../support/http.ts";

const WRITE = { "x-tracekit": "1" };

let store: FakeStore;
let assets: string;
const running: RunningServer[] = [];

beforeEach(() => {
  store = createFakeStore();
  assets = mkdtempSync(join(tmpdir(), "tracekit-assets-"));
  writeFileSync(join(assets, "index.html"), "<!doctype html><title>Tracekit</title>");
  writeFileSync(join(assets, "app.js"), "export const much = 1;\n".repeat(100));
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close()));
  rmSync(assets, { recursive: true });
});

async function start(options: Partial<ServerOptions> = {}): Promise<number> {
  const server = await startServer({ store, port: 0, host: "127.0.0.1", assets, version: "1.2.3", ...options });
  running.push(server);
  return Number(new URL(server.urls[0] as string).port);
}

test("answers are ASCII, and mean what they say", async () => {
  const saved = { name: "café → 🙂", query: "q=naïve" };
  await store.putSavedFilter(saved);
  const { body, json } = await send(await start(), "/api/saved-filters");
  expect(body.every((byte) => byte < 0x80)).toBe(true);
  expect(json).toEqual([saved]);
});

describe("the page", () => {
  test("is one document at each of its addresses", async () => {
    const port = await start();
    for (const path of ["/", "/?service=url", "/trace/4bf92f3577b34da6a3ce929d0e0e4736?span=1", "/services"]) {
      const { status, headers, text } = await send(port, path);
      expect([path, status, text]).toEqual([path, 200, "<!doctype html><title>Tracekit</title>"]);
      expect(headers["content-type"]).toBe("text/html; charset=utf-8");
    }
    expect((await send(port, "/nowhere")).json.error.code).toBe("not_found");
  });

  test("is sent gzipped to who takes it, and not again to who has it", async () => {
    const port = await start();
    const plain = await send(port, "/app.js");
    const zipped = await send(port, "/app.js", { headers: { "accept-encoding": "gzip, br" } });
    expect(zipped.headers["content-encoding"]).toBe("gzip");
    expect(gunzipSync(zipped.body).toString()).toBe(plain.text);
    const again = await send(port, "/app.js", { headers: { "if-none-match": String(plain.headers.etag) } });
    expect([again.status, again.text]).toEqual([304, ""]);
    const head = await send(port, "/app.js", { method: "HEAD" });
    expect([head.status, head.text, head.headers["content-length"]]).toEqual([200, "", String(plain.body.length)]);
  });

  test("may run nothing but its own, and may not be framed, on any answer", async () => {
    const port = await start();
    for (const path of ["/", "/app.js", "/api/status", "/nowhere", "/v1/traces"]) {
      const { headers } = await send(port, path);
      expect(headers["content-security-policy"]).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
      expect(headers["content-security-policy"]).toContain("frame-ancestors 'none'");
      expect(headers).toMatchObject({
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
      });
    }
  });

  test("no path leads out of its folder", async () => {
    const port = await start();
    writeFileSync(join(assets, "..", "tracekit-secret.txt"), "secret");
    const paths = [
      "/../tracekit-secret.txt",
      "/..%2ftracekit-secret.txt",
      "/%2e%2e/tracekit-secret.txt",
      "/trace/../../tracekit-secret.txt",
      "//etc/passwd",
      "/app.js/../../tracekit-secret.txt",
      "/..\\tracekit-secret.txt",
      "/app.js%00.html",
    ];
    for (const path of paths) {
      const { status, text } = await send(port, path);
      expect([path, status]).toEqual([path, 404]);
      expect(text).not.toContain("secret\n");
    }
    rmSync(join(assets, "..", "tracekit-secret.txt"));
  });

  test("that was never built is said to be missing", async () => {
    const port = await start({ assets: join(assets, "missing") });
    const { status, json } = await send(port, "/");
    expect([status, json.error.code]).toEqual([404, "not_found"]);
  });
});

describe("the API", () => {
  test("tells its status, with what was received", async () => {
    const port = await start();
    const { json, headers } = await send(port, "/api/status");
    expect(json).toMatchObject({
      version: "1.2.3",
      driver: "fake",
      endpoints: [`http://127.0.0.1:${port}`],
      received: { requests: 0, refusedRequests: 0, evictedTraces: 7 },
    });
    expect(headers["cache-control"]).toBe("no-store");
  });

  test("lists what the filter in the address lets through, and says what of it was not understood", async () => {
    const port = await start();
    const { json } = await send(port, "/api/traces?service=url&min=fast&limit=20&cursor=abc");
    expect(json).toEqual({
      traces: [fakeSummary()],
      nextCursor: "next",
      problems: ["min=fast is not a duration like 150ms or 2s"],
    });
    expect(store.calls).toEqual([{ name: "listTraces", args: [{ service: ["url"] }, { limit: 20, cursor: "abc" }] }]);
    for (const [limit, given] of [
      ["1000", 1000],
      ["1001", 1000],
      ["1", 1],
      ["0", 50],
      ["many", 50],
    ] as const) {
      const { problems } = (await send(port, `/api/traces?limit=${limit}`)).json;
      expect(store.calls.at(-1)?.args[1]).toEqual({ limit: given });
      expect(problems).toEqual(given === 50 ? [`limit=${limit} is not a number from 1 to 1000`] : []);
    }
  });

  test("refuses ids that are none, and knows those that have not arrived", async () => {
    const port = await start();
    expect((await send(port, "/api/traces/4BF92F35")).status).toBe(404);
    expect(store.calls.at(-1)).toEqual({ name: "getTraceJson", args: ["4bf92f35"] });
    for (const id of ["abc", "x".repeat(32), "..", "4bf92f35%00", "a".repeat(33)])
      expect([id, (await send(port, `/api/traces/${id}`)).status]).toEqual([id, 400]);
    expect((await send(port, "/api/traces/4bf92f35/spans/12")).status).toBe(400);
    expect((await send(port, "/api/traces/4bf92f35/spans/00f067aa0ba902b7")).status).toBe(404);
  });

  test("gives a span with what was worked out of it", async () => {
    const attributes = { "db.system.name": "postgresql", "db.query.text": "SELECT $1", "db.query.parameter.0": "it's" };
    store.spans.set("00f067aa0ba902b7", fakeStoredSpan({ attributes }));
    const port = await start();
    const { json } = await send(port, "/api/traces/4bf92f35/spans/00f067aa0ba902b7");
    expect(json.sql).toEqual({
      text: "SELECT $1",
      formatted: "SELECT $1",
      runnable: "SELECT 'it''s'",
      parameters: [{ name: "$1", value: "it's" }],
    });
    expect(json.span.name).toBe("POST /shorten");
  });

  test("keeps saved filters by name", async () => {
    const port = await start();
    const body = JSON.stringify({ query: "status=5xx" });
    const put = await send(port, "/api/saved-filters/my%20%2F%20errors", { method: "PUT", headers: WRITE, body });
    expect(put.json).toEqual([{ name: "my / errors", query: "status=5xx" }]);
    expect((await send(port, "/api/saved-filters")).json).toEqual(put.json);
    for (const wrong of ["", "{", "[]", "null", '{"query":1}'])
      expect((await send(port, "/api/saved-filters/a", { method: "PUT", headers: WRITE, body: wrong })).status).toBe(
        400,
      );
    const gone = await send(port, "/api/saved-filters/my%20%2F%20errors", { method: "DELETE", headers: WRITE });
    expect(gone.json).toEqual([]);
  });

  test("forgets everything on request", async () => {
    const port = await start();
    const { status, text } = await send(port, "/api/traces", { method: "DELETE", headers: WRITE });
    expect([status, text]).toEqual([204, ""]);
    expect(store.calls).toEqual([{ name: "clear", args: [] }]);
  });

  test("imports a file, gzipped or not", async () => {
    const port = await start();
    const { json } = await send(port, "/api/import", { method: "POST", headers: WRITE, body: '{"resourceSpans":[]}' });
    expect(json).toEqual({ format: "otlp", traces: 1, spans: 1, rejectedSpans: 0 });
    expect(Buffer.from(store.calls[0]?.args[0] as Uint8Array).toString()).toBe('{"resourceSpans":[]}');
  });

  test("says which methods a path answers", async () => {
    const port = await start();
    const { status, headers } = await send(port, "/api/traces", { method: "POST", headers: WRITE });
    expect([status, headers.allow]).toEqual([405, "GET, DELETE"]);
  });

  test("answers a failing store with its reason", async () => {
    store.getStatus = async () => {
      throw new Error("disk I/O error");
    };
    const port = await start();
    const { status, json } = await send(port, "/api/status");
    expect([status, json]).toEqual([500, { error: { code: "internal", message: "disk I/O error" } }]);
  });
});

describe("an export", () => {
  test("is a download of OTLP JSON named after what is in it", async () => {
    store.traces = [[fakeSpan()], [fakeSpan({ traceId: "b".repeat(32) })]];
    const port = await start();
    const all = await send(port, "/api/export?service=url");
    expect(all.headers["content-disposition"]).toMatch(
      /^attachment; filename="tracekit-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.json"$/,
    );
    expect(all.json.resourceSpans).toHaveLength(2);
    expect(store.calls[0]).toEqual({ name: "readTraces", args: [{ service: ["url"] }] });
    const one = await send(port, "/api/export?trace=4bf92f3577b34da6a3ce929d0e0e4736");
    expect(one.headers["content-disposition"]).toBe('attachment; filename="tracekit-POST-shorten-4bf92f35.json"');
  });

  test("of nothing is empty, and of a trace that is not there is not found", async () => {
    const port = await start();
    expect((await send(port, "/api/export")).json).toEqual({ resourceSpans: [] });
    expect((await send(port, "/api/export?trace=4bf92f3577b34da6a3ce929d0e0e4736")).status).toBe(404);
    expect((await send(port, "/api/export?trace=../../x")).status).toBe(400);
  });

  test("stops reading when its reader leaves", async () => {
    let read = 0;
    let isClosed = false;
    store.readTraces = async function* () {
      try {
        for (; read < 100_000; read++) yield Array.from({ length: 200 }, () => fakeSpan());
      } finally {
        isClosed = true;
      }
    };
    const port = await start();
    const { socket } = await openSocket(port);
    socket.pause();
    socket.write("GET /api/export HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await until(() => read > 10);
    socket.destroy();
    await until(() => isClosed);
    expect(read).toBeLessThan(100_000);
  });

  test("that fails on the way ends early instead of looking whole", async () => {
    store.readTraces = async function* () {
      yield Array.from({ length: 5000 }, () => fakeSpan());
      throw new Error("disk I/O error");
    };
    const port = await start();
    await expect(send(port, "/api/export")).rejects.toThrow(/aborted|hang up|RESET/i);
  });
});

describe("a live page", () => {
  test("is told of traces its filter lets through, and of the status", async () => {
    const port = await start();
    const { socket, received } = await openSocket(port);
    socket.write("GET /api/live?service=url HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await until(() => store.watchers.size === 1 && received().includes("event: status"));
    store.emit({ type: "traces", traces: [fakeSummary()] });
    store.emit({ type: "cleared" });
    await until(() => received().includes("event: cleared"));
    expect(received()).toContain("content-type: text/event-stream; charset=utf-8");
    expect(received()).toContain(`event: traces\ndata: ${JSON.stringify([fakeSummary()])}\n\n`);
    expect(store.calls).toEqual([{ name: "watch", args: [{ service: ["url"] }] }]);
    socket.destroy();
    await until(() => store.watchers.size === 0);
  });

  test("hears a heartbeat", async () => {
    const port = await start({ limits: { heartbeatMillis: 20 } });
    const { socket, received } = await openSocket(port);
    socket.write("GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await until(() => received().includes(": still here\n\n"));
    socket.destroy();
  });

  test("that takes nothing costs no memory, and is told to ask anew once it does", async () => {
    const port = await start({ limits: { maxLiveBytes: 10_000 } });
    const { socket, received } = await openSocket(port);
    socket.write("GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await until(() => store.watchers.size === 1);
    socket.pause();
    const traces = Array.from({ length: 500 }, () => fakeSummary());
    for (let i = 0; i < 500; i++) {
      store.emit({ type: "traces", traces });
      if (i % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    socket.resume();
    await until(() => received().includes("event: resync"));
    expect(received().match(/event: traces/g)?.length).toBeLessThan(400);
    store.emit({ type: "cleared" });
    await until(() => received().includes("event: cleared"));
    socket.destroy();
  });

  test("that takes nothing for long is left", async () => {
    const port = await start({ limits: { maxLiveBytes: 10_000, heartbeatMillis: 20, liveStallMillis: 50 } });
    const { socket } = await openSocket(port);
    socket.write("GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await until(() => store.watchers.size === 1);
    socket.pause();
    const traces = Array.from({ length: 5000 }, () => fakeSummary());
    await until(() => {
      store.emit({ type: "traces", traces });
      return store.watchers.size === 0;
    });
    socket.destroy();
  });

  test("does not keep the server from closing", async () => {
    const port = await start();
    const { socket, closed } = await openSocket(port);
    socket.write("GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await until(() => store.watchers.size === 1);
    await running.splice(0)[0]?.close();
    await closed;
    expect(store.watchers.size).toBe(0);
  });
});

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error("waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
