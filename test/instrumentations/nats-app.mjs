// The two applications of nats.test.ts: the scenarios of the messaging contract on plain NATS, and everything else of nats 2
// and @nats-io 3.
import { runMessaging } from "./messaging-app.cjs";
import {
  describeError,
  failureOf,
  print,
  scenario,
  sleep,
  spanId,
  tracer,
  unsampledScenario,
} from "./scenarios-app.cjs";

const { NATS_URL, DESTINATION, ROLE } = process.env;
const STREAM = DESTINATION;
const subject = (name) => `${DESTINATION}.${name}`;
const bytes = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
const textOf = (message) => Buffer.from(message.data).toString();
const nameIn = (message) => JSON.parse(textOf(message)).name;
const headersOf = (message) =>
  Object.fromEntries([...(message.headers ?? [])].map(([key, values]) => [key.toLowerCase(), values[0]]));

let lib;
let jetstream;
let nc;
let js;
let jsm;
let functions;
let hasConsumers = false;
const loops = [];

async function load() {
  const only = (module) => module.default ?? module;
  jetstream = await import("@nats-io/jetstream").then(only, () => undefined);
  lib = only(await (jetstream ? import("@nats-io/transport-node") : import("nats")));
  nc = await lib.connect({ servers: NATS_URL, name: "orders" });
  functions = functionsOf(nc, nc.protocol);
  functions.push(Object.getPrototypeOf(Object.getPrototypeOf(nc.subscribe("x"))).iterate);
  js = jetstream ? jetstream.jetstream(nc) : nc.jetstream();
  jsm = jetstream ? await jetstream.jetstreamManager(nc) : await nc.jetstreamManager();
  hasConsumers = js.consumers !== undefined;
  functions.push(...functionsOf(js));
}

const functionsOf = (...objects) =>
  objects
    .map((object) => Object.getPrototypeOf(object))
    .flatMap(({ publish, request, subscribe, pull }) => [publish, request, subscribe, pull].filter(Boolean));

const withHeaders = (given) => {
  if (given === undefined) return undefined;
  const headers = lib.headers();
  for (const [key, value] of Object.entries(given)) headers.set(key, value);
  return headers;
};

/** Handles a message like an application that does something with it: in its span, and inside its own code. */
async function work(name) {
  const home = spanId();
  await sleep(2);
  tracer.startActiveSpan(`work ${name}`, (span) => span.end());
  return home !== undefined && spanId() === home;
}

/** A loop as applications write it; `onMessage` may say "break". Tells whether code around it stays where it was. */
function loop(iterator, onMessage, name) {
  const run = async () => {
    const before = spanId();
    try {
      for await (const message of iterator) if ((await onMessage(message)) === "break") break;
    } catch (error) {
      print(`error of ${name}`, [error.message]);
    }
    print(`after ${name}`, [], [spanId() === before]);
  };
  return tracer.startActiveSpan(`start of ${name}`, (span) => {
    const home = spanId();
    const running = run();
    print(`beside ${name}`, [], [spanId() === home]);
    span.end();
    loops.push(running);
    return running;
  });
}

async function ownPublisher() {
  const send = (name, where = name, options) => nc.publish(subject(where), bytes({ name }), options);
  for (const name of ["loop 1", "loop 2", "loop break"]) await scenario(name, async () => send(name, "loop.a"));
  await scenario("loop throw", async () => {
    await sleep(30);
    send("loop throw", "again");
  });
  await unsampledScenario("loop unsampled", async () => {
    await sleep(30);
    send("decision", "last");
    send("end of loop", "last");
  });
  await scenario("manual", async () => {
    send("manual 1", "manual");
    send("manual 2", "manual");
  });
  await scenario("own headers", async (note) => {
    const headers = withHeaders({ app: "own", traceparent: "00-stale" });
    send("own headers", "headers", { headers });
    note([...headers].map(([key, values]) => [key.toLowerCase(), values]));
  });
  await scenario("big payload", async (note) => {
    const { max_payload: size } = nc.info;
    note(nc.publish(subject("big"), Buffer.alloc(size, 120)));
    note(describeError(await failureOf(() => nc.publish(subject("big"), Buffer.alloc(size + 1, 120)))));
    await nc.flush();
  });
  await scenario("request", async (note, where) => {
    const options = { timeout: 2000 };
    const returned = nc.request(subject("echo"), bytes({ name: "request" }), options);
    note(returned.constructor === Promise, Object.keys(returned).sort());
    note(textOf(await returned), options.timeout);
    where();
  });
  await scenario("request without mux", async (note) => {
    const returned = nc.request(subject("echo"), bytes({ name: "request without mux" }), {
      timeout: 2000,
      noMux: true,
    });
    note(Object.keys(returned).sort(), textOf(await returned));
  });
  await scenario("request timeout", async (note, where) => {
    note(describeError(await failureOf(() => nc.request(subject("silent"), bytes("{}"), { timeout: 30 }))));
    where();
  });
  await scenario("request nobody", async (note) => {
    note(describeError(await failureOf(() => nc.request(subject("nobody"), bytes("{}"), { timeout: 500 }))));
  });
  await scenario("request closed", async (note) => {
    const gone = await lib.connect({ servers: NATS_URL });
    await gone.close();
    note(describeError(await failureOf(() => gone.request(subject("echo"), bytes("{}"), { timeout: 500 }))));
  });
  if (nc.requestMany) {
    await scenario("request many", async (note) => {
      const options = { strategy: "count", maxMessages: 2, maxWait: 2000 };
      const replies = [];
      for await (const reply of await nc.requestMany(subject("many"), bytes({ name: "request many" }), options)) {
        replies.push(textOf(reply));
      }
      note(replies);
    });
  }

  const publish = (name, where = name, options) => js.publish(subject(`js.${where}`), bytes({ name }), options);
  await scenario("js publish", async (note, where) => {
    const headers = withHeaders({ app: "own" });
    const acknowledged = await publish("js publish", "push", { msgID: `id-${STREAM}`, headers });
    note(acknowledged.stream, acknowledged.duplicate, [...(headers.keys?.() ?? [])].sort());
    const again = await publish("js publish", "push", { msgID: `id-${STREAM}` });
    note(again.duplicate, again.seq === acknowledged.seq);
    where();
  });
  await scenario("js no stream", async (note) => {
    note(describeError(await failureOf(() => js.publish(subject("nobody"), bytes("{}"), { timeout: 300 }))));
  });
  const kinds = ["push loop", "nak", "pull", "fetch"];
  if (hasConsumers) kinds.push("consume", "consume loop", "next", "term");
  for (const kind of kinds) {
    await scenario(`js ${kind}`, async (note) => {
      note((await publish(`js ${kind}`, kind.replaceAll(" ", "_"))).stream);
    });
  }
  await scenario("empty", async (note) => {
    if (!hasConsumers) return;
    const consumer = await js.consumers.get(STREAM, "empty");
    note(await consumer.next({ expires: 1000 }));
  });
  await sleep(1200);
}

async function ownConsumer() {
  const respond = (name, count) =>
    nc.subscribe(subject(name), {
      callback: async (_error, message) => {
        const where = await work(`answer ${nameIn(message)}`);
        for (let index = 0; index < count; index++) message.respond(bytes(`${nameIn(message)} ${index}`));
        print(`answered ${nameIn(message)}`, [], [where]);
      },
    });
  respond("echo", 1);
  respond("many", 2);
  nc.subscribe(subject("silent"), { callback() {} });
  nc.subscribe(subject("big"), { callback: (_error, { data }) => print("handled big payload", [data.length]) });
  nc.subscribe(subject("headers"), {
    callback: (_error, message) => {
      const { app } = headersOf(message);
      tracer.startSpan("work own headers").end();
      print("handled own headers", [app]);
    },
  });

  const handled = async (message) => {
    const name = nameIn(message);
    print(`handled ${name}`, [], [await work(name)]);
    return name;
  };
  const first = nc.subscribe(subject("loop.*"), { queue: "workers" });
  const second = nc.subscribe(subject("again"));
  const third = nc.subscribe(subject("last"));
  void loop(first, async (message) => ((await handled(message)) === "loop break" ? "break" : undefined), "loop");
  void loop(
    second,
    async (message) => {
      throw new Error(await handled(message));
    },
    "throwing loop",
  );
  void loop(
    third,
    async (message) => {
      const name = nameIn(message);
      await sleep(1);
      print(`handled ${name}`, []);
      return name === "end of loop" ? "break" : undefined;
    },
    "unsampled loop",
  );
  // By hand, as libraries for streams do.
  const manual = nc.subscribe(subject("manual"), { max: 2 })[Symbol.asyncIterator]();
  loops.push(
    (async () => {
      for (let result = await manual.next(); result.done !== true; result = await manual.next()) {
        const { value, ...rest } = result;
        print(`result of ${nameIn(value)}`, [rest, Object.keys(result), "done" in result]);
        print(`handled ${nameIn(value)}`, [], [await work(nameIn(value))]);
      }
    })(),
  );
  await consumeStream(handled);
  await nc.flush();
}

async function consumeStream(handled) {
  await jsm.streams.add({ name: STREAM, subjects: [subject("js.*")], storage: "memory" });
  const durable = async (name, config = {}) => {
    const filter_subject = subject(`js.${name}`);
    await jsm.consumers.add(STREAM, { durable_name: name, ack_policy: "explicit", filter_subject, ...config });
  };
  const attempts = new Map();
  const acknowledge = async (message) => {
    const name = await handled(message);
    const attempt = (attempts.get(name) ?? 0) + 1;
    attempts.set(name, attempt);
    if (name === "js nak" && attempt === 1) message.nak();
    else if (name === "js term") message.term();
    else message.ack();
  };

  const push = (name) => ({ deliver_subject: lib.createInbox(), durable_name: name });
  if (jetstream) {
    await durable("push", push("push"));
    await durable("push_loop", { ...push("push_loop"), deliver_subject: subject("delivered") });
    await durable("nak");
    await (await js.consumers.getPushConsumer(STREAM, "push")).consume({ callback: acknowledge });
    void loop(await (await js.consumers.getPushConsumer(STREAM, "push_loop")).consume(), acknowledge, "push loop");
    await (await js.consumers.get(STREAM, "nak")).consume({ callback: acknowledge });
  } else {
    // Its methods could not be chained in the first versions.
    const options = (name, deliver, callback) => {
      const builder = lib.consumerOpts();
      builder.durable(name);
      builder.manualAck();
      builder.ackExplicit();
      builder.deliverTo(deliver);
      if (callback !== undefined) builder.callback(callback);
      return builder;
    };
    const onMessage = (_error, message) => message && acknowledge(message);
    await js.subscribe(subject("js.push"), options("push", lib.createInbox(), onMessage));
    await js.subscribe(subject("js.nak"), options("nak", subject("delivered.nak"), onMessage));
    void loop(
      await js.subscribe(subject("js.push_loop"), options("push_loop", subject("delivered"))),
      acknowledge,
      "push loop",
    );
  }
  await durable("pull");
  await durable("fetch");
  const later = async (action) => {
    while (nc.isClosed() === false && nc.isDraining() === false) if (await action()) return;
  };
  loops.push(
    later(async () => {
      const message = jetstream
        ? await (await js.consumers.get(STREAM, "pull")).next({ expires: 1000 })
        : await js.pull(STREAM, "pull").catch(() => sleep(50));
      if (!message) return false;
      print("pulled", [nameIn(message)], [spanId() === undefined]);
      message.ack();
      return true;
    }),
    later(async () => {
      let isDone = false;
      const messages = jetstream
        ? await (await js.consumers.get(STREAM, "fetch")).fetch({ max_messages: 1, expires: 1000 })
        : js.fetch(STREAM, "fetch", { batch: 1, expires: 1000 });
      for await (const message of messages) {
        await acknowledge(message);
        isDone = true;
      }
      return isDone;
    }),
  );
  if (!hasConsumers) return;
  for (const name of ["consume", "consume_loop", "next", "term", "empty"]) await durable(name);
  const consumer = (name) => js.consumers.get(STREAM, name);
  await (await consumer("consume")).consume({ callback: acknowledge });
  await (await consumer("term")).consume({ callback: acknowledge });
  void loop(await (await consumer("consume_loop")).consume(), acknowledge, "consume loop");
  loops.push(
    later(async () => {
      const message = await (await consumer("next")).next({ expires: 1000 });
      if (message === null) return false;
      print("next", [nameIn(message)], [spanId() === undefined]);
      message.ack();
      return true;
    }),
  );
}

runMessaging({
  open: load,
  publish: (body, { headers }) =>
    nc.publish(DESTINATION, bytes(body), headers === undefined ? undefined : { headers: withHeaders(headers) }),
  publishBytes: (content) => nc.publish(DESTINATION, content),
  async publishFailing() {
    const gone = await lib.connect({ servers: NATS_URL });
    await gone.close();
    gone.publish(DESTINATION, bytes("{}"));
  },
  async consume(handler) {
    nc.subscribe(DESTINATION, {
      callback(_error, message) {
        const text = textOf(message);
        return handler({ body: text.startsWith("{") ? text : "bytes", headers: headersOf(message) });
      },
    });
    await nc.flush();
  },
  async close() {
    await nc.drain();
    await Promise.all(loops);
    if (ROLE === "consumer") {
      const last = await lib.connect({ servers: NATS_URL });
      await (jetstream ? await jetstream.jetstreamManager(last) : await last.jetstreamManager()).streams
        .delete(STREAM)
        .catch(() => {});
      await last.close();
    }
  },
  functions: () => functions,
  own: (role) => (role === "publisher" ? ownPublisher() : ownConsumer()),
});
