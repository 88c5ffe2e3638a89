import { context, ROOT_CONTEXT as API_ROOT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { ParentBasedSampler, SamplingDecision, TraceIdRatioBasedSampler } from "@opentelemetry/sdk-trace-base";
import { beforeEach, describe, expect, test } from "vitest";
import { diag } from "../../src/diag/diag.ts";
import type { LateAttribute, SpanLimits } from "../../src/trace/attributes.ts";
import { AttributeBlock } from "../../src/trace/attributes.ts";
import { ROOT_CONTEXT } from "../../src/trace/context.ts";
import type { SpanPipeline, SpanSink } from "../../src/trace/pipeline.ts";
import { createSampler, type SamplerName } from "../../src/trace/sampler.ts";
import { PropagatedSpan, Span } from "../../src/trace/span.ts";
import { TracerProvider } from "../../src/trace/tracer.ts";

const LIMITS: SpanLimits = {
  attributeCountLimit: 4,
  attributeValueLengthLimit: Infinity,
  eventCountLimit: 2,
  linkCountLimit: 2,
  attributePerEventCountLimit: 2,
  attributePerLinkCountLimit: 2,
};

interface Options {
  sampler?: SamplerName;
  ratio?: number;
  limits?: Partial<SpanLimits>;
  sink?: Partial<SpanSink>;
}

function setup(options: Options = {}) {
  const ended: Span[] = [];
  const pipeline: SpanPipeline = {
    sampler: createSampler(options.sampler ?? "parentbased_always_on", options.ratio ?? 1),
    limits: { ...LIMITS, ...options.limits },
    redactor: {
      attribute: (_, value) => (value === "secret" ? "REDACTED" : value),
      error: (message) => message.replace("secret", "REDACTED"),
    },
    sink: { observesStart: false, onStart() {}, onEnd: (span) => ended.push(span), ...options.sink },
    resource: undefined,
  };
  return { ended, tracer: new TracerProvider(pipeline).getTracer("test") };
}

function startRoot(tracer = setup().tracer): Span {
  return tracer.startSpan("operation", {}, ROOT_CONTEXT) as Span;
}

describe("a span", () => {
  test("ends once, and is read-only afterwards", () => {
    const { tracer, ended } = setup();
    const span = startRoot(tracer);
    span.end();
    span.end();
    span.setAttribute("late", 1).updateName("late").addEvent("late").setStatus({ code: SpanStatusCode.ERROR });
    expect(ended).toEqual([span]);
    expect(span).toMatchObject({ name: "operation", attributes: {}, events: [], status: { code: 0 } });
  });

  test("never ends before it started", () => {
    const span = startRoot();
    span.end(1);
    expect(span.duration).toEqual([0, 0]);
  });

  test("replaces an attribute of the same key, wherever it came from", () => {
    const span = startRoot();
    span.attributeBlock(new AttributeBlock({ a: 1, b: 2 }));
    span.setAttribute("a", 3).setAttribute("c", 4).setAttribute("c", 5);
    expect(span.attributes).toEqual({ a: 3, b: 2, c: 5 });
  });

  test("takes the own attributes of an object, at first and later, and replaces those it has", () => {
    const attributes = Object.assign(Object.create({ inherited: "no" }), { a: 1, b: "x", c: undefined, "": 1 });
    const span = startRoot();
    span.setAttributes(attributes);
    span.setAttributes({ b: "secret", c: null as never, d: 2 });
    span.attribute("a", 3);
    expect(span.attributes).toEqual({ a: 1, b: "REDACTED", d: 2 });
  });

  test("keeps the last attribute within the limit and drops and counts the first beyond it", () => {
    const span = startRoot();
    span.attributeBlock(new AttributeBlock({ a: 1, b: 2, c: 3 }));
    span.setAttribute("d", 4).setAttribute("e", 5);
    span.attributeBlock(new AttributeBlock({ f: 6 }));
    expect(span.attributes).toEqual({ a: 1, b: 2, c: 3, d: 4 });
    expect(span.droppedAttributesCount).toBe(2);
  });

  test("cuts strings, alone, in arrays and in shared blocks, at the length limit", () => {
    const span = startRoot(setup({ limits: { attributeValueLengthLimit: 3 } }).tracer);
    span.attributeBlock(new AttributeBlock({ block: "abcd" }));
    span.setAttributes({ text: "abcd", list: ["abcd", "ab"] });
    expect(span.attributes).toEqual({ block: "abc", text: "abc", list: ["abc", "ab"] });
  });

  test("ignores what is no attribute value", () => {
    const span = startRoot();
    span.setAttributes({ a: { b: 1 } as never, c: undefined, d: [1, "2"] as never, "": 1, ok: [true, null] });
    expect(span.attributes).toEqual({ ok: [true, null] });
  });

  test("bounds events and links and counts the rest", () => {
    const span = startRoot();
    const link = { context: { traceId: "a".repeat(32), spanId: "b".repeat(16), traceFlags: 1 } };
    for (let index = 0; index < 3; index++) span.addEvent("e", { a: 1, b: 2, c: 3 }).addLink(link);
    expect(span.events).toHaveLength(2);
    expect(span.events[0]).toMatchObject({ attributes: { a: 1, b: 2 }, droppedAttributesCount: 1 });
    expect([span.droppedEventsCount, span.droppedLinksCount]).toEqual([1, 1]);
  });

  test("an OK status is final and UNSET changes nothing", () => {
    const span = startRoot();
    span.setStatus({ code: SpanStatusCode.ERROR, message: "x" }).setStatus({ code: SpanStatusCode.UNSET });
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: "x" });
    span.setStatus({ code: SpanStatusCode.OK }).setStatus({ code: SpanStatusCode.ERROR });
    expect(span.status).toEqual({ code: SpanStatusCode.OK });
  });

  test("what the application writes passes the redactor", () => {
    const span = startRoot();
    span.setAttribute("a", "secret").setStatus({ code: SpanStatusCode.ERROR, message: "a secret" });
    span.recordException(new Error("secret"));
    span.addEvent("e", { a: "secret" });
    expect(JSON.stringify([span.attributes, span.status, span.events])).not.toContain("secret");
  });

  test.each([["text"], [undefined], [null], [{ code: 42 }], [Object.create(null)]])(
    "records %j as an exception",
    (thrown) => {
      const span = startRoot();
      span.recordException(thrown as never);
      expect(span.events[0]?.name).toBe("exception");
    },
  );

  test("keeps only its ids once it is released", () => {
    const span = startRoot();
    span.setAttribute("a", 1).addEvent("e");
    span.end();
    span.release();
    expect([span.entries, span.eventList]).toEqual([undefined, undefined]);
    expect(span.spanContext().traceId).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe("an attribute that is worked out later", () => {
  const read: string[] = [];
  const late = (key: string, value: unknown): LateAttribute => ({
    key,
    next: undefined,
    read() {
      read.push(key);
      if (value instanceof Error) throw value;
      return value as string;
    },
  });
  beforeEach(() => {
    read.length = 0;
  });
  /** Nobody looks at what has ended before it is encoded. */
  const unseen = { sink: { onDeferredEnd() {} } };

  test("is read when the sink asks for it, once, and the span stays over", () => {
    const { tracer } = setup(unseen);
    const span = startRoot(tracer);
    span.attributeLater(late("a", "1"));
    span.attributeLater(late("b", "2"));
    span.end();
    span.attributeLater(late("too late", "3"));
    expect([read, span.attributes]).toEqual([[], {}]);
    const { endMillis } = span;
    span.readLate();
    span.readLate();
    expect(span.attributes).toEqual({ a: "1", b: "2" });
    expect(read.toSorted()).toEqual(["a", "b"]);
    expect([span.endMillis, span.isRecording()]).toEqual([endMillis, false]);
  });

  test("is read at once where somebody looks at spans when they end", () => {
    const span = startRoot();
    span.attributeLater(late("a", "1"));
    expect(span.attributes).toEqual({ a: "1" });
  });

  test("is left out where it has no value, counted where there is no room, and the application's own stays", () => {
    const span = startRoot(setup(unseen).tracer);
    for (const key of ["a", "b", "c", "d", "e"]) span.attributeLater(late(key, key === "c" ? undefined : key));
    span.setAttributes({ a: "mine", f: 1 });
    span.end();
    span.readLate();
    expect(span.attributes).toEqual({ a: "mine", f: 1, e: "e", d: "d" });
    expect(span.droppedAttributesCount).toBe(1);
  });

  test("takes nothing with it when it fails", () => {
    const messages: string[] = [];
    diag.setSink((line) => messages.push(line));
    const span = startRoot(setup(unseen).tracer);
    span.attributeLater(late("a", "1"));
    span.attributeLater(late("broken", new Error("no value")));
    span.end();
    span.readLate();
    diag.setSink();
    expect(span.attributes).toEqual({ a: "1" });
    expect(messages.join()).toContain("broken could not be recorded: Error: no value");
  });

  test("is let go of with the span", () => {
    const span = startRoot(setup(unseen).tracer);
    span.attributeLater(late("a", "1"));
    span.end();
    span.release();
    expect(span.late).toBeUndefined();
  });
});

describe("parents", () => {
  test("a child has its parent's trace and names it", () => {
    const { tracer } = setup();
    const parent = startRoot(tracer);
    const child = tracer.startSpan("child", { kind: SpanKind.CLIENT }, ROOT_CONTEXT.withSpan(parent)) as Span;
    expect(child.spanContext().traceId).toBe(parent.spanContext().traceId);
    expect(child.parentSpanContext?.spanId).toBe(parent.spanContext().spanId);
  });

  test("a context of another copy of the API carries the parent too", () => {
    const { tracer } = setup();
    const parent = { traceId: "a".repeat(32), spanId: "b".repeat(16), traceFlags: 1 };
    const child = tracer.startSpan("child", {}, trace.setSpanContext(API_ROOT, parent)) as Span;
    expect(child.parentSpanContext?.spanId).toBe(parent.spanId);
  });

  test("root: true starts a new trace", () => {
    const { tracer } = setup();
    const parent = startRoot(tracer);
    const span = tracer.startSpan("new", { root: true }, ROOT_CONTEXT.withSpan(parent)) as Span;
    expect(span.spanContext().traceId).not.toBe(parent.spanContext().traceId);
    expect(span.parentSpanContext).toBeUndefined();
  });

  test("an invalid parent starts a new trace", () => {
    const { tracer } = setup();
    const invalid = trace.setSpanContext(context.active(), { traceId: "0".repeat(32), spanId: "x", traceFlags: 1 });
    expect((tracer.startSpan("a", {}, invalid) as Span).parentSpanContext).toBeUndefined();
  });

  test("startActiveSpan makes the span active for the function and gives its result back", () => {
    const { tracer } = setup();
    expect(tracer.startActiveSpan("a", (span) => [span instanceof Span, 7])).toEqual([true, 7]);
  });
});

describe("sampling", () => {
  test.each([0, 0.1, 0.5, 0.9, 1])("ratio %d keeps the traces the official sampler keeps", (ratio) => {
    const official = new TraceIdRatioBasedSampler(ratio);
    const ours = createSampler("traceidratio", ratio);
    for (let index = 0; index < 2000; index++) {
      const words = Array.from({ length: 4 }, () => Math.floor(Math.random() * 2 ** 32));
      const traceId = words.map((word) => word.toString(16).padStart(8, "0")).join("");
      const [a, b, c, d] = words.map((word) => word | 0) as [number, number, number, number];
      const expected = official.shouldSample(API_ROOT, traceId).decision === SamplingDecision.RECORD_AND_SAMPLED;
      expect(ours.sampleRoot(a, b, c, d)).toBe(expected);
    }
  });

  test.each<[SamplerName, number]>([
    ["always_on", 1],
    ["always_off", 0],
    ["parentbased_always_on", 1],
    ["parentbased_always_off", 0],
  ])("%s decides for a new trace", (name, kept) => {
    const { tracer, ended } = setup({ sampler: name });
    startRoot(tracer).end();
    expect(ended).toHaveLength(kept);
  });

  test("a parent-based sampler follows the parent, as the official one does", () => {
    const official = new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(1) });
    for (const traceFlags of [0, 1]) {
      const parent = { traceId: "a".repeat(32), spanId: "b".repeat(16), traceFlags, isRemote: true };
      const parentContext = trace.setSpanContext(API_ROOT, parent);
      const expected = official.shouldSample(parentContext, parent.traceId, "a", 0, {}, []).decision === 2;
      expect(setup().tracer.startSpan("a", {}, parentContext).isRecording()).toBe(expected);
    }
  });

  test("a declined trace keeps its id below, with the sampled flag off, and records nothing", () => {
    const { tracer, ended } = setup({ sampler: "always_off" });
    const root = tracer.startSpan("root", {}, ROOT_CONTEXT);
    const child = tracer.startSpan("child", {}, ROOT_CONTEXT.withSpan(root));
    child.end();
    root.end();
    expect(root).toBeInstanceOf(PropagatedSpan);
    expect(child.spanContext().traceId).toBe(root.spanContext().traceId);
    expect(child.spanContext().traceFlags & 1).toBe(0);
    expect(ended).toEqual([]);
  });
});
