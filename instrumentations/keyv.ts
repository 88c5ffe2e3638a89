import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import { CacheCounts, markInner } from "./shared/cache-counts.ts";

/*
 * keyv: hits and misses of `get`, `getMany`, `getRaw` and `getManyRaw`, as two numbers on the span that is active when they are
 * called. What a remote store does has spans of its own, from its client's instrumentation.
 *
 * - cache-manager 6 and 7 are made of Keyvs: each one that is asked counts, so a miss in the first store and a hit in the second
 *   are one of each.
 * - Before Node 22.15, what is imported (not required) from version 5 counts only where another package has us run module hooks
 *   anyway: they cost more than this is worth.
 */

const keyv: Instrumentation = defineInstrumentation({
  name: "keyv",
  modules: [
    { name: "keyv", versions: ">=4 <5", file: "src/index.js", patch },
    { name: "keyv", versions: ">=5.0.0 <5.0.1", file: "dist/cjs/index.js", patch },
    { name: "keyv", versions: ">=5.0.1 <6", file: "dist/index.cjs", patch },
    { name: "keyv", versions: ">=5.0.1 <6", file: "dist/index.js", format: "module", isOptional: true, patch },
  ],
});
export default keyv;

interface Keyv {
  readonly opts?: { readonly store?: unknown };
}

function patch(exports: any, kit: Kit): void {
  const { owner } = kit;
  const { prototype } = exports.Keyv ?? exports.default ?? exports;
  const counts = new CacheCounts(kit.tracing, "keyv", prototype);
  const asksForMany = typeof prototype.getMany === "function";
  for (const method of ["get", "getMany", "getRaw", "getManyRaw"]) {
    kit.wrap(
      prototype,
      method,
      (original) =>
        function (this: Keyv, key: unknown, options?: unknown): unknown {
          if (!owner.enabled) return original.call(this, key, options);
          try {
            markInner(this.opts?.store);
          } catch (error) {
            owner.disable("keyv store", error);
          }
          const returned: unknown = original.call(this, key, options);
          // Then it calls `getMany`, which counts.
          if (method === "get" && asksForMany && Array.isArray(key)) return returned;
          if (kit.tracing.active().span?.isRecording() !== true || !(returned instanceof Promise)) return returned;
          return returned.then((value: unknown) => {
            if (!Array.isArray(key)) counts.count(this, value !== undefined);
            else if (Array.isArray(value)) {
              const hits = value.reduce<number>((sum, item) => (item === undefined ? sum : sum + 1), 0);
              counts.countMany(this, hits, value.length - hits);
            }
            return value;
          });
        },
    );
  }
}
