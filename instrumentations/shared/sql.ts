import type { Capture } from "../../src/capture/capture.ts";
import { cutToBytes } from "../../src/capture/cut.ts";
import { REDACTED } from "../../src/capture/span.ts";
import type { SqlStatement } from "../../src/capture/sql.ts";
import type { OperationSpan } from "../../src/instrumentation/operation.ts";
import {
  DB_QUERY_PARAMETER_PREFIX,
  DB_QUERY_SUMMARY,
  DB_QUERY_TEXT,
  TRACEKIT_DB_OMITTED_PARAMETERS,
} from "../../src/semconv/attributes.ts";
import { AttributeBlock } from "../../src/trace/attributes.ts";

/** Span limits allow 128 attributes by default; a bulk insert binds up to 65 535 parameters. */
const MAX_PARAMETERS = 100;

const statementBlocks = new WeakMap<SqlStatement, AttributeBlock>();

/** `db.query.text` and `db.query.summary`, encoded once a statement. */
export function statementBlock(sql: SqlStatement): AttributeBlock {
  let block = statementBlocks.get(sql);
  if (block === undefined) {
    block = new AttributeBlock({ [DB_QUERY_TEXT]: sql.text, [DB_QUERY_SUMMARY]: sql.summary || undefined });
    statementBlocks.set(sql, block);
  }
  return block;
}

const parameterKeys: string[] = [];
for (let index = 0; index < MAX_PARAMETERS; index++) parameterKeys.push(DB_QUERY_PARAMETER_PREFIX + index);

/**
 * `db.query.parameter.<position from 0>`: all parameters together get one value's budget, and at most 100 are shown.
 * `capture` is asked only for values whose column is not secret.
 */
export function recordParameters(
  span: OperationSpan,
  sql: SqlStatement,
  parameters: readonly unknown[],
  capture: Capture,
): void {
  const count = Math.min(parameters.length, MAX_PARAMETERS);
  let budget = capture.maxBytes;
  let index = 0;
  // Three bytes are the mark of a cut.
  for (; index < count && budget > 3; index++) {
    const key = parameterKeys[index] as string;
    const value = sql.isSensitiveParameter(index) ? REDACTED : capture.value(key, parameters[index]);
    const shown = cutToBytes(value, budget, false);
    span.attribute(key, shown);
    budget -= Buffer.byteLength(shown);
  }
  if (index < parameters.length) span.attribute(TRACEKIT_DB_OMITTED_PARAMETERS, parameters.length - index);
}

/** SELECT, SHOW and FETCH count the rows they return. `INSERT … RETURNING` both returns and changes. */
export function isChange(command: unknown, hasColumns: boolean): boolean {
  if (command === "INSERT" || command === "UPDATE" || command === "DELETE" || command === "MERGE") return true;
  return command !== "SELECT" && !hasColumns;
}
