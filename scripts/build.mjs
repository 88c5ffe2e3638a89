/** Builds `dist/`: one small file to preload, the core, one file an instrumentation, and the declarations. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { rolldown } from "rolldown";

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");
// Written aside and moved into place: whoever is running the old build never sees half of the new one.
const fresh = join(root, `.dist-${process.pid}`);
process.on("exit", () => rmSync(fresh, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

const entries = {
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

/**
 * What is read when one of its functions is first called, by the file it goes to: the start of every process is too early for
 * what not every process does. Outside of that file, only functions can be imported from these.
 */
const readLater = {
  recording: [
    "src/recording.ts",
    "src/export/exit-sender.ts",
    "src/capture/body.ts",
    "src/capture/cut.ts",
    "src/config/resource.ts",
  ],
  sql: ["src/capture/sql.ts"],
  transport: ["src/export/create-exchange.ts"],
  json: ["src/export/json-encoding.ts"],
  "http-server": ["instrumentations/http-server/requests.ts", "instrumentations/http-server/upgrades.ts"],
  "http-client": ["instrumentations/http-client/requests.ts"],
  undici: ["instrumentations/undici/requests.ts"],
  http2: ["instrumentations/http2/sessions.ts"],
  ioredis: ["instrumentations/ioredis/commands.ts"],
  pg: ["instrumentations/pg/client.ts", "instrumentations/pg/pool.ts"],
};

const fileOf = new Map(
  Object.entries(readLater).flatMap(([name, sources]) => sources.map((source) => [join(root, source), name])),
);
const contents = new Map(
  Object.entries(readLater).map(([name, sources]) => [name, importedFrom(sources.map((source) => join(root, source)))]),
);
const atStart = importedFrom([join(root, "src/sdk.ts")]);
/** What several of the later files need, whatever else they are: in one of them it would bring all of that along. */
const shared = importedFrom([
  join(root, "instrumentations/shared/server-request.ts"),
  join(root, "src/node-buffer.ts"),
]);
const http = ["http-server", "http-client", "undici", "http2"];
const isStub = (id) => id.endsWith("?later");
const isIn = (files, id) => !isStub(id) && files.has(id.split("?")[0]);

/** The files and all they import, directly or not; types aside, and without what is read later. */
function importedFrom(files) {
  const found = new Set(files);
  for (const file of found) {
    const imports = readFileSync(file, "utf8").matchAll(/^(?:import|export)\s(?!type\s)[^;]*?from "(\.[^"]+\.ts)";/gm);
    for (const [, specifier] of imports) {
      const imported = join(dirname(file), specifier);
      if (!fileOf.has(imported)) found.add(imported);
    }
  }
  return found;
}

/** Imports of what is read later get functions that read it, and then are the real ones. */
const laterFiles = {
  name: "later-files",
  resolveId(source, importer) {
    if (source.startsWith("later:")) return source;
    if (importer === undefined || !source.startsWith(".")) return null;
    const file = join(dirname(importer.split("?")[0]), source);
    const name = fileOf.get(file);
    if (name === undefined || (isIn(contents.get(name), importer) && !isIn(atStart, importer))) return null;
    return `${file}?later`;
  },
  load(id) {
    if (id.startsWith("later:")) {
      const sources = readLater[id.slice("later:".length)];
      return sources.map((source) => `export * from ${JSON.stringify(join(root, source))};`).join("\n");
    }
    if (!id.endsWith("?later")) return null;
    const file = id.slice(0, -"?later".length);
    const names = [...readFileSync(file, "utf8").matchAll(/^export (?:async )?function (\w+)/gm)].map(
      ([, name]) => name,
    );
    const chunk = JSON.stringify(`./later/${fileOf.get(file)}.js`);
    return [
      `import { loadChunk } from ${JSON.stringify(join(root, "src/load-chunk.ts"))};`,
      `function read() { const chunk = loadChunk(${chunk}); ${names.map((name) => `${name} = chunk.${name};`).join(" ")} }`,
      ...names.map((name) => `export let ${name} = function () { read(); return ${name}.apply(this, arguments); };`),
    ].join("\n");
  },
};
for (const name of Object.keys(readLater)) entries[`later/${name}`] = `later:${name}`;

/** Texts for the README's tables, which no process needs. */
const withoutTexts = {
  name: "without-texts",
  transform: {
    filter: { id: /config[\\/]variables\.ts$/ },
    handler: (code) => code.replaceAll(/^\s+(?:group|shownDefault|description):\s+"(?:[^"\\]|\\.)*",$/gm, ""),
  },
};

const bundle = await rolldown({
  cwd: root,
  input: entries,
  plugins: [ownHiddenSlots, laterFiles, withoutTexts],
  platform: "node",
  external: [/^node:/, /^@opentelemetry\//],
  optimization: { inlineConst: { mode: "all", pass: 3 } },
});
/** @type {import("rolldown").OutputOptions} */
const output = {
  format: "cjs",
  exports: "named",
  // Our sources are strict. In sloppy code a patched function would turn an undefined `this` into the global object, and its
  // `arguments` would follow its parameters: that alone doubled what a pg query costs.
  strict: true,
  // V8 reads a file twice as fast that has one byte a character.
  charset: "ascii",
  comments: false,
};
await bundle.write({
  ...output,
  dir: fresh,
  entryFileNames: "[name].js",
  chunkFileNames: "[name].js",
  // What a disabled process reads, and what everything shares: each further file costs half a millisecond at start. What only
  // libraries' instrumentations share is read with the first of them.
  codeSplitting: {
    groups: [
      {
        name: "core",
        test: (id) => isStub(id) || isIn(atStart, id) || isIn(shared, id),
        priority: 4,
      },
      { name: "recording", test: (id) => isIn(contents.get("recording"), id), priority: 3 },
      { name: "http", test: (id) => http.some((name) => isIn(contents.get(name), id)), minShareCount: 2, priority: 2 },
      { name: "messaging", test: /shared[\\/](?:messaging|emitted-messages|cache-values)\.ts$/, priority: 2 },
      { name: "sql", test: /shared[\\/](?:sql|sql-parameters|sql-transactions|postgresql)\.ts$/, priority: 2 },
    ],
  },
});
await bundle.close();

// By themselves, without the shared files: what a disabled process reads, and threads of their own, for which somebody waits.
for (const file of [
  "src/register.ts",
  "src/index.ts",
  "src/export/exit-worker.ts",
  "src/loader/module-hooks-thread.ts",
]) {
  const single = await rolldown({ cwd: root, input: file, platform: "node", external: [/^node:/, "./core.js"] });
  await single.write({ file: join(fresh, `${basename(file, ".ts")}.js`), ...output });
  await single.close();
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
