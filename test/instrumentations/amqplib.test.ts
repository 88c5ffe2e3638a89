import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { messagingContract } from "../contract/messaging.ts";
import { childrenOf, runScenarios } from "../contract/scenarios.ts";
import { expectDescribed } from "../libraries/description.ts";
import { amqplib } from "../libraries/amqplib.ts";
import { startRabbitmq } from "../services/rabbitmq.ts";
import type { Service } from "../services/service.ts";
import { installLibraries } from "../support/library.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";

let rabbitmq: Service;
let receiver: OtlpReceiver;
beforeAll(async () => {
  rabbitmq = await startRabbitmq({ onProgress: (message) => console.error(message) });
  receiver = await startOtlpReceiver();
}, 300_000);
afterAll(() => Promise.all([rabbitmq?.stop(), receiver?.close()]));

messagingContract(
  {
    instrumentation: "amqplib",
    code: readFileSync(join(import.meta.dirname, "amqplib-app.mjs"), "utf8"),
    installs: amqplib.packages["amqplib"]?.map((version) => ({ amqplib: version })) ?? [],
    env: () => ({ RABBITMQ_URL: rabbitmq.url }),
    system: "rabbitmq",
    names: (exchange) => ({
      send: { name: `send ${exchange}`, destination: `${exchange}:created` },
      process: { name: `process ${exchange}_queue`, destination: `${exchange}:created:${exchange}_queue` },
    }),
    target: () => ({ "server.address": "127.0.0.1", "server.port": Number(new URL(rabbitmq.url).port) }),
    attributes: () => ({
      send: { "messaging.rabbitmq.destination.routing_key": "created" },
      process: {
        "messaging.rabbitmq.destination.routing_key": "created",
        "messaging.rabbitmq.message.delivery_tag": 1,
        "tracekit.messaging.outcome": "ack",
      },
    }),
    abilities: ["own id", "headers", "bytes", "queue time", "delivery attempt", "publish failure"],
    publishFailure: "IllegalOperationError",
    contextHeaders: ["traceparent", "tracekit-published-at"],
    timeoutMillis: 90_000,
  },
  (traced) => {
    const { install, spansIn } = traced;
    const below = (span: ReceivedSpan | undefined): ReceivedSpan[] => childrenOf(traced.run().publisher, span);
    const own = (number: number): string => `${traced.run().destination}_own_${number}`;

    test("a queue's message has the queue as its destination, and a context of ours replaces a stale one", () => {
      const [sent] = spansIn("queue");
      const processed = below(sent);
      expect(sent).toMatchObject({ name: `send ${own(0)}`, attributes: { "messaging.destination.name": own(0) } });
      expect(processed).toMatchObject([
        { name: `process ${own(0)}`, kind: "CONSUMER", attributes: { "messaging.destination.name": own(0) } },
      ]);
      expect(processed[0]?.attributes).not.toHaveProperty("tracekit.messaging.outcome");
    });

    test("a handler that returns no promise is done when it acknowledges, however late", () => {
      const [processed, ...others] = below(spansIn("later")[0]);
      expect(others).toEqual([]);
      expect(processed?.attributes["tracekit.messaging.outcome"]).toBe("ack");
      expect(below(processed).map(({ name }) => name)).toEqual(["work later"]);
      expect(
        Number((processed as ReceivedSpan).endTimeUnixNano - (processed as ReceivedSpan).startTimeUnixNano),
      ).toBeGreaterThan(15e6);
    });

    test("a message rejected or requeued is a failed span, and its next delivery another attempt", () => {
      const briefs = below(spansIn("settled")[0]).map(({ attributes, status }) => [
        attributes["tracekit.messaging.outcome"],
        attributes["tracekit.messaging.delivery_attempt"],
        attributes["error.type"],
        status.code,
      ]);
      expect(briefs).toEqual([
        ["requeue", 1, "requeue", "ERROR"],
        ["requeue", 2, "requeue", "ERROR"],
        ["reject", 2, "reject", "ERROR"],
      ]);
    });

    test("acknowledging several messages at once ends each of them", () => {
      const processed = spansIn("all at once").flatMap(below);
      expect(processed.map(({ attributes }) => attributes["tracekit.messaging.outcome"])).toEqual([
        "ack",
        "ack",
        "ack",
      ]);
    });

    test("without an acknowledgement the span ends with the handler's return, once none can follow", () => {
      const [processed] = below(spansIn("unacknowledged")[0]) as [ReceivedSpan];
      expect(processed.status.code).toBe("UNSET");
      expect(processed.attributes).not.toHaveProperty("tracekit.messaging.outcome");
      expect(Number(processed.endTimeUnixNano - processed.startTimeUnixNano)).toBeLessThan(20e6);
    });

    test("a message that comes back from a dead-letter queue is another attempt, in the same trace", () => {
      const [sent] = spansIn("dead letters");
      const [first, dead] = below(sent);
      expect(first?.attributes).toMatchObject({ "tracekit.messaging.delivery_attempt": 1, "error.type": "reject" });
      expect(dead?.attributes).toMatchObject({
        "tracekit.messaging.delivery_attempt": 1,
        "tracekit.messaging.outcome": "ack",
      });
      const [again] = below(dead);
      expect(below(again)).toMatchObject([{ attributes: { "tracekit.messaging.delivery_attempt": 2 } }]);
    });

    test("a handler that throws marks its message's span", () => {
      expect(below(spansIn("throwing handler")[0])).toMatchObject([
        { status: { code: "ERROR", message: "from the handler" }, events: [{ name: "exception" }] },
      ]);
    });

    test("a fetched message is a client span under its caller, linked to its publisher", () => {
      const [empty, sent, fetched, failed] = spansIn("get");
      expect(empty).toMatchObject({ kind: "CLIENT", status: { code: "UNSET" }, links: [] });
      expect(empty?.attributes).not.toHaveProperty("messaging.message.body.size");
      expect(fetched).toMatchObject({
        name: empty?.name,
        kind: "CLIENT",
        links: [{ traceId: sent?.traceId, spanId: sent?.spanId }],
        attributes: {
          "messaging.operation.type": "receive",
          "messaging.message.id": "fetched",
          "tracekit.messaging.body.content": "hello",
          "tracekit.messaging.delivery_attempt": 1,
        },
      });
      expect(failed).toMatchObject({ status: { code: "ERROR" }, attributes: { "error.type": "404" } });
    });

    test("on a confirm channel a publish lasts until the broker has confirmed, returned or refused it", () => {
      const confirmed = spansIn("confirmed");
      expect(confirmed).toHaveLength(23);
      for (const { status } of confirmed) expect(status.code).toBe("UNSET");
      expect(spansIn("returned")).toMatchObject([
        { status: { code: "ERROR" }, attributes: { "error.type": "NO_ROUTE" } },
      ]);
      expect(spansIn("refused")).toMatchObject([
        {
          name: `send ${traced.run().destination}_nowhere`,
          status: { code: "ERROR", message: expect.stringContaining("NOT_FOUND") as string },
          attributes: { "error.type": "404" },
        },
      ]);
      expect(spansIn("closed while unconfirmed")).toMatchObject([
        { status: { code: "ERROR", message: "channel closed" } },
      ]);
    });

    test("a publish with wrong arguments is a failed span", () => {
      expect(spansIn("wrong arguments")).toMatchObject([{ attributes: { "error.type": "TypeError" } }]);
    });

    test("question and reply are one trace, with their correlation id", () => {
      const [question] = spansIn("rpc");
      const [asked] = below(question);
      const [reply] = below(asked);
      const [replied] = below(reply);
      for (const span of [question, asked, reply, replied]) {
        expect(span?.attributes).toMatchObject({ "messaging.message.conversation_id": "c-1" });
      }
      expect(reply).toMatchObject({
        name: "send amq.rabbitmq.reply-to",
        attributes: {
          "messaging.destination.name": "amq.rabbitmq.reply-to",
          "messaging.destination.anonymous": true,
        },
      });
      expect(replied?.name).toBe("process amq.rabbitmq.reply-to");
    });

    test("a queue the server has named is not in a span's name", () => {
      expect(below(spansIn("server-named queue")[0])).toMatchObject([
        {
          name: `process ${traced.run().destination}`,
          attributes: { "messaging.destination.name": expect.stringContaining("amq.gen-") as string },
        },
      ]);
    });

    test("the callback API is traced alike", () => {
      const [confirmed, fetched, empty, sent] = spansIn("callback API");
      expect([confirmed, fetched, empty, sent].map((span) => [span?.kind, span?.status.code])).toEqual([
        ["PRODUCER", "UNSET"],
        ["CLIENT", "UNSET"],
        ["CLIENT", "UNSET"],
        ["PRODUCER", "UNSET"],
      ]);
      expect(fetched?.links).toMatchObject([{ spanId: confirmed?.spanId }]);
      expect(below(sent)).toMatchObject([{ attributes: { "tracekit.messaging.outcome": "ack" } }]);
    });

    test(`nothing of ${install["amqplib"]} is switched off by an error of ours`, () => {
      expect(traced.run().publisher.stderr + traced.run().consumer.stderr).not.toContain("no longer traced");
    });
  },
  (spans: readonly ReceivedSpan[]) => expectDescribed(amqplib, spans),
);

/** An application of its own on the newest version; `channel` and an empty `queue` are there. */
async function runAlone(body: string): ReturnType<typeof runScenarios> {
  const version = amqplib.packages["amqplib"]?.at(-1) as string;
  return runScenarios(receiver, {
    libraries: await installLibraries({ amqplib: version }),
    env: { RABBITMQ_URL: rabbitmq.url },
    code: `
      import amqp from "amqplib";
      import { trace } from "@opentelemetry/api";
      const connection = await amqp.connect(process.env.RABBITMQ_URL);
      const channel = await connection.createChannel();
      const { queue } = await channel.assertQueue("alone_" + process.pid, { exclusive: true });
      ${body}
      await connection.close();`,
  });
}

test("messages that are never acknowledged do not hold on to ever more spans", async () => {
  const { spans } = await runAlone(`
    let received = 0;
    const all = new Promise((resolve) => channel.consume(queue, () => void (++received === 1010 && resolve())));
    for (let index = 0; index < 1010; index++) channel.sendToQueue(queue, Buffer.from(String(index)));
    await all;
    console.log(JSON.stringify({ name: "received", seen: [received], where: [] }));
    // Those that are open are lost: only the others arrive.
    process.exit();`);
  const processed = spans.filter(({ kind }) => kind === "CONSUMER");
  expect(processed.map(({ attributes }) => attributes["tracekit.messaging.body.content"]).slice(0, 3)).toEqual([
    "0",
    "1",
    "2",
  ]);
  expect(processed.length).toBe(10);
}, 100_000);

test("an argument that throws when we look at it switches off this instrumentation, and nothing else", async () => {
  const { told, spans, stderr } = await runAlone(`
    const seen = [];
    let looks = 0;
    const hostile = { get messageId() { if (++looks === 1) throw new Error("hostile"); return "id"; } };
    trace.getTracer("app").startActiveSpan("before", (span) => span.end());
    const received = new Promise((resolve) => channel.consume(queue, resolve));
    seen.push(channel.sendToQueue(queue, Buffer.from("x"), hostile));
    const message = await received;
    seen.push(message.properties.messageId, Object.keys(message.properties.headers));
    channel.ack(message);
    trace.getTracer("app").startActiveSpan("after", (span) => span.end());
    console.log(JSON.stringify({ name: "hostile", seen, where: [] }));`);
  expect(told.get("hostile")?.seen).toEqual([true, "id", []]);
  expect(spans.map(({ name }) => name)).toEqual(["before", "after"]);
  expect(stderr.match(/amqplib is no longer traced/g)).toHaveLength(1);
}, 100_000);
