import type { Span as ApiSpan } from "@opentelemetry/api";
import type { Capture } from "../capture/capture.ts";
import type { AttributeBlock } from "../trace/attributes.ts";
import { now } from "../trace/clock.ts";
import type { TraceContext } from "../trace/context.ts";
import type { DeferredSpan } from "../trace/pipeline.ts";
import { RequestScope } from "../trace/request-scope.ts";
import { KIND_CONSUMER, KIND_SERVER } from "../trace/span-kind.ts";
import type { Span } from "../trace/span.ts";
import { errorMessage, errorType } from "./errors.ts";
import { type Deferral, NOT_DEFERRED, type Operation, type OperationSpan } from "./operation.ts";
import type { Instrumented } from "./safely.ts";
import type { Deferring, Tracing } from "./tracing.ts";

type AnyFunction = (...args: any[]) => unknown;

/** An operation together with the tracing it reports to: one object for all its calls. */
export interface BoundOperation<Result = any, State = any> {
  readonly operation: Operation<Result, State>;
  readonly owner: Instrumented;
  readonly tracing: Tracing;
  readonly capture: Capture;
}

/** One traced call, from its start to the one time it settles. */
export class OperationCall<State = any> implements DeferredSpan {
  /** The library's object the method was called on. */
  readonly self: any;
  /** A copy of the arguments, ours to change: the library gets these. */
  readonly args: any[];
  /** The context of whoever made the call. */
  readonly caller: TraceContext;
  /** The caller's context with this call's span in it. */
  context: TraceContext;
  /** Undefined while a deferred call has none. */
  span: OperationSpan;
  /** On the clock of `trace/clock.ts`. */
  readonly startMillis: number;
  /** False for a request the sampler declined: its hooks do not run, its context still travels. */
  recording: boolean;
  /** For the description: what it learns at the start and needs at the end. */
  state: State;
  /** For the description: where the call goes, as of its start. */
  target: AttributeBlock | undefined;
  /** For the description: when the call was over (clock as above), if that was before it settles. */
  endMillis: number | undefined;
  /** Of a deferred call: who starts its span, the user at its start, and what `finish` gets. */
  private deferring: Deferring | undefined;
  private userBlock: AttributeBlock | undefined;
  private result: unknown;
  private text: string | undefined;
  private settled: boolean;
  private holds: number;
  private readonly bound: BoundOperation<any, State>;

  constructor(
    bound: BoundOperation<any, State>,
    self: unknown,
    args: any[],
    caller: TraceContext,
    state: State,
    startMillis: number,
  ) {
    this.bound = bound;
    this.self = self;
    this.args = args;
    this.caller = caller;
    this.context = caller;
    this.span = undefined as unknown as OperationSpan;
    this.startMillis = startMillis;
    this.recording = false;
    this.state = state;
    this.target = undefined;
    this.endMillis = undefined;
    this.deferring = undefined;
    this.userBlock = undefined;
    this.result = undefined;
    this.text = undefined;
    this.settled = false;
    this.holds = 0;
  }

  /** The call is over, and well. Only the first of `succeed` and `fail` counts. `text`: for `finish`, see there. */
  succeed(result?: unknown, text?: string): void {
    if (this.settled) return;
    this.settled = true;
    if (this.deferring !== undefined && this.endDeferred(this.deferring, result, text)) return;
    if (this.recording && this.bound.owner.enabled) this.finish(result, text);
    this.close();
  }

  /** The call is over, and failed with `error`: any value, undefined included. */
  fail(error: unknown): void {
    if (this.settled) return;
    this.settled = true;
    const { bound } = this;
    const { operation, owner } = bound;
    if (this.deferring !== undefined) this.startDeferred(this.deferring);
    if (this.recording && owner.enabled) {
      try {
        if (operation.fail !== undefined) operation.fail(this.span, error, this, bound.capture);
        else recordFailure(this.span, error);
      } catch (ours) {
        owner.disable(`${operation.title}, fail`, ours);
      }
    }
    this.close();
  }

  get isSettled(): boolean {
    return this.settled;
  }

  /** For `finish` and `fail`: the span stays open for what is found out about it later, and ends as of now. */
  hold(): void {
    this.holds++;
    this.endMillis ??= now();
  }

  /** Once for each `hold`, after it has returned. */
  release(): void {
    if (--this.holds === 0) this.span.end(this.endMillis);
  }

  /** Runs the application's own callback where the application made the call. */
  runInCaller<A extends unknown[]>(callback: (...args: A) => unknown, self: unknown, args: A): unknown {
    return this.bound.tracing.run(this.caller, callback, self, args);
  }

  /** True when the call is described later. */
  defer(deferring: Deferring): boolean {
    if (!(this.bound.operation.deferral as Deferral).atStart(this)) return false;
    this.deferring = deferring;
    this.userBlock = this.caller.request?.userBlock;
    this.recording = true;
    return true;
  }

  /** False when it cannot be deferred any longer: then it has its span. */
  private endDeferred(deferring: Deferring, result: unknown, text: string | undefined): boolean {
    const { operation, owner } = this.bound;
    let kept: unknown = NOT_DEFERRED;
    try {
      kept = (operation.deferral as Deferral).atEnd(this, result, text);
    } catch (error) {
      owner.disable(`${operation.title}, deferral`, error);
    }
    if (kept === NOT_DEFERRED) {
      this.startDeferred(deferring);
      return false;
    }
    this.endMillis = now();
    this.result = kept;
    this.text = text;
    deferring.endDeferred(this);
    return true;
  }

  /** The span of a deferred call that is over: for the sink. */
  toSpan(): Span {
    const span = this.startDeferred(this.deferring as Deferring);
    this.finish(this.result, this.text);
    span.close(this.endMillis as number);
    return span;
  }

  private startDeferred(deferring: Deferring): Span {
    const { operation, owner, capture } = this.bound;
    const { kind, title } = operation;
    const span = deferring.startDeferred(kind, title, this.caller, this.startMillis, this.userBlock);
    this.span = span;
    try {
      operation.start(span, this, capture);
    } catch (error) {
      owner.disable(`${title}, start`, error);
    }
    return span;
  }

  private finish(result: unknown, text: string | undefined): void {
    const { operation, owner, capture } = this.bound;
    if (operation.finish === undefined) return;
    try {
      operation.finish(this.span, result, this, capture, text);
    } catch (error) {
      owner.disable(`${operation.title}, finish`, error);
    }
  }

  private close(): void {
    if (this.holds === 0) this.span.end(this.endMillis);
    // Contexts live as long as whatever the request started; its span must not.
    const scope = this.context.request;
    if (scope !== undefined && scope.span === this.span) scope.span = undefined;
  }
}

/** `error.type`, status and exception event of an error of any shape. */
export function recordFailure(span: OperationSpan, error: unknown): void {
  span.fail(errorType(error), errorMessage(error));
  if (error !== undefined && error !== null) span.recordException(error as Error);
}

/**
 * Starts the span of a call whose end the instrumentation reports itself (`succeed`, `fail`): for channels and events.
 * Undefined when the call is not recorded; `inject` has then already sent the decision along. A server's or consumer's
 * call is returned either way, because its handler has to run in `call.context`.
 * `startMillis` (on the clock of `trace/clock.ts`, default now) lies in the past where only the outcome tells whether there
 * is anything to report.
 */
export function beginOperation<State>(
  bound: BoundOperation<any, State>,
  self: unknown,
  args: any[],
  state?: State,
  caller: TraceContext = bound.tracing.active(),
  startMillis: number = now(),
): OperationCall<State> | undefined {
  const { operation, owner, tracing } = bound;
  if (!owner.enabled || caller.suppressed) return undefined;
  const deferring = operation.deferral === undefined ? undefined : tracing.deferring?.(caller);
  if (deferring === undefined && operation.leaf && operation.inject === undefined && tracing.declines(caller)) {
    return undefined;
  }
  try {
    const call = new OperationCall<State>(bound, self, args, caller, state as State, startMillis);
    if (operation.skip?.(call) === true) return undefined;
    if (deferring !== undefined && call.defer(deferring)) return call;
    const parent = operation.parent === undefined ? caller : operation.parent(call);
    const span = tracing.start(operation.kind, operation.title, parent, call.startMillis);
    const isEntry = operation.kind === KIND_SERVER || operation.kind === KIND_CONSUMER;
    call.span = span;
    call.recording = span.isRecording();
    if (isEntry) {
      const scope = new RequestScope(call.recording ? span : undefined);
      scope.adoptUser(parent.baggage);
      call.context = parent.withRequest(span as unknown as ApiSpan, scope);
    } else if (!operation.leaf || operation.inject !== undefined) {
      call.context = parent.withSpan(span as unknown as ApiSpan);
    }
    if (call.recording) operation.start(span, call, bound.capture);
    if (operation.inject !== undefined) operation.inject(call);
    return call.recording || isEntry ? call : undefined;
  } catch (error) {
    owner.disable(`${operation.title}, start`, error);
    return undefined;
  }
}

/**
 * Calls `original` once, with its own `this`, and gives the application what it would have got; around it, one span that
 * ends exactly once however the call ends.
 */
export function traceOperation<State>(
  bound: BoundOperation<any, State>,
  original: AnyFunction,
  self: unknown,
  args: any[],
  state?: State,
): unknown {
  const call = beginOperation(bound, self, args, state);
  if (call === undefined) return Reflect.apply(original, self, args);
  const { operation, owner, tracing } = bound;
  const { settles } = operation;
  let attached = false;
  if (settles?.before !== undefined) {
    try {
      attached = settles.before(call);
    } catch (error) {
      owner.disable(`${operation.title}, settlement`, error);
    }
  }
  let returned: unknown;
  try {
    returned = operation.leaf ? Reflect.apply(original, self, args) : tracing.run(call.context, original, self, args);
  } catch (error) {
    call.fail(error);
    throw error;
  }
  if (attached || call.isSettled) return returned;
  if (settles?.after === undefined) {
    call.succeed(returned);
    return returned;
  }
  try {
    return settles.after(call, returned);
  } catch (error) {
    owner.disable(`${operation.title}, settlement`, error);
    call.succeed();
    return returned;
  }
}
