// The two applications of mqtt.test.ts: the scenarios of the messaging contract, and every other way to publish and consume.
import mqtt from "mqtt";
import { runMessaging } from "./messaging-app.cjs";
import { describeError, failureOf, print, scenario, sleep, spanId, tracer } from "./scenarios-app.cjs";

const url = process.env.MQTT_URL;
const { MqttClient } = mqtt;
const connect = (options) =>
  new Promise((resolve, reject) => {
    const client = mqtt.connect(url, { protocolVersion: 5, ...options });
    client.once("connect", () => resolve(client));
    client.once("error", reject);
  });
const publishOn = (client, ...args) =>
  new Promise((resolve, reject) =>
    client.publish(...args, (error, packet) => (error ? reject(error) : resolve(packet))),
  );
const subscribeOn = (client, topic, options = { qos: 2 }) =>
  new Promise((resolve, reject) =>
    client.subscribe(topic, options, (error, granted) => (error ? reject(error) : resolve(granted))),
  );
const end = (client) => new Promise((resolve) => client.end(false, {}, () => resolve()));

/** Handles a message like an application that does something with it: in its span, and inside its own code. */
async function work(name) {
  const home = spanId();
  await sleep(2);
  tracer.startActiveSpan(`work ${name}`, (span) => span.end());
  return home !== undefined && spanId() === home;
}
const nameIn = (payload) => (payload[0] === 123 ? JSON.parse(payload).name : undefined);

let destination;
let client;
const clients = [];
const old = () => connect({ protocolVersion: 4 });

async function ownPublisher() {
  const body = (name) => JSON.stringify({ name });
  for (const qos of [0, 1, 2]) {
    await scenario(`callback ${qos}`, async (note, where) => {
      const settled = await new Promise((resolve) => {
        const returned = client.publish(`${destination}/own`, body(`callback ${qos}`), { qos }, function (...args) {
          where();
          resolve(args.map((arg) => arg?.cmd ?? arg ?? null));
        });
        note(returned === client);
      });
      note(settled);
    });
    await scenario(`no callback ${qos}`, async (note) => {
      note(client.publish(`${destination}/own`, body(`no callback ${qos}`), { qos }) === client);
      await sleep(50);
    });
  }
  await scenario("short form", async (note, where) => {
    const payload = Buffer.from(body("short form"));
    await new Promise((resolve) =>
      client.publish(`${destination}/own`, payload, (...args) => {
        where();
        note(args);
        resolve();
      }),
    );
  });
  if (client.publishAsync) {
    await scenario("async", async (note) => {
      const returned = client.publishAsync(`${destination}/own`, body("async"), { qos: 1 });
      note(returned.constructor === Promise, (await returned)?.cmd);
    });
  }
  await scenario("options", async (note) => {
    const options = Object.freeze({
      qos: 1,
      properties: Object.freeze({
        correlationData: Buffer.from("c-1"),
        responseTopic: "answers",
        userProperties: Object.freeze({ app: Object.freeze(["a", "b"]), other: "c" }),
      }),
    });
    await publishOn(client, `${destination}/own`, body("options"), options);
    note(options);
  });
  await scenario("retained", async () => {
    await publishOn(client, `${destination}/retained`, body("retained"), { qos: 1, retain: true });
    await publishOn(client, `${destination}/own`, body("subscribe"));
  });
  await scenario("shared", async () => {
    await publishOn(client, `${destination}/shared/a`, body("shared"), { qos: 1 });
  });
  await scenario("hook", async () => {
    await publishOn(client, `${destination}/hook`, body("hook 1"), { qos: 1 });
    await publishOn(client, `${destination}/hook`, body("hook 2"), { qos: 2 });
    await publishOn(client, `${destination}/hook`, body("hook 3"), { qos: 0 });
  });
  await scenario("version 3.1.1", async (note) => {
    const options = Object.freeze({ qos: 1 });
    await publishOn(await remember(old()), `${destination}/old`, body("version 3.1.1"), options);
    note(options);
  });
  await scenario("will", async () => {
    const will = { topic: `${destination}/own`, payload: body("will"), qos: 1, properties: {} };
    const victim = await connect({ will, reconnectPeriod: 0 });
    victim.stream.destroy();
    await sleep(50);
    victim.end(true);
  });
  await scenario("disconnecting", async (note) => {
    const gone = await connect();
    const events = [];
    gone.on("error", (error) => events.push(error.message));
    gone.end();
    gone.publish(`${destination}/own`, "x");
    gone.publish(`${destination}/own`, "x", { qos: 1 });
    note(describeError(await failureOf(() => publishOn(gone, `${destination}/own`, "x", { qos: 1 }))), events);
    await sleep(20);
  });
  await scenario("offline", async (note, where) => {
    const late = mqtt.connect(url, { protocolVersion: 5, clean: true });
    const published = publishOn(late, `${destination}/own`, body("offline"), { qos: 1 });
    note((await published).cmd);
    where();
    await end(late);
  });
  await sleep(200);
}

async function remember(connecting) {
  const made = await connecting;
  clients.push(made);
  return made;
}

async function ownConsumer() {
  const hooked = await remember(connect());
  // A shared subscription, with a listener that is no async function, and one for a single message.
  const shared = await remember(connect());
  const done = (name, ...seen) => print(`handled ${name}`, seen);
  hooked.handleMessage = async function (packet, callback) {
    const isThis = this === hooked;
    const where = await work(nameIn(packet.payload));
    print(`handled ${nameIn(packet.payload)}`, [isThis, callback.length], [where]);
    callback();
  };
  hooked.on("message", (topic) => tracer.startActiveSpan(`listener ${topic.split("/").at(-1)}`, (span) => span.end()));
  await subscribeOn(hooked, `${destination}/hook`);
  shared.on("message", (_topic, payload) => {
    const span = tracer.startSpan(`work ${nameIn(payload)}`);
    span.end();
    done(nameIn(payload));
  });
  await subscribeOn(shared, `$share/workers/${destination}/shared/+`);

  const own = await remember(connect());
  own.once("message", async () => void (await sleep(1)));
  own.on("message", async (_topic, payload, packet) => {
    const name = nameIn(payload);
    if (name === undefined) return;
    if (name === "subscribe") await subscribeOn(retained, `${destination}/retained`);
    const where = await work(name);
    const { app, other } = packet.properties?.userProperties ?? {};
    print(`handled ${name}`, [packet.qos, app, other], [where]);
  });
  await subscribeOn(own, `${destination}/own`);
  const listening311 = await remember(old());
  listening311.on("message", async (_topic, payload, packet) => {
    print(`handled ${nameIn(payload)}`, [Object.keys(packet).sort()], [await work(nameIn(payload))]);
  });
  await subscribeOn(listening311, `${destination}/old`);
  const retained = await remember(connect());
  retained.on("message", async (_topic, payload) => {
    print(`handled ${nameIn(payload)}`, [], [await work(nameIn(payload))]);
  });
  // Nobody listens: there is nothing to trace.
  await subscribeOn(await remember(connect()), `${destination}/#`);
}

runMessaging({
  async open(name) {
    destination = name;
    client = await connect();
    client.on("error", () => {});
  },
  publish: (body, { headers }) =>
    publishOn(client, destination, body, { qos: 1, ...(headers && { properties: { userProperties: headers } }) }),
  publishBytes: (bytes) => publishOn(client, destination, bytes, { qos: 2 }),
  publishFailing: async () => {
    const gone = await connect();
    gone.end();
    await publishOn(gone, destination, "x", { qos: 1 });
  },
  shape: (packet) => ({ cmd: packet?.cmd, reasonCode: packet?.reasonCode }),
  async consume(handler) {
    client.on("message", async (topic, payload, packet) => {
      if (topic !== destination) return undefined;
      const headers = packet.properties?.userProperties;
      const body = nameIn(payload) === undefined ? "bytes" : payload.toString();
      return handler({ body, headers: { ...headers } });
    });
    await subscribeOn(client, destination);
  },
  async close() {
    await Promise.all([client, ...clients].map(end));
  },
  functions: () => [
    MqttClient.prototype.publish,
    MqttClient.prototype.subscribe,
    MqttClient.prototype.unsubscribe,
    MqttClient.prototype.emit,
    MqttClient.prototype.handleMessage,
  ],
  own: (role) => (role === "publisher" ? ownPublisher() : ownConsumer()),
});
