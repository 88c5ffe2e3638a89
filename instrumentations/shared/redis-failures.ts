import { errorType } from "../../src/instrumentation/errors.ts";
import type { OperationSpan } from "../../src/instrumentation/operation.ts";
import { DB_RESPONSE_STATUS_CODE } from "../../src/semconv/attributes.ts";
import { errorPrefix, type RedisCommand, withoutArguments } from "./redis-commands.ts";

/** The code of an error reply, undefined for other errors: those of the clients do not begin with a word in capitals. */
export function replyErrorCode(error: unknown): string | undefined {
  return error instanceof Error && (error.name === "ReplyError" || error.name === "Error")
    ? errorPrefix(error.message)
    : undefined;
}

/** Marks a span as failed by an error reply or an error of the client. `command`: whose error it is. */
export function recordRedisFailure(span: OperationSpan, error: unknown, command?: RedisCommand): void {
  const code = replyErrorCode(error);
  if (code !== undefined) span.attribute(DB_RESPONSE_STATUS_CODE, code);
  const message = error instanceof Error ? withoutArguments(error.message, command) : undefined;
  span.fail(code ?? errorType(error), message);
  recordRedisException(span, error, command);
}

/** The `exception` event of an error whose message may repeat a command's arguments. */
export function recordRedisException(span: OperationSpan, error: unknown, command?: RedisCommand): void {
  if (error instanceof Error) {
    span.recordException({
      name: error.name,
      message: withoutArguments(error.message, command),
      stack: withoutArguments(error.stack ?? "", command),
    });
  } else if (error !== undefined && error !== null) span.recordException(String(error));
}
