import { HTTP_CLIENT_ATTRIBUTES } from "./attributes.ts";
import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription = {
  instrumentation: "http2",
  packages: {},
  title: "`node:http2`, both sides: streams and the compatibility API",
  server: "real sockets",
  spans: "a request, on either side",
  attributes: [
    ...HTTP_CLIENT_ATTRIBUTES,
    "client.address",
    "url.path",
    "url.query",
    "url.scheme",
    "user_agent.original",
  ],
  captured:
    "bodies as text (gzip, deflate, br and zstd decoded; of multipart the names, types and sizes of the parts; other types by size), a few headers, the time of each phase",
  limits: [
    "A pushed stream has no span of its own.",
    "The body of `respondWithFile` and `respondWithFD` is not seen.",
    "A session made with `performServerHandshake` is traced once a server of node:http2 has had a connection.",
  ],
};
export default description;
