import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { databaseContract } from "../contract/database.ts";
import { childrenOf } from "../contract/scenarios.ts";
import { expectDescribed } from "../libraries/description.ts";
import description from "../libraries/pg.ts";
import { cannotCompile, compileBindings } from "../support/compile.ts";

const native = { pg: "8.23.1", "pg-native": "3.9.0" };
const databaseUrl = (): string => process.env["TRACEKIT_TEST_POSTGRES_URL"] as string;
let runs = 0;

const packages = "libpq-dev g++ make python3";

describe.skipIf(cannotCompile("pg over libpq", packages, "pg_config"))("pg over libpq", () => {
  beforeAll(() => compileBindings(native, "libpq", packages), 200_000);

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
