import type {
  Attributes,
  AttributeValue,
  Exception,
  HrTime,
  Link,
  Span as ApiSpan,
  SpanContext,
  SpanKind,
  SpanStatus,
  TimeInput,
} from "@opentelemetry/api";
import { ERROR_TYPE, EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE, EXCEPTION_TYPE } from "../semconv/attributes.ts";
import { diag } from "../diag/diag.ts";
import {
  type AttributeBlock,
  copyAttributes,
  isAttributeValue,
  type LateAttribute,
  limitValue,
  toAttributes,
} from "./attributes.ts";
import { fromTimeInput, now, toHrTime } from "./clock.ts";
import { hexToWord, randomWord, wordToHex } from "./ids.ts";
import type { InstrumentationScope, Redactor, SpanPipeline } from "./pipeline.ts";
import { TraceState } from "./trace-state.ts";

export const FLAG_SAMPLED = 1;
/** Level 2 of W3C trace context: the trace id's rightmost seven bytes are random. */
export const FLAG_RANDOM = 2;

/** What a child needs of its parent: ids as int32 words. */
export interface SpanIdentity {
  readonly traceWord0: number;
  readonly traceWord1: number;
  readonly traceWord2: number;
  readonly traceWord3: number;
  readonly spanWord0: number;
  readonly spanWord1: number;
  /** W3C trace flags, 8 bits. */
  readonly flags: number;
  readonly traceState: TraceState | undefined;
  readonly isRemote: boolean;
}

export interface SpanEvent {
  readonly name: string;
  /** On the clock of `clock.ts`. */
  readonly time: number;
  /** `[key, value, …]`. */
  readonly entries: ReadonlyArray<string | AttributeValue>;
  readonly droppedAttributesCount: number;
}

export interface SpanLink {
  readonly context: SpanContext;
  /** `[key, value, …]`. */
  readonly entries: ReadonlyArray<string | AttributeValue>;
  readonly droppedAttributesCount: number;
}

/** API values, spelled out: the API package is a type here and is never loaded by the default lane. */
export const STATUS_UNSET = 0;
export const STATUS_OK = 1;
export const STATUS_ERROR = 2;

const NO_ENTRIES: ReadonlyArray<string | AttributeValue> = [];
const hasOwn = Object.prototype.hasOwnProperty;

/** The API's form of an identity, with hex ids. */
export function identityToContext(identity: SpanIdentity): SpanContext {
  const { traceWord0, traceWord1, traceWord2, traceWord3, spanWord0, spanWord1, flags, traceState, isRemote } =
    identity;
  const context: SpanContext = {
    traceId: wordToHex(traceWord0) + wordToHex(traceWord1) + wordToHex(traceWord2) + wordToHex(traceWord3),
    spanId: wordToHex(spanWord0) + wordToHex(spanWord1),
    traceFlags: flags,
  };
  if (traceState !== undefined) context.traceState = traceState;
  if (isRemote) context.isRemote = true;
  return context;
}

/** A span that records nothing but carries the ids onward: a remote parent, or a local span the sampler declined. */
export class PropagatedSpan implements ApiSpan, SpanIdentity {
  readonly traceWord0: number;
  readonly traceWord1: number;
  readonly traceWord2: number;
  readonly traceWord3: number;
  readonly spanWord0: number;
  readonly spanWord1: number;
  readonly flags: number;
  readonly traceState: TraceState | undefined;
  readonly isRemote: boolean;

  constructor(
    traceWord0: number,
    traceWord1: number,
    traceWord2: number,
    traceWord3: number,
    spanWord0: number,
    spanWord1: number,
    flags: number,
    traceState: TraceState | undefined,
    isRemote: boolean,
  ) {
    this.traceWord0 = traceWord0;
    this.traceWord1 = traceWord1;
    this.traceWord2 = traceWord2;
    this.traceWord3 = traceWord3;
    this.spanWord0 = spanWord0;
    this.spanWord1 = spanWord1;
    this.flags = flags;
    this.traceState = traceState;
    this.isRemote = isRemote;
  }

  /** Undefined when the context is invalid (wrong length, not lower-case hex, all zero). */
  static fromSpanContext(context: SpanContext): PropagatedSpan | undefined {
    const { traceId, spanId } = context;
    if (typeof traceId !== "string" || traceId.length !== 32 || typeof spanId !== "string" || spanId.length !== 16) {
      return undefined;
    }
    const t0 = hexToWord(traceId, 0);
    const t1 = hexToWord(traceId, 8);
    const t2 = hexToWord(traceId, 16);
    const t3 = hexToWord(traceId, 24);
    const s0 = hexToWord(spanId, 0);
    const s1 = hexToWord(spanId, 8);
    if (Number.isNaN(t0 + t1 + t2 + t3 + s0 + s1) || (t0 | t1 | t2 | t3) === 0 || (s0 | s1) === 0) return undefined;
    const state = context.traceState;
    const traceState = state === undefined || state instanceof TraceState ? state : TraceState.parse(state.serialize());
    return new PropagatedSpan(t0, t1, t2, t3, s0, s1, context.traceFlags & 255, traceState, context.isRemote === true);
  }

  spanContext(): SpanContext {
    return identityToContext(this);
  }
  isRecording(): boolean {
    return false;
  }
  get name(): string {
    return "";
  }
  set name(_name: string) {}
  attribute(): void {}
  attributeLater(): void {}
  attributeBlock(): void {}
  fail(): void {}
  link(): void {}
  setAttribute(): this {
    return this;
  }
  setAttributes(): this {
    return this;
  }
  addEvent(): this {
    return this;
  }
  addLink(): this {
    return this;
  }
  addLinks(): this {
    return this;
  }
  setStatus(): this {
    return this;
  }
  updateName(): this {
    return this;
  }
  end(): void {}
  recordException(): void {}
}

/**
 * A recording span: the API's `Span`, and once ended also what SDK 2.x and 3.x processors read (`ReadableSpan`).
 *
 * Flat on purpose (`benchmarks/`): every field exists from the start, ids are int32 words, attributes are one flat list plus
 * up to three shared blocks. After `end()` it is read-only; once encoded it lets go of everything but its ids, because
 * contexts and async frames keep ended spans alive for as long as they like.
 */
export class Span implements ApiSpan, SpanIdentity {
  readonly traceWord0: number;
  readonly traceWord1: number;
  readonly traceWord2: number;
  readonly traceWord3: number;
  readonly spanWord0: number;
  readonly spanWord1: number;
  /** Zero words: no parent. */
  readonly parentWord0: number;
  readonly parentWord1: number;
  readonly flags: number;
  readonly traceState: TraceState | undefined;
  readonly isRemote: boolean = false;
  readonly parentIsRemote: boolean;
  readonly kind: SpanKind;
  readonly instrumentationScope: InstrumentationScope;
  /** On the clock of `clock.ts`; the same for `endMillis`, which is -1 while the span is open. */
  readonly startMillis: number;
  endMillis: number = -1;
  name: string;
  /** The span's own attributes: `[key, value, …]`, of which the first `entriesLength` count. */
  entries: Array<string | AttributeValue | undefined> | undefined = undefined;
  entriesLength: number = 0;
  block0: AttributeBlock | undefined = undefined;
  block1: AttributeBlock | undefined = undefined;
  block2: AttributeBlock | undefined = undefined;
  /** The last of those that `readLate` is to read. */
  late: LateAttribute | undefined = undefined;
  eventList: SpanEvent[] | undefined = undefined;
  linkList: SpanLink[] | undefined = undefined;
  statusCode: number = STATUS_UNSET;
  statusMessage: string | undefined = undefined;
  attributeCount: number = 0;
  droppedAttributesCount: number = 0;
  droppedEventsCount: number = 0;
  droppedLinksCount: number = 0;
  private readonly pipeline: SpanPipeline;
  /** The application has set attributes: an instrumentation's keys may be there already. */
  private isShared: boolean = false;

  constructor(
    pipeline: SpanPipeline,
    scope: InstrumentationScope,
    parent: SpanIdentity | undefined,
    kind: SpanKind,
    name: string,
    startMillis: number,
  ) {
    if (parent === undefined) {
      this.traceWord0 = randomWord();
      this.traceWord1 = randomWord();
      this.traceWord2 = randomWord();
      this.traceWord3 = randomWord();
      this.parentWord0 = 0;
      this.parentWord1 = 0;
      this.flags = FLAG_SAMPLED | FLAG_RANDOM;
      this.traceState = undefined;
      this.parentIsRemote = false;
    } else {
      this.traceWord0 = parent.traceWord0;
      this.traceWord1 = parent.traceWord1;
      this.traceWord2 = parent.traceWord2;
      this.traceWord3 = parent.traceWord3;
      this.parentWord0 = parent.spanWord0;
      this.parentWord1 = parent.spanWord1;
      this.flags = parent.flags | FLAG_SAMPLED;
      this.traceState = parent.traceState;
      this.parentIsRemote = parent.isRemote;
    }
    this.spanWord0 = randomWord();
    this.spanWord1 = randomWord();
    this.pipeline = pipeline;
    this.instrumentationScope = scope;
    this.kind = kind;
    this.name = name;
    this.startMillis = startMillis;
  }

  // What instrumentations write with (`OperationSpan`): their keys are distinct, and looked for only where the application
  // has set attributes of its own; then the application's stay. Values are already redacted.

  /** Adds an attribute whose key the instrumentation has not added yet. */
  attribute(key: string, value: AttributeValue): void {
    if (this.endMillis !== -1 || (this.isShared && this.has(key))) return;
    const { limits } = this.pipeline;
    if (this.attributeCount >= limits.attributeCountLimit) {
      this.droppedAttributesCount++;
      return;
    }
    this.attributeCount++;
    const limited =
      limits.attributeValueLengthLimit === Infinity ? value : limitValue(value, limits.attributeValueLengthLimit);
    const { entries, entriesLength } = this;
    if (entries === undefined) this.entries = withRoom(key, limited);
    else if (entriesLength === entries.length) entries.push(key, limited);
    else {
      entries[entriesLength] = key;
      entries[entriesLength + 1] = limited;
    }
    this.entriesLength = entriesLength + 2;
  }

  /** Adds an attribute once somebody wants to read the span: right away where that may be when it ends. */
  attributeLater(attribute: LateAttribute): void {
    if (this.endMillis !== -1) return;
    attribute.next = this.late;
    this.late = attribute;
    if (this.pipeline.sink.onDeferredEnd === undefined) this.readLate();
  }

  /** Works out the attributes that were left for later: for the sink, before it reads the span. */
  readLate(): void {
    const { endMillis } = this;
    let attribute = this.late;
    this.late = undefined;
    // Not over for as long as this takes.
    this.endMillis = -1;
    for (; attribute !== undefined; attribute = attribute.next) {
      const { key } = attribute;
      try {
        const value = attribute.read();
        if (value !== undefined) this.attribute(key, value);
      } catch (error) {
        diag.warnOnce(`late-${key}`, `${key} could not be recorded: ${String(error)}`);
      }
    }
    this.endMillis = endMillis;
  }

  /** Adds a shared block, of which a span takes up to three. Keys are ones the instrumentation has not added yet. */
  attributeBlock(block: AttributeBlock): void {
    if (this.endMillis !== -1) return;
    const { limits } = this.pipeline;
    const count = block.keys.length;
    // A block is all or nothing as bytes; where a limit may touch it, its attributes are added one by one.
    if (
      this.block2 !== undefined ||
      this.attributeCount + count > limits.attributeCountLimit ||
      limits.attributeValueLengthLimit !== Infinity ||
      (this.isShared && block.keys.some((key) => this.has(key)))
    ) {
      for (let index = 0; index < count; index++) {
        this.attribute(block.keys[index] as string, block.values[index] as AttributeValue);
      }
      return;
    }
    this.attributeCount += count;
    if (this.block0 === undefined) this.block0 = block;
    else if (this.block1 === undefined) this.block1 = block;
    else this.block2 = block;
  }

  /** Marks the operation as failed. `type` is `error.type`: low cardinality. */
  fail(type: string, message?: string): void {
    if (this.endMillis !== -1) return;
    this.setAttributeTrusted(ERROR_TYPE, type);
    this.statusCode = STATUS_ERROR;
    this.statusMessage = message === undefined ? undefined : this.pipeline.redactor.error(message);
  }

  link(context: SpanContext): void {
    this.addLink({ context });
  }

  // The API's Span. Strings that come through here are the application's: they pass the redactor.

  spanContext(): SpanContext {
    return identityToContext(this);
  }

  isRecording(): boolean {
    return this.endMillis === -1;
  }

  setAttribute(key: string, value: AttributeValue): this {
    if (this.endMillis !== -1 || value === undefined || value === null || typeof key !== "string" || key === "")
      return this;
    if (!isAttributeValue(value)) return this;
    this.isShared = true;
    this.setAttributeTrusted(key, this.pipeline.redactor.attribute(key, value));
    return this;
  }

  setAttributes(attributes: Attributes): this {
    // Keys of one object are distinct: on a span without attributes they need not be compared with each other.
    const isFirst = this.attributeCount === 0 && this.endMillis === -1;
    // V8 knows where the properties of such a loop are: six of them take 87 ns, through `Object.keys` 231 (Node 24).
    for (const key in attributes) {
      if (!hasOwn.call(attributes, key)) continue;
      const value = attributes[key] as AttributeValue;
      if (!isFirst) this.setAttribute(key, value);
      else if (value !== undefined && value !== null && key !== "" && isAttributeValue(value))
        this.attribute(key, this.pipeline.redactor.attribute(key, value));
    }
    if (isFirst) this.isShared = true;
    return this;
  }

  addEvent(name: string, attributesOrTime?: Attributes | TimeInput, time?: TimeInput): this {
    if (this.endMillis !== -1) return this;
    const attributes = isTimeInput(attributesOrTime) ? undefined : attributesOrTime;
    const at = isTimeInput(attributesOrTime) ? attributesOrTime : time;
    this.pushEvent(name, this.redactAll(attributes), at === undefined ? now() : fromTimeInput(at));
    return this;
  }

  addLink(link: Link): this {
    if (this.endMillis !== -1) return this;
    const { limits } = this.pipeline;
    this.linkList ??= [];
    if (this.linkList.length >= limits.linkCountLimit) {
      this.droppedLinksCount++;
      return this;
    }
    const { entries, dropped } = copyAttributes(
      this.redactAll(link.attributes),
      limits.attributePerLinkCountLimit,
      limits.attributeValueLengthLimit,
    );
    this.linkList.push({
      context: link.context,
      entries,
      droppedAttributesCount: dropped + (link.droppedAttributesCount ?? 0),
    });
    return this;
  }

  addLinks(links: Link[]): this {
    for (const link of links) this.addLink(link);
    return this;
  }

  /** OK is final and UNSET is ignored (OpenTelemetry trace API, "Set Status"). */
  setStatus(status: SpanStatus): this {
    if (this.endMillis !== -1 || this.statusCode === STATUS_OK || status.code === STATUS_UNSET) return this;
    this.statusCode = status.code;
    this.statusMessage =
      status.code === STATUS_ERROR && typeof status.message === "string"
        ? this.pipeline.redactor.error(status.message)
        : undefined;
    return this;
  }

  updateName(name: string): this {
    if (this.endMillis === -1) this.name = name;
    return this;
  }

  /** Adds the `exception` event. Accepts anything that can be thrown. */
  recordException(exception: Exception, time?: TimeInput): void {
    if (this.endMillis !== -1) return;
    const attributes = describeException(exception, this.pipeline.redactor);
    this.pushEvent("exception", attributes, time === undefined ? now() : fromTimeInput(time));
  }

  end(endTime?: TimeInput): void {
    if (this.endMillis !== -1) return;
    this.close(endTime === undefined ? now() : fromTimeInput(endTime));
    this.pipeline.sink.onEnd(this);
  }

  /** Ends a span that the sink has asked for (`DeferredSpan`). `endMillis` is a reading of `clock.ts`. */
  close(endMillis: number): void {
    this.endMillis = endMillis < this.startMillis ? this.startMillis : endMillis;
  }

  /** Lets go of everything a child does not need. The exporter's to call, once the span is bytes. */
  release(): void {
    this.entries = undefined;
    this.block0 = undefined;
    this.block1 = undefined;
    this.block2 = undefined;
    this.late = undefined;
    this.eventList = undefined;
    this.linkList = undefined;
  }

  // ReadableSpan (SDK 2.x and 3.x): for processors and exporters of the standard lane.

  get attributes(): Attributes {
    const attributes: Attributes = {};
    for (const block of [this.block0, this.block1, this.block2]) {
      block?.keys.forEach((key, index) => (attributes[key] = block.values[index] as AttributeValue));
    }
    return Object.assign(attributes, toAttributes(this.entries ?? NO_ENTRIES, this.entriesLength));
  }
  get parentSpanContext(): SpanContext | undefined {
    if ((this.parentWord0 | this.parentWord1) === 0) return undefined;
    const context = identityToContext(this);
    context.spanId = wordToHex(this.parentWord0) + wordToHex(this.parentWord1);
    if (this.parentIsRemote) context.isRemote = true;
    return context;
  }
  /** For processors written against SDK 1.x. */
  get parentSpanId(): string | undefined {
    return this.parentSpanContext?.spanId;
  }
  get startTime(): HrTime {
    return toHrTime(this.startMillis);
  }
  get endTime(): HrTime {
    return this.endMillis === -1 ? [0, 0] : toHrTime(this.endMillis);
  }
  get duration(): HrTime {
    if (this.endMillis === -1) return [-1, 0];
    const [startSeconds, startNanos] = this.startTime;
    const [endSeconds, endNanos] = this.endTime;
    const nanos = endNanos - startNanos;
    return nanos < 0 ? [endSeconds - startSeconds - 1, nanos + 1e9] : [endSeconds - startSeconds, nanos];
  }
  get status(): SpanStatus {
    return this.statusMessage === undefined
      ? { code: this.statusCode }
      : { code: this.statusCode, message: this.statusMessage };
  }
  get ended(): boolean {
    return this.endMillis !== -1;
  }
  get events(): Array<{
    name: string;
    time: HrTime;
    attributes: Attributes;
    droppedAttributesCount: number;
  }> {
    return (this.eventList ?? []).map(({ name, time, entries, droppedAttributesCount }) => ({
      name,
      time: toHrTime(time),
      attributes: toAttributes(entries),
      droppedAttributesCount,
    }));
  }
  get links(): Link[] {
    return (this.linkList ?? []).map(({ context, entries, droppedAttributesCount }) => ({
      context,
      attributes: toAttributes(entries),
      droppedAttributesCount,
    }));
  }
  get resource(): unknown {
    return this.pipeline.resource;
  }

  /** Sets or replaces. */
  private setAttributeTrusted(key: string, value: AttributeValue): void {
    if (this.block0 !== undefined && this.isInBlock(key)) this.expandBlocks();
    const { entries, entriesLength } = this;
    if (entries !== undefined) {
      for (let index = 0; index < entriesLength; index += 2) {
        if (entries[index] === key) {
          entries[index + 1] = limitValue(value, this.pipeline.limits.attributeValueLengthLimit);
          return;
        }
      }
    }
    this.attribute(key, value);
  }

  private has(key: string): boolean {
    if (this.isInBlock(key)) return true;
    const entries = this.entries ?? NO_ENTRIES;
    for (let index = 0; index < this.entriesLength; index += 2) if (entries[index] === key) return true;
    return false;
  }

  private isInBlock(key: string): boolean {
    return (
      this.block0?.keys.includes(key) === true ||
      this.block1?.keys.includes(key) === true ||
      this.block2?.keys.includes(key) === true
    );
  }

  private expandBlocks(): void {
    const blocks = [this.block0, this.block1, this.block2];
    this.block0 = this.block1 = this.block2 = undefined;
    const entries = (this.entries ??= []);
    entries.length = this.entriesLength;
    for (const block of blocks) {
      block?.keys.forEach((key, index) => entries.push(key, block.values[index] as AttributeValue));
    }
    this.entriesLength = entries.length;
  }

  private pushEvent(name: string, attributes: Attributes | undefined, time: number): void {
    const { limits } = this.pipeline;
    this.eventList ??= [];
    if (this.eventList.length >= limits.eventCountLimit) {
      this.droppedEventsCount++;
      return;
    }
    const { entries, dropped } = copyAttributes(
      attributes,
      limits.attributePerEventCountLimit,
      limits.attributeValueLengthLimit,
    );
    this.eventList.push({ name, time, entries, droppedAttributesCount: dropped });
  }

  private redactAll(attributes: Attributes | undefined): Attributes | undefined {
    if (attributes === undefined || attributes === null) return undefined;
    const redacted: Attributes = {};
    for (const key of Object.keys(attributes)) {
      const value = attributes[key];
      redacted[key] = isAttributeValue(value) ? this.pipeline.redactor.attribute(key, value) : value;
    }
    return redacted;
  }
}

/** A list of attributes with its first: most spans have no more than six of their own, and a list that grows is made twice. */
function withRoom(key: string, value: AttributeValue): Array<string | AttributeValue | undefined> {
  const none = undefined;
  return [key, value, none, none, none, none, none, none, none, none, none, none];
}

/** `exception.*` of anything thrown. Its getters are the application's: where they throw, the rest is kept. */
function describeException(exception: unknown, redactor: Redactor): Attributes {
  const attributes: Attributes = {};
  try {
    if (typeof exception !== "object" || exception === null) {
      attributes[EXCEPTION_MESSAGE] = redactor.error(String(exception));
      return attributes;
    }
    const { code, name, message, stack } = exception as Partial<Record<"code" | "name" | "message" | "stack", unknown>>;
    if (typeof code === "string" || typeof code === "number") attributes[EXCEPTION_TYPE] = String(code);
    else if (typeof name === "string") attributes[EXCEPTION_TYPE] = name;
    if (typeof message === "string") attributes[EXCEPTION_MESSAGE] = redactor.error(message);
    if (typeof stack === "string") attributes[EXCEPTION_STACKTRACE] = redactor.error(stack);
  } catch {
    // Nothing more can be learnt about it.
  }
  return attributes;
}

/** The specification's `TimeInput` against an attribute map: numbers, dates and `[seconds, nanoseconds]` pairs. */
function isTimeInput(value: unknown): value is TimeInput {
  return typeof value === "number" || value instanceof Date || (Array.isArray(value) && value.length === 2);
}
