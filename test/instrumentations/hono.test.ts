import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { routesContract } from "../contract/routes.ts";
import hono from "../libraries/hono.ts";
import { startComparedApp } from "../support/compared-app.ts";

const code = readFileSync(join(import.meta.dirname, "hono-app.mjs"), "utf8");
const [oldest = "", newest = ""] = hono.packages.hono;

describe.each<Record<string, string>>([
  { hono: oldest, "@hono/node-server": "1.19.19" },
  { hono: newest, "@hono/node-server": "2.1.8" },
])("%o", (versions) => {
  routesContract({
    code,
    type: "esm",
    versions,
    routes: [
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
    ],
    unrouted: [
      ["/nowhere", 404],
      ["/users/42/nowhere", 404],
      // Middleware for all paths below it refuses it.
      ["/things/1", 403, { headers: { "x-refuse": "yes" } }],
    ],
    errors: [
      ["/throw", "RangeError", "out of range"],
      ["/reject", "Error", "rejected"],
    ],
    handled: [
      ["/forbidden", "GET /forbidden", 403, ["not yours"]],
      // The inner application has answered it itself.
      ["/users/42/fail", "GET /users/:user/fail", 422, []],
    ],
    together: ["/async/:id", "/users/:user/posts/:post"],
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
