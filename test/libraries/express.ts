import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription & {
  packages: { readonly express: readonly string[]; readonly router: readonly string[] };
} = {
  instrumentation: "express",
  packages: { express: ["4.16.0", "4.22.3", "5.3.0"], router: ["2.0.0", "2.3.0"] },
  server: "real sockets",
  spans: "none of its own: the server's span gets the route and the error it is answered for",
  attributes: ["http.route", "error.type"],
  captured: "routes with their mount paths, errors",
  limits: ["A route given as a regular expression is written as one."],
};

export default description;
