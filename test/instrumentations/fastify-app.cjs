// The application of fastify.test.ts, for fastify 4 and 5. Every answer tells in which order the hooks ran, so that a run
// without the preload can be compared.
const Fastify = require("fastify");

const app = Fastify({ forceCloseConnections: true });
const warnings = [];
process.on("warning", (warning) => warnings.push(String(warning)));
const registered = [];
app.addHook("onRoute", ({ method, url, onRequest, onError }) => {
  registered.push([method, url, onRequest?.length, onError?.length]);
});

const trail = (name) => async (request) => {
  (request.trail ??= []).push(name);
};
const answer = async (request) => ({ trail: request.trail, params: request.params, errors: request.errors });

app.addHook("onRequest", trail("onRequest"));
app.addHook("onRequest", (request, reply, done) => {
  if (request.headers["x-refuse"] === "onRequest") return void reply.code(401).send("who are you?");
  done();
});
app.addHook("preHandler", async (request) => {
  if (request.headers["x-refuse"] === "preHandler") throw Object.assign(new Error("not yours"), { statusCode: 403 });
});
app.addHook("onError", async (request, reply, error) => {
  (request.errors ??= []).push(error.message);
});

app.get("/", answer);
app.get("/things/:id", answer);
app.get("/files/*", answer);
app.all("/any", answer);
app.get("/version", { constraints: { version: "1.2.0" } }, answer);
app.post("/checked/:id", {
  schema: { body: { type: "object", required: ["name"], properties: { name: { type: "string" } } } },
  handler: answer,
});
app.get("/throw", () => {
  throw new RangeError("out of range");
});
app.get("/reject", async () => {
  throw new Error("rejected");
});
app.get("/send-error", (request, reply) => {
  reply.send(new Error("sent"));
});
app.get("/callback", (request, reply) => {
  setTimeout(() => reply.send({ late: true }), 5);
});
app.get("/hijacked", (request, reply) => {
  reply.hijack();
  reply.raw.end("by hand");
});
app.get("/report", async () => ({ registered, warnings, hooks: app.printRoutes().includes("tracekit") }));

app.register(
  async (child) => {
    child.addHook("onRequest", trail("child"));
    child.setErrorHandler(async (error, request, reply) => {
      reply.code(422);
      return { handled: error.message, errors: request.errors };
    });
    child.setNotFoundHandler(async (request, reply) => {
      reply.code(404);
      return { lost: request.trail };
    });
    child.get("/inner/:x", answer);
    child.get("/error", async () => {
      throw new Error("of the child");
    });
    await child.register(async (grandchild) => grandchild.get("/deep/:y", answer), { prefix: "/:z" });
  },
  { prefix: "/api/:version" },
);

app.listen({ port: 0, host: "127.0.0.1" }).then(() => console.log(`listening ${app.server.address().port}`));
