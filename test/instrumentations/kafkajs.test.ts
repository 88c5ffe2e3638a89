import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { messagingContract } from "../contract/messaging.ts";
import { expectDescribed } from "../libraries/description.ts";
import { kafkajs } from "../libraries/kafkajs.ts";
import { startKafka } from "../services/kafka.ts";
import type { Service } from "../services/service.ts";
import type { ReceivedSpan } from "../support/otlp-receiver.ts";

/** An emulator of one broker. */
let server: Service;
beforeAll(async () => {
  server = await startKafka();
}, 120_000);
afterAll(() => server.stop());

messagingContract(
  {
    instrumentation: "kafkajs",
    code: readFileSync(join(import.meta.dirname, "kafkajs-app.mjs"), "utf8"),
    installs: (kafkajs.packages["kafkajs"] ?? []).map((version) => ({ kafkajs: version })),
    env: () => ({ KAFKA_BROKER: new URL(server.url).host, KAFKAJS_NO_PARTITIONER_WARNING: "1" }),
    system: "kafka",
    names: (destination) => ({
      send: { name: `send ${destination}`, destination },
      process: { name: `process ${destination}`, destination },
    }),
    target() {
      const { hostname, port } = new URL(server.url);
      return { "server.address": hostname, "server.port": Number(port), "messaging.client.id": "orders" };
    },
    attributes(destination) {
      const both = {
        "messaging.kafka.message.key": "key-1",
        "messaging.kafka.offset": expect.any(Number) as number,
        "messaging.destination.partition.id": expect.stringMatching(/^[0-3]$/) as string,
      };
      return { send: both, process: { ...both, "messaging.consumer.group.name": `${destination}_contract` } };
    },
    abilities: ["headers", "bytes", "queue time", "delivery attempt", "redelivery", "publish failure"],
    publishFailure: "KafkaJSError",
    timeoutMillis: 90_000,
  },
  ({ install, run, spansIn, processedBelow }) => {
    const only = (scenario: string): ReceivedSpan => {
      const spans = spansIn(scenario);
      expect(spans.map(({ kind }) => kind)).toEqual(["PRODUCER"]);
      return spans[0] as ReceivedSpan;
    };
    const namesBelow = (span: ReceivedSpan | undefined): string[] => processedBelow(span).map(({ name }) => name);
    const linkedTo = (spans: ReceivedSpan[]): ReceivedSpan[] => {
      const ids = new Set(spans.map(({ spanId }) => spanId));
      return run().consumer.spans.filter(
        ({ parentSpanId, links }) => parentSpanId === "" && links.some(({ spanId }) => ids.has(spanId)),
      );
    };

    test("keys are redacted, and the application's own headers travel beside ours, one value or many", () => {
      const sent = only("headers and key");
      const [processed] = processedBelow(sent);
      for (const span of [sent, processed]) {
        expect(span?.attributes).toMatchObject({
          "messaging.kafka.message.key": "session:REDACTED",
          "messaging.destination.partition.id": "2",
          "messaging.kafka.offset": 0,
        });
      }
      expect(namesBelow(processed)).toEqual(["work headers and key"]);
      expect(run().consumer.told.get("handled headers and key of own")?.seen).toEqual([
        2,
        // A header with several values came with version 2.
        install["kafkajs"]?.startsWith("1.") === true ? ["a", "b"] : ["a", "b", "c", "d"],
      ]);
    });

    test("a tombstone is one", () => {
      const sent = only("tombstone");
      for (const span of [sent, ...processedBelow(sent)]) {
        expect(span.attributes).toMatchObject({
          "messaging.kafka.message.tombstone": true,
          "messaging.kafka.message.key": "gone",
        });
        expect(span.attributes).not.toHaveProperty("messaging.message.body.size");
      }
      expect(namesBelow(processedBelow(sent)[0])).toEqual(["work tombstone"]);
    });

    test("a send without acknowledgement ends when it is sent", () => {
      expect(only("no acks")).toMatchObject({ status: { code: "UNSET" } });
      expect(only("no acks").attributes).not.toHaveProperty("messaging.kafka.offset");
      expect(processedBelow(only("no acks")).map(namesBelow)).toEqual([["work no acks"]]);
    });

    test("several messages are one send; each that is processed alone has a span below it", () => {
      const sent = only("several");
      expect(sent).toMatchObject({
        name: `send ${run().destination}_own`,
        attributes: { "messaging.batch.message_count": 3, "messaging.destination.partition.id": "1" },
      });
      expect(sent.attributes).not.toHaveProperty("messaging.kafka.offset");
      const processed = processedBelow(sent);
      expect(processed.map(namesBelow)).toEqual([["work several 1"], ["work several 2"], ["work several 3"]]);
      expect(processed.map(({ attributes }) => attributes["messaging.kafka.offset"])).toEqual([0, 1, 2]);
    });

    test("a batch to several topics is one span without a destination", () => {
      const sent = only("several topics");
      expect(sent.name).toBe("send");
      expect(sent.attributes).toMatchObject({ "messaging.batch.message_count": 2 });
      expect(sent.attributes).not.toHaveProperty("messaging.destination.name");
      expect(processedBelow(sent).map(namesBelow).sort()).toEqual([
        ["work several topics own"],
        ["work several topics tombstones"],
      ]);
      const single = only("batch of one topic");
      expect(single.name).toBe(`send ${run().destination}_own`);
      expect(single.attributes).toMatchObject({ "messaging.kafka.message.key": "k" });
      expect(processedBelow(single).map(namesBelow)).toEqual([["work batch of one topic"]]);
      expect(processedBelow(only("a class of its own")).map(namesBelow)).toEqual([["work a class of its own"]]);
    });

    test("eachBatch is one span with a link to every publisher; a batch of one is that message", () => {
      const [several, single] = spansIn("batches");
      const batches = linkedTo([several as ReceivedSpan]);
      expect(batches).toMatchObject([
        {
          name: `process ${run().destination}_batches`,
          kind: "CONSUMER",
          links: [1, 2, 3].map(() => ({ spanId: several?.spanId })),
          attributes: {
            "messaging.batch.message_count": 3,
            "messaging.consumer.group.name": `${run().destination}_batches`,
            "messaging.destination.partition.id": "0",
            "tracekit.messaging.delivery_attempt": 1,
          },
        },
      ]);
      expect(batches[0]?.attributes).not.toHaveProperty("tracekit.messaging.body.content");
      expect(namesBelow(batches[0])).toEqual(["work batch 1,batch 2,batch 3"]);
      expect(processedBelow(several)).toEqual([]);
      const [processed] = processedBelow(single);
      expect(processed?.attributes).toMatchObject({ "messaging.kafka.offset": 3 });
      expect(namesBelow(processed)).toEqual(["work single"]);
    });

    test("a batch that fails is processed again: two spans, two attempts", () => {
      const batches = linkedTo(spansIn("failing batch"));
      expect(
        batches.map(({ status, attributes }) => [status.code, attributes["tracekit.messaging.delivery_attempt"]]),
      ).toEqual([
        ["ERROR", 1],
        ["UNSET", 2],
      ]);
      expect(batches.map(namesBelow)).toEqual([["work failing 1"], ["work failing 2"]]);
    });

    test("what is sent in a transaction is a send, committed or aborted, and arrives with its context", () => {
      const [single, batch, refused, aborted] = spansIn("transactions");
      expect(spansIn("transactions").map(({ name, status }) => [name, status.code])).toEqual([
        [`send ${run().destination}_own`, "UNSET"],
        [`send ${run().destination}_own`, "UNSET"],
        [`send ${run().destination}_own`, "ERROR"],
        [`send ${run().destination}_aborted`, "UNSET"],
      ]);
      expect(processedBelow(single).map(namesBelow)).toEqual([["work in a transaction"]]);
      expect(processedBelow(batch).map(namesBelow)).toEqual([["work in its batch"]]);
      expect(refused?.attributes["error.type"]).toBe("KafkaJSNonRetriableError");
      expect(aborted?.attributes).toMatchObject({ "messaging.destination.partition.id": "0" });
    });

    test("what kafkajs refuses is a failed span, and its complaint shows the message as it was given", () => {
      const rejected = [...run().publisher.told].filter(([name]) => name.startsWith("rejected: "));
      expect(rejected).toHaveLength(6);
      for (const [name] of rejected) {
        expect(spansIn(name).map(({ status }) => status.code)).toEqual(name === "rejected: nothing" ? [] : ["ERROR"]);
      }
      expect(JSON.stringify(run().publisher.told.get("rejected: no value")?.seen)).not.toContain("traceparent");
    });
  },
  (spans) => expectDescribed(kafkajs, spans),
);
