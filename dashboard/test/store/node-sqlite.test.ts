import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../../..");

test("every test of the store passes with node:sqlite, too", { timeout: 900_000 }, async () => {
  const { installNode } = (await import(join(root, "scripts/node-binaries.mjs"))) as {
    installNode(version: string): string;
  };
  await runTests(installNode("24.21.0"), []);
  // The oldest that has it, which also warns of it.
  expect(await runTests(installNode("22.23.3"), ["queries"])).not.toContain("ExperimentalWarning");
});

/** Gives what the run printed. Rejects with it when a test fails. */
async function runTests(node: string, files: readonly string[]): Promise<string> {
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  const child = spawn(node, [vitest, "run", "--config", join(import.meta.dirname, "vitest.config.mts"), ...files], {
    cwd: root,
    env: { ...process.env, TRACEKIT_TEST_DRIVER: "node:sqlite" },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => (output += text.toString()));
  const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
  if (status !== 0) throw new Error(output);
  return output;
}
