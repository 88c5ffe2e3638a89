/** Node's own, typed as those of Node 20: https://nodejs.org/api/process.html */
const { moduleLoadList } = process as unknown as { moduleLoadList?: string[] };

/**
 * Has `onLoaded` called with the exports of each of Node's modules ("node:sqlite") that the application loads, `import`ed ones
 * before the application's code runs, `require`d ones at the end of that turn.
 *
 * Node tells nobody when it loads a module of its own. Loading it to be there first takes 0.3 ms and, on Node 22, prints a
 * warning to applications that do not use it; hooks that see imports cost every other module 15 to 35 µs. But Node writes each name
 * into `process.moduleLoadList`, and what is set on an array asks its prototype first.
 */
export function watchBuiltins(names: readonly string[], onLoaded: (name: string, exports: unknown) => void): void {
  if (names.length === 0 || !Array.isArray(moduleLoadList)) return;
  const list = moduleLoadList;
  const awaited = new Map(names.map((name) => [`NativeModule ${name.slice("node:".length)}`, name]));
  const isAwaited = (entry: unknown): boolean => typeof entry === "string" && awaited.has(entry);
  function take(entry: string): void {
    const name = awaited.get(entry) as string;
    awaited.delete(entry);
    onLoaded(name, process.getBuiltinModule(name));
  }

  for (const entry of list.filter(isAwaited)) take(entry);
  if (awaited.size === 0) return;
  const original = Object.getPrototypeOf(list) as object;
  const watching = new Proxy(original, {
    set(_target, key, value: unknown, receiver: object) {
      if (isAwaited(value)) {
        // The module is still being made.
        queueMicrotask(() => take(value as string));
        if (awaited.size === 1) Object.setPrototypeOf(list, original);
      }
      return Reflect.defineProperty(receiver, key, { value, configurable: true, enumerable: true, writable: true });
    },
  });
  Object.setPrototypeOf(list, watching);
}
