import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { installLibraries } from "../support/library.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { startApp } from "../support/run-app.ts";
import { type Install, titleOf } from "./installs.ts";
import {
  childrenOf,
  receivedOnce,
  scenarioApp,
  type ScenarioOptions,
  type ScenarioRun,
  seenIn,
  toldIn,
  warningsIn,
} from "./scenarios.ts";

/** What a library has besides text messages; see `messaging-app.cjs`. */
export type MessagingAbility =
  /** The application's `id` is the message's. Without it ids are the system's, or there are none. */
  | "own id"
  /** Messages have ids of the system's making. */
  | "id"
  | "headers"
  | "bytes"
  | "queue time"
  | "delivery attempt"
  /** A message whose handler failed comes again. */
  | "redelivery"
  | "publish failure";

export interface MessagingContract {
  /** Scope of its spans, `@tracekit/auto/<instrumentation>`. */
  readonly instrumentation: string;
  /** ES-module text of both applications: it calls `runMessaging` of `./messaging-app.cjs`, which lists what it is to give. */
  readonly code: string;
  /** What to install for each run; `{}`: what the repository has. The last one runs in all ways. */
  readonly installs: readonly Install[];
  /** For both applications. Asked once the servers run. */
  env(): Record<string, string>;
  /** `messaging.system`. */
  readonly system: string;
  /** Names and `messaging.destination.name` of the spans of a message published to `destination`. */
  names(
    destination: string,
  ): Readonly<Record<"send" | "process", { readonly name: string; readonly destination: string }>>;
  /** What every span has besides: `server.address`, … Asked once the servers run. */
  target(): Record<string, unknown>;
  /** What the spans of the scenario "publish" have besides. */
  attributes?(destination: string): Readonly<Partial<Record<"send" | "process", Record<string, unknown>>>>;
  readonly abilities: readonly MessagingAbility[];
  /** `error.type` of the failing publish. */
  readonly publishFailure?: string | RegExp;
  /** Headers a consumer without us sees beside the application's own. Default: `traceparent`. */
  readonly contextHeaders?: readonly string[];
  /** Of one run. Default 60 000. */
  readonly timeoutMillis?: number;
}

/** A publisher and a consumer that ran at the same time. */
export interface MessagingRun extends Pick<ScenarioRun, "spans" | "bytes"> {
  readonly destination: string;
  readonly publisher: ScenarioRun;
  readonly consumer: ScenarioRun;
}

/** One traced run, for the library's own tests. `DESTINATION` stands for the destination in what the applications told. */
export interface TracedMessaging {
  readonly install: Install;
  readonly type: "cjs" | "esm";
  /** Once the run is over: inside tests. */
  run(): MessagingRun;
  /** The spans directly below a scenario, in the order they started. */
  spansIn(scenario: string): ReceivedSpan[];
  /** The spans of the consumer directly below a span. */
  processedBelow(span: ReceivedSpan | undefined): ReceivedSpan[];
}

type Tracer = "import" | "require" | "none";

/**
 * Declares the tests every messaging instrumentation passes, for each install as ES modules and for the last one as CommonJS.
 * `own` declares the library's own beside them, over the same runs; `after` gets its spans of all traced runs, for
 * `expectDescribed`.
 */
export function messagingContract(
  contract: MessagingContract,
  own: (traced: TracedMessaging) => void,
  after: (spans: readonly ReceivedSpan[]) => void,
): void {
  let receiver: OtlpReceiver;
  let runs = 0;
  beforeAll(async () => {
    receiver = await startOtlpReceiver();
  });
  afterAll(() => receiver.close());

  const all: ReceivedSpan[] = [];
  const run = async (
    install: Install,
    publisher: Tracer,
    consumer: Tracer,
    options: Partial<ScenarioOptions> = {},
  ): Promise<MessagingRun> => {
    const libraries = Object.keys(install).length === 0 ? undefined : await installLibraries(install);
    const destination = `orders_${process.pid}_${runs++}`;
    const ran = await runPair(receiver, contract, destination, publisher, consumer, { ...options, libraries });
    all.push(...oursIn(contract, ran));
    return ran;
  };

  const last = contract.installs.at(-1) ?? {};
  const plainRuns = new Map<Install, Promise<MessagingRun>>();
  const variants = [...contract.installs.map((install) => [install, "esm"] as const), [last, "cjs"] as const];
  describe.each(
    variants.map(([install, type]) => ({ install, type, title: `${titleOf(contract, install)}, ${type}` })),
  )("$title", ({ install, type }) => {
    let plain: MessagingRun;
    let traced: MessagingRun;
    beforeAll(async () => {
      const env = { OWN: "true" };
      let running = plainRuns.get(install);
      if (running === undefined) plainRuns.set(install, (running = run(install, "none", "none", { env })));
      plain = await running;
      const preload = type === "esm" ? "import" : "require";
      traced = await run(install, preload, preload, { type, env });
    }, 200_000);
    const access: TracedMessaging = {
      install,
      type,
      run: () => traced,
      spansIn: (scenario) => childrenOf(traced.publisher, scenario),
      processedBelow: (span) => childrenOf(traced.consumer, span),
    };
    declareShared(contract, access, () => plain);
    own(access);
  });

  test("TRACEKIT_MESSAGING_CONTEXT=link: processing is a new trace with a link to the publisher", async () => {
    const { publisher, consumer } = await run(last, "import", "import", {
      env: { TRACEKIT_MESSAGING_CONTEXT: "link" },
    });
    const [sent] = childrenOf(publisher, "publish");
    const processed = consumer.spans.filter(({ links }) => links.some(({ spanId }) => spanId === sent?.spanId));
    expect(processed).toMatchObject([{ kind: "CONSUMER", parentSpanId: "", links: [{ traceId: sent?.traceId }] }]);
    expect(processed[0]?.traceId).not.toBe(sent?.traceId);
    expect(childrenOf(consumer, processed[0]).map(({ name }) => name)).toEqual(["work publish"]);
  }, 200_000);

  test("a consumer without us sees the message as it was published, and the context's headers", async () => {
    const { consumer } = await run(last, "import", "none");
    const plain = await (plainRuns.get(last) ?? run(last, "none", "none"));
    expect(consumer.told.size).toBeGreaterThan(15);
    for (const [name, told] of consumer.told) {
      if (!name.startsWith("context ")) expect({ name, told }).toEqual({ name, told: plain.consumer.told.get(name) });
    }
    const expected = contract.abilities.includes("headers") ? (contract.contextHeaders ?? ["traceparent"]) : [];
    expect(consumer.told.get("context publish")?.seen).toEqual([...expected].sort());
    expect(plain.consumer.told.get("context publish")?.seen).toEqual([]);
  }, 200_000);

  test("a message of a publisher without us starts a trace of its own", async () => {
    const { consumer } = await run(last, "none", "import");
    const processed = oursIn(contract, consumer).filter(({ kind }) => kind === "CONSUMER");
    expect(processed.length).toBeGreaterThan(8);
    for (const { parentSpanId, links } of processed)
      expect({ parentSpanId, links }).toEqual({ parentSpanId: "", links: [] });
  }, 200_000);

  test("no payload is captured when that is switched off", async () => {
    const ran = await run(last, "import", "import", { env: { TRACEKIT_CAPTURE: "-messages" } });
    expect(oursIn(contract, ran).length).toBeGreaterThan(15);
    expect(ran.bytes.includes("x7k9m2")).toBe(false);
  }, 200_000);

  test("the spans have the attributes that are described, and no others", () => after(all));
}

async function runPair(
  receiver: OtlpReceiver,
  contract: MessagingContract,
  destination: string,
  publisher: Tracer,
  consumer: Tracer,
  options: Partial<ScenarioOptions>,
): Promise<MessagingRun> {
  receiver.reset();
  const { code, timeoutMillis = 60_000 } = contract;
  const start = (role: "publisher" | "consumer", preload: Tracer): ReturnType<typeof startApp> => {
    const env = { ...contract.env(), DESTINATION: destination, ROLE: role, OTEL_SERVICE_NAME: role, ...options.env };
    return startApp(scenarioApp(receiver, { code, ...options, preload, env }));
  };
  const consuming = start("consumer", consumer);
  await consuming.waitForLine(/"name":"ready"/, timeoutMillis);
  const publishing = start("publisher", publisher);
  const timer = setTimeout(() => {
    consuming.child.kill("SIGKILL");
    publishing.child.kill("SIGKILL");
  }, timeoutMillis);
  const exits = await Promise.all([publishing.exited, consuming.exited]);
  clearTimeout(timer);
  if (exits.some(({ code: exitCode }) => exitCode !== 0)) {
    const outputs = [publishing, consuming].map(({ stdout, stderr }) => `${stdout}\n${stderr}`);
    throw new Error(
      `publisher ${JSON.stringify(exits[0])}, consumer ${JSON.stringify(exits[1])}\n${outputs.join("\n---\n")}`,
    );
  }
  const spans = receivedOnce(receiver);
  const bytes = Buffer.concat(receiver.requests.map(({ body }) => body));
  const runOf = (role: string, { stdout, stderr }: { stdout: string; stderr: string }): ScenarioRun => ({
    // What an application sees may repeat the name.
    told: toldIn(stdout.replaceAll(destination, "DESTINATION")),
    spans: spans.filter(({ resource }) => resource["service.name"] === role),
    bytes,
    stderr,
  });
  return {
    destination,
    spans,
    bytes,
    publisher: runOf("publisher", publishing),
    consumer: runOf("consumer", consuming),
  };
}

function declareShared(contract: MessagingContract, traced: TracedMessaging, plain: () => MessagingRun): void {
  const { run, spansIn, processedBelow } = traced;
  const has = (ability: MessagingAbility): boolean => contract.abilities.includes(ability);
  const processedIn = (scenario: string): ReceivedSpan[] => processedBelow(spansIn(scenario)[0]);

  test("both applications see the same results, messages, headers, errors, functions and warnings as without us", () => {
    expect(seenIn(run().publisher)).toEqual(seenIn(plain().publisher));
    expect(seenByApplication(run().consumer)).toEqual(seenByApplication(plain().consumer));
    expect(JSON.stringify([seenIn(plain().publisher), seenIn(plain().consumer)])).not.toContain("unexpected ");
    for (const role of ["publisher", "consumer"] as const)
      expect(warningsIn(run()[role])).toBe(warningsIn(plain()[role]));
  });

  test("publishing stays in its caller's context, and a handler in its message's, across its awaits", () => {
    for (const { told } of [run().publisher, run().consumer]) {
      for (const { name, where } of told.values())
        expect({ name, where }).toEqual({ name, where: where.map(() => true) });
    }
    expect([...run().consumer.told.values()].flatMap(({ where }) => where).length).toBeGreaterThan(8);
  });

  test("a publish is one producer span under its caller, with destination, id, size and payload", () => {
    const { name, destination } = contract.names(run().destination).send;
    const sent = spansIn("publish");
    expect(sent).toMatchObject([{ name, kind: "PRODUCER", status: { code: "UNSET" }, events: [], links: [] }]);
    const body = '{"name":"publish","url":"x7k9m2"}';
    expect(sent[0]?.attributes).toMatchObject({
      "messaging.system": contract.system,
      "messaging.operation.type": "send",
      "messaging.destination.name": destination,
      "messaging.message.body.size": body.length,
      "tracekit.messaging.body.content": body,
      ...(has("own id") && { "messaging.message.id": "m-1" }),
      ...(has("id") && { "messaging.message.id": expect.any(String) as string }),
      ...contract.target(),
      ...contract.attributes?.(run().destination).send,
    });
  });

  test("processing is one consumer span, a child of the publish and linked to it, in another process", () => {
    const { name, destination } = contract.names(run().destination).process;
    const [sent] = spansIn("publish");
    const processed = processedIn("publish");
    const link = { traceId: sent?.traceId, spanId: sent?.spanId };
    expect(processed).toMatchObject([{ name, kind: "CONSUMER", traceId: sent?.traceId, links: [link], events: [] }]);
    const { attributes } = processed[0] as ReceivedSpan;
    expect(attributes).toMatchObject({
      "messaging.system": contract.system,
      "messaging.operation.type": "process",
      "messaging.destination.name": destination,
      "messaging.message.body.size": 33,
      "tracekit.messaging.body.content": '{"name":"publish","url":"x7k9m2"}',
      ...(has("delivery attempt") && { "tracekit.messaging.delivery_attempt": 1 }),
      ...contract.target(),
      ...contract.attributes?.(run().destination).process,
    });
    if (has("own id") || has("id")) {
      expect(attributes["messaging.message.id"]).toBe(sent?.attributes["messaging.message.id"]);
    }
    if (has("queue time")) {
      expect(attributes["tracekit.messaging.queue_time_ms"]).toBeGreaterThanOrEqual(0);
      expect(attributes["tracekit.messaging.queue_time_ms"]).toBeLessThan(60_000);
    }
  });

  test("what a handler does is inside its message's span, which lasts until the handler is done", () => {
    for (const scenario of ["publish", "secrets", "long", "concurrent 0", "concurrent 5", "failing handler"]) {
      const [processed] = processedIn(scenario);
      const below = processedBelow(processed);
      expect(below.map(({ name }) => name)).toEqual([`work ${scenario}`]);
      expect(below[0]?.endTimeUnixNano).toBeLessThanOrEqual(processed?.endTimeUnixNano as bigint);
    }
  });

  test("messages published at the same time are each processed under their own publisher", () => {
    for (let index = 0; index < 6; index++) {
      const scenario = `concurrent ${index}`;
      expect(processedIn(scenario).map(({ attributes }) => attributes["tracekit.messaging.body.content"])).toEqual([
        JSON.stringify({ name: scenario }),
      ]);
    }
  });

  test("a handler that fails marks its message's span", () => {
    const processed = processedIn("failing handler");
    expect(processed).toHaveLength(has("redelivery") ? 2 : 1);
    expect(processed[0]).toMatchObject({
      status: { code: "ERROR", message: "from the handler" },
      attributes: { "error.type": "Error" },
      events: [{ name: "exception" }],
    });
    if (!has("redelivery")) return;
    expect(processed[1]).toMatchObject({ status: { code: "UNSET" }, events: [] });
    if (has("delivery attempt")) {
      expect(processed.map(({ attributes }) => attributes["tracekit.messaging.delivery_attempt"])).toEqual([1, 2]);
    }
  });

  test("a payload is cut to the budget, and bytes are their size", () => {
    const [sent] = spansIn("long");
    for (const { attributes } of [sent, ...processedBelow(sent)] as ReceivedSpan[]) {
      expect(attributes["messaging.message.body.size"]).toBe(20_025);
      const content = String(attributes["tracekit.messaging.body.content"]);
      expect(content).toMatch(/^\{"name":"long","text":"x+…$/);
      expect(Buffer.byteLength(content)).toBeLessThanOrEqual(4096);
    }
    expect(run().publisher.told.has("bytes")).toBe(has("bytes"));
    for (const { attributes } of has("bytes") ? [...spansIn("bytes"), ...processedIn("bytes")] : []) {
      expect(attributes).toMatchObject({
        "messaging.message.body.size": 3,
        "tracekit.messaging.body.content": "<Buffer 3 bytes>",
      });
    }
  });

  test("a secret in a payload arrives nowhere", () => {
    const content = '{"name":"secrets","user":"a","password":"REDACTED","nested":[{"token":"REDACTED"}]}';
    for (const span of [...spansIn("secrets"), ...processedIn("secrets")]) {
      expect(span.attributes["tracekit.messaging.body.content"]).toBe(content);
    }
    expect(run().bytes.includes("hunter2")).toBe(false);
    expect(JSON.stringify(seenIn(run().consumer))).toContain("hunter2-body");
  });

  test("an unsampled publisher's message is processed, and neither is recorded", () => {
    expect(run().consumer.told.has("handle unsampled")).toBe(true);
    expect(run().bytes.includes("decision")).toBe(false);
    expect(run().spans.filter(({ name, traceId }) => name === "work unsampled" || traceId === "a".repeat(32))).toEqual(
      [],
    );
  });

  test("a publish that fails is one failed span, and the application gets its error", () => {
    expect(run().publisher.told.has("publish failure")).toBe(has("publish failure"));
    if (!has("publish failure")) return;
    const failed = spansIn("publish failure").filter(({ status }) => status.code === "ERROR");
    expect(failed).toMatchObject([{ kind: "PRODUCER", status: { message: expect.any(String) as string } }]);
    const type = contract.publishFailure ?? /./;
    expect(failed[0]?.attributes["error.type"]).toMatch(typeof type === "string" ? new RegExp(`^${type}$`) : type);
  });

  test("every span belongs to this system, and ends once", () => {
    const ours = oursIn(contract, run());
    expect(ours.length).toBeGreaterThan(20);
    for (const { attributes } of ours) expect(attributes).toMatchObject({ "messaging.system": contract.system });
    expect(new Set(ours.map(({ spanId }) => spanId)).size).toBe(ours.length);
  });
}

/** Without the names of context headers, which a test of its own looks at. */
function seenByApplication(run: ScenarioRun): unknown[] {
  return seenIn(run).filter((told) => !(told as { name: string }).name.startsWith("context "));
}

function oursIn({ instrumentation }: MessagingContract, { spans }: Pick<ScenarioRun, "spans">): ReceivedSpan[] {
  return spans.filter(({ scope }) => scope.name === `@tracekit/auto/${instrumentation}`);
}
