import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { messagingContract } from "../contract/messaging.ts";
import { expectDescribed } from "../libraries/description.ts";
import { nats } from "../libraries/nats.ts";
import { startNats } from "../services/nats.ts";
import type { Service } from "../services/service.ts";
import type { ReceivedSpan } from "../support/otlp-receiver.ts";

let server: Service;
beforeAll(async () => {
  server = await startNats();
}, 120_000);
afterAll(() => server.stop());

const { packages } = nats;

messagingContract(
  {
    instrumentation: "nats",
    code: readFileSync(join(import.meta.dirname, "nats-app.mjs"), "utf8"),
    installs: [
      ...(packages["nats"] ?? []).map((version) => ({ nats: version })),
      ...(packages["@nats-io/jetstream"] ?? []).map((version) => ({
        "@nats-io/transport-node": version,
        "@nats-io/jetstream": version,
      })),
    ],
    env: () => ({ NATS_URL: server.url }),
    system: "nats",
    names: (destination) => ({
      send: { name: `publish ${destination}`, destination },
      process: { name: `process ${destination}`, destination },
    }),
    target() {
      const { hostname, port } = new URL(server.url);
      return { "server.address": hostname, "server.port": Number(port) };
    },
    attributes: () => ({
      send: { "messaging.client.id": "orders" },
      process: { "messaging.client.id": "orders" },
    }),
    abilities: ["headers", "bytes", "queue time", "publish failure"],
    publishFailure: /^(?:CONNECTION_CLOSED|ClosedConnectionError)$/,
    contextHeaders: ["traceparent", "tracekit-published-at"],
  },
  ({ install, run, spansIn, processedBelow }) => {
    const destination = (): string => run().destination;
    const only = (scenario: string, kind = "PRODUCER"): ReceivedSpan => {
      const spans = spansIn(scenario);
      expect(spans.map((span) => span.kind)).toEqual([kind]);
      return spans[0] as ReceivedSpan;
    };
    const processedIn = (scenario: string, kind?: string): ReceivedSpan => {
      const processed = processedBelow(only(scenario, kind));
      expect(processed.map((span) => span.kind)).toEqual(["CONSUMER"]);
      return processed[0] as ReceivedSpan;
    };
    const namesBelow = (span: ReceivedSpan | undefined): string[] => processedBelow(span).map(({ name }) => name);
    const hasRequestMany = install["nats"] !== "2.6.1";
    const hasConsumers = hasRequestMany && install["nats"] !== "2.13.1";

    test("the body of a loop runs in its message's span, which lasts until the loop asks for the next message", () => {
      for (const name of ["loop 1", "loop 2", "loop break"]) {
        const processed = processedIn(name);
        expect(processed).toMatchObject({
          name: `process ${destination()}.loop.*`,
          status: { code: "UNSET" },
          attributes: {
            "messaging.destination.name": `${destination()}.loop.a`,
            "messaging.destination.template": `${destination()}.loop.*`,
            "messaging.consumer.group.name": "workers",
          },
        });
        expect(namesBelow(processed)).toEqual([`work ${name}`]);
      }
      const [first, second] = ["loop 1", "loop 2"].map((name) => processedIn(name));
      expect(first?.endTimeUnixNano).toBeLessThanOrEqual(second?.startTimeUnixNano as bigint);
      expect(namesBelow(processedIn("loop throw"))).toEqual(["work loop throw"]);
      // Where code ran beside a loop and after it is part of what the contract looks at.
      const { told } = run().consumer;
      for (const name of ["loop", "throwing loop", "unsampled loop"]) {
        expect([told.get(`beside ${name}`)?.where, told.get(`after ${name}`)?.where]).toEqual([[true], [true]]);
      }
    });

    test("an iterator that is used by hand gives results like any other", () => {
      const sent = spansIn("manual");
      expect(sent.map((span) => processedBelow(span).map(namesBelow))).toEqual([
        [["work manual 1"]],
        [["work manual 2"]],
      ]);
      expect(run().consumer.told.get("result of manual 1")?.seen).toEqual([{ done: false }, ["value", "done"], true]);
    });

    test("an unsampled message of a loop is not recorded", () => {
      expect(run().consumer.told.has("handled end of loop")).toBe(true);
      expect(run().bytes.includes("end of loop")).toBe(false);
    });

    test("context replaces what came with another message, in a copy of the application's headers", () => {
      expect(namesBelow(processedIn("own headers"))).toEqual(["work own headers"]);
      const [headers] = (run().publisher.told.get("own headers")?.seen ?? []) as [Array<[string, string[]]>];
      expect(headers).toEqual([
        ["app", ["own"]],
        ["traceparent", ["00-stale"]],
      ]);
      expect(run().consumer.told.get("handled own headers")?.seen).toEqual(["own"]);
    });

    test("a message that fits without context is sent without", () => {
      const [sent, refused] = spansIn("big payload");
      expect(sent?.status.code).toBe("UNSET");
      expect(refused?.status.code).toBe("ERROR");
      expect(run().consumer.told.get("handled big payload")?.seen).toEqual([1_048_576]);
      expect(processedBelow(sent)).toEqual([]);
    });

    test("a request is one client span, which the responder joins", () => {
      for (const name of ["request", "request without mux", ...(hasRequestMany ? ["request many"] : [])]) {
        const sent = only(name, "CLIENT");
        expect(sent).toMatchObject({
          name: `request ${destination()}.${name === "request many" ? "many" : "echo"}`,
          status: { code: "UNSET" },
        });
        const processed = processedIn(name, "CLIENT");
        expect(namesBelow(processed)).toEqual([`work answer ${name}`]);
        expect(processed.startTimeUnixNano).toBeLessThanOrEqual(sent.endTimeUnixNano);
      }
    });

    test("a request that fails says why", () => {
      const types = ["timeout", "nobody", "closed"].map(
        (name) => only(`request ${name}`, "CLIENT").attributes["error.type"],
      );
      if (install["nats"] !== undefined) expect(types).toEqual(["TIMEOUT", "503", "CONNECTION_CLOSED"]);
      else expect(types).toEqual(["TimeoutError", "RequestError", "ClosedConnectionError"]);
    });

    test("a JetStream publish tells its stream, sequence and deduplication", () => {
      const [sent, again] = spansIn("js publish");
      expect(sent).toMatchObject({
        name: `publish ${destination()}.js.push`,
        kind: "PRODUCER",
        attributes: {
          "messaging.message.id": `id-${destination()}`,
          "tracekit.nats.stream": destination(),
          "tracekit.nats.sequence": 1,
        },
      });
      expect(sent?.attributes).not.toHaveProperty("tracekit.nats.duplicate");
      expect(again?.attributes).toMatchObject({ "tracekit.nats.duplicate": true, "tracekit.nats.sequence": 1 });
      expect(only("js no stream").status.code).toBe("ERROR");
      expect(only("js push loop").attributes["messaging.message.id"]).toBe(
        String(only("js push loop").attributes["tracekit.nats.sequence"]),
      );
    });

    test("messages of push and pull consumers are spans with consumer, attempt, queue time and outcome", () => {
      const kinds = ["push loop", "fetch", ...(hasConsumers ? ["consume", "consume loop", "term"] : [])];
      for (const kind of kinds) {
        const sent = only(`js ${kind}`);
        const consumer = kind.replaceAll(" ", "_");
        const processed = processedIn(`js ${kind}`);
        const outcome = kind === "term" ? "term" : "ack";
        expect(processed).toMatchObject({
          name: `process ${destination()}.js.${consumer}`,
          attributes: {
            "messaging.consumer.group.name": consumer,
            "messaging.message.id": sent.attributes["messaging.message.id"],
            "tracekit.messaging.delivery_attempt": 1,
            "tracekit.messaging.outcome": outcome,
            "tracekit.messaging.queue_time_ms": expect.any(Number) as number,
            "tracekit.nats.stream": destination(),
            "tracekit.nats.sequence": sent.attributes["tracekit.nats.sequence"],
          },
          status: { code: kind === "term" ? "ERROR" : "UNSET" },
        });
        expect(namesBelow(processed)).toEqual([`work js ${kind}`]);
      }
      const [published] = spansIn("js publish");
      expect(processedBelow(published).map(({ attributes }) => attributes["messaging.message.id"])).toEqual([
        `id-${destination()}`,
      ]);
    });

    test("a message that is refused comes again: two spans, two attempts", () => {
      const processed = processedBelow(only("js nak"));
      expect(
        processed.map(({ status, attributes }) => [
          status.code,
          attributes["tracekit.messaging.outcome"],
          attributes["tracekit.messaging.delivery_attempt"],
        ]),
      ).toEqual([
        ["ERROR", "nak", 1],
        ["UNSET", "ack", 2],
      ]);
    });

    test("asking for one message is a client span with a link to the publisher; in vain only inside a trace", () => {
      const received = run().consumer.spans.filter(({ name }) => name === `receive ${destination()}`);
      const sent = ["js pull", ...(hasConsumers ? ["js next"] : [])].map((name) => only(name));
      const linked = received.map(({ links }) => links.map(({ spanId }) => spanId).join());
      expect(linked.sort()).toEqual(sent.map(({ spanId }) => spanId).sort());
      for (const span of received) expect(span).toMatchObject({ kind: "CLIENT", parentSpanId: "" });
      if (hasConsumers)
        expect(spansIn("empty")).toMatchObject([{ name: `receive ${destination()}`, kind: "CLIENT", links: [] }]);
    });

    test("the library's own messages are no spans", () => {
      const destinations = run().spans.map(({ attributes }) => attributes["messaging.destination.name"]);
      const odd = destinations.filter((name) => typeof name === "string" && !name.startsWith(destination()));
      expect(odd).toEqual([]);
    });
  },
  (spans) => expectDescribed(nats, spans),
);
