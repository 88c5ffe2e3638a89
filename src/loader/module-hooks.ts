/** What this room calls when an ES module has run, on `globalThis`: the text added to the module knows nothing else. */
export const PATCH_MODULE = "tracekit.patchModule";

const NODE_MODULES = "node_modules/";

/** What a `load` hook gives. Source: https://nodejs.org/api/module.html#loadurl-context-nextload */
export interface LoadResult {
  format: string | null | undefined;
  source?: unknown;
  shortCircuit?: boolean;
}

/** "postgres/src/query.js" of a file's URL; undefined outside `node_modules`. */
export function pathInModules(url: string): string | undefined {
  const start = url.lastIndexOf(NODE_MODULES);
  if (start === -1) return undefined;
  const query = url.indexOf("?", start);
  return url.slice(start + NODE_MODULES.length, query === -1 ? undefined : query);
}

/**
 * The module, with a last statement that hands its namespace to us: an ES module has no other place where it can be patched
 * between its own evaluation and its importers'. An import may stand anywhere, and one of oneself is a cycle of one.
 */
export function withPatchCall(url: string, result: LoadResult): LoadResult {
  const { format, source } = result;
  if (format !== "module" || source === null || source === undefined) return result;
  const text = typeof source === "string" ? source : new TextDecoder().decode(source as Uint8Array);
  const self = JSON.stringify(url);
  const call = `globalThis[Symbol.for(${JSON.stringify(PATCH_MODULE)})]?.(${self}, $tracekit);`;
  return { ...result, source: `${text}\n;import * as $tracekit from ${self};${call}\n` };
}
