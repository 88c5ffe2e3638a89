import { MEMCACHED_ATTRIBUTES } from "./attributes.ts";
import type { LibraryDescription } from "./description.ts";

export const memjs: LibraryDescription = {
  instrumentation: "memjs",
  packages: { memjs: ["1.0.0", "1.3.2"] },
  server: "Memcached 1.6",
  spans: "a command, retries and failover included",
  attributes: MEMCACHED_ATTRIBUTES,
  captured: "keys, and the values read and written",
  limits: ["`flush` and `stats` are one span for all servers; that of `stats` ends with the first answer."],
};
