import type { Capture } from "../../src/capture/capture.ts";
import type { Kit } from "../../src/instrumentation/kit.ts";
import type { Operation, OperationSpan } from "../../src/instrumentation/operation.ts";
import { beginOperation, type BoundOperation, type OperationCall } from "../../src/instrumentation/trace-operation.ts";
import {
  MESSAGING_BATCH_MESSAGE_COUNT,
  MESSAGING_CLIENT_ID,
  MESSAGING_CONSUMER_GROUP_NAME,
  MESSAGING_MESSAGE_BODY_SIZE,
  MESSAGING_MESSAGE_ID,
  MESSAGING_OPERATION_NAME,
  MESSAGING_OPERATION_TYPE,
  TRACEKIT_MESSAGING_BODY_CONTENT,
  TRACEKIT_MESSAGING_QUEUE_TIME,
} from "../../src/semconv/attributes.ts";
import { AttributeBlock } from "../../src/trace/attributes.ts";
import { KIND_CLIENT, KIND_PRODUCER } from "../../src/trace/span-kind.ts";
import { CachedItems, shown } from "./cache-values.ts";
import {
  type Carrier,
  carrierOf,
  describeBatch,
  describeDelivery,
  describeDestination,
  type MessagingOperation,
  type Origin,
  originOf,
  RECEIVE,
  SEND,
  sizeOf,
} from "./messaging.ts";
import { type CommandRole, redisCommand, type RedisText } from "./redis-commands.ts";
import type { RedisConnection } from "./redis-connection.ts";
import { recordRedisFailure } from "./redis-failures.ts";

/*
 * Redis streams as messages, for all clients: XADD sends, XREAD and XREADGROUP receive, XACK settles.
 *
 * How context travels. A stream's entry has fields and nothing else, so there are three places for it:
 * - A field of ours in the entry. It is there for every reader, however late, in whatever order, and costs no command; but a
 *   reader without Tracekit sees one field more, and its loop over all fields may not expect that.
 * - A companion (key, hash or stream) by entry id. The id is known only after XADD, so a reader that is waiting has its entry
 *   before the context exists; XADD would have to become a script, every read a second round trip; and the keys of ours would
 *   show in SCAN, DBSIZE and evictions.
 * - Nothing.
 * The default is nothing. TRACEKIT_REDIS_STREAM_CONTEXT=true chooses the field, named `__tracekit__`: readers with Tracekit,
 * whatever their setting, take it out of the entries again, so that only others see it. It costs 0.8 µs an XADD (Node 20.20, two
 * busy cores) and 99 bytes an entry, baggage apart. A `traceparent` field that the application itself wrote is always followed.
 *
 * Entries are read in batches and worked on later, nobody knows where: reading is one CLIENT span in its caller's trace, with a
 * link for each entry whose context is known. A read that finds nothing is a span only inside a trace: loops that wait for
 * work would fill the backend with empty ones.
 */

/** The last field of an entry, when there is one of ours. */
const FIELD = "__tracekit__";
const ACK: MessagingOperation = {
  name: "ack",
  block: new AttributeBlock({ [MESSAGING_OPERATION_NAME]: "ack", [MESSAGING_OPERATION_TYPE]: "settle" }),
};
/** Fields of an entry that are searched for the application's own `traceparent`. */
const MAX_SEARCHED_FIELDS = 32;
/** Entries whose contexts are read: a span has no more links. */
const MAX_LINKS = 128;

/** An entry as the server sends it: id, `[name, value, …]`, and with XREADGROUP … CLAIM idle time and deliveries. */
type Entry = [id: RedisText, fields: RedisText[] | null, idleMillis?: unknown, deliveries?: unknown];

interface SendState {
  carrier: Carrier | undefined;
}

/** The stream commands of one library. */
export class Streams<Client extends object> {
  private readonly send: BoundOperation<unknown, SendState>;
  private readonly receive: BoundOperation;
  private readonly ack: BoundOperation;

  constructor(library: string, kit: Kit, connectionOf: (client: Client) => RedisConnection) {
    const travels = kit.options.redisStreamContext && kit.carriesContext;
    this.send = kit.bind(sendOperation(library, kit, connectionOf, travels));
    this.receive = kit.bind(receiveOperation(library, kit, connectionOf));
    this.ack = kit.bind(ackOperation(library, connectionOf));
  }

  /**
   * Starts the span of a command with one of the roles "send", "receive" and "ack". `carrier` is what a sent entry is to take
   * along; see `withContext`.
   */
  begin(
    client: Client,
    role: CommandRole,
    args: RedisText[],
  ): { readonly call: OperationCall | undefined; readonly carrier: Carrier | undefined } {
    if (role === "send") {
      const state: SendState = { carrier: undefined };
      const call = beginOperation(this.send, client, args, state);
      return { call, carrier: state.carrier };
    }
    const call = beginOperation(role === "receive" ? this.receive : this.ack, client, args);
    return { call, carrier: undefined };
  }
}

/** True for the roles `Streams` knows. */
export function isStreamRole(role: CommandRole | undefined): boolean {
  return role === "send" || role === "receive" || role === "ack";
}

/** True when the reply of a command may hold entries: it is to go through `withoutContext`. */
export function readsEntries(role: CommandRole | undefined): boolean {
  return role === "receive" || role === "entries";
}

/** The arguments of an XADD with the field that carries context. A copy: they may be the application's own. */
export function withContext(args: readonly RedisText[], carrier: Carrier): RedisText[] {
  return [...args, FIELD, JSON.stringify(carrier)];
}

/** Takes our field out of the entries in a reply, which nobody has seen yet: in place. */
export function withoutContext(reply: unknown): void {
  if (Array.isArray(reply)) {
    const fields: unknown = reply[1];
    if (Array.isArray(fields) && isOurs(fields[fields.length - 2])) fields.length -= 2;
    for (const item of reply) if (typeof item === "object" && item !== null) withoutContext(item);
  } else if (reply instanceof Map) {
    for (const item of reply.values()) withoutContext(item);
  } else if (isPlain(reply)) for (const item of Object.values(reply)) withoutContext(item);
}

/** False when a read found nothing and nobody is interested: its span is to be forgotten. */
export function isWorthTelling(call: OperationCall, reply: unknown): boolean {
  return (reply !== null && reply !== undefined) || call.caller.span?.isRecording() === true;
}

function sendOperation<Client>(
  library: string,
  kit: Kit,
  connectionOf: (client: Client) => RedisConnection,
  travels: boolean,
): Operation<unknown, SendState> {
  const operation: Operation<unknown, SendState> = {
    title: `${library} XADD`,
    kind: KIND_PRODUCER,
    leaf: true,
    start(span, call, capture) {
      const args = call.args as RedisText[];
      describeDestination(span, SEND, shown(args[0] ?? ""), capture);
      span.attributeBlock(connectionOf(call.self).broker);
      describeFields(span, args, fieldsStart(args), capture);
    },
    finish(span, id) {
      if (typeof id === "string" || id instanceof Uint8Array) span.attribute(MESSAGING_MESSAGE_ID, shown(id));
    },
    fail: (span, error) => recordRedisFailure(span, error, redisCommand("XADD")),
  };
  if (!travels) return operation;
  return {
    ...operation,
    inject(call) {
      call.state.carrier = carrierOf(kit, call.context, connectionOf(call.self).host);
    },
  };
}

function receiveOperation<Client>(
  library: string,
  kit: Kit,
  connectionOf: (client: Client) => RedisConnection,
): Operation<unknown, undefined> {
  return {
    title: `${library} XREAD`,
    kind: KIND_CLIENT,
    leaf: true,
    start(span, call, capture) {
      const args = call.args as RedisText[];
      const first = args.findIndex((argument) => isWord(argument, "STREAMS")) + 1;
      const count = first === 0 ? 0 : (args.length - first) / 2;
      if (count === 1) describeDestination(span, RECEIVE, shown(args[first] as RedisText), capture);
      else {
        span.name = RECEIVE.name;
        span.attributeBlock(RECEIVE.block);
      }
      span.attributeBlock(connectionOf(call.self).broker);
      const group = args.findIndex((argument) => isWord(argument, "GROUP"));
      if (group === -1 || group > first) return;
      span.attribute(MESSAGING_CONSUMER_GROUP_NAME, capture.text(shown(args[group + 1] ?? "")));
      span.attribute(MESSAGING_CLIENT_ID, capture.text(shown(args[group + 2] ?? "")));
    },
    finish(span, reply, _call, capture) {
      const entries = entriesOf(reply);
      const [first] = entries;
      if (first !== undefined && entries.length === 1) {
        const [id, fields, , deliveries] = first;
        span.attribute(MESSAGING_MESSAGE_ID, shown(id));
        if (fields !== null) describeFields(span, fields, 0, capture);
        describeDelivery(
          span,
          originOfEntry(kit, first),
          addedAt(id),
          deliveries === undefined ? undefined : Number(deliveries),
        );
        return;
      }
      describeBatch(
        span,
        entries.length,
        entries.slice(0, MAX_LINKS).map((entry) => originOfEntry(kit, entry)),
      );
      // The first has waited longest.
      const oldest = first === undefined ? undefined : addedAt(first[0]);
      if (oldest !== undefined) span.attribute(TRACEKIT_MESSAGING_QUEUE_TIME, Math.max(0, Date.now() - oldest));
    },
    fail: (span, error) => recordRedisFailure(span, error, redisCommand("XREADGROUP")),
  };
}

function ackOperation<Client>(
  library: string,
  connectionOf: (client: Client) => RedisConnection,
): Operation<unknown, undefined> {
  return {
    title: `${library} XACK`,
    kind: KIND_CLIENT,
    leaf: true,
    start(span, call, capture) {
      const [stream, group, id] = call.args as RedisText[];
      const count = call.args.length - 2;
      describeDestination(span, ACK, shown(stream ?? ""), capture);
      span.attributeBlock(connectionOf(call.self).broker);
      span.attribute(MESSAGING_CONSUMER_GROUP_NAME, capture.text(shown(group ?? "")));
      if (count === 1 && id !== undefined) span.attribute(MESSAGING_MESSAGE_ID, capture.text(shown(id)));
      else span.attribute(MESSAGING_BATCH_MESSAGE_COUNT, count);
    },
    fail: (span, error) => recordRedisFailure(span, error, redisCommand("XACK")),
  };
}

/** Where the fields of an XADD begin: after key, options and id. */
function fieldsStart(args: readonly RedisText[]): number {
  let index = 1;
  for (; index < args.length; index++) {
    const option = args[index] as RedisText;
    if (
      isWord(option, "NOMKSTREAM") ||
      isWord(option, "KEEPREF") ||
      isWord(option, "DELREF") ||
      isWord(option, "ACKED")
    )
      continue;
    if (isWord(option, "MAXLEN") || isWord(option, "MINID")) {
      const mark = args[index + 1];
      index += mark !== undefined && (isWord(mark, "~") || isWord(mark, "=")) ? 2 : 1;
    } else if (isWord(option, "LIMIT")) index++;
    else break;
  }
  return index + 1;
}

/** Size and content of an entry, `[name, value, …]` from `start`; without our own field. */
function describeFields(span: OperationSpan, fields: readonly RedisText[], start: number, capture: Capture): void {
  const end = isOurs(fields[fields.length - 2]) ? fields.length - 2 : fields.length;
  let size = 0;
  for (let index = start; index < end; index++) size += sizeOf(fields[index] ?? "");
  span.attribute(MESSAGING_MESSAGE_BODY_SIZE, size);
  if (!capture.messages) return;
  const items = new CachedItems(capture, false);
  for (let index = start; index + 1 < end && !items.isFull; index += 2) {
    items.add(fields[index] as RedisText, fields[index + 1]);
  }
  span.attribute(TRACEKIT_MESSAGING_BODY_CONTENT, items.text());
}

/** All entries in the reply of XREAD or XREADGROUP: a list of `[stream, entries]`, with RESP3 a map in one of its shapes. */
function entriesOf(reply: unknown): readonly Entry[] {
  if (Array.isArray(reply)) {
    const isPairs = Array.isArray(reply[0]);
    return reply.flatMap((item: unknown, index): Entry[] =>
      isPairs ? ((item as [unknown, Entry[]])[1] ?? []) : index % 2 === 1 ? (item as Entry[]) : [],
    );
  }
  if (reply instanceof Map) return [...(reply.values() as Iterable<Entry[]>)].flat(1);
  return isPlain(reply) ? (Object.values(reply) as Entry[][]).flat(1) : [];
}

function originOfEntry(kit: Kit, [, fields]: Entry): Origin {
  if (fields === null) return originOf(kit, undefined);
  const last = fields.length - 1;
  if (isOurs(fields[last - 1])) return originOf(kit, parseCarrier(fields[last] as RedisText));
  let own: Record<string, RedisText> | undefined;
  for (let index = 0; index < last && index < 2 * MAX_SEARCHED_FIELDS; index += 2) {
    const name = fields[index] as RedisText;
    // "baggage", "tracestate", "traceparent"
    if (name.length !== 7 && name.length !== 10 && name.length !== 11) continue;
    const text = name.toString();
    if (text === "traceparent" || text === "tracestate" || text === "baggage")
      (own ??= {})[text] = fields[index + 1] as RedisText;
  }
  return originOf(kit, own);
}

function parseCarrier(text: RedisText): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(typeof text === "string" ? text : Buffer.from(text).toString());
    return isPlain(parsed) ? parsed : undefined;
  } catch {
    // Anybody may write anything there.
    return undefined;
  }
}

/** An id that the server chose begins with its clock, milliseconds since the epoch; one of the application's may be anything. */
function addedAt(id: RedisText): number | undefined {
  const millis = Number.parseInt(shown(id), 10);
  return millis > 1_000_000_000_000 && millis < 10_000_000_000_000 ? millis : undefined;
}

function isOurs(name: unknown): boolean {
  return (
    (typeof name === "string" || name instanceof Uint8Array) && name.length === FIELD.length && isWord(name, FIELD)
  );
}

function isWord(argument: RedisText, word: string): boolean {
  if (argument?.length !== word.length) return false;
  const text = shown(argument);
  return text === word || text.toUpperCase() === word;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !(value instanceof Uint8Array) && !Array.isArray(value);
}
