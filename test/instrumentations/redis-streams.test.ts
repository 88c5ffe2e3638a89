import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { childrenOf, runScenarios, type ScenarioRun, seenIn } from "../contract/scenarios.ts";
import ioredis from "../libraries/ioredis.ts";
import redis from "../libraries/redis.ts";
import { installLibraries } from "../support/library.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";

const code = readFileSync(join(import.meta.dirname, "redis-streams-app.mjs"), "utf8");
const CONTEXT = { TRACEKIT_REDIS_STREAM_CONTEXT: "true" };

let receiver: OtlpReceiver;
beforeAll(async () => {
  receiver = await startOtlpReceiver();
});
afterAll(() => receiver.close());

let streams = 0;
const newStream = (): string => `stream:${process.pid}:${streams++}`;

interface Library {
  readonly name: string;
  readonly version: string;
}

async function run(
  { name, version }: Library,
  stream: string,
  env: Record<string, string>,
  preload: "import" | "none" = "import",
): Promise<ScenarioRun> {
  const libraries = await installLibraries({ [name]: version });
  const url = `${process.env["TRACEKIT_TEST_REDIS_URL"]}/13`;
  return runScenarios(receiver, {
    code,
    libraries,
    preload,
    env: { LIBRARY: name, REDIS_URL: url, STREAM: stream, ...env },
  });
}

const idOf = (span: ReceivedSpan | undefined): string | undefined => span?.spanId;
const linksOf = (span: ReceivedSpan | undefined): string[] => span?.links.map(({ spanId }) => spanId) ?? [];

/** The last of each major, and of those the newest. */
const tested: readonly Library[] = [ioredis, redis].flatMap(({ packages }) =>
  Object.entries(packages)
    .filter(([name]) => !name.startsWith("@"))
    .flatMap(([name, versions]) => versions.slice(1).map((version) => ({ name, version }))),
);
const newest = tested.filter(({ name }, index) => tested[index + 1]?.name !== name);

describe.each([...tested])("$name $version", (library) => {
  let plain: ScenarioRun;
  let traced: ScenarioRun;
  let stream: string;
  beforeAll(async () => {
    plain = await run(library, newStream(), {}, "none");
    stream = newStream();
    traced = await run(library, stream, CONTEXT);
  }, 150_000);

  test("the application sees the same entries as without us, though they carry context", () => {
    expect(seenIn(traced)).toEqual(seenIn(plain));
    expect(JSON.stringify(seenIn(plain))).not.toContain("unexpected ");
    expect(traced.stderr).not.toContain(`${library.name} is no longer traced`);
    expect(traced.bytes.toString("latin1")).not.toMatch(/hunter2|__tracekit__/);
  });

  test("an entry is sent by a producer span with its id, size and content", () => {
    const [send, ...others] = childrenOf(traced, "sending one");
    expect(others).toEqual([]);
    expect(send).toMatchObject({ name: `send ${stream}`, kind: "PRODUCER", status: { code: "UNSET" } });
    expect(send?.attributes).toMatchObject({
      "messaging.system": "redis",
      "messaging.operation.name": "send",
      "messaging.operation.type": "send",
      "messaging.destination.name": stream,
      "messaging.message.id": expect.stringMatching(/^\d{13}-\d$/),
      "messaging.message.body.size": 52,
      "tracekit.messaging.body.content": '{"item":"book","card":"{\\"password\\":\\"REDACTED\\",\\"title\\":\\"T\\"}"}',
    });
  });

  test("one received entry says what it is, how long it waited and where it comes from", () => {
    const [send] = childrenOf(traced, "sending one");
    const [receive, ...others] = childrenOf(traced, "receiving one");
    expect(others).toEqual([]);
    expect(receive).toMatchObject({ name: `receive ${stream}`, kind: "CLIENT" });
    expect(receive?.attributes).toMatchObject({
      "messaging.operation.type": "receive",
      "messaging.destination.name": stream,
      "messaging.consumer.group.name": "workers",
      "messaging.client.id": "one",
      "messaging.message.id": send?.attributes["messaging.message.id"],
      "messaging.message.body.size": 52,
      "tracekit.messaging.body.content": send?.attributes["tracekit.messaging.body.content"],
      "tracekit.messaging.queue_time_ms": expect.any(Number),
    });
    expect(linksOf(receive)).toEqual([idOf(send)]);
  });

  test("a batch is one span with a link for each entry whose context is known", () => {
    const [receive] = childrenOf(traced, "receiving many");
    const [pipeline, transaction] = childrenOf(traced, "sending together");
    const senders = ["pen", "ink"].map((item) => idOf(childrenOf(traced, `sender of ${item}`)[0]));
    expect(receive?.attributes["messaging.batch.message_count"]).toBe(7);
    const [own] = childrenOf(traced, "own context");
    expect(linksOf(receive)).toEqual([
      ...senders,
      idOf(pipeline),
      idOf(pipeline),
      idOf(transaction),
      // The decision not to record travels, too.
      "b".repeat(16),
      idOf(own),
    ]);
    expect(receive?.links[5]?.traceId).toBe("a".repeat(32));
  });

  test("a read that finds nothing is a span inside a trace only", () => {
    const [none] = childrenOf(traced, "receiving none");
    expect(none?.attributes["messaging.batch.message_count"]).toBe(0);
    const roots = traced.spans.filter(({ parentSpanId }) => parentSpanId === "");
    expect(roots.filter(({ name: own }) => own.startsWith("receive"))).toEqual([]);
  });

  test("acknowledging names the group and the entry", () => {
    const told = childrenOf(traced, "acknowledging").map((span) => [
      span.name,
      span.attributes["messaging.consumer.group.name"],
      span.attributes["messaging.message.id"],
      span.attributes["messaging.batch.message_count"],
    ]);
    const [send] = childrenOf(traced, "sending one");
    expect(told).toEqual([
      [`ack ${stream}`, "workers", send?.attributes["messaging.message.id"], undefined],
      [`ack ${stream}`, "workers", undefined, 2],
    ]);
  });

  test("the span of a read covers its wait", () => {
    const spans = childrenOf(traced, "waiting");
    const receive = spans.find(({ name: own }) => own.startsWith("receive"));
    const send = spans.find(({ name: own }) => own.startsWith("send"));
    expect(linksOf(receive)).toEqual([idOf(send)]);
    expect(Number((receive?.endTimeUnixNano ?? 0n) - (receive?.startTimeUnixNano ?? 0n)) / 1e6).toBeGreaterThan(50);
  });
});

describe.each([...newest])("$name $version in several processes", (library) => {
  test("context crosses processes, and a reader without us sees one field more", async () => {
    const shared = newStream();
    const sent = await run(library, shared, { ...CONTEXT, PART: "send" });
    // Whatever its own setting is.
    const received = await run(library, shared, { PART: "receive" });
    const [send] = childrenOf(sent, "sending one");
    const [receive] = childrenOf(received, "receiving one");
    expect(receive?.links).toMatchObject([{ traceId: send?.traceId, spanId: send?.spanId }]);
    const again = newStream();
    await run(library, again, { ...CONTEXT, PART: "send" });
    const { told } = await run(library, again, { PART: "receive" }, "none");
    expect(JSON.stringify(told.get("receiving one")?.seen)).toContain('"__tracekit__":"{');
  }, 150_000);

  test("by default no entry carries anything of ours", async () => {
    const own = newStream();
    await run(library, own, { PART: "send" });
    const { told } = await run(library, own, { PART: "receive" }, "none");
    expect(JSON.stringify([...told.values()])).not.toContain("__tracekit__");
    // A context that the application itself put there is followed.
    const receive = childrenOf(await run(library, newStream(), {}), "receiving many")[0];
    expect(receive?.links).toMatchObject([{ traceId: "c".repeat(32), spanId: "d".repeat(16) }]);
  }, 150_000);
});
