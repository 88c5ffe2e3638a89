import { httpServerContract } from "../contract/http-server.ts";
import koa from "../libraries/koa.ts";
import { LISTEN, SERVER_HEAD as HEAD } from "./http-server-adapters.ts";

const [oldest = "", , newest = ""] = koa.packages.koa;
const [router7 = ""] = koa.packages["koa-router"];
const newestRouter = koa.packages["@koa/router"].at(-1) ?? "";

const KOA = (router: string): string => `${HEAD}const app = new (require("koa"))();
    const router = new (require("${router}"))();
    for (const [method, path, handle] of ROUTES) router[method.toLowerCase()](path, (ctx) => {
      ctx.respond = false;
      ctx.res.statusCode = 200;
      return handle(toExchange(ctx.req, ctx.res));
    });
    app.silent = true;
    app.use(router.routes());
    const server = require("node:http").createServer(app.callback()); ${LISTEN}`;

httpServerContract({
  title: "koa with koa-router",
  instrumentation: "http-server",
  code: KOA("koa-router"),
  installs: [{ koa: oldest, "koa-router": router7 }],
  hasRoutes: true,
});

httpServerContract({
  title: "koa with @koa/router",
  instrumentation: "http-server",
  code: KOA("@koa/router"),
  installs: [{ koa: newest, "@koa/router": newestRouter }],
  hasRoutes: true,
});
