import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { messagingContract } from "../contract/messaging.ts";
import { expectDescribed } from "../libraries/description.ts";
import { googleCloudPubsub } from "../libraries/google-cloud-pubsub.ts";
import { startPubSubStandIn } from "../services/pubsub-stand-in.ts";
import type { Service } from "../services/service.ts";
import { installLibraries } from "../support/library.ts";
import type { ReceivedSpan } from "../support/otlp-receiver.ts";

const NAME = "@google-cloud/pubsub";
const versions = googleCloudPubsub.packages[NAME] ?? [];

let server: Service;
beforeAll(async () => {
  // It runs on this Node, on which version 6 does not.
  server = await startPubSubStandIn(await installLibraries({ [NAME]: "5.3.1" }));
}, 240_000);
afterAll(() => server.stop());

messagingContract(
  {
    instrumentation: "google-cloud-pubsub",
    code: readFileSync(join(import.meta.dirname, "google-cloud-pubsub-app.mjs"), "utf8"),
    installs: versions.map((version) => ({ [NAME]: version })),
    env: () => ({
      PUBSUB_EMULATOR_HOST: new URL(server.url).host,
      METADATA_SERVER_DETECTION: "none",
      NODE_NO_WARNINGS: "1",
      // Its requests, of which one may serve several messages, would be among the spans.
      OTEL_NODE_DISABLED_INSTRUMENTATIONS: "http2",
    }),
    system: "gcp_pubsub",
    names: (destination) => ({
      send: { name: `send ${destination}`, destination },
      process: { name: `process ${destination}`, destination },
    }),
    target: () => ({ "server.address": "127.0.0.1", "server.port": Number(new URL(server.url).port) }),
    attributes: () => ({ process: { "tracekit.messaging.outcome": "ack" } }),
    abilities: ["id", "headers", "bytes", "queue time", "delivery attempt", "redelivery", "publish failure"],
    publishFailure: "NOT_FOUND",
  },
  ({ install, run, spansIn, processedBelow }) => {
    const processedIn = (scenario: string): ReceivedSpan[] => spansIn(scenario).flatMap(processedBelow);

    test("every way to publish is one span, and each of a batch has its own", () => {
      expect(spansIn("callback")).toMatchObject([{ kind: "PRODUCER", status: { code: "UNSET" } }]);
      expect(spansIn("other ways").map(({ kind }) => kind)).toEqual(Array.from({ length: 4 }, () => "PRODUCER"));
      const bodies = processedIn("other ways").map(({ attributes }) => attributes["tracekit.messaging.body.content"]);
      expect(bodies).toEqual(['{"name":"publish"}', '{"name":"json"}', '{"name":"frozen"}', ""]);
      const batch = spansIn("batch");
      expect(new Set(batch.map(({ attributes }) => attributes["messaging.message.id"])).size).toBe(3);
      expect(batch.map((span) => processedBelow(span).length)).toEqual([1, 1, 1]);
    });

    test("an ordering key is shown on both sides", () => {
      for (const { attributes } of [...spansIn("ordered"), ...processedIn("ordered")]) {
        expect(attributes["messaging.gcp_pubsub.message.ordering_key"]).toBe("customer-42");
      }
    });

    test("a message that is full is published as it is, and the span says so", () => {
      expect(spansIn("full")[0]?.attributes["tracekit.messaging.context_omitted"]).toBe(true);
      expect(processedIn("full")).toEqual([]);
    });

    test("what the library refuses is a failed span", () => {
      expect(spansIn("refused").map(({ attributes }) => attributes["error.type"])).toEqual([
        "TypeError",
        "TypeError",
        "TypeError",
      ]);
    });

    test("a message's span lasts until the message is settled, whenever that is", () => {
      const processed = processedIn("settled late");
      const outcomeOf = (name: string): unknown[] =>
        processed
          .filter(({ attributes }) => attributes["tracekit.messaging.body.content"] === JSON.stringify({ name }))
          .map(({ attributes, status }) => [
            attributes["tracekit.messaging.outcome"],
            attributes["tracekit.messaging.delivery_attempt"],
            status.code,
          ]);
      expect(outcomeOf("acknowledged later")).toEqual([["ack", 1, "UNSET"]]);
      expect(outcomeOf("refused")).toEqual([
        ["nack", 1, "ERROR"],
        ["ack", 2, "UNSET"],
      ]);
      // When the subscription is closed.
      expect(outcomeOf("forgotten")[0]).toEqual(["expired", 1, "ERROR"]);
      const later = processed.find((span) => processedBelow(span).some(({ name }) => name === "work later"));
      expect(later?.attributes["tracekit.messaging.body.content"]).toBe('{"name":"acknowledged later"}');
    });

    test("the library's own tracing takes the place of ours", () => {
      const scopes = spansIn("library's own tracing").map(({ scope }) => scope.name);
      expect(scopes.filter((name) => name.startsWith("@tracekit/auto/google"))).toEqual([]);
      if (!install[NAME]?.startsWith("3.")) expect(scopes).toContain(NAME);
      expect(run().publisher.told.get("library's own tracing")?.seen).toEqual(["string"]);
    });
  },
  (spans) => expectDescribed(googleCloudPubsub, spans),
);
