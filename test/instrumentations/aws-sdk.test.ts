import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { childrenOf, runScenarios, type ScenarioRun, seenIn, warningsIn } from "../contract/scenarios.ts";
import { awsSdk } from "../libraries/aws-sdk.ts";
import { expectDescribed } from "../libraries/description.ts";
import { startFauxqs } from "../services/fauxqs.ts";
import type { Service } from "../services/service.ts";
import { installLibraries } from "../support/library.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";

const code = readFileSync(join(import.meta.dirname, "aws-sdk-app.mjs"), "utf8");
const SCOPE = "@tracekit/auto/aws-sdk";
const all: ReceivedSpan[] = [];

let receiver: OtlpReceiver;
beforeAll(async () => {
  receiver = await startOtlpReceiver();
});
afterAll(() => receiver.close());

const newest = {
  "@smithy/core": "3.41.0",
  "@aws-sdk/client-dynamodb": "3.1162.0",
  "@aws-sdk/client-s3": "3.1169.0",
  "@aws-sdk/client-sns": "3.1169.0",
  "@aws-sdk/client-sqs": "3.1169.0",
};

describe.each([
  [newest, "esm", "import"],
  [newest, "cjs", "require"],
  [{ "@aws-sdk/client-sqs": "3.803.0", "@smithy/smithy-client": "4.2.0" }, "cjs", "import"],
  [{ "@aws-sdk/client-sqs": "3.600.0", "@smithy/smithy-client": "3.7.0" }, "cjs", "import"],
  [{ "@aws-sdk/client-sqs": "3.501.0", "@smithy/smithy-client": "2.5.1" }, "cjs", "import"],
] as const)("%j in %s", (install, type, preload) => {
  const hasAll = install === newest;
  let plain: ScenarioRun;
  let traced: ScenarioRun;
  let service: Service;
  beforeAll(async () => {
    const libraries = await installLibraries(install);
    const run = async (how: "none" | typeof preload): Promise<ScenarioRun> => {
      // An emulator each, so that their queues are empty.
      service = await startFauxqs();
      const env = {
        AWS_URL: service.url,
        CLIENTS: hasAll ? "all" : "sqs",
        AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true",
        NODE_NO_WARNINGS: "1",
      };
      try {
        return await runScenarios(receiver, { code, type, preload: how, libraries, env });
      } finally {
        await service.stop();
      }
    };
    plain = await run("none");
    traced = await run(preload);
    all.push(...traced.spans.filter(({ scope }) => scope.name === SCOPE));
  }, 300_000);

  const spansIn = (scenario: string): ReceivedSpan[] =>
    childrenOf(traced, scenario).filter(({ scope }) => scope.name === SCOPE);
  const namesIn = (scenario: string): string[] => spansIn(scenario).map(({ name, kind }) => `${kind} ${name}`);
  const only = (scenario: string): ReceivedSpan => {
    const [span, ...others] = spansIn(scenario);
    expect(others).toEqual([]);
    return span as ReceivedSpan;
  };
  const linksOf = ({ links }: ReceivedSpan): string[] => links.map(({ spanId }) => spanId);

  test("the application sees the same results, errors and inputs as without us", () => {
    const hide = (run: ScenarioRun): unknown =>
      JSON.parse(JSON.stringify(seenIn(run)).replaceAll(/(?:127\.0\.0\.1|localhost):\d+/g, "HOST"));
    expect(hide(traced)).toEqual(hide(plain));
    expect(JSON.stringify([...plain.told.values()])).not.toContain("unexpected");
    expect(warningsIn(traced)).toBe(warningsIn(plain));
    expect(traced.stderr).not.toContain("no longer traced");
    for (const { name, where } of traced.told.values())
      expect({ name, where }).toEqual({ name, where: where.map(() => true) });
  });

  test("a send is a producer span above its HTTP request", () => {
    const span = only("send");
    expect(span).toMatchObject({ name: "send orders", kind: "PRODUCER", status: { code: "UNSET" }, links: [] });
    expect(span.attributes).toEqual({
      "rpc.system": "aws-api",
      "rpc.service": "SQS",
      "rpc.method": "SendMessage",
      "messaging.system": "aws_sqs",
      "messaging.operation.name": "send",
      "messaging.operation.type": "send",
      "messaging.destination.name": "orders",
      "messaging.message.id": expect.any(String) as unknown,
      "messaging.message.body.size": 42,
      "tracekit.messaging.body.content": '{"url":"x7k9m2","password":"REDACTED"}',
      "aws.sqs.queue.url": expect.stringMatching(/\/orders$/) as unknown,
      "aws.request_id": expect.any(String) as unknown,
      "http.response.status_code": 200,
    });
    expect(childrenOf(traced, span).map(({ name, scope }) => [name, scope.name])).toEqual([
      ["POST", "@tracekit/auto/http-client"],
    ]);
    expect(traced.bytes.includes("hunter2")).toBe(false);
  });

  test("a receive links to the publisher, and says how the message was delivered", () => {
    const span = only("receive");
    expect(span).toMatchObject({ name: "receive orders", kind: "CLIENT" });
    expect(linksOf(span)).toEqual([only("send").spanId]);
    expect(span.attributes).toMatchObject({
      "messaging.operation.type": "receive",
      "messaging.message.id": only("send").attributes["messaging.message.id"],
      "messaging.message.body.size": 42,
      "tracekit.messaging.delivery_attempt": 1,
      "tracekit.messaging.queue_time_ms": expect.any(Number) as unknown,
    });
    const [, again] = spansIn("again");
    expect(again?.attributes["tracekit.messaging.delivery_attempt"]).toBe(2);
    expect(linksOf(again as ReceivedSpan)).toEqual([only("send").spanId]);
    expect(namesIn("again")).toEqual([
      "CLIENT change_visibility orders",
      "CLIENT receive orders",
      "CLIENT delete orders",
    ]);
    expect(namesIn("some attributes")).toEqual([
      "PRODUCER send orders",
      "CLIENT receive orders",
      "CLIENT delete orders",
    ]);
    const [sent, received] = spansIn("some attributes");
    expect(linksOf(received as ReceivedSpan)).toEqual([sent?.spanId]);
    expect(only("nothing there").attributes["messaging.batch.message_count"]).toBe(0);
  });

  test("a batch is one span, which all its messages link to", () => {
    expect(only("batch")).toMatchObject({ name: "send bulk", kind: "PRODUCER" });
    expect(only("batch").attributes["messaging.batch.message_count"]).toBe(3);
    const received = spansIn("receive batch");
    expect(received.map(({ name }) => name)).toEqual(["receive bulk", "delete bulk"]);
    expect(new Set(linksOf(received[0] as ReceivedSpan))).toEqual(new Set([only("batch").spanId]));
    const [alone, taken] = spansIn("batch of one");
    expect(alone?.attributes["messaging.batch.message_count"]).toBeUndefined();
    expect(alone?.attributes["tracekit.messaging.body.content"]).toBe("alone");
    expect(linksOf(taken as ReceivedSpan)).toEqual([alone?.spanId]);
  });

  test("a message of a group names it, alone or in a batch of one", () => {
    expect(spansIn("group").map(({ attributes }) => attributes["tracekit.aws.message_group_id"])).toEqual([
      "cart-7",
      "cart-8",
    ]);
  });

  test("a batch says how many of its messages failed, and has failed when all of them have", () => {
    const told = spansIn("failed messages").map(({ name, status, attributes }) => [
      name,
      attributes["messaging.batch.message_count"],
      attributes["tracekit.messaging.failed_messages"],
      status.code,
      attributes["error.type"],
    ]);
    expect(told).toEqual([
      ["send ordered.fifo", 2, 1, "UNSET", undefined],
      ["send ordered.fifo", 2, 2, "ERROR", "MissingParameter"],
    ]);
    expect(only("batch").attributes).not.toHaveProperty("tracekit.messaging.failed_messages");
  });

  test("a message that is full is sent as it is, and the span says so", () => {
    const sent = spansIn("ten attributes").filter(({ kind }) => kind === "PRODUCER");
    expect(sent.map(({ attributes }) => attributes["tracekit.messaging.context_omitted"])).toEqual([true, true]);
    expect(sent.map(({ status }) => status.code)).toEqual(["UNSET", "UNSET"]);
  });

  test("callbacks, errors, aborts and retries end the span once", () => {
    const outcomes = (scenario: string): unknown[] =>
      spansIn(scenario).map(({ name, status, attributes }) => [
        name,
        status.code,
        attributes["error.type"],
        attributes["http.request.resend_count"],
      ]);
    const no = undefined;
    const missing = expect.stringMatching(/QueueDoesNotExist|NonExistentQueue/) as unknown;
    expect(outcomes("callback")).toEqual([
      ["send bulk", "UNSET", no, no],
      ["send bulknope", "ERROR", missing, no],
    ]);
    expect(outcomes("errors")).toEqual([
      ["send bulknope", "ERROR", missing, no],
      ["receive orders", "ERROR", "AbortError", no],
      ["send q", "ERROR", "ECONNREFUSED", no],
    ]);
    expect(outcomes("retries")).toEqual([["send flaky", "ERROR", expect.any(String), 1]]);
    expect(childrenOf(traced, only("retries"))).toHaveLength(2);
  });

  test("an unsampled request has no span, and sends its decision along", () => {
    expect(traced.spans.some(({ traceId }) => traceId === "a".repeat(32))).toBe(false);
    expect(traced.told.get("unsampled")?.seen).toEqual([]);
  });

  test.runIf(hasAll)("SNS carries context to SQS, raw and wrapped", () => {
    expect(only("publish")).toMatchObject({ name: "send events", kind: "PRODUCER" });
    expect(only("publish").attributes).toMatchObject({
      "messaging.system": "aws.sns",
      "messaging.destination.name": "events",
      "aws.sns.topic.arn": expect.stringMatching(/:events$/) as unknown,
      "messaging.message.id": expect.any(String) as unknown,
      "tracekit.messaging.body.content": "published",
    });
    for (const scenario of ["receive raw", "receive wrapped"]) {
      expect([scenario, linksOf(only(scenario))]).toEqual([scenario, [only("publish").spanId]]);
    }
    expect(namesIn("publish batch")).toEqual(["PRODUCER send events", "PRODUCER send phone_number"]);
    const ours = spansIn("publish batch").map(({ attributes }) => attributes);
    expect(JSON.stringify(ours)).not.toContain("491701234567");
  });

  test.runIf(hasAll)("any other command is a client span named after service and method", () => {
    expect(namesIn("objects")).toEqual(["CLIENT S3.PutObject", "CLIENT S3.GetObject", "CLIENT S3.GetObject"]);
    const [put, , missing] = spansIn("objects");
    expect(put?.attributes).toMatchObject({
      "rpc.service": "S3",
      "rpc.method": "PutObject",
      "aws.s3.bucket": "pictures",
    });
    expect(missing?.attributes["error.type"]).toBe("NoSuchKey");
    expect(only("tables")).toMatchObject({ name: "DynamoDB.GetItem", kind: "CLIENT" });
    expect(only("tables").attributes["aws.dynamodb.table_names"]).toEqual(["links"]);
  });
});

test("the described attributes are those that occur", () => expectDescribed(awsSdk, all));
