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

/** Gives what is to be called in place of a method. */
export type Wrapper = (original: AnyFunction) => AnyFunction;
type AnyFunction = (...args: any[]) => any;

/** What a recorded call needs, and a library that loads does not. */
export interface KitRecording {
  readonly capture: Capture;
  readonly userPropagation: UserPropagation;
}

/** What an instrumentation is given when its library loads. */
export class Kit {
  readonly options: InstrumentationOptions;
  readonly owner: Instrumented;
  readonly tracing: Tracing;
  private readonly record: () => KitRecording;
  private recording: KitRecording | undefined = undefined;
  private carries: boolean | undefined = undefined;

  constructor(name: string, tracing: Tracing, options: InstrumentationOptions, record: () => KitRecording) {
    this.owner = new Instrumented(name);
    this.tracing = tracing;
    this.options = options;
    this.record = record;
  }

  /** For calls, not for the patching: a library that is loaded may never be used. */
  get capture(): Capture {
    return (this.recording ??= this.record()).capture;
  }

  /** Whether context is written anywhere: there may be no propagator. For calls, as `capture` is. */
  get carriesContext(): boolean {
    return (this.carries ??= this.tracing.propagator.fields().length > 0);
  }

  /** Ties an operation to this instrumentation; once, when the library loads. For `beginOperation` and `traceOperation`. */
  bind<Result, State>(operation: Operation<Result, State>): BoundOperation<Result, State> {
    return new KitOperation(this, operation);
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
  wrap(target: any, method: string, wrapper: Wrapper): void {
    const descriptor = findDescriptor(target, method);
    const original = descriptor?.value;
    if (typeof original !== "function" || kOriginal in original) return;
    Object.defineProperty(target, method, { ...descriptor, value: disguise(wrapper(original), original) });
  }

  /**
   * The same for several methods, whose wrappers are made with the first call of one of them, and then take their place: an
   * application that starts has no time for the code of what it may never use.
   */
  wrapLater<Method extends string>(
    target: any,
    methods: readonly Method[],
    create: () => Readonly<Record<Method, Wrapper>>,
  ): void {
    let wrappers: Readonly<Record<Method, Wrapper>> | undefined;
    for (const method of methods) {
      this.wrap(target, method, (original) => {
        let wrapped: AnyFunction | undefined;
        const make = (): AnyFunction => {
          try {
            wrappers ??= create();
            const made = disguise(wrappers[method](original), original);
            // Unless somebody else has patched it since.
            const descriptor = Object.getOwnPropertyDescriptor(target, method);
            if (descriptor?.value?.[kOriginal] === original)
              Object.defineProperty(target, method, { ...descriptor, value: made });
            return made;
          } catch (error) {
            this.owner.disable(`the first ${method}`, error);
            return original;
          }
        };
        return function (this: unknown): unknown {
          wrapped ??= make();
          return Reflect.apply(wrapped, this, arguments);
        };
      });
    }
  }

  /** Sends `context` with a request to `host` (a name or address, no port): `user.id` only where it may go. */
  inject<Carrier>(
    context: TraceContext,
    carrier: Carrier,
    setter: TextMapSetter<Carrier>,
    host: string | undefined,
  ): void {
    const { userPropagation } = (this.recording ??= this.record());
    this.tracing.propagator.inject(userPropagation.apply(context, host), carrier, setter);
  }

  /** `base` with the remote parent and baggage that came along in `carrier`. */
  extract<Carrier>(base: TraceContext, carrier: Carrier, getter: TextMapGetter<Carrier>): TraceContext {
    return TraceContext.from(this.tracing.propagator.extract(base, carrier, getter));
  }
}

class KitOperation<Result, State> implements BoundOperation<Result, State> {
  readonly operation: Operation<Result, State>;
  readonly owner: Instrumented;
  readonly tracing: Tracing;
  private readonly kit: Kit;

  constructor(kit: Kit, operation: Operation<Result, State>) {
    this.operation = operation;
    this.owner = kit.owner;
    this.tracing = kit.tracing;
    this.kit = kit;
  }

  get capture(): Capture {
    return this.kit.capture;
  }
}

/** `wrapped`, which nobody can tell from `original`, but for us. */
function disguise(wrapped: AnyFunction, original: AnyFunction): AnyFunction {
  sameShape(wrapped, original);
  Object.setPrototypeOf(wrapped, Object.getPrototypeOf(original));
  for (const key of Reflect.ownKeys(original)) {
    if (key === "length" || key === "name" || key === "prototype") continue;
    Object.defineProperty(wrapped, key, Object.getOwnPropertyDescriptor(original, key) as PropertyDescriptor);
  }
  return Object.defineProperty(wrapped, kOriginal, { value: original });
}

function findDescriptor(target: any, method: string): PropertyDescriptor | undefined {
  for (let object = target; object !== null && object !== undefined; object = Object.getPrototypeOf(object)) {
    const descriptor = Object.getOwnPropertyDescriptor(object, method);
    if (descriptor !== undefined) return descriptor;
  }
  return undefined;
}
