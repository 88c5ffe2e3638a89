import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription & { packages: { readonly fastify: readonly string[] } } = {
  instrumentation: "fastify",
  packages: { fastify: ["4.0.0", "4.29.1", "5.12.8"] },
  server: "real sockets",
  spans: "none of its own: the server's span gets the route and the error it is answered for",
  attributes: ["http.route", "error.type"],
  captured: "routes with their prefixes, errors",
  limits: ["A URL it cannot decode has no route."],
};

export default description;
