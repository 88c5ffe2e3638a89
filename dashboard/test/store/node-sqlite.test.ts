import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { hasNodeSqlite } from "../../src/store/node-sqlite-driver.ts";

const root = join(import.meta.dirname, "../../..");

// The others have run with both drivers already.
test.skipIf(hasNodeSqlite())("every test of the store passes with node:sqlite, too", { timeout: 300_000 }, async () => {
  const { installNode, nodeVersions } = await import(join(root, "scripts/node-binaries.mjs"));
  for (const version of nodeVersions.filter((one: string) => /^2[24]\./.test(one))) {
    const { status, stdout, stderr } = spawnSync(
      installNode(version),
      [join(root, "node_modules/vitest/vitest.mjs"), "run", "--config", join(import.meta.dirname, "vitest.config.mts")],
      { cwd: root, encoding: "utf8", env: { ...process.env, TRACEKIT_TEST_DRIVER: "node:sqlite" } },
    );
    expect(status, `Node ${version}\n${stdout}\n${stderr}`).toBe(0);
    expect(stderr).not.toContain("ExperimentalWarning");
  }
});
