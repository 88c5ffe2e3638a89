import type {
  Attributes,
  AttributeValue,
  Context,
  ContextManager,
  Exception,
  Link,
  MeterProvider,
  Span as ApiSpan,
  SpanContext,
  SpanKind,
  SpanStatus,
  TimeInput,
  Tracer,
  TracerProvider,
} from "@opentelemetry/api";
import { context, propagation, trace } from "@opentelemetry/api";
import { version } from "../package.json";
import { registry } from "../instrumentations/registry.ts";
import { Capture } from "./capture/capture.ts";
import { fromProcess, type TracekitOptions } from "./config/config.ts";
import { createKits, type InstrumentationSource, type Kits } from "./instrumentation/kits.ts";
import type { OperationSpan } from "./instrumentation/operation.ts";
import type { Tracing } from "./instrumentation/tracing.ts";
import { UserPropagation } from "./instrumentation/user-propagation.ts";
import { Loader } from "./loader/loader.ts";
import { ERROR_TYPE } from "./semconv/attributes.ts";
import type { AttributeBlock, LateAttribute } from "./trace/attributes.ts";
import { TraceContext } from "./trace/context.ts";
import { STATUS_ERROR } from "./trace/span.ts";

/** What `registerInstrumentations` and `NodeSDK` take. Source: `@opentelemetry/instrumentation`, `Instrumentation`. */
export interface OtelInstrumentation {
  readonly instrumentationName: string;
  readonly instrumentationVersion: string;
  enable(): void;
  disable(): void;
  setTracerProvider(provider: TracerProvider): void;
  setMeterProvider(provider: MeterProvider): void;
  setConfig(config: Readonly<Record<string, unknown>>): void;
  getConfig(): Readonly<Record<string, unknown>>;
}

/**
 * Our instrumentations for somebody else's SDK: one object a library, each tracing from the moment it is made, as
 * OpenTelemetry's own do. Call this before the libraries are loaded. Capture and redaction follow the TRACEKIT_* variables.
 */
export function createInstrumentations(options: TracekitOptions = {}): OtelInstrumentation[] {
  const config = fromProcess(options);
  const capture = new Capture(config.capture);
  const recording = { capture, userPropagation: new UserPropagation(config.userPropagation) };
  return registry.map(
    (source) =>
      new LibraryInstrumentation(
        source,
        (tracing) =>
          createKits(
            [source],
            config.instrumentations,
            config,
            () => tracing,
            () => recording,
          ),
        capture,
      ),
  );
}

class LibraryInstrumentation implements OtelInstrumentation {
  readonly instrumentationName: string;
  readonly instrumentationVersion: string = version;
  private readonly tracing: ForeignTracing;
  private readonly kits: Kits;
  private started = false;
  private config: Readonly<Record<string, unknown>> = {};

  constructor(source: InstrumentationSource, createOwnKits: (tracing: Tracing) => Kits, capture: Capture) {
    this.instrumentationName = `@tracekit/auto/${source.name}`;
    this.tracing = new ForeignTracing(this.instrumentationName, capture);
    this.kits = createOwnKits(this.tracing);
    this.enable();
  }

  enable(): void {
    if (this.started) return this.kits.enable();
    this.started = true;
    new Loader(this.kits.targets).install();
    this.kits.start();
  }
  disable(): void {
    this.kits.disable();
  }
  setTracerProvider(provider: TracerProvider): void {
    this.tracing.tracer = provider.getTracer(this.instrumentationName, this.instrumentationVersion);
  }
  setMeterProvider(): void {}
  setConfig(config: Readonly<Record<string, unknown>>): void {
    this.config = config;
  }
  getConfig(): Readonly<Record<string, unknown>> {
    return this.config;
  }
}

/** Another SDK, through the API it has registered itself with. */
class ForeignTracing implements Tracing {
  readonly propagator = propagation;
  tracer: Tracer;
  private readonly capture: Capture;

  constructor(scope: string, capture: Capture) {
    this.tracer = trace.getTracer(scope, version);
    this.capture = capture;
  }

  active(): TraceContext {
    return TraceContext.from(context.active());
  }
  /** Another SDK's sampler is asked when a span starts, and not before. */
  declines(): boolean {
    return false;
  }
  start(kind: SpanKind, name: string, parent: TraceContext, startMillis: number): OperationSpan {
    return new ForeignSpan(this.tracer.startSpan(name, { kind, startTime: startMillis }, parent), name, this.capture);
  }
  run<A extends any[], R>(active: TraceContext, fn: (...args: A) => R, self: unknown, args: A): R {
    return context.with(active, fn as (...args: A) => R, self as undefined, ...args);
  }
  /** The API has no way to enter a context; OpenTelemetry's AsyncLocalStorage manager keeps its storage in this field. */
  enter(active: TraceContext): void {
    const manager = (context as unknown as { _getContextManager?(): ContextManager })._getContextManager?.();
    const { _asyncLocalStorage } = (manager ?? {}) as { _asyncLocalStorage?: { enterWith(context: Context): void } };
    _asyncLocalStorage?.enterWith(active);
  }
}

/** Another SDK's span as our instrumentations write it; to everybody else it is that span. */
class ForeignSpan implements OperationSpan, ApiSpan {
  private readonly span: ApiSpan;
  private readonly capture: Capture;
  private lastName: string;

  constructor(span: ApiSpan, name: string, capture: Capture) {
    this.span = span;
    this.lastName = name;
    this.capture = capture;
  }

  /** The API lets a name be written, not read. */
  get name(): string {
    return this.lastName;
  }
  set name(name: string) {
    this.lastName = name;
    this.span.updateName(name);
  }
  attribute(key: string, value: AttributeValue): void {
    this.span.setAttribute(key, value);
  }
  attributeLater(attribute: LateAttribute): void {
    const value = attribute.read();
    if (value !== undefined) this.span.setAttribute(attribute.key, value);
  }
  attributeBlock(block: AttributeBlock): void {
    block.keys.forEach((key, index) => this.span.setAttribute(key, block.values[index] as AttributeValue));
  }
  fail(type: string, message?: string): void {
    this.span.setAttribute(ERROR_TYPE, type);
    this.span.setStatus(
      message === undefined ? { code: STATUS_ERROR } : { code: STATUS_ERROR, message: this.capture.error(message) },
    );
  }
  link(linked: SpanContext): void {
    this.span.addLink?.({ context: linked });
  }
  spanContext(): SpanContext {
    return this.span.spanContext();
  }
  isRecording(): boolean {
    return this.span.isRecording();
  }
  setAttribute(key: string, value: AttributeValue): this {
    this.span.setAttribute(key, value);
    return this;
  }
  setAttributes(attributes: Attributes): this {
    this.span.setAttributes(attributes);
    return this;
  }
  addEvent(name: string, attributesOrTime?: Attributes | TimeInput, time?: TimeInput): this {
    this.span.addEvent(name, attributesOrTime, time);
    return this;
  }
  addLink(link: Link): this {
    this.span.addLink(link);
    return this;
  }
  addLinks(links: Link[]): this {
    this.span.addLinks(links);
    return this;
  }
  setStatus(status: SpanStatus): this {
    this.span.setStatus(status);
    return this;
  }
  updateName(name: string): this {
    this.name = name;
    return this;
  }
  recordException(exception: Exception, time?: TimeInput): void {
    if (!(exception instanceof Error)) return this.span.recordException(exception, time);
    const { name, message, stack } = exception;
    const redacted = { name, message: this.capture.error(message) };
    this.span.recordException(stack === undefined ? redacted : { ...redacted, stack: this.capture.error(stack) }, time);
  }
  end(endTime?: TimeInput): void {
    this.span.end(endTime);
  }
}
