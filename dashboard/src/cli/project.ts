import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

/** The nearest folder from `start` upwards with a package.json or a .git; `start` where there is none. */
export function findProject(start: string): string {
  for (let folder = resolve(start); ; folder = dirname(folder)) {
    if (existsSync(join(folder, "package.json")) || existsSync(join(folder, ".git"))) return folder;
    if (dirname(folder) === folder) return resolve(start);
  }
}

/** The project's `.tracekit` folder, made if need be, with a `.gitignore` of everything in it. Throws what the file system does. */
export function makeTracekitFolder(project: string): string {
  const folder = join(project, ".tracekit");
  mkdirSync(folder, { recursive: true });
  const ignored = join(folder, ".gitignore");
  if (!existsSync(ignored)) writeFileSync(ignored, "*\n");
  return folder;
}
