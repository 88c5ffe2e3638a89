import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import hono from "../libraries/hono.ts";
import { ask, type ComparedApp, startComparedApp } from "../support/compared-app.ts";

const code = readFileSync(join(import.meta.dirname, "hono-app.mjs"), "utf8");
const [oldest = "", newest = ""] = hono.packages.hono;

describe.each<Record<string, string>>([
  { hono: oldest, "@hono/node-server": "1.19.19" },
  { hono: newest, "@hono/node-server": "2.1.8" },
])("%o", (versions) => {
  let compared: ComparedApp;
  beforeAll(async () => {
    compared = await startComparedApp(code, "esm", versions);
  });
  afterAll(() => compared?.close());

  test.each<[string, string, RequestInit?]>([
    ["/", "GET /"],
    ["/?a=b", "GET /"],
    ["/things/1", "GET /things/:id"],
    ["/things/1", "HEAD /things/:id", { method: "HEAD" }],
    ["/files/a/b", "GET /files/*"],
    ["/any", "DELETE /any", { method: "DELETE" }],
    ["/async/1", "GET /async/:id"],
    ["/chain/1", "GET /chain/:id"],
    ["/echo", "POST /echo", { method: "POST", body: '{"a":1}', headers: { "content-type": "application/json" } }],
    ["/users/42/posts/7", "GET /users/:user/posts/:post"],
    ["/routes", "GET /routes"],
  ])("%s is %s", async (path, name, init) => {
    const span = await compared.spanOf(path, init);
    expect(span.name).toBe(name);
    expect(span.attributes["http.route"]).toBe(name.split(" ")[1]);
    expect([span.status.code, span.events]).toEqual(["UNSET", []]);
  });

  test.each<[string, number, RequestInit?]>([
    ["/nowhere", 404],
    ["/users/42/nowhere", 404],
    ["/things/1", 403, { headers: { "x-refuse": "yes" } }],
  ])("%s has no route where no handler answers it, but %i", async (path, status, init) => {
    const span = await compared.spanOf(path, init);
    expect(span.name).toBe("GET");
    expect(span.attributes).not.toHaveProperty("http.route");
    expect(span.attributes["http.response.status_code"]).toBe(status);
  });

  test.each([
    ["/throw", "RangeError", "out of range"],
    ["/reject", "Error", "rejected"],
  ])("the error of %s is on the span", async (path, type, message) => {
    const span = await compared.spanOf(path);
    expect(span.attributes).toMatchObject({ "http.response.status_code": 500, "error.type": type });
    expect(span.status).toEqual({ code: "ERROR", message });
    expect(span.events.map(({ attributes }) => attributes["exception.message"])).toEqual([message]);
  });

  test.each([
    ["/forbidden", "/forbidden", 403, ["not yours"]],
    // Its own application has answered it.
    ["/users/42/fail", "/users/:user/fail", 422, []],
  ])("the error of %s, answered with less than 500, is no failure", async (path, route, status, messages) => {
    const span = await compared.spanOf(path);
    expect(span.attributes).toMatchObject({ "http.response.status_code": status, "http.route": route });
    expect(span.status.code).toBe("UNSET");
    expect(span.events.map(({ attributes }) => attributes["exception.message"])).toEqual(messages);
  });

  test("requests at the same time keep their own routes", async () => {
    compared.receiver.reset();
    const numbers = Array.from({ length: 10 }, (_, index) => index);
    await Promise.all(
      numbers.flatMap((number) => [
        ask(compared.traced, `/async/${number}`),
        ask(compared.traced, `/users/${number}/posts/${number}`),
      ]),
    );
    const spans = await compared.receiver.waitForSpans(20);
    for (const { attributes } of spans) {
      const isAsync = String(attributes["url.path"]).startsWith("/async");
      expect(attributes["http.route"]).toBe(isAsync ? "/async/:id" : "/users/:user/posts/:post");
    }
  });
});

test("required as CommonJS, hono is the same", async () => {
  const compared = await startComparedApp(
    `const { Hono } = require("hono");
     const { serve } = require("@hono/node-server");
     const app = new Hono();
     app.get("/a/:b", (c) => c.text("ok"));
     serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, ({ port }) => console.log("listening " + port));`,
    "cjs",
    { hono: newest, "@hono/node-server": "2.1.8" },
  );
  expect((await compared.spanOf("/a/1")).name).toBe("GET /a/:b");
  expect(compared.traced.stderr).not.toContain("no longer traced");
  await compared.close();
});
