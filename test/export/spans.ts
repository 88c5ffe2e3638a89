import { resourceFromAttributes } from "@opentelemetry/resources";
import type { SpanLimits } from "../../src/trace/attributes.ts";
import type { InstrumentationScope, SpanPipeline, SpanSink } from "../../src/trace/pipeline.ts";
import { createSampler } from "../../src/trace/sampler.ts";
import { Span, type SpanIdentity } from "../../src/trace/span.ts";

export const RESOURCE: Record<string, string | number | string[]> = {
  "service.name": "shop",
  "process.pid": 7,
  "process.command_args": ["node", "app.js"],
};

export const DEFAULT_LIMITS: SpanLimits = {
  attributeCountLimit: 128,
  attributeValueLengthLimit: Infinity,
  eventCountLimit: 128,
  linkCountLimit: 128,
  attributePerEventCountLimit: 128,
  attributePerLinkCountLimit: 128,
};

/** A pipeline that changes nothing on the way: no sampling, no redaction. */
export function createPipeline(sink: SpanSink, limits: Partial<SpanLimits> = {}): SpanPipeline {
  return {
    sampler: createSampler("always_on", 1),
    limits: { ...DEFAULT_LIMITS, ...limits },
    redactor: { attribute: (_key, value) => value, error: (message) => message },
    sink,
    resource: resourceFromAttributes(RESOURCE),
  };
}

export const NOWHERE: SpanSink = { observesStart: false, onStart() {}, onEnd() {} };

export const SCOPE: InstrumentationScope = { name: "test", version: "1.2.3" };

/** An open span, of which nothing is set but its name. */
export function createSpan(
  name: string,
  {
    sink = NOWHERE,
    scope = SCOPE,
    parent,
  }: { sink?: SpanSink; scope?: InstrumentationScope; parent?: SpanIdentity } = {},
): Span {
  return new Span(createPipeline(sink), scope, parent, 0, name, performance.now());
}
