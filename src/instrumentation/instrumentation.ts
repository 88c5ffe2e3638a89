import type { Kit } from "./kit.ts";

/** One library, as data: what to patch, and what its calls mean. */
export interface Instrumentation {
  /** Short name: "pg". Also its suffix in OTEL_NODE_ENABLED_INSTRUMENTATIONS and in the scope `@tracekit/auto/pg`. */
  readonly name: string;
  /** Files of npm packages to patch when the application loads them. Empty for what Node itself brings. */
  readonly modules: readonly InstrumentedModule[];
  /**
   * Runs once at start, for Node's own modules and for diagnostics channels: cheap, and loads nothing heavy. What it returns runs
   * once the application has started, and may read what its first call would wait for.
   */
  start?(kit: Kit): (() => void) | void;
}

/** A file to patch: exports are changed in place, because on Node 20 and 22 ESM importers do not see replaced ones. */
export interface InstrumentedModule {
  /** Package name: "pg". Or a module of Node's own that few applications load: "node:sqlite", with `file` "". */
  readonly name: string;
  /** Supported versions: ">=8.0.3 <9". */
  readonly versions: string;
  /** Path inside the package, with slashes: "lib/client.js". */
  readonly file: string;
  /** "module" for a file that is an ES module. Its `exports` is the namespace: what hangs on it can be changed, no binding replaced. */
  readonly format?: "module";
  /**
   * For an ES module of a package that half of all applications have somewhere: no thread of hooks is started for it alone. On
   * Nodes without hooks in the same thread (before 22.15) it is patched only where another package needs that thread.
   */
  readonly isOptional?: true;
  /** `exports` is what the file exports: a library's untyped inside. */
  patch(exports: any, kit: Kit, version: string): void;
}

/** Declares an instrumentation; the file's default export. */
export function defineInstrumentation(instrumentation: Instrumentation): Instrumentation {
  return instrumentation;
}
