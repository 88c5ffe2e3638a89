import { HTTP_CLIENT_ATTRIBUTES } from "./attributes.ts";
import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription & {
  packages: {
    readonly axios: readonly string[];
    readonly got: readonly string[];
    readonly needle: readonly string[];
    readonly "node-fetch": readonly string[];
  };
} = {
  instrumentation: "http-client",
  packages: {
    axios: ["1.21.1"],
    got: ["11.8.6", "14.6.6", "15.1.0", "16.1.0"],
    needle: ["2.9.1", "3.5.0"],
    "node-fetch": ["2.7.0", "3.3.2"],
  },
  title: "`node:http` and `node:https` as clients, and what is made of them: axios, got, node-fetch, needle",
  server: "real sockets",
  spans: "a request, each hop of a redirect, each retry",
  attributes: HTTP_CLIENT_ATTRIBUTES,
  captured:
    "bodies as text (gzip, deflate, br and zstd decoded; of multipart the names, types and sizes of the parts; other types by size), a few headers, the time of each phase",
  limits: [
    "On Node 20 a request whose agent has an `addRequest` of its own (agent-base before 7), or none, starts when its headers go.",
    "A response nobody reads ends three seconds after it stopped moving, a stream of events five seconds after its headers.",
    "needle's timeouts are calls of `abort()`: requests given up, not failures.",
  ],
};
export default description;
