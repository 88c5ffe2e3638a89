import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import hapi from "../libraries/hapi.ts";
import { ask, type ComparedApp, startComparedApp } from "../support/compared-app.ts";

const code = readFileSync(join(import.meta.dirname, "hapi-app.cjs"), "utf8");
const versions = hapi.packages["@hapi/hapi"];

describe.each(versions.map((version) => ({ version })))("@hapi/hapi $version", ({ version }) => {
  let compared: ComparedApp;
  beforeAll(async () => {
    compared = await startComparedApp(code, "cjs", { "@hapi/hapi": version });
  });
  afterAll(() => compared?.close());

  test.each<[string, string, RequestInit?]>([
    ["/", "GET /"],
    ["/?a=b", "GET /"],
    ["/things/1", "GET /things/{id}"],
    ["/things/1", "HEAD /things/{id}", { method: "HEAD" }],
    ["/files/a/b", "GET /files/{path*}"],
    ["/any", "DELETE /any", { method: "DELETE" }],
    ["/only", "GET /only/{id?}"],
    ["/users/42/posts/7", "GET /users/{user}/posts/{post}"],
    ["/abandoned", "GET /abandoned"],
  ])("%s is %s", async (path, name, init) => {
    const span = await compared.spanOf(path, init);
    expect(span.name).toBe(name);
    expect(span.attributes["http.route"]).toBe(name.split(" ")[1]);
    expect([span.status.code, span.events]).toEqual(["UNSET", []]);
  });

  test.each<[string, number, RequestInit?]>([
    ["/nowhere", 404],
    ["/things/%E0%A4%A", 400],
    ["/things/1", 401, { headers: { "x-refuse": "onRequest" } }],
  ])("%s has no route where it is answered with %i", async (path, status, init) => {
    const span = await compared.spanOf(path, init);
    expect(span.name).toBe("GET");
    expect(span.attributes).not.toHaveProperty("http.route");
    expect(span.attributes["http.response.status_code"]).toBe(status);
    expect(span.status.code).toBe("UNSET");
  });

  test.each<[string, string, string, RequestInit?]>([
    ["/throw", "RangeError", "out of range"],
    ["/reject", "Error", "rejected"],
    ["/things/1", "Error", "not yours", { headers: { "x-refuse": "onPreHandler" } }],
  ])("the error of %s is on the span: %s, %s", async (path, type, message, init) => {
    const span = await compared.spanOf(path, init);
    expect(span.attributes).toMatchObject({ "http.response.status_code": 500, "error.type": type });
    expect(span.status).toEqual({ code: "ERROR", message });
    expect(span.events.map(({ attributes }) => attributes["exception.message"])).toEqual([message]);
  });

  test("an error that an extension answers with less than 500 is an event, and no failure", async () => {
    const span = await compared.spanOf("/handled");
    expect(span.attributes).toMatchObject({ "http.response.status_code": 422, "http.route": "/handled" });
    expect(span.status.code).toBe("UNSET");
    expect(span.events.map(({ attributes }) => attributes["exception.message"])).toEqual(["handled"]);
  });

  test("the server's own events are as they were", async () => {
    expect(await ask(compared.traced, "/events")).toEqual(await ask(compared.plain, "/events"));
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
