import { AttributeBlock } from "../../src/trace/attributes.ts";
import { ROOT_CONTEXT } from "../../src/trace/context.ts";
import type { TraceContext } from "../../src/trace/context.ts";
import { createSampler } from "../../src/trace/sampler.ts";
import type { SamplerName } from "../../src/trace/sampler.ts";
import type { SpanSink } from "../../src/trace/pipeline.ts";
import { KIND_CLIENT, KIND_SERVER } from "../../src/trace/span-kind.ts";
import { TracerProvider } from "../../src/trace/tracer.ts";
import type { Tracer } from "../../src/trace/tracer.ts";
import type { Span } from "../../src/trace/span.ts";
import type { Case } from "./case.ts";

/** A tracer whose spans end in `sink`, by default nowhere. */
export function createTracer(sink?: Partial<SpanSink>, sampler: SamplerName = "parentbased_always_on"): Tracer {
  const provider = new TracerProvider({
    sampler: createSampler(sampler, 1),
    limits: {
      attributeCountLimit: 128,
      attributeValueLengthLimit: Infinity,
      eventCountLimit: 128,
      linkCountLimit: 128,
      attributePerEventCountLimit: 128,
      attributePerLinkCountLimit: 128,
    },
    redactor: { attribute: (_, value) => value, error: (message) => message },
    sink: { observesStart: false, onStart() {}, onEnd() {}, ...sink },
    resource: undefined,
  });
  return provider.getTracer("bench") as Tracer;
}

/** The context inside a server span. */
export function insideRequest(tracer: Tracer): TraceContext {
  return ROOT_CONTEXT.withSpan(tracer.start(KIND_SERVER, "GET /users/:id", ROOT_CONTEXT));
}

export const connection: AttributeBlock = new AttributeBlock({
  "db.system.name": "redis",
  "db.namespace": "0",
  "server.address": "127.0.0.1",
  "server.port": 6379,
});
export const operation: AttributeBlock = new AttributeBlock({ "db.operation.name": "GET" });

/** A cache look-up's span: two shared blocks and three attributes of its own. */
export function makeSpan(tracer: Tracer, parent: TraceContext, number: number): number {
  const span = tracer.start(KIND_CLIENT, "GET", parent);
  span.attributeBlock(connection);
  span.attributeBlock(operation);
  (span as Span).attribute("db.query.text", "GET user:42");
  (span as Span).attribute("cache.hit", (number & 1) === 0);
  (span as Span).attribute("cache.item_size", number & 1023);
  span.end();
  return span.spanWord0;
}

const spanCase = (name: string, sampler: SamplerName): Case => ({
  name,
  run(times) {
    const tracer = createTracer({ onEnd: (span) => span.release() }, sampler);
    const parent = insideRequest(tracer);
    let sum = 0;
    for (let i = 0; i < times; i++) sum ^= makeSpan(tracer, parent, i);
    return sum;
  },
});

export const cases: Case[] = [
  spanCase("span: create, 8 attributes, end", "parentbased_always_on"),
  spanCase("span: unsampled", "always_off"),
];
