import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Redis } from "ioredis";
import { decodeTracesJson } from "../../test/support/otlp-receiver.ts";
import type { OtlpReceiver, ReceivedSpan } from "../../test/support/otlp-receiver.ts";
import type { TraceList } from "../../dashboard/src/model/api.ts";
import { CACHE_HIT, HTTP_RESPONSE_STATUS_CODE } from "../../src/semconv/attributes.ts";
import { missingFrom } from "./check-trace.ts";
import { operationName, printTrace, printTraceLine } from "./print-trace.ts";
import type { PrintOptions } from "./print-trace.ts";
import { setStage, topics } from "./stage.ts";
import type { Stage, Topic } from "./stage.ts";

const DASHBOARD_PORT = "9400";

const usage = `npm run demo [-- options]

Starts the dashboard, PostgreSQL, Redis and three small services, each preloaded with Tracekit, sends them requests, and
prints the traces that arrive; the dashboard, on http://localhost:${DASHBOARD_PORT} where that port is free, shows them live. Runs until
Ctrl-C, and leaves nothing behind.

  --once        end after the traces are printed; with exit code 1 and a list of what is missing if they are not whole
  --topic <t>   what carries messages to the notifier: ${topics.join(", ")} (default: redis)
  --port <n>    port of the url service (default: any free one)
  --help        this text

TRACEKIT_TEST_POSTGRES_URL, TRACEKIT_TEST_REDIS_URL and the like name running servers to use instead. NO_COLOR=1: no colours.`;

const USER = "u_42";
const SECRET = "blue-tram-seven";
const TARGET = "https://nodejs.org/en/learn";

/** As many as `sendTraffic` sends. */
const REQUESTS = 8;
/** Each process sends its spans once a second: after this silence nothing more will come for a trace. */
const QUIET_MILLIS = 1500;
/** Until then a request that takes long may end and complete its trace. */
const FORGOTTEN_MILLIS = 60_000;

/** What to undo, last first. */
const undo: Array<() => Promise<unknown>> = [];
let ending: Promise<void> | undefined;
let isUp = false;
const { once, port, topic } = readArguments();

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    // Whoever presses twice does not want to wait; what is left is ended by the reaper of test/support.
    if (ending !== undefined) process.exit(130);
    void end(isUp ? 0 : 130);
  });
}
try {
  await run();
} catch (error) {
  fail(error as Error);
}

async function run(): Promise<void> {
  say("Starting the dashboard, servers and three services:");
  const stage = await setStage({
    port,
    // Nobody looks at it when it is over in a moment.
    dashboardPort: once ? "0" : DASHBOARD_PORT,
    topic,
    say,
    onStarted: (stop) => undo.push(stop),
    onCrash: fail,
  });
  const { receiver, dashboard } = stage;
  const link = await sendTraffic(stage);
  await receiver.waitForSpans(() => problemsOf(stage, link).length === 0, 15_000).catch(() => {});

  const problems = [...problemsOf(stage, link), ...(await problemsOfDashboard(stage, link))];
  const main = mainTrace(receiver.spans);
  if (main.length > 0) show(`\n${printTrace(main, printing())}\n`);
  for (const trace of requestsIn(receiver.spans)) {
    if (trace[0]?.traceId !== main[0]?.traceId) show(printTraceLine(trace, printing()));
  }
  if (problems.length > 0) {
    say(["\nThe trace is not whole:", ...problems.map((problem) => `- ${problem}`)].join("\n  "));
  } else {
    say("\nOne trace, three services, ten operations: whole.");
  }
  if (once) return end(problems.length > 0 ? 1 : 0);

  isUp = true;
  say(
    `\n${dashboard.url} shows them in the browser.
Send requests of your own; their traces appear there and here. Ctrl-C ends everything.
  curl -i ${stage.url}/shorten -H 'authorization: Bearer ${USER}.${SECRET}' -H 'content-type: application/json' \\
    -d '{"url": "${TARGET}"}'
  curl -i ${stage.url}/${link.id}\n`,
  );
  await showTraces(receiver);
}

/** A morning in the life of a link. Gives the one whose trace is looked at closely. */
async function sendTraffic({ url, redisUrl }: Stage): Promise<{ id: string; url: string }> {
  const get = (path: string): Promise<Response> => fetch(`${url}${path}`, { redirect: "manual" });
  const shorten = (body: object, secret = SECRET): Promise<Response> =>
    fetch(`${url}/shorten`, {
      method: "POST",
      headers: { authorization: `Bearer ${USER}.${secret}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });

  await get("/unknown");
  // The first of its kind compiles and connects; what a request costs shows in the second.
  await shorten({ url: TARGET });
  const made = await shorten({ url: TARGET });
  if (made.status !== 201) throw new Error(`POST /shorten was answered ${made.status}: ${await made.text()}`);
  const link = (await made.json()) as { id: string; url: string };
  await get(`/${link.id}`);
  // The hour of the cache has passed.
  const redis = new Redis(redisUrl);
  await redis.del(`url:${link.id}`);
  redis.disconnect();
  await get(`/${link.id}`);
  await shorten({ url: TARGET, id: link.id });
  await shorten({ url: TARGET }, "guessed");
  // A bug to find: nobody checks the length of an id before PostgreSQL does.
  await shorten({ url: TARGET, id: "an-id-longer-than-its-column" });
  return link;
}

function problemsOf({ receiver, headersAtMixpanel }: Stage, link: { id: string; url: string }): string[] {
  const { spans, requests } = receiver;
  const problems = problemsOfTrace(mainTrace(spans), link);
  const roots = requestsIn(spans).length;
  if (roots !== REQUESTS) problems.push(`${roots} of ${REQUESTS} requests have a trace`);
  for (const hit of [true, false]) {
    const isRead = (span: ReceivedSpan): boolean => operationName(span) === `GET url:${link.id}`;
    const found = spans.some((span) => isRead(span) && span.attributes[CACHE_HIT] === hit);
    if (!found) problems.push(`url: GET url:${link.id}: no cache ${hit ? "hit" : "miss"}`);
  }
  if (requests.some(({ body }) => body.includes(SECRET))) problems.push("the caller's API key was sent to the backend");
  if (headersAtMixpanel.some((headers) => JSON.stringify(headers).includes(USER))) {
    problems.push("the user's id was sent to a third party");
  }
  return [...problems, ...requests.flatMap(({ problem }) => (problem === undefined ? [] : [`OTLP: ${problem}`]))];
}

/** What the dashboard gives back must be whole, too. It gets everything a moment later than the receiver. */
async function problemsOfDashboard(
  { receiver, dashboard }: Stage,
  link: { id: string; url: string },
): Promise<string[]> {
  const wanted = requestsIn(receiver.spans).flatMap(([root]) => root?.traceId ?? []);
  const main = mainTrace(receiver.spans)[0]?.traceId;
  for (let triesLeft = 20; ; triesLeft--) {
    const list = (await (await fetch(`${dashboard.url}/api/traces?limit=100`)).json()) as TraceList;
    const listed = new Set(list.traces.map(({ traceId }) => traceId));
    const exported = main === undefined ? undefined : await fetch(`${dashboard.url}/api/export?trace=${main}`);
    const spans = exported?.ok ? decodeTracesJson(await exported.text()) : [];
    const problems = [
      ...dashboard.problems,
      ...wanted.filter((id) => !listed.has(id)).map((id) => `the dashboard: trace ${id} is missing`),
      // What did not arrive anywhere is said once.
      ...(problemsOfTrace(mainTrace(receiver.spans), link).length === 0
        ? problemsOfTrace(spans, link).map((problem) => `the dashboard: ${problem}`)
        : []),
    ];
    if (problems.length === 0 || triesLeft === 0) return problems;
    await sleep(250);
  }
}

function problemsOfTrace(trace: readonly ReceivedSpan[], link: { id: string; url: string }): string[] {
  return missingFrom(trace, { ...link, user: USER, topic });
}

/** Traces that began with a request to the url service, oldest first. */
function requestsIn(spans: readonly ReceivedSpan[]): ReceivedSpan[][] {
  return spans
    .filter((span) => span.kind === "SERVER" && span.parentSpanId === "")
    .toSorted((a, b) => Number(a.startTimeUnixNano - b.startTimeUnixNano))
    .map((root) => spans.filter(({ traceId }) => traceId === root.traceId));
}

/** The last request that made a short link. */
function mainTrace(spans: readonly ReceivedSpan[]): ReceivedSpan[] {
  const made = requestsIn(spans).findLast((trace) =>
    trace.some((span) => span.parentSpanId === "" && span.attributes[HTTP_RESPONSE_STATUS_CODE] === 201),
  );
  return made ?? [];
}

/** Prints each trace when it seems complete. Does not end. */
async function showTraces({ requests, spans: received }: OtlpReceiver): Promise<never> {
  const traces = new Map<string, { spans: ReceivedSpan[]; arrivedAt: number }>();
  for (received.length = requests.length = 0; ; await sleep(250)) {
    for (const { spans, receivedAt } of requests) {
      for (const span of spans) {
        const trace = traces.get(span.traceId) ?? { spans: [], arrivedAt: 0 };
        trace.spans.push(span);
        trace.arrivedAt = receivedAt;
        traces.set(span.traceId, trace);
      }
    }
    received.length = requests.length = 0;
    for (const [id, { spans, arrivedAt }] of traces) {
      const silence = Date.now() - arrivedAt;
      const isComplete = requestsIn(spans).length > 0 && silence > QUIET_MILLIS;
      if (isComplete) show(`${printTrace(spans, printing())}\n`);
      if (isComplete || silence > FORGOTTEN_MILLIS) traces.delete(id);
    }
  }
}

function readArguments(): { once: boolean; port: string; topic: Topic } {
  try {
    const { values } = parseArgs({
      options: {
        once: { type: "boolean", default: false },
        port: { type: "string", default: "0" },
        topic: { type: "string", default: "redis" },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) {
      show(usage);
      process.exit(0);
    }
    if (!/^\d{1,5}$/.test(values.port) || Number(values.port) > 65_535) {
      throw new Error(`--port ${values.port} is not a port.`);
    }
    const carrier = topics.find((known) => known === values.topic);
    if (carrier === undefined) throw new Error(`--topic ${values.topic} is none of ${topics.join(", ")}.`);
    return { ...values, topic: carrier };
  } catch (error) {
    say(`${(error as Error).message}\n\n${usage}`);
    process.exit(2);
  }
}

function printing(): PrintOptions {
  const { isTTY, columns } = process.stdout;
  return { colour: isTTY === true && !process.env["NO_COLOR"], width: columns ?? 132 };
}

/** Traces go to stdout, everything else to stderr. */
function show(text: string): void {
  console.log(text);
}

function say(line: string): void {
  if (ending === undefined) console.error(line);
}

/** The first failure is the cause; what ends because we are ending is none. */
function fail(error: Error): void {
  say(`\n${error.message}`);
  void end(1);
}

function end(code: number): Promise<void> {
  ending ??= (async () => {
    for (const stop of undo.toReversed()) await stop();
    process.exit(code);
  })();
  return ending;
}
