import type { LibraryDescription } from "./description.ts";

export const memjs: LibraryDescription = {
  instrumentation: "memjs",
  packages: { memjs: ["1.0.0", "1.3.2"] },
  server: "Memcached 1.6",
  spans: "a command, retries and failover included",
  attributes: [
    "cache.hit",
    "cache.item_size",
    "cache.key",
    "cache.operation",
    "cache.ttl",
    "db.operation.name",
    "db.query.text",
    "db.response.status_code",
    "db.system.name",
    "server.address",
    "server.port",
    "tracekit.cache.value",
  ],
  captured: "keys, and the values read and written",
  limits: ["`flush` and `stats` are one span for all servers; that of `stats` ends with the first answer."],
};
