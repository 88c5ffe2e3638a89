import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { repositoryRoot } from "../test/support/built.ts";

/** Gives generated files the layout that `npm run check` wants of every file. */
export function format(...paths: string[]): void {
  const program = join(repositoryRoot, "node_modules/oxfmt/bin/oxfmt");
  execFileSync(process.execPath, [program, ...paths], { stdio: ["ignore", "ignore", "inherit"] });
}
