import { readFileSync } from "node:fs";
import { Module } from "node:module";
import { sep } from "node:path";
import { diag } from "../diag/diag.ts";
import { watchBuiltins } from "./builtin-modules.ts";
import { hookModules } from "./hook-modules.ts";
import { satisfies } from "./versions.ts";

/** A file of a package to patch right after the application has loaded it. */
export interface ModuleTarget {
  /** Package name; "node:sqlite" for a module of Node's own, whose `file` is "" and whose version is Node's. */
  readonly name: string;
  /** Supported versions, see `versions.ts`. */
  readonly versions: string;
  /** Path inside the package, with slashes. */
  readonly file: string;
  /** "module": `file` is an ES module, and what is patched its namespace. */
  readonly format?: "module";
  /** No reason to start a thread of hooks. */
  readonly isOptional?: true;
  /** Must not throw. */
  patch(exports: unknown, version: string): void;
}

/** What happened to the libraries the application loaded. */
export interface LoaderReport {
  /** "pg@8.23.1", in the order they were patched. */
  readonly patched: Set<string>;
}

interface LoadedModule {
  exports: unknown;
}

interface LoadableModule extends LoadedModule {
  load(filename: string): void;
}

const ModulePrototype = Module.prototype as unknown as LoadableModule;
const moduleCache = (Module as unknown as { _cache: Record<string, LoadableModule | undefined> })._cache;
const NODE_MODULES = `node_modules${sep}`;

/**
 * Patches targets as their files load. ES modules need hooks (`hook-modules.ts`); CommonJS files pass `Module.prototype.load` whether they are required or imported, on
 * every Node we support; it costs the application's other modules one string search each (`performance.now()` shows nothing).
 */
export class Loader {
  readonly report: LoaderReport = { patched: new Set() };
  /** Package name → file → targets. */
  private readonly targets = new Map<string, Map<string, ModuleTarget[]>>();
  private readonly modulePaths: string[] = [];
  private readonly optionalPaths: string[] = [];
  private readonly versionsByFolder = new Map<string, string | undefined>();

  constructor(targets: readonly ModuleTarget[]) {
    for (const target of targets) {
      let files = this.targets.get(target.name);
      if (files === undefined) this.targets.set(target.name, (files = new Map()));
      const sameFile = files.get(target.file);
      if (sameFile === undefined) files.set(target.file, [target]);
      else sameFile.push(target);
      if (target.format === "module") {
        (target.isOptional === true ? this.optionalPaths : this.modulePaths).push(`${target.name}/${target.file}`);
      }
    }
  }

  /** Starts watching, and patches what was loaded before us as far as that is still possible. */
  install(): void {
    const { load } = ModulePrototype;
    const onLoaded = this.onLoaded.bind(this);
    const loadAndPatch = function (this: LoadableModule, filename: string): void {
      Reflect.apply(load, this, [filename]);
      onLoaded(this, filename);
    };
    ModulePrototype.load = loadAndPatch;
    const builtins = [...this.targets.keys()].filter((name) => name.startsWith("node:"));
    watchBuiltins(builtins, (name, exports) => this.patchBuiltin(name, exports));
    hookModules(this.modulePaths, this.optionalPaths, (exports, filename) => onLoaded({ exports }, filename));
    for (const filename of Object.keys(moduleCache)) {
      const module = moduleCache[filename];
      const name = module === undefined ? undefined : this.onLoaded(module, filename);
      if (name === undefined) continue;
      diag.warnOnce(
        `early:${name}`,
        `${name} was loaded before Tracekit: what was taken from it until now is not traced. ` +
          "Start the application with --import @tracekit/auto before any other --import or --require.",
      );
    }
  }

  /** The package's name when something of it was patched. */
  private onLoaded(module: LoadedModule, filename: string): string | undefined {
    try {
      const start = filename.lastIndexOf(NODE_MODULES) + NODE_MODULES.length;
      if (start < NODE_MODULES.length) return undefined;
      let end = filename.indexOf(sep, start);
      if (filename.charCodeAt(start) === 64 /* @ */) end = filename.indexOf(sep, end + 1);
      if (end === -1) return undefined;
      const name = sep === "/" ? filename.slice(start, end) : filename.slice(start, end).replaceAll(sep, "/");
      const files = this.targets.get(name);
      if (files === undefined) return undefined;
      const file = sep === "/" ? filename.slice(end + 1) : filename.slice(end + 1).replaceAll(sep, "/");
      const targets = files.get(file);
      return targets !== undefined && this.patch(module, name, filename.slice(0, end), targets) ? name : undefined;
    } catch (error) {
      diag.debug(`loader: ${String(error)} (${filename})`);
      return undefined;
    }
  }

  private patchBuiltin(name: string, exports: unknown): void {
    const { node } = process.versions;
    for (const target of this.targets.get(name)?.get("") ?? []) {
      if (!satisfies(node, target.versions)) continue;
      target.patch(exports, node);
      this.report.patched.add(`${name}@${node}`);
      diag.debug(`patched ${name}@${node}`);
    }
  }

  private patch(module: LoadedModule, name: string, folder: string, targets: readonly ModuleTarget[]): boolean {
    const version = this.versionOf(folder);
    const matching = targets.filter((target) => version !== undefined && satisfies(version, target.versions));
    if (version === undefined || matching.length === 0) {
      const ranges = [...new Set(targets.map((target) => target.versions))].join(" or ");
      diag.warnOnce(
        `version:${name}@${version}`,
        `${name} ${version ?? "(version unknown)"} is not traced: supported versions are ${ranges}.`,
      );
      return false;
    }
    for (const target of matching) target.patch(module.exports, version);
    this.report.patched.add(`${name}@${version}`);
    diag.debug(`patched ${name}@${version}`);
    return true;
  }

  private versionOf(folder: string): string | undefined {
    if (!this.versionsByFolder.has(folder)) {
      const { version } = JSON.parse(readFileSync(`${folder}${sep}package.json`, "utf8")) as { version?: string };
      this.versionsByFolder.set(folder, version);
    }
    return this.versionsByFolder.get(folder);
  }
}
