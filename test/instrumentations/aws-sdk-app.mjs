// The application of aws-sdk.test.ts. SNS, S3 and DynamoDB are there where their clients are installed.
import http from "node:http";
import { createRequire } from "node:module";
import * as sqsLibrary from "@aws-sdk/client-sqs";
import scenarios from "./scenarios-app.cjs";

const { describeError, failureOf, runMain, scenario, unsampledScenario } = scenarios;
const { SQS, SQSClient, SendMessageCommand, ReceiveMessageCommand } = sqsLibrary;
const load = createRequire(process.argv[1]);

const settings = {
  endpoint: process.env.AWS_URL,
  region: "eu-central-1",
  credentials: { accessKeyId: "AKIAEXAMPLE", secretAccessKey: "hunter2-secret" },
};

const freeze = (value) => {
  if (typeof value === "object" && value !== null) Object.values(value).forEach(freeze);
  return Object.freeze(value);
};
const text = (StringValue) => ({ DataType: "String", StringValue });

/** What an application sees of messages, without what differs from run to run. The emulator gives all message attributes to those
 *  who ask for none, where AWS gives none. */
const shape = ({ Messages: messages }, asked = true) =>
  messages?.map(({ Body, Attributes, MessageAttributes, ...rest }) => {
    let body = Body;
    if (Body.includes('"Notification"'))
      body = Object.keys(JSON.parse(Body)).filter((key) => key !== "MessageAttributes");
    return [
      body,
      Object.keys(Attributes ?? {}).sort(),
      asked ? MessageAttributes : Object.keys(MessageAttributes ?? {}).includes("traceparent"),
      Object.keys(rest)
        .filter((key) => rest[key] !== undefined && key !== "MD5OfMessageAttributes")
        .sort(),
    ];
  });
/** Without what others' clients see: our attributes, in what the application asked all of. */
const withoutContext = (shaped) =>
  JSON.parse(
    JSON.stringify(shaped, (key, value) =>
      ["traceparent", "tracestate", "baggage"].includes(key) ? undefined : value,
    ),
  );

runMain(async () => {
  const sqs = new SQS(settings);
  const client = new SQSClient(settings);
  const newQueue = async (name, Attributes) => (await sqs.createQueue({ QueueName: name, Attributes })).QueueUrl;
  const orders = await newQueue("orders");
  const bulk = await newQueue("bulk");
  const ordered = await newQueue("ordered.fifo", { FifoQueue: "true" });
  const receive = (QueueUrl, extra = {}) => sqs.receiveMessage({ QueueUrl, WaitTimeSeconds: 1, ...extra });
  const receiptOf = ({ Messages: [message] }) => message.ReceiptHandle;

  await scenario("send", async (note, where) => {
    const input = freeze({
      QueueUrl: orders,
      MessageBody: '{"url":"x7k9m2","password":"hunter2-body"}',
      MessageAttributes: { app: text("own") },
    });
    const command = Object.freeze(new SendMessageCommand(input));
    const promise = client.send(command);
    note(
      promise.constructor === Promise,
      Object.keys(await promise)
        .sort()
        .filter((key) => !key.startsWith("MD5")),
    );
    where();
    note(command.input === input, SQSClient.prototype.send.length, SQSClient.prototype.send.name);
  });
  let receipt;
  await scenario("receive", async (note, where) => {
    const input = freeze({ QueueUrl: orders, WaitTimeSeconds: 1 });
    const result = await client.send(new ReceiveMessageCommand(input));
    where();
    note(shape(result, false), input);
    receipt = receiptOf(result);
  });
  await scenario("again", async (note) => {
    note(
      Object.keys(
        await sqs.changeMessageVisibility({ QueueUrl: orders, ReceiptHandle: receipt, VisibilityTimeout: 0 }),
      ),
    );
    const result = await receive(orders, { AttributeNames: ["All"], MessageAttributeNames: ["All"] });
    note(withoutContext(shape(result)).map(([body, , ...rest]) => [body, ...rest]));
    note(Object.keys(await sqs.deleteMessage({ QueueUrl: orders, ReceiptHandle: receiptOf(result) })));
  });
  await scenario("some attributes", async (note) => {
    await sqs.sendMessage({
      QueueUrl: orders,
      MessageBody: "some",
      MessageAttributes: { app: text("own"), other: text("o") },
    });
    const result = await receive(orders, { MessageAttributeNames: ["ap.*"], AttributeNames: ["SentTimestamp"] });
    note(shape(result));
    await sqs.deleteMessage({ QueueUrl: orders, ReceiptHandle: receiptOf(result) });
  });
  await scenario("nothing there", async (note) =>
    note(shape(await sqs.receiveMessage({ QueueUrl: orders })) ?? "nothing"),
  );

  await scenario("batch", async (note) => {
    const input = freeze({
      QueueUrl: bulk,
      Entries: [
        { Id: "1", MessageBody: "one" },
        { Id: "2", MessageBody: "two", MessageAttributes: { app: text("own") } },
        { Id: "3", MessageBody: "three" },
      ],
    });
    note((await sqs.sendMessageBatch(input)).Successful.map(({ Id }) => Id));
  });
  await scenario("receive batch", async (note) => {
    const result = await receive(bulk, { MaxNumberOfMessages: 10 });
    note(
      shape(result)
        .map(([body]) => body)
        .sort(),
    );
    note(
      (
        await sqs.deleteMessageBatch({
          QueueUrl: bulk,
          Entries: result.Messages.map(({ ReceiptHandle }, index) => ({ Id: String(index), ReceiptHandle })),
        })
      ).Successful.length,
    );
  });
  await scenario("batch of one", async (note) => {
    note(
      (await sqs.sendMessageBatch({ QueueUrl: bulk, Entries: [{ Id: "1", MessageBody: "alone" }] })).Successful.length,
    );
    note(shape(await receive(bulk)));
  });

  const entry = (Id, extra) => ({ Id, MessageBody: Id, MessageDeduplicationId: Id, ...extra });
  await scenario("group", async (note) => {
    await sqs.sendMessage({
      QueueUrl: ordered,
      MessageBody: "first",
      MessageGroupId: "cart-7",
      MessageDeduplicationId: "1",
    });
    const Entries = [entry("2", { MessageGroupId: "cart-8" })];
    note((await sqs.sendMessageBatch({ QueueUrl: ordered, Entries })).Successful.length);
  });
  await scenario("failed messages", async (note) => {
    for (const Entries of [
      [entry("3", { MessageGroupId: "cart-7" }), entry("4")],
      [entry("5"), entry("6")],
    ]) {
      const { Successful, Failed } = await sqs.sendMessageBatch({ QueueUrl: ordered, Entries });
      note(Successful?.length ?? 0, Failed);
    }
  });

  await scenario("ten attributes", async (note) => {
    const queue = await newQueue("full");
    const MessageAttributes = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`a${index}`, text("v")]));
    await sqs.sendMessage(freeze({ QueueUrl: queue, MessageBody: "full", MessageAttributes }));
    await sqs.sendMessage(freeze({ QueueUrl: queue, MessageBody: "x".repeat(262_100) }));
    note("sent");
  });

  await scenario("callback", async (note, where) => {
    await new Promise((resolve) => {
      const returned = client.send(
        new SendMessageCommand({ QueueUrl: bulk, MessageBody: "called" }),
        (error, output) => {
          where();
          note(error, typeof output.MessageId);
          resolve();
        },
      );
      note(returned === undefined);
    });
    await new Promise((resolve) => {
      client.send(new SendMessageCommand({ QueueUrl: `${bulk}nope`, MessageBody: "called" }), {}, (error) => {
        where();
        note(error.constructor.name);
        resolve();
      });
    });
  });

  await scenario("errors", async (note) => {
    const missing = await failureOf(() => sqs.sendMessage({ QueueUrl: `${bulk}nope`, MessageBody: "m" }));
    note(missing.name, missing.constructor.name, Object.keys(missing).includes("$metadata"));
    const abort = new AbortController();
    const waiting = client.send(new ReceiveMessageCommand({ QueueUrl: orders, WaitTimeSeconds: 10 }), {
      abortSignal: abort.signal,
    });
    setTimeout(() => abort.abort(), 300);
    note((await failureOf(() => waiting)).name);
    const away = new SQSClient({ ...settings, endpoint: "http://127.0.0.1:9", maxAttempts: 1 });
    note(
      (
        await failureOf(() =>
          away.send(new SendMessageCommand({ QueueUrl: "http://127.0.0.1:9/0/q", MessageBody: "m" })),
        )
      ).code,
    );
    note(describeError(await failureOf(() => client.send(undefined))).class);
  });

  await scenario("retries", async (note) => {
    let tries = 0;
    const server = http.createServer((request, response) => {
      request.resume().on("end", () => {
        tries++;
        response.statusCode = 503;
        response.end("{}");
      });
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const endpoint = `http://127.0.0.1:${server.address().port}`;
    const flaky = new SQSClient({ ...settings, endpoint, maxAttempts: 2 });
    const error = await failureOf(() =>
      flaky.send(new SendMessageCommand({ QueueUrl: `${endpoint}/0/flaky`, MessageBody: "m" })),
    );
    note(error.$metadata.attempts, tries);
    flaky.destroy();
    server.close();
    server.closeAllConnections();
  });

  await unsampledScenario("unsampled", async (note, where) => {
    const quiet = await newQueue("quiet");
    await sqs.sendMessage({ QueueUrl: quiet, MessageBody: "quiet" });
    where();
    const { Messages: messages } = await receive(quiet, { MessageAttributeNames: ["All"] });
    const sent = messages[0].MessageAttributes?.traceparent?.StringValue;
    if (sent !== undefined && !/^00-a{32}-\w{16}-00$/.test(sent)) note(sent);
  });

  if (process.env.CLIENTS === "all") {
    const { SNS } = load("@aws-sdk/client-sns");
    const sns = new SNS(settings);
    const { TopicArn } = await sns.createTopic({ Name: "events" });
    const raw = await newQueue("raw");
    const wrapped = await newQueue("wrapped");
    const arnOf = async (QueueUrl) =>
      (await sqs.getQueueAttributes({ QueueUrl, AttributeNames: ["QueueArn"] })).Attributes.QueueArn;
    await sns.subscribe({
      TopicArn,
      Protocol: "sqs",
      Endpoint: await arnOf(raw),
      Attributes: { RawMessageDelivery: "true" },
    });
    await sns.subscribe({ TopicArn, Protocol: "sqs", Endpoint: await arnOf(wrapped) });

    await scenario("publish", async (note) => {
      note(
        Object.keys(
          await sns.publish(freeze({ TopicArn, Message: "published", MessageAttributes: { app: text("own") } })),
        ).sort(),
      );
    });
    await scenario("receive raw", async (note) => note(shape(await receive(raw), false)));
    await scenario("receive wrapped", async (note) => note(shape(await receive(wrapped)).length));
    await scenario("publish batch", async (note) => {
      note(
        (
          await sns.publishBatch(
            freeze({
              TopicArn,
              PublishBatchRequestEntries: [
                { Id: "1", Message: "a" },
                { Id: "2", Message: "b" },
              ],
            }),
          )
        ).Successful.length,
      );
      note(
        (await failureOf(() => sns.publish({ PhoneNumber: "+491701234567", Message: "call me" })))?.constructor.name ??
          "sent",
      );
    });
    const { S3 } = load("@aws-sdk/client-s3");
    const s3 = new S3({ ...settings, forcePathStyle: true });
    await s3.createBucket({ Bucket: "pictures" });
    await scenario("objects", async (note) => {
      note((await s3.putObject({ Bucket: "pictures", Key: "a.png", Body: "bytes" })).$metadata.httpStatusCode);
      note(await (await s3.getObject({ Bucket: "pictures", Key: "a.png" })).Body.transformToString());
      note((await failureOf(() => s3.getObject({ Bucket: "pictures", Key: "nope" }))).name);
    });

    // The emulator has no DynamoDB: this server stands in for it, and gives everybody the same item.
    const standIn = http.createServer((request, response) => {
      request.resume().on("end", () => {
        response.setHeader("content-type", "application/x-amz-json-1.0");
        response.end('{"Item":{"id":{"S":"x7k9m2"}}}');
      });
    });
    await new Promise((resolve) => standIn.listen(0, "127.0.0.1", resolve));
    const { DynamoDB } = load("@aws-sdk/client-dynamodb");
    const dynamo = new DynamoDB({ ...settings, endpoint: `http://127.0.0.1:${standIn.address().port}` });
    await scenario("tables", async (note) => {
      note((await dynamo.getItem({ TableName: "links", Key: { id: { S: "x7k9m2" } } })).Item);
    });
    dynamo.destroy();
    standIn.close();
  }
  for (const each of [sqs, client]) each.destroy();
  process.exit(0);
});
