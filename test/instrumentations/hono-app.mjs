// The application of hono.test.ts.
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";

const app = new Hono();
const answer = (c) => c.json({ params: c.req.param(), trail: c.get("trail"), route: c.req.routePath });

app.use(async (c, next) => {
  c.set("trail", ["all"]);
  await next();
});
app.use("/things/*", async (c, next) => {
  if (c.req.header("x-refuse") === "yes") return c.text("not yours", 403);
  c.get("trail").push("things");
  await next();
});
app.get("/", answer);
app.get("/things/:id", answer);
app.get("/files/*", answer);
app.all("/any", answer);
app.get("/async/:id", async (c) => answer(c));
app.get(
  "/chain/:id",
  async (c, next) => {
    c.get("trail").push("chain");
    await next();
  },
  answer,
);
app.get("/throw", () => {
  throw new RangeError("out of range");
});
app.get("/reject", async () => {
  throw new Error("rejected");
});
app.get("/forbidden", async () => {
  throw new HTTPException(403, { message: "not yours" });
});
app.get("/routes", (c) => c.json(app.routes.map(({ method, path, handler }) => [method, path, handler.name])));
app.post("/echo", async (c) => c.json(await c.req.json()));

const users = new Hono().basePath("/:user");
users.get("/posts/:post", answer);
users.get("/fail", async () => {
  throw new Error("of a user");
});
users.onError((error, c) => c.text(`sorry: ${error.message}`, 422));
app.route("/users", users);

app.onError((error, c) => (error instanceof HTTPException ? error.getResponse() : c.text(error.message, 500)));

serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, ({ port }) => console.log(`listening ${port}`));
