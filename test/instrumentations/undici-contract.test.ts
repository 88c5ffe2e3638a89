import { httpClientContract } from "../contract/http-client.ts";
import { expectDescribed } from "../libraries/description.ts";
import undici from "../libraries/undici.ts";
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

const isBefore6 = (version: string): boolean => version.startsWith("5.");
for (const isOld of [true, false]) {
  httpClientContract(
    {
      ...shared,
      title: "undici",
      code: UNDICI,
      installs: undici.packages.undici
        .filter((version) => isBefore6(version) === isOld)
        .map((version) => ({ undici: version })),
      // `RetryAgent` came with undici 6.
      abilities: [
        ...(isOld ? [] : ["retry" as const]),
        ...(["method", "redirect", "abort", "timeout", "socket", "tunnel", "trailers", "endless"] as const),
      ],
    },
    undefined,
    (spans) => expectDescribed(undici, spans),
  );
}
