import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { childrenOf } from "../contract/scenarios.ts";
import { messagingContract } from "../contract/messaging.ts";
import { expectDescribed } from "../libraries/description.ts";
import { mqtt } from "../libraries/mqtt.ts";
import { startMosquitto } from "../services/mosquitto.ts";
import type { Service } from "../services/service.ts";
import type { ReceivedSpan } from "../support/otlp-receiver.ts";

let server: Service;
beforeAll(async () => {
  server = await startMosquitto();
}, 120_000);
afterAll(() => server.stop());

messagingContract(
  {
    instrumentation: "mqtt",
    code: readFileSync(join(import.meta.dirname, "mqtt-app.mjs"), "utf8"),
    installs: (mqtt.packages["mqtt"] ?? []).map((version) => ({ mqtt: version })),
    env: () => ({ MQTT_URL: server.url }),
    system: "mqtt",
    names: (destination) => ({
      send: { name: `publish ${destination}`, destination },
      process: { name: `process ${destination}`, destination },
    }),
    target() {
      const { hostname, port } = new URL(server.url);
      return {
        "server.address": hostname,
        "server.port": Number(port),
        "network.protocol.version": "5.0",
        "messaging.client.id": expect.stringMatching(/^mqttjs_/) as string,
      };
    },
    attributes: () => ({ send: { "tracekit.mqtt.qos": 1 }, process: { "tracekit.mqtt.qos": 1 } }),
    abilities: ["headers", "bytes", "queue time", "publish failure"],
    publishFailure: "Error",
    contextHeaders: ["traceparent", "tracekit-published-at"],
  },
  ({ install, run, spansIn, processedBelow }) => {
    const only = (scenario: string): ReceivedSpan => {
      const spans = spansIn(scenario);
      expect(spans.map(({ kind }) => kind)).toEqual(["PRODUCER"]);
      return spans[0] as ReceivedSpan;
    };
    const processedIn = (scenario: string): ReceivedSpan => {
      const processed = processedBelow(only(scenario));
      expect(processed.map(({ kind }) => kind)).toEqual(["CONSUMER"]);
      return processed[0] as ReceivedSpan;
    };
    const workBelow = (span: ReceivedSpan | undefined): string[] => processedBelow(span).map(({ name }) => name);

    test("every way to publish is one span, with its quality of service", () => {
      for (const qos of [0, 1, 2]) {
        for (const way of ["callback", "no callback"]) {
          expect(only(`${way} ${qos}`)).toMatchObject({
            status: { code: "UNSET" },
            attributes: { "tracekit.mqtt.qos": qos },
          });
          expect(workBelow(processedIn(`${way} ${qos}`))).toEqual([`work ${way} ${qos}`]);
        }
      }
      expect(workBelow(processedIn("short form"))).toEqual(["work short form"]);
      if (!install["mqtt"]?.startsWith("4.")) expect(workBelow(processedIn("async"))).toEqual(["work async"]);
      expect(workBelow(processedIn("offline"))).toEqual(["work offline"]);
    });

    test("the application's own user properties travel beside ours, and request/response ids are shown", () => {
      expect(run().consumer.told.get("handled options")?.seen).toEqual([1, ["a", "b"], "c"]);
      for (const { attributes } of [only("options"), processedIn("options")]) {
        expect(attributes["messaging.message.conversation_id"]).toBe("c-1");
      }
    });

    test("a subscription with wildcards names the span, and a shared one its group", () => {
      const { destination } = run();
      const processed = processedIn("shared");
      expect(processed.name).toBe(`process ${destination}/shared/+`);
      expect(processed.attributes).toMatchObject({
        "messaging.destination.name": `${destination}/shared/a`,
        "messaging.destination.template": `${destination}/shared/+`,
        "messaging.consumer.group.name": "workers",
      });
      expect(workBelow(processed)).toEqual(["work shared"]);
    });

    test("an overridden handleMessage is part of its message's span, until it calls back", () => {
      const sent = spansIn("hook");
      expect(sent.map(({ attributes }) => attributes["tracekit.mqtt.qos"])).toEqual([1, 2, 0]);
      for (const [index, span] of sent.entries()) {
        const [processed, ...others] = processedBelow(span);
        expect(others).toEqual([]);
        expect(workBelow(processed)).toEqual(["listener hook", `work hook ${index + 1}`]);
        for (const below of processedBelow(processed)) {
          expect(below.endTimeUnixNano).toBeLessThanOrEqual(processed?.endTimeUnixNano as bigint);
        }
      }
    });

    test("protocol version 3.1.1 has no place for context: processing starts a trace of its own", () => {
      expect(only("version 3.1.1").attributes["network.protocol.version"]).toBe("3.1.1");
      expect(processedBelow(only("version 3.1.1"))).toEqual([]);
      const processed = run().consumer.spans.filter(({ name }) => name === `process ${run().destination}/old`);
      expect(processed).toMatchObject([{ parentSpanId: "", links: [], kind: "CONSUMER" }]);
      expect(workBelow(processed[0])).toEqual(["work version 3.1.1"]);
    });

    test("a retained message starts a trace of its own with a link to its publisher; a will has neither", () => {
      const [sent] = spansIn("retained");
      expect(sent?.attributes["tracekit.mqtt.retain"]).toBe(true);
      const processed = run().consumer.spans.filter(({ name }) => name === `process ${run().destination}/retained`);
      expect(processed.slice(0, 1)).toMatchObject([
        { parentSpanId: "", links: [{ spanId: sent?.spanId }], attributes: { "tracekit.mqtt.retain": true } },
      ]);
      expect(workBelow(processed[0])).toEqual(["work retained"]);

      expect(spansIn("will")).toEqual([]);
      const isWill = ({ attributes }: ReceivedSpan): boolean =>
        attributes["tracekit.messaging.body.content"] === '{"name":"will"}';
      const wills = run().consumer.spans.filter(isWill);
      expect(wills).toMatchObject([{ parentSpanId: "", links: [], kind: "CONSUMER" }]);
    });

    test("a client that is leaving fails the publish, told by callback or by event", () => {
      const failed = spansIn("disconnecting");
      expect(failed.map(({ status }) => status)).toEqual(
        failed.map(() => ({ code: "ERROR", message: "client disconnecting" })),
      );
      expect(failed).toHaveLength(3);
      const [error, events] = (run().publisher.told.get("disconnecting")?.seen ?? []) as unknown as [
        { message: string },
        string[],
      ];
      expect([error.message, ...events]).toEqual(Array.from({ length: 3 }, () => "client disconnecting"));
    });

    test("a client without listeners processes nothing", () => {
      const all = run().consumer.spans.filter(({ kind }) => kind === "CONSUMER");
      for (const scenario of ["callback 1", "no callback 2", "options"]) {
        const sent = only(scenario);
        expect(all.filter(({ links }) => links.some(({ spanId }) => spanId === sent.spanId))).toHaveLength(1);
      }
      expect(childrenOf(run().consumer, processedIn("options")).map(({ name }) => name)).toEqual(["work options"]);
    });
  },
  (spans) => expectDescribed(mqtt, spans),
);
