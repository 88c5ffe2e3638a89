import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { expect, onTestFinished, test } from "vitest";
import { ensureDashboardBuilt, repositoryRoot } from "../../../test/support/built.ts";

test("a build that fails leaves the one before as it was, and nothing half-built", { timeout: 60_000 }, async () => {
  const root = mkdtempSync(join(tmpdir(), "tracekit-build-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  symlinkSync(join(repositoryRoot, "node_modules"), join(root, "node_modules"));
  cpSync(join(repositoryRoot, "dashboard/scripts"), join(root, "scripts"), { recursive: true });
  const files = { "dist/cli.js": "old", "src/cli/main.ts": "export {};", "src/store/worker.ts": "export {};" };
  for (const [file, text] of Object.entries({ ...files, "web/main.tsx": "import './missing.ts';" })) {
    mkdirSync(join(root, file, ".."), { recursive: true });
    writeFileSync(join(root, file), text);
  }
  await expect(promisify(execFile)(process.execPath, [join(root, "scripts/build.mjs")])).rejects.toThrow("missing.ts");
  expect(readdirSync(root).toSorted()).toEqual(["dist", "node_modules", "scripts", "src", "web"]);
  expect(readdirSync(join(root, "dist"))).toEqual(["cli.js"]);
});

test("the page's scripts have at most 100 KB when compressed", { timeout: 60_000 }, async () => {
  await ensureDashboardBuilt();
  const folder = join(repositoryRoot, "dashboard/dist/web");
  const scripts = readdirSync(folder).filter((name) => name.endsWith(".js"));
  expect(scripts.toSorted()).toEqual(["app.js", "span-panel.js", "trace-page.js"]);
  const texts = scripts.map((name) => readFileSync(join(folder, name)));
  expect(texts.reduce((bytes, text) => bytes + gzipSync(text).length, 0)).toBeLessThanOrEqual(100 * 1024);
});
