import type { Carrier } from "./messaging.ts";

/*
 * How trace context travels beside a Redis message. Redis pub/sub has no headers and the payload belongs to the
 * application, so the context is a message of its own: the publisher sends it to a companion channel right before the
 * message, on the same connection, and a subscriber that listens to both has it when the message arrives. Redis delivers
 * the messages of one connection in order; other publishers may come in between, hence the digest.
 */

const PREFIX = "__tracekit__:";
const SUFFIX = ":context";

/**
 * The channel (or pattern) on which contexts for `channel` (or pattern) travel. It starts and ends with words of its own, so
 * that of the application's patterns only those that start and end with "*" match it too.
 */
export function companionOf(channel: string): string {
  return PREFIX + channel + SUFFIX;
}

/** Is this a companion channel or pattern? */
export function isCompanion(channel: string): boolean {
  return channel.startsWith(PREFIX) && channel.endsWith(SUFFIX);
}

/** The channel or pattern a companion belongs to. */
export function ownerOf(companion: string): string {
  return companion.slice(PREFIX.length, -SUFFIX.length);
}

/** A context on its way. */
export interface MessageContext {
  readonly carrier: Carrier;
  /** The publisher's clock, milliseconds since the epoch. */
  readonly publishedAt: number;
}

/** Payloads are told apart by their size and first bytes: hashing megabytes would cost more than the message. */
const DIGESTED_BYTES = 4096;

/** The same for a payload as it is sent (text or bytes) and as it arrives (bytes). */
export function digestOf(payload: string | Uint8Array): string {
  // A few units more than bytes needed, so that no cut surrogate pair is among them.
  const start = typeof payload === "string" ? Buffer.from(payload.slice(0, DIGESTED_BYTES + 4)) : payload;
  const size = typeof payload === "string" ? Buffer.byteLength(payload) : payload.byteLength;
  // Not imported: this file may be part of the core, and loading node:crypto takes as long as all of that.
  const { createHash } = process.getBuiltinModule("node:crypto");
  const hash = createHash("sha1").update(start.subarray(0, DIGESTED_BYTES)).digest("base64").slice(0, 22);
  return `${size}.${hash}`;
}

/** The companion message of a payload. */
export function encodeContext(carrier: Carrier, payload: string | Uint8Array): string {
  return JSON.stringify({ digest: digestOf(payload), time: Date.now(), context: carrier });
}

/** Bytes: W3C allows 8 KiB of baggage; what is longer is not ours. */
const MAX_MESSAGE_BYTES = 16_384;
/** Contexts a connection keeps for messages that have not arrived: they follow at once, or never. */
const MAX_PENDING = 1000;
const MAX_AGE_MILLIS = 10_000;

interface PendingContext extends MessageContext {
  readonly digest: string;
  readonly arrivedAt: number;
}

/** Contexts that arrived before their messages. One for each connection. */
export class PendingContexts {
  private readonly bySubscription = new Map<string, PendingContext[]>();
  private count = 0;

  /** `subscription` names what was subscribed to, so that a channel and a pattern that both match get one context each. */
  put(subscription: string, message: Uint8Array | string): void {
    const context = decode(message);
    if (context === undefined) return;
    if (this.count >= MAX_PENDING) {
      this.bySubscription.clear();
      this.count = 0;
    }
    this.count++;
    const queue = this.bySubscription.get(subscription);
    if (queue === undefined) this.bySubscription.set(subscription, [context]);
    else queue.push(context);
  }

  /** The oldest context for this payload; undefined when its publisher sent none. */
  take(subscription: string, payload: string | Uint8Array): MessageContext | undefined {
    const queue = this.bySubscription.get(subscription);
    if (queue === undefined) return undefined;
    const oldest = Date.now() - MAX_AGE_MILLIS;
    while (queue.length > 0 && (queue[0] as PendingContext).arrivedAt < oldest) {
      queue.shift();
      this.count--;
    }
    let found: PendingContext | undefined;
    if (queue.length > 0) {
      const digest = digestOf(payload);
      const index = queue.findIndex((context) => context.digest === digest);
      if (index !== -1) {
        found = queue.splice(index, 1)[0];
        this.count--;
      }
    }
    if (queue.length === 0) this.bySubscription.delete(subscription);
    return found;
  }
}

/** Undefined for what no publisher of ours wrote: anybody may publish anything there. */
function decode(message: Uint8Array | string): PendingContext | undefined {
  if (message.length > MAX_MESSAGE_BYTES) return undefined;
  try {
    const parsed: unknown = JSON.parse(typeof message === "string" ? message : Buffer.from(message).toString());
    const { digest, time, context } = parsed as Record<string, unknown>;
    if (typeof digest !== "string" || typeof time !== "number") return undefined;
    const carrier: Carrier = {};
    for (const [key, value] of Object.entries(context as object)) if (typeof value === "string") carrier[key] = value;
    return { digest, publishedAt: time, carrier, arrivedAt: Date.now() };
  } catch {
    return undefined;
  }
}
