import { Buffer } from "node:buffer";
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

/** `db.query.text` and `db.query.summary`, encoded once a statement. */
export function statementBlock(sql: SqlStatement): AttributeBlock {
  sql.note ??= new AttributeBlock({ [DB_QUERY_TEXT]: sql.text, [DB_QUERY_SUMMARY]: sql.summary || undefined });
  return sql.note as AttributeBlock;
}

const parameterKeys: string[] = [];
for (let index = 0; index < MAX_PARAMETERS; index++) parameterKeys.push(DB_QUERY_PARAMETER_PREFIX + index);

/** Whom `hidesAll` is about: a process has one. */
let asked: Capture | undefined;
/** The application calls anything secret that is called a parameter. */
let hidesAll = false;

/**
 * `db.query.parameter.<position from 0>`: all parameters together get one value's budget, and at most 100 are shown.
 * `capture` is asked only for values whose column is not secret. `hidesValues`: none may be shown.
 */
export function recordParameters(
  span: OperationSpan,
  sql: SqlStatement,
  parameters: readonly unknown[],
  capture: Capture,
  hidesValues: boolean = false,
): void {
  if (capture !== asked) {
    asked = capture;
    hidesAll = capture.isSensitiveName(DB_QUERY_PARAMETER_PREFIX);
  }
  const count = Math.min(parameters.length, MAX_PARAMETERS);
  let budget = capture.maxBytes;
  /** What has been shown and is not yet taken from the budget: its bytes are counted when they might matter. */
  let uncounted = "";
  let index = 0;
  for (; index < count; index++) {
    const isHidden = hidesValues || hidesAll || sql.isSensitiveParameter(index);
    const value = isHidden ? REDACTED : capture.namelessValue(parameters[index]);
    // Three bytes a character at most, and three are the mark of a cut.
    if ((uncounted.length + value.length + 1) * 3 >= budget) {
      budget -= Buffer.byteLength(uncounted);
      uncounted = "";
      if (budget <= 3) break;
    }
    const shown = cutToBytes(value, budget, false);
    span.attribute(parameterKeys[index] as string, shown);
    if (index < count - 1) uncounted = uncounted === "" ? shown : uncounted + shown;
  }
  if (index < parameters.length) span.attribute(TRACEKIT_DB_OMITTED_PARAMETERS, parameters.length - index);
}

/** SELECT, SHOW and FETCH count the rows they return. `INSERT … RETURNING` both returns and changes. */
export function isChange(command: unknown, hasColumns: boolean): boolean {
  // First, for it is the usual one, and a string that was cut out of an answer is compared character by character.
  if (command === "SELECT") return false;
  if (command === "INSERT" || command === "UPDATE" || command === "DELETE" || command === "MERGE") return true;
  return !hasColumns;
}
