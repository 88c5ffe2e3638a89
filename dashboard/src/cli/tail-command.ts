import { setTimeout as sleep } from "node:timers/promises";
import { formatTrace } from "../analysis/text-tree.ts";
import type { TraceList } from "../model/api.ts";
import { parseFilter } from "../model/filter.ts";
import type { SpanDetail, TraceDetail, TraceSummary } from "../model/trace.ts";
import { Failure, UsageError } from "./command.ts";
import type { Command, Given, Option, Program } from "./command.ts";
import { listenTo, refusal } from "./live.ts";
import { authorization, isRefused } from "./running.ts";

/** Senders send about once a second: after this silence a trace is taken for complete. */
const QUIET_MILLIS = 1500;
/** A trace whose root does not come is shown as it is. */
const ROOTLESS_MILLIS = 15_000;
/** Of traces that were printed, the number that is remembered: spans that come later print them again. */
const REMEMBERED = 1000;
const MOST_REASONS = 20;
/** A span's status code. */
const FAILED = 2;

/** The words of the page's address. */
const filterOptions: readonly Option[] = [
  { name: "service", value: "<name>", multiple: true, description: "A service took part; of several, any." },
  { name: "operation", value: "<text>", description: 'The operation contains this: "POST /shorten".' },
  { name: "status", value: "<status>", description: "ok, error, a status code (404) or a class of them (5xx)." },
  { name: "errors", short: "e", description: "The same as --status error." },
  { name: "min", value: "<duration>", description: "Took at least this long: 150ms, 2s." },
  { name: "max", value: "<duration>", description: "Took at most this long." },
  { name: "user", value: "<id>", description: "Was asked for by this user (user.id)." },
  {
    name: "attr",
    value: "<condition>",
    multiple: true,
    description:
      "A span or its resource has an attribute: key=value, key!=value, key>1, key<1, key~part, or key alone.",
  },
  {
    name: "q",
    value: "<text>",
    description: "Found in anything that was captured; words without an option are the same.",
  },
];

export const tail: Command = {
  name: "tail",
  summary: "print traces as they complete",
  usage: "[options] [text]",
  description: [
    "Prints each trace that arrives at a running dashboard as a tree, once it is complete: its root is there and nothing new has come for 1.5 seconds. A trace that gets spans after that is printed again. It goes on until Ctrl-C, also when the dashboard is started again.",
  ],
  options: [
    ...filterOptions,
    {
      name: "json",
      description: 'One line of OTLP JSON a trace, { "resourceSpans": … }, with everything that was captured.',
    },
    { name: "count", short: "n", value: "<number>", description: "End after as many traces." },
    { name: "url", value: "<url>", default: "http://localhost:9400", description: "Address of the dashboard." },
    {
      name: "token",
      value: "<secret>",
      description: "What a dashboard that was started with --token wants to be shown.",
    },
  ],
  words: "any",
  environment: [
    ["TRACEKIT_DASHBOARD_TOKEN", "The same as --token."],
    ["NO_COLOR, FORCE_COLOR", "Colours never, or also where the output is not a terminal."],
    ["COLUMNS", "Width where the output is not a terminal; without it lines are not cut."],
  ],
  examples: [
    ["tail", "everything"],
    ["tail --errors --service api", "what fails in one service"],
    ["tail --min 500ms --operation /checkout", "what is slow in one place"],
    ["tail --attr db.query.text~users u_42", "what touches a table, and mentions a user"],
    ["tail --json --count 1 | jq .resourceSpans", "the next trace, for other programs"],
  ],
  exitCodes: [
    ["0", "ended by Ctrl-C, or after --count traces"],
    ["1", "no dashboard runs at that address, or it wants a token"],
    ["2", "the options make no sense"],
  ],
  run,
};

async function run(given: Given, program: Program): Promise<number> {
  const filter = readFilter(given);
  const url = readUrl(given.text("url"));
  const token = given.text("token") ?? (process.env["TRACEKIT_DASHBOARD_TOKEN"] || undefined);
  const count = readCount(given.text("count"));
  const ending = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => ending.abort());
  // `tracekit tail | head` is not an error.
  process.stdout.on("error", () => ending.abort());

  const print = given.has("json") ? printJson : printTree;
  const waiting = new Waiting(async (traceId) => {
    if (ending.signal.aborted) return;
    const text = await print(traceId, { url, token, signal: ending.signal });
    if (text === undefined || ending.signal.aborted) return;
    process.stdout.write(`${text}\n`);
    if (++printed === count) ending.abort();
  });
  let printed = 0;
  let seenUntil = Date.now();
  const add = (traces: readonly TraceSummary[]): void => {
    for (const trace of traces) {
      seenUntil = Math.max(seenUntil, trace.arrivedAt);
      waiting.add(trace);
    }
  };
  let wasConnected = false;
  while (!ending.signal.aborted) {
    try {
      for await (const event of listenTo(url, filter, { token, signal: ending.signal })) {
        const isBack = event === undefined && wasConnected;
        if (event === undefined) say(isBack ? "the dashboard is back." : `waiting for traces at ${url}`);
        wasConnected = true;
        if (event?.name === "traces") add(event.data as TraceSummary[]);
        // Senders were quicker to come back, or too much came at once for this terminal.
        if (isBack || event?.name === "resync")
          add(await arrivedSince(seenUntil, filter, { url, token, signal: ending.signal }));
      }
    } catch (error) {
      if (error instanceof Failure) throw error;
      if (!wasConnected && !ending.signal.aborted) {
        if (!isRefused(error)) throw new Failure(`${url} cannot be reached: ${causeOf(error)}`);
        throw new Failure(`no dashboard runs at ${url}. Start one:\n  ${program.name} dashboard`);
      }
    }
    if (ending.signal.aborted) break;
    say("the dashboard is gone; waiting for it.");
    await untilBack(url, token, ending.signal);
  }
  waiting.stop();
  return 0;
}

async function untilBack(url: string, token: string | undefined, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(500, undefined, { signal }).catch(() => {});
    const headers = authorization(token);
    const answer = await fetch(`${url}/api/status`, { headers, signal }).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer?.ok) return;
  }
}

/** Holds traces back until they seem complete. */
class Waiting {
  readonly #show: (traceId: string) => Promise<void>;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #shown = new Map<string, number>();
  #last: Promise<void> = Promise.resolve();

  /** `show` is called for one trace after the other. */
  constructor(show: (traceId: string) => Promise<void>) {
    this.#show = show;
  }

  add({ traceId, hasRoot, spanCount }: TraceSummary): void {
    if (this.#shown.get(traceId) === spanCount) return;
    clearTimeout(this.#timers.get(traceId));
    const timer = setTimeout(
      () => {
        this.#timers.delete(traceId);
        this.#remember(traceId, spanCount);
        this.#last = this.#last
          .then(() => this.#show(traceId))
          .catch((error: Error) => say(`${traceId}: ${causeOf(error)}`));
      },
      hasRoot ? QUIET_MILLIS : ROOTLESS_MILLIS,
    );
    this.#timers.set(traceId, timer);
  }

  stop(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  #remember(traceId: string, spanCount: number): void {
    this.#shown.delete(traceId);
    this.#shown.set(traceId, spanCount);
    const [oldest] = this.#shown.keys();
    if (this.#shown.size > REMEMBERED && oldest !== undefined) this.#shown.delete(oldest);
  }
}

interface Source {
  url: string;
  token: string | undefined;
  signal: AbortSignal;
}

async function printTree(traceId: string, source: Source): Promise<string | undefined> {
  const detail = (await ask(`/api/traces/${traceId}`, source)) as TraceDetail | undefined;
  if (detail === undefined) return undefined;
  const { stdout } = process;
  const width = stdout.isTTY ? stdout.columns : Number(process.env["COLUMNS"]) || Number.POSITIVE_INFINITY;
  return `${formatTrace(detail, { width, colour: hasColour(), reasons: await reasonsOf(detail, source) })}\n`;
}

/** Why spans failed, of the first ones: a trace does not carry it, and each is asked for. */
async function reasonsOf({ summary, spans }: TraceDetail, source: Source): Promise<Map<string, string>> {
  const failed = spans.spanId.filter((_, index) => spans.statusCode[index] === FAILED).slice(0, MOST_REASONS);
  const reasons = failed.map(async (index): Promise<[string, string]> => {
    const spanId = spans.ids[index]!;
    const found = (await ask(`/api/traces/${summary.traceId}/spans/${spanId}`, source)) as SpanDetail | undefined;
    return [spanId, found?.span.status.message || found?.stacks[0]?.message || ""];
  });
  return new Map(await Promise.all(reasons));
}

async function printJson(traceId: string, source: Source): Promise<string | undefined> {
  const traces = await ask(`/api/export?trace=${traceId}`, source);
  return traces === undefined ? undefined : JSON.stringify(traces);
}

/** What the stream left out, as far as the list's longest page goes. */
async function arrivedSince(millis: number, filter: URLSearchParams, source: Source): Promise<TraceSummary[]> {
  const list = (await ask(`/api/traces?limit=1000&${filter}`, source)) as TraceList | undefined;
  return list?.traces.filter(({ arrivedAt }) => arrivedAt >= millis) ?? [];
}

/** The answer; undefined where the trace has left meanwhile. */
async function ask(path: string, { url, token, signal }: Source): Promise<unknown> {
  const response = await fetch(url + path, { headers: authorization(token), signal });
  if (response.ok) return response.json();
  if (response.status === 404) return undefined;
  throw new Failure(await refusal(response, url));
}

/** Source: no-color.org, force-color.org. */
function hasColour(): boolean {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  if (NO_COLOR) return false;
  if (FORCE_COLOR) return FORCE_COLOR !== "0" && FORCE_COLOR !== "false";
  return process.stdout.isTTY && TERM !== "dumb";
}

function readFilter(given: Given): URLSearchParams {
  const words = new URLSearchParams();
  for (const { name, value } of filterOptions) {
    if (value === undefined) continue;
    for (const text of given.texts(name)) words.append(name, text);
  }
  if (given.has("errors")) words.set("status", "error");
  const text = [...given.texts("q"), ...given.words].join(" ");
  if (text !== "") words.set("q", text);
  const [problem] = parseFilter(words).problems;
  if (problem !== undefined) throw new UsageError(`--${problem}.`);
  return words;
}

function readUrl(text = "http://localhost:9400"): string {
  const url = /^https?:\/\//.test(text) ? text : `http://${text}`;
  if (!URL.canParse(url)) throw new UsageError(`--url ${text} is not an address like http://localhost:9400.`);
  return new URL(url).origin;
}

function readCount(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d*$/.test(text)) throw new UsageError(`--count ${text} is not a number of traces.`);
  return Number(text);
}

function causeOf(error: unknown): string {
  const { message, cause } = error as Error & { cause?: Error };
  return cause?.message || message;
}

function say(line: string): void {
  process.stderr.write(`tracekit: ${line}\n`);
}
