/** Builds `dashboard/dist/`: the command, the store's thread, and the page with all it needs. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rolldown } from "rolldown";

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");
// Written aside and moved into place: whoever is running the old build never sees half of the new one.
const fresh = join(root, `.dist-${process.pid}`);
process.on("exit", () => rmSync(fresh, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

const server = await rolldown({
  cwd: root,
  input: { cli: "src/cli/main.ts", "store-worker": "src/store/worker.ts" },
  platform: "node",
  external: [/^node:/, "node-sqlite3-wasm", "pbf", "sql-formatter"],
});
await server.write({ dir: fresh, format: "esm", entryFileNames: "[name].js", chunkFileNames: "[name].js" });
await server.close();

const page = await rolldown({
  cwd: root,
  input: { app: "web/main.tsx" },
  platform: "browser",
  transform: { target: "es2022" },
});
const { output } = await page.write({
  dir: join(fresh, "web"),
  format: "esm",
  entryFileNames: "[name].js",
  chunkFileNames: "[name].js",
  minify: true,
  // Chromium compiles the trace's script in another thread, as a whole, while the trace is on its way, and not function by function
  // when each is called: the first frame of 1,000 spans took the page 56 ms of CPU before, 47 after.
  postBanner: ({ name }) => (name === "trace-page" ? "//# allFunctionsCalledOnLoad" : ""),
});
await page.close();

mkdirSync(join(fresh, "web"), { recursive: true });
cpSync(join(root, "web/index.html"), join(fresh, "web/index.html"));
const styles = join(root, "web/styles");
const sheets = readdirSync(styles).toSorted();
writeFileSync(join(fresh, "web/app.css"), sheets.map((sheet) => readFileSync(join(styles, sheet), "utf8")).join("\n"));

// What the page is made of is part of it, and its licences ask to be.
const packages = output
  .flatMap(({ moduleIds = [] }) => moduleIds)
  .flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(id.replaceAll("\\", "/")) ?? []);
const licences = [...new Set(packages)].map(
  (folder) => `${folder.split("/node_modules/").at(-1)}\n\n${readFileSync(join(folder, "LICENSE"), "utf8")}`,
);
writeFileSync(join(fresh, "web/licences.txt"), licences.join(`\n${"-".repeat(80)}\n\n`));

const old = `${fresh}-old`;
if (existsSync(dist)) renameSync(dist, old);
renameSync(fresh, dist);
rmSync(old, { recursive: true, force: true });
