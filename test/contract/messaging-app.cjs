// The two applications of the messaging contract, one text: ROLE says which. A library's application gives `runMessaging`
// what is particular to it:
//
//   open(destination)            connects, outside of any trace; `destination` is a name nobody else uses
//   publish(body, options)       publishes text: the library's own result or promise. `options` is frozen, and all in it:
//                                `id`, `headers` (plain text values) and `key`; leave out what the library does not have
//   close()                      leaves nothing behind that keeps the process alive
//   consume(handler)             subscribes, and resolves once a message published from now on arrives. Calls
//                                `handler({ body, headers })` for each message, as the library calls its users': what the
//                                handler throws or its promise does is handed on to the library. `body` is text, `headers`
//                                what the application sees of them as plain text values, undefined where there are none
//   shape(result)                what can be seen of `publish`'s result, as plain values. Default: the result itself
//   functions()                  what is patched: the application must see the same names, arities and keys
// and, where the library has them:
//   publishBytes(bytes)          publishes bytes, which `consume` gives as `body: "bytes"`
//   publishFailing()             a publish that fails: throws or rejects
//   redelivers: true             a message whose handler failed comes again
//   own(role, on)                scenarios of the library's own test. The consumer's ends when all is set up; `on(name, handler)`
//                                makes it handle the messages whose body is JSON with this `name`
//
// Bodies are JSON with a `name`: that of the scenario it was published in.
"use strict";
const {
  describeError,
  failureOf,
  print,
  runMain,
  scenario,
  sleep,
  spanId,
  tracer,
  unsampledScenario,
} = require("./scenarios-app.cjs");

const CONTEXT = new Set(["traceparent", "tracestate", "baggage", "tracekit-published-at"]);

const freeze = (value) => {
  if (typeof value === "object" && value !== null) Object.values(value).forEach(freeze);
  return Object.freeze(value);
};

async function publisher(adapter) {
  const { shape = (result) => result } = adapter;
  const send = (body, options = {}) => adapter.publish(JSON.stringify(body), freeze(options));

  await scenario("publish", async (note, where) => {
    const options = { id: "m-1", key: "key-1", headers: { app: "own" } };
    const returned = send({ name: "publish", url: "x7k9m2" }, options);
    note(returned?.constructor?.name, Object.keys(Object(returned)));
    note(shape(await returned), options);
    where();
  });
  await scenario("secrets", async (note) => {
    const body = { name: "secrets", user: "a", password: "hunter2-body", nested: [{ token: "hunter2-token" }] };
    note(shape(await send(body)));
  });
  await scenario("long", async (note) => {
    note(shape(await send({ name: "long", text: "x".repeat(20_000) })));
  });
  await Promise.all(
    Array.from({ length: 6 }, (_, index) =>
      scenario(`concurrent ${index}`, async (note, where) => {
        await sleep(5);
        note(shape(await send({ name: `concurrent ${index}` })));
        where();
      }),
    ),
  );
  await scenario("failing handler", async (note) => {
    note(shape(await send({ name: "failing handler" })));
  });
  await unsampledScenario("unsampled", async (note, where) => {
    note(shape(await send({ name: "unsampled", text: "decision" })));
    where();
  });
  if (adapter.publishBytes !== undefined) {
    await scenario("bytes", async (note) => {
      const bytes = Buffer.from([0, 255, 1]);
      note(shape(await adapter.publishBytes(bytes)), [...bytes]);
    });
  }
  if (adapter.publishFailing !== undefined) {
    await scenario("publish failure", async (note, where) => {
      note(describeError(await failureOf(() => adapter.publishFailing())));
      where();
    });
  }
  if (process.env.OWN === "true") await adapter.own?.("publisher");
  await send({ name: "end" });
  await adapter.close();
  const shapeOf = (fn) => [fn.name, fn.length, Object.keys(fn), Object.keys(fn.prototype ?? {})];
  print("functions", (adapter.functions?.() ?? []).map(shapeOf));
}

async function consumer(adapter) {
  const unhandled = [];
  process.on("unhandledRejection", (reason) => unhandled.push(describeError(reason)));
  const handlers = new Map();
  const attempts = new Map();
  let open = 0;
  let end;
  const ended = new Promise((resolve) => (end = resolve));

  async function handle({ body, headers }) {
    const { name } = body === "bytes" ? { name: "bytes" } : JSON.parse(body);
    const own = handlers.get(name);
    if (own !== undefined) return own();
    if (name === "end") return end();
    const home = spanId();
    const attempt = (attempts.get(name) ?? 0) + 1;
    attempts.set(name, attempt);
    open++;
    try {
      await sleep(2);
      tracer.startActiveSpan(`work ${name}`, (span) => span.end());
      const seen = headers && Object.fromEntries(Object.entries(headers).filter(([key]) => !CONTEXT.has(key)));
      const context = Object.keys(headers ?? {}).filter((key) => CONTEXT.has(key));
      const failing = name === "failing handler" && attempt === 1;
      print(
        `handle ${name}${attempt > 1 ? ` ${attempt}` : ""}`,
        [body, seen],
        [home !== undefined && spanId() === home],
      );
      print(`context ${name}`, context.sort());
      if (failing) throw new Error("from the handler");
    } finally {
      open--;
    }
  }

  await adapter.consume(handle);
  if (process.env.OWN === "true") await adapter.own?.("consumer", (name, handler) => handlers.set(name, handler));
  print("ready", []);
  await ended;
  const isDone = () => open === 0 && (adapter.redelivers !== true || attempts.get("failing handler") > 1);
  while (!isDone()) await sleep(5);
  await sleep(50);
  await adapter.close();
  print("unhandled", unhandled);
}

exports.runMessaging = (adapter) =>
  runMain(async () => {
    await adapter.open(process.env.DESTINATION);
    await (process.env.ROLE === "consumer" ? consumer : publisher)(adapter);
  });
