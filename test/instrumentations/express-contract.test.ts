import { httpServerContract } from "../contract/http-server.ts";
import express from "../libraries/express.ts";
import { LISTEN, SERVER_HEAD as HEAD } from "./http-server-adapters.ts";

httpServerContract({
  title: "express",
  instrumentation: "http-server",
  code: `${HEAD}const app = require("express")();
    app.disable("x-powered-by");
    for (const [method, path, handle] of ROUTES) app[method.toLowerCase()](path, (request, response) => handle(toExchange(request, response)));
    const server = require("node:http").createServer(app); ${LISTEN}`,
  installs: express.packages.express.map((version) => ({ express: version })),
  hasRoutes: true,
});

httpServerContract({
  title: "router by itself",
  instrumentation: "http-server",
  code: `${HEAD}const router = require("router")();
    for (const [method, path, handle] of ROUTES) router[method.toLowerCase()](path, (request, response) => handle(toExchange(request, response)));
    const server = require("node:http").createServer((request, response) => router(request, response, () => response.writeHead(404).end())); ${LISTEN}`,
  installs: express.packages.router.map((version) => ({ router: version })),
  hasRoutes: true,
});
