import type { Capture } from "../../src/capture/capture.ts";
import { cutToBytes } from "../../src/capture/cut.ts";
import { REDACTED } from "../../src/capture/span.ts";
import type { SqlStatement } from "../../src/capture/sql.ts";
import type { OperationSpan } from "../../src/instrumentation/operation.ts";
import { DB_QUERY_PARAMETER_PREFIX, TRACEKIT_DB_OMITTED_PARAMETERS } from "../../src/semconv/attributes.ts";

/** As for parameters with a position. */
const MAX_PARAMETERS = 100;

/**
 * `db.query.parameter.<name>` for each named placeholder of the statement that `values` has a value for: what else the
 * application keeps in that object is not the statement's. The budgets are those of `recordParameters`.
 */
export function recordNamedParameters(
  span: OperationSpan,
  sql: SqlStatement,
  values: Readonly<Record<string, unknown>>,
  capture: Capture,
): void {
  let budget = capture.maxBytes;
  let shownCount = 0;
  let omitted = 0;
  for (const name of sql.parameterNames) {
    const key = keyOf(values, name);
    if (key === undefined) continue;
    // Three bytes are the mark of a cut.
    if (shownCount >= MAX_PARAMETERS || budget <= 3) {
      omitted++;
      continue;
    }
    const value = sql.isSensitiveParameter(name) ? REDACTED : capture.value(name, values[key]);
    const shown = cutToBytes(value, budget, false);
    span.attribute(DB_QUERY_PARAMETER_PREFIX + name, shown);
    shownCount++;
    budget -= Buffer.byteLength(shown);
  }
  if (omitted > 0) span.attribute(TRACEKIT_DB_OMITTED_PARAMETERS, omitted);
}

/** SQLite's drivers take the name with its sigil, too. */
function keyOf(values: Readonly<Record<string, unknown>>, name: string): string | undefined {
  if (Object.hasOwn(values, name)) return name;
  return [`:${name}`, `@${name}`, `$${name}`].find((key) => Object.hasOwn(values, key));
}
