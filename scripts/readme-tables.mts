import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { VARIABLES } from "../src/config/variables.ts";
import type { Variable } from "../src/config/variables.ts";
import { renderLibraries } from "./libraries-table.mts";

/** Writes the tables of libraries and of variables into README.md, each between its two markers. Run: `npm run docs`. */

const README = fileURLToPath(new URL("../README.md", import.meta.url));

const TYPES: Record<Variable["type"], string> = {
  boolean: "`true`, `false`",
  string: "text",
  integer: "number",
  millis: "milliseconds",
  timeout: "milliseconds",
  ratio: "0 to 1",
  url: "URL",
  attributes: "`name=value` list",
  headers: "`name=value` list",
  names: "list",
  methods: "list",
  capture: "list",
  redact: "list",
  hosts: "list",
  unsupported: "-",
  enum: "",
  enums: "list of ",
};

const cell = (text: string): string => text.replaceAll("|", "\\|");

const row = ({ name, type, values = [], default: fallback, shownDefault, description }: Variable): string => {
  const accepted = TYPES[type] + values.map((value) => `\`${value}\``).join(", ");
  const shown = shownDefault ?? (fallback === "" ? "-" : `\`${fallback}\``);
  return `| \`${name}\` | ${cell(accepted)} | ${cell(shown)} | ${cell(description)} |`;
};

/** The tables, one a group, in the order of VARIABLES. */
export function renderVariables(): string {
  const rows = VARIABLES as readonly Variable[];
  return [...new Set(rows.map(({ group }) => group))]
    .map((group) => {
      const lines = rows.filter((one) => one.group === group).map(row);
      return [`**${group}**`, "", "| variable | value | default | meaning |", "|---|---|---|---|", ...lines].join("\n");
    })
    .join("\n\n");
}

/** `readme` with fresh tables. Throws when a marker is missing. */
export async function withTables(readme: string): Promise<string> {
  return replaceBetween(replaceBetween(readme, "libraries", await renderLibraries()), "variables", renderVariables());
}

function replaceBetween(readme: string, name: string, tables: string): string {
  const [open, close] = [`<!-- ${name}:start -->`, `<!-- ${name}:end -->`];
  const start = readme.indexOf(open);
  const end = readme.indexOf(close);
  if (start < 0 || end < start) throw new Error(`README.md needs ${open} and, after it, ${close}`);
  // The formatter would pad every cell to the longest one.
  const unformatted = `<!-- prettier-ignore-start -->\n\n${tables}\n\n<!-- prettier-ignore-end -->`;
  return `${readme.slice(0, start)}${open}\n\n${unformatted}\n\n${readme.slice(end)}`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  writeFileSync(README, await withTables(readFileSync(README, "utf8")));
}
