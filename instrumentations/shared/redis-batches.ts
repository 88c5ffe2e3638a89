import type { Kit } from "../../src/instrumentation/kit.ts";
import type { Operation, OperationSpan } from "../../src/instrumentation/operation.ts";
import {
  DB_OPERATION_BATCH_SIZE,
  DB_OPERATION_NAME,
  DB_QUERY_TEXT,
  DB_RESPONSE_STATUS_CODE,
  TRACEKIT_DB_FAILED_COMMANDS,
} from "../../src/semconv/attributes.ts";
import { KIND_CLIENT } from "../../src/trace/span-kind.ts";
import { type Carrier, carrierOf } from "./messaging.ts";
import {
  addHits,
  itemsFound,
  itemsWanted,
  queryText,
  type RedisCommand,
  redisCommand,
  type RedisText,
} from "./redis-commands.ts";
import type { RedisConnection } from "./redis-connection.ts";
import { recordRedisException, recordRedisFailure, replyErrorCode } from "./redis-failures.ts";

/** A command among others that are sent together. */
export interface BatchedCommand {
  readonly name: string;
  readonly args: readonly RedisText[];
}

export interface BatchState {
  readonly kind: "PIPELINE" | "MULTI";
  /** Goes along with the messages it publishes. */
  carrier: Carrier | undefined;
}

/** Each `[error, reply]` in the order of the commands; the reply of an EXEC is the list of replies of those before it. */
export type BatchResults = ReadonlyArray<readonly [error: unknown, reply: unknown]>;

/** UTF-16 units after which a batch's text ends. */
const MAX_BATCH_TEXT = 4096;

/**
 * A pipeline or transaction. Its arguments are `BatchedCommand`s, its result `BatchResults`; anything else says that it went
 * well.
 */
export function batchOperation<Client>(
  title: string,
  kit: Kit,
  connectionOf: (client: Client) => RedisConnection,
): Operation<unknown, BatchState> {
  const { redisPubSubContext, redisStreamContext } = kit.options;
  const carriesContext = ({ role }: RedisCommand): boolean =>
    (role === "publish" && redisPubSubContext) || (role === "send" && redisStreamContext);
  return {
    title,
    kind: KIND_CLIENT,
    leaf: true,
    start(span, call, capture) {
      let size = 0;
      let shared: string | undefined;
      let text = "";
      for (const { name, args } of call.args as readonly BatchedCommand[]) {
        const command = redisCommand(name);
        if (command.role === "multi" || command.role === "exec") continue;
        size++;
        if (size === 1) shared = command.name;
        else if (shared !== command.name) shared = undefined;
        if (text.length >= MAX_BATCH_TEXT) continue;
        text += `${text === "" ? "" : "; "}${queryText(command, args, capture)}`;
        if (text.length >= MAX_BATCH_TEXT) text += "; ...";
      }
      const { kind } = call.state;
      span.name = shared === undefined ? kind : `${kind} ${shared}`;
      span.attributeBlock(connectionOf(call.self).database);
      span.attribute(DB_OPERATION_NAME, span.name);
      // One command is no batch (semantic conventions, `db.operation.batch.size`).
      if (size !== 1) span.attribute(DB_OPERATION_BATCH_SIZE, size);
      if (text !== "") span.attribute(DB_QUERY_TEXT, text);
    },
    inject(call) {
      const queue = call.args as readonly BatchedCommand[];
      if (queue.every(({ name }) => !carriesContext(redisCommand(name)))) return;
      call.state.carrier = carrierOf(kit, call.context, connectionOf(call.self).host);
    },
    finish(span, results, call) {
      if (Array.isArray(results))
        describeResults(span, results as BatchResults, call.args as readonly BatchedCommand[]);
    },
    fail: (span, error) => recordRedisFailure(span, error),
  };
}

function describeResults(span: OperationSpan, results: BatchResults, queue: readonly BatchedCommand[]): void {
  const tally = new Tally();
  let execError: unknown;
  results.forEach(([error, reply], index) => {
    const isExec = queue[index]?.name.toLowerCase() === "exec";
    if (isExec && error) execError = error;
    else if (isExec && Array.isArray(reply)) {
      reply.forEach((own: unknown, position) => {
        tally.add(queue[index - reply.length + position], own instanceof Error ? own : undefined, own);
      });
    } else tally.add(queue[index], error, reply);
  });
  if (tally.wanted > 0) addHits(span, tally.hits, tally.wanted);
  if (tally.failed > 0) span.attribute(TRACEKIT_DB_FAILED_COMMANDS, tally.failed);
  if (execError !== undefined) {
    if (tally.failed > 0) recordRedisException(span, tally.firstError, tally.firstFailed);
    recordRedisFailure(span, execError);
  } else if (tally.failed > 0 && tally.failed === results.length) {
    recordRedisFailure(span, tally.firstError, tally.firstFailed);
  } else if (tally.failed > 0) {
    const code = replyErrorCode(tally.firstError);
    if (code !== undefined) span.attribute(DB_RESPONSE_STATUS_CODE, code);
    recordRedisException(span, tally.firstError, tally.firstFailed);
  }
}

/** What the commands of a batch came to. */
class Tally {
  hits = 0;
  wanted = 0;
  failed = 0;
  firstError: unknown = undefined;
  firstFailed: RedisCommand | undefined = undefined;

  add(command: BatchedCommand | undefined, error: unknown, reply: unknown): void {
    if (command === undefined) return;
    const description = redisCommand(command.name);
    if (error) {
      if (this.failed++ === 0) {
        this.firstError = error;
        this.firstFailed = description;
      }
      return;
    }
    const wanted = itemsWanted(description, command.args, reply);
    if (wanted === 0) return;
    this.wanted += wanted;
    this.hits += itemsFound(description, reply);
  }
}
