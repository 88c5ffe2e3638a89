// Beside every application of a contract suite: runs its scenarios, each inside a root span of that name, and prints what an
// application can see of each as one line of JSON. A run without the preload prints the same.
"use strict";
const { context, propagation, ROOT_CONTEXT, trace } = require("@opentelemetry/api");

const tracer = trace.getTracer("app");
const spanId = () => trace.getActiveSpan()?.spanContext().spanId;

/** `seen`: what must not depend on the preload; `where`: whether code ran in its scenario's context. */
function print(name, seen, where = []) {
  console.log(
    JSON.stringify({ name, seen, where }, (_key, value) => (typeof value === "bigint" ? `${value}n` : value)),
  );
}

/** Runs `body(note, where)`: `note(...values)` is for what can be seen, `where()` for the context it is called in. */
async function scenario(name, body) {
  const seen = [];
  const where = [];
  await tracer.startActiveSpan(name, async (span) => {
    const home = spanId();
    try {
      await body(
        (...values) => seen.push(...values),
        () => where.push(spanId() === home),
      );
    } catch (error) {
      seen.push(`unexpected ${error?.stack ?? error}`);
    }
    span.end();
  });
  print(name, seen, where);
}

/** A scenario below a remote parent that was not sampled. */
async function unsampledScenario(name, body) {
  const seen = [];
  const where = [];
  const traceId = "a".repeat(32);
  const parent = propagation.extract(ROOT_CONTEXT, { traceparent: `00-${traceId}-${"b".repeat(16)}-00` });
  const home = trace.getSpanContext(parent)?.traceId;
  await context.with(parent, () =>
    body(
      (...values) => seen.push(...values),
      () => where.push(trace.getActiveSpan()?.spanContext().traceId === home),
    ),
  );
  print(name, seen, where);
}

/** All that an application may look at in an error, but the stack's lines. */
function describeError(error) {
  const { name, code, errno, message, detail } = error ?? {};
  return { class: error?.constructor?.name, name, code, errno, message, detail, keys: Object.keys(error ?? {}) };
}

/** Functions called `callerOf…` on the stack. */
function appFrames(error) {
  return [...(error?.stack ?? "").matchAll(/at (?:async )?(callerOf\w+)/g)].map(([, name]) => name);
}

/** What `action` throws or rejects with; undefined when it does neither. */
async function failureOf(action) {
  try {
    await action();
    return undefined;
  } catch (error) {
    return error;
  }
}

const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

/** Runs `main`; the process ends by itself when all it opened is closed. */
function runMain(main) {
  main().catch((error) => {
    console.error(error);
    process.exit(1);
  });
}

exports.appFrames = appFrames;
exports.describeError = describeError;
exports.failureOf = failureOf;
exports.print = print;
exports.runMain = runMain;
exports.scenario = scenario;
exports.sleep = sleep;
exports.spanId = spanId;
exports.tracer = tracer;
exports.unsampledScenario = unsampledScenario;
