import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription = {
  instrumentation: "http-server",
  packages: {},
  title: "`node:http` and `node:https` servers",
  server: "real sockets",
  spans: "a request; an upgrade (WebSocket) or CONNECT, until it is answered",
  attributes: [
    "client.address",
    "http.request.body.content",
    "http.request.body.size",
    "http.request.header.<name>",
    "http.request.method",
    "http.request.method_original",
    "http.response.body.content",
    "http.response.body.size",
    "http.response.header.<name>",
    "http.response.status_code",
    "network.peer.address",
    "network.peer.port",
    "network.protocol.version",
    "server.address",
    "server.port",
    "tracekit.http.aborted",
    "tracekit.http.request.body.parts",
    "tracekit.http.response.body.parts",
    "tracekit.http.streaming",
    "url.path",
    "url.query",
    "url.scheme",
    "user_agent.original",
  ],
  captured:
    "bodies as text (gzip, deflate, br and zstd decoded; of multipart the names, types and sizes of the parts; other types by size), a few headers",
  limits: [
    "Requests the parser refuses have no span.",
    "A stream of events (`text/event-stream`) is not held open: its span ends five seconds after the first one.",
    "A body coded twice has a size only, and so has one when more are sent than can be decoded beside the application.",
  ],
};
export default description;
