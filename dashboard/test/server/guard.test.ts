import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startServer, type RunningServer, type ServerOptions } from "../../src/server/server.ts";
import { createFakeStore, type FakeStore } from "../support/fake-store.ts";
import { openSocket, send } from "../support/http.ts";

const PATHS = [
  "/",
  "/app.js",
  "/trace/4bf92f3577b34da6a3ce929d0e0e4736",
  "/api/status",
  "/api/traces",
  "/api/live",
  "/api/export",
  "/v1/traces",
  "/nowhere",
];
const JSON_TYPE = { "content-type": "application/json" };
const TOKEN = "a-token-of-some-length";

let store: FakeStore;
let assets: string;
const running: RunningServer[] = [];

beforeEach(() => {
  store = createFakeStore();
  assets = mkdtempSync(join(tmpdir(), "tracekit-assets-"));
  writeFileSync(join(assets, "index.html"), "the page");
  writeFileSync(join(assets, "app.js"), "the script");
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close()));
  rmSync(assets, { recursive: true });
});

async function start(options: Partial<ServerOptions> = {}): Promise<number> {
  const server = await startServer({ store, port: 0, host: "127.0.0.1", assets, version: "1", ...options });
  running.push(server);
  return Number(new URL(server.urls[0] as string).port);
}

describe("the Host header", () => {
  test.each([
    "localhost",
    "LocalHost:1",
    "app.localhost:9400",
    "127.0.0.1:9400",
    "127.9.8.7",
    "[::1]:9400",
    "localhost.",
  ])("may be a name of this machine for itself: %s", async (host) => {
    const port = await start();
    expect((await send(port, "/api/status", { headers: { host } })).status).toBe(200);
  });

  test.each([
    "evil.example",
    "evil.example:9400",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.evil.example",
    "evillocalhost",
    "localhost@evil.example",
    "evil.example#localhost",
    "localhost, evil.example",
    "192.168.0.10:9400",
    "0.0.0.0:9400",
    "[::ffff:c0a8:a]",
  ])("of any other name is refused on every route, however it resolves: %s", async (host) => {
    const port = await start();
    for (const path of PATHS) {
      const { status, json } = await send(port, path, { headers: { host } });
      expect([path, status, json.error.code]).toEqual([path, 403, "forbidden_host"]);
    }
    const posted = await send(port, "/v1/traces", { method: "POST", headers: { host, ...JSON_TYPE }, body: "{}" });
    expect(posted.status).toBe(403);
    expect(store.payloads).toEqual([]);
  });

  test("has to be there, and once", async () => {
    const port = await start();
    for (const head of [
      "GET /api/status HTTP/1.0\r\n\r\n",
      "GET /api/status HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
      "GET /api/status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    ]) {
      const { socket, received, closed } = await openSocket(port);
      socket.write(head);
      socket.end();
      await closed;
      expect(received()).not.toContain("200 OK");
    }
  });

  test("counts, and not the address in the request line", async () => {
    const port = await start();
    const { socket, received, closed } = await openSocket(port);
    socket.write("GET http://localhost/api/status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    await closed;
    expect(received()).toContain("403 Forbidden");
  });
});

describe("a page of another site", () => {
  const foreign = ["http://evil.example", "https://localhost.evil.example", "null", "http://localhost:1", "file://"];

  test.each(foreign)("gets no answer of the API or the page: %s", async (origin) => {
    const port = await start();
    for (const path of PATHS.filter((each) => each !== "/v1/traces")) {
      const { status, headers, json } = await send(port, path, { headers: { origin, "x-tracekit": "1" } });
      expect([path, status, json.error.code]).toEqual([path, 403, "forbidden_origin"]);
      expect(headers["access-control-allow-origin"]).toBeUndefined();
    }
  });

  test("changes nothing, be it with a form, a beacon or a script", async () => {
    const port = await start();
    const origin = "http://evil.example";
    for (const [method, path] of [
      ["POST", "/api/import"],
      ["DELETE", "/api/traces"],
      ["PUT", "/api/saved-filters/a"],
      ["POST", "/v1/traces"],
      ["POST", "/v1/logs"],
      ["POST", "/api/v2/spans"],
    ] as const) {
      const attempts: Record<string, string>[] = [
        { origin },
        { origin, "x-tracekit": "1", ...JSON_TYPE },
        { "sec-fetch-site": "cross-site", ...JSON_TYPE },
      ];
      for (const headers of attempts)
        expect([path, (await send(port, path, { method, headers, body: "{}" })).status]).toEqual([path, 403]);
    }
    expect([store.payloads, store.calls]).toEqual([[], []]);
  });

  test("cannot ask whether it may", async () => {
    const port = await start();
    for (const path of ["/api/import", "/api/traces", "/v1/traces"]) {
      const { status, headers } = await send(port, path, {
        method: "OPTIONS",
        headers: { origin: "http://evil.example", "access-control-request-method": "POST" },
      });
      expect(status).toBeGreaterThanOrEqual(400);
      expect(headers["access-control-allow-origin"]).toBeUndefined();
    }
  });

  test("cannot put the API into a script or an image, even one on another port of this machine", async () => {
    const port = await start();
    for (const site of ["cross-site", "same-site"])
      expect((await send(port, "/api/status", { headers: { "sec-fetch-site": site } })).status).toBe(403);
    // A link to the page is fine, and so is the address bar.
    expect((await send(port, "/", { headers: { "sec-fetch-site": "cross-site" } })).status).toBe(200);
    expect((await send(port, "/api/status", { headers: { "sec-fetch-site": "none" } })).status).toBe(200);
  });
});

describe("our own page", () => {
  test("may change something when it shows that a script of it asks", async () => {
    const port = await start();
    const own = { host: `localhost:${port}`, origin: `http://localhost:${port}` };
    const without = await send(port, "/api/traces", { method: "DELETE", headers: own });
    expect([without.status, without.json.error.code]).toEqual([403, "forbidden_origin"]);
    const withIt = await send(port, "/api/traces", { method: "DELETE", headers: { ...own, "x-tracekit": "1" } });
    expect(withIt.status).toBe(204);
    expect(store.calls).toEqual([{ name: "clear", args: [] }]);
  });
});

describe("a page in development", () => {
  const origin = "http://localhost:5173";

  test("may send its spans, and read the answer", async () => {
    const port = await start();
    const preflight = await send(port, "/v1/traces", {
      method: "OPTIONS",
      headers: {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,x-mine",
      },
    });
    expect([preflight.status, preflight.headers]).toMatchObject([
      204,
      {
        "access-control-allow-origin": origin,
        "access-control-allow-headers": "content-type,x-mine",
        "access-control-allow-methods": "POST",
        "access-control-allow-credentials": "true",
      },
    ]);
    const sent = await send(port, "/v1/traces", { method: "POST", headers: { origin, ...JSON_TYPE }, body: "{}" });
    expect([sent.status, sent.headers["access-control-allow-origin"]]).toEqual([200, origin]);
    store.ingestResult = { outcome: "malformed", reason: "no" };
    const wrong = await send(port, "/v1/traces", { method: "POST", headers: { origin, ...JSON_TYPE }, body: "{}" });
    expect([wrong.status, wrong.headers["access-control-allow-origin"]]).toEqual([400, origin]);
  });

  test("may not read what others sent", async () => {
    const port = await start();
    for (const method of ["GET", "OPTIONS"]) {
      const { status, headers } = await send(port, "/api/traces", { method, headers: { origin } });
      expect(status).toBeGreaterThanOrEqual(400);
      expect(headers["access-control-allow-origin"]).toBeUndefined();
    }
  });
});

describe("with a token", () => {
  const bearer = { authorization: `Bearer ${TOKEN}` };

  test("nothing is answered without it, and everything with it", async () => {
    const port = await start({ token: TOKEN });
    for (const path of PATHS.filter((each) => each !== "/v1/traces" && each !== "/api/live" && each !== "/nowhere")) {
      expect([path, (await send(port, path)).status]).toEqual([path, 401]);
      for (const wrong of ["Bearer", "Bearer x", `Basic ${TOKEN}`, `Bearer ${TOKEN}x`, TOKEN])
        expect((await send(port, path, { headers: { authorization: wrong } })).status).toBe(401);
      expect([path, (await send(port, path, { headers: bearer })).status]).toEqual([path, 200]);
    }
    const post = { method: "POST", body: "{}" };
    expect((await send(port, "/v1/traces", { ...post, headers: JSON_TYPE })).status).toBe(401);
    expect((await send(port, "/v1/traces", { ...post, headers: { ...JSON_TYPE, ...bearer } })).status).toBe(200);
    expect((await send(port, "/api/status", { headers: bearer })).json.received.refusedRequests).toBe(1);
  });

  test("a browser that opens the printed address gets a cookie and loses the token from its address", async () => {
    const port = await start({ token: TOKEN });
    const opened = await send(port, `/trace/4bf92f35?token=${TOKEN}&span=1`);
    expect([opened.status, opened.headers.location]).toEqual([303, "/trace/4bf92f35?span=1"]);
    const [cookie] = opened.headers["set-cookie"] as string[];
    expect(cookie).toMatch(/^tracekit-\d+=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/);
    expect(cookie).not.toContain(TOKEN);
    const headers = { cookie: `other=1; ${cookie?.split(";")[0]}` };
    expect((await send(port, "/api/status", { headers })).status).toBe(200);
    expect((await send(port, "/", { headers })).text).toBe("the page");
    const clear = await send(port, "/api/traces", { method: "DELETE", headers });
    expect([clear.status, clear.json.error.code]).toEqual([403, "forbidden_origin"]);
  });

  test("a wrong one in the address gets nothing", async () => {
    const port = await start({ token: TOKEN });
    const { status, headers } = await send(port, "/?token=wrong");
    expect([status, headers["set-cookie"]]).toEqual([401, undefined]);
    expect((await send(port, `/api/status?token=${TOKEN}`)).status).toBe(401);
    const rebound = await send(port, `/?token=${TOKEN}`, { headers: { host: "evil.example" } });
    expect([rebound.status, rebound.headers["set-cookie"]]).toEqual([403, undefined]);
  });

  test("people are told in words how to get in", async () => {
    const port = await start({ token: TOKEN });
    const { status, text, headers } = await send(port, "/", { headers: { accept: "text/html,*/*" } });
    expect([status, headers["content-type"]]).toEqual([401, "text/plain; charset=utf-8"]);
    expect(text).toMatch(/^The token is missing or wrong: open the address/);
  });

  test("a cookie sends no spans", async () => {
    const port = await start({ token: TOKEN });
    const opened = await send(port, `/?token=${TOKEN}`);
    const cookie = String(opened.headers["set-cookie"]?.[0]).split(";")[0] as string;
    const headers = { cookie, origin: "http://localhost:5173", ...JSON_TYPE };
    expect((await send(port, "/v1/traces", { method: "POST", headers, body: "{}" })).status).toBe(401);
  });

  test("others may reach the server; without one they may not", async () => {
    await expect(start({ host: "0.0.0.0" })).rejects.toThrow("Listening on 0.0.0.0 needs a token.");
    await expect(start({ host: "192.0.2.1" })).rejects.toThrow("needs a token");
    const port = await start({ host: "0.0.0.0", token: TOKEN });
    const headers = { ...bearer, host: "192.168.0.10:9400" };
    expect((await send(port, "/api/status", { headers })).status).toBe(200);
    expect((await send(port, "/api/status", { headers: { host: "192.168.0.10:9400" } })).status).toBe(401);
    const origin = "http://evil.example";
    expect((await send(port, "/api/status", { headers: { ...bearer, origin } })).status).toBe(403);
  });
});

test("localhost is both of its addresses", async () => {
  const port = await start({ host: "localhost" });
  expect(running[0]?.urls).toEqual([`http://localhost:${port}`]);
  expect((await fetch(`http://127.0.0.1:${port}/api/status`)).status).toBe(200);
  const overIPv6 = await fetch(`http://[::1]:${port}/api/status`).catch(() => undefined);
  // Some machines have no IPv6.
  if (overIPv6 !== undefined) expect(overIPv6.status).toBe(200);
});
