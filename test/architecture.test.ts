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
  "dashboard/src/model": [],
  "dashboard/src/analysis": ["dashboard/src/model"],
  "dashboard/src/receive": ["dashboard/src/model"],
  "dashboard/src/store": ["dashboard/src/model", "dashboard/src/receive"],
  "dashboard/src/server": ["dashboard/src/model", "dashboard/src/receive", "dashboard/src/store"],
  "dashboard/src/cli": ["analysis", "model", "server", "store"].map((room) => `dashboard/src/${room}`),
  // It runs in browsers.
  "dashboard/web": ["dashboard/src/model", "dashboard/src/analysis"],
};

/** Reaches for something below the rooms: the chunk loader, our own version, and what both command lines do with a command. */
const SHARED_FILES = new Set([
  "src/load-chunk.ts",
  "src/node-buffer.ts",
  "package.json",
  "src/run-command.ts",
  "dashboard/package.json",
]);

const auto = [...sources("src"), ...sources("instrumentations")];
const dashboard = [...sources("dashboard/src"), ...sources("dashboard/web")];
const imports = new Map([...auto, ...dashboard].map((file) => [file, importsOf(file)]));

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
    for (const file of imports.keys()) visit(file, []);
    expect(cycles).toEqual([]);
  });

  test("only src/config reads process.env", () => {
    const readers = auto.filter((file) => /process\.env\b/.test(withoutComments(textOf(file))));
    // The command line hands its own environment on to the command it starts.
    expect(readers.filter((file) => roomOf(file) !== "src/config" && file !== "src/cli.ts")).toEqual([]);
  });

  test("no encoding but UTF-8 goes through what applications decode UTF-8 with", () => {
    // Why: src/node-buffer.ts. A socket writes its text without a buffer.
    const encoding = /"(?:latin1|binary|ascii|hex|base64(?:url)?|utf-?16le|ucs-?2)"/;
    const users = auto.flatMap((file) =>
      Array.from(
        withoutComments(textOf(file)).matchAll(
          /(?:\.toString|(?<!socket)\.write|Buffer\.from|Buffer\.alloc)\([^;\n]*/g,
        ),
        ([call]) => `${file}: ${call}`,
      ).filter((use) => encoding.test(use)),
    );
    expect(users).toEqual([]);
  });

  test("no function is written straight into a property", () => {
    // Until V8 has compiled what surrounds it, it makes such a function in the old generation: what that refers to stays in
    // memory until the next full collection, and the young generation grows (`benchmarks/README.md`, "Memory").
    const intoProperty =
      /(?:\.\w+|\]) (?:\?\?)?= (?:async )?(?:function\b|\w+ =>|\((?:[^()]|\([^()]*\))*\)(?:: [\w<>, ]+)? =>)/g;
    const places = auto.flatMap((file) =>
      Array.from(withoutComments(textOf(file)).matchAll(intoProperty), ([place]) => `${file}: ${place}`),
    );
    expect(places).toEqual([]);
  });

  test("only dashboard/src/store reaches the database", () => {
    const readers = dashboard.filter((file) => /from "(?:node:sqlite|node-sqlite3-wasm)"/.test(textOf(file)));
    expect(readers.length).toBeGreaterThan(0);
    expect(readers.filter((file) => roomOf(file) !== "dashboard/src/store")).toEqual([]);
  });

  test("what browsers run imports nothing of Node", () => {
    const shared = dashboard.filter((file) => /^dashboard\/(?:web|src\/model|src\/analysis)\//.test(file));
    expect(shared.filter((file) => /from "node:/.test(textOf(file)))).toEqual([]);
  });

  test("an instrumentation imports its library's types at most", () => {
    const wrong: string[] = [];
    for (const file of sources("instrumentations")) {
      const text = textOf(file);
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
    return /\.tsx?$/.test(name) ? [path] : [];
  });
}

function textOf(file: string): string {
  return readFileSync(join(root, file), "utf8");
}

function roomOf(file: string): string {
  const match = /^(?:instrumentations|dashboard\/web|(?:dashboard\/)?src\/[^/.]+)(?=\/)/.exec(file);
  return match === null || file === "instrumentations/registry.ts" ? "composition" : match[0];
}

function importsOf(file: string): Array<{ target: string; typeOnly: boolean }> {
  return Array.from(
    textOf(file).matchAll(/^(?:import|export)\s([^;]*?)from "(\.[^"]+)";/gms),
    ([, clause, specifier]) => ({
      target: relative(root, resolve(root, dirname(file), specifier as string)),
      typeOnly:
        /^type\s/.test(clause as string) || /^\{(?:\s*type\s+\w+(?:\s+as\s+\w+)?\s*,?)+\}\s*$/.test(clause as string),
    }),
  );
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/.*$/gm, "");
}
