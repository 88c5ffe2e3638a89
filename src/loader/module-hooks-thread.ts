import { type LoadResult, pathInModules, withPatchCall } from "./module-hooks.ts";

/*
 * The hooks of Nodes without `module.registerHooks` (before 22.15): Node runs them on a thread of its own, given this file.
 * Source: https://nodejs.org/api/module.html#customization-hooks
 */

let files: ReadonlySet<string> = new Set();

/** `paths`: the ES modules to patch, from the package's name on. */
export function initialize(paths: readonly string[]): void {
  files = new Set(paths);
}

export async function load(
  url: string,
  context: unknown,
  nextLoad: (url: string, context: unknown) => Promise<LoadResult>,
): Promise<LoadResult> {
  const result = await nextLoad(url, context);
  const path = pathInModules(url);
  return path !== undefined && files.has(path) ? withPatchCall(url, result) : result;
}
