import { httpClientContract } from "../contract/http-client.ts";
import { NODE_FETCH_GLOBAL, UNDICI } from "./http-client-adapters.ts";

httpClientContract({
  title: "Node's fetch",
  instrumentation: "undici",
  code: NODE_FETCH_GLOBAL,
  installs: [{}],
  abilities: ["redirect", "abort", "timeout", "trailers", "endless"],
  hasNoReuse: true,
  resetType: /^(ECONNRESET|UND_ERR_SOCKET)$/,
  timeoutType: /^TimeoutError$/,
});

httpClientContract({
  title: "undici",
  instrumentation: "undici",
  code: UNDICI,
  installs: [{ undici: "5.29.0" }],
  abilities: ["redirect", "abort", "timeout", "socket", "tunnel", "trailers", "endless"],
  hasNoReuse: true,
  resetType: /^(ECONNRESET|UND_ERR_SOCKET)$/,
  timeoutType: /^UND_ERR_HEADERS_TIMEOUT$/,
});

httpClientContract({
  title: "undici",
  instrumentation: "undici",
  code: UNDICI,
  installs: [{ undici: "6.29.1" }, { undici: "7.30.2" }],
  abilities: ["redirect", "retry", "abort", "timeout", "socket", "tunnel", "trailers", "endless"],
  hasNoReuse: true,
  resetType: /^(ECONNRESET|UND_ERR_SOCKET)$/,
  timeoutType: /^UND_ERR_HEADERS_TIMEOUT$/,
});
