/** Builds `dist/`: one small file to preload, the core, one file an instrumentation, and the declarations. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { rolldown } from "rolldown";

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");
// Written aside and moved into place: whoever is running the old build never sees half of the new one.
const fresh = join(root, `.dist-${process.pid}`);

const entries = {
  register: "src/register.ts",
  index: "src/index.ts",
  sdk: "src/sdk.ts",
  "standard-lane": "src/export/standard-lane.ts",
  "otel-instrumentations": "src/otel-instrumentations.ts",
  cli: "src/cli.ts",
};
for (const file of readdirSync(join(root, "instrumentations"))) {
  if (file === "registry.ts" || file === "shared") continue;
  const name = file.replace(/\.ts$/, "");
  const isFolder = statSync(join(root, "instrumentations", file)).isDirectory();
  entries[`instrumentations/${name}`] = `instrumentations/${isFolder ? `${file}/index.ts` : file}`;
}

/**
 * Every file that has hidden slots gets a copy of what makes them. V8 learns about a piece of code, not about its copies: with
 * one for all it sees every private name there is, and a slot of 10 ns takes 100.
 */
const ownHiddenSlots = {
  name: "own-hidden-slots",
  async resolveId(source, importer) {
    if (!source.endsWith("/hidden-slot.ts") || importer === undefined) return null;
    const { id } = await this.resolve(source, importer, { skipSelf: true });
    return `${id}?of=${importer}`;
  },
  load(id) {
    const [file, importer] = id.split("?of=");
    return importer === undefined ? null : { code: readFileSync(file, "utf8"), moduleType: "ts" };
  },
};

const atStart = importedFrom(join(root, "src/sdk.ts"));

/** The file and all it imports, directly or not; types aside. */
function importedFrom(file, found = new Set()) {
  if (found.has(file)) return found;
  found.add(file);
  const imports = readFileSync(file, "utf8").matchAll(/^(?:import|export)\s(?!type\s)[^;]*?from "(\.[^"]+\.ts)";/gm);
  for (const [, specifier] of imports) importedFrom(join(dirname(file), specifier), found);
  return found;
}

const bundle = await rolldown({
  cwd: root,
  input: entries,
  plugins: [ownHiddenSlots],
  platform: "node",
  external: [/^node:/, /^@opentelemetry\//],
});
await bundle.write({
  dir: fresh,
  format: "cjs",
  // Our sources are strict. In sloppy code a patched function would turn an undefined `this` into the global object, and its
  // `arguments` would follow its parameters: that alone doubled what a pg query costs.
  strict: true,
  exports: "named",
  entryFileNames: "[name].js",
  chunkFileNames: "[name].js",
  // What a disabled process reads, and what everything shares: each further file costs half a millisecond at start. What only
  // libraries' instrumentations share is read with the first of them.
  codeSplitting: {
    groups: [
      { name: "api", test: /\/src\/(?:index|load-chunk|config\/disabled)\.ts$/, priority: 2 },
      { name: "core", test: (id) => atStart.has(id.split("?")[0]), minShareCount: 2, priority: 1 },
    ],
  },
});
await bundle.close();

// By themselves, without the shared file: they run on threads of their own, and somebody waits for those to start.
for (const file of ["src/export/exit-worker.ts", "src/loader/module-hooks-thread.ts"]) {
  const thread = await rolldown({ cwd: root, input: file, platform: "node", external: [/^node:/] });
  await thread.write({ file: join(fresh, `${basename(file, ".ts")}.js`), format: "cjs", strict: true });
  await thread.close();
}

execFileSync(
  join(root, "node_modules/.bin/tsc"),
  ["-p", join(root, "tsconfig.build.json"), "--outDir", join(fresh, "types")],
  {
    stdio: "inherit",
  },
);
const old = `${fresh}-old`;
if (existsSync(dist)) renameSync(dist, old);
renameSync(fresh, dist);
rmSync(old, { recursive: true, force: true });
