import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { routesContract } from "../contract/routes.ts";
import koa from "../libraries/koa.ts";
import { ask, startComparedApp } from "../support/compared-app.ts";

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
  const compared = routesContract({
    code,
    type: "cjs",
    versions: { ...beside, ...versions },
    routes: [
      ["/", "GET /"],
      ["/?a=b", "GET /"],
      ["/things/1", "GET /things/:id"],
      ["/things/1?q=/x", "HEAD /things/:id", { method: "HEAD" }],
      ["/named/1", "GET /named/:id"],
      ["/any", "DELETE /any", { method: "DELETE" }],
      ["/list-of-all", "GET /^\\/list-of-(\\w+)$/"],
      ["/users/42/posts/7", "GET /users/:user/posts/:post"],
      ["/second/1", "GET /second/:id"],
      ["/passed/1", "GET /passed/:other"],
      ["/mounted/in/1", "GET /mounted/in/:x"],
      ["/mounted/in/1?a=b", "GET /mounted/in/:x"],
      ["/plain/1", "GET /plain/:id"],
      ["/stream", "GET /stream"],
    ],
    unrouted: [
      ["/nowhere", 404],
      ["/users", 404],
      ["/mounted/nowhere", 404],
    ],
    errors: [
      ["/throw", "RangeError", "out of range"],
      ["/reject", "Error", "rejected"],
    ],
    handled: [
      // A router's middleware refuses it to the route.
      ["/things/1", "GET /things/:id", 403, ["not yours"], { headers: { "x-refuse": "yes" } }],
      ["/handled", "GET /handled", 422, []],
    ],
    together: ["/things/:id", "/users/:user/posts/:post"],
  });

  test("a router's own root is what the router says it is", async () => {
    expect((await compared().spanOf("/users/42")).name).toMatch(/^GET \/users\/:user\/?$/);
  });

  test("what is thrown and no error is on the span as it is", async () => {
    const { attributes, events } = await compared().spanOf("/not-an-error");
    expect(attributes).toMatchObject({ "http.response.status_code": 500, "error.type": "string" });
    expect(events.map((event) => event.attributes)).toEqual([{ "exception.message": "a text" }]);
  });

  test("the application hears of its errors as before", async () => {
    expect(await ask(compared().traced, "/errors")).toEqual(await ask(compared().plain, "/errors"));
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
