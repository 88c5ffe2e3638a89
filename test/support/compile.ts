import { execFile } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { findProgram } from "../services/service.ts";
import { installLibraries } from "./library.ts";
import { withLock } from "./lock.ts";

/**
 * True where bindings cannot be compiled: said once, with what there is to install. Whoever only wants to run the tests need not
 * have a compiler, but CI does: there this is false, and compiling fails. Also true when the applications run on another Node
 * (TRACEKIT_TEST_NODE), to which bindings compiled for this one are of no use.
 */
export function cannotCompile(what: string, packages: string, ...programs: string[]): boolean {
  if (process.env["TRACEKIT_TEST_NODE"]) return true;
  const missing = ["g++", "make", "python3", ...programs].filter((program) => findProgram(program) === undefined);
  if (missing.length === 0 || process.env["CI"] !== undefined) return false;
  console.error(`${what} is NOT TESTED: this machine has no ${missing.join(", ")} (${packages})`);
  return true;
}

/**
 * Compiles the bindings of one package in a folder of `installLibraries`, once, for the Node that runs the tests. Not optimised,
 * which takes a third of the time. Throws with the compiler's output, and what there is to install.
 */
export async function compileBindings(
  install: Readonly<Record<string, string>>,
  name: string,
  packages: string,
): Promise<void> {
  const folder = await installLibraries(install);
  await withLock(`compile ${folder}`, async () => {
    const build = join(folder, "node_modules", name, "build");
    const compiled = join(build, `for-node-abi-${process.versions.modules}`);
    if (existsSync(compiled)) return;
    rmSync(build, { recursive: true, force: true });
    const prefix = join(dirname(process.execPath), "..");
    const hasHeaders = existsSync(join(prefix, "include/node/node.h"));
    const env = {
      ...process.env,
      CFLAGS: "-O0",
      CXXFLAGS: "-O0",
      JOBS: "2",
      // Not somebody's binaries, which would be another version of them and another place to reach.
      npm_config_build_from_source: "true",
      ...(hasHeaders && { npm_config_nodedir: prefix }),
    };
    try {
      await promisify(execFile)("npm", ["rebuild", name], { cwd: folder, env });
    } catch (error) {
      const why = `the bindings of ${name} cannot be compiled: apt-get install ${packages}`;
      throw new Error(`${why}\n${(error as { stderr?: string }).stderr ?? ""}`, { cause: error });
    }
    writeFileSync(compiled, "");
  });
}
