import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";

const root = resolve(import.meta.dirname, "..");

/** Room → rooms it may import. A file directly in `src/` belongs to the composition and may import them all. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  "src/semconv": [],
  "src/diag": [],
  "src/config": ["src/semconv", "src/diag"],
  "src/capture": ["src/semconv", "src/diag"],
  "src/trace": ["src/semconv", "src/diag"],
  "src/loader": ["src/diag"],
  "src/instrumentation": ["src/semconv", "src/diag", "src/capture", "src/trace"],
  "src/export": ["src/semconv", "src/diag", "src/config", "src/trace"],
  instrumentations: ["src/semconv", "src/diag", "src/capture", "src/trace", "src/instrumentation"],
};

/** Reaches for something below the rooms: the chunk loader and our own version. */
const SHARED_FILES = new Set(["src/load-chunk.ts", "package.json"]);

const files = [...sources("src"), ...sources("instrumentations")];
const imports = new Map(files.map((file) => [file, importsOf(file)]));

describe("imports run one way", () => {
  test("a room imports only the rooms before it", () => {
    const wrong: string[] = [];
    for (const [file, targets] of imports) {
      const room = roomOf(file);
      const allowed = MAY_IMPORT[room];
      if (allowed === undefined) continue;
      for (const { target } of targets) {
        const other = roomOf(target);
        if (other !== room && !allowed.includes(other) && !SHARED_FILES.has(target))
          wrong.push(`${file} imports ${target}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test("no file imports itself through others, types aside", () => {
    const cycles: string[] = [];
    const done = new Set<string>();
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) {
        cycles.push([...path.slice(path.indexOf(file)), file].join(" → "));
        return;
      }
      if (done.has(file)) return;
      for (const { target, typeOnly } of imports.get(file) ?? []) if (!typeOnly) visit(target, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
    expect(cycles).toEqual([]);
  });

  test("only src/config reads process.env", () => {
    const readers = files.filter((file) =>
      /process\.env\b/.test(withoutComments(readFileSync(join(root, file), "utf8"))),
    );
    // The command line hands its own environment on to the command it starts.
    expect(readers.filter((file) => roomOf(file) !== "src/config" && file !== "src/cli.ts")).toEqual([]);
  });

  test("an instrumentation imports its library's types at most", () => {
    const wrong: string[] = [];
    for (const file of sources("instrumentations")) {
      const text = readFileSync(join(root, file), "utf8");
      for (const [statement, specifier] of text.matchAll(/^import [^;]*? from "([^."][^"]*)";/gms)) {
        if (!specifier?.startsWith("node:") && !statement.startsWith("import type"))
          wrong.push(`${file}: ${specifier}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});

function sources(folder: string): string[] {
  return readdirSync(join(root, folder)).flatMap((name) => {
    const path = `${folder}/${name}`;
    if (statSync(join(root, path)).isDirectory()) return sources(path);
    return name.endsWith(".ts") ? [path] : [];
  });
}

function roomOf(file: string): string {
  const [top, room = ""] = file.split("/") as [string, string?];
  if (top === "instrumentations") return file === "instrumentations/registry.ts" ? "composition" : top;
  return room === "" || room.includes(".") ? "composition" : `${top}/${room}`;
}

function importsOf(file: string): Array<{ target: string; typeOnly: boolean }> {
  const text = readFileSync(join(root, file), "utf8");
  return Array.from(text.matchAll(/^(?:import|export)\s([^;]*?)from "(\.[^"]+)";/gms), ([, clause, specifier]) => ({
    target: relative(root, resolve(root, dirname(file), specifier as string)),
    typeOnly:
      /^type\s/.test(clause as string) || /^\{(?:\s*type\s+\w+(?:\s+as\s+\w+)?\s*,?)+\}\s*$/.test(clause as string),
  }));
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/.*$/gm, "");
}
