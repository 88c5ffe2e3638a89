import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ensureBuilt } from "./built.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tracekit-built-"));
  for (const folder of ["src/deep", "scripts", "dist"]) mkdirSync(join(root, folder), { recursive: true });
  writeFileSync(join(root, "src/deep/a.ts"), "1");
  writeFileSync(
    join(root, "scripts/build.mjs"),
    `import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
    const source = readFileSync("src/deep/a.ts", "utf8");
    appendFileSync("builds", source);
    writeFileSync("dist/register.js", source);
    if (source === "save while building") writeFileSync("src/deep/a.ts", "2");
    if (source === "broken") { console.error("a.ts is broken"); process.exit(1); }`,
  );
});
afterEach(() => rmSync(root, { recursive: true }));

const builds = (): string => readFileSync(join(root, "builds"), "utf8");
async function save(text: string): Promise<void> {
  await sleep(20); // file systems tell times apart only so far
  writeFileSync(join(root, "src/deep/a.ts"), text);
  await sleep(20);
}

test("builds once for all who ask at the same time, and again only after a change", async () => {
  await Promise.all([ensureBuilt(root), ensureBuilt(root), ensureBuilt(root)]);
  await ensureBuilt(root);
  expect(builds()).toBe("1");
  await save("3");
  await ensureBuilt(root);
  expect(builds()).toBe("13");
  await sleep(20);
  appendFileSync(join(root, "src/deep/b.ts"), "");
  await sleep(20);
  await ensureBuilt(root);
  await sleep(20);
  rmSync(join(root, "src/deep/b.ts"));
  await sleep(20);
  await ensureBuilt(root);
  expect(builds()).toBe("1333");
});

test("builds again when a source was saved during the build", async () => {
  await save("save while building");
  await ensureBuilt(root);
  await ensureBuilt(root);
  expect(builds()).toBe("save while building2");
});

test("a failed build is reported every time, even if it left files", async () => {
  await save("broken");
  await expect(ensureBuilt(root)).rejects.toThrow("a.ts is broken");
  await expect(ensureBuilt(root)).rejects.toThrow("a.ts is broken");
});
