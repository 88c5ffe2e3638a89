import type { Attributes, AttributeValue, Exception, SpanContext, SpanKind } from "@opentelemetry/api";
import type { Capture } from "../capture/capture.ts";
import type { AttributeBlock, LateAttribute } from "../trace/attributes.ts";
import type { TraceContext } from "../trace/context.ts";
import type { OperationCall } from "./trace-operation.ts";

/** The span as an instrumentation sees it: it describes, and never starts or ends. */
export interface OperationSpan {
  /** Low cardinality. */
  name: string;
  /** Adds an attribute the span does not have yet. Strings come from `capture`, already redacted and cut. */
  attribute(key: string, value: AttributeValue): void;
  /**
   * Adds an attribute whose value takes long to work out. Where nobody looks at spans before they are encoded it is worked
   * out then, for many spans one after another, as deferred calls are.
   */
  attributeLater(attribute: LateAttribute): void;
  /** Adds attributes that many spans share, encoded once; up to three blocks a span are free. */
  attributeBlock(block: AttributeBlock): void;
  /** Replaces an attribute that may be there already; slower than `attribute`. */
  setAttribute(key: string, value: AttributeValue): unknown;
  /** Status ERROR and `error.type` (low cardinality: SQLSTATE, status code, error class). The message is redacted. */
  fail(type: string, message?: string): void;
  /** Adds the `exception` event; message and stack are redacted. */
  recordException(exception: Exception): void;
  addEvent(name: string, attributes?: Attributes): unknown;
  link(context: SpanContext): void;
  spanContext(): SpanContext;
  isRecording(): boolean;
  /** `endMillis` on the clock of `trace/clock.ts`; default now. */
  end(endMillis?: number): void;
}

/**
 * What one kind of call means: which span it is, what its result adds, and how anyone can tell that it is over.
 * A constant of the module: hooks get the call as an argument and keep nothing between calls.
 */
export interface Operation<Result = any, State = any> {
  /** For our own log: "pg Client.query". */
  readonly title: string;
  readonly kind: SpanKind;
  /** A leaf has no child spans, so its context is not entered: the dearest step of a span is saved. */
  readonly leaf: boolean;
  /** Which calls not to trace. Asked before anything is built. */
  skip?(call: OperationCall<State>): boolean;
  /** The context the span continues, for operations that begin a request here (server, consumer). Default: the caller's. */
  parent?(call: OperationCall<State>): TraceContext;
  /** Name and attributes. Runs only for recorded calls, before the library's function unless the call is deferred. */
  start(span: OperationSpan, call: OperationCall<State>, capture: Capture): void;
  /** Sends `call.context` along with the call. Runs for unrecorded calls too: their decision travels. */
  inject?(call: OperationCall<State>): void;
  /** What the result adds. `text`: what the application gets for a result that is bytes, where that is known. */
  finish?(span: OperationSpan, result: Result, call: OperationCall<State>, capture: Capture, text?: string): void;
  /** What a failure adds. Default: `error.type` from the error's code or class, its message, and the exception event. */
  fail?(span: OperationSpan, error: unknown, call: OperationCall<State>, capture: Capture): void;
  /** For a leaf without `inject` and `parent`: which of its calls are described later. */
  readonly deferral?: Deferral<Result, State>;
  /** How the call's end is seen; see `settlement.ts`. Undefined when the instrumentation settles the call itself. */
  readonly settles?: Settlement;
}

/**
 * Between two calls of an application the processor's caches lose the code that describes them. A deferred call is no span
 * until the exporter wants to encode it: then `start` and `finish` run, for many calls one after another (`benchmarks/`).
 */
export interface Deferral<Result = any, State = any> {
  /**
   * Asked when the call begins. True when all that `start` is going to read is small and stays as it is: what does not is to
   * be kept in `call.target` or `call.state`.
   */
  atStart(call: OperationCall<State>): boolean;
  /** Asked when it has ended well: what `finish` gets for the result, small and constant as well, or `NOT_DEFERRED`. */
  atEnd(call: OperationCall<State>, result: Result, text?: string): unknown;
}

/** What `Deferral.atEnd` gives for a call that has to be described at once. */
export const NOT_DEFERRED: unique symbol = Symbol("not deferred");

/**
 * One way a library says that a call is over. Both steps run inside `safely`; what they wrap must behave, for the
 * application, exactly like the original.
 */
export interface Settlement {
  /** Before the library's function: may replace items of `call.args`. True when the end will be seen from here. */
  before?(call: OperationCall): boolean;
  /** With what the function returned: gives what the application gets. Not asked when `before` said true. */
  after?(call: OperationCall, returned: unknown): unknown;
}
