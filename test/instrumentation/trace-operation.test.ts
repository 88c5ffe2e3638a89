import type { Span as ApiSpan } from "@opentelemetry/api";
import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Capture } from "../../src/capture/capture.ts";
import { diag } from "../../src/diag/diag.ts";
import { Kit } from "../../src/instrumentation/kit.ts";
import { NOT_DEFERRED, type Operation } from "../../src/instrumentation/operation.ts";
import { callback, libraryCallbacks, returned, settleOnEvents } from "../../src/instrumentation/settlement.ts";
import { beginOperation, type OperationCall } from "../../src/instrumentation/trace-operation.ts";
import { UserPropagation } from "../../src/instrumentation/user-propagation.ts";
import { now } from "../../src/trace/clock.ts";
import { activeContext, enterContext, ROOT_CONTEXT, runInContext, type TraceContext } from "../../src/trace/context.ts";
import type { DeferredSpan, SpanSink } from "../../src/trace/pipeline.ts";
import { traceContextPropagator } from "../../src/trace/propagation.ts";
import { RequestScope } from "../../src/trace/request-scope.ts";
import { createSampler } from "../../src/trace/sampler.ts";
import { Span } from "../../src/trace/span.ts";
import { KIND_CLIENT, KIND_SERVER } from "../../src/trace/span-kind.ts";
import { TracerProvider } from "../../src/trace/tracer.ts";

let ended: Span[];
let lines: string[];
let kit: Kit;

function createKit(
  sampler: "parentbased_always_on" | "always_off" = "parentbased_always_on",
  sink: Partial<SpanSink> = {},
): Kit {
  const limits = {
    attributeCountLimit: 128,
    attributeValueLengthLimit: Infinity,
    eventCountLimit: 128,
    linkCountLimit: 128,
    attributePerEventCountLimit: 128,
    attributePerLinkCountLimit: 128,
  };
  const tracer = new TracerProvider({
    sampler: createSampler(sampler, 1),
    limits,
    redactor: { attribute: (_, value) => value, error: (message) => message },
    sink: { observesStart: false, onStart() {}, onEnd: (span) => ended.push(span), ...sink },
    resource: undefined,
  }).getTracer("test");
  const tracing = {
    propagator: traceContextPropagator,
    active: activeContext,
    declines: tracer.declines.bind(tracer),
    start: tracer.start.bind(tracer),
    deferring: (parent: TraceContext) => (tracer.defers(parent) ? tracer : undefined),
    run: runInContext,
    enter: enterContext,
  };
  const options = {
    messagingContext: "parent" as const,
    httpKnownMethods: new Set<string>(),
    redisPubSubContext: true,
    redisStreamContext: false,
  };
  return new Kit("library", tracing, options, () => ({
    capture: {} as Capture,
    userPropagation: new UserPropagation(() => true),
  }));
}

beforeEach(() => {
  ended = [];
  lines = [];
  kit = createKit();
  diag.setSink((line) => lines.push(line));
});
afterEach(() => diag.setSink(() => {}));

function describeOperation(overrides: Partial<Operation> = {}): Operation {
  return {
    title: "library method",
    kind: KIND_CLIENT,
    leaf: true,
    start: (span) => {
      span.name = "call";
    },
    finish: (span, result) => span.attribute("result", String(result)),
    settles: returned,
    ...overrides,
  };
}

/** A library of one method, traced. */
function traced<F extends (...args: any[]) => any>(method: F, overrides: Partial<Operation> = {}): { method: F } {
  const library = { method };
  kit.trace(library, "method", describeOperation(overrides));
  return library;
}

const statuses = () => ended.map((span) => [span.status.code, span.attributes["error.type"]]);

describe("a synchronous call", () => {
  test("ends the span with its result", () => {
    expect(traced((a: number, b: number) => a + b).method(1, 2)).toBe(3);
    expect(ended.map((span) => span.attributes)).toEqual([{ result: "3" }]);
  });

  test.each([new TypeError("no"), "text", undefined, null, 0, false])(
    "ends the span with %s thrown, and throws it on",
    (thrown) => {
      const library = traced(() => {
        throw thrown;
      });
      let caught: unknown = "nothing";
      try {
        library.method();
      } catch (error) {
        caught = error;
      }
      expect(caught).toBe(thrown);
      expect(ended).toHaveLength(1);
      expect(ended[0]?.status.code).toBe(2);
    },
  );

  test("keeps this, arguments and a constructor's instance", () => {
    const library = {
      seen: undefined as unknown,
      method(this: unknown, ...args: unknown[]): unknown {
        return [this, args];
      },
    };
    kit.trace(library, "method", describeOperation());
    expect(library.method(1, "b")).toEqual([library, [1, "b"]]);
  });
});

describe("a promise", () => {
  test("ends the span when it resolves, not before, and gives the value on", async () => {
    let resolve: (value: number) => void = () => {};
    const promise = traced(() => new Promise<number>((done) => (resolve = done))).method();
    expect(ended).toHaveLength(0);
    resolve(7);
    expect(await promise).toBe(7);
    expect(ended.map((span) => span.attributes)).toEqual([{ result: "7" }]);
  });

  test.each([new Error("no"), undefined, 0])(
    "ends the span when it rejects with %s, and rejects with the same",
    async (reason) => {
      const outcome = await traced(() => Promise.reject(reason))
        .method()
        .then(
          () => "resolved",
          (error: unknown) => [error],
        );
      expect(outcome).toEqual([reason]);
      expect(ended[0]?.status.code).toBe(2);
    },
  );

  test("of a subclass stays of that class", async () => {
    class Special extends Promise<number> {}
    expect(traced(() => Special.resolve(1)).method()).toBeInstanceOf(Special);
  });

  test("a thenable that is no promise is not touched", () => {
    let touched = 0;
    const lazy = {
      get then(): undefined {
        touched++;
        return undefined;
      },
    };
    expect(traced(() => lazy).method()).toBe(lazy);
    expect([touched, ended.length]).toEqual([0, 1]);
  });
});

describe("a callback", () => {
  // As a pool does it: called from wherever the answer came in.
  const asynchronous = (fail: unknown, done: (error: unknown, result?: unknown) => void): void => {
    setImmediate(() => runInContext(ROOT_CONTEXT, done, undefined, [fail, fail === null ? "ok" : undefined]));
  };

  test("ends the span before it runs, in the caller's context", async () => {
    const caller = ROOT_CONTEXT.setValue(Symbol("caller"), 1);
    const library = traced(asynchronous, { settles: callback });
    const seen = await new Promise<unknown[]>((resolve) =>
      runInContext(
        caller,
        () =>
          library.method(null, (error, result) => resolve([error, result, ended.length, activeContext() === caller])),
        undefined,
        [],
      ),
    );
    expect(seen).toEqual([null, "ok", 1, true]);
  });

  test("ends the span as failed with its error", async () => {
    await new Promise((resolve) => traced(asynchronous, { settles: callback }).method(new RangeError("no"), resolve));
    expect(statuses()).toEqual([[2, "RangeError"]]);
  });

  test("called twice ends the span once and reaches the application twice", () => {
    const calls: unknown[] = [];
    const results: unknown[] = [];
    const library = traced(
      (done: (error: unknown, value: number) => void) => {
        done(null, 1);
        done(null, 2);
      },
      { settles: callback, finish: (_, result) => results.push(result) },
    );
    library.method((_, value) => calls.push(value));
    expect([calls, results, ended.length]).toEqual([[1, 2], [1], 1]);
  });

  test("that throws throws to the library, and the span is as it was", () => {
    const library = traced((done: () => void) => done(), { settles: callback });
    expect(() =>
      library.method(() => {
        throw new Error("the application's own");
      }),
    ).toThrow("the application's own");
    expect(statuses()).toEqual([[0, undefined]]);
  });

  test("keeps its name and arity for the library", () => {
    let seen: unknown;
    const library = traced(
      (done: (...args: unknown[]) => void) => {
        seen = [done.name, done.length];
        done();
      },
      { settles: callback },
    );
    library.method(function original(_error: unknown, _result: unknown) {});
    expect(seen).toEqual(["original", 2]);
  });

  test("that is missing leaves the result to decide", async () => {
    expect(await traced(async () => 5, { settles: callback }).method()).toBe(5);
    expect(ended).toHaveLength(1);
  });
});

describe("a command the library settles", () => {
  interface Command {
    resolve(value: unknown): string;
    reject(error: unknown): string;
  }
  const settles = libraryCallbacks((call) => call.args[0], "resolve", "reject");
  const command = (): Command => ({
    resolve: (value) => `resolved ${String(value)}`,
    reject: (error) => `rejected ${String(error)}`,
  });

  test.each(["resolve", "reject"] as const)("ends the span once by %s, whose result the library gets", (way) => {
    const sent = command();
    traced((sentCommand: Command) => typeof sentCommand, { settles }).method(sent);
    expect(ended).toHaveLength(0);
    expect([sent[way]("x"), sent[way]("y")]).toEqual([
      `${way === "resolve" ? "resolved" : "rejected"} x`,
      `${way === "resolve" ? "resolved" : "rejected"} y`,
    ]);
    expect(ended.map((span) => span.status.code)).toEqual([way === "resolve" ? 0 : 2]);
  });
});

describe("an emitter", () => {
  const emitting: Partial<Operation> = {
    settles: {
      after: (call: OperationCall, result: unknown) => {
        settleOnEvents(call, result as EventEmitter, ["end"]);
        return result;
      },
    },
  };

  test.each([
    ["end", (stream: PassThrough) => stream.end().resume(), 0],
    ["an error", (stream: PassThrough) => stream.on("error", () => {}).destroy(new Error("no")), 2],
    ["early destruction", (stream: PassThrough) => stream.destroy(), 0],
  ])("ends the span once by %s and leaves no listener behind", async (_, act, status) => {
    const stream = traced(() => new PassThrough(), emitting).method();
    act(stream);
    await new Promise((resolve) => stream.once("close", resolve));
    expect(ended.map((span) => span.status.code)).toEqual([status]);
    expect(stream.listenerCount("close") + stream.listenerCount("end")).toBeLessThanOrEqual(1);
  });

  test("an error nobody listens to still throws", () => {
    const emitter = traced(() => new EventEmitter(), emitting).method();
    expect(() => emitter.emit("error", new Error("unheard"))).toThrow("unheard");
    expect(ended[0]?.status.code).toBe(2);
  });
});

describe("a deferred call", () => {
  let deferred: DeferredSpan[];
  let steps: string[];
  beforeEach(() => {
    deferred = [];
    steps = [];
    kit = createKit("parentbased_always_on", { onDeferredEnd: (span) => deferred.push(span) });
  });

  const deferral: Operation["deferral"] = {
    atStart(call) {
      call.state = { ...(call.args[0] as object) };
      return (call.args[0] as { isChanging?: boolean }).isChanging !== true;
    },
    atEnd: (_call, result) => (typeof result === "number" ? result : NOT_DEFERRED),
  };
  const inside = <R>(run: () => R, change: (parent: TraceContext) => TraceContext = (parent) => parent): R => {
    const parent = kit.tracing.start(1, "parent", ROOT_CONTEXT, 0) as Span;
    return runInContext(change(ROOT_CONTEXT.withSpan(parent)), run, undefined, []);
  };
  const library = (method: (...args: any[]) => any, overrides: Partial<Operation> = {}): { method: typeof method } =>
    traced(method, {
      deferral,
      start(span, call) {
        steps.push("start");
        span.name = "call";
        span.attribute("state", JSON.stringify(call.state));
      },
      finish(span, result) {
        steps.push("finish");
        span.attribute("result", String(result));
      },
      ...overrides,
    });

  test("is described when it is asked for, as it was when it began and ended", () => {
    const argument = { key: "first" };
    const before = now();
    expect(inside(() => library(() => 5).method(argument))).toBe(5);
    const after = now();
    argument.key = "second";
    expect([steps, ended]).toEqual([[], []]);
    const [span] = deferred.map((one) => one.toSpan());
    expect(steps).toEqual(["start", "finish"]);
    expect(span).toMatchObject({ name: "call", attributes: { state: '{"key":"first"}', result: "5" } });
    expect(span?.isRecording()).toBe(false);
    expect(span?.startMillis).toBeGreaterThanOrEqual(before);
    expect(span?.endMillis).toBeLessThanOrEqual(after);
    expect(span?.parentWord0).not.toBe(0);
    expect(ended).toEqual([]);
  });

  test("has the user of when it began", () => {
    const scope = new RequestScope(undefined);
    scope.setUser({ id: "ada" });
    const method = (): number => {
      scope.setUser({ id: "grace" });
      return 1;
    };
    inside(
      () => library(method).method({}),
      (parent) => parent.withRequest(parent.span as ApiSpan, scope),
    );
    expect(deferred[0]?.toSpan().attributes).toMatchObject({ "user.id": "ada" });
  });

  test.each<[string, () => unknown]>([
    ["what it is given may change", () => library(() => 5).method({ isChanging: true })],
    ["its result may change", () => library(() => ({})).method({})],
    ["it has no parent", () => runInContext(ROOT_CONTEXT, () => library(() => 5).method({}), undefined, [])],
  ])("is described at once where %s", (_, call) => {
    inside(call);
    expect(deferred).toEqual([]);
    expect(ended.map(({ name }) => name)).toEqual(["call"]);
    expect(steps).toEqual(["start", "finish"]);
  });

  test("that fails is described at once", () => {
    const failing = library(() => {
      throw new RangeError("no");
    });
    expect(() => inside(() => failing.method({ key: "a" }))).toThrow("no");
    expect(deferred).toEqual([]);
    expect(statuses()).toEqual([[2, "RangeError"]]);
    expect(ended[0]?.attributes.state).toBe('{"key":"a"}');
  });

  test("has no effect where the sampler declines it, or spans are seen as they end", () => {
    kit = createKit("always_off", { onDeferredEnd: (span) => deferred.push(span) });
    inside(() => library(() => 5).method({}));
    expect([deferred, ended]).toEqual([[], []]);
    kit = createKit();
    inside(() => library(() => 5).method({}));
    expect(ended.map(({ name }) => name)).toEqual(["call"]);
  });

  const boom = (): never => {
    throw new Error("ours");
  };
  test.each<[string, Partial<Operation>]>([
    ["start", { start: boom }],
    ["finish", { finish: boom }],
    ["the deferral's first step", { deferral: { atStart: boom, atEnd: () => undefined } }],
    ["the deferral's last step", { deferral: { atStart: () => true, atEnd: boom } }],
  ])("an error of ours in %s is reported once, and costs nobody else anything", (_, overrides) => {
    const failing = library((value: number) => value, overrides);
    expect(inside(() => [failing.method(2), failing.method(3)])).toEqual([2, 3]);
    const spans = deferred.map((one) => one.toSpan());
    expect(spans.every((span) => !span.isRecording())).toBe(true);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/library is no longer traced.*ours/);
    expect(inside(() => failing.method(4))).toBe(4);
  });
});

describe("our own failure", () => {
  const boom = (): never => {
    throw new Error("ours");
  };
  test.each<[string, Partial<Operation>]>([
    ["skip", { skip: boom }],
    ["start", { start: boom }],
    ["inject", { inject: boom }],
    ["finish", { finish: boom }],
    ["the settlement's first step", { settles: { before: boom } }],
    ["the settlement's last step", { settles: { after: boom } }],
  ])(
    "in %s is reported once, switches the instrumentation off, and the application gets its result",
    (_, overrides) => {
      const library = traced((value: number) => value * 2, overrides);
      expect([library.method(2), library.method(3)]).toEqual([4, 6]);
      expect(lines).toHaveLength(1);
      expect(lines[0]).toMatch(/library is no longer traced.*ours/);
      expect(ended.length).toBeLessThanOrEqual(1);
    },
  );

  test("while a failure is recorded does not replace the application's error", () => {
    const library = traced(
      () => {
        throw new Error("the application's");
      },
      { fail: boom },
    );
    expect(() => library.method()).toThrow("the application's");
    expect(kit.owner.enabled).toBe(false);
  });

  test("is not an error object with hostile getters", () => {
    const hostile = {
      get code(): never {
        throw new Error("hostile");
      },
      get message(): never {
        throw new Error("hostile");
      },
    };
    const library = traced(() => {
      throw hostile;
    });
    expect(() => library.method()).toThrow(expect.objectContaining({}));
    expect([kit.owner.enabled, ended.length]).toEqual([true, 1]);
  });
});

describe("context", () => {
  test("a leaf's function runs in the caller's context, a parent's in the span's", () => {
    const inside = () => activeContext().span;
    expect(traced(inside, { leaf: true }).method()).toBeUndefined();
    expect(traced(inside, { leaf: false }).method()).toBe(ended[1]);
  });

  test("what is injected names the span, or the declined trace when nothing is recorded", () => {
    const carriers: Array<Record<string, string>> = [];
    const inject = (call: OperationCall): void => {
      const carrier: Record<string, string> = {};
      kit.inject(call.context, carrier, { set: (target, key, value) => (target[key] = value) }, "localhost");
      carriers.push(carrier);
    };
    traced(() => 1, { inject }).method();
    kit = createKit("always_off");
    traced(() => 1, { inject }).method();
    expect(carriers[0]?.["traceparent"]).toContain(ended[0]?.spanContext().spanId);
    expect(carriers[1]?.["traceparent"]).toMatch(/-0[02]$/);
    expect(ended).toHaveLength(1);
  });

  test("suppressed tracing records and sends nothing", () => {
    const suppressed = ROOT_CONTEXT.setValue(Symbol.for("OpenTelemetry SDK Context Key SUPPRESS_TRACING"), true);
    const library = traced(() => 1, { inject: () => lines.push("injected") });
    runInContext(suppressed, library.method, library, []);
    expect([ended, lines]).toEqual([[], []]);
  });

  test("a request's context lets go of its span when it ends", () => {
    const call = beginOperation(kit.bind(describeOperation({ kind: KIND_SERVER, leaf: false })), undefined, []);
    const scope = call?.context.request;
    expect(scope?.span).toBeInstanceOf(Span);
    call?.succeed();
    expect(scope?.span).toBeUndefined();
  });

  test("a call below a declined request builds nothing", () => {
    kit = createKit("always_off");
    const request = beginOperation(kit.bind(describeOperation({ kind: KIND_SERVER, leaf: false })), undefined, []);
    const library = traced(() => 1, { skip: () => (lines.push("asked"), false) });
    expect(runInContext(request?.context ?? ROOT_CONTEXT, library.method, library, [])).toBe(1);
    expect([library.method(), ended, lines]).toEqual([1, [], []]);
  });

  test("a declined request still has a context for its handler", () => {
    kit = createKit("always_off");
    const call = beginOperation(kit.bind(describeOperation({ kind: KIND_SERVER, leaf: false })), undefined, []);
    expect(call?.context.span?.isRecording()).toBe(false);
    call?.succeed();
    expect(ended).toEqual([]);
  });
});

describe("a wrapped method", () => {
  test("looks like the original: name, arity, properties, prototype and enumerability", () => {
    const original = Object.assign(function method(_a: unknown, _b: unknown) {}, { extra: 1 });
    const library = Object.create(null) as { method: typeof original };
    Object.defineProperty(library, "method", {
      value: original,
      enumerable: false,
      writable: true,
      configurable: true,
    });
    kit.trace(library, "method", describeOperation());
    expect(library.method).not.toBe(original);
    expect([library.method.name, library.method.length, library.method.extra]).toEqual(["method", 2, 1]);
    expect(Object.keys(library)).toEqual([]);
  });

  test("is wrapped once, and a missing method is left alone", () => {
    const library = traced(() => 1);
    const { method } = library;
    kit.trace(library, "method", describeOperation());
    kit.trace(library, "other", describeOperation());
    expect(library.method).toBe(method);
    expect("other" in library).toBe(false);
  });
});
