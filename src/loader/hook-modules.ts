import { readFileSync, realpathSync } from "node:fs";
import { Module } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type LoadResult, PATCH_MODULE, pathInModules, withPatchCall } from "./module-hooks.ts";

type LoadHook = (url: string, context: unknown, nextLoad: (url: string, context: unknown) => LoadResult) => LoadResult;

/** What this Node has of https://nodejs.org/api/module.html#customization-hooks; our types are those of Node 20. */
const { register, registerHooks } = Module as unknown as {
  register(specifier: string, options: { data: unknown }): void;
  registerHooks?(hooks: { load: LoadHook }): void;
};

const DEPENDENCY_FIELDS = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];

/**
 * Has `onLoaded` called with the namespace of each path ("postgres/src/query.js") that is an ES module, once it has run.
 * Hooks cost every module 15 to 35 µs, and before Node 22.15 they are a thread of 30 ms and 15 MB: an application that does not
 * use the packages gets none, and the `optional` ones alone are no reason for a thread.
 */
export function hookModules(
  worthwhile: readonly string[],
  optional: readonly string[],
  onLoaded: (namespace: unknown, filename: string) => void,
): void {
  const paths = [...worthwhile, ...optional];
  const declared = declaredPackages();
  if (!(registerHooks === undefined ? worthwhile : paths).some((path) => declared.has(packageOf(path)))) return;

  Object.defineProperty(globalThis, Symbol.for(PATCH_MODULE), {
    value: (url: string, namespace: unknown) => onLoaded(namespace, fileURLToPath(url)),
    configurable: true,
  });
  if (registerHooks === undefined) {
    register(pathToFileURL(join(__dirname, "module-hooks-thread.js")).href, { data: paths });
    return;
  }
  const wanted = new Set(paths);
  registerHooks({
    load(url, context, nextLoad) {
      const result = nextLoad(url, context);
      const path = pathInModules(url);
      return path !== undefined && wanted.has(path) ? withPatchCall(url, result) : result;
    },
  });
}

/** Whether this is the thread where Node runs hooks of `module.register`: what `--require` says is preloaded there too, though no
 *  application ever runs there. */
export function isHooksThread(): boolean {
  // Worker threads are a big built-in module, and nearly every main thread has a script.
  if (process.argv[1] !== undefined) return false;
  const { isMainThread, parentPort } = process.getBuiltinModule("node:worker_threads");
  return !isMainThread && parentPort === null;
}

/**
 * The packages an application says it uses: in the package.json of its folder, or of one above, as in a workspace. What merely
 * lies in `node_modules` does not count, where `lru-cache` nearly always does.
 */
function declaredPackages(): Set<string> {
  const starts = [process.cwd(), ...(process.argv[1] === undefined ? [] : [dirname(realpath(process.argv[1]))])];
  const declared = new Set<string>();
  const seen = new Set<string>();
  for (const start of starts) {
    for (let folder = start; !seen.has(folder); folder = dirname(folder)) {
      seen.add(folder);
      for (const name of dependenciesIn(join(folder, "package.json"))) declared.add(name);
    }
  }
  return declared;
}

function dependenciesIn(file: string): string[] {
  try {
    const manifest = JSON.parse(readFileSync(file, "utf8")) as Record<string, object | undefined>;
    return DEPENDENCY_FIELDS.flatMap((field) => Object.keys(manifest[field] ?? {}));
  } catch {
    return [];
  }
}

function realpath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** "@nats-io/nats-core" of "@nats-io/nats-core/lib/protocol.js". */
function packageOf(path: string): string {
  const [first = "", second = ""] = path.split("/");
  return first.startsWith("@") ? `${first}/${second}` : first;
}
