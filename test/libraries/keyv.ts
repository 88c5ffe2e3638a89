import type { LibraryDescription } from "./description.ts";

export const keyv: LibraryDescription = {
  instrumentation: "keyv",
  packages: {
    keyv: ["4.0.0", "4.5.4", "5.0.0", "5.0.1", "5.6.0"],
    "cache-manager": ["5.0.0", "5.7.6", "6.0.0", "7.2.9"],
    "@keyv/redis": ["2.8.5", "5.1.6"],
  },
  title: "keyv, and cache-manager 6 and 7, which are made of it",
  server: "Redis 7, with @keyv/redis",
  spans: "none: `get`, `getMany`, `getRaw` and `getManyRaw` are counted on the active span",
  attributes: ["tracekit.cache.keyv.hits", "tracekit.cache.keyv.misses"],
  captured: "two numbers, no keys",
  limits: [
    "An lru-cache that is a Keyv's store does not count besides it.",
    "cache-manager counts each store it asks; version 5 counts as lru-cache.",
    "On Node before 22.15, only what is loaded with `require` counts.",
  ],
};
