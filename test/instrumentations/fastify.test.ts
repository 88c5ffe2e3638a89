import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ask, type ComparedApp, startComparedApp } from "../support/compared-app.ts";
import { installLibraries } from "../support/library.ts";
import { startOtlpReceiver } from "../support/otlp-receiver.ts";
import fastify from "../libraries/fastify.ts";
import { runApp } from "../support/run-app.ts";

const code = readFileSync(join(import.meta.dirname, "fastify-app.cjs"), "utf8");

describe.each(fastify.packages["fastify"].map((version) => ({ version })))("fastify $version", ({ version }) => {
  let compared: ComparedApp;
  beforeAll(async () => {
    compared = await startComparedApp(code, "cjs", { fastify: version });
  });
  afterAll(() => compared?.close());
  const spanOf: ComparedApp["spanOf"] = (path, init) => compared.spanOf(path, init);

  test.each<[string, string, RequestInit?]>([
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
  ])("%s is %s", async (path, name, init) => {
    const span = await spanOf(path, init);
    expect(span.name).toBe(name);
    expect(span.attributes["http.route"]).toBe(name.split(" ")[1]);
    expect(span.status.code).toBe("UNSET");
  });

  test.each(["/nowhere", "/api/v1/nowhere", "/version", "/things/%E0%A4%A"])("%s has no route", async (path) => {
    const span = await spanOf(path);
    expect(span.name).toBe("GET");
    expect(span.attributes).not.toHaveProperty("http.route");
    expect(span.status.code).toBe("UNSET");
  });

  test.each([
    ["onRequest", 401, []],
    ["preHandler", 403, ["not yours"]],
  ])("what %s refuses has a route", async (hook, status, messages) => {
    const span = await spanOf("/things/1", { headers: { "x-refuse": hook } });
    expect(span.name).toBe("GET /things/:id");
    expect(span.attributes["http.response.status_code"]).toBe(status);
    expect(span.attributes).not.toHaveProperty("error.type");
    expect(span.events.map(({ attributes }) => attributes["exception.message"])).toEqual(messages);
  });

  test.each([
    ["/throw", 500, "RangeError", "out of range"],
    ["/reject", 500, "Error", "rejected"],
    ["/send-error", 500, "Error", "sent"],
  ])("the error of %s is on the span", async (path, status, type, message) => {
    const span = await spanOf(path);
    expect(span.attributes).toMatchObject({ "http.response.status_code": status, "error.type": type });
    expect(span.status).toEqual({ code: "ERROR", message });
    expect(span.events.map(({ attributes }) => attributes["exception.message"])).toEqual([message]);
  });

  test("an error that an error handler answers with less than 500 is an event, and no failure", async () => {
    const handled = await spanOf("/api/v1/error");
    expect(handled.name).toBe("GET /api/:version/error");
    expect(handled.attributes["http.response.status_code"]).toBe(422);
    expect(handled.status.code).toBe("UNSET");
    expect(handled.events.map(({ attributes }) => attributes["exception.message"])).toEqual(["of the child"]);
    const invalid = await spanOf("/checked/1", {
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
    expect(await ask(compared.traced, "/report")).toEqual(await ask(compared.plain, "/report"));
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
