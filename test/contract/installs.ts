import { afterAll, beforeAll, describe } from "vitest";
import { installLibraries } from "../support/library.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { childrenOf, runScenarios, type ScenarioOptions, type ScenarioRun } from "./scenarios.ts";

/** npm name → version; empty: what the repository has, or Node brings. */
export type Install = Readonly<Record<string, string>>;

/** An application of scenarios, and the versions of its library it runs with. */
export interface InstallsContract {
  /** Scope of its spans, `@tracekit/auto/<instrumentation>`. */
  readonly instrumentation: string;
  /** ES-module text of the application: it calls what the contract's `-app.cjs` exports, which lists what it is to give. */
  readonly code: string;
  /** What to install for each run. The last one runs as CommonJS, too. */
  readonly installs: readonly Install[];
  /** For the application, beside VERSIONS, which is the install as JSON. Asked for each run. */
  env(): Record<string, string>;
  /** Of one run. Default 60 000. */
  readonly timeoutMillis?: number;
}

/** One traced run, for the library's own tests. */
export interface TracedInstall {
  readonly installs: Install;
  readonly type: "cjs" | "esm";
  /** Once the run is over: inside tests. */
  run(): ScenarioRun;
  /** The spans directly below a scenario, in the order they started. */
  spansIn(scenario: string): ReceivedSpan[];
}

/** What the tests that stand beside those of each install may ask. */
export interface LastInstall {
  /** Runs it once more, as an ES module under the preload unless told otherwise. */
  run(options: Partial<ScenarioOptions>): Promise<ScenarioRun>;
  /** Its run without the preload. */
  plain(): Promise<ScenarioRun>;
  isOurs(span: ReceivedSpan): boolean;
  /** The library's spans of all traced runs. */
  spans(): readonly ReceivedSpan[];
}

/** Declares a group of tests for each install as ES modules, and for the last one as CommonJS: one run with the preload and one
 *  without, which the groups of an install share. */
export function describeInstalls(
  contract: InstallsContract,
  declare: (traced: TracedInstall, plain: () => ScenarioRun) => void,
): LastInstall {
  let receiver: OtlpReceiver;
  beforeAll(async () => {
    receiver = await startOtlpReceiver();
  });
  afterAll(() => receiver.close());

  const run = async (install: Install, options: Partial<ScenarioOptions>): Promise<ScenarioRun> => {
    const libraries = Object.keys(install).length === 0 ? undefined : await installLibraries(install);
    const { code, timeoutMillis = 60_000 } = contract;
    const env = { VERSIONS: JSON.stringify(install), ...contract.env(), ...options.env };
    return runScenarios(receiver, { code, libraries, timeoutMillis, ...options, env });
  };
  const plainRuns = new Map<Install, Promise<ScenarioRun>>();
  const plainOf = (install: Install): Promise<ScenarioRun> => {
    const running = plainRuns.get(install) ?? run(install, { preload: "none" });
    plainRuns.set(install, running);
    return running;
  };
  const isOurs = ({ scope }: ReceivedSpan): boolean => scope.name === `@tracekit/auto/${contract.instrumentation}`;

  const all: ReceivedSpan[] = [];
  const last = contract.installs.at(-1) ?? {};
  const runs = [...contract.installs.map((install) => [install, "esm"] as const), [last, "cjs"] as const];
  describe.each(runs.map(([installs, type]) => ({ installs, type, title: titleOf(contract, installs) })))(
    "$title, $type",
    ({ installs, type }) => {
      let plain: ScenarioRun;
      let traced: ScenarioRun;
      beforeAll(async () => {
        plain = await plainOf(installs);
        traced = await run(installs, { type, preload: type === "esm" ? "import" : "require" });
        all.push(...traced.spans.filter(isOurs));
      }, 200_000);
      const spansIn = (scenario: string): ReceivedSpan[] => childrenOf(traced, scenario);
      declare({ installs, type, run: () => traced, spansIn }, () => plain);
    },
  );
  return { run: (options) => run(last, options), plain: () => plainOf(last), isOurs, spans: () => all };
}

/** "pg 8.23.1, pg-pool 3.14.0", or the instrumentation's name where nothing is installed. */
export function titleOf({ instrumentation }: { instrumentation: string }, install: Install): string {
  const versions = Object.entries(install).map(([name, version]) => `${name} ${version}`);
  return versions.length === 0 ? instrumentation : versions.join(", ");
}
