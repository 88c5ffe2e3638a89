import { httpClientContract } from "../contract/http-client.ts";
import { expectDescribed } from "../libraries/description.ts";
import httpClient from "../libraries/http-client.ts";
import { AXIOS, GOT, NEEDLE, NODE_FETCH, NODE_HTTP } from "./http-client-adapters.ts";

const { packages } = httpClient;
const installsOf = (name: string): Array<Record<string, string>> =>
  (packages[name] ?? []).map((version) => ({ [name]: version }));

httpClientContract(
  {
    title: "node:http",
    instrumentation: "http-client",
    code: NODE_HTTP,
    installs: [{}],
    alsoCommonJs: true,
    abilities: ["method", "redirect", "abort", "timeout", "socket", "proxy", "tunnel", "expect", "trailers", "endless"],
    timeoutType: /^timeout$/,
  },
  undefined,
  (spans) => expectDescribed(httpClient, spans),
);

httpClientContract({
  title: "axios",
  instrumentation: "http-client",
  code: AXIOS,
  installs: installsOf("axios"),
  abilities: ["redirect", "abort", "timeout", "socket", "proxy", "trailers"],
  timeoutType: /^ECONNABORTED$/,
});

httpClientContract({
  title: "got",
  instrumentation: "http-client",
  code: GOT,
  installs: installsOf("got"),
  abilities: ["redirect", "retry", "abort", "timeout", "trailers"],
  timeoutType: /^ETIMEDOUT$/,
});

httpClientContract({
  title: "node-fetch",
  instrumentation: "http-client",
  code: NODE_FETCH,
  installs: installsOf("node-fetch"),
  abilities: ["redirect", "abort", "trailers"],
});

httpClientContract({
  title: "needle",
  instrumentation: "http-client",
  code: NEEDLE,
  installs: installsOf("needle"),
  // Its timeouts are calls of `abort()`, and so look like somebody's change of mind.
  abilities: ["redirect", "proxy"],
});
