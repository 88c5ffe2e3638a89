import { httpClientContract } from "../contract/http-client.ts";
import { NODE_HTTP2 } from "./http-client-adapters.ts";

httpClientContract({
  title: "node:http2",
  instrumentation: "http2",
  code: NODE_HTTP2,
  installs: [{}],
  alsoCommonJs: true,
  isHttp2: true,
  abilities: ["redirect", "abort", "timeout", "socket", "trailers", "endless"],
  resetType: /^NGHTTP2_INTERNAL_ERROR$/,
});
