import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ask, type ComparedApp, startComparedApp } from "../support/compared-app.ts";
import { installLibraries } from "../support/library.ts";
import { startOtlpReceiver } from "../support/otlp-receiver.ts";
import express from "../libraries/express.ts";
import { runApp } from "../support/run-app.ts";

const code = readFileSync(join(import.meta.dirname, "express-app.cjs"), "utf8");

describe.each(express.packages["express"].map((version) => ({ version })))("express $version", ({ version }) => {
  let compared: ComparedApp;
  beforeAll(async () => {
    compared = await startComparedApp(code, "cjs", { express: version });
  });
  afterAll(() => compared?.close());
  const spanOf: ComparedApp["spanOf"] = (path, init) => compared.spanOf(path, init);

  test.each([
    ["/", "/"],
    ["/?q=1", "/"],
    ["/hello/bob", "/hello/:name"],
    ["/hello/bob/", "/hello/:name"],
    ["/things/1", "/things/:id"],
    ["/list", "/list"],
    ["/list/7?a=b", "/list/:id"],
    ["/list-of-all", "/^\\/list-of-(\\w+)$/"],
    ["/files/a/b.txt", "/^\\/files\\/(.*)$/"],
    ["/items/1", "/items/:item"],
    ["/skip/1", "/skip/:other"],
    ["/users/42", "/users/:id"],
    ["/users/42/posts", "/users/:id/posts"],
    ["/users/42/posts/7", "/users/:id/posts/:post"],
    ["/users/a%20b/articles/7?x=/y", "/users/:id/articles/:post"],
    ["/same/42/articles", "/same/:id/articles"],
    ["/later/42/posts/1", "/later/:id/posts/:post"],
    ["/acme/private/data", "/acme/private/data"],
    ["/app/in/1", "/app/in/:x"],
    ["/application/2/in/1", "/application/:version/in/:x"],
  ])("%s is answered by %s", async (path, route) => {
    const span = await spanOf(path);
    expect(span.name).toBe(`GET ${route}`);
    expect(span.attributes["http.route"]).toBe(route);
    expect(span.status.code).toBe("UNSET");
  });

  test.each([
    ["/nowhere", 404],
    ["/users/42/nothing-here", 404],
    ["/users/leave", 404],
    ["/guarded/thing", 404],
    ["/only-post", 404],
    ["/throw-undefined", 404],
    ["/hello/%E0%A4%A", 400],
  ])("%s has no route", async (path, status) => {
    const span = await spanOf(path);
    expect(span.name).toBe("GET");
    expect(span.attributes).not.toHaveProperty("http.route");
    expect(span.attributes["http.response.status_code"]).toBe(status);
    expect(span.status.code).toBe("UNSET");
  });

  test("HEAD is answered by the route for GET", async () => {
    expect((await spanOf("/users/42", { method: "HEAD" })).name).toBe("HEAD /users/:id");
  });

  test("requests at the same time keep their own routes", async () => {
    compared.receiver.reset();
    const numbers = Array.from({ length: 12 }, (_, index) => index);
    await Promise.all(
      numbers.flatMap((number) => [
        ask(compared.traced, `/slow/${number}`),
        ask(compared.traced, `/users/${number}/posts/${number}`),
      ]),
    );
    const spans = await compared.receiver.waitForSpans(24);
    for (const { attributes } of spans) {
      const path = attributes["url.path"] as string;
      expect(attributes["http.route"]).toBe(path.startsWith("/slow") ? "/slow/:id" : "/users/:id/posts/:post");
    }
  });

  test.each([
    ["/throw", "/throw", 500, "RangeError", "out of range"],
    ["/next-error", "/next-error", 500, "Error", "passed on"],
    ["/reject", "/reject", 500, "Error", "rejected"],
    ["/users/1/posts/2/error", "/users/:id/posts/:post/error", 500, "TypeError", "no such post"],
    ["/last/one", undefined, 500, "Error", "last"],
  ])("the error of %s is on the span", async (path, route, status, type, message) => {
    const span = await spanOf(path);
    expect(span.attributes).toMatchObject({ "http.response.status_code": status, "error.type": type });
    expect(span.attributes["http.route"]).toBe(route);
    expect(span.status).toEqual({ code: "ERROR", message });
    expect(span.events).toHaveLength(1);
    expect(span.events[0]?.attributes).toMatchObject({
      "exception.type": type,
      "exception.message": message,
      "exception.stacktrace": expect.stringContaining("app.cjs"),
    });
  });

  test("an error that is answered with less than 500 is an event, and no failure", async () => {
    for (const [path, status] of [
      ["/not-allowed", 403],
      ["/mended", 200],
    ] as const) {
      const span = await spanOf(path);
      expect(span.status.code).toBe("UNSET");
      expect(span.attributes["http.response.status_code"]).toBe(status);
      expect(span.attributes).not.toHaveProperty("error.type");
      expect(span.events.map(({ name }) => name)).toEqual(["exception"]);
    }
  });

  test("a body that is no JSON is the parser's error", async () => {
    const span = await spanOf("/users/1", {
      method: "POST",
      body: "{",
      headers: { "content-type": "application/json" },
    });
    expect(span.name).toBe("POST");
    expect(span.attributes["http.response.status_code"]).toBe(400);
    expect(span.events).toHaveLength(1);
  });

  test("an error after the headers closes the connection and fails the span", async () => {
    const span = await spanOf("/late-error");
    expect(span.status).toEqual({ code: "ERROR", message: "too late" });
    expect(span.attributes).toMatchObject({
      "http.route": "/late-error",
      "http.response.status_code": 200,
      "tracekit.http.aborted": true,
      "error.type": "Error",
    });
  });

  test("what the application sets itself stays", async () => {
    compared.receiver.reset();
    await ask(compared.traced, "/named?name=mine");
    const [span] = await compared.receiver.waitForSpans(1);
    expect(span?.name).toBe("mine");
    expect(span?.attributes).toMatchObject({ "http.route": "/of-mine", "http.response.status_code": 299 });
  });

  test("an unsampled request has no span and is answered the same", async () => {
    compared.receiver.reset();
    const headers = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00" };
    expect(await ask(compared.traced, "/users/1/posts/2", { headers })).toEqual(
      await ask(compared.plain, "/users/1/posts/2"),
    );
    await ask(compared.traced, "/hello/marker");
    expect((await compared.receiver.waitForSpans(1)).map(({ name }) => name)).toEqual(["GET /hello/:name"]);
  });
});

test("an ES module's express is the same", async () => {
  const receiver = await startOtlpReceiver();
  const version = express.packages.express.at(-1) ?? "";
  const libraries = await installLibraries({ express: version });
  const { code: exitCode, stderr } = await runApp({
    libraries,
    code: `
      import express, { Router } from "express";
      const router = Router();
      router.get("/b/:c", (request, response) => response.send("ok"));
      const server = express().use("/:a", router).listen(0, async () => {
        console.log(await (await fetch("http://127.0.0.1:" + server.address().port + "/x/b/y")).text());
        server.close();
      });`,
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url },
  });
  expect({ code: exitCode, stderr }).toMatchObject({
    code: 0,
    stderr: expect.not.stringContaining("no longer traced"),
  });
  const spans = await receiver.waitForSpans((received) => received.some(({ kind }) => kind === "SERVER"));
  expect(spans.find(({ kind }) => kind === "SERVER")?.name).toBe("GET /:a/b/:c");
  await receiver.close();
});
