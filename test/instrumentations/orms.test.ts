import { execFile } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { briefOf } from "../contract/database.ts";
import { childrenOf, runScenarios, type ScenarioRun } from "../contract/scenarios.ts";
import description from "../libraries/orms.ts";
import { installLibraries } from "../support/library.ts";
import { withLock } from "../support/lock.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { cleanEnvironment } from "../support/started.ts";

const folder = join(import.meta.dirname, "orms");
const databaseUrl = (): string => process.env["TRACEKIT_TEST_POSTGRES_URL"] as string;
const DRIVERS = { pg: "8.23.1", postgres: "3.4.9" };
/** MikroORM 7 gathers with it where it is installed; 6 brings it. */
const DATALOADER = { dataloader: "2.2.3" };
let runs = 0;

interface Orm {
  readonly title: string;
  /** Its application, in `orms/`. */
  readonly app: string;
  readonly install: Readonly<Record<string, string>>;
  readonly driver?: keyof typeof DRIVERS;
  /** Queries of `gathered` in the application. */
  readonly gathered?: readonly string[];
  /** What has parameters, rather than its values in the text. Default "all". */
  readonly binds?: "all" | "changes" | "nothing";
}

/** One for each version described. */
function ormsOf(name: string, orm: Omit<Orm, "title" | "install">, ...others: readonly string[]): Orm[] {
  return (description.packages[name] ?? []).map((version) => ({
    ...orm,
    title: `${name} ${version}`,
    install: {
      [name]: version,
      ...Object.fromEntries(others.map((other) => [other, version])),
      pg: DRIVERS.pg,
      ...(name.startsWith("@mikro") && DATALOADER),
    },
  }));
}

const drizzle = { "drizzle-orm": description.packages["drizzle-orm"]?.[0] as string, ...DRIVERS };
const orms: readonly Orm[] = [
  ...ormsOf("@prisma/client", { app: "prisma.mjs", gathered: ["SELECT"] }, "@prisma/adapter-pg", "prisma"),
  { title: "drizzle-orm over pg", app: "drizzle.mjs", install: drizzle },
  { title: "drizzle-orm over postgres", app: "drizzle.mjs", install: drizzle, driver: "postgres" },
  ...ormsOf("typeorm", { app: "typeorm.mjs" }),
  ...ormsOf("sequelize", { app: "sequelize.mjs", binds: "changes" }),
  ...ormsOf("knex", { app: "knex.mjs" }),
  ...ormsOf("kysely", { app: "kysely.mjs" }),
  ...ormsOf(
    "@mikro-orm/postgresql",
    { app: "mikro-orm.mjs", gathered: ["SELECT", "SELECT"], binds: "nothing" },
    "@mikro-orm/core",
  ),
];

let receiver: OtlpReceiver;
beforeAll(async () => {
  receiver = await startOtlpReceiver();
});
afterAll(() => receiver.close());

describe.each(orms)("$title", ({ app, install, driver = "pg", gathered, binds = "all" }) => {
  let run: ScenarioRun;
  beforeAll(async () => {
    const libraries = await installLibraries(install);
    if ("prisma" in install) await generatePrismaClient(libraries, install["prisma"] as string);
    run = await runScenarios(receiver, {
      code: readFileSync(join(folder, app), "utf8"),
      libraries,
      env: { DATABASE_URL: databaseUrl(), DATABASE: await createDatabase(), DRIVER: driver },
      timeoutMillis: 120_000,
    });
  }, 600_000);

  /** The spans of a scenario's queries, wherever below it they are. */
  function queriesIn(scenario: string | ReceivedSpan): ReceivedSpan[] {
    return childrenOf(run, scenario).flatMap((span) =>
      span.name === "transaction" ? queriesIn(span) : [span, ...queriesIn(span)],
    );
  }
  const requests = ["ann", "bob"];
  const valuesOf = (span: ReceivedSpan): unknown[] =>
    Object.entries(span.attributes).flatMap(([key, value]) => (key.startsWith("db.query.parameter.") ? [value] : []));

  test("gives the application its results, in the context of its request", () => {
    for (const name of requests) {
      expect(run.told.get(name)).toEqual({
        name,
        seen: [{ email: `${name}@example.com`, titles: [`title of ${name}`] }, true],
        where: [true, true, true, true],
      });
    }
  });

  test("shows each query with its parameters, below the request that made it", () => {
    for (const name of requests) {
      const email = `${name}@example.com`;
      const queries = queriesIn(name);
      expect(queries.every(({ scope }) => scope.name === `@tracekit/auto/${driver}`)).toBe(true);
      const changes = binds === "nothing" ? [] : [email, "REDACTED"];
      expect(queries.filter((span) => /^insert.*users/i.test(span.name)).map(valuesOf)).toEqual([
        expect.arrayContaining(changes),
        expect.arrayContaining(changes),
      ]);
      expect(queries.filter((span) => /^insert.*posts/i.test(span.name)).map(valuesOf)).toEqual([
        expect.arrayContaining(binds === "nothing" ? [] : [`title of ${name}`]),
      ]);
      const reads = queries.filter((span) => /^select.*users/i.test(span.name));
      expect(reads.length).toBeGreaterThanOrEqual(2);
      if (binds === "all")
        expect(reads.filter((span) => valuesOf(span).includes(email)).length).toBeGreaterThanOrEqual(2);
      // What belongs to the request is nowhere else.
      const inside = new Set(queries.map(({ spanId }) => spanId));
      const others = requests.filter((other) => other !== name).flatMap(queriesIn);
      expect(others.filter((span) => inside.has(span.spanId) || valuesOf(span).join().includes(name))).toEqual([]);
    }
  });
  test("shows no query anywhere else, but for those of its own start", () => {
    const roots = run.spans.filter(({ parentSpanId, scope }) => parentSpanId === "" && scope.name !== "app");
    expect(roots.filter((span) => /users|posts/i.test(span.name) && !span.name.startsWith("CREATE"))).toEqual([]);
  });

  test("shows the transaction around its queries", () => {
    for (const name of requests) {
      const transactions = childrenOf(run, name).filter((span) => span.name === "transaction");
      const ofPost = transactions.filter((span) => queriesIn(span).some((query) => /^insert.*posts/i.test(query.name)));
      expect(ofPost.map(briefOf)).toEqual([{ name: "transaction", transaction_outcome: "commit" }]);
      const names = queriesIn(ofPost[0] as ReceivedSpan).map((query) => query.name.split(" ")[0]?.toUpperCase());
      expect(names.filter((word) => word !== "SET")).toEqual([
        expect.stringMatching(/^(?:BEGIN|START)$/),
        "SELECT",
        "INSERT",
        "COMMIT",
      ]);
    }
  });

  test("shows the query that failed", () => {
    for (const name of requests) {
      const failed = queriesIn(name).filter(({ status }) => status.code === "ERROR");
      expect(failed.map(({ attributes }) => attributes["db.response.status_code"])).toEqual(["23505"]);
    }
  });

  test("shows no secret", () => {
    expect(run.bytes.includes("hunter2")).toBe(false);
  });

  test.runIf(gathered)("shows what it gathers in one turn as one query, in its request", () => {
    expect(run.told.get("gathered")?.where).toEqual([true]);
    expect(queriesIn("gathered").map(({ name }) => name.split(" ")[0]?.toUpperCase())).toEqual(gathered);
  });
});

async function createDatabase(): Promise<string> {
  const database = `tracekit_${process.pid}_orm_${runs++}`;
  const { default: pg } = await import("pg");
  const client = new pg.Client(databaseUrl());
  await client.connect();
  await client.query(`CREATE DATABASE ${database}`);
  await client.end();
  return database;
}

/**
 * Writes the client for `orms/schema.prisma` to where `@prisma/client` looks for it. The command wants to download engines that
 * this client does not use: naming any program keeps it from that, as it does that the schema's URL is known.
 */
async function generatePrismaClient(libraries: string, version: string): Promise<void> {
  const schemaFile = join(libraries, "schema.prisma");
  const text = readFileSync(join(folder, "schema.prisma"), "utf8");
  const isBefore7 = Number(version.split(".")[0]) < 7;
  const schema = isBefore7
    ? text.replace('"postgresql"', '"postgresql"\n  url = env("DATABASE_URL")')
    : text.replace(/^.*engineType.*\n/m, "");
  await withLock(`${libraries}-prisma`, async () => {
    if (existsSync(schemaFile) && readFileSync(schemaFile, "utf8") === schema) return;
    const unfinished = join(libraries, "unfinished.prisma");
    writeFileSync(unfinished, schema);
    const env = {
      ...cleanEnvironment(),
      DATABASE_URL: databaseUrl(),
      PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
      CHECKPOINT_DISABLE: "1",
    };
    const command = join(libraries, "node_modules/prisma/build/index.js");
    await promisify(execFile)(process.execPath, [command, "generate", "--schema", unfinished], { cwd: libraries, env });
    writeFileSync(schemaFile, schema);
  });
}
