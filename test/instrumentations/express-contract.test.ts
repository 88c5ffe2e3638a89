import { httpServerContract } from "../contract/http-server.ts";
import { LISTEN, SERVER_HEAD as HEAD } from "./http-server-adapters.ts";

httpServerContract({
  title: "express",
  instrumentation: "http-server",
  code: `${HEAD}const app = require("express")();
    app.disable("x-powered-by");
    for (const [method, path, handle] of ROUTES) app[method.toLowerCase()](path, (request, response) => handle(toExchange(request, response)));
    const server = require("node:http").createServer(app); ${LISTEN}`,
  installs: [{ express: "4.16.4" }, { express: "4.22.3" }, { express: "5.3.0" }],
  hasRoutes: true,
});
