import { defaultTextMapGetter, defaultTextMapSetter, ROOT_CONTEXT as API_ROOT, trace } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Baggage, serializeBaggage } from "../../src/trace/baggage.ts";
import { ROOT_CONTEXT } from "../../src/trace/context.ts";
import { baggagePropagator, parseTraceparent, traceContextPropagator } from "../../src/trace/propagation.ts";
import { TraceState } from "../../src/trace/trace-state.ts";

const VALID = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

describe("traceparent", () => {
  test("a valid header becomes the remote parent", () => {
    expect(parseTraceparent(VALID, undefined)?.spanContext()).toEqual({
      traceId: "0af7651916cd43dd8448eb211c80319c",
      spanId: "b7ad6b7169203331",
      traceFlags: 1,
      isRemote: true,
    });
  });

  test.each([
    [
      "a later version with more fields",
      "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-will-be-like",
    ],
    ["a later version without more fields", "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
    ["the random flag of level 2", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"],
  ])("accepts %s", (_, header) => {
    expect(parseTraceparent(header, undefined)?.spanContext().traceId).toBe("0af7651916cd43dd8448eb211c80319c");
  });

  test.each([
    ["empty", ""],
    ["upper case", VALID.toUpperCase()],
    ["version ff", `ff${VALID.slice(2)}`],
    ["version 00 with more fields", `${VALID}-00`],
    ["a later version glued to more", `cc${VALID.slice(2)}.what`],
    ["an all-zero trace id", "00-00000000000000000000000000000000-b7ad6b7169203331-01"],
    ["an all-zero span id", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"],
    ["a letter that is no digit", "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01"],
    ["a bad flag", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x"],
    ["wrong dashes", VALID.replaceAll("-", "_")],
  ])("refuses %s", (_, header) => {
    expect(parseTraceparent(header, undefined)).toBeUndefined();
  });

  test("any text at all is refused or parsed as the official propagator does, and nothing throws", () => {
    const official = new W3CTraceContextPropagator();
    const nearlyValid = fc
      .tuple(fc.constantFrom(...VALID), fc.nat(VALID.length), fc.constantFrom("", "0", "f", "g", "-", "A"))
      .map(([, at, patch]) => VALID.slice(0, at) + patch + VALID.slice(at + patch.length));
    fc.assert(
      fc.property(fc.oneof(fc.string(), nearlyValid), (header) => {
        const ours = parseTraceparent(header, undefined)?.spanContext();
        const theirs = trace.getSpanContext(official.extract(API_ROOT, { traceparent: header }, defaultTextMapGetter));
        // The official one trims and accepts more of later versions; where it refuses a version 00 header, so do we.
        if (ours !== undefined && header.startsWith("00")) expect(theirs?.traceId).toBe(ours.traceId);
      }),
    );
  });

  test("a context goes out as it came in, its state kept", () => {
    const carrier = { traceparent: VALID, tracestate: "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE" };
    const sent: Record<string, string> = {};
    traceContextPropagator.inject(
      traceContextPropagator.extract(ROOT_CONTEXT, carrier, defaultTextMapGetter),
      sent,
      defaultTextMapSetter,
    );
    expect(sent).toEqual(carrier);
  });

  test("two traceparent headers are as good as none", () => {
    const context = traceContextPropagator.extract(ROOT_CONTEXT, { traceparent: [VALID, VALID] }, defaultTextMapGetter);
    expect(context).toBe(ROOT_CONTEXT);
  });
});

describe("tracestate", () => {
  test("keeps 32 members and drops the rest", () => {
    const header = Array.from({ length: 33 }, (_, index) => `k${index}=v`).join(",");
    expect(TraceState.parse(header)?.serialize().split(",")).toHaveLength(32);
  });

  test.each(["k=a=b", "=v", "k", "K=v", "k=v,k=w", "k=\u0007"])("refuses %j as a whole", (header) => {
    expect(TraceState.parse(header)).toBeUndefined();
  });

  test("a changed member moves to the front, and the original list is untouched", () => {
    const state = TraceState.parse("a=1,b=2") as TraceState;
    expect(state.set("b", "3").serialize()).toBe("b=3,a=1");
    expect(state.unset("a").serialize()).toBe("b=2");
    expect(state.serialize()).toBe("a=1,b=2");
  });
});

describe("baggage", () => {
  test("a malformed member is skipped and the others are kept", () => {
    const baggage = Baggage.parse("user.id=u%5F42;prop=1, =x, broken, bad=%ZZ, other = value ");
    expect(baggage?.getAllEntries().map(([key, { value }]) => [key, value])).toEqual([
      ["user.id", "u_42"],
      ["other", "value"],
    ]);
    expect(baggage?.getEntry("user.id")?.metadata?.toString()).toBe("prop=1");
  });

  test("what is sent never exceeds 8192 bytes or 180 members", () => {
    const many = new Baggage(
      new Map(Array.from({ length: 400 }, (_, index) => [`k${index}`, { value: "v".repeat(30) }])),
    );
    const header = serializeBaggage(many);
    expect(header.length).toBeLessThanOrEqual(8192);
    expect(header.split(",").length).toBe(180);
  });

  test("goes out as it came in", () => {
    const sent: Record<string, string> = {};
    const context = baggagePropagator.extract(ROOT_CONTEXT, { baggage: "a=1;p=2,b=%20x" }, defaultTextMapGetter);
    baggagePropagator.inject(context, sent, defaultTextMapSetter);
    expect(sent).toEqual({ baggage: "a=1;p=2,b=%20x" });
  });
});
