import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { routesContract } from "../contract/routes.ts";
import hapi from "../libraries/hapi.ts";
import { ask, startComparedApp } from "../support/compared-app.ts";

const code = readFileSync(join(import.meta.dirname, "hapi-app.cjs"), "utf8");
const versions = hapi.packages["@hapi/hapi"];

describe.each(versions.map((version) => ({ version })))("@hapi/hapi $version", ({ version }) => {
  const compared = routesContract({
    code,
    type: "cjs",
    versions: { "@hapi/hapi": version },
    routes: [
      ["/", "GET /"],
      ["/?a=b", "GET /"],
      ["/things/1", "GET /things/{id}"],
      ["/things/1", "HEAD /things/{id}", { method: "HEAD" }],
      ["/files/a/b", "GET /files/{path*}"],
      ["/any", "DELETE /any", { method: "DELETE" }],
      ["/only", "GET /only/{id?}"],
      ["/users/42/posts/7", "GET /users/{user}/posts/{post}"],
      ["/abandoned", "GET /abandoned"],
    ],
    unrouted: [
      ["/nowhere", 404],
      ["/things/%E0%A4%A", 400],
      ["/things/1", 401, { headers: { "x-refuse": "onRequest" } }],
    ],
    errors: [
      ["/throw", "RangeError", "out of range"],
      ["/reject", "Error", "rejected"],
      ["/things/1", "Error", "not yours", { headers: { "x-refuse": "onPreHandler" } }],
    ],
    handled: [["/handled", "GET /handled", 422, ["handled"]]],
    together: ["/things/{id}", "/users/{user}/posts/{post}"],
  });

  test("the server's own events are as they were", async () => {
    expect(await ask(compared().traced, "/events")).toEqual(await ask(compared().plain, "/events"));
  });
});

test("an ES module's hapi is the same, and what is injected is answered", async () => {
  const compared = await startComparedApp(
    `import Hapi from "@hapi/hapi";
     const server = Hapi.server({ port: 0, host: "127.0.0.1" });
     server.route({ method: "GET", path: "/a/{b}", handler: async (request) =>
       request.params.b === "inner" ? "ok" : (await server.inject("/a/inner")).payload });
     await server.start();
     console.log("listening " + server.info.port);`,
    "esm",
    { "@hapi/hapi": versions.at(-1) ?? "" },
  );
  expect((await compared.spanOf("/a/1")).name).toBe("GET /a/{b}");
  expect(compared.traced.stderr).not.toContain("no longer traced");
  await compared.close();
});
