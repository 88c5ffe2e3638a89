import { httpClientContract } from "../contract/http-client.ts";
import { AXIOS, GOT, NEEDLE, NODE_FETCH, NODE_HTTP } from "./http-client-adapters.ts";

httpClientContract({
  title: "node:http",
  instrumentation: "http-client",
  code: NODE_HTTP,
  installs: [{}],
  alsoCommonJs: true,
  abilities: ["redirect", "abort", "timeout", "socket", "proxy", "tunnel", "expect", "trailers", "endless"],
  timeoutType: /^timeout$/,
});

httpClientContract({
  title: "axios",
  instrumentation: "http-client",
  code: AXIOS,
  installs: [{ axios: "1.21.1" }],
  abilities: ["redirect", "abort", "timeout", "socket", "proxy", "trailers"],
  timeoutType: /^ECONNABORTED$/,
});

httpClientContract({
  title: "got",
  instrumentation: "http-client",
  code: GOT,
  installs: [{ got: "11.8.6" }, { got: "14.6.6" }],
  abilities: ["redirect", "retry", "abort", "timeout", "trailers"],
  timeoutType: /^ETIMEDOUT$/,
});

httpClientContract({
  title: "node-fetch",
  instrumentation: "http-client",
  code: NODE_FETCH,
  installs: [{ "node-fetch": "2.7.0" }, { "node-fetch": "3.3.2" }],
  abilities: ["redirect", "abort", "trailers"],
});

httpClientContract({
  title: "needle",
  instrumentation: "http-client",
  code: NEEDLE,
  installs: [{ needle: "2.9.1" }, { needle: "3.5.0" }],
  // Its timeouts are calls of `abort()`, and so look like somebody's change of mind.
  abilities: ["redirect", "proxy"],
});
