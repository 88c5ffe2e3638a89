import type { TextMapGetter, TextMapSetter } from "@opentelemetry/api";
import type { Capture } from "../capture/capture.ts";
import { TraceContext } from "../trace/context.ts";
import type { Operation } from "./operation.ts";
import { Instrumented } from "./safely.ts";
import { sameShape } from "./settlement.ts";
import { type BoundOperation, traceOperation } from "./trace-operation.ts";
import type { Tracing } from "./tracing.ts";
import type { UserPropagation } from "./user-propagation.ts";

/** Settings an instrumentation may ask for. */
export interface InstrumentationOptions {
  /** How a consumed message continues its publisher's trace: as a child with a link, or as a new trace with a link. */
  readonly messagingContext: "parent" | "link";
  /** Request methods that may be a span's name (OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS). */
  readonly httpKnownMethods: ReadonlySet<string>;
  /** Whether companion messages carry context beside Redis pub/sub messages. */
  readonly redisPubSubContext: boolean;
  /** Whether a field of ours carries context in the entries of Redis streams. */
  readonly redisStreamContext: boolean;
}

const kOriginal = Symbol.for("tracekit.original");

/** What an instrumentation is given when its library loads. */
export class Kit {
  readonly capture: Capture;
  readonly options: InstrumentationOptions;
  readonly owner: Instrumented;
  readonly tracing: Tracing;
  private readonly userPropagation: UserPropagation;

  constructor(
    name: string,
    tracing: Tracing,
    capture: Capture,
    options: InstrumentationOptions,
    userPropagation: UserPropagation,
  ) {
    this.owner = new Instrumented(name);
    this.tracing = tracing;
    this.capture = capture;
    this.options = options;
    this.userPropagation = userPropagation;
  }

  /** Ties an operation to this instrumentation; once, when the library loads. For `beginOperation` and `traceOperation`. */
  bind<Result, State>(operation: Operation<Result, State>): BoundOperation<Result, State> {
    return { operation, owner: this.owner, tracing: this.tracing, capture: this.capture };
  }

  /** Traces every call of `target[method]`. Nothing happens when there is no such method, or it is traced already. */
  trace(target: any, method: string, operation: Operation): void {
    const bound = this.bind(operation);
    this.wrap(
      target,
      method,
      (original) =>
        function (this: unknown, ...args: any[]): unknown {
          return traceOperation(bound, original, this, args);
        },
    );
  }

  /**
   * Replaces `target[method]` by `wrapper(original)` in place, with the original's name, arity, own properties and
   * descriptor. The wrapper must call the original exactly once whatever happens in our code.
   */
  wrap(target: any, method: string, wrapper: (original: (...args: any[]) => any) => (...args: any[]) => any): void {
    const descriptor = findDescriptor(target, method);
    const original = descriptor?.value;
    if (typeof original !== "function" || kOriginal in original) return;
    const wrapped = sameShape(wrapper(original), original);
    Object.setPrototypeOf(wrapped, Object.getPrototypeOf(original));
    for (const key of Reflect.ownKeys(original)) {
      if (key === "length" || key === "name" || key === "prototype") continue;
      Object.defineProperty(wrapped, key, Object.getOwnPropertyDescriptor(original, key) as PropertyDescriptor);
    }
    Object.defineProperty(wrapped, kOriginal, { value: original });
    Object.defineProperty(target, method, { ...descriptor, value: wrapped });
  }

  /** Sends `context` with a request to `host` (a name or address, no port): `user.id` only where it may go. */
  inject<Carrier>(
    context: TraceContext,
    carrier: Carrier,
    setter: TextMapSetter<Carrier>,
    host: string | undefined,
  ): void {
    this.tracing.propagator.inject(this.userPropagation.apply(context, host), carrier, setter);
  }

  /** `base` with the remote parent and baggage that came along in `carrier`. */
  extract<Carrier>(base: TraceContext, carrier: Carrier, getter: TextMapGetter<Carrier>): TraceContext {
    return TraceContext.from(this.tracing.propagator.extract(base, carrier, getter));
  }
}

function findDescriptor(target: any, method: string): PropertyDescriptor | undefined {
  for (let object = target; object !== null && object !== undefined; object = Object.getPrototypeOf(object)) {
    const descriptor = Object.getOwnPropertyDescriptor(object, method);
    if (descriptor !== undefined) return descriptor;
  }
  return undefined;
}
