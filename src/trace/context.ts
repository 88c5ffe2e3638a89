import type { Baggage, Context, ContextManager, Span as ApiSpan } from "@opentelemetry/api";
import { AsyncLocalStorage } from "node:async_hooks";
import type { RequestScope } from "./request-scope.ts";

/** The API's own context keys: `createContextKey` is `Symbol.for`, so every copy of the API, 1.9 or 1.10, has the same. */
const SPAN_KEY = Symbol.for("OpenTelemetry Context Key SPAN");
const BAGGAGE_KEY = Symbol.for("OpenTelemetry Baggage Key");
const SUPPRESS_TRACING_KEY = Symbol.for("OpenTelemetry SDK Context Key SUPPRESS_TRACING");

/**
 * The active context: what the AsyncLocalStorage holds. The three values every operation asks for are fields, so that
 * starting a span reads no map; anything else the API stores sits in `others`. Immutable.
 */
export class TraceContext implements Context {
  /** The active span; possibly another implementation's, when the application put it there. */
  readonly span: ApiSpan | undefined;
  readonly baggage: Baggage | undefined;
  readonly suppressed: boolean;
  /** What is known about the request this work belongs to. */
  readonly request: RequestScope | undefined;
  private readonly others: ReadonlyMap<symbol, unknown> | undefined;
  private readonly foreign: Context | undefined;

  constructor(
    span: ApiSpan | undefined,
    baggage: Baggage | undefined,
    suppressed: boolean,
    request: RequestScope | undefined,
    others?: ReadonlyMap<symbol, unknown>,
    foreign?: Context,
  ) {
    this.span = span;
    this.baggage = baggage;
    this.suppressed = suppressed;
    this.request = request;
    this.others = others;
    this.foreign = foreign;
  }

  /** Any context as ours: one made from another copy's `ROOT_CONTEXT` keeps its values and is asked for the rest. */
  static from(context: Context): TraceContext {
    if (context instanceof TraceContext) return context;
    return new TraceContext(
      context.getValue(SPAN_KEY) as ApiSpan | undefined,
      context.getValue(BAGGAGE_KEY) as Baggage | undefined,
      context.getValue(SUPPRESS_TRACING_KEY) === true,
      undefined,
      undefined,
      context,
    );
  }

  withSpan(span: ApiSpan | undefined): TraceContext {
    return new TraceContext(span, this.baggage, this.suppressed, this.request, this.others, this.foreign);
  }

  withBaggage(baggage: Baggage | undefined): TraceContext {
    return new TraceContext(this.span, baggage, this.suppressed, this.request, this.others, this.foreign);
  }

  /** The same, in which nothing is traced. */
  suppress(): TraceContext {
    return new TraceContext(this.span, this.baggage, true, this.request, this.others, this.foreign);
  }

  /** The context a request is handled in. */
  withRequest(span: ApiSpan, request: RequestScope): TraceContext {
    return new TraceContext(span, this.baggage, this.suppressed, request, this.others, this.foreign);
  }

  getValue(key: symbol): unknown {
    if (key === SPAN_KEY) return this.span;
    if (key === BAGGAGE_KEY) return this.baggage;
    if (key === SUPPRESS_TRACING_KEY) return this.suppressed || undefined;
    if (this.others?.has(key) === true) return this.others.get(key);
    return this.foreign?.getValue(key);
  }

  setValue(key: symbol, value: unknown): TraceContext {
    if (key === SPAN_KEY) return this.withSpan(value as ApiSpan);
    if (key === BAGGAGE_KEY) return this.withBaggage(value as Baggage | undefined);
    const { span, baggage, suppressed, request, others, foreign } = this;
    if (key === SUPPRESS_TRACING_KEY) {
      return new TraceContext(span, baggage, value === true, request, others, foreign);
    }
    return new TraceContext(span, baggage, suppressed, request, new Map(others).set(key, value), foreign);
  }

  deleteValue(key: symbol): TraceContext {
    return this.setValue(key, undefined);
  }
}

export const ROOT_CONTEXT: TraceContext = new TraceContext(undefined, undefined, false, undefined);

const storage = new AsyncLocalStorage<TraceContext>();

/** The context of the code that is running now. */
export function activeContext(): TraceContext {
  return storage.getStore() ?? ROOT_CONTEXT;
}

/** Runs `fn` inside `context`; returns or throws what it does. */
export function runInContext<A extends unknown[], R>(
  context: TraceContext,
  fn: (...args: A) => R,
  self: unknown,
  args: A,
): R {
  // Entering it anew copies the map of all stores on Node 24 and later: ten times what asking takes.
  if (storage.getStore() === context) return Reflect.apply(fn, self, args);
  return storage.run(context, Reflect.apply, fn, self, args);
}

/**
 * Makes `context` the active one for the rest of this synchronous execution and all it starts. Only where a request begins
 * and nothing of ours surrounds the handler: the frame keeps the context alive, so what it holds must let go at its end.
 */
export function enterContext(context: TraceContext): void {
  storage.enterWith(context);
}

/** `context` as the API's context manager (OpenTelemetry API 1.x `ContextManager`). */
export const contextManager: ContextManager = {
  active: activeContext,
  with(context, fn, thisArg, ...args) {
    return storage.run(TraceContext.from(context), Reflect.apply, fn, thisArg, args);
  },
  bind(context, target) {
    if (typeof target !== "function") return target;
    const bound = TraceContext.from(context);
    const original = target as (...args: unknown[]) => unknown;
    const wrapper = function (this: unknown, ...args: unknown[]): unknown {
      return storage.run(bound, Reflect.apply, original, this, args);
    };
    Object.defineProperty(wrapper, "length", { value: original.length, configurable: true });
    return wrapper as typeof target;
  },
  enable() {
    return contextManager;
  },
  disable() {
    storage.disable();
    return contextManager;
  },
};
