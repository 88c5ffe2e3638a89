import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { routesContract } from "../contract/routes.ts";
import { ask } from "../support/compared-app.ts";
import { installLibraries } from "../support/library.ts";
import { startOtlpReceiver } from "../support/otlp-receiver.ts";
import fastify from "../libraries/fastify.ts";
import { runApp } from "../support/run-app.ts";

const code = readFileSync(join(import.meta.dirname, "fastify-app.cjs"), "utf8");

describe.each(fastify.packages["fastify"].map((version) => ({ version })))("fastify $version", ({ version }) => {
  const compared = routesContract({
    code,
    type: "cjs",
    versions: { fastify: version },
    routes: [
      ["/", "GET /"],
      ["/?a=b", "GET /"],
      ["/things/1", "GET /things/:id"],
      ["/things/1", "HEAD /things/:id", { method: "HEAD" }],
      ["/files/a/b", "GET /files/*"],
      ["/any", "DELETE /any", { method: "DELETE" }],
      ["/version", "GET /version", { headers: { "accept-version": "1.x" } }],
      ["/callback", "GET /callback"],
      ["/hijacked", "GET /hijacked"],
      ["/api/v1/inner/2", "GET /api/:version/inner/:x"],
      ["/api/v1/z/deep/2", "GET /api/:version/:z/deep/:y"],
    ],
    unrouted: [
      ["/nowhere", 404],
      ["/api/v1/nowhere", 404],
      ["/version", 404],
      ["/things/%E0%A4%A", 400],
    ],
    errors: [
      ["/throw", "RangeError", "out of range"],
      ["/reject", "Error", "rejected"],
      ["/send-error", "Error", "sent"],
    ],
    handled: [
      ["/things/1", "GET /things/:id", 401, [], { headers: { "x-refuse": "onRequest" } }],
      ["/things/1", "GET /things/:id", 403, ["not yours"], { headers: { "x-refuse": "preHandler" } }],
      ["/api/v1/error", "GET /api/:version/error", 422, ["of the child"]],
    ],
    together: ["/things/:id", "/api/:version/inner/:x"],
  });

  test("what a schema refuses has its body, and the error as an event", async () => {
    const invalid = await compared().spanOf("/checked/1", {
      method: "POST",
      body: '{"email":1}',
      headers: { "content-type": "application/json" },
    });
    expect(invalid.attributes).toMatchObject({
      "http.route": "/checked/:id",
      "http.response.status_code": 400,
      "http.request.body.content": '{"email":1}',
    });
    expect(invalid.events).toHaveLength(1);
  });

  test("the application's routes, hooks and warnings are its own", async () => {
    expect(await ask(compared().traced, "/report")).toEqual(await ask(compared().plain, "/report"));
  });
});

test("an ES module's fastify is the same", async () => {
  const receiver = await startOtlpReceiver();
  const version = fastify.packages.fastify.at(-1) ?? "";
  const libraries = await installLibraries({ fastify: version });
  const { code: exitCode, stderr } = await runApp({
    libraries,
    code: `
      import fastify from "fastify";
      const app = fastify();
      app.get("/a/:b", async () => "ok");
      await app.listen({ port: 0 });
      await (await fetch("http://127.0.0.1:" + app.server.address().port + "/a/1")).text();
      console.log((await app.inject("/a/2")).body);
      await app.close();`,
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url },
  });
  expect({ code: exitCode, stderr }).toMatchObject({
    code: 0,
    stderr: expect.not.stringContaining("no longer traced"),
  });
  const spans = await receiver.waitForSpans((received) => received.some(({ kind }) => kind === "SERVER"));
  expect(spans.filter(({ kind }) => kind === "SERVER").map(({ name }) => name)).toEqual(["GET /a/:b"]);
  await receiver.close();
});
