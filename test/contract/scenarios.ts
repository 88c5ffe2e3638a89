import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { OtlpReceiver, ReceivedSpan } from "../support/otlp-receiver.ts";
import { type AppOptions, runApp } from "../support/run-app.ts";

/** What an application printed for one scenario; see `scenarios-app.cjs`. */
export interface Told {
  readonly name: string;
  /** What it saw: the same with and without the preload. */
  readonly seen: unknown[];
  /** For each place asked: did it run in the scenario's context? */
  readonly where: boolean[];
}

/** One run of an application of scenarios. */
export interface ScenarioRun {
  /** In the order they ended. */
  readonly told: ReadonlyMap<string, Told>;
  /** Each once, however often it was sent. */
  readonly spans: readonly ReceivedSpan[];
  /** Everything that was sent, as it was sent. */
  readonly bytes: Buffer;
  readonly stderr: string;
}

export interface ScenarioOptions {
  /** ES-module text. For "cjs" its imports are made `require` calls. */
  readonly code: string;
  readonly type?: "cjs" | "esm";
  readonly preload?: "import" | "require" | "none";
  readonly env?: Record<string, string>;
  /** A folder of `installLibraries`. */
  readonly libraries?: string | undefined;
  /** Default 60 000. */
  readonly timeoutMillis?: number;
}

/** Runs the application to its end; `receiver` forgets what came before. Throws, with the output, when it fails. */
export async function runScenarios(receiver: OtlpReceiver, options: ScenarioOptions): Promise<ScenarioRun> {
  receiver.reset();
  const { timeoutMillis = 60_000 } = options;
  const result = await runApp({ ...scenarioApp(receiver, options), timeoutMillis });
  if (result.code !== 0) throw new Error(`the application failed\n${result.stdout}\n${result.stderr}`);
  return {
    told: toldIn(result.stdout),
    spans: receivedOnce(receiver),
    bytes: Buffer.concat(receiver.requests.map(({ body }) => body)),
    stderr: result.stderr,
  };
}

/** What to start for an application of scenarios, and what lies beside it. */
export function scenarioApp(receiver: OtlpReceiver, options: ScenarioOptions): AppOptions {
  const { type = "esm", preload = "import", code, libraries } = options;
  const beside = readdirSync(import.meta.dirname).filter((name) => name.endsWith("-app.cjs"));
  return {
    type,
    preload,
    code: type === "esm" ? code : toCommonJs(code),
    files: Object.fromEntries(beside.map((name) => [name, readFileSync(join(import.meta.dirname, name), "utf8")])),
    ...(libraries !== undefined && { libraries }),
    // On a busy machine the receiver, which shares its process with the tests, takes longer to answer than an exit waits by default.
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, TRACEKIT_EXIT_TIMEOUT: "10000", ...options.env },
  };
}

/** The lines an application of scenarios printed, by name. */
export function toldIn(stdout: string): Map<string, Told> {
  const told = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Told);
  return new Map(told.map((each) => [each.name, each]));
}

/** A batch still on its way when the process ends is sent again: each span once. */
export function receivedOnce({ spans }: OtlpReceiver): ReceivedSpan[] {
  return [...new Map(spans.map((span) => [span.spanId, span])).values()];
}

function toCommonJs(code: string): string {
  return code
    .replace(/^import \* as (\w+) from (".+");$/gm, "const $1 = require($2);")
    .replace(/^import (\w+), (\{[^}]+\}) from (".+");$/gm, "const $1 = require($3);\nconst $2 = $1;")
    .replace(/^import (\w+|\{[^}]+\}) from (".+");$/gm, "const $1 = require($2);");
}

/** The spans directly below a span (by default a scenario's), in the order they started. */
export function childrenOf(run: ScenarioRun, parent: string | ReceivedSpan | undefined): ReceivedSpan[] {
  const span =
    typeof parent === "string" ? run.spans.find(({ name, scope }) => name === parent && scope.name === "app") : parent;
  return run.spans
    .filter(({ parentSpanId }) => parentSpanId === span?.spanId)
    .toSorted((a, b) => Number(a.startTimeUnixNano - b.startTimeUnixNano));
}

/** What the application saw, without what only a preload can know. */
export function seenIn({ told }: ScenarioRun): unknown[] {
  return [...told.values()]
    .map(({ name, seen }) => ({ name, seen }))
    .toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** Standard error without process ids and without our own lines. */
export function warningsIn({ stderr }: ScenarioRun): string {
  return stderr.replaceAll(/\(node:\d+\)|^tracekit:.*\n/gm, "");
}
