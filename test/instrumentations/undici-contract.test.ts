import { httpClientContract } from "../contract/http-client.ts";
import { expectDescribed } from "../libraries/description.ts";
import undici from "../libraries/undici.ts";
import type { ReceivedSpan } from "../support/otlp-receiver.ts";
import { NODE_FETCH_GLOBAL, UNDICI } from "./http-client-adapters.ts";

const shared = {
  instrumentation: "undici",
  hasNoReuse: true,
  resetType: /^(ECONNRESET|UND_ERR_SOCKET)$/,
  timeoutType: /^(TimeoutError|UND_ERR_HEADERS_TIMEOUT)$/,
} as const;

httpClientContract({
  ...shared,
  title: "Node's fetch",
  code: NODE_FETCH_GLOBAL,
  installs: [{}],
  abilities: ["method", "redirect", "abort", "timeout", "trailers", "endless"],
});

const described: ReceivedSpan[] = [];
const NEVER_MISSING = ["method", "redirect", "abort", "timeout", "socket", "trailers"] as const;
for (const version of undici.packages.undici) {
  httpClientContract(
    {
      ...shared,
      title: "undici",
      code: UNDICI,
      installs: [{ undici: version }],
      abilities: [
        ...NEVER_MISSING,
        // Its `ProxyAgent` asked for the absolute URL still.
        ...(version === "5.0.0" ? [] : ["tunnel" as const]),
        ...(/^[78]\./.test(version) ? ["endless" as const] : []),
        // `RetryAgent` came with 6.7.
        ...(/^(?:5|6\.0)\./.test(version) ? [] : ["retry" as const]),
      ],
    },
    undefined,
    (spans) => {
      described.push(...spans);
      if (version === undici.packages.undici.at(-1)) expectDescribed(undici, described);
    },
  );
}
