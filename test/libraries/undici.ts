import { HTTP_CLIENT_ATTRIBUTES } from "./attributes.ts";
import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription & { packages: { readonly undici: readonly string[] } } = {
  instrumentation: "undici",
  packages: {
    undici: ["5.0.0", "5.29.0", "6.0.0", "6.29.1", "7.30.2", "8.12.4"],
  },
  title: "undici, and the `fetch` that Node makes of it",
  server: "real sockets",
  spans: "a request, each hop of a redirect, each retry",
  attributes: HTTP_CLIENT_ATTRIBUTES,
  captured:
    "bodies as text (gzip, deflate, br and zstd decoded; of multipart the names, types and sizes of the parts; other types by size), a few headers, the time of each phase",
  limits: [
    "What a `MockAgent` answers has no span: nothing is sent.",
    "Over HTTP/2, undici 6 tells neither peer nor phases, and undici 5 drops the trace context.",
    "The body phase of a response nobody reads is the time until undici's buffers are full.",
  ],
};
export default description;
