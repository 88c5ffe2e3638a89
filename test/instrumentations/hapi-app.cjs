// The application of hapi.test.ts, for @hapi/hapi 20 and 21.
const Hapi = require("@hapi/hapi");

const server = Hapi.server({ port: 0, host: "127.0.0.1", debug: false });
const events = [];
server.events.on({ name: "request", channels: "error" }, (request, { error }) => {
  events.push([request.route.path, error.message]);
});

const handler = (request) => ({ params: request.params, route: request.route.path, trail: request.app.trail });

server.ext("onRequest", (request, h) => {
  if (request.headers["x-refuse"] === "onRequest") return h.response("who are you?").code(401).takeover();
  return h.continue;
});
server.ext("onPreHandler", (request, h) => {
  if (request.headers["x-refuse"] === "onPreHandler") throw new Error("not yours");
  request.app.trail = ["onPreHandler"];
  return h.continue;
});
server.ext("onPreResponse", (request, h) => {
  const { response } = request;
  if (response.isBoom && response.message === "handled") return h.response("handled").code(422);
  return h.continue;
});

server.route({ method: "GET", path: "/", handler });
server.route({ method: "GET", path: "/things/{id}", handler });
server.route({ method: "GET", path: "/files/{path*}", handler });
server.route({ method: "*", path: "/any", handler });
server.route({ method: "GET", path: "/only/{id?}", handler });
server.route({
  method: "GET",
  path: "/throw",
  handler() {
    throw new RangeError("out of range");
  },
});
server.route({
  method: "GET",
  path: "/reject",
  handler: async () => {
    throw new Error("rejected");
  },
});
server.route({
  method: "GET",
  path: "/handled",
  handler() {
    throw new Error("handled");
  },
});
server.route({ method: "GET", path: "/events", handler: () => events });
server.route({
  method: "GET",
  path: "/abandoned",
  handler(request, h) {
    request.raw.res.end("by hand");
    return h.abandon;
  },
});

async function start() {
  const plugin = {
    name: "users",
    register: (scope) => scope.route({ method: "GET", path: "/{user}/posts/{post}", handler }),
  };
  await server.register({ plugin }, { routes: { prefix: "/users" } });
  await server.start();
  console.log(`listening ${server.info.port}`);
}
start();
