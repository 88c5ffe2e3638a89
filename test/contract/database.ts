import { expect, test } from "vitest";
import type { ReceivedSpan } from "../support/otlp-receiver.ts";
import { describeInstalls, type InstallsContract, type TracedInstall } from "./installs.ts";
import { childrenOf, type ScenarioRun, seenIn, warningsIn } from "./scenarios.ts";

/** What a library's scenarios may show besides plain queries; each is a method its application gives `runDatabase`. */
export type DatabaseAbility =
  | "callback"
  | "prepared"
  | "stream"
  | "transaction"
  | "lost connection"
  | "timeout"
  | "abort";

/** Its `env` gives each run a database of its own. */
export interface DatabaseContract extends InstallsContract {
  /** `db.system.name`. */
  readonly system: string;
  /** What every query's span has besides: `db.namespace`, `server.address`, … Asked once the servers run. */
  target(): Record<string, unknown>;
  /** As in the application; default "?". */
  placeholder?(position: number): string;
  readonly abilities: readonly DatabaseAbility[];
  /** `error.type` and `db.response.status_code` where a table or column is missing, a key is there already. */
  readonly errors: Readonly<Record<"missingTable" | "missingColumn" | "duplicate", DatabaseError>>;
  /** `error.type` of the abilities that end in a failure. */
  readonly failures?: Partial<Record<"lost connection" | "timeout" | "abort", string | RegExp>>;
  /** False where results cannot be counted. Default true. */
  readonly countsRows?: boolean;
  /** False where a transaction is no span of its own. Default true. */
  readonly hasTransactionSpan?: boolean;
}

export interface DatabaseError {
  readonly type: string;
  /** Undefined where the database has no such code. */
  readonly status?: string;
}

export interface TracedDatabase extends TracedInstall {
  /** What is particular to each span of a scenario: keys shortened ("$0", "returned_rows", "affected_rows"), shared ones left out. */
  brief(scenario: string): Array<Record<string, unknown>>;
}

/**
 * Declares the tests every SQL instrumentation passes, for each install as ES modules and for the last one as CommonJS.
 * `own` declares the library's own beside them, over the same runs; `after` gets its spans of all traced runs, for
 * `expectDescribed`.
 */
export function databaseContract(
  contract: DatabaseContract,
  own: (traced: TracedDatabase) => void,
  after: (spans: readonly ReceivedSpan[]) => void,
): void {
  const last = describeInstalls(contract, (run, plain) => {
    const traced: TracedDatabase = { ...run, brief: (scenario) => run.spansIn(scenario).map(briefOf) };
    declareShared(contract, traced, plain);
    own(traced);
  });

  test("no parameter is captured when that is switched off, nor what an error message quotes of one", async () => {
    const { spans, bytes } = await last.run({ env: { TRACEKIT_CAPTURE: "-sql-parameters" } });
    expect(spans.filter(last.isOurs).length).toBeGreaterThan(20);
    expect(spans.flatMap(({ attributes }) => Object.keys(attributes)).join()).not.toContain("parameter");
    expect(["x7k9m2", "hunter2", "a@b.example"].filter((value) => bytes.includes(value))).toEqual([]);
  }, 200_000);

  test("the spans have the attributes that are described, and no others", () => after(last.spans()));
}

function declareShared(contract: DatabaseContract, traced: TracedDatabase, plain: () => ScenarioRun): void {
  const { spansIn, brief } = traced;
  const counts = contract.countsRows !== false;
  const { missingTable, missingColumn, duplicate } = contract.errors;

  test("the application sees the same results, errors, promises, functions and warnings as without us", () => {
    expect(seenIn(traced.run())).toEqual(seenIn(plain()));
    expect(JSON.stringify(seenIn(plain()))).not.toContain("unexpected ");
    expect(warningsIn(traced.run())).toBe(warningsIn(plain()));
  });

  test("continuations, callbacks and rows run in the context of whoever made the call", () => {
    for (const { name, where } of traced.run().told.values())
      expect({ name, where }).toEqual({ name, where: where.map(() => true) });
    expect([...traced.run().told.values()].flatMap(({ where }) => where).length).toBeGreaterThan(10);
  });

  test("every call is one client span under its caller, of this database", () => {
    const { spans, told } = traced.run();
    const ours = spans.filter(({ scope }) => scope.name === scopeOf(contract));
    for (const { name, kind, attributes } of ours) {
      if (name === "transaction") expect(kind).toBe("INTERNAL");
      else expect({ name, kind }).toEqual({ name, kind: "CLIENT" });
      expect(attributes).toMatchObject({ "db.system.name": contract.system });
    }
    expect(spansIn("rows")[0]?.attributes).toMatchObject(contract.target());
    for (const name of ["rows", "changes", "null and long", "failure", "secrets", "unhandled failure"])
      expect({ name, count: spansIn(name).length }).toEqual({ name, count: SPANS[name] });
    for (const name of ["callback", "callback failure", "throwing callback", "prepared"])
      if (told.has(name)) expect({ name, count: spansIn(name).length }).toEqual({ name, count: SPANS[name] });
  });

  test("a query has its summary, text, parameters and rows", () => {
    const [span] = spansIn("rows");
    const { placeholder = () => "?" } = contract;
    expect(span).toMatchObject({ name: "SELECT urls", status: { code: "UNSET" }, events: [], links: [] });
    expect(span?.attributes).toMatchObject({
      "db.query.summary": "SELECT urls",
      "db.query.text": `SELECT url FROM urls WHERE id = ${placeholder(1)}`,
      "db.query.parameter.0": "x7k9m2",
    });
    expect(brief("rows")).toMatchObject([{ $0: "x7k9m2" }, { name: "SELECT numbers", $0: "3" }]);
    if (counts) expect(brief("rows")).toMatchObject([{ returned_rows: 0 }, { returned_rows: 3 }]);
  });

  test("a change says how many rows it affected", () => {
    expect(brief("changes")).toMatchObject([
      { name: "INSERT urls", $0: "a", $1: "http://a", $2: "b", $3: "http://b", ...(counts && { affected_rows: 2 }) },
      { name: "UPDATE urls", $0: "http://z", $1: "none", ...(counts && { affected_rows: 2 }) },
      { name: "DELETE urls", $0: "a", ...(counts && { affected_rows: 1 }) },
    ]);
  });

  test("a long parameter is cut to the budget", () => {
    const [span] = brief("null and long");
    expect(span).toMatchObject({ $0: "null", $1: expect.stringMatching(/^x+…$/) as string });
    expect(Buffer.byteLength(String(span?.["$1"]))).toBeLessThanOrEqual(4096);
  });

  test("a failure has its code and its message, and says nothing twice", () => {
    const [span] = spansIn("failure");
    expect(span).toMatchObject({
      name: "SELECT nowhere",
      status: { code: "ERROR", message: expect.stringContaining("nowhere") as string },
      attributes: failureAttributes(missingTable),
    });
    expect(span?.events.map(({ name }) => name)).toEqual(["exception"]);
    expect(spansIn("unhandled failure")[0]).toMatchObject({
      status: { code: "ERROR" },
      attributes: failureAttributes(missingColumn),
    });
  });

  test("a secret arrives nowhere: not as a parameter, not as a literal, not in an error's message", () => {
    expect(brief("secrets")).toMatchObject([
      { name: "INSERT users", $0: "a@b.example", $1: "REDACTED" },
      { name: "INSERT users", $1: "REDACTED", "error.type": duplicate.type },
      { name: "SELECT users", $0: "REDACTED" },
      { name: "UPDATE users", $0: "REDACTED", $1: "a@b.example" },
      { name: "SELECT urls" },
    ]);
    expect(spansIn("secrets")[4]?.attributes["db.query.text"]).toBe("SELECT url FROM urls WHERE id = ?");
    expect(traced.run().bytes.includes("hunter2")).toBe(false);
  });

  test("queries at the same time are each under their own caller", () => {
    for (let index = 0; index < 6; index++) {
      const name = `concurrent ${index}`;
      expect(brief(name).map(({ $0 }) => $0)).toEqual([name, name]);
    }
  });

  test("below an unsampled parent nothing is recorded", () => {
    expect(traced.run().told.has("unsampled")).toBe(true);
    expect(traced.run().bytes.includes("decision")).toBe(false);
    expect(traced.run().spans.filter(({ traceId }) => traceId === "a".repeat(32))).toEqual([]);
  });

  test("the application has run the scenarios of exactly these abilities", () => {
    const shown = Object.keys(declareAbility).filter((name) => traced.run().told.has(name));
    expect(shown.sort()).toEqual([...contract.abilities].sort());
  });

  for (const ability of contract.abilities) declareAbility[ability](contract, traced);
}

/** What an ability promises. */
const declareAbility: Readonly<Record<DatabaseAbility, (contract: DatabaseContract, traced: TracedDatabase) => void>> =
  {
    callback({ errors, countsRows }, { spansIn, brief }) {
      test("a callback ends the span once, whatever it is told and whatever it throws", () => {
        const row = countsRows !== false && { returned_rows: 1 };
        expect(brief("callback")).toMatchObject([
          { name: "SELECT numbers", $0: "1", ...row },
          { name: "SELECT numbers", $0: "2", ...row },
        ]);
        expect(spansIn("callback failure")[0]?.attributes).toMatchObject(failureAttributes(errors.missingTable));
        expect(spansIn("throwing callback")[0]).toMatchObject({ status: { code: "UNSET" }, events: [] });
      });
    },
    prepared({ errors, countsRows, placeholder = () => "?" }, { spansIn, brief }) {
      test("a prepared statement has its text and parameters each time it runs", () => {
        const text = `SELECT n FROM numbers WHERE n = ${placeholder(1)}`;
        const row = countsRows !== false && { returned_rows: 1 };
        expect(spansIn("prepared").map(({ attributes }) => attributes["db.query.text"])).toEqual([
          text,
          text,
          "SELECT * FROM nowhere",
        ]);
        expect(brief("prepared")).toMatchObject([
          { $0: "1", ...row },
          { $0: "2", ...row },
          { "error.type": errors.missingTable.type },
        ]);
      });
    },
    stream({ errors, countsRows }, { spansIn, brief }) {
      test("a stream is one span, whether it is read to its end, left early or fails", () => {
        const rows = countsRows !== false && { returned_rows: 25 };
        expect(brief("stream")).toMatchObject([{ name: "SELECT numbers", $0: "0", ...rows }]);
        expect(spansIn("stream left early")).toMatchObject([{ name: "SELECT numbers", status: { code: "UNSET" } }]);
        expect(spansIn("stream failure")).toMatchObject([
          { status: { code: "ERROR" }, attributes: failureAttributes(errors.missingTable) },
        ]);
      });
    },
    transaction({ hasTransactionSpan }, traced) {
      if (hasTransactionSpan !== false) declareTransactionSpans(traced);
    },
    "lost connection": (contract, traced) => declareFailure("lost connection", contract, traced),
    timeout: (contract, traced) => declareFailure("timeout", contract, traced),
    abort: (contract, traced) => declareFailure("abort", contract, traced),
  };

function declareTransactionSpans({ run, spansIn }: TracedDatabase): void {
  /** The one transaction below a scenario: how it ended, and the names of what is in it. */
  const transactionIn = (scenario: string): { outcome: unknown; names: string[]; status: string } => {
    const [span, ...others] = spansIn(scenario).filter(({ name }) => name === "transaction");
    const children = childrenOf(run(), span);
    const isInside = children.map(({ endTimeUnixNano }) => endTimeUnixNano <= (span?.endTimeUnixNano ?? 0n));
    expect({ others, isInside }).toEqual({ others: [], isInside: children.map(() => true) });
    return {
      outcome: span?.attributes["tracekit.db.transaction_outcome"],
      names: children.map(({ name }) =>
        name
          .replace(/^(?:START TRANSACTION|BEGIN).*/i, "BEGIN")
          .replace(/^(?:commit|rollback)$/, (word) => word.toUpperCase()),
      ),
      status: span?.status.code ?? "",
    };
  };

  test("a transaction is a span around its queries, from its beginning to its end", () => {
    expect(transactionIn("transaction")).toEqual({
      outcome: "commit",
      names: ["BEGIN", "INSERT urls", "SELECT urls", "COMMIT"],
      status: "UNSET",
    });
    expect(spansIn("transaction").map(({ name }) => name)).toEqual(["transaction", "SELECT urls"]);
    expect(transactionIn("transaction rolled back")).toEqual({
      outcome: "rollback",
      names: ["BEGIN", "INSERT urls", "ROLLBACK"],
      status: "UNSET",
    });
    expect(transactionIn("transaction failure")).toEqual({
      outcome: "rollback",
      names: ["BEGIN", "SELECT nowhere", "ROLLBACK"],
      status: "UNSET",
    });
  });

  test("transactions at the same time do not mix", () => {
    for (const name of ["transaction one", "transaction two"]) {
      expect(transactionIn(name).names).toEqual(["BEGIN", "SELECT urls", "COMMIT"]);
      const [span] = spansIn(name);
      expect(childrenOf(run(), span)[1]?.attributes["db.query.parameter.0"]).toBe(name);
    }
  });
}

function declareFailure(
  name: "lost connection" | "timeout" | "abort",
  { failures }: DatabaseContract,
  { spansIn }: TracedDatabase,
): void {
  test(`a query that ends by ${name} is one failed span`, () => {
    const failed = spansIn(name).filter(({ status }) => status.code === "ERROR");
    expect(failed).toHaveLength(1);
    const type = failures?.[name] ?? /./;
    expect(failed[0]?.attributes["error.type"]).toMatch(typeof type === "string" ? new RegExp(`^${type}$`) : type);
  });
}

/** Calls in each scenario of `database-app.cjs`. */
const SPANS: Readonly<Record<string, number>> = {
  rows: 2,
  changes: 3,
  "null and long": 1,
  failure: 1,
  secrets: 5,
  "unhandled failure": 1,
  callback: 2,
  "callback failure": 1,
  "throwing callback": 1,
  prepared: 3,
};

function scopeOf({ instrumentation }: DatabaseContract): string {
  return `@tracekit/auto/${instrumentation}`;
}

function failureAttributes({ type, status }: DatabaseError): Record<string, unknown> {
  return { "error.type": type, ...(status !== undefined && { "db.response.status_code": status }) };
}

const COMMON = /^(?:db\.(?:system\.name|namespace|query\.(?:text|summary))|server\.)/;

/** What is particular about a span: keys shortened, those that all have left out. */
export function briefOf({ name, attributes, status }: ReceivedSpan): Record<string, unknown> {
  const entries = Object.entries(attributes).filter(([key]) => !COMMON.test(key));
  const short = (key: string): string =>
    key.replace("db.query.parameter.", "$").replace(/^(?:tracekit\.)?db\.(?:response\.)?/, "");
  return {
    name,
    ...Object.fromEntries(entries.map(([key, value]) => [short(key), value])),
    ...(status.code === "ERROR" && { message: status.message }),
  };
}
