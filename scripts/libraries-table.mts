import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { registry } from "../instrumentations/registry.ts";
import type { LibraryDescription } from "../test/libraries/description.ts";

const folder = join(import.meta.dirname, "../test/libraries");

/** Not descriptions, but what they are made of. */
const PARTS = ["description.ts", "attributes.ts"];

/** Every description, in the order of their files. */
export async function loadDescriptions(): Promise<LibraryDescription[]> {
  const files = readdirSync(folder).filter((file) => file.endsWith(".ts") && !PARTS.includes(file));
  const modules = files.sort().map((file) => import(pathToFileURL(join(folder, file)).href));
  return (await Promise.all(modules)).flatMap((module) => Object.values(module as Record<string, LibraryDescription>));
}

/** The README's tables of libraries: what a user wants to know at once, and the rest to be opened. */
export async function renderLibraries(): Promise<string> {
  const descriptions = await loadDescriptions();
  const overview = descriptions.map((one) => [
    supported(one),
    one.spans,
    one.captured,
    one.limits.length === 1 ? (one.limits[0] as string) : one.limits.map((limit) => `- ${limit}`).join("<br>"),
  ]);
  const details = descriptions.map((one) => [
    titleOf(one),
    one.attributes.toSorted().map(code).join(" ") || "none of their own",
    [...Object.entries(one.packages).map(([name, versions]) => `${name} ${versions.join(", ")}`), one.server].join(
      "; ",
    ),
  ]);
  return [
    table(["library and versions", "a span is", "recorded", "known limits"], overview),
    "<details><summary>Attributes of each, and what the tests run</summary>",
    table(["library", "attributes", "tested with"], details),
    "</details>",
  ].join("\n\n");
}

function titleOf({ title, packages, instrumentation }: LibraryDescription): string {
  return title ?? (Object.keys(packages).map(code).join(", ") || code(instrumentation));
}

/** "`pg` >=8.0.3 <9": what the loader goes by, for all files of a package together. */
function supported({ title, instrumentation }: LibraryDescription): string {
  const ranges = new Map<string, string[]>();
  for (const { name, versions } of registry.find((entry) => entry.name === instrumentation)?.modules ?? []) {
    ranges.set(name, [...(ranges.get(name) ?? []), ...versions.split(" || ")]);
  }
  const packages = [...ranges].map(([name, versions]) => `${code(name)} ${unionOf(versions)}`);
  return (title === undefined ? packages : [title, ...packages]).join("<br>");
}

/** Ranges are ">=a <b". */
function unionOf(ranges: readonly string[]): string {
  const sorted = ranges.map((range) => range.slice(2).split(" <") as [from: string, to: string]).toSorted(byVersion);
  const merged: Array<[from: string, to: string]> = [];
  for (const [from, to] of sorted) {
    const last = merged.at(-1);
    if (last === undefined || byVersion([last[1]], [from]) < 0) merged.push([from, to]);
    else if (byVersion([last[1]], [to]) < 0) last[1] = to;
  }
  return merged.map(([from, to]) => `>=${from} <${to}`).join(" or ");
}

function byVersion([a]: readonly [string, ...unknown[]], [b]: readonly [string, ...unknown[]]): number {
  return a.localeCompare(b, "en", { numeric: true });
}

const code = (text: string): string => `\`${text}\``;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), `|${head.map(() => "---|").join("")}`, ...rows.map(line)].join("\n");
}
