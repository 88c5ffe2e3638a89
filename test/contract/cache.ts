import { expect, test } from "vitest";
import type { ReceivedSpan } from "../support/otlp-receiver.ts";
import { describeInstalls, type InstallsContract, type TracedInstall } from "./installs.ts";
import { type ScenarioRun, seenIn, warningsIn } from "./scenarios.ts";

/** What a cache may be able to do besides GET and SET; each is a scenario (or several) of `cache-app.cjs`. */
export type CacheAbility =
  | "getex"
  | "mget"
  | "exists"
  | "set nx"
  | "set get"
  | "hash"
  | "json"
  | "EX"
  | "PX"
  | "EXAT"
  | "SETEX"
  | "EXPIRE"
  | "pipeline"
  | "multi"
  | "callback"
  | "waiting"
  | "lost connection"
  | "hostile";

export interface CacheContract extends InstallsContract {
  /** What every command's span has: `db.system.name`, `server.address`, … Asked once the server runs. */
  target(): Record<string, unknown>;
  readonly abilities: readonly CacheAbility[];
  /** `error.type`, and `db.response.status_code` where the server has such codes, of what `fail` gets. `hasNoException` where the
   *  library makes an error of the server's status only after the span. */
  readonly failure: { readonly type: string; readonly status?: string; readonly hasNoException?: boolean };
  /** `error.type` of the command that lost its connection. */
  readonly lostConnection?: string | RegExp;
  /** True where several items are read by one span but not by one command, so that they have no batch size. */
  readonly hasNoBatchSize?: boolean;
}

/**
 * Declares the tests every cache instrumentation passes, for each install as ES modules and for the last one as CommonJS.
 * `own` declares the library's own beside them, over the same runs; `after` gets its spans of all traced runs, for
 * `expectDescribed`.
 */
export function cacheContract(
  contract: CacheContract,
  own: (traced: TracedInstall) => void,
  after: (spans: readonly ReceivedSpan[]) => void,
): void {
  const last = describeInstalls(contract, (run, plain) => {
    // A pool's or proxy's spans may stand beside them.
    const traced = { ...run, spansIn: (scenario: string) => run.spansIn(scenario).filter(last.isOurs) };
    declareShared(contract, traced, plain);
    own(traced);
  });

  test("no key and no value is captured when that is switched off", async () => {
    const { spans, bytes } = await last.run({ env: { TRACEKIT_CAPTURE: "-cache-keys,-cache-values,-messages" } });
    expect(spans.filter(last.isOurs).length).toBeGreaterThan(20);
    expect(["nowhere", "12345", "hunter2", "Ann"].filter((text) => bytes.includes(text))).toEqual([]);
  }, 200_000);

  test("without sampling there are no spans, and nothing changes", async () => {
    const unsampled = await last.run({ env: { OTEL_TRACES_SAMPLER: "always_off" } });
    expect(unsampled.spans).toEqual([]);
    expect(withoutContext(unsampled)).toEqual(withoutContext(await last.plain()));
  }, 200_000);

  test("the spans have the attributes that are described, and no others", () => after(last.spans()));
}

function declareShared(contract: CacheContract, traced: TracedInstall, plain: () => ScenarioRun): void {
  const { spansIn } = traced;
  const can = (ability: CacheAbility): boolean => contract.abilities.includes(ability);

  test("the application sees the same replies, errors, promises and warnings as without us", () => {
    expect(withoutContext(traced.run())).toEqual(withoutContext(plain()));
    expect(JSON.stringify(seenIn(plain()))).not.toContain("unexpected ");
    expect(warningsIn(traced.run())).toBe(warningsIn(plain()));
  });

  test("continuations and callbacks run in the context of whoever made the call", () => {
    for (const { name, where } of traced.run().told.values())
      expect({ name, where }).toEqual({ name, where: where.map(() => true) });
    expect([...traced.run().told.values()].flatMap(({ where }) => where).length).toBeGreaterThan(8);
    const values = traced.run().told.get("concurrency")?.seen[0];
    expect(values).toEqual(Array.from({ length: 20 }, () => ["x", true]));
  });

  test("a command is one client span under its caller, of this server", () => {
    const [span, ...others] = spansIn("set");
    expect(others).toEqual([]);
    expect(span).toMatchObject({ kind: "CLIENT", status: { code: "UNSET" }, events: [], links: [] });
    expect(span?.attributes).toMatchObject({
      ...contract.target(),
      "cache.operation": "set",
      "cache.key": ["new"],
      "cache.item_size": 5,
      "tracekit.cache.value": "12345",
    });
    for (let index = 0; index < 20; index++) {
      const keys = spansIn(`request ${index}`).map(({ attributes }) => attributes["cache.key"]);
      expect(keys).toEqual([[`c${index}`], [`c${index}`]]);
    }
  });

  const told = [...READS, ...LIFETIMES].filter(([, , ability]) => ability === undefined || can(ability));
  test.each(told)("%s is one span that says %o", (scenario, expected) => {
    const spans = spansIn(scenario);
    expect(spans).toHaveLength(1);
    const { attributes } = spans[0] as ReceivedSpan;
    const shown: Record<string, unknown> = {};
    for (const name of Object.values(SHORT)) if (name in attributes) shown[short(name)] = attributes[name];
    const ttl = shown["ttl"];
    // A point in time is some seconds nearer by then.
    if (scenario === "ttl, EXAT" && typeof ttl === "number" && ttl > 50 && ttl <= 100) shown["ttl"] = 100;
    expect(shown).toEqual(expected);
  });

  test("what is refused is one failed span, which repeats no argument", () => {
    const { type, status, hasNoException } = contract.failure;
    const [failed] = spansIn("failure");
    expect(failed).toMatchObject({ status: { code: "ERROR" }, attributes: { "error.type": type } });
    expect(failed?.attributes["db.response.status_code"]).toBe(status);
    expect(failed?.events.map(({ name }) => name)).toEqual(hasNoException === true ? [] : ["exception"]);
    expect(spansIn("unhandled failure").map(({ status: { code } }) => code)).toEqual(["ERROR"]);
  });

  test("no secret of an argument, key, value or error leaves", () => {
    expect(traced.run().bytes.length).toBeGreaterThan(5_000);
    expect(traced.run().bytes.toString("latin1")).not.toContain("hunter2");
    const values = spansIn("secrets").map(({ attributes }) => attributes["tracekit.cache.value"]);
    expect(values.filter((value) => value === "REDACTED").length).toBeGreaterThanOrEqual(3);
    expect(values).toContain('{"name":"Ann","api_key":"REDACTED"}');
  });

  test("below an unsampled parent nothing is recorded", () => {
    expect(traced.run().told.has("unsampled")).toBe(true);
    expect(traced.run().bytes.includes("decision")).toBe(false);
    expect(traced.run().spans.filter(({ traceId }) => traceId === "a".repeat(32))).toEqual([]);
  });

  test("the application has run the scenarios of exactly these abilities", () => {
    const shown = Object.entries(SCENARIO_OF).filter(([, scenario]) => traced.run().told.has(scenario));
    expect(shown.map(([ability]) => ability).sort()).toEqual([...contract.abilities].sort());
  });

  for (const ability of contract.abilities) declareAbility[ability]?.(contract, traced);
  if (can("hostile")) return;
  test("nothing of ours fails", () =>
    expect(traced.run().stderr).not.toContain(`${contract.instrumentation} is no longer traced`));
}

/** What an ability promises beyond the one span of its scenario. */
const declareAbility: Readonly<
  Partial<Record<CacheAbility, (contract: CacheContract, traced: TracedInstall) => void>>
> = {
  pipeline: (contract, traced) => declareBatch("pipeline", 3, contract, traced),
  multi: (contract, traced) => declareBatch("multi", 2, contract, traced),
  callback(_contract, { spansIn }) {
    test("a callback ends the span once, whatever it throws", () => {
      expect(spansIn("callback").map(({ status, events }) => [status.code, events.length])).toEqual([
        ["UNSET", 0],
        ["UNSET", 0],
      ]);
    });
  },
  waiting(_contract, { spansIn }) {
    test("the span of a read that blocks covers its wait", () => {
      const [waiting, waking, ...others] = spansIn("waiting");
      expect(others).toEqual([]);
      expect(Number((waiting?.endTimeUnixNano ?? 0n) - (waiting?.startTimeUnixNano ?? 0n)) / 1e6).toBeGreaterThan(50);
      expect((waking?.startTimeUnixNano ?? 0n) < (waiting?.endTimeUnixNano ?? 0n)).toBe(true);
    });
  },
  "lost connection"({ lostConnection }, { spansIn }) {
    test("a command that loses its connection is one failed span", () => {
      const failed = spansIn("lost connection").filter(({ status }) => status.code === "ERROR");
      expect(failed).toHaveLength(1);
      expect(failed[0]?.attributes["error.type"]).toMatch(lostConnection ?? /./);
    });
  },
  hostile({ instrumentation }, { run }) {
    test("an argument that throws switches off this instrumentation and nothing else, and says so once", () => {
      expect(run().stderr.match(new RegExp(`${instrumentation} is no longer traced`, "g"))).toHaveLength(1);
      expect(run().spans.some(({ name }) => name === "hostile")).toBe(true);
    });
  },
};

function declareBatch(name: "pipeline" | "multi", size: number, contract: CacheContract, traced: TracedInstall): void {
  test(`a ${name} is one span with what was found and missed in it`, () => {
    const spans = traced.spansIn(name);
    expect(spans).toHaveLength(1);
    expect(spans[0]?.attributes).toMatchObject({
      ...contract.target(),
      ...(contract.hasNoBatchSize !== true && { "db.operation.batch.size": size }),
      "cache.hit": false,
      "tracekit.cache.hits": size - 1,
      "tracekit.cache.misses": 1,
    });
  });
}

const SHORT = {
  operation: "cache.operation",
  hit: "cache.hit",
  hits: "tracekit.cache.hits",
  misses: "tracekit.cache.misses",
  ttl: "cache.ttl",
  size: "cache.item_size",
  value: "tracekit.cache.value",
} as const;

/** Scenario, what its one span says, and the ability it belongs to. */
type Expectation = [string, Partial<Record<keyof typeof SHORT, unknown>>, CacheAbility?];

const READS: readonly Expectation[] = [
  ["get, hit", { operation: "get", hit: true, size: 5, value: "value" }],
  ["get, miss", { operation: "get", hit: false }],
  // An empty string was there.
  ["get, empty", { operation: "get", hit: true, size: 0, value: "" }],
  ["getex", { operation: "get", hit: true, ttl: 60, size: 5, value: "value" }, "getex"],
  [
    "mget, partial",
    { operation: "get", hit: false, hits: 2, misses: 1, size: 5, value: '{"here":"value","nowhere":null,"empty":""}' },
    "mget",
  ],
  [
    "mget, all",
    { operation: "get", hit: true, hits: 2, misses: 0, size: 5, value: '{"here":"value","empty":""}' },
    "mget",
  ],
  ["exists, hit", { operation: "exists", hit: true }, "exists"],
  ["exists, miss", { operation: "exists", hit: false }, "exists"],
  // NX alone asks nothing; GET asks for what was there before.
  ["set nx", { operation: "set", size: 7, value: "refused" }, "set nx"],
  ["set get, hit", { operation: "set", hit: true, size: 5, value: "value" }, "set get"],
  ["set get, miss", { operation: "set", hit: false, size: 1, value: "1" }, "set get"],
  ["hget, hit", { operation: "get", hit: true, size: 1, value: "T" }, "hash"],
  ["hget, miss", { operation: "get", hit: false }, "hash"],
  ["hget, empty", { operation: "get", hit: true, size: 0, value: "" }, "hash"],
  [
    "hmget, partial",
    { operation: "get", hit: false, hits: 1, misses: 1, size: 1, value: '{"title":"T","nowhere":null}' },
    "hash",
  ],
  [
    "hgetall, hit",
    { operation: "get", hit: true, size: 14, value: '{"title":"T","empty":"","password":"REDACTED"}' },
    "hash",
  ],
  ["hgetall, miss", { operation: "get", hit: false }, "hash"],
  ["json.get, hit", { operation: "get", hit: true, size: 7, value: '{"a":1}' }, "json"],
  ["json.get, miss", { operation: "get", hit: false }, "json"],
];

/** In seconds, rounded up. */
const LIFETIMES: readonly Expectation[] = [
  ["ttl, EX", { operation: "set", ttl: 3600, size: 1, value: "x" }, "EX"],
  ["ttl, PX", { operation: "set", ttl: 2, size: 1, value: "x" }, "PX"],
  ["ttl, EXAT", { operation: "set", ttl: 100, size: 1, value: "x" }, "EXAT"],
  ["ttl, SETEX", { operation: "set", ttl: 60, size: 1, value: "x" }, "SETEX"],
  ["ttl, EXPIRE", { operation: "expire", ttl: 61 }, "EXPIRE"],
];

/** The scenario that shows an ability. */
const SCENARIO_OF: Readonly<Record<CacheAbility, string>> = {
  getex: "getex",
  mget: "mget, all",
  exists: "exists, hit",
  "set nx": "set nx",
  "set get": "set get, hit",
  hash: "hget, hit",
  json: "json.get, hit",
  EX: "ttl, EX",
  PX: "ttl, PX",
  EXAT: "ttl, EXAT",
  SETEX: "ttl, SETEX",
  EXPIRE: "ttl, EXPIRE",
  pipeline: "pipeline",
  multi: "multi",
  callback: "callback",
  waiting: "waiting",
  "lost connection": "lost connection",
  hostile: "hostile",
};

function short(name: string): string {
  return Object.entries(SHORT).find(([, full]) => full === name)?.[0] ?? name;
}

/** What the application saw, but for what only a preload can know. */
function withoutContext(run: ScenarioRun): unknown[] {
  return JSON.parse(JSON.stringify(seenIn(run)).replaceAll(/\["x",(?:true|false)\]/g, '["x"]')) as unknown[];
}
