import type { Capture } from "../../src/capture/capture.ts";
import { REDACTED } from "../../src/capture/span.ts";
import type { SqlStatement } from "../../src/capture/sql.ts";
import type { OperationSpan } from "../../src/instrumentation/operation.ts";
import { recordFailure } from "../../src/instrumentation/trace-operation.ts";
import {
  DB_NAMESPACE,
  DB_RESPONSE_STATUS_CODE,
  DB_SYSTEM_NAME,
  SERVER_ADDRESS,
  SERVER_PORT,
} from "../../src/semconv/attributes.ts";
import { AttributeBlock } from "../../src/trace/attributes.ts";

/** `db.system.name`. */
export const SYSTEM = "postgresql";
/** For `capture.sql`. */
export const DIALECT = "standard";
const DEFAULT_PORT = 5432;

/** Server and database; a `host` that begins with a slash is the folder of a Unix socket. What is unknown is left out. */
export function targetBlock(host: unknown, port: unknown, database: unknown): AttributeBlock {
  const number = Number(port ?? DEFAULT_PORT);
  const isSocket = typeof host === "string" && host.startsWith("/");
  return new AttributeBlock({
    [DB_SYSTEM_NAME]: SYSTEM,
    [DB_NAMESPACE]: typeof database === "string" && database !== "" ? database : undefined,
    [SERVER_ADDRESS]: isSocket ? `${host}/.s.PGSQL.${number}` : typeof host === "string" ? host : undefined,
    [SERVER_PORT]:
      isSocket || typeof host !== "string" || number === DEFAULT_PORT || Number.isNaN(number) ? undefined : number,
  });
}

/** Message and stack only: `detail`, `hint` and `where` quote rows ("Key (email)=(…) already exists."). */
export function recordError(
  span: OperationSpan,
  error: unknown,
  sql: SqlStatement | undefined,
  capture: Capture,
): void {
  const sqlState = sqlStateOf(error);
  if (sqlState === undefined) return recordFailure(span, error);
  span.attribute(DB_RESPONSE_STATUS_CODE, sqlState);
  const { name, message, stack } = error as Error;
  const shown = showsInput(sqlState, sql, capture) ? message : withoutInput(sqlState, message);
  if (shown === message) return recordFailure(span, error);
  span.fail(sqlState, shown);
  span.recordException({ name, code: sqlState, message: shown, stack: stack?.replaceAll(message, shown) ?? "" });
}

/** Distinguished from a system error's code (`EPIPE` has five letters, too) by what only a server's error has. */
export function sqlStateOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { code, severity, message } = error as { code?: unknown; severity?: unknown; message?: unknown };
  return typeof code === "string" && code.length === 5 && severity !== undefined && typeof message === "string"
    ? code
    : undefined;
}

/** Whether the values a message may quote are on the span already. */
function showsInput(sqlState: string, sql: SqlStatement | undefined, capture: Capture): boolean {
  if (!sqlState.startsWith("22") || !capture.sqlParameters || sql === undefined || sql.parameterCount === 0)
    return false;
  for (let index = 0; index < sql.parameterCount; index++) if (sql.isSensitiveParameter(index)) return false;
  return true;
}

/** Data exceptions quote the value, syntax errors the place: `invalid input syntax for type uuid: "…"`, `at or near "'…'"`. */
function withoutInput(sqlState: string, message: string): string {
  if (sqlState.startsWith("22")) return message.replace(/".*"/s, `"${REDACTED}"`);
  if (sqlState === "42601") return message.replace(/"(?![A-Za-z_]{1,32}"|[^\w'"$]{1,8}").*"/s, `"${REDACTED}"`);
  return message;
}
