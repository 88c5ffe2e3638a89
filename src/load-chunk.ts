/** Reads another file of the built package the first time it is needed; `path` is relative to `dist/`. Its default export, if it has one. */
export function loadChunk<T>(path: string): T {
  const exports = require(path) as { default?: T };
  return exports.default ?? (exports as T);
}

/** A dependency, only when it is asked for. Throws what `require` throws. */
export function loadPackage<T>(name: string): T {
  return require(name) as T;
}
