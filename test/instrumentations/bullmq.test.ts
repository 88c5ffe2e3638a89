import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { messagingContract } from "../contract/messaging.ts";
import { childrenOf } from "../contract/scenarios.ts";
import { bullmq } from "../libraries/bullmq.ts";
import { expectDescribed } from "../libraries/description.ts";
import type { ReceivedSpan } from "../support/otlp-receiver.ts";

const redisUrl = (): URL => new URL(process.env["TRACEKIT_TEST_REDIS_URL"] as string);

messagingContract(
  {
    instrumentation: "bullmq",
    code: readFileSync(join(import.meta.dirname, "bullmq-app.mjs"), "utf8"),
    // Version 6 leaves the client to the application.
    installs:
      bullmq.packages["bullmq"]?.map((version) => ({
        bullmq: version,
        ...(version.startsWith("6.") && { ioredis: "5.8.2" }),
      })) ?? [],
    env: () => ({ REDIS_URL: redisUrl().href }),
    system: "bullmq",
    names: (queue) => ({
      send: { name: `send ${queue}`, destination: queue },
      process: { name: `process ${queue}`, destination: queue },
    }),
    target: () => ({ "server.address": redisUrl().hostname, "server.port": Number(redisUrl().port) }),
    attributes: () => ({
      send: { "tracekit.bullmq.job_name": "created" },
      process: { "tracekit.bullmq.job_name": "created" },
    }),
    abilities: ["own id", "queue time", "delivery attempt", "redelivery", "publish failure"],
    publishFailure: "Error",
    timeoutMillis: 90_000,
  },
  (traced) => {
    const { run, spansIn } = traced;
    const ours = (span: ReceivedSpan): boolean => span.scope.name === "@tracekit/auto/bullmq";
    const below = (span: ReceivedSpan | undefined): ReceivedSpan[] => childrenOf(run().publisher, span);
    const sentIn = (scenario: string): ReceivedSpan[] => spansIn(scenario).filter(ours);
    const namesBelow = (span: ReceivedSpan | undefined): string[] => below(span).map(({ name }) => name);

    test("a worker's and a queue's own Redis commands are no spans, however long they wait", () => {
      const redis = ({ spans }: { spans: readonly ReceivedSpan[] }): ReceivedSpan[] =>
        spans.filter(({ scope }) => scope.name === "@tracekit/auto/ioredis");
      expect(redis(run().consumer)).toEqual([]);
      const sent = run().publisher.spans.filter((span) => ours(span) && span.kind === "PRODUCER");
      expect(sent.flatMap(namesBelow).filter((name) => !name.startsWith("process "))).toEqual([]);
      // A queue writes its settings once.
      const roots = redis(run().publisher).filter(({ parentSpanId }) => parentSpanId === "");
      expect(roots.length).toBeLessThan(8);
      for (const { name } of roots) expect(name).toMatch(/^HM?SET$/);
    });

    test("each attempt is a span below the call that added the job", () => {
      const attempts = below(sentIn("attempts")[0]);
      expect(attempts.map(({ attributes }) => attributes["tracekit.messaging.delivery_attempt"])).toEqual([1, 2, 3]);
      for (const attempt of attempts) {
        expect(attempt).toMatchObject({ status: { code: "ERROR", message: "every time" } });
        expect(namesBelow(attempt)).toEqual(["work attempt attempts"]);
      }
    });

    test("the queue time of a delayed job includes its delay", () => {
      const [processed] = below(sentIn("delayed")[0]);
      expect(processed?.attributes["tracekit.messaging.queue_time_ms"]).toBeGreaterThanOrEqual(30);
    });

    test("jobs added at once are one span, and each is processed below it", () => {
      const [sent, ...others] = sentIn("bulk");
      expect(others).toEqual([]);
      expect(sent?.attributes).toMatchObject({ "messaging.batch.message_count": 3 });
      expect(sent?.attributes).not.toHaveProperty("tracekit.messaging.body.content");
      expect(below(sent).flatMap(namesBelow).sort()).toEqual(["work bulk 0", "work bulk 1", "work bulk 2"]);
    });

    test("a bulk of one is a single job", () => {
      const [sent] = sentIn("bulk of one");
      expect(sent?.attributes).toMatchObject({
        "messaging.message.id": "bulk-one",
        "tracekit.messaging.body.content": '{"one":1}',
        "tracekit.bullmq.job_name": "single",
      });
      expect(sent?.attributes).not.toHaveProperty("messaging.batch.message_count");
    });

    test("the jobs of a flow are processed below the call that added it", () => {
      const [sent, ...others] = sentIn("flow");
      expect(others).toEqual([]);
      expect(sent?.attributes).toMatchObject({ "messaging.batch.message_count": 3 });
      expect(below(sent).flatMap(namesBelow).sort()).toEqual(["work flow left", "work flow right", "work flow root"]);
    });

    test("a job that its processor postpones has not failed", () => {
      if (!run().publisher.told.has("postponed")) return;
      const [postponed, processed] = below(sentIn("postponed")[0]);
      expect(postponed).toMatchObject({
        status: { code: "UNSET" },
        events: [],
        attributes: { "tracekit.messaging.outcome": "requeue" },
      });
      expect(processed?.attributes).not.toHaveProperty("tracekit.messaging.outcome");
    });

    test("a listener of a job's event runs in the job's trace", () => {
      expect(namesBelow(below(sentIn("events")[0])[0])).toEqual(["work listener"]);
    });

    test("the jobs of a scheduler start traces of their own", () => {
      const ticks = run().publisher.spans.filter(
        ({ kind, attributes }) => kind === "CONSUMER" && attributes["tracekit.bullmq.job_name"] === "tick",
      );
      expect(run().publisher.told.has("scheduler")).toBe(ticks.length > 0);
      for (const { parentSpanId, links } of ticks)
        expect({ parentSpanId, links }).toEqual({ parentSpanId: "", links: [] });
      for (const tick of ticks) expect(namesBelow(tick)).toEqual(["work run tick"]);
    });

    test("a queue and a worker with telemetry of their own are left to it", () => {
      if (JSON.stringify(run().publisher.told.get("telemetry of its own")).includes('"metadata":"mine"')) {
        expect(sentIn("telemetry of its own")).toEqual([]);
      }
      const queue = `${run().destination}_telemetry`;
      const spans = run().publisher.spans.filter(
        ({ attributes }) => attributes["messaging.destination.name"] === queue,
      );
      expect(spans).toEqual([]);
    });

    test("nothing is switched off by an error of ours", () => {
      expect(run().publisher.stderr + run().consumer.stderr).not.toContain("no longer traced");
    });
  },
  (spans: readonly ReceivedSpan[]) => expectDescribed(bullmq, spans),
);
