// The applications of amqplib.test.ts: what `messaging-app.cjs` asks for, and what is special about amqplib. All of the
// latter runs in the publisher's process, consumers included.
import amqp from "amqplib";
import { once } from "node:events";
import { createRequire } from "node:module";
import messaging from "./messaging-app.cjs";
import scenarios from "./scenarios-app.cjs";

const { describeError, failureOf, scenario, sleep, tracer } = scenarios;
const callbackApi = createRequire(`${process.cwd()}/app.js`)("amqplib/callback_api");
const url = process.env.RABBITMQ_URL;

let connection;
let channel;
let exchange;
let queue;

const textOfBody = ({ content }) => (content[0] === 0 ? "bytes" : content.toString());
const promised = (start) =>
  new Promise((resolve, reject) => start((error, value) => (error ? reject(error) : resolve(value))));
const shapeOf = ({ fields, properties, content }) => ({
  fields: { ...fields, consumerTag: undefined, deliveryTag: undefined, exchange: undefined, routingKey: undefined },
  id: properties.messageId,
  own: properties.headers?.app,
  content: content.toString(),
});

/** A queue of its own, gone with the connection. */
let queues = 0;
async function ownQueue(on = channel, options = {}) {
  const { queue: name } = await on.assertQueue(`${exchange}_own_${queues++}`, { exclusive: true, ...options });
  return name;
}

/** The first message that `handler` gets, once it is done. */
function consumeOne(on, from, handler, options) {
  return new Promise((resolve, reject) => {
    on.consume(
      from,
      (message) => {
        const returned = handler(message);
        Promise.resolve(returned).then(() => resolve(message), reject);
        return returned;
      },
      options,
    );
  });
}

const work = (name) => tracer.startActiveSpan(`work ${name}`, (span) => span.end());

async function ownScenarios() {
  const bytes = Buffer.from("hello");

  await scenario("queue", async (note) => {
    const name = await ownQueue();
    const headers = Object.freeze({ app: "own", traceparent: "stale" });
    note(channel.sendToQueue(name, bytes, Object.freeze({ headers, CC: "elsewhere", contentType: "text/plain" })));
    note(
      await consumeOne(channel, name, (message) => note(shapeOf(message), headers), { noAck: true }).then(() => "done"),
    );
  });

  await scenario("later", async (note) => {
    const name = await ownQueue();
    channel.sendToQueue(name, bytes);
    await new Promise((resolve) => {
      channel.consume(name, (message) => {
        setTimeout(() => {
          work("later");
          note(channel.ack(message));
          resolve();
        }, 20);
      });
    });
  });

  await scenario("settled", async (note) => {
    const own = await connection.createChannel();
    const name = await ownQueue(own);
    let rounds = 0;
    own.sendToQueue(name, bytes);
    await new Promise((resolve) => {
      own.consume(name, async (message) => {
        await sleep(1);
        note(message.fields.redelivered);
        if (rounds++ === 0) return own.nack(message);
        if (rounds === 2) return own.reject(message, true);
        own.nack(message, false, false);
        setTimeout(resolve, 5);
      });
    });
    await own.close();
  });

  await scenario("all at once", async () => {
    const own = await connection.createChannel();
    const name = await ownQueue(own);
    await own.prefetch(10);
    const messages = [];
    for (let index = 0; index < 3; index++) own.sendToQueue(name, Buffer.from(String(index)));
    await new Promise((resolve) => own.consume(name, (message) => messages.push(message) === 3 && resolve()));
    await sleep(5);
    own.ack(messages[1], true);
    await sleep(5);
    own.ackAll();
    await own.close();
  });

  await scenario("unacknowledged", async () => {
    const own = await connection.createChannel();
    const name = await ownQueue(own);
    own.sendToQueue(name, bytes);
    await new Promise((resolve) => own.consume(name, () => resolve()));
    await sleep(20);
    await own.close();
  });

  await scenario("dead letters", async (note) => {
    const own = await connection.createChannel();
    const dead = await ownQueue(own);
    const name = await ownQueue(own, { deadLetterExchange: "", deadLetterRoutingKey: dead });
    own.sendToQueue(name, bytes, { messageId: "dead" });
    let rounds = 0;
    await new Promise((resolve) => {
      own.consume(name, (message) => {
        if (++rounds === 1) return own.reject(message, false);
        own.ack(message);
        resolve();
      });
      own.consume(dead, (message) => {
        own.sendToQueue(name, message.content, message.properties);
        own.ack(message);
      });
    });
    note(rounds);
    await own.close();
  });

  await scenario("throwing handler", async (note) => {
    const own = await connection.createChannel();
    const name = await ownQueue(own);
    own.sendToQueue(name, bytes);
    own.consume(name, () => {
      throw new Error("from the handler");
    });
    const [error] = await once(own, "error");
    note(describeError(error));
  });

  await scenario("get", async (note, where) => {
    const name = await ownQueue();
    note(await channel.get(name));
    where();
    channel.sendToQueue(name, bytes, { messageId: "fetched" });
    await sleep(20);
    const returned = channel.get(name, { noAck: true });
    note(typeof returned.then, returned instanceof Promise, shapeOf(await returned));
    where();
    const own = await connection.createChannel();
    own.on("error", () => {});
    note(describeError(await failureOf(() => own.get(`${exchange}_nowhere`))));
    where();
  });

  await scenario("confirmed", async (note, where) => {
    const confirm = await connection.createConfirmChannel();
    const name = await ownQueue(confirm);
    await new Promise((resolve) => {
      const returned = confirm.publish("", name, bytes, {}, function callback(...results) {
        note(results, this === undefined || this === globalThis);
        where();
        resolve();
      });
      note(returned);
    });
    note(
      confirm.sendToQueue(name, bytes),
      confirm.sendToQueue(name, bytes, undefined, () => note("confirmed")),
    );
    note(await confirm.waitForConfirms().then((results) => results.length));
    for (let index = 0; index < 20; index++) confirm.sendToQueue(name, Buffer.from(String(index)));
    await confirm.waitForConfirms();
    note(confirm.unconfirmed.length);
    await confirm.close();
  });

  await scenario("returned", async (note) => {
    const confirm = await connection.createConfirmChannel();
    const returned = once(confirm, "return");
    const results = await new Promise((resolve) => {
      confirm.publish("", `${exchange}_nowhere`, bytes, { mandatory: true }, (...args) => resolve(args));
    });
    const [message] = await returned;
    note(results, message.fields.replyCode, message.content.toString());
    await confirm.close();
  });

  await scenario("refused", async (note) => {
    const confirm = await connection.createConfirmChannel();
    const failed = once(confirm, "error");
    const results = await new Promise((resolve) => {
      confirm.publish(`${exchange}_nowhere`, "key", bytes, {}, (...args) => resolve(args));
    });
    note(results.map(describeError), describeError((await failed)[0]).code);
  });

  await scenario("closed while unconfirmed", async (note) => {
    const confirm = await connection.createConfirmChannel();
    const name = await ownQueue(confirm);
    const outcome = new Promise((resolve) => confirm.sendToQueue(name, bytes, {}, resolve));
    // In one write with the message: its confirmation comes too late to be heard.
    const closing = confirm.close();
    note(describeError(await outcome));
    await closing;
  });

  await scenario("wrong arguments", async (note) => {
    note(describeError(await failureOf(() => channel.publish("", queue, "no buffer"))));
  });

  await scenario("rpc", async (note, where) => {
    const name = await ownQueue();
    await channel.consume(name, async (message) => {
      await sleep(2);
      const { replyTo, correlationId } = message.properties;
      channel.sendToQueue(replyTo, Buffer.from("reply"), { correlationId });
      channel.ack(message);
    });
    const replied = consumeOne(channel, "amq.rabbitmq.reply-to", () => {}, { noAck: true });
    channel.sendToQueue(name, Buffer.from("question"), { replyTo: "amq.rabbitmq.reply-to", correlationId: "c-1" });
    const { content, properties } = await replied;
    note(content.toString(), properties.correlationId);
    where();
  });

  await scenario("server-named queue", async (note) => {
    const { queue: name } = await channel.assertQueue("", { exclusive: true });
    await channel.bindQueue(name, exchange, "temporary");
    const done = consumeOne(channel, name, () => {}, { noAck: true });
    await channel.checkQueue(name);
    channel.publish(exchange, "temporary", Buffer.from('{"name":"ignored"}'));
    note((await done).content.toString());
  });

  await scenario("callback API", async (note, where) => {
    const own = await promised((done) => callbackApi.connect(url, done));
    const on = await promised((done) => own.createConfirmChannel(done));
    const { queue: name } = await promised((done) => on.assertQueue(`${exchange}_callback`, { exclusive: true }, done));
    await promised((done) =>
      note(
        on.sendToQueue(name, bytes, { messageId: "called" }, (...args) => {
          where();
          note(args);
          done();
        }),
      ),
    );
    note(shapeOf(await promised((done) => note(on.get(name, { noAck: true }, done) === on))));
    await new Promise((resolve) => {
      on.get(name, {}, (...args) => {
        where();
        note(args);
        resolve();
      });
    });
    on.sendToQueue(name, bytes);
    await new Promise((resolve) => {
      note(
        on.consume(name, (message) => {
          note(shapeOf(message));
          setTimeout(() => resolve(note(on.ack(message) === on)), 5);
        }) === on,
      );
    });
    await promised((done) => own.close(done));
  });

  await scenario("cancelled", async (note) => {
    const own = await connection.createChannel();
    const name = await ownQueue(own, { exclusive: false, autoDelete: true });
    let cancel;
    const cancelled = new Promise((resolve) => (cancel = resolve));
    await own.consume(name, cancel);
    await channel.deleteQueue(name);
    note(await cancelled);
    await own.close();
  });
}

messaging.runMessaging({
  async open(destination) {
    connection = await amqp.connect(url);
    channel = await connection.createChannel();
    exchange = destination;
    queue = `${destination}_queue`;
    await channel.assertExchange(exchange, "topic", { durable: false, autoDelete: true });
  },
  async consume(handler) {
    await channel.assertQueue(queue, { exclusive: true });
    await channel.bindQueue(queue, exchange, "created");
    await channel.consume(queue, async (message) => {
      try {
        await handler({ body: textOfBody(message), headers: message.properties.headers });
      } finally {
        channel.ack(message);
      }
    });
  },
  publish: (body, { id, headers }) =>
    channel.publish(exchange, "created", Buffer.from(body), { messageId: id, headers }),
  publishBytes: (bytes) => channel.publish(exchange, "created", bytes),
  async publishFailing() {
    const closed = await connection.createChannel();
    await closed.close();
    closed.publish(exchange, "created", Buffer.from("x"));
  },
  own: (role) => (role === "publisher" ? ownScenarios() : undefined),
  functions: () => {
    const { prototype } = channel.constructor;
    const names = [
      "publish",
      "sendToQueue",
      "consume",
      "get",
      "ack",
      "sendMessage",
      "sendImmediately",
      "accept",
      "toClosed",
    ];
    return [amqp.connect, callbackApi.connect, ...names.map((name) => prototype[name])];
  },
  async close() {
    await channel.close();
    await connection.close();
  },
});
