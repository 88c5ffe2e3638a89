import { httpServerContract } from "../contract/http-server.ts";
import hono from "../libraries/hono.ts";
import { SERVER_HEAD as HEAD } from "./http-server-adapters.ts";

httpServerContract({
  title: "hono",
  instrumentation: "http-server",
  code: `${HEAD}const { serve } = require("@hono/node-server");
    const { RESPONSE_ALREADY_SENT } = require("@hono/node-server/utils/response");
    const app = new (require("hono").Hono)();
    for (const [method, path, handle] of ROUTES) app.on(method, path, async (c) => {
      await handle(toExchange(c.env.incoming, c.env.outgoing));
      return RESPONSE_ALREADY_SENT;
    });
    serve({ fetch: app.fetch, port: 0, hostname: "localhost" }, announce);`,
  installs: [{ hono: hono.packages.hono.at(-1) ?? "", "@hono/node-server": "2.1.8" }],
  hasRoutes: true,
});
