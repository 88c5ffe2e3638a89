import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { databaseContract } from "../contract/database.ts";
import { childrenOf } from "../contract/scenarios.ts";
import { expectDescribed } from "../libraries/description.ts";
import description from "../libraries/pg.ts";
import { findProgram } from "../services/service.ts";
import { installLibraries } from "../support/library.ts";
import { withLock } from "../support/lock.ts";

const native = { pg: "8.23.1", "pg-native": "3.9.0" };
const databaseUrl = (): string => process.env["TRACEKIT_TEST_POSTGRES_URL"] as string;
let runs = 0;

/** Compiles the bindings in the folder the contract installs, once. They are for the Node that runs the tests. */
async function compileBindings(): Promise<void> {
  const folder = await installLibraries(native);
  await withLock(`libpq ${folder}`, async () => {
    if (existsSync(join(folder, "node_modules/libpq/build/Release/addon.node"))) return;
    const prefix = join(dirname(process.execPath), "..");
    const hasHeaders = existsSync(join(prefix, "include/node/node.h"));
    const env = { ...process.env, ...(hasHeaders && { npm_config_nodedir: prefix }) };
    try {
      execFileSync("npm", ["rebuild", "libpq"], { cwd: folder, env, encoding: "utf8", stdio: "pipe" });
    } catch (error) {
      const why = "the bindings of pg-native cannot be compiled: apt-get install libpq-dev g++ make python3";
      throw new Error(`${why}\n${(error as { stderr?: string }).stderr ?? ""}`, { cause: error });
    }
  });
}

const missing = ["g++", "make", "python3", "pg_config"].filter((program) => findProgram(program) === undefined);
// pg-native ships no binaries, and whoever only wants to run the tests need not have a compiler. CI does: there it fails.
const cannotCompile = missing.length > 0 && process.env["CI"] === undefined;
if (cannotCompile) {
  console.error(`pg over libpq is NOT TESTED: this machine has no ${missing.join(", ")} (libpq-dev g++ make python3)`);
}

// Compiled for this Node, the bindings are of no use to another.
describe.skipIf(cannotCompile || Boolean(process.env["TRACEKIT_TEST_NODE"]))("pg over libpq", () => {
  beforeAll(compileBindings, 200_000);

  databaseContract(
    {
      instrumentation: "pg",
      code: readFileSync(join(import.meta.dirname, "pg-native-app.mjs"), "utf8"),
      installs: [native],
      env: () => ({ DATABASE_URL: databaseUrl(), DATABASE: `tracekit_native_${process.pid}_${runs++}` }),
      system: "postgresql",
      target() {
        const { hostname, port } = new URL(databaseUrl());
        return { "server.address": hostname, "server.port": Number(port) };
      },
      placeholder: (position) => `$${position}`,
      abilities: ["callback", "prepared", "transaction", "timeout", "abort"],
      errors: {
        missingTable: { type: "42P01", status: "42P01" },
        missingColumn: { type: "42703", status: "42703" },
        duplicate: { type: "23505", status: "23505" },
      },
      failures: { timeout: "Error", abort: "57014" },
    },
    ({ run, spansIn, brief }) => {
      test("a query object is a span, whether it succeeds or fails", () => {
        expect(brief("pg.Query").slice(1)).toMatchObject([
          { name: "SELECT numbers", returned_rows: 2 },
          { name: "SELECT nowhere", status_code: "42P01" },
        ]);
      });

      test("a transaction that nobody ends is over when its connection is", () => {
        const [, transaction] = spansIn("left open");
        expect(transaction?.attributes["tracekit.db.transaction_outcome"]).toBe("unfinished");
        expect(childrenOf(run(), transaction).map(({ name }) => name)).toEqual(["BEGIN"]);
      });

      test("a refused connection is a span", () => {
        expect(brief("refused")).toMatchObject([{ name: "pg.connect", "error.type": "Error" }]);
      });
    },
    (spans) => {
      const isPossible = (name: string): boolean => name !== "tracekit.db.omitted_parameters";
      expectDescribed({ ...description, attributes: description.attributes.filter(isPossible) }, spans);
    },
  );
});
