import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import koa from "../libraries/koa.ts";
import { ask, type ComparedApp, startComparedApp } from "../support/compared-app.ts";

const code = readFileSync(join(import.meta.dirname, "koa-app.cjs"), "utf8");

const [oldest = "", last2 = "", newest = ""] = koa.packages.koa;
const [router8 = "", router15 = ""] = koa.packages["@koa/router"];
const [router7 = "", router14 = ""] = koa.packages["koa-router"];
const beside = { "koa-mount": "4.2.0", "koa-route": "4.0.1" };

describe.each<Record<string, string>>([
  { koa: oldest, "koa-router": router7 },
  { koa: last2, "@koa/router": router8 },
  { koa: newest, "koa-router": router14 },
  { koa: newest, "@koa/router": router15 },
])("%o", (versions) => {
  let compared: ComparedApp;
  beforeAll(async () => {
    compared = await startComparedApp(code, "cjs", { ...beside, ...versions });
  });
  afterAll(() => compared?.close());

  test.each<[string, string, RequestInit?]>([
    ["/", "GET /"],
    ["/?a=b", "GET /"],
    ["/things/1", "GET /things/:id"],
    ["/things/1?q=/x", "HEAD /things/:id", { method: "HEAD" }],
    ["/named/1", "GET /named/:id"],
    ["/any", "DELETE /any", { method: "DELETE" }],
    ["/list-of-all", "GET /^\\/list-of-(\\w+)$/"],
    ["/users/42", "GET /users/:user"],
    ["/users/42/posts/7", "GET /users/:user/posts/:post"],
    ["/second/1", "GET /second/:id"],
    ["/passed/1", "GET /passed/:other"],
    ["/mounted/in/1", "GET /mounted/in/:x"],
    ["/mounted/in/1?a=b", "GET /mounted/in/:x"],
    ["/plain/1", "GET /plain/:id"],
    ["/stream", "GET /stream"],
  ])("%s is %s", async (path, name, init) => {
    const span = await compared.spanOf(path, init);
    // A router says so of its own root in one way or the other.
    expect(span.name.replace(/(?<=.)\/$/, "")).toBe(name.replace(/(?<=.)\/$/, ""));
    expect(span.attributes["http.route"]).toBe(span.name.split(" ").slice(1).join(" "));
    expect(span.status.code).toBe("UNSET");
    expect(span.events).toEqual([]);
  });

  test.each(["/nowhere", "/users", "/mounted/nowhere"])("%s has no route", async (path) => {
    const span = await compared.spanOf(path);
    expect(span.name).toBe("GET");
    expect(span.attributes).not.toHaveProperty("http.route");
    expect(span.attributes["http.response.status_code"]).toBe(404);
  });

  test("what a router's middleware refuses has the route that it refuses", async () => {
    const span = await compared.spanOf("/things/1", { headers: { "x-refuse": "yes" } });
    expect(span.name).toBe("GET /things/:id");
    expect(span.attributes["http.response.status_code"]).toBe(403);
    expect(span.attributes).not.toHaveProperty("error.type");
    expect(span.events.map(({ attributes }) => attributes["exception.message"])).toEqual(["not yours"]);
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

  test("what is thrown and no error is on the span as it is", async () => {
    const { attributes, events } = await compared.spanOf("/not-an-error");
    expect(attributes).toMatchObject({ "http.response.status_code": 500, "error.type": "string" });
    expect(events.map((event) => event.attributes)).toEqual([{ "exception.message": "a text" }]);
  });

  test("an error that the application's middleware answers is none", async () => {
    const span = await compared.spanOf("/handled");
    expect(span.attributes).toMatchObject({ "http.response.status_code": 422, "http.route": "/handled" });
    expect([span.status.code, span.events]).toEqual(["UNSET", []]);
  });

  test("requests at the same time keep their own routes, and the application hears of its errors as before", async () => {
    compared.receiver.reset();
    const numbers = Array.from({ length: 10 }, (_, index) => index);
    await Promise.all(
      numbers.flatMap((number) => [
        ask(compared.traced, `/things/${number}`),
        ask(compared.traced, `/users/${number}/posts/${number}`),
      ]),
    );
    const spans = await compared.receiver.waitForSpans(20);
    for (const { attributes } of spans) {
      const isThing = String(attributes["url.path"]).startsWith("/things");
      expect(attributes["http.route"]).toBe(isThing ? "/things/:id" : "/users/:user/posts/:post");
    }
    expect(await ask(compared.traced, "/errors")).toEqual(await ask(compared.plain, "/errors"));
  });
});

test("a property of the application's own, of the same name, stays what it is", async () => {
  const compared = await startComparedApp(
    `const Koa = require("koa");
     const app = new Koa();
     app.context.routePath = "mine";
     app.use((ctx) => {
       const before = ctx.routePath;
       if (ctx.query.set) ctx.routePath = ctx.query.set;
       ctx.body = [before, ctx.routePath, Object.keys(app.context)];
     });
     const server = app.listen(0, "127.0.0.1", () => console.log("listening " + server.address().port));`,
    "cjs",
    { koa: newest },
  );
  expect((await compared.spanOf("/?set=other")).name).toBe("GET");
  expect((await compared.spanOf("/")).name).toBe("GET");
  await compared.close();
});

test("an ES module's koa is the same", async () => {
  const compared = await startComparedApp(
    `import Koa from "koa";
     import Router from "@koa/router";
     const router = new Router();
     router.get("/a/:b", (ctx) => { ctx.body = "ok"; });
     const server = new Koa().use(router.routes()).listen(0, "127.0.0.1", () => console.log("listening " + server.address().port));`,
    "esm",
    { koa: newest, "@koa/router": router15 },
  );
  expect((await compared.spanOf("/a/1")).name).toBe("GET /a/:b");
  expect(compared.traced.stderr).not.toContain("no longer traced");
  await compared.close();
});
