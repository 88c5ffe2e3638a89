import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { registry } from "../instrumentations/registry.ts";
import type { LibraryDescription } from "../test/libraries/description.ts";

const folder = join(import.meta.dirname, "../test/libraries");

/** Every description, in the order of their files. */
export async function loadDescriptions(): Promise<LibraryDescription[]> {
  const files = readdirSync(folder).filter((file) => file !== "description.ts" && file.endsWith(".ts"));
  const modules = files.sort().map((file) => import(pathToFileURL(join(folder, file)).href));
  return (await Promise.all(modules)).flatMap((module) => Object.values(module as Record<string, LibraryDescription>));
}

const code = (text: string): string => `\`${text}\``;
const cell = (text: string): string => text.replaceAll("|", "\\|");

/** The README's table of libraries. */
export async function renderLibraries(): Promise<string> {
  const rows = (await loadDescriptions()).map((description) => {
    const { instrumentation, packages, title, server, spans, attributes, captured, limits } = description;
    const modules = registry.find(({ name }) => name === instrumentation)?.modules ?? [];
    const supported = new Map<string, Set<string>>();
    for (const { name, versions } of modules) supported.set(name, (supported.get(name) ?? new Set()).add(versions));
    const libraries = [
      ...(title === undefined ? [] : [title]),
      ...[...supported].map(([name, ranges]) => `${code(name)} ${[...ranges].join(", ")}`),
    ];
    const tested = Object.entries(packages).map(([name, versions]) => `${name} ${versions.join(", ")}`);
    const cells = [
      libraries.join("<br>"),
      spans,
      captured,
      attributes.map(code).join(" "),
      limits.join(" ") || "-",
      [...tested, server].join("; "),
    ];
    return `| ${cells.map(cell).join(" | ")} |`;
  });
  const head = ["library and versions", "a span is", "recorded", "attributes", "limits", "tested with"];
  return [`| ${head.join(" | ")} |`, `|${head.map(() => "---|").join("")}`, ...rows].join("\n");
}
