// The application of koa.test.ts, for koa 2 and 3 with any of their routers.
const Koa = require("koa");
const mount = require("koa-mount");
const route = require("koa-route");
const Router = require(isInstalled("@koa/router") ? "@koa/router" : "koa-router");

const app = new Koa();
app.silent = true;
const errors = [];
app.on("error", (error) => errors.push(error.message));

// What is seen of a context, with and without the preload.
const answer = (ctx) => {
  ctx.body = { params: ctx.params, matched: String(ctx._matchedRoute), path: String(ctx.routePath), trail: ctx.trail };
};
const trail = (name) => (ctx, next) => {
  (ctx.trail ??= []).push(name);
  return next();
};

app.use(async (ctx, next) => {
  try {
    await next();
  } catch (error) {
    if (error.message !== "handled") throw error;
    ctx.status = 422;
    ctx.body = error.message;
  }
});

const router = new Router();
router.use(trail("router"));
router.use((ctx, next) => {
  if (ctx.get("x-refuse") === "yes") return ctx.throw(403, "not yours");
  return next();
});
router.get("/", answer);
router.get("/things/:id", answer);
router.get("named", "/named/:id", answer);
router.all("/any", answer);
router.get(/^\/list-of-(\w+)$/, answer);
router.get("/passed/:id", (ctx, next) => next());
router.get("/throw", () => {
  throw new RangeError("out of range");
});
router.get("/reject", async () => {
  throw new Error("rejected");
});
router.get("/handled", async () => {
  throw new Error("handled");
});
router.get("/not-an-error", async () => {
  throw "a text";
});
router.get("/stream", (ctx) => {
  ctx.respond = false;
  ctx.res.end("by hand");
});
router.get("/errors", (ctx) => {
  ctx.body = errors;
});

const posts = new Router();
posts.get("/", answer);
posts.get("/:post", answer);
const users = new Router({ prefix: "/users/:user" });
users.use(trail("users"));
users.get("/", answer);
users.use("/posts", posts.routes(), posts.allowedMethods());
router.use(users.routes());

const second = new Router();
second.get("/passed/:other", answer);
second.get("/second/:id", answer);

const mounted = new Koa();
const inner = new Router();
inner.get("/in/:x", answer);
mounted.use(inner.routes());

app.use(router.routes());
app.use(router.allowedMethods());
app.use(second.routes());
app.use(mount("/mounted", mounted));
app.use(route.get("/plain/:id", (ctx) => answer(ctx)));

const server = app.listen(0, "127.0.0.1", () => console.log(`listening ${server.address().port}`));

function isInstalled(name) {
  try {
    return require.resolve(name) !== "";
  } catch {
    return false;
  }
}
