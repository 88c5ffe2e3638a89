import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { installNode } from "../../scripts/node-binaries.mjs";
import { databaseContract } from "../contract/database.ts";
import { expectDescribed } from "../libraries/description.ts";
import description from "../libraries/node-sqlite.ts";
import { runApp } from "../support/run-app.ts";
import { declareSqlite } from "./sqlite-tests.ts";

const head = `import { DatabaseSync } from "node:sqlite";
const library = "node:sqlite";
const openDatabase = (path) => new DatabaseSync(path);
`;

describe.each(description.packages["node:sqlite"] ?? [])("Node %s", (version) => {
  beforeAll(() => void vi.stubEnv("TRACEKIT_TEST_NODE", installNode(version)), 200_000);
  afterAll(() => void vi.unstubAllEnvs());

  databaseContract(
    {
      instrumentation: "node-sqlite",
      code: head + readFileSync(join(import.meta.dirname, "sqlite-app.mjs"), "utf8"),
      installs: [{}],
      env: () => ({}),
      system: "sqlite",
      target: () => ({ "db.namespace": expect.stringMatching(/shop\.db$/) as string }),
      abilities: ["prepared", "stream", "transaction"],
      errors: {
        missingTable: { type: "1", status: "1" },
        missingColumn: { type: "1", status: "1" },
        duplicate: { type: "2067", status: "2067" },
      },
    },
    (traced) => {
      declareSqlite(traced, "1", "2067");

      test.runIf(!version.startsWith("22"))("a template literal is a query with parameters", () => {
        expect(traced.brief("template literals")).toMatchObject([
          { name: "SELECT", $0: "one", returned_rows: 1 },
          { name: "SELECT numbers", $0: "3", returned_rows: 2 },
          { name: "UPDATE users", $0: "REDACTED", $1: "ann@b.example", affected_rows: 1 },
          { name: "SELECT numbers", $0: "4", returned_rows: 3 },
        ]);
      });

      test("a database in memory is called that", () => {
        expect(traced.spansIn("memory")[0]?.attributes["db.namespace"]).toBe(":memory:");
      });
    },
    (spans) => expectDescribed(description, spans),
  );

  test("an application that does not use it neither loads it nor reads a warning", async () => {
    const code = `console.log(process.moduleLoadList.includes("NativeModule sqlite"), Array.isArray(process.moduleLoadList));`;
    const { stdout, stderr } = await runApp({ code, env: { OTEL_TRACES_EXPORTER: "none" } });
    expect(stdout).toBe("false true\n");
    expect(stderr).not.toMatch(/Warning/);
  }, 60_000);

  test.each([
    ["import()", `const { DatabaseSync } = await import("node:sqlite");`],
    ["getBuiltinModule()", `const { DatabaseSync } = process.getBuiltinModule("node:sqlite"); await null;`],
  ])(
    "it is traced when it is loaded later, by %s",
    async (_how, load) => {
      const code = `
      ${load}
      const isTraced = (method) => Object.getOwnPropertySymbols(method).some(({ description }) => description === "tracekit.original");
      console.log(isTraced(DatabaseSync.prototype.exec), process.moduleLoadList.at(-1).length > 0);`;
      const { stdout } = await runApp({ code, env: { OTEL_TRACES_EXPORTER: "none" } });
      expect(stdout).toBe("true true\n");
    },
    60_000,
  );
});
