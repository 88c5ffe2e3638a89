import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { routesContract } from "../contract/routes.ts";
import { ask, type ComparedApp } from "../support/compared-app.ts";
import { installLibraries } from "../support/library.ts";
import { startOtlpReceiver } from "../support/otlp-receiver.ts";
import express from "../libraries/express.ts";
import { runApp } from "../support/run-app.ts";

const code = readFileSync(join(import.meta.dirname, "express-app.cjs"), "utf8");

describe.each(express.packages["express"].map((version) => ({ version })))("express $version", ({ version }) => {
  const compared = routesContract({
    code,
    type: "cjs",
    versions: { express: version },
    routes: [
      ["/", "GET /"],
      ["/?q=1", "GET /"],
      ["/hello/bob", "GET /hello/:name"],
      ["/hello/bob/", "GET /hello/:name"],
      ["/things/1", "GET /things/:id"],
      ["/list", "GET /list"],
      ["/list/7?a=b", "GET /list/:id"],
      ["/list-of-all", "GET /^\\/list-of-(\\w+)$/"],
      ["/files/a/b.txt", "GET /^\\/files\\/(.*)$/"],
      ["/items/1", "GET /items/:item"],
      ["/skip/1", "GET /skip/:other"],
      ["/users/42", "GET /users/:id"],
      ["/users/42/posts", "GET /users/:id/posts"],
      ["/users/42/posts/7", "GET /users/:id/posts/:post"],
      ["/users/a%20b/articles/7?x=/y", "GET /users/:id/articles/:post"],
      ["/same/42/articles", "GET /same/:id/articles"],
      ["/later/42/posts/1", "GET /later/:id/posts/:post"],
      ["/acme/private/data", "GET /acme/private/data"],
      ["/app/in/1", "GET /app/in/:x"],
      ["/application/2/in/1", "GET /application/:version/in/:x"],
      ["/users/42", "HEAD /users/:id", { method: "HEAD" }],
    ],
    unrouted: [
      ["/nowhere", 404],
      ["/users/42/nothing-here", 404],
      ["/users/leave", 404],
      ["/guarded/thing", 404],
      ["/only-post", 404],
      ["/throw-undefined", 404],
      ["/hello/%E0%A4%A", 400],
    ],
    errors: [
      ["/throw", "RangeError", "out of range"],
      ["/next-error", "Error", "passed on"],
      ["/reject", "Error", "rejected"],
      ["/users/1/posts/2/error", "TypeError", "no such post"],
      ["/last/one", "Error", "last"],
    ],
    handled: [
      ["/not-allowed", "GET /not-allowed", 403, ["not yours"]],
      ["/mended", "GET /mended", 200, ["mended"]],
    ],
    together: ["/slow/:id", "/users/:id/posts/:post"],
  });
  const spanOf: ComparedApp["spanOf"] = (path, init) => compared().spanOf(path, init);

  test.each([
    ["/throw", "/throw"],
    ["/next-error", "/next-error"],
    ["/reject", "/reject"],
    ["/users/1/posts/2/error", "/users/:id/posts/:post/error"],
    ["/last/one", undefined],
  ])("the error of %s has the route that failed", async (path, route) => {
    expect((await spanOf(path)).attributes["http.route"]).toBe(route);
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
    compared().receiver.reset();
    await ask(compared().traced, "/named?name=mine");
    const [span] = await compared().receiver.waitForSpans(1);
    expect(span?.name).toBe("mine");
    expect(span?.attributes).toMatchObject({ "http.route": "/of-mine", "http.response.status_code": 299 });
  });

  test("an unsampled request has no span and is answered the same", async () => {
    compared().receiver.reset();
    const headers = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00" };
    expect(await ask(compared().traced, "/users/1/posts/2", { headers })).toEqual(
      await ask(compared().plain, "/users/1/posts/2"),
    );
    await ask(compared().traced, "/hello/marker");
    expect((await compared().receiver.waitForSpans(1)).map(({ name }) => name)).toEqual(["GET /hello/:name"]);
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
