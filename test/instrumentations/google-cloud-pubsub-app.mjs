// The two applications of google-cloud-pubsub.test.ts: the scenarios of the messaging contract, and what is particular here.
import pubsubLibrary from "@google-cloud/pubsub";
import { runMessaging } from "./messaging-app.cjs";
import { describeError, failureOf, print, scenario, sleep, spanId, tracer } from "./scenarios-app.cjs";

const { PubSub, Topic, Subscription, Message } = pubsubLibrary;
const open = (options) => new PubSub({ projectId: "shop", ...options });

let destination;
let client;
let topic;
const subscriptions = [];

/** What the library's own consumers read is no header of the application's. */
const headersOf = (attributes) =>
  Object.fromEntries(Object.entries(attributes).filter(([key]) => !key.startsWith("googclient_")));

async function ownPublisher() {
  const own = client.topic(`${destination}-own`, { batching: { maxMilliseconds: 5 } });
  const body = (name) => Buffer.from(JSON.stringify({ name }));
  await scenario("callback", async (note, where) => {
    await new Promise((resolve) => {
      const returned = own.publishMessage({ data: body("callback") }, (error, id) => {
        where();
        note(error, typeof id);
        resolve();
      });
      note(returned === undefined);
    });
  });
  await scenario("other ways", async (note) => {
    note(typeof (await own.publish(body("publish"))), typeof (await own.publishJSON({ name: "json" }, { app: "own" })));
    note(typeof (await own.publishMessage(Object.freeze({ json: Object.freeze({ name: "frozen" }) }))));
    note(typeof (await own.publishMessage({ attributes: { only: "attributes" } })));
  });
  await scenario("batch", async (note, where) => {
    const batched = client.topic(`${destination}-own`, { batching: { maxMessages: 3, maxMilliseconds: 1000 } });
    const sent = await Promise.all([1, 2, 3].map((index) => batched.publishMessage({ data: body(`batch ${index}`) })));
    where();
    note(sent.length);
  });
  await scenario("ordered", async (note) => {
    const ordered = client.topic(`${destination}-own`, { messageOrdering: true, batching: { maxMilliseconds: 1 } });
    note(typeof (await ordered.publishMessage({ data: body("ordered"), orderingKey: "customer-42" })));
  });
  await scenario("full", async (note) => {
    const attributes = Object.freeze(Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`a${index}`, "v"])));
    note(typeof (await own.publishMessage(Object.freeze({ data: body("full"), attributes }))));
  });
  await scenario("refused", async (note) => {
    note(describeError(await failureOf(() => own.publishMessage({ data: "no bytes" }))).message);
    note(describeError(await failureOf(() => own.publishMessage({}))).message);
    note(describeError(await failureOf(() => own.publishMessage({ data: body("bad"), attributes: { a: 1 } }))).class);
  });
  await scenario("settled late", async () => {
    for (const name of ["acknowledged later", "refused", "forgotten", "thrown"])
      await own.publishMessage({ data: body(name) });
  });
  const traced = open({ enableOpenTelemetryTracing: true });
  await scenario("library's own tracing", async (note) => {
    note(
      typeof (await traced
        .topic(`${destination}-theirs`, { enableOpenTelemetryTracing: true, batching: { maxMilliseconds: 1 } })
        .publishMessage({ data: body("theirs") })),
    );
  });
  await traced.close();
  await sleep(300);
}

async function ownConsumer() {
  const own = client.subscription(`${destination}-own`);
  subscriptions.push(own);
  const attempts = new Map();
  own.on("error", () => {});
  own.on("message", (message) => {
    const { name = "nothing" } = message.data.length === 0 ? {} : JSON.parse(message.data.toString());
    const attempt = (attempts.get(name) ?? 0) + 1;
    attempts.set(name, attempt);
    const home = spanId();
    if (name === "forgotten") return;
    if (name === "acknowledged later") {
      setTimeout(() => {
        tracer.startActiveSpan("work later", (span) => span.end());
        message.ack();
        message.nack();
        print(`handled ${name}`, [], [home !== undefined && spanId() === home]);
      }, 20);
      return;
    }
    print(
      `handled ${name}${attempt > 1 ? " again" : ""}`,
      [message.orderingKey ?? "", headersOf(message.attributes).app ?? ""],
      [],
    );
    if (name === "refused" && attempt === 1) message.nack();
    else message.ack();
  });
}

runMessaging({
  async open(name) {
    destination = name;
    client = open();
    topic = client.topic(name, { batching: { maxMilliseconds: 5 } });
  },
  publish: (body, { headers }) =>
    topic.publishMessage({ data: Buffer.from(body), ...(headers && { attributes: headers }) }),
  publishBytes: (bytes) => topic.publishMessage({ data: bytes }),
  publishFailing: () =>
    client.topic("missing", { batching: { maxMilliseconds: 1 } }).publishMessage({ data: Buffer.from("x") }),
  shape: (id) => typeof id,
  async consume(handler) {
    const subscription = client.subscription(destination);
    subscriptions.push(subscription);
    subscription.on("error", () => {});
    subscription.on("message", async (message) => {
      try {
        const body = message.data[0] === 123 ? message.data.toString() : "bytes";
        await handler({ body, headers: headersOf(message.attributes) });
        message.ack();
      } catch (error) {
        message.nack();
        throw error;
      }
    });
    await sleep(200);
  },
  async close() {
    for (const subscription of subscriptions) await subscription.close();
    await client.close();
    setTimeout(() => process.exit(0), 200).unref();
  },
  redelivers: true,
  functions: () => [
    Topic.prototype.publishMessage,
    Subscription.prototype.emit,
    Message.prototype.ack,
    Message.prototype.nack,
  ],
  own: (role) => (role === "publisher" ? ownPublisher() : ownConsumer()),
});
