import type {
  Context,
  Span as ApiSpan,
  SpanKind,
  SpanOptions,
  Tracer as ApiTracer,
  TracerProvider as ApiTracerProvider,
} from "@opentelemetry/api";
import type { AttributeBlock } from "./attributes.ts";
import { fromTimeInput, now } from "./clock.ts";
import { activeContext, runInContext, TraceContext } from "./context.ts";
import { randomWord } from "./ids.ts";
import type { DeferredSpan, InstrumentationScope, SpanPipeline } from "./pipeline.ts";
import { KIND_INTERNAL } from "./span-kind.ts";
import { FLAG_RANDOM, PropagatedSpan, Span, type SpanIdentity } from "./span.ts";

/** Starts spans of one instrumentation scope: for our instrumentations directly, for everybody else as the API's `Tracer`. */
export class Tracer implements ApiTracer {
  private readonly pipeline: SpanPipeline;
  private readonly scope: InstrumentationScope;

  constructor(pipeline: SpanPipeline, scope: InstrumentationScope) {
    this.pipeline = pipeline;
    this.scope = scope;
  }

  /**
   * A span below `parent`, or what carries its ids when the sampler declines it. The decision is made first: a declined
   * span costs its ids, and under a declined parent nothing at all (the parent itself is returned).
   * `startMillis` is a reading of `clock.ts`.
   */
  start(kind: SpanKind, name: string, parent: TraceContext, startMillis: number = now()): Span | PropagatedSpan {
    const { sampler } = this.pipeline;
    let identity = identityOf(parent.span);
    if (identity !== undefined) {
      if (parent.suppressed || !sampler.sampleChild(identity)) return propagate(identity);
    } else if (parent.suppressed || !sampler.alwaysSamplesRoot) {
      identity = new PropagatedSpan(
        randomWord(),
        randomWord(),
        randomWord(),
        randomWord(),
        0,
        0,
        FLAG_RANDOM,
        undefined,
        false,
      );
      const { traceWord0, traceWord1, traceWord2, traceWord3 } = identity;
      if (parent.suppressed || !sampler.sampleRoot(traceWord0, traceWord1, traceWord2, traceWord3))
        return propagate(identity);
    }
    const span = new Span(this.pipeline, this.scope, identity, kind, name, startMillis);
    const userBlock = parent.request?.userBlock;
    if (userBlock !== undefined) span.attributeBlock(userBlock);
    if (this.pipeline.sink.observesStart) this.pipeline.sink.onStart(span, parent);
    return span;
  }

  /** True when a span below `parent` is certain not to be recorded: asked before anything is built for one. */
  declines(parent: TraceContext): boolean {
    const { span } = parent;
    if (span === undefined) return this.pipeline.sampler.neverSamplesRoot;
    return span instanceof PropagatedSpan && !this.pipeline.sampler.sampleChild(span);
  }

  /**
   * True when a span below `parent` is certain to be recorded, and nobody sees it before it is encoded: it need not be started
   * before then (`startDeferred`), as long as the sink is told what has ended (`endDeferred`).
   */
  defers(parent: TraceContext): boolean {
    const { sampler, sink } = this.pipeline;
    const { span } = parent;
    return sink.onDeferredEnd !== undefined && span instanceof Span && sampler.sampleChild(span);
  }

  endDeferred(ended: DeferredSpan): void {
    this.pipeline.sink.onDeferredEnd?.(ended);
  }

  /** As `start`, where `defers` was true. `userBlock` is the one the request had at `startMillis`. */
  startDeferred(
    kind: SpanKind,
    name: string,
    parent: TraceContext,
    startMillis: number,
    userBlock: AttributeBlock | undefined,
  ): Span {
    const span = new Span(this.pipeline, this.scope, parent.span as Span, kind, name, startMillis);
    if (userBlock !== undefined) span.attributeBlock(userBlock);
    return span;
  }

  startSpan(name: string, options: SpanOptions = {}, context: Context = activeContext()): ApiSpan {
    const active = TraceContext.from(context);
    const parent = options.root === true && active.span !== undefined ? active.withSpan(undefined) : active;
    const startMillis = options.startTime === undefined ? now() : fromTimeInput(options.startTime);
    const span = this.start(options.kind ?? KIND_INTERNAL, String(name), parent, startMillis);
    if (options.attributes !== undefined) span.setAttributes(options.attributes);
    if (options.links !== undefined) span.addLinks(options.links);
    return span;
  }

  startActiveSpan<F extends (span: ApiSpan) => unknown>(name: string, fn: F): ReturnType<F>;
  startActiveSpan<F extends (span: ApiSpan) => unknown>(name: string, options: SpanOptions, fn: F): ReturnType<F>;
  startActiveSpan<F extends (span: ApiSpan) => unknown>(
    name: string,
    options: SpanOptions,
    context: Context,
    fn: F,
  ): ReturnType<F>;
  startActiveSpan(name: string, ...rest: unknown[]): unknown {
    const fn = rest.pop() as (span: ApiSpan) => unknown;
    const [options, context] = rest as [SpanOptions?, Context?];
    const parent = TraceContext.from(context ?? activeContext());
    const span = this.startSpan(name, options, parent);
    return runInContext(parent.withSpan(span), fn, undefined, [span]);
  }
}

/** What a child needs of the span a context holds, whoever made it; undefined without a valid one. */
export function identityOf(span: ApiSpan | undefined): SpanIdentity | undefined {
  if (span === undefined || span instanceof Span || span instanceof PropagatedSpan) return span;
  const context = span.spanContext();
  return context === undefined ? undefined : PropagatedSpan.fromSpanContext(context);
}

/** Carries a declined trace onward: the same ids below a parent, fresh ones for a root, the sampled flag off. */
function propagate(identity: SpanIdentity): PropagatedSpan {
  if (
    identity instanceof PropagatedSpan &&
    !identity.isRemote &&
    (identity.flags & 1) === 0 &&
    identity.spanWord0 !== 0
  ) {
    return identity;
  }
  const { traceWord0, traceWord1, traceWord2, traceWord3, flags, traceState } = identity;
  const isRoot = (identity.spanWord0 | identity.spanWord1) === 0;
  return new PropagatedSpan(
    traceWord0,
    traceWord1,
    traceWord2,
    traceWord3,
    isRoot ? randomWord() : identity.spanWord0,
    isRoot ? randomWord() : identity.spanWord1,
    flags & ~1,
    traceState,
    false,
  );
}

/** One tracer a scope, made on demand and kept. */
export class TracerProvider implements ApiTracerProvider {
  private readonly pipeline: SpanPipeline;
  private readonly tracers = new Map<string, Tracer>();

  constructor(pipeline: SpanPipeline) {
    this.pipeline = pipeline;
  }

  getTracer(name: string, version?: string, options?: { schemaUrl?: string }): Tracer {
    const key = `${name}\u0000${version ?? ""}\u0000${options?.schemaUrl ?? ""}`;
    let tracer = this.tracers.get(key);
    if (tracer === undefined) {
      tracer = new Tracer(this.pipeline, { name, version, schemaUrl: options?.schemaUrl });
      // Names come from the application: past any sane number of them, tracers are made but not kept.
      if (this.tracers.size < 1000) this.tracers.set(key, tracer);
    }
    return tracer;
  }
}
