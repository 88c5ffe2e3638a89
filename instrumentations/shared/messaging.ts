import type { TextMapGetter } from "@opentelemetry/api";
import type { Capture } from "../../src/capture/capture.ts";
import type { Kit } from "../../src/instrumentation/kit.ts";
import type { OperationSpan } from "../../src/instrumentation/operation.ts";
import { returned } from "../../src/instrumentation/settlement.ts";
import type { OperationCall } from "../../src/instrumentation/trace-operation.ts";
import {
  MESSAGING_BATCH_MESSAGE_COUNT,
  MESSAGING_DESTINATION_NAME,
  MESSAGING_MESSAGE_BODY_SIZE,
  MESSAGING_MESSAGE_ID,
  MESSAGING_OPERATION_NAME,
  MESSAGING_OPERATION_TYPE,
  TRACEKIT_MESSAGING_BODY_CONTENT,
  TRACEKIT_MESSAGING_DELIVERY_ATTEMPT,
  TRACEKIT_MESSAGING_QUEUE_TIME,
} from "../../src/semconv/attributes.ts";
import { AttributeBlock } from "../../src/trace/attributes.ts";
import { ROOT_CONTEXT, type TraceContext } from "../../src/trace/context.ts";

/*
 * What instrumentations of messaging have in common: context goes out in a carrier of ours, which the library's own copy of
 * the message takes along; it comes back as the parent of the message's processing and as a link; the handler runs inside.
 */

// Out: the publisher.

/** What propagators write (`traceparent`, `tracestate`, `baggage`), and where asked for, the time. */
export type Carrier = Record<string, string>;

/** Milliseconds since the epoch, for systems whose messages do not say when they were published. */
export const PUBLISHED_AT = "tracekit-published-at";

const carrierSetter = {
  set(carrier: Carrier, key: string, value: string): void {
    carrier[key] = value;
  },
};

/**
 * What a message published under `context` carries: a fresh object; undefined when nothing is to travel. `host` is the
 * broker's, which decides whether `user.id` may go there. Call it in `inject`: unsampled messages carry that they are.
 */
export function carrierOf(
  kit: Kit,
  context: TraceContext,
  host: string | undefined,
  isTimed: boolean = false,
): Carrier | undefined {
  const carrier: Carrier = {};
  kit.inject(context, carrier, carrierSetter, host);
  let isEmpty = true;
  for (const _key in carrier) isEmpty = false;
  if (isEmpty) return undefined;
  if (isTimed) carrier[PUBLISHED_AT] = String(Date.now());
  return carrier;
}

// In: the consumer.

/** Headers as libraries give them: text or bytes, or a list of them, each possibly missing. Undefined: no headers at all. */
export type Headers = Readonly<Record<string, unknown>> | null | undefined;

const headersGetter: TextMapGetter<Headers> = {
  get: textOf,
  keys: (headers) => Object.keys(headers ?? {}),
};

/** Bytes: W3C allows 8 KiB of baggage; what is longer is not ours. */
const MAX_HEADER_BYTES = 16_384;

function textOf(headers: Headers, key: string): string | undefined {
  let value = headers?.[key];
  if (Array.isArray(value)) value = value[0];
  if (typeof value === "string") return value.length > MAX_HEADER_BYTES ? undefined : value;
  if (!(value instanceof Uint8Array) || value.byteLength > MAX_HEADER_BYTES) return undefined;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("utf8");
}

/** Where a message comes from. */
export interface Origin {
  /** The publisher's span and baggage; empty when it sent none. To be linked. */
  readonly remote: TraceContext;
  /** What processing the message alone continues: the publisher's trace, or with `TRACEKIT_MESSAGING_CONTEXT=link` a new one. */
  readonly parent: TraceContext;
}

const NOWHERE: Origin = { remote: ROOT_CONTEXT, parent: ROOT_CONTEXT };

/**
 * Reads what `carrierOf` wrote. What surrounds a message's arrival is whoever opened the connection, so the parent is never
 * taken from there.
 */
export function originOf(kit: Kit, headers: Headers): Origin;
export function originOf<C>(kit: Kit, carrier: C, getter: TextMapGetter<C>): Origin;
export function originOf(kit: Kit, carrier: unknown, getter: TextMapGetter = headersGetter): Origin {
  if (carrier === undefined || carrier === null) return NOWHERE;
  try {
    const remote = kit.extract(ROOT_CONTEXT, carrier, getter);
    return { remote, parent: kit.options.messagingContext === "link" ? remote.withSpan(undefined) : remote };
  } catch (error) {
    kit.owner.disable("extracting a message's context", error);
    return NOWHERE;
  }
}

/** When the message was published, milliseconds since the epoch; undefined when its publisher did not say. */
export function publishedAtOf(headers: Headers): number | undefined {
  const millis = Number(textOf(headers, PUBLISHED_AT));
  return millis > 0 ? millis : undefined;
}

/** Ends a call with what its handler returned: at once, or when the promise settles. Gives a derived promise of the same fate. */
export const endWithHandler = returned.after as NonNullable<typeof returned.after>;

/**
 * Runs the application's handler of a message in the message's own context, which its awaits keep. The span ends with what the
 * handler throws or returns, unless `onReturn` decides otherwise. Without a `call` the handler only runs.
 */
export function runHandler<A extends unknown[]>(
  kit: Kit,
  call: OperationCall | undefined,
  handler: (...args: A) => unknown,
  self: unknown,
  args: A,
  onReturn: (call: OperationCall, result: unknown) => unknown = endWithHandler,
): unknown {
  if (call === undefined) return Reflect.apply(handler, self, args);
  let result: unknown;
  try {
    result = kit.tracing.run(call.context, handler, self, args);
  } catch (error) {
    call.fail(error);
    throw error;
  }
  return onReturn(call, result);
}

// What spans say.

/** The kinds of operation, each the first word of its spans' names and a block they share. */
export const SEND: MessagingOperation = messagingOperation("send", "send");
export const PUBLISH: MessagingOperation = messagingOperation("publish", "send");
/** A message that is answered. */
export const REQUEST: MessagingOperation = messagingOperation("request", "send");
export const RECEIVE: MessagingOperation = messagingOperation("receive", "receive");
export const PROCESS: MessagingOperation = messagingOperation("process", "process");

export interface MessagingOperation {
  readonly name: string;
  readonly block: AttributeBlock;
}

/** One more kind: its name is the system's word, its type one of the conventions'. */
export function messagingOperation(name: string, type: string): MessagingOperation {
  const block = new AttributeBlock({ [MESSAGING_OPERATION_NAME]: name, [MESSAGING_OPERATION_TYPE]: type });
  return { name, block };
}

/**
 * Names the span after the operation and `destination`, the topic or queue. `label` takes its place in the name where the
 * destination's own may be one of very many. Both come from the application, unredacted.
 */
export function describeDestination(
  span: OperationSpan,
  { name, block }: MessagingOperation,
  destination: string,
  capture: Capture,
  label: string = destination,
): void {
  const shown = capture.text(destination);
  span.name = `${name} ${label === destination ? shown : capture.text(label)}`;
  span.attributeBlock(block);
  span.attribute(MESSAGING_DESTINATION_NAME, shown);
}

/** A single message's id, size in bytes, and payload. Undefined is what the message does not have. */
export function describeMessage(
  span: OperationSpan,
  id: string | undefined,
  body: string | Uint8Array | undefined,
  capture: Capture,
): void {
  if (id !== undefined && id !== "") span.attribute(MESSAGING_MESSAGE_ID, capture.text(id));
  if (body === undefined) return;
  span.attribute(MESSAGING_MESSAGE_BODY_SIZE, sizeOf(body));
  if (capture.messages) span.attribute(TRACEKIT_MESSAGING_BODY_CONTENT, capture.payload(body));
}

/**
 * How a message arrived: `attempt` counts from 1, `publishedAt` is milliseconds since the epoch on the publisher's (or
 * broker's) clock. The origin becomes a link, whether or not the span is also its child.
 */
export function describeDelivery(
  span: OperationSpan,
  origin: Origin,
  publishedAt: number | undefined,
  attempt: number | undefined,
): void {
  if (attempt !== undefined) span.attribute(TRACEKIT_MESSAGING_DELIVERY_ATTEMPT, attempt);
  if (publishedAt !== undefined) span.attribute(TRACEKIT_MESSAGING_QUEUE_TIME, Math.max(0, Date.now() - publishedAt));
  linkTo(span, origin);
}

/** A batch, as one span: `origins` (those known) become links. A batch of one is no batch: describe its message instead. */
export function describeBatch(span: OperationSpan, count: number, origins: Iterable<Origin> = []): void {
  span.attribute(MESSAGING_BATCH_MESSAGE_COUNT, count);
  for (const origin of origins) linkTo(span, origin);
}

function linkTo(span: OperationSpan, { remote }: Origin): void {
  if (remote.span !== undefined) span.link(remote.span.spanContext());
}

export function sizeOf(body: string | Uint8Array): number {
  return typeof body === "string" ? Buffer.byteLength(body) : body.byteLength;
}
