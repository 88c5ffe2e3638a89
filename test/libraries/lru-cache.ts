import type { LibraryDescription } from "./description.ts";

export const lruCache: LibraryDescription = {
  instrumentation: "lru-cache",
  packages: { "lru-cache": ["7.0.0", "7.18.3", "8.0.5", "9.1.2", "10.0.0", "10.4.3", "11.0.0", "11.5.3"] },
  server: "none",
  spans: "none: `get`, `memo` and `fetch` are counted on the active span",
  attributes: ["tracekit.cache.lru_cache.hits", "tracekit.cache.lru_cache.misses"],
  captured: "two numbers, no keys",
  limits: [
    "`peek` and `has` do not count.",
    "On Node before 22.15, only what is loaded with `require` counts.",
    "cache-manager 5 keeps its memory store in an lru-cache, and counts here.",
  ],
};
