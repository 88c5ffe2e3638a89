import { MEMCACHED_ATTRIBUTES } from "./attributes.ts";
import type { LibraryDescription } from "./description.ts";

export const memcached: LibraryDescription = {
  instrumentation: "memcached",
  packages: { memcached: ["2.2.0", "2.2.2"] },
  server: "Memcached 1.6",
  spans: "a command to a server, from the call to its callback",
  attributes: [...MEMCACHED_ATTRIBUTES, "tracekit.cache.hits", "tracekit.cache.misses"],
  captured: "keys, and the values read and written",
  limits: [
    "A `getMulti` over several servers is a span for each of them.",
    "JSON values have no size when they are read.",
    "Redundant writes to further servers have no spans.",
  ],
};
