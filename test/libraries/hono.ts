import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription & { packages: { readonly hono: readonly string[] } } = {
  instrumentation: "hono",
  packages: { hono: ["4.0.0", "4.13.19"] },
  server: "real sockets, through `@hono/node-server`",
  spans: "none of its own: the server's span gets the route and the error its handler failed with",
  attributes: ["http.route", "error.type"],
  captured: "routes with their base paths, errors of handlers",
  limits: [
    "A router of the application's own is not watched.",
    "Errors of middleware are not recorded, nor those that an application within another one answers itself.",
  ],
};

export default description;
