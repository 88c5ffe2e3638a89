import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import { CacheCounts } from "./shared/cache-counts.ts";

/*
 * lru-cache: hits and misses of `get`, `memo` and `fetch`, as two numbers on the span that is active when they are called.
 *
 * - A `get` that finds a stale item and may return it is a hit; a `fetch` is a hit where its cache had an answer at once.
 * - `peek` and `has` ask, but do not use the cache: they do not count. Subscribers of lru-cache's own metrics see that we `peek`
 *   before a `fetch`.
 * - A cache that is the store of a Keyv counts there.
 * - Before Node 22.15, what is imported (not required) from versions with ES modules counts only where another package has us
 *   run module hooks anyway: they cost more than this is worth.
 */

const FILES = [
  [">=7 <8", "index.js", undefined],
  [">=7 <8", "index.mjs", "module"],
  [">=8 <11", "dist/cjs/index.js", undefined],
  [">=8 <11", "dist/mjs/index.js", "module"],
  [">=10 <12", "dist/commonjs/index.js", undefined],
  [">=10 <12", "dist/esm/index.js", "module"],
  [">=8 <11", "dist/cjs/index.min.js", undefined],
  [">=8 <11", "dist/mjs/index.min.js", "module"],
  [">=10 <12", "dist/commonjs/index.min.js", undefined],
  [">=10 <12", "dist/esm/index.min.js", "module"],
  [">=11 <12", "dist/commonjs/node/index.js", undefined],
  [">=11 <12", "dist/esm/node/index.js", "module"],
  [">=11 <12", "dist/commonjs/node/index.min.js", undefined],
  [">=11 <12", "dist/esm/node/index.min.js", "module"],
] as const;

const lruCache: Instrumentation = defineInstrumentation({
  name: "lru-cache",
  modules: FILES.map(([versions, file, format]) => ({
    name: "lru-cache",
    versions,
    file,
    ...(format !== undefined && { format, isOptional: true as const }),
    patch,
  })),
});
export default lruCache;

interface Cache {
  peek(key: unknown, options?: unknown): unknown;
  readonly fetchMethod?: unknown;
}

interface FetchOptions {
  readonly allowStale?: boolean;
}

function patch(exports: any, kit: Kit): void {
  const { owner } = kit;
  const LRUCache = exports.LRUCache ?? exports.default ?? exports;
  const { prototype } = LRUCache;
  const counts = new CacheCounts(kit.tracing, "lru_cache", prototype);
  const goesPastGet = fetchGoesPastGet(LRUCache);
  kit.wrap(
    prototype,
    "get",
    (original) =>
      function (this: Cache, key: unknown, options?: unknown): unknown {
        const value = original.call(this, key, options);
        // Nothing here throws or calls the application.
        if (owner.enabled) counts.count(this, value !== undefined);
        return value;
      },
  );
  for (const method of ["fetch", "memo"]) {
    kit.wrap(
      prototype,
      method,
      (original) =>
        function (this: Cache, key: unknown, options?: FetchOptions): unknown {
          if (owner.enabled) {
            try {
              if (goesPastGet || (method === "fetch" && this.fetchMethod)) {
                // Changes neither order nor age, and its options are not written to.
                const allowStale = options?.allowStale;
                const value = this.peek(key, allowStale === undefined ? undefined : { allowStale });
                counts.count(this, value !== undefined);
              }
            } catch (error) {
              owner.disable(`lru-cache ${method}`, error);
            }
          }
          return original.call(this, key, options);
        },
    );
  }
}

/** From some version of 11 on, `fetch` and `memo` call what `get` calls. The published files are minified: only a try tells. */
function fetchGoesPastGet(LRUCache: any): boolean {
  if (typeof LRUCache.prototype.fetch !== "function") return false;
  const cache = new LRUCache({ max: 1 });
  let goesPastGet = true;
  const get = (): void => {
    goesPastGet = false;
  };
  cache.get = get;
  cache.fetch("");
  return goesPastGet;
}
