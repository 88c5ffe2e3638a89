import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription & {
  packages: {
    readonly koa: readonly string[];
    readonly "@koa/router": readonly string[];
    readonly "koa-router": readonly string[];
  };
} = {
  instrumentation: "koa",
  packages: {
    koa: ["2.0.0", "2.16.4", "3.3.0"],
    "@koa/router": ["8.0.8", "15.7.0"],
    "koa-router": ["7.4.0", "14.0.0"],
  },
  server: "real sockets",
  spans: "none of its own: the server's span gets the route and the error it is answered for",
  attributes: ["http.route", "error.type"],
  captured: "routes of `@koa/router`, `koa-router` and `koa-route` with their prefixes, errors",
  limits: ["Other routers' routes are not known."],
};

export default description;
