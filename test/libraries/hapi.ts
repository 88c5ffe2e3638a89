import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription & { packages: { readonly "@hapi/hapi": readonly string[] } } = {
  instrumentation: "hapi",
  packages: { "@hapi/hapi": ["20.2.0", "20.3.0", "21.4.10"] },
  server: "real sockets",
  spans: "none of its own: the server's span gets the route and the error it is answered for",
  attributes: ["http.route", "error.type"],
  captured: "routes with their prefixes, errors",
  limits: ["What an `onRequest` extension answers has no route."],
};

export default description;
