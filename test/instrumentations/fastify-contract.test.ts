import { httpServerContract } from "../contract/http-server.ts";
import fastify from "../libraries/fastify.ts";
import { SERVER_HEAD as HEAD } from "./http-server-adapters.ts";

const FASTIFY = (options: string): string => `${HEAD}const app = require("fastify")(${options});
    app.removeAllContentTypeParsers();
    app.addContentTypeParser("*", (request, payload, done) => done(null));
    for (const [method, url, handle] of ROUTES) app.route({ method, url, handler(request, reply) {
      reply.hijack();
      return handle(toExchange(request.raw, reply.raw));
    } });
    app.listen({ port: 0, host: "localhost" }).then(() => announce(app.server.address()));`;

httpServerContract({
  title: "fastify",
  instrumentation: "http-server",
  code: FASTIFY(""),
  installs: fastify.packages.fastify.map((version) => ({ fastify: version })),
  hasRoutes: true,
});

httpServerContract({
  title: "fastify over HTTP/2",
  instrumentation: "http2",
  code: FASTIFY("{ http2: true }"),
  installs: [{ fastify: "4.29.1" }, { fastify: "5.12.8" }],
  protocol: "2",
  hasRoutes: true,
});
