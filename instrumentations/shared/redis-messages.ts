import type { Operation } from "../../src/instrumentation/operation.ts";
import { MESSAGING_DESTINATION_TEMPLATE, TRACEKIT_MESSAGING_RECEIVERS } from "../../src/semconv/attributes.ts";
import type { TraceContext } from "../../src/trace/context.ts";
import { KIND_CONSUMER, KIND_PRODUCER } from "../../src/trace/span-kind.ts";
import { shown } from "./cache-values.ts";
import {
  type Carrier,
  describeDelivery,
  describeDestination,
  describeMessage,
  type Origin,
  PROCESS,
  PUBLISH,
} from "./messaging.ts";
import type { RedisText } from "./redis-commands.ts";
import type { RedisConnection } from "./redis-connection.ts";
import { recordRedisFailure } from "./redis-failures.ts";
import { companionOf, ownerOf } from "./redis-pub-sub.ts";

/*
 * The spans of Redis pub/sub, for all clients: PUBLISH, and a message with its listeners.
 */

/** A message as it arrived. */
export interface Message {
  readonly pattern: string | undefined;
  readonly channel: string;
  readonly body: RedisText;
}

export interface ProcessState extends Message {
  readonly publishedAt: number | undefined;
  readonly origin: Origin;
}

export interface PublishState {
  carrier: Carrier | undefined;
}

/** Its arguments are those of PUBLISH. What travels is left in its state. */
export function publishOperation<Client>(
  title: string,
  connectionOf: (client: Client) => RedisConnection,
  carried: (context: TraceContext, client: Client) => Carrier | undefined,
): Operation<unknown, PublishState> {
  return {
    title,
    kind: KIND_PRODUCER,
    leaf: true,
    start(span, call, capture) {
      const [channel, body] = call.args as RedisText[];
      describeDestination(span, PUBLISH, shown(channel ?? ""), capture);
      span.attributeBlock(connectionOf(call.self).broker);
      describeMessage(span, undefined, body ?? undefined, capture);
    },
    inject(call) {
      call.state.carrier = carried(call.context, call.self);
    },
    finish(span, receivers) {
      if (typeof receivers === "number") span.attribute(TRACEKIT_MESSAGING_RECEIVERS, receivers);
    },
    fail: (span, error) => recordRedisFailure(span, error),
  };
}

export function processOperation<Client>(
  title: string,
  connectionOf: (client: Client) => RedisConnection,
): Operation<unknown, ProcessState> {
  return {
    title,
    kind: KIND_CONSUMER,
    leaf: false,
    parent: (call) => call.state.origin.parent,
    start(span, call, capture) {
      const { pattern, channel, body, publishedAt, origin } = call.state;
      const template = pattern === undefined ? undefined : shown(pattern);
      describeDestination(span, PROCESS, shown(channel), capture, template);
      span.attributeBlock(connectionOf(call.self).broker);
      if (template !== undefined) span.attribute(MESSAGING_DESTINATION_TEMPLATE, capture.text(template));
      describeMessage(span, undefined, body ?? undefined, capture);
      describeDelivery(span, origin, publishedAt, undefined);
    },
  };
}

/** Undefined for a reply that is no message. */
export function messageOf(reply: readonly RedisText[]): Message | undefined {
  const kind = reply[0];
  // "message", or "pmessage" and "smessage".
  if (kind === undefined || kind === null || (kind.length !== 7 && kind.length !== 8)) return undefined;
  switch (kind.toString()) {
    case "message":
    case "smessage":
      return { pattern: undefined, channel: String(reply[1]), body: reply[2] ?? "" };
    case "pmessage":
      return { pattern: String(reply[1]), channel: String(reply[2]), body: reply[3] ?? "" };
    default:
      return undefined;
  }
}

/** Of companions, as they arrive: what was subscribed to, and the channel. */
export function subscriptionKey(pattern: string | undefined, channel: string): string {
  return pattern === undefined ? ownerOf(channel) : `${ownerOf(pattern)}\n${ownerOf(channel)}`;
}

/** The key under which the context of this message waits. */
export function keyOf({ pattern, channel }: Message): string {
  return subscriptionKey(pattern === undefined ? undefined : companionOf(pattern), companionOf(channel));
}
