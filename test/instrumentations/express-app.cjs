// The application of express.test.ts, for Express 4 and 5: most of the ways in which an application can be routed. Every
// answer tells what the handler saw, so that a run without the preload can be compared.
const express = require("express");
const { trace } = require("@opentelemetry/api");

const isVersion4 = "lazyrouter" in express.application;
const sawPath = (request, response) => {
  const { baseUrl, path, originalUrl, params, route } = request;
  response.json({ baseUrl, path, originalUrl, params, route: route && String(route.path), trail: request.trail });
};
const pass = (request, response, next) => {
  (request.trail ??= []).push(request.baseUrl);
  next();
};

const app = express();
app.set("env", "test");
app.use(express.json());
app.use(pass);

app.get("/", sawPath);
app.get("/hello/:name/", sawPath);
app.route("/things/:id").all(pass).get(sawPath).put(sawPath);
app.get(["/list", ["/list/:id", /^\/list-of-(\w+)$/]], sawPath);
app.get(/^\/files\/(.*)$/, sawPath);
app.get("/slow/:id", (request, response) => setTimeout(sawPath, 30 - 2 * request.params.id, request, response));
app.param("item", (request, response, next) => setImmediate(next));
app.get("/items/:item", pass, sawPath);
app.get("/skip/:n", (request, response, next) => next("route"));
app.get("/skip/:other", sawPath);
app.post("/only-post", sawPath);
app.get("/named", (request, response) => {
  if (request.query.name) trace.getActiveSpan().updateName(request.query.name);
  trace.getActiveSpan()?.setAttribute("http.route", "/of-mine").setAttribute("http.response.status_code", 299);
  sawPath(request, response);
});

const posts = express.Router({ mergeParams: true });
posts.get("/", sawPath);
posts.get("/:post", sawPath);
posts.get("/:post/error", () => {
  throw new TypeError("no such post");
});
const users = express.Router();
users.use("/:id/nothing-here", express.Router());
users.use(pass);
users.use(["/:id/posts", "/:id/articles"], pass, posts);
users.get("/leave", (request, response, next) => next("router"));
users.get("/:id", sawPath);
app.use("/users", users);
app.use("/:tenant/private", pass);
app.get("/acme/private/data", sawPath);
app.use("/same", users);
app.use("/later", (request, response, next) => setTimeout(users, 5, request, response, next));

const inner = express();
inner.use(pass);
inner.get("/in/:x", sawPath);
app.use(["/app", "/application/:version"], inner);

// What falls through a route is not answered by it.
app.all("/guarded/*".replace("*", isVersion4 ? "*" : "*rest"), pass);

app.get("/throw", () => {
  throw Object.assign(new RangeError("out of range"), { token: "s3cr3t" });
});
app.get("/throw-undefined", () => {
  throw undefined;
});
app.get("/next-error", (request, response, next) => setTimeout(next, 1, new Error("passed on")));
app.get("/reject", async (request, response, next) => {
  if (isVersion4) return next(new Error("rejected"));
  throw new Error("rejected");
});
app.get("/not-allowed", (request, response, next) => next(Object.assign(new Error("not yours"), { status: 403 })));
app.get("/late-error", (request, response, next) => {
  response.write("begun");
  setTimeout(next, 20, new Error("too late"));
});
app.get("/mended", (request, response, next) => next(new Error("mended")));
app.use((error, request, response, next) => {
  if (request.path === "/mended") response.status(200).send("never mind");
  else next(error);
});

// A middleware's error, and no error handler behind it.
app.use("/last/:resort", () => {
  throw new Error("last");
});

const server = app.listen(0, "127.0.0.1", () => console.log(`listening ${server.address().port}`));
