import { httpServerContract } from "../contract/http-server.ts";
import { expectDescribed } from "../libraries/description.ts";
import httpServer from "../libraries/http-server.ts";
import { LISTEN, SERVER_HEAD as HEAD } from "./http-server-adapters.ts";

httpServerContract(
  {
    title: "node:http",
    instrumentation: "http-server",
    code: `${HEAD}const server = require("node:http").createServer(listener); ${LISTEN}`,
    installs: [{}],
  },
  (spans) => expectDescribed(httpServer, spans),
);

httpServerContract({
  title: "node:https",
  instrumentation: "http-server",
  code: `${HEAD}const server = require("node:https").createServer(tls(), listener); ${LISTEN}`,
  installs: [{}],
  isSecure: true,
});

httpServerContract({
  title: "node:http2, asked over HTTP/1",
  instrumentation: "http-server",
  code: `${HEAD}const server = require("node:http2").createSecureServer({ ...tls(), allowHTTP1: true }, listener); ${LISTEN}`,
  installs: [{}],
  isSecure: true,
});
